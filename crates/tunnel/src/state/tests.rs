use super::*;
use crate::endpoint::Kind;
use crate::neighbour::{Asker, Evidence, Observed};
use crate::route::{Route, Target};

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn bridge_of(dev: &str) -> Option<Arc<str>> {
    (dev == "br-phy").then(|| dev.into())
}

fn route(dst: &str, dev: &str) -> Route {
    Route::new(dst.parse().unwrap(), Target::way(dev, None))
}

#[test]
fn a_tunnels_life() {
    let e = Endpoint::new("vx", Kind::Vxlan, Remote::Address(ip("172.31.1.2")));
    let (mut routes, mut neighbours) = (Routes::default(), Neighbours::default());
    let reason =
        |r: &Routes, n: &Neighbours, ms| Reason::of(&e, r, n, bridge_of, at(ms)).to_string();
    assert_eq!(reason(&routes, &neighbours, 0), "no route to 172.31.1.2");

    routes.add_address("eth0", "172.31.0.9/16".parse().unwrap());
    routes.add(route("172.31.0.0/16", "eth0"));
    assert_eq!(
        reason(&routes, &neighbours, 0),
        "route to 172.31.1.2 leads through eth0, which is not a bridge of this switch"
    );
    routes.remove_device("eth0");

    routes.add_address("br-phy", "172.31.1.1/24".parse().unwrap());
    routes.add(route("172.31.1.0/24", "br-phy"));
    assert_eq!(reason(&routes, &neighbours, 0), "idle, route through br-phy");

    let asker = Asker { ip: ip("172.31.1.1"), mac: [2; 6] };
    neighbours.want(&"br-phy".into(), ip("172.31.1.2"), asker, at(0));
    neighbours.poll(at(0));
    assert_eq!(reason(&routes, &neighbours, 0), "resolving 172.31.1.2 on br-phy");
    neighbours.poll(at(1000));
    neighbours.poll(at(2000));
    assert_eq!(reason(&routes, &neighbours, 3000), "no answer from 172.31.1.2 on br-phy");

    let seen = Observed {
        bridge: "br-phy".into(),
        ip: ip("172.31.1.2"),
        mac: [2, 0, 0, 0, 0, 2],
        evidence: Evidence::Reply,
    };
    neighbours.observe(&seen, at(4000));
    let up = Reason::of(&e, &routes, &neighbours, bridge_of, at(4000));
    assert_eq!(
        (up.word(), up.is_error(), up.egress().map(|d| &**d)),
        ("up", false, Some("br-phy"))
    );
}

#[test]
fn wrong_ends_are_named() {
    let mut routes = Routes::default();
    routes.add_address("br-phy", "172.31.1.1/24".parse().unwrap());
    routes.add(route("172.31.1.0/24", "br-phy"));
    let reason =
        |e: &Endpoint| Reason::of(e, &routes, &Neighbours::default(), bridge_of, at(0)).to_string();
    let mut e = Endpoint::new("vx", Kind::Vxlan, Remote::Address(ip("172.31.1.2")));
    e.local = Local::Address(ip("172.31.1.7"));
    assert_eq!(reason(&e), "local_ip 172.31.1.7 is not an address of this host");
    e.local = Local::Address(ip("172.31.1.1"));
    assert_eq!(reason(&e), "idle, route through br-phy");
    e.remote = Remote::Address(ip("172.31.1.1"));
    e.local = Local::Any;
    assert_eq!(reason(&e), "remote_ip 172.31.1.1 is an address of this host");
    e.remote = Remote::Flow;
    assert_eq!(reason(&e), "the remote end is chosen per flow");
}

#[test]
fn since_when_is_remembered_until_it_changes() {
    let mut states = TunnelStates::default();
    let name: Arc<str> = "vx".into();
    let no_route = || Reason::NoRoute { remote: ip("1.1.1.1") };
    assert!(states.update(&name, no_route(), at(1)));
    assert!(!states.update(&name, no_route(), at(2)));
    assert_eq!(states.get("vx").unwrap().since, at(1));
    assert!(states.update(&name, Reason::Idle { dev: "br-phy".into() }, at(3)));
    assert_eq!(states.get("vx").unwrap().since, at(3));
    states.retain(|_| false);
    assert!(states.get("vx").is_none());
}
