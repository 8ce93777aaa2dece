//! A flow that was translated before something changed is right after it.

use std::net::Ipv4Addr;
use std::time::Duration;

use flow::{Action, DpPort, DropCause};
use openflow::message::flow_mod::Command;
use packet::wire::arp::ArpFrame;
use pipeline::FailMode;
use tunnel::route::Target;

use super::world::*;

/// Three devices on a bridge; stations 1 and 2 behind 1 and 2 know each other, and have flows.
fn acquainted() -> (World, Net) {
    let mut w = World::new(4);
    let br = net(1, "br0", vec![device(1), device(2), device(3)]);
    w.publish(std::slice::from_ref(&br));
    w.assert_goes(1, frame(1, 2), &[2, 3], "nobody is known yet");
    w.assert_goes(2, frame(2, 1), &[1], "1 is known");
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[2], "2 is known by now");
    (w, br)
}

#[test]
fn a_station_moves() {
    let (w, _) = acquainted();
    let before = w.slow.list();
    w.clock.warp(Duration::from_millis(1));
    w.assert_goes(3, frame(1, 2), &[2], "1 speaks at 3");
    w.revalidate();
    assert_eq!(w.actions_from(2), [[Action::Output(DpPort(3))]], "the flow from 2 is corrected");
    w.assert_goes(2, frame(2, 1), &[3], "1 is at 3");
    let same = w
        .slow
        .list()
        .into_iter()
        .filter(|new| before.iter().any(|old| old.flow.ufid() == new.flow.ufid()));
    assert_eq!(same.count(), 2, "in place: it keeps its statistics");
    w.assert_consistent();
}

/// Between two access points, say, and back before its flows are gone.
#[test]
fn a_station_moves_back() {
    let (w, _) = acquainted();
    for (at, from) in [(3, 0), (1, 1), (3, 2), (1, 3)] {
        w.clock.warp(Duration::from_millis(100));
        w.assert_goes(at, frame(1, 2), &[2], "2 is where it was");
        w.revalidate();
        w.assert_goes(2, frame(2, 1), &[at], &format!("move {from}: 1 is at {at}"));
    }
    w.assert_consistent();
}

/// What the statistics of its old flow tell late does not bring it back.
#[test]
fn a_station_that_moved_is_not_where_its_old_flow_says() {
    let (w, _) = acquainted();
    w.slow.pause(true);
    w.send(1, &[frame(1, 2), frame(1, 2)]); // counted, and not yet looked at
    w.send(3, &[frame(1, 2)]); // in the same moment
    w.slow.pause(false);
    w.revalidate();
    w.assert_goes(2, frame(2, 1), &[3], "1 is at 3");
}

#[test]
fn a_port_s_vlan_changes() {
    let (mut w, mut br) = acquainted();
    br.ports[1] = access(2, 10);
    w.publish(std::slice::from_ref(&br));
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[3], "2 is in another VLAN");
    let tagged = w.actions_from(2);
    assert!(matches!(tagged[..], [] | [_]), "{tagged:?}");
    br.ports[0] = access(1, 10);
    w.publish(&[br]);
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[2, 3], "in the same VLAN again; 3 is a trunk");
    w.assert_consistent();
}

#[test]
fn a_bridge_loses_its_rules_and_gets_others() {
    let (mut w, mut br) = acquainted();
    // The mode alone changes no rule: it may be a controller's.
    br.fail_mode = FailMode::Secure;
    w.publish(&[br]);
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[2], "secure, with the rule that it had");
    w.change(Command::Delete, "");
    w.revalidate();
    assert!(
        w.slow.list().iter().all(|l| l.flow.actions()[..] == [Action::Drop(DropCause::Pipeline)])
    );
    w.assert_goes(1, frame(1, 2), &[], "no rule is left");
    w.change(Command::Add, "actions=NORMAL");
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[2], "2 is not forgotten");
    w.assert_consistent();
}

#[test]
fn a_port_goes_and_another_takes_its_number() {
    let (mut w, br) = acquainted();
    let mut without = br.clone();
    without.ports.remove(1);
    w.publish(std::slice::from_ref(&without));
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[3], "2 is gone, and its station with it");
    let mut other = device(2);
    (other.name, other.kind) = ("another".into(), pipeline::PortSpecKind::Device(DpPort(4)));
    without.ports.push(other);
    w.publish(&[without]);
    w.revalidate();
    w.assert_goes(1, frame(1, 2), &[3, 4], "who was behind 2 is not behind the new 2");
    w.assert_consistent();
}

#[test]
fn a_patch_gets_another_peer() {
    let mut w = World::new(3);
    let nets = |a: &'static str, b: &'static str, c: &'static str| {
        vec![
            net(1, "br0", vec![device(1), patch("p0", 9, a)]),
            net(2, "br1", vec![device(2), patch("p1", 9, b)]),
            net(3, "br2", vec![device(3), patch("p2", 9, c)]),
        ]
    };
    w.publish(&nets("p1", "p0", "p0"));
    w.assert_goes(1, frame(1, 255), &[2], "to br1");
    w.publish(&nets("p2", "p0", "p0"));
    w.revalidate();
    w.assert_goes(1, frame(1, 255), &[3], "to br2");
    w.publish(&nets("p2", "p0", "other"));
    w.revalidate();
    w.assert_goes(1, frame(1, 255), &[], "nobody is at the other end");
    assert_eq!(w.drops(), [("drop_action_bridge_not_found".to_owned(), 1)]);
    w.assert_consistent();
}

/// The guide with everything known and a flow into the tunnel.
fn talking() -> World {
    let w = guide();
    w.send(1, &[frame(1, 255)]);
    w.peer_answers();
    w.revalidate();
    assert_eq!(w.wrapped().len(), 1);
    w
}

/// The headers around the next frame.
fn outer(w: &World) -> Vec<u8> {
    w.send(1, &[frame(1, 255)]);
    let mut wrapped = w.wrapped();
    assert_eq!(wrapped.len(), 1);
    wrapped.remove(0)
}

#[test]
fn a_tunnel_s_options_change() {
    let mut w = talking();
    let was = outer(&w);
    let options = [
        (("key", "0x010203"), 46, &[1, 2, 3][..]),
        (("ttl", "9"), 22, &[9]),
        (("tos", "0x20"), 15, &[0x20]),
        (("df_default", "false"), 20, &[0]),
    ];
    for (option, at, bytes) in options {
        w.publish(&guide_nets(&[option]));
        w.revalidate();
        assert_eq!(outer(&w)[at..at + bytes.len()], *bytes, "{option:?}");
        w.assert_consistent();
    }
    w.publish(&guide_nets(&[]));
    w.revalidate();
    assert_eq!(outer(&w), was);
    assert_eq!(w.drops(), []);
}

#[test]
fn a_route_changes() {
    let mut w = talking();
    // A second underlay, of devices 2 and 3.
    let mut nets = guide_nets(&[]);
    nets[0].ports.remove(1);
    nets.push(net(3, "br-two", vec![device(2), local("br-two", 3, [2, 0, 0, 0, 3, 1])]));
    w.publish(&nets);
    w.add_address("br-two", "10.0.0.1/8");
    w.revalidate();
    outer(&w);
    let peer = "172.168.1.2/32".parse().unwrap();
    let mut detour = route(peer, "br-two");
    detour.target = Target::way("br-two", Some(Ipv4Addr::new(10, 0, 0, 9).into()));
    let gateway = Ipv4Addr::new(10, 0, 0, 9);
    w.slow.with(|state, now| {
        state.routes.add(detour.clone());
        state.neighbours.set(&"br-two".into(), gateway.into(), [2, 0, 0, 0, 3, 9], now);
    });
    w.revalidate();
    w.sent(2);
    w.send(1, &[frame(1, 255)]);
    assert_eq!(w.wrapped(), [[]; 0], "not by the old way");
    let new = w.sent(2);
    assert_eq!(new[0][..6], [2, 0, 0, 0, 3, 9], "by the gateway");
    assert_eq!(new[0][26..30], [10, 0, 0, 1], "from the address of that way");
    w.slow.with(|state, _| state.routes.remove(&detour));
    w.revalidate();
    outer(&w);
    w.assert_consistent();
    // Without any route: a drop that says so.
    w.slow
        .with(|state, _| state.routes.remove(&route("172.168.1.0/24".parse().unwrap(), "br-phy")));
    w.revalidate();
    w.send(1, &[frame(1, 255)]);
    assert_eq!(w.wrapped(), [[]; 0]);
    assert_eq!(w.drops(), [("drop_action_tunnel_routing_failed".to_owned(), 1)]);
    w.revalidate();
    assert_eq!(w.slow.traffic(at(1, 3)).tx_dropped, 1);
}

#[test]
fn a_neighbour_changes_its_address() {
    let w = talking();
    assert_eq!(outer(&w)[..6], PEER_MAC);
    let new = [2, 0, 0, 0, 7, 7];
    w.clock.warp(Duration::from_millis(1));
    w.peer_says(ArpFrame::reply(new, PEER, OUR_MAC, OURS));
    w.revalidate();
    assert_eq!(outer(&w)[..6], new);
    w.assert_consistent();
}

/// Changes and packets at once, in no order that anybody knows; then all flows are right.
#[test]
fn changes_while_packets_are_translated_are_not_missed() {
    let mut w = World::new(4);
    let br = |vlan: u16, moved: bool| {
        let third = if moved { access(3, vlan) } else { device(3) };
        vec![net(1, "br0", vec![device(1), access(2, vlan), third, device(4)])]
    };
    w.publish(&br(10, false));
    let stop = std::sync::atomic::AtomicBool::new(false);
    for round in 0..40u16 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..40u8 {
                    let (from, to) = (n % 8 + 1, n % 5 + 1);
                    w.send(u32::from(n % 4 + 1), &[frame(from, to), frame(to, from)]);
                }
                stop.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            for n in 0..20u32 {
                w.slow.with(|state, now| {
                    let table = state.mac_table(pipeline::BridgeId(1));
                    table.learn(
                        0,
                        mac((n % 8 + 1) as u8),
                        pipeline::OfPort((n % 4 + 1) as u16),
                        now,
                    );
                });
            }
        });
        w.publish(&br(10 + round % 3, round % 2 == 0));
        w.revalidate();
        w.assert_consistent();
    }
}
