//! Loops, dead ends, and what is forbidden.

use pipeline::{Bridge, BridgeId, FailMode, PortConfig, PortSpec, SnapshotBuilder};

use super::world::*;
use crate::Use;

const A: &str = "50:54:00:00:00:01";
const B: &str = "50:54:00:00:00:02";

#[test]
fn patch_wires_lead_into_the_other_bridge() {
    let mut w = World::new(snapshot(vec![
        ("br0", vec![device(1, 1), patch("p0", 2, "q0")]),
        ("br1", vec![patch("q0", 1, "p0"), device(2, 2), device(3, 3)]),
    ]));
    let t = w.receive(&ping(1, A, B));
    assert_eq!((text(&t.actions).as_str(), looked_at(&t.mask).as_str()), ("2,3", NORMAL));
    let wires: Vec<_> = t
        .uses
        .iter()
        .filter_map(|u| match u {
            Use::Tx(at) => Some(("tx", at.bridge.0, at.port.0)),
            Use::Rx(at) => Some(("rx", at.bridge.0, at.port.0)),
            _ => None,
        })
        .collect();
    assert_eq!(wires, [("tx", 0, 2), ("rx", 1, 1)]);
    assert_eq!(text(&w.ask(&ping(2, B, A)).actions), "1", "learned across the wire");
    let bridges = t.trace.to_string().matches("bridge(\"br").count();
    assert_eq!(bridges, 2, "{}", t.trace);
}

#[test]
fn a_patch_port_without_peer_is_a_dead_end() {
    let w = World::new(snapshot(vec![("br0", vec![device(1, 1), patch("p0", 2, "gone")])]));
    assert_eq!(text(&w.ask(&ping(1, A, B)).actions), "drop(BridgeNotFound)");
}

/// What failed is credited to nobody; but when the rules change that it met it may be otherwise.
fn is_a_table(used: &Use) -> bool {
    matches!(used, Use::Table(..))
}

#[test]
fn a_loop_of_wires_ends_in_a_drop() {
    let wires = |from: char, to: char| {
        (0..8).map(move |i| patch(&format!("{from}{i}"), 10 + i, &format!("{to}{i}")))
    };
    let mut a: Vec<PortSpec> = wires('a', 'b').collect();
    a.push(device(1, 1));
    let w = World::new(snapshot(vec![("br0", a), ("br1", wires('b', 'a').collect())]));
    let t = w.ask(&ping(1, A, B));
    assert_eq!(text(&t.actions), "drop(RecursionTooDeep)");
    assert!(t.effects.is_empty() && t.uses.iter().all(is_a_table));
}

/// A tunnel that hangs on its own underlay wraps its packets for ever.
#[test]
fn a_tunnel_in_itself_ends_in_a_drop() {
    let mut w = World::new(snapshot(vec![(
        "br0",
        vec![
            local("br0", 100, "aa:55:aa:55:00:01"),
            device(1, 1),
            vxlan(2, &[("remote_ip", "10.0.0.2")]),
            vxlan(3, &[("remote_ip", "10.0.0.3")]),
        ],
    )]));
    w.routes.add_address("br0", "10.0.0.1/24".parse().unwrap());
    tunnel::route::commands::add(&mut w.routes, &["10.0.0.0/24", "br0"]).unwrap();
    for host in ["10.0.0.2", "10.0.0.3"] {
        w.neighbours.set(&"br0".into(), host.parse().unwrap(), mac(B), w.now);
    }
    assert_eq!(text(&w.ask(&ping(1, A, B)).actions), "drop(RecursionTooDeep)");
}

#[test]
fn too_many_outputs_end_in_a_drop() {
    let ports = (1..=10_000).map(|i| device(i, u32::from(i))).collect();
    let w = World::new(snapshot(vec![("br0", ports)]));
    assert_eq!(text(&w.ask(&ping(1, A, B)).actions), "drop(RecursionTooDeep)");
}

#[test]
fn a_secure_bridge_without_rules_forwards_nothing_and_looks_at_nothing() {
    let mut b = SnapshotBuilder::new(base::Version(1), "dummy@ovs-dummy");
    let mut bridge = Bridge::new(BridgeId(0), "br0");
    bridge.fail_mode = FailMode::Secure;
    b.bridge(bridge).unwrap();
    b.port(BridgeId(0), device(1, 1)).unwrap();
    b.port(BridgeId(0), device(2, 2)).unwrap();
    let t = World::new(b.build()).ask(&ping(1, A, B));
    assert_eq!((text(&t.actions).as_str(), looked_at(&t.mask).as_str()), ("drop(Pipeline)", ""));
    assert!(t.effects.is_empty());
    assert_eq!((t.mask.0.in_port, t.mask.0.eth_type, t.mask.0.ip_frag), (u32::MAX, u16::MAX, 0xff));
}

#[test]
fn an_unknown_port_is_a_drop() {
    let t = World::new(snapshot(vec![("br0", vec![])])).ask(&ping(7, A, B));
    assert_eq!(text(&t.actions), "drop(UnknownPort)");
}

#[test]
fn ports_obey_what_is_forbidden() {
    let with = |config: PortConfig| PortSpec { config, ..device(3, 3) };
    let flooded = |config| {
        let w = World::new(snapshot(vec![("br0", vec![device(1, 1), device(2, 2), with(config)])]));
        (text(&w.ask(&ping(1, A, B)).actions), text(&w.ask(&ping(3, A, B)).actions))
    };
    let config = PortConfig::default();
    let is = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(flooded(config), is("2,3", "1,2"));
    assert_eq!(flooded(PortConfig { no_flood: true, ..config }), is("2", "1,2"));
    assert_eq!(flooded(PortConfig { no_forward: true, ..config }), is("2", "1,2"));
    assert_eq!(flooded(PortConfig { no_receive: true, ..config }), is("2,3", "drop(PortDisabled)"));
}

#[test]
fn protected_ports_do_not_meet() {
    let protected = |ofport, dp| PortSpec { protected: true, ..device(ofport, dp) };
    let ports = vec![protected(1, 1), protected(2, 2), device(3, 3)];
    let mut w = World::new(snapshot(vec![("br0", ports)]));
    assert_eq!(text(&w.receive(&ping(1, A, B)).actions), "3");
    assert_eq!(text(&w.ask(&ping(2, B, A)).actions), "drop(PortDisabled)");
    assert_eq!(text(&w.ask(&ping(3, B, A)).actions), "1");
}

#[test]
fn flood_vlans_never_learn() {
    let mut b = SnapshotBuilder::new(base::Version(1), "dummy@ovs-dummy");
    let mut bridge = Bridge::new(BridgeId(0), "br0");
    bridge.flood_vlans.insert(pipeline::Vid::new(7).unwrap());
    b.bridge(bridge).unwrap();
    (1..4).for_each(|i| b.port(BridgeId(0), device(i, u32::from(i))).unwrap());
    let mut w = World::new(b.build());
    let t = w.receive(&tagged(ping(1, A, B), 7, 0));
    assert!(t.effects.is_empty());
    assert_eq!(text(&w.ask(&tagged(ping(2, B, A), 7, 0)).actions), "1,3");
}

/// Behind a wire, too, the action set is done to the longer and to the shorter packets, and then no more; and whoever sent the
/// packet there goes on with it as it was.
#[test]
fn branches_behind_a_wire_end_with_the_action_set() {
    let br0 = vec![device(1, 1), device(3, 3), patch("a", 5, "b")];
    let br1 = vec![device(2, 2), patch("b", 6, "a")];
    let w = World::new(snapshot(vec![("br0", br0), ("br1", br1)]))
        .with_rules(0, &["in_port=1,priority=9,actions=5,3"])
        .with_rules(
            1,
            &[
                "priority=9,actions=write_actions(output:2),goto_table:1",
                "table=1,actions=check_pkt_larger(1500)->reg0[0],resubmit(,2)",
                "table=2,reg0=1,actions=push_vlan:0x8100",
            ],
        );
    let t = w.ask(&ping(1, A, B));
    let said = flow::text::ActionsText { actions: &t.actions, names: &flow::text::Numbers };
    assert_eq!(
        said.to_string(),
        "clone(check_pkt_len(size=1500,gt(push_vlan(vid=0,pcp=0),2),le(2))),3",
        "{}",
        t.trace
    );
}
