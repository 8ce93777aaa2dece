//! What events of the kernel come to.

use std::net::IpAddr;

use netdev::rtnl::RouteKind;

use super::*;

fn link(ifindex: u32, name: &str) -> rtnl::Link {
    rtnl::Link { ifindex, name: name.to_owned(), ..rtnl::Link::default() }
}

fn changed(ifindex: u32, name: &str) -> Event {
    Event::LinkChanged(link(ifindex, name))
}

fn removed(ifindex: u32, name: &str) -> Event {
    Event::LinkRemoved(link(ifindex, name))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(ifindex: u32, text: &str, prefix_len: u8) -> rtnl::Address {
    rtnl::Address { ifindex, ip: ip(text), prefix_len }
}

fn route(oif: u32, dst: &str, prefix_len: u8) -> rtnl::Route {
    rtnl::Route {
        dst: ip(dst),
        prefix_len,
        table: 254,
        priority: 0,
        tos: 0,
        kind: RouteKind::Unicast,
        hops: vec![rtnl::NextHop { oif, gateway: None, weight: 1 }],
        prefsrc: None,
        mtu: None,
    }
}

/// A follower that knows `eth0` (1) and `eth1` (2).
fn follower() -> Follower {
    let mut f = Follower::default();
    f.all(Dump { links: vec![link(1, "eth0"), link(2, "eth1")], ..Dump::default() });
    f
}

fn no_dump() -> io::Result<Dump> {
    panic!("nothing was lost")
}

fn hear(f: &mut Follower, events: impl IntoIterator<Item = Event>) -> News {
    f.hear(events.into_iter().collect(), no_dump).unwrap()
}

/// News in short: came, gone, and changes of routes.
fn text(news: &News) -> String {
    let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    let devs = |r: &Route| {
        let devs: Vec<_> = r.target.hops().iter().map(|hop| &*hop.dev).collect();
        format!("{} dev {}", r.dst, devs.join(" "))
    };
    let routes: Vec<_> = news
        .routes
        .iter()
        .filter_map(|change| {
            Some(match change {
                RouteChange::Link(..) => return None,
                RouteChange::Rules(rules) if rules.is_empty() => return None,
                RouteChange::Rules(rules) => format!("{} rules", rules.len()),
                RouteChange::Add(r) => format!("add {}", devs(r)),
                RouteChange::Remove(r) => format!("remove {}", devs(r)),
                RouteChange::AddAddress(dev, prefix) => format!("address {prefix} dev {dev}"),
                RouteChange::RemoveAddress(dev, prefix) => format!("no address {prefix} dev {dev}"),
                RouteChange::RemoveDevice(dev) => format!("no {dev}"),
                RouteChange::Clear => "clear".to_owned(),
            })
        })
        .collect();
    format!("+[{}] -[{}] {}", names(&news.came), names(&news.gone), routes.join(", "))
}

#[test]
fn addresses_and_routes_get_their_device_s_name() {
    let mut f = follower();
    let events = [
        Event::AddressAdded(address(1, "10.0.0.1", 24)),
        Event::RouteAdded { route: route(2, "10.1.0.0", 16), replaces: false },
        Event::RouteRemoved(route(2, "10.1.0.0", 16)),
        Event::AddressRemoved(address(1, "10.0.0.1", 24)),
        // Of a link that nobody has heard of.
        Event::AddressAdded(address(9, "10.0.0.9", 24)),
        Event::RouteAdded { route: route(9, "10.9.0.0", 16), replaces: false },
    ];
    let expected = "+[] -[] address 10.0.0.1/24 dev eth0, add 10.1.0.0/16 dev eth1, \
                    remove 10.1.0.0/16 dev eth1, no address 10.0.0.1/24 dev eth0";
    assert_eq!(text(&hear(&mut f, events)), expected);
}

#[test]
fn routes_that_make_no_sense_are_none() {
    let mut f = follower();
    let without = rtnl::Route { hops: vec![], ..route(1, "10.1.0.0", 16) };
    let wrong = rtnl::Route { prefix_len: 33, ..route(1, "10.1.0.0", 16) };
    let events = [without, wrong].map(|route| Event::RouteAdded { route, replaces: false });
    assert_eq!(text(&hear(&mut f, events)), "+[] -[] ");
}

/// A hole in a route is a hole: what is behind a shorter prefix is not asked.
#[test]
fn routes_that_lead_nowhere_hide_others() {
    let (mut routes, mut f) = (Routes::default(), follower());
    let black =
        rtnl::Route { kind: RouteKind::Blackhole, hops: vec![], ..route(0, "10.1.0.0", 16) };
    let throw = rtnl::Route { kind: RouteKind::Throw, hops: vec![], ..route(0, "10.2.0.0", 16) };
    let mut events = vec![Event::AddressAdded(address(1, "10.0.0.1", 8))];
    events.extend(
        [route(1, "10.0.0.0", 8), black, throw]
            .map(|route| Event::RouteAdded { route, replaces: false }),
    );
    let news = hear(&mut f, events);
    news.routes.iter().for_each(|change| change_routes(&mut routes, change));
    let reaches = |dst: &str| routes.lookup(ip(dst), 0, None).is_some();
    assert_eq!(["10.3.0.1", "10.1.0.1", "10.2.0.1"].map(reaches), [true, false, false]);
}

#[test]
fn rules_are_told_with_what_can_be_honoured_of_them() {
    let rule = |priority, iif: Option<&str>, opaque, action| rtnl::Rule {
        v6: false,
        priority,
        src: None,
        dst: None,
        fwmark: None,
        iif: iif.map(str::to_owned),
        oif: None,
        tos: 0,
        invert: false,
        opaque,
        l3mdev: false,
        suppress_prefix_len: None,
        action,
    };
    use rtnl::RuleAction::{Prohibit, Table};
    let told = convert::rules(&[
        rule(0, None, false, Table(255)),
        rule(7, Some("lo"), false, Table(100)),
        rule(8, Some("eth0"), false, Table(100)),
        rule(9, None, true, Table(100)),
        rule(10, None, false, Prohibit),
    ]);
    let texts: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "Cached: 0: from all lookup local",
            "Cached: 7: from all lookup 100",
            "Cached: 8: from all lookup 100 (not used: for packets of other devices)",
            "Cached: 9: from all lookup 100 (not used: has conditions that a tunnel cannot answer, such as ports or users)",
            "Cached: 10: from all unreachable",
        ]
    );
}

#[test]
fn links_come_and_go() {
    let mut f = follower();
    assert_eq!(text(&hear(&mut f, [changed(3, "tap0")])), "+[tap0] -[] ");
    assert_eq!(text(&hear(&mut f, [removed(3, "tap0")])), "+[] -[tap0] no tap0");
    assert_eq!(
        text(&hear(&mut f, [changed(3, "tap0"), removed(3, "tap0")])),
        "+[] -[tap0] no tap0"
    );
    let events = [Event::AddressAdded(address(3, "10.0.0.1", 8))];
    assert_eq!(text(&hear(&mut f, events)), "+[] -[] ", "it is gone");
}

/// A device that was deleted and made again between two looks is another one, with the old one's name: whoever holds the old
/// one holds nothing.
#[test]
fn a_link_that_flaps_is_another_link() {
    let mut f = follower();
    let news = hear(&mut f, [removed(2, "eth1"), changed(7, "eth1")]);
    assert_eq!(text(&news), "+[eth1] -[eth1] no eth1");
    let events = (10..20).flat_map(|n| [changed(n, "tap0"), removed(n, "tap0")]);
    let news = hear(&mut f, events.chain([changed(20, "tap0")]));
    assert_eq!((news.came.contains("tap0"), news.gone.contains("tap0")), (true, true));
    let routed = hear(&mut f, [Event::AddressAdded(address(20, "10.0.0.1", 8))]);
    assert_eq!(text(&routed), "+[] -[] address 10.0.0.1/8 dev tap0");
}

/// The kernel does not tell again what a renamed link has: everything is asked for.
#[test]
fn a_renamed_link_takes_its_addresses_along() {
    let mut f = follower();
    let dump = || {
        Ok(Dump {
            links: vec![link(1, "uplink"), link(2, "eth1")],
            addresses: vec![address(1, "10.0.0.1", 24)],
            routes: vec![route(1, "10.0.0.0", 24)],
            rules: vec![],
        })
    };
    let news = f.hear(vec![changed(1, "uplink")], dump).unwrap();
    let expected =
        "+[eth1 uplink] -[eth0] clear, address 10.0.0.1/24 dev uplink, add 10.0.0.0/24 dev uplink";
    assert_eq!(text(&news), expected);
    // Two links that change names.
    let swap = [changed(1, "x"), changed(2, "uplink"), changed(1, "eth1")];
    let dump = || Ok(Dump { links: vec![link(1, "eth1"), link(2, "uplink")], ..Dump::default() });
    let news = f.hear(swap.to_vec(), dump).unwrap();
    assert_eq!(text(&news), "+[eth1 uplink] -[eth1 uplink x] clear");
}

#[test]
fn after_lost_events_everything_is_asked_for_and_nothing_forgotten() {
    let mut f = follower();
    // eth1 went, and came again with another number, and so did eth0 while nobody could hear.
    let events = [removed(2, "eth1"), Event::Overrun, changed(7, "eth1")];
    let dump = || {
        Ok(Dump {
            links: vec![link(7, "eth1"), link(8, "eth0"), link(9, "new")],
            addresses: vec![address(7, "10.0.0.1", 24)],
            routes: vec![],
            rules: vec![],
        })
    };
    let news = f.hear(events.to_vec(), dump).unwrap();
    assert_eq!(text(&news), "+[eth0 eth1 new] -[eth0 eth1] clear, address 10.0.0.1/24 dev eth1");
    assert_eq!(text(&hear(&mut f, [])), "+[] -[] ", "once");
    // What is as it was is not gone.
    let same = || {
        Ok(Dump {
            links: vec![link(7, "eth1"), link(8, "eth0"), link(9, "new")],
            ..Dump::default()
        })
    };
    let news = f.hear(vec![Event::RoutesStale], same).unwrap();
    assert_eq!(text(&news), "+[eth0 eth1 new] -[] clear");
}

#[test]
fn if_asking_fails_it_is_asked_again() {
    let mut f = follower();
    let fails = || Err(io::Error::other("no memory"));
    assert!(f.hear(vec![removed(2, "eth1"), Event::Overrun], fails).is_err());
    let dump = || Ok(Dump { links: vec![link(1, "eth0"), link(7, "eth1")], ..Dump::default() });
    let news = f.hear(vec![], dump).unwrap();
    assert_eq!(text(&news), "+[eth0 eth1] -[eth1] clear");
    assert_eq!(text(&hear(&mut f, [])), "+[] -[] ");
}

#[test]
fn changes_are_carried_out() {
    let mut routes = Routes::default();
    let mut f = follower();
    let mut play = |events: Vec<Event>| {
        let news = f.hear(events, no_dump).unwrap();
        news.routes.iter().for_each(|change| change_routes(&mut routes, change));
        routes.lookup(ip("10.1.2.3"), 0, None).map(|hop| (hop.dev.to_string(), hop.src.to_string()))
    };
    let to = |dev: &str, src: &str| Some((dev.to_owned(), src.to_owned()));
    let add = |oif| Event::RouteAdded { route: route(oif, "10.1.0.0", 16), replaces: false };
    assert_eq!(
        play(vec![Event::AddressAdded(address(1, "10.1.0.1", 16)), add(1)]),
        to("eth0", "10.1.0.1")
    );
    assert_eq!(play(vec![Event::RouteRemoved(route(1, "10.1.0.0", 16))]), None);
    assert_eq!(play(vec![add(1)]), to("eth0", "10.1.0.1"));
    assert_eq!(play(vec![removed(1, "eth0")]), None);
}
