use proptest::prelude::*;

use super::pdu::{LEN, state};
use super::*;

type Out = Vec<(u16, Pdu)>;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn system(n: u8, active: bool) -> Lacp<u16> {
    let settings =
        Settings { active, sys_id: [2, 0, 0, 0, 0, n], sys_priority: 65534, ..Settings::default() };
    let mut lacp = Lacp::new("bond0".into(), settings);
    for port in [1, 2] {
        let name = format!("p{port}").into();
        lacp.set_link(port, &name, port, PortSettings::default(), at(0));
        lacp.set_carrier(port, true, at(0));
    }
    lacp
}

/// Carries messages to and fro until nobody has any more to say. Says how many there were.
fn exchange(a: &mut Lacp<u16>, b: &mut Lacp<u16>, now: Instant) -> usize {
    let mut count = 0;
    for _ in 0..20 {
        let (from_a, from_b): (Out, Out) = (a.run(now), b.run(now));
        if from_a.is_empty() && from_b.is_empty() {
            return count;
        }
        count += from_a.len() + from_b.len();
        from_a.iter().for_each(|(port, pdu)| b.receive(*port, &pdu.to_bytes(), now));
        from_b.iter().for_each(|(port, pdu)| a.receive(*port, &pdu.to_bytes(), now));
    }
    panic!("they never stop talking");
}

fn all_used(lacp: &Lacp<u16>) -> bool {
    lacp.status() == LacpStatus::Negotiated && lacp.may_use(1) && lacp.may_use(2)
}

#[test]
fn two_ends_agree_if_one_speaks_first() {
    for (first, second) in [(true, true), (true, false), (false, true)] {
        let (mut a, mut b) = (system(1, first), system(2, second));
        assert!(exchange(&mut a, &mut b, at(0)) <= 10, "few words are enough");
        assert!(all_used(&a) && all_used(&b), "{}\n{}", a.show(), b.show());
    }
    let (mut a, mut b) = (system(1, false), system(2, false));
    assert_eq!(exchange(&mut a, &mut b, at(0)), 0, "both wait for the other");
    assert_eq!(a.status(), LacpStatus::Configured);
}

#[test]
fn a_silent_partner_is_given_up() {
    let (mut a, mut b) = (system(1, true), system(2, true));
    exchange(&mut a, &mut b, at(0));
    assert_eq!(a.next_deadline(), Some(at(30_000)));
    a.run(at(89_999));
    assert!(all_used(&a));
    let out = a.run(at(90_000));
    assert!(!a.may_use(1), "expired: it may be back");
    assert!(a.show().contains("p1: expired attached"), "{}", a.show());
    assert!(out.iter().all(|(_, pdu)| pdu.actor.state & state::EXPIRED != 0));
    a.run(at(93_000));
    assert!(a.show().contains("p1: defaulted detached"), "{}", a.show());
    assert_eq!(a.status(), LacpStatus::Configured);
    assert_eq!(a.is_current(1), Some(false));
    // And when it is back, all is well again at once.
    exchange(&mut a, &mut b, at(100_000));
    assert!(all_used(&a) && all_used(&b));
}

#[test]
fn a_link_without_carrier_is_not_used_and_says_nothing() {
    let (mut a, mut b) = (system(1, true), system(2, true));
    exchange(&mut a, &mut b, at(0));
    a.set_carrier(1, false, at(10));
    assert!(!a.may_use(1) && a.may_use(2));
    assert!(a.run(at(20)).iter().all(|(port, _)| *port == 2));
    a.set_carrier(1, true, at(5000));
    exchange(&mut a, &mut b, at(5001));
    assert!(all_used(&a));
}

#[test]
fn only_links_to_one_partner_are_used_together() {
    let (mut a, mut b, mut c) = (system(1, true), system(2, true), system(3, true));
    for _ in 0..4 {
        for (port, pdu) in a.run(at(0)) {
            let other = if port == 1 { &mut b } else { &mut c };
            other.receive(port, &pdu.to_bytes(), at(0));
        }
        b.run(at(0)).iter().filter(|(port, _)| *port == 1).for_each(|(port, pdu)| {
            a.receive(*port, &pdu.to_bytes(), at(0));
        });
        c.run(at(0)).iter().filter(|(port, _)| *port == 2).for_each(|(port, pdu)| {
            a.receive(*port, &pdu.to_bytes(), at(0));
        });
    }
    assert!(a.may_use(1) && !a.may_use(2), "{}", a.show());
}

#[test]
fn a_loop_is_no_partner() {
    let mut a = system(1, true);
    for (port, pdu) in a.run(at(0)) {
        a.receive(3 - port, &pdu.to_bytes(), at(0));
    }
    assert!(!a.may_use(1) && a.status() == LacpStatus::Configured, "{}", a.show());
}

#[test]
fn without_a_partner_fallback_goes_on() {
    let mut a = system(1, true);
    a.set_settings(Settings { fallback_ab: true, ..a.settings.clone() }, at(0));
    a.run(at(0));
    a.run(at(3000));
    assert!(a.may_use(1) && a.status() == LacpStatus::Configured, "{}", a.show());
}

fn any_end() -> impl Strategy<Value = End> {
    let ids = (any::<u16>(), any::<Mac>(), any::<u16>());
    (ids, any::<(u16, u16, u8)>()).prop_map(|((sys_priority, sys_id, key), rest)| {
        let (port_priority, port_id, state) = rest;
        End { sys_priority, sys_id, key, port_priority, port_id, state }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(actor in any_end(), partner in any_end(), padding in 0_usize..20) {
        let pdu = Pdu { actor, partner };
        let mut bytes = pdu.to_bytes().to_vec();
        bytes.resize(LEN + padding, 0);
        prop_assert_eq!(Slow::parse(&bytes), Slow::Lacp(pdu));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..140),
        whole in any::<bool>(),
    ) {
        if whole {
            let good = Pdu::default().to_bytes();
            bytes.iter_mut().zip(good).for_each(|(to, from)| if *to < 200 { *to = from });
        }
        if let Slow::Lacp(pdu) = Slow::parse(&bytes) {
            prop_assert_eq!(Slow::parse(&pdu.to_bytes()), Slow::Lacp(pdu));
        }
        let mut lacp = system(1, true);
        lacp.receive(1, &bytes, at(1));
        lacp.run(at(1));
        prop_assert!(!lacp.show().is_empty());
    }

    /// Whatever a partner says, it takes no more than one answer each time.
    #[test]
    fn a_partner_cannot_make_us_babble(said in proptest::collection::vec((any_end(), any_end()), 1..30)) {
        let mut lacp = system(1, true);
        lacp.run(at(0));
        for (actor, partner) in said {
            lacp.receive(1, &Pdu { actor, partner }.to_bytes(), at(1));
            let own = |out: Out| out.iter().filter(|(port, _)| *port == 1).count();
            prop_assert!(own(lacp.run(at(1))) <= 1);
            prop_assert_eq!(lacp.run(at(1)).len(), 0);
        }
    }
}
