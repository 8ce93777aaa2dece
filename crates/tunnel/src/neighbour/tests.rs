use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 9];
const OTHER: Mac = [2, 0, 0, 0, 0, 10];

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

fn br() -> Arc<str> {
    "br-phy".into()
}

fn asker() -> Asker {
    Asker { ip: ip("10.0.0.1"), mac: [2, 0, 0, 0, 0, 1] }
}

fn seen(addr: &str, mac: Mac, evidence: Evidence) -> Observed {
    Observed { bridge: br(), ip: ip(addr), mac, evidence }
}

#[test]
fn requests_are_paced_and_become_slow() {
    let mut n = Neighbours::default();
    assert!(n.want(&br(), ip("10.0.0.2"), asker(), at(0)));
    let mut sent = Vec::new();
    let mut now = at(0);
    while now <= at(12_000) {
        if !n.poll(now).is_empty() {
            sent.push(now.as_millis());
        }
        now = now + Duration::from_millis(100);
    }
    assert_eq!(sent, [0, 1000, 2000, 5000, 8000, 11_000]);
}

#[test]
fn silence_becomes_a_state_and_ends_when_nobody_wants_it() {
    let mut n = Neighbours::default();
    let target = ip("10.0.0.2");
    let state = |n: &Neighbours, ms| n.state("br-phy", target, at(ms));
    assert_eq!(state(&n, 0), NeighbourState::Absent);
    n.want(&br(), target, asker(), at(5));
    n.poll(at(5));
    assert_eq!(state(&n, 10), NeighbourState::Resolving { since: at(5), tries: 1 });
    n.poll(at(1005));
    n.poll(at(2005));
    assert!(
        matches!(state(&n, 2500), NeighbourState::Resolving { .. }),
        "the last may yet be answered"
    );
    assert_eq!(state(&n, 3005), NeighbourState::Unanswered { since: at(5), tries: 3 });
    n.poll(at(60_005));
    assert_eq!(state(&n, 60_005), NeighbourState::Absent);
    assert_eq!(n.next_deadline(), None);
}

#[test]
fn an_answer_makes_it_known_and_a_new_version() {
    let mut n = Neighbours::default();
    let (v, target) = (n.version(), ip("10.0.0.2"));
    n.want(&br(), target, asker(), at(0));
    assert_eq!(n.version(), v, "asking changes no answer");
    assert!(n.observe(&seen("10.0.0.2", MAC, Evidence::Reply), at(1)));
    assert!(n.version() > v);
    assert_eq!(n.lookup("br-phy", target, at(1)), Lookup::Known(MAC));
    assert_eq!(n.lookup("br-other", target, at(1)), Lookup::Unknown);
    assert!(!n.observe(&seen("10.0.0.2", MAC, Evidence::Reply), at(2)), "heard again: no news");
    assert!(n.observe(&seen("10.0.0.2", OTHER, Evidence::Announcement), at(3)), "it moved");
    assert_eq!(n.lookup("br-phy", target, at(3)), Lookup::Known(OTHER));
    assert!(n.poll(at(5000)).is_empty());
}

#[test]
fn late_news_is_no_news() {
    let mut n = Neighbours::default();
    n.observe(&seen("10.0.0.2", MAC, Evidence::Reply), at(100));
    assert!(!n.observe(&seen("10.0.0.2", OTHER, Evidence::Reply), at(99)));
    assert!(!n.observe(&seen("10.0.0.2", MAC, Evidence::Reply), at(50)));
    assert_eq!(n.lookup("br-phy", ip("10.0.0.2"), at(900_099)), Lookup::Known(MAC));
}

#[test]
fn what_was_only_overheard_creates_nothing() {
    let mut n = Neighbours::default();
    assert!(!n.observe(&seen("10.0.0.2", MAC, Evidence::Overheard), at(0)));
    assert!(!n.observe(&seen("10.0.0.2", [3, 0, 0, 0, 0, 1], Evidence::Reply), at(0)));
    assert!(!n.observe(&seen("10.0.0.2", [0; 6], Evidence::Reply), at(0)));
    assert!(!n.observe(&seen("224.0.0.1", MAC, Evidence::Reply), at(0)));
    assert_eq!(n.known(), 0);
    n.want(&br(), ip("10.0.0.2"), asker(), at(0));
    assert!(n.observe(&seen("10.0.0.2", MAC, Evidence::Overheard), at(1)), "it was wanted");
    assert_eq!((n.known(), n.wanted), (1, 0));
}

#[test]
fn the_unused_is_forgotten_and_the_used_is_asked_again() {
    let mut n = Neighbours::default();
    let (a, b) = (ip("10.0.0.2"), ip("10.0.0.3"));
    n.observe(&seen("10.0.0.2", MAC, Evidence::Reply), at(0));
    n.observe(&seen("10.0.0.3", OTHER, Evidence::Reply), at(0));
    n.used("br-phy", a, asker(), at(600_000));
    assert_eq!(n.next_deadline(), Some(at(675_000)), "three quarters of its time");
    n.used("br-phy", a, asker(), at(500_000)); // told late
    assert!(n.poll(at(674_999)).is_empty());
    let asked = n.poll(at(675_000));
    assert_eq!(asked.iter().map(|s| s.target).collect::<Vec<_>>(), [a]);
    assert_eq!(n.lookup("br-phy", a, at(675_000)), Lookup::Known(MAC), "traffic goes on");

    let v = n.version();
    n.poll(at(900_000));
    assert!(n.version() > v);
    assert_eq!(n.lookup("br-phy", b, at(900_000)), Lookup::Unknown);
    assert_eq!(
        n.lookup("br-phy", a, at(900_000)),
        Lookup::Known(MAC),
        "use keeps it, as in the reference"
    );
    n.observe(&seen("10.0.0.2", MAC, Evidence::Reply), at(900_001));
    assert!(n.poll(at(910_000)).is_empty(), "answered: nothing to ask");
}

#[test]
fn expiry_counts_whether_somebody_swept_or_not() {
    let mut n = Neighbours::default();
    n.set(&br(), ip("10.0.0.2"), MAC, at(0));
    assert_eq!(n.lookup("br-phy", ip("10.0.0.2"), at(899_999)), Lookup::Known(MAC));
    assert_eq!(n.lookup("br-phy", ip("10.0.0.2"), at(900_000)), Lookup::Unknown);
    assert!(n.want(&br(), ip("10.0.0.2"), asker(), at(900_000)));
    assert_eq!((n.known(), n.wanted), (0, 1));
    assert_eq!(n.poll(at(900_000)).len(), 1);
}

#[test]
fn both_tables_are_bounded() {
    let mut n = Neighbours::default();
    let addr = |i: usize| IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + i as u32));
    for i in 0..MAX_WANTED {
        assert!(n.want(&br(), addr(i), asker(), at(0)));
    }
    assert!(!n.want(&br(), addr(MAX_WANTED), asker(), at(0)));
    assert_eq!(n.poll(at(0)).len(), MAX_WANTED);
    for i in 0..MAX_KNOWN + 100 {
        n.observe(
            &Observed { bridge: br(), ip: addr(100_000 + i), mac: MAC, evidence: Evidence::Reply },
            at(0),
        );
    }
    assert_eq!(n.known(), MAX_KNOWN);
}

#[test]
fn flushing_forgets_and_counts_right() {
    let mut n = Neighbours::default();
    n.set(&br(), ip("10.0.0.2"), MAC, at(0));
    n.set(&"br-b".into(), ip("10.0.0.2"), MAC, at(0));
    n.want(&br(), ip("10.0.0.3"), asker(), at(0));
    n.flush(Some("br-phy"));
    assert_eq!((n.known(), n.wanted), (1, 0));
    let v = n.version();
    n.flush(None);
    assert_eq!((n.known(), n.wanted), (0, 0));
    assert!(n.version() > v);
}

#[test]
fn requests_are_frames() {
    let arp = Solicit { bridge: br(), target: ip("10.0.0.2"), asker: asker() };
    assert_eq!(arp.frame().len(), 42);
    let nd = Solicit {
        target: ip("2001:db8::2"),
        asker: Asker { ip: ip("2001:db8::1"), ..asker() },
        ..arp.clone()
    };
    assert_eq!(nd.frame().len(), 86);
}

/// Recorded from Open vSwitch 3.1 (but for the order, which is by bridge and address here).
#[test]
fn commands_answer_as_the_reference() {
    let mut n = Neighbours::default();
    let set = |n: &mut Neighbours, args: &[&str]| commands::set(n, args, at(0));
    assert_eq!(set(&mut n, &["br-phy", "2001:cafe::92", "aa:bb:cc:00:00:01"]).unwrap(), "OK");
    assert_eq!(set(&mut n, &["br-phy", "172.168.1.2", "aa:bb:cc:00:00:01"]).unwrap(), "OK");
    assert_eq!(set(&mut n, &["br-phy", "x", "aa:bb:cc:00:00:01"]).unwrap_err(), "bad IP address");
    assert_eq!(
        set(&mut n, &["br-phy", "1.1.1.1", "aa:bb:cc:00:00"]).unwrap_err(),
        "bad MAC address"
    );
    let table = |stale| {
        format!(
            "IP                                            MAC                 Bridge\n\
             ==========================================================================\n\
             172.168.1.2                                   aa:bb:cc:00:00:01   br-phy{stale}\n\
             2001:cafe::92                                 aa:bb:cc:00:00:01   br-phy{stale}\n"
        )
    };
    assert_eq!(commands::show(&n, at(0)), table(""));
    assert_eq!(commands::show(&n, at(900_000)), table(" STALE"));
    let aging = |n: &mut Neighbours, args: &[&str]| commands::aging(n, args, at(0));
    assert_eq!(aging(&mut n, &[]).unwrap(), "900");
    for bad in ["x", "0", "3601", "-1"] {
        assert_eq!(aging(&mut n, &[bad]).unwrap_err(), "bad aging value");
    }
    assert_eq!(aging(&mut n, &["5"]).unwrap(), "OK");
    assert_eq!(aging(&mut n, &[]).unwrap(), "5");
    assert_eq!(commands::show(&n, at(5000)), table(" STALE"), "known neighbours' time was cut");
    assert_eq!(commands::flush(&mut n), "OK");
    assert_eq!(commands::show(&n, at(0)).lines().count(), 2);
}

/// A host that was not there yet when it was first asked for is found by the next packet, and a flood of packets is no flood of
/// requests.
#[test]
fn packets_bring_requests_forward_but_not_without_bound() {
    let mut n = Neighbours::default();
    let addr = IpAddr::from([10, 0, 0, 9]);
    let mut requests = |ms: u64| {
        n.want(&br(), addr, asker(), at(ms));
        n.poll(at(ms)).len()
    };
    assert_eq!([requests(0), requests(10), requests(25), requests(30)], [1, 0, 1, 0]);
    let flood: usize = (31..10_000).map(&mut requests).sum();
    let paced = QUICK_TRIES as usize - 1 + 3;
    assert!(flood < EAGER_TRIES as usize + paced, "{flood}");
}

/// Whatever happens, the counts are right.
#[test]
fn counts_agree_after_any_history() {
    use proptest::prelude::*;
    proptest!(|(ops in prop::collection::vec((0u8..6, 2u8..8, 0u64..400_000), 0..100))| {
        let mut n = Neighbours::default();
        let mut now = 0;
        for (op, host, later) in ops {
            now += later;
            let addr = IpAddr::from([10, 0, 0, host]);
            match op {
                0 => { n.want(&br(), addr, asker(), at(now)); }
                1 => { n.observe(&Observed { bridge: br(), ip: addr, mac: MAC, evidence: Evidence::Reply }, at(now)); }
                2 => { n.used("br-phy", addr, asker(), at(now)); }
                3 => { n.set(&"br-b".into(), addr, OTHER, at(now)); }
                4 => { n.poll(at(now)); }
                _ => { n.flush(Some("br-b")); }
            }
            let all: Vec<_> = n.bridges.values().flat_map(HashMap::values).collect();
            let known = all.iter().filter(|e| matches!(e, Entry::Known(_))).count();
            prop_assert_eq!((n.known, n.wanted), (known, all.len() - known));
            if let Some(next) = n.next_deadline() {
                n.poll(next.max(at(now)));
                prop_assert!(n.next_deadline().is_none_or(|later| later > next), "the deadline moves on");
            }
        }
    });
}

/// What the configuration says holds against everybody, for ever, and until it says otherwise.
#[test]
fn fixed_neighbours_stay_and_are_not_talked_over() {
    let mut n = Neighbours::default();
    let bridge: Arc<str> = "br-phy".into();
    let ip: IpAddr = "10.0.0.9".parse().unwrap();
    let at = |secs: u64| Instant::from_millis(secs * 1000);
    let fixed = [(bridge.clone(), ip, [2, 0, 0, 0, 0, 9])];
    n.set_fixed(&fixed, at(0));
    let version = n.version();
    let seen = Observed {
        bridge: bridge.clone(),
        ip,
        mac: [2, 0, 0, 0, 0, 66],
        evidence: Evidence::Reply,
    };
    assert!(!n.observe(&seen, at(1)) && !n.set(&bridge, ip, [2; 6], at(1)));
    n.set_aging(Duration::from_secs(1), at(1));
    n.flush(None);
    n.flush(Some("br-phy"));
    assert_eq!(n.poll(at(1_000_000)), []);
    assert_eq!(n.lookup("br-phy", ip, at(1_000_000)), Lookup::Known([2, 0, 0, 0, 0, 9]));
    n.set_fixed(&fixed, at(1_000_000));
    assert_eq!((n.version(), n.known()), (version, 1));
    n.set_fixed(&[(bridge, ip, [2, 0, 0, 0, 0, 8])], at(1_000_000));
    assert_eq!(n.lookup("br-phy", ip, at(1_000_000)), Lookup::Known([2, 0, 0, 0, 0, 8]));
    assert_eq!(n.known(), 1);
    n.set_fixed(&[], at(1_000_000));
    assert_eq!((n.lookup("br-phy", ip, at(1_000_000)), n.known()), (Lookup::Unknown, 0));
}
