use super::rules::Asked;
use super::*;

fn kernel(dst: &str, dev: &str) -> Route {
    Route::new(dst.parse().unwrap(), Target::way(dev, None))
}

fn via(dst: &str, dev: &str, gateway: &str) -> Route {
    Route { target: Target::way(dev, Some(ip(gateway))), ..kernel(dst, dev) }
}

fn local(ip: &str, dev: &str) -> Route {
    Route { table: TABLE_LOCAL, src: Some(ip.parse().unwrap()), ..kernel(ip, dev) }
}

/// The guide's host: br-phy is 172.168.1.1/24.
fn guide() -> Routes {
    let mut r = Routes::default();
    r.add_address("lo", "127.0.0.1/8".parse().unwrap());
    r.add_address("br-phy", "172.168.1.1/24".parse().unwrap());
    r.add(local("127.0.0.1", "lo"));
    r.add(local("172.168.1.1", "br-phy"));
    r.add(kernel("172.168.1.0/24", "br-phy"));
    r
}

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

fn run(result: Result<String, String>) -> String {
    result.unwrap_or_else(|e| format!("error: {e}"))
}

#[test]
fn the_guides_routes_print_as_in_the_reference() {
    assert_eq!(
        run(commands::show(&guide(), &[])),
        "Route Table:\n\
         Cached: 127.0.0.1/32 dev lo SRC 127.0.0.1 local\n\
         Cached: 172.168.1.1/32 dev br-phy SRC 172.168.1.1 local\n\
         Cached: 172.168.1.0/24 dev br-phy SRC 172.168.1.1\n"
    );
    assert_eq!(
        run(commands::lookup(&guide(), &["172.168.1.2"])),
        "src 172.168.1.1\ngateway ::\ndev br-phy\n"
    );
}

mod rules;

/// Observed on Open vSwitch 3.1 with dummy devices (`pkt_mark` errors in the wording of 4.0).
#[test]
fn user_routes_as_in_the_reference() {
    let mut r = Routes::default();
    r.add_address("br-phy", "172.168.1.1/24".parse().unwrap());
    for (args, want) in [
        (&["10.0.0.0/8", "br-phy", "172.168.1.9"][..], "OK"),
        (&["11.0.0.0/8", "br-phy"], "error: Error while inserting route."),
        (&["172.168.1.128/25", "br-phy", "pkt_mark=5"], "OK"),
        (
            &["12.0.0.0/8", "br-phy", "172.168.1.9", "src=172.168.1.3"],
            "error: Error while inserting route.",
        ),
        (&["12.0.0.0/88", "br-phy"], "error: Invalid 'ip/plen' parameter"),
        (&["13.0.0.0/8", "brX"], "error: Error while inserting route."),
        (&["14.0.0.0/8", "br-phy", "foo"], "error: Invalid pkt_mark, IP gateway or src_ip"),
        (&["14.0.0.0/8", "br-phy", "fe80::1"], "error: Invalid pkt_mark, IP gateway or src_ip"),
        (&["14.0.0.0/8", "br-phy", "table=x"], "error: Invalid table format"),
        (&["14.1.2.3/16", "br-phy", "172.168.1.9"], "OK"),
    ] {
        assert_eq!(run(commands::add(&mut r, args)), want, "{args:?}");
    }
    assert_eq!(
        run(commands::show(&r, &[])),
        "Route Table:\n\
         User: 172.168.1.128/25 MARK 5 dev br-phy SRC 172.168.1.1\n\
         User: 14.1.0.0/16 dev br-phy GW 172.168.1.9 SRC 172.168.1.1\n\
         User: 10.0.0.0/8 dev br-phy GW 172.168.1.9 SRC 172.168.1.1\n"
    );
    for (args, want) in [
        (&["10.1.1.1"][..], "src 172.168.1.1\ngateway 172.168.1.9\ndev br-phy\n"),
        (&["172.168.1.130", "pkt_mark=5"], "src 172.168.1.1\ngateway ::\ndev br-phy\n"),
        (&["172.168.1.130", "pkt_mark=0x5"], "src 172.168.1.1\ngateway ::\ndev br-phy\n"),
        (&["172.168.1.130"], "error: Not found"),
        (&["8.8.8.8"], "error: Not found"),
        (&["foo"], "error: Invalid 'ip/plen' parameter"),
        (&["1.1.1.1/8"], "error: Invalid 'ip/plen' parameter"),
        (&["1.1.1.1", "mark=3"], "error: Invalid pkt_mark or src"),
    ] {
        assert_eq!(run(commands::lookup(&r, args)), want, "{args:?}");
    }
    for (args, want) in [
        (&["10.0.0.0/8"][..], "OK"),
        (&["10.0.0.0/8"], "error: Not found"),
        (&["x"], "error: Invalid parameters"),
        (&["1.0.0.0/8", "x"], "error: Invalid pkt_mark or table"),
        (&["1.0.0.0/8", "table=7"], "error: Table table=7 not found"),
    ] {
        assert_eq!(run(commands::del(&mut r, args)), want, "{args:?}");
    }
}

#[test]
fn longest_prefix_then_metric_and_users_first() {
    let mut r = guide();
    r.add(via("0.0.0.0/0", "br-phy", "172.168.1.254"));
    r.add_address("br-b", "10.0.0.1/24".parse().unwrap());
    r.add(Route { metric: 100, ..via("192.168.0.0/16", "br-b", "10.0.0.254") });
    r.add(Route { metric: 50, ..via("192.168.0.0/16", "br-phy", "172.168.1.253") });
    let gateway = |r: &Routes, dst: &str| r.lookup(ip(dst), 0, None).unwrap().gateway;
    assert_eq!(gateway(&r, "8.8.8.8"), Some(ip("172.168.1.254")));
    assert_eq!(gateway(&r, "192.168.7.7"), Some(ip("172.168.1.253")));
    assert_eq!(gateway(&r, "172.168.1.77"), None);

    // A user's shorter prefix beats the kernel's longer one.
    commands::add(&mut r, &["192.0.0.0/8", "br-b", "10.0.0.9"]).unwrap();
    assert_eq!(gateway(&r, "192.168.7.7"), Some(ip("10.0.0.9")));
    commands::del(&mut r, &["192.0.0.0/8"]).unwrap();
    r.remove(&Route { metric: 50, ..kernel("192.168.0.0/16", "br-phy") });
    assert_eq!(gateway(&r, "192.168.7.7"), Some(ip("10.0.0.254")));
}

#[test]
fn a_given_source_must_be_our_own() {
    let r = guide();
    assert!(r.lookup(ip("172.168.1.2"), 0, Some(ip("172.168.1.1"))).is_some());
    assert!(r.lookup(ip("172.168.1.2"), 0, Some(ip("172.168.1.3"))).is_none());
    assert!(r.lookup(ip("172.168.1.2"), 0, Some(ip("::1"))).is_none());
}

#[test]
fn a_kernel_route_without_a_matching_address_uses_the_devices_first() {
    let mut r = guide();
    r.add(kernel("10.9.0.0/16", "br-phy"));
    assert_eq!(r.lookup(ip("10.9.1.1"), 0, None).unwrap().src, ip("172.168.1.1"));
    r.add(kernel("10.10.0.0/16", "nowhere"));
    assert_eq!(r.lookup(ip("10.10.1.1"), 0, None), None);
}

#[test]
fn only_changes_make_a_version() {
    let mut r = guide();
    let v = r.version();
    assert!(!r.add(kernel("172.168.1.0/24", "br-phy")));
    assert!(!r.add_address("br-phy", "172.168.1.1/24".parse().unwrap()));
    assert!(!r.remove(&kernel("1.0.0.0/8", "br-phy")));
    assert!(!r.remove_device("nowhere"));
    assert_eq!(r.version(), v);
    assert!(r.remove(&kernel("172.168.1.0/24", "br-phy")));
    assert!(r.version() > v);
}

#[test]
fn only_watched_destinations_make_a_version() {
    let mut r = guide();
    r.watch(Some(vec![ip("172.168.1.2")]));
    let v = r.version();
    assert!(r.add(kernel("8.8.0.0/16", "br-phy")));
    assert!(r.remove(&kernel("8.8.0.0/16", "br-phy")));
    assert_eq!(r.version(), v);
    r.add(kernel("0.0.0.0/0", "br-phy"));
    assert!(r.version() > v);
    let v = r.version();
    r.watch(Some(vec![ip("8.8.8.8")]));
    assert!(r.version() > v);
}

/// The answer is the one that looking at every route would give.
#[test]
fn lookup_agrees_with_a_linear_search() {
    use proptest::prelude::*;
    let route = (0u32..4, 0u8..=32, 0u32..3, 0u32..2, any::<bool>(), 0usize..3);
    proptest!(|(routes in prop::collection::vec(route, 0..40), asked in 0u32..16, removed in 0usize..40)| {
        let mut r = Routes::default();
        r.add_address("dev", "0.0.0.1/0".parse().unwrap());
        let mut all: Vec<Route> = Vec::new();
        for (net, len, metric, mark, user, table) in routes {
            let addr = IpAddr::V4((net << 30 | 0x0102_0304).into());
            let dst = Prefix::new(addr, len).unwrap();
            let table = [TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT][table];
            let new = Route { dst: dst.network(), table, metric, mark, user, ..kernel("0.0.0.0/0", "dev") };
            let same = |r: &Route| (r.dst, r.table, r.metric, r.mark, r.user)
                == (new.dst, new.table, new.metric, new.mark, new.user);
            all.retain(|r| !same(r));
            r.add(new.clone());
            all.push(new);
        }
        if removed < all.len() {
            prop_assert!(r.remove(&all.swap_remove(removed)));
        }
        prop_assert_eq!(r.count, all.len());
        let dst = IpAddr::V4((asked << 28 | 0x0102_0304).into());
        // One that a user made counts as 32 bits longer than it is; it can be as long as another, and then either will do.
        let rank = |r: &Route| (r.table, r.dst.len() + if r.user { 32 } else { 0 });
        let marked = |r: &&Route| !r.user || r.mark == 0;
        let want = all.iter().filter(marked).filter(|r| r.dst.contains(dst)).map(rank).max();
        let got = r.best(Asked { dst, mark: 0, src: None });
        prop_assert_eq!(got.map(rank), want);
        // Of those that differ in nothing else, it has the lowest metric.
        if let Some(got) = got {
            let same = |r: &&Route| (r.dst, r.table, r.user) == (got.dst, got.table, got.user);
            prop_assert_eq!(Some(got.metric), all.iter().filter(marked).filter(same).map(|r| r.metric).min());
        }
    });
}

/// The kernel's multipath routes, and people's.
#[test]
fn flows_are_spread_over_several_ways() {
    let mut r = guide();
    r.add_address("br-b", "10.0.0.1/24".parse().unwrap());
    let hops = vec![
        Hop::new("br-phy", Some(ip("172.168.1.254"))),
        Hop { weight: 3, ..Hop::new("br-b", Some(ip("10.0.0.254"))) },
    ];
    let both = Route { target: Target::of(hops).unwrap(), ..kernel("10.9.0.0/16", "") };
    r.add(both.clone());
    assert_eq!(
        run(commands::lookup(&r, &["10.9.1.1"])),
        "nexthop dev br-phy gateway 172.168.1.254 src 172.168.1.1 weight 1\n\
         nexthop dev br-b gateway 10.0.0.254 src 10.0.0.1 weight 3\n"
    );
    assert!(run(commands::show(&r, &[])).contains(
        "Cached: 10.9.0.0/16 nexthop dev br-phy GW 172.168.1.254 SRC 172.168.1.1 weight 1 \
         nexthop dev br-b GW 10.0.0.254 SRC 10.0.0.1 weight 3\n"
    ));
    let devs = |r: &Routes| {
        let ways = r.ways(ip("10.9.1.1"), 0, None);
        ways.iter().map(|way| way.dev.to_string()).collect::<Vec<_>>()
    };
    let ways = r.ways(ip("10.9.1.1"), 0, None);
    let to_b =
        (0..4096u32).filter(|i| &*lookup::choose(&ways, i << 20).unwrap().dev == "br-b").count();
    assert_eq!(to_b, 3072, "by weight");

    // A link without carrier counts only if there is no other.
    let link = |running| LinkState { mtu: 1500, running, vrf: None };
    r.set_link(&"br-b".into(), link(false));
    assert_eq!(devs(&r), ["br-phy"]);
    r.set_link(&"br-phy".into(), link(false));
    assert_eq!(devs(&r), ["br-phy", "br-b"]);
    r.set_link(&"br-b".into(), link(true));
    assert_eq!(devs(&r), ["br-b"]);
    r.set_link(&"br-phy".into(), link(true));

    // The kernel takes single ways away from IPv6 routes, and both from IPv4 ones.
    r.remove(&via("10.9.0.0/16", "br-b", "10.0.0.254"));
    assert_eq!(devs(&r), ["br-phy"]);
    r.add(both.clone());
    r.remove_device("br-phy");
    assert_eq!(devs(&r), ["br-b"]);
    r.remove(&both);
    assert_eq!(devs(&r), [""; 0]);

    commands::add(&mut r, &["10.8.0.0/16", "br-b", "10.0.0.9", "nexthop=br-b,10.0.0.8,2"]).unwrap();
    assert_eq!(
        run(commands::lookup(&r, &["10.8.1.1"])),
        "nexthop dev br-b gateway 10.0.0.9 src 10.0.0.1 weight 1\n\
         nexthop dev br-b gateway 10.0.0.8 src 10.0.0.1 weight 2\n"
    );
    for bad in ["nexthop=", "nexthop=br-b,x", "nexthop=br-b,10.0.0.8,0", "nexthop=br-b,,1,1"] {
        let said = run(commands::add(&mut r, &["10.8.0.0/16", "br-b", "10.0.0.9", bad]));
        assert_eq!(said, "error: Invalid nexthop: expected DEV[,GW[,WEIGHT]]", "{bad}");
    }
}

#[test]
fn the_smallest_mtu_of_route_and_link_counts() {
    let mut r = guide();
    assert_eq!(r.lookup(ip("172.168.1.2"), 0, None).unwrap().mtu, None);
    r.set_link(&"br-phy".into(), LinkState { mtu: 9000, running: true, vrf: None });
    assert_eq!(r.lookup(ip("172.168.1.2"), 0, None).unwrap().mtu, Some(9000));
    r.add(Route { mtu: Some(1400), ..kernel("172.168.1.0/24", "br-phy") });
    assert_eq!(r.lookup(ip("172.168.1.2"), 0, None).unwrap().mtu, Some(1400));
}

#[test]
fn a_vanished_device_takes_its_routes_along() {
    let mut r = guide();
    commands::add(&mut r, &["10.0.0.0/8", "br-phy", "172.168.1.9"]).unwrap();
    assert!(r.remove_device("br-phy"));
    assert_eq!(
        run(commands::show(&r, &[])),
        "Route Table:\nCached: 127.0.0.1/32 dev lo SRC 127.0.0.1 local\n",
        "the user's route has no source address and hides"
    );
    r.add_address("br-phy", "172.168.1.1/24".parse().unwrap());
    assert!(r.lookup(ip("10.1.1.1"), 0, None).is_some(), "and is back with the device");
}
