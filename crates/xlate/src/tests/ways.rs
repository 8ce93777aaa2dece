//! Several ways to a tunnel's other end.

use std::collections::BTreeSet;
use std::net::IpAddr;

use flow::{Action, FlowKey};
use pipeline::PortSpec;
use tunnel::Route;
use tunnel::route::{Hop, Target};

use super::world::*;
use crate::{Effect, Translation};

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:02";
const P1: u32 = 3;
const LINKS: [u32; 2] = [5, 6];
const REMOTE: &str = "10.99.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host with two underlay bridges, by either of which a router leads to the remote host. `down`: links that are.
fn host(down: &[u32]) -> World {
    let link = |dp: u32| PortSpec { is_down: down.contains(&dp), ..device(1, dp) };
    let int = vec![
        local("br-int", 1, "aa:55:aa:55:00:01"),
        device(1, P1),
        vxlan(3, &[("remote_ip", REMOTE)]),
    ];
    let phy = |name, dp, mac| vec![local(name, dp, mac), link(LINKS[(dp - 20) as usize])];
    let mut w = World::new(snapshot(vec![
        ("br-int", int),
        ("br-a", phy("br-a", 20, "aa:55:aa:55:00:0a")),
        ("br-b", phy("br-b", 21, "aa:55:aa:55:00:0b")),
    ]));
    w.routes.add_address("br-a", "10.1.0.1/24".parse().unwrap());
    w.routes.add_address("br-b", "10.2.0.1/24".parse().unwrap());
    let hops = [("br-a", "10.1.0.254"), ("br-b", "10.2.0.254")];
    let hops = hops.map(|(dev, gateway)| Hop::new(dev, Some(ip(gateway)))).to_vec();
    w.routes.add(Route::new("10.99.0.0/16".parse().unwrap(), Target::of(hops).unwrap()));
    w
}

fn know(w: &mut World, bridge: &str, gateway: &str) {
    let now = w.now;
    w.neighbours.set(&bridge.into(), ip(gateway), mac("aa:bb:cc:00:00:01"), now);
}

fn know_both(w: &mut World) {
    know(w, "br-a", "10.1.0.254");
    know(w, "br-b", "10.2.0.254");
}

fn connection(port: u16) -> FlowKey {
    FlowKey { nw_proto: 6, tp_src: port, tp_dst: 80, ..ping(P1, A, B) }
}

/// The link that a translation sends to.
fn link(t: &Translation) -> Option<u32> {
    let mut stack: Vec<&Action> = t.actions.iter().collect();
    while let Some(action) = stack.pop() {
        match action {
            Action::Output(port) if LINKS.contains(&port.0) => return Some(port.0),
            Action::Clone(inner) => stack.extend(inner),
            _ => {}
        }
    }
    None
}

fn links(w: &World) -> Vec<Option<u32>> {
    (1000..1200).map(|port| link(&w.ask_quietly(&connection(port)))).collect()
}

#[test]
fn connections_are_spread_and_each_keeps_its_way() {
    let mut w = host(&[]);
    know_both(&mut w);
    let chosen = links(&w);
    let by_first = chosen.iter().filter(|link| **link == Some(LINKS[0])).count();
    let by_second = chosen.iter().filter(|link| **link == Some(LINKS[1])).count();
    assert_eq!(by_first + by_second, 200);
    assert!((60..140).contains(&by_first), "{by_first}");
    assert_eq!(links(&w), chosen);
    let looked = looked_at(&w.ask(&connection(1000)).mask);
    for field in ["nw_src", "nw_dst", "nw_proto", "tp_src", "tp_dst"] {
        assert!(looked.split(' ').any(|f| f == field), "{field} of {looked}");
    }
}

#[test]
fn with_one_way_nothing_more_is_looked_at() {
    let mut w = host(&[LINKS[0]]);
    know_both(&mut w);
    let chosen: BTreeSet<_> = links(&w).into_iter().collect();
    assert_eq!(chosen, BTreeSet::from([Some(LINKS[1])]), "the link that is left");
    let looked = looked_at(&w.ask(&connection(1000)).mask);
    assert!(!looked.contains("tp_src"), "{looked}");
}

#[test]
fn nobody_waits_for_a_router_that_is_not_known_while_another_is() {
    let mut w = host(&[]);
    know(&mut w, "br-b", "10.2.0.254");
    let chosen: BTreeSet<_> = links(&w).into_iter().collect();
    assert_eq!(chosen, BTreeSet::from([Some(LINKS[1])]));
    let asked = |port| {
        let t = w.ask(&connection(port));
        t.effects.iter().any(|effect| {
            matches!(effect, Effect::Resolve(r) if r.wait.is_none() && r.ip == ip("10.1.0.254"))
        })
    };
    let asking = (1000..1200).filter(|port| asked(*port)).count();
    assert!((60..140).contains(&asking), "those that it is the way of ask for it: {asking}");
}
