//! The kernel's changes as events. Needs root.

use std::net::IpAddr;
use std::os::fd::AsFd;

use netdev::rtnl::{Event, Interest, Monitor, Query, Route, RouteKind, RuleAction};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testbed::bed::Sharing;
use testbed::{Netns, Testbed};

struct Scene {
    _bed: Testbed,
    ns: Netns,
    monitor: Monitor,
    query: Query,
}

impl Scene {
    fn new() -> Self {
        let bed = Testbed::new(Sharing::Shared).unwrap();
        let ns = bed.netns("nl").unwrap();
        let open = || (Monitor::open(&Interest::ALL).unwrap(), Query::open().unwrap());
        let (monitor, query) = ns.enter(open).unwrap();
        Self { _bed: bed, ns, monitor, query }
    }

    /// Runs `ip` commands and returns what events came until one that `last` accepts.
    fn events(&mut self, commands: &[&str], last: impl Fn(&Event) -> bool) -> Vec<Event> {
        for command in commands {
            self.ns.ip(command).unwrap();
        }
        let mut events = Vec::new();
        let timeout = Timespec { tv_sec: 3, tv_nsec: 0 };
        while !events.iter().any(&last) {
            let ready =
                poll(&mut [PollFd::new(&self.monitor.as_fd(), PollFlags::IN)], Some(&timeout))
                    .unwrap();
            assert!(ready > 0, "not seen after {commands:?}: {events:#?}");
            events.extend(self.monitor.poll().unwrap());
        }
        events
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn links_come_change_and_go() {
    let mut s = Scene::new();
    let seen = s.events(
        &["link add va type veth peer name vb"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "va"),
    );
    let Some(Event::LinkChanged(va)) =
        seen.iter().find(|e| matches!(e, Event::LinkChanged(l) if l.name == "va"))
    else {
        panic!("{seen:#?}")
    };
    assert_eq!(
        (va.kind.as_deref(), va.mtu, va.ethernet, va.admin_up),
        (Some("veth"), 1500, true, false)
    );
    s.events(&["link set va mtu 1400"], |e| matches!(e, Event::LinkChanged(l) if l.mtu == 1400));
    s.events(
        &["link set va address 02:00:00:00:00:05"],
        |e| matches!(e, Event::LinkChanged(l) if l.mac == [2, 0, 0, 0, 0, 5]),
    );
    s.events(
        &["link set va up", "link set vb up"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "va" && l.admin_up && l.running),
    );
    s.events(
        &["link set vb down"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "va" && l.admin_up && !l.running),
    );
    let index = va.ifindex;
    s.events(
        &["link set va down", "link set va name vc"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "vc" && l.ifindex == index),
    );
    // Joining and leaving a bridge is a change of the link, and leaving is not its removal.
    s.events(
        &["link add br0 type bridge", "link set vc master br0"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "vc" && l.master.is_some()),
    );
    let left = s.events(
        &["link set vc nomaster"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "vc" && l.master.is_none()),
    );
    assert!(!left.iter().any(|e| matches!(e, Event::LinkRemoved(_))), "{left:#?}");
    s.monitor.poll().unwrap();
    let down = s.events(&["link del vc"], |e| matches!(e, Event::LinkRemoved(l) if l.name == "vc"));
    assert!(!down.contains(&Event::RoutesStale), "it was down before: {down:#?}");
    s.events(
        &["link set br0 up"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "br0" && l.admin_up),
    );
    s.events(&["link del br0"], |e| *e == Event::RoutesStale);
    assert!(s.query.links().unwrap().iter().all(|l| l.name != "vc"));
}

#[test]
fn an_offload_change_is_a_link_event() {
    let mut s = Scene::new();
    s.events(
        &["link add va type veth peer name vb"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "vb"),
    );
    s.monitor.poll().unwrap();
    s.ns.cmd(["ethtool", "-K", "va", "tso", "off"]).ok().unwrap();
    s.events(&[], |e| matches!(e, Event::LinkChanged(l) if l.name == "va"));
}

#[test]
fn addresses_and_their_routes() {
    let mut s = Scene::new();
    let up = [
        "link add va type veth peer name vb",
        "link set va up",
        "link set vb up",
        "addr add 10.1.0.1/24 dev va",
    ];
    let seen = s.events(
        &up,
        |e| matches!(e, Event::AddressAdded(a) if a.ip == ip("10.1.0.1") && a.prefix_len == 24),
    );
    let oif = seen.iter().find_map(|e| match e {
        Event::AddressAdded(a) if a.ip == ip("10.1.0.1") => Some(a.ifindex),
        _ => None,
    });
    s.events(&["route add 10.2.0.0/16 via 10.1.0.9 src 10.1.0.1 metric 50"], |e| match e {
        Event::RouteAdded { route, replaces: false } => {
            (route.dst, route.prefix_len, route.priority, route.table)
                == (ip("10.2.0.0"), 16, 50, 254)
                && (route.oif(), route.gateway(), route.prefsrc)
                    == (oif, Some(ip("10.1.0.9")), Some(ip("10.1.0.1")))
                && route.kind == RouteKind::Unicast
        }
        _ => false,
    });
    s.events(&["route replace 10.2.0.0/16 via 10.1.0.8 metric 50"], |e| {
        matches!(e, Event::RouteAdded { route, replaces: true } if route.gateway() == Some(ip("10.1.0.8")))
    });
    s.events(&["route add default via 10.1.0.9 table 4711"], |e| {
        matches!(e, Event::RouteAdded { route, .. } if route.table == 4711 && route.dst == ip("0.0.0.0") && route.prefix_len == 0)
    });
    s.events(&["route add fd01::/64 dev va"], |e| {
        matches!(e, Event::RouteAdded { route, .. } if route.dst == ip("fd01::") && route.gateway().is_none() && route.oif() == oif)
    });
    s.events(&["route add 10.3.0.0/16 nexthop via 10.1.0.7 weight 2 nexthop via 10.1.0.6"], |e| {
        matches!(e, Event::RouteAdded { route, .. } if route.hops.len() == 2 && route.hops[0].weight == 2)
    });
    s.events(
        &["route del 10.3.0.0/16"],
        |e| matches!(e, Event::RouteRemoved(r) if r.dst == ip("10.3.0.0")),
    );

    let find = |routes: &[Route], dst: &str| routes.iter().find(|r| r.dst == ip(dst)).cloned();
    let routes = s.query.routes().unwrap();
    let local = find(&routes, "10.1.0.1").unwrap();
    assert_eq!((local.table, local.kind, local.prefix_len), (255, RouteKind::Local, 32));
    assert!(routes.iter().any(|r| r.table == 4711));
    assert!(
        s.query
            .addresses()
            .unwrap()
            .iter()
            .any(|a| a.ip == ip("10.1.0.1") && Some(a.ifindex) == oif)
    );

    // The kernel does not tell which routes go with a link; the monitor tells that some may have.
    s.events(&["link set va down"], |e| *e == Event::RoutesStale);
    assert!(find(&s.query.routes().unwrap(), "10.2.0.0").is_none());
}

/// Next hops that are objects of their own, by which routes lead.
#[test]
fn routes_by_next_hops_follow_them() {
    let mut s = Scene::new();
    for line in [
        "link add va type veth peer name vb",
        "link set va up",
        "link set vb up",
        "addr add 10.1.0.1/24 dev va",
        "nexthop add id 1 via 10.1.0.2 dev va",
        "nexthop add id 2 via 10.1.0.3 dev va",
        "nexthop add id 10 group 1/2,3",
    ] {
        s.ns.ip(line).unwrap();
    }
    s.events(
        &["route add 10.9.0.0/16 nhid 10"],
        |e| matches!(e, Event::RouteAdded { route, .. } if route.dst == ip("10.9.0.0")),
    );
    let hops = |s: &mut Scene| -> Vec<Option<IpAddr>> {
        let routes = s.query.routes().unwrap();
        let route = routes.into_iter().find(|r| r.dst == ip("10.9.0.0"));
        route.map(|r| r.hops.iter().map(|hop| hop.gateway).collect()).unwrap_or_default()
    };
    assert_eq!(hops(&mut s), [Some(ip("10.1.0.2")), Some(ip("10.1.0.3"))]);
    s.events(&["nexthop replace id 10 group 2"], |e| *e == Event::RoutesStale);
    assert_eq!(hops(&mut s), [Some(ip("10.1.0.3"))]);
    s.events(&["nexthop del id 10"], |e| *e == Event::RoutesStale);
    assert_eq!(hops(&mut s), []);
}

#[test]
fn rules_and_neighbours() {
    let mut s = Scene::new();
    let rule = "rule add from 10.1.0.0/16 fwmark 0x10/0xff iif lo lookup 4711 priority 77";
    s.events(&[rule], |e| match e {
        Event::RuleAdded(r) => {
            (r.priority, r.action, r.src)
                == (77, RuleAction::Table(4711), Some((ip("10.1.0.0"), 16)))
                && (r.fwmark, r.iif.as_deref(), r.v6, r.opaque)
                    == (Some((0x10, 0xff)), Some("lo"), false, false)
        }
        _ => false,
    });
    assert!(s.query.rules().unwrap().iter().any(|r| r.priority == 77));
    s.events(
        &["rule add ipproto tcp lookup 5 priority 78"],
        |e| matches!(e, Event::RuleAdded(r) if r.opaque),
    );
    s.events(&["-6 rule add to fd01::/64 prohibit priority 79"], |e| {
        matches!(e, Event::RuleAdded(r) if r.v6 && r.dst == Some((ip("fd01::"), 64)) && r.action == RuleAction::Prohibit)
    });
    s.events(&["rule del priority 77"], |e| matches!(e, Event::RuleRemoved(r) if r.priority == 77));

    let neighbour = [
        "link add va type veth peer name vb",
        "link set va up",
        "neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev va nud permanent",
    ];
    let is_ours =
        |n: &netdev::rtnl::Neighbour| n.ip == ip("10.1.0.9") && n.mac == Some([2, 0, 0, 0, 0, 9]);
    s.events(
        &neighbour,
        |e| matches!(e, Event::NeighbourChanged(n) if is_ours(n) && n.usable && n.permanent),
    );
    assert!(s.query.neighbours().unwrap().iter().any(is_ours));
    s.events(
        &["neigh del 10.1.0.9 dev va"],
        |e| matches!(e, Event::NeighbourRemoved(n) if n.ip == ip("10.1.0.9")),
    );
}

#[test]
fn a_flood_of_changes_arrives_whole_or_says_that_it_did_not() {
    let mut s = Scene::new();
    s.events(
        &["link add va type veth peer name vb", "link set va up", "link set vb up"],
        |e| matches!(e, Event::LinkChanged(l) if l.name == "vb" && l.running),
    );
    // Twice as many changes as one call of poll reads, made by one process in one go.
    let batch: String = (0..2500)
        .map(|n| format!("route add 10.{}.{}.0/24 dev va\n", 100 + n / 250, n % 250))
        .collect();
    s.ns.cmd(["ip", "-batch", "-"]).stdin(batch).ok().unwrap();
    let mut routes = 0;
    let mut overrun = false;
    for _ in 0..10 {
        for event in s.monitor.poll().unwrap() {
            routes += u32::from(matches!(event, Event::RouteAdded { .. }));
            overrun |= event == Event::Overrun;
        }
    }
    assert!(overrun || routes >= 2500, "{routes} events");
    assert!(s.query.routes().unwrap().len() >= 2500);
}
