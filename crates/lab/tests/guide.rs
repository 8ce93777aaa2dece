//! The guide's two hosts in one process: VMs talk over VXLAN, the first packet included.

use std::time::Duration;

use lab::frames::bytes;
use lab::topology::vm_frame;
use lab::{Host, Lab, Link, bridge, dummy, patch};
use packet::Packet;

fn frame(from: usize, to: Option<usize>, n: u8) -> Packet {
    vm_frame(from as u8 + 1, to.map(|i| i as u8 + 1), n)
}

fn guide(link: Link) -> (Lab, [Host; 2]) {
    lab::topology::guide(link, &[])
}

#[test]
fn the_first_packet_arrives_and_so_does_the_answer() {
    let (mut lab, [a, b]) = guide(Link::default());
    lab.send((a, "vm1"), frame(0, None, 1));
    assert_eq!(bytes(&lab.received((b, "vm1"))), bytes(&[frame(0, None, 1)]));
    lab.send((b, "vm1"), frame(1, Some(0), 2));
    assert_eq!(bytes(&lab.received((a, "vm1"))), bytes(&[frame(1, Some(0), 2)]));
    // From now on by cached flows.
    for n in 0..10 {
        lab.send((a, "vm1"), frame(0, Some(1), n));
    }
    let expected: Vec<_> = (0..10).map(|n| frame(0, Some(1), n)).collect();
    assert_eq!(bytes(&lab.received((b, "vm1"))), bytes(&expected));
    assert_eq!(lab.drops(a), Default::default());
    assert_eq!(lab.drops(b), Default::default());
}

#[test]
fn packets_wait_for_the_neighbour_in_order_and_none_is_lost() {
    let (mut lab, [a, b]) = guide(Link { latency: Duration::from_millis(20), lose_every: 0 });
    for n in 0..5 {
        lab.send((a, "vm1"), frame(0, None, n));
    }
    assert_eq!(lab.received((b, "vm1")).len(), 0);
    lab.warp(Duration::from_millis(100), Duration::from_millis(5));
    let expected: Vec<_> = (0..5).map(|n| frame(0, None, n)).collect();
    assert_eq!(bytes(&lab.received((b, "vm1"))), bytes(&expected));
    assert_eq!(lab.drops(a), Default::default());
}

#[test]
fn a_dead_neighbour_costs_named_drops_and_nothing_grows() {
    let (mut lab, [a, _]) = guide(Link { latency: Duration::ZERO, lose_every: 1 });
    for n in 0..100 {
        lab.send((a, "vm1"), frame(0, None, n));
    }
    lab.warp(Duration::from_secs(5), Duration::from_millis(250));
    let drops = lab.drops(a);
    assert_eq!(drops.keys().collect::<Vec<_>>(), ["drop_action_tunnel_neigh_cache_miss"]);
    assert_eq!(drops.values().sum::<u64>(), 100);
}

#[test]
fn patch_ports_join_bridges() {
    let mut lab = Lab::new();
    let host = lab.host();
    let one = bridge("br0", &[("p1", dummy()), ("to1", patch("to0"))]);
    let two = bridge("br1", &[("p2", dummy()), ("to0", patch("to1"))]);
    lab.configure(host, [one, two]);
    lab.send((host, "p1"), frame(0, None, 7));
    assert_eq!(bytes(&lab.received((host, "p2"))), bytes(&[frame(0, None, 7)]));
    lab.send((host, "p2"), frame(1, Some(0), 8));
    assert_eq!(bytes(&lab.received((host, "p1"))), bytes(&[frame(1, Some(0), 8)]));
    lab.warp(Duration::from_secs(12), Duration::from_secs(1));
    for (_, plane) in lab.switch(host).planes() {
        assert_eq!(plane.datapath.flow_count(), 0, "idle flows are removed");
    }
}
