//! Networks of several switches: who hears whom, and what everything that is not sent on is counted as.
//!
//! A bridge without rules floods to all its ports but the one that a packet came in by, tunnels among them, as in Open vSwitch.
//! So three hosts with a tunnel from each to each make a loop: a broadcast goes round for ever. People either make a tree (hub
//! and spokes), or mark the tunnel ports `protected`, which keeps what came by one tunnel from leaving by another. Both are
//! tested here.

use std::time::Duration;

use lab::frames::{bytes, packet};
use lab::topology::{guide, overlay_host, segment, underlay_ip, vm_frame};
use lab::{Drops, End, Host, Lab, Link, bridge, dummy, patch, vxlan};
use vswitchd::desired::Port;

fn access(port: &mut Port, vlan: u16) {
    port.vlan = pipeline::VlanMode::from_columns(None, Some(vlan), &[]).expect("a VLAN");
}

/// What came out of each of these ports: the marks of [`vm_frame`]s.
fn marks<const N: usize>(lab: &mut Lab, ports: [End; N]) -> [Vec<u8>; N] {
    ports.map(|port| lab.received(port).iter().map(|p| p.bytes()[59]).collect())
}

fn assert_no_drops(lab: &Lab, hosts: &[Host]) {
    for host in hosts {
        assert_eq!(lab.drops(*host), Drops::new());
    }
}

#[test]
fn hub_and_spokes_hear_everything_once() {
    let mut lab = Lab::new();
    let spoke = |n| vec![("vm1", dummy()), ("vxlan0", vxlan("vxlan0", &underlay_ip(n), &[]))];
    let to = |name: &'static str, n| (name, vxlan(name, &underlay_ip(n), &[]));
    let hub = overlay_host(&mut lab, 1, &[("vm1", dummy()), to("vxlan2", 2), to("vxlan3", 3)]);
    let hosts = [hub, overlay_host(&mut lab, 2, &spoke(1)), overlay_host(&mut lab, 3, &spoke(1))];
    segment(&mut lab, &hosts);
    let vms = hosts.map(|h| (h, "vm1"));

    lab.send(vms[1], vm_frame(2, None, 1));
    assert_eq!(marks(&mut lab, vms), [vec![1], vec![], vec![1]]);
    // The answer goes the way that the question came, and nowhere else.
    lab.send(vms[2], vm_frame(3, Some(2), 2));
    assert_eq!(marks(&mut lab, vms), [vec![], vec![2], vec![]]);
    lab.send(vms[1], vm_frame(2, Some(3), 3));
    assert_eq!(marks(&mut lab, vms), [vec![], vec![], vec![3]]);
    assert_no_drops(&lab, &hosts);
}

#[test]
fn a_full_mesh_of_protected_tunnels_does_not_loop() {
    let mut lab = Lab::new();
    let hosts = [1, 2, 3].map(|n| {
        let peers = [1, 2, 3].into_iter().filter(|peer| *peer != n);
        let names = ["", "vxlan1", "vxlan2", "vxlan3"];
        let tunnels = peers
            .map(|p| (names[usize::from(p)], vxlan(names[usize::from(p)], &underlay_ip(p), &[])));
        let ports: Vec<_> = tunnels.chain([("vm1", dummy())]).collect();
        let host = overlay_host(&mut lab, n, &ports);
        for name in ports.iter().map(|(name, _)| *name).filter(|name| name.starts_with("vxlan")) {
            lab.change_port((host, name), |port| port.protected = true);
        }
        host
    });
    segment(&mut lab, &hosts);
    let vms = hosts.map(|h| (h, "vm1"));
    lab.send(vms[0], vm_frame(1, None, 1));
    assert_eq!(marks(&mut lab, vms), [vec![], vec![1], vec![1]]);
    lab.send(vms[1], vm_frame(2, None, 2));
    assert_eq!(marks(&mut lab, vms), [vec![2], vec![], vec![2]]);
    lab.send(vms[2], vm_frame(3, Some(1), 3));
    assert_eq!(marks(&mut lab, vms), [vec![3], vec![], vec![]]);
    assert_no_drops(&lab, &hosts);
}

#[test]
fn vlans_stay_apart_over_one_tunnel() {
    let mut lab = Lab::new();
    let hosts = [1, 2].map(|n| {
        let tunnel = vxlan("vxlan0", &underlay_ip(3 - n), &[]);
        let ports = [("red", dummy()), ("blue", dummy()), ("all", dummy()), ("vxlan0", tunnel)];
        let host = overlay_host(&mut lab, n, &ports);
        lab.change_port((host, "red"), |p| access(p, 10));
        lab.change_port((host, "blue"), |p| access(p, 20));
        host
    });
    lab.link((hosts[0], "eth1"), (hosts[1], "eth1"), Link::default());
    let ends = |h: Host| [(h, "red"), (h, "blue")];
    let [red, blue] = ends(hosts[0]);
    lab.send(red, vm_frame(1, None, 1));
    lab.send(blue, vm_frame(1, None, 2)); // the same station in another VLAN
    assert_eq!(marks(&mut lab, ends(hosts[1])), [vec![1], vec![2]]);
    assert_eq!(marks(&mut lab, ends(hosts[0])), [vec![], vec![]]);
    // On trunks the tag is there; unicast is known per VLAN.
    let tagged: Vec<_> =
        lab.received((hosts[1], "all")).iter().map(|p| p.bytes()[12..16].to_vec()).collect();
    assert_eq!(tagged, [[0x81, 0, 0, 10], [0x81, 0, 0, 20]]);
    lab.send((hosts[1], "blue"), vm_frame(2, Some(1), 3));
    assert_eq!(marks(&mut lab, ends(hosts[0])), [vec![], vec![3]]);
    assert_eq!(lab.received((hosts[0], "all")).len(), 2, "only the floods");
    assert_no_drops(&lab, &hosts);
    // A tagged frame is not for an access port.
    let before = lab.drops(hosts[0]);
    lab.send(red, packet("in_port(1),eth(src=02:00:00:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x8100),vlan(vid=20,pcp=0),encap(eth_type(0x88b5))"));
    lab.assert_drops(
        hosts[0],
        &before,
        &[("drop_action_vlan_not_allowed", 1)],
        "tagged on an access port",
    );
}

#[test]
fn networks_between_the_same_hosts_stay_apart() {
    let mut lab = Lab::new();
    let hosts = [1, 2].map(|n| {
        let host = overlay_host(
            &mut lab,
            n,
            &[("a", dummy()), ("va", vxlan("va", &underlay_ip(3 - n), &[("key", "1")]))],
        );
        lab.change(host, |bridges| {
            let other = bridge(
                "br-b",
                &[("b", dummy()), ("vb", vxlan("vb", &underlay_ip(3 - n), &[("key", "2")]))],
            );
            bridges.insert("br-b".into(), other);
        });
        host
    });
    lab.link((hosts[0], "eth1"), (hosts[1], "eth1"), Link::default());
    let ends = |h| [(h, "a"), (h, "b")];
    let [a, b] = ends(hosts[0]);
    lab.send(a, vm_frame(1, None, 1));
    assert_eq!(marks(&mut lab, ends(hosts[1])), [vec![1], vec![]]);
    lab.send(b, vm_frame(1, None, 2));
    assert_eq!(marks(&mut lab, ends(hosts[1])), [vec![], vec![2]]);
    lab.send((hosts[1], "b"), vm_frame(2, Some(1), 3));
    assert_eq!(marks(&mut lab, ends(hosts[0])), [vec![], vec![3]]);
    assert_no_drops(&lab, &hosts);
    // An option that changes takes the flows along: network 1 leads nowhere now.
    let before = lab.drops(hosts[1]);
    lab.change_port((hosts[0], "va"), |p| {
        p.interfaces[0].kind = vxlan("va", &underlay_ip(2), &[("key", "9")])
    });
    assert!(lab.plane(hosts[0]).slow.revalidate(Duration::from_secs(5)));
    lab.send(a, vm_frame(1, None, 4));
    assert_eq!(marks(&mut lab, ends(hosts[1])), [vec![], vec![]]);
    lab.assert_drops(hosts[1], &before, &[("drop_action_unknown_tunnel", 1)], "network 9");
}

#[test]
fn unknown_networks_cost_one_named_drop_a_packet_and_few_upcalls() {
    let (mut lab, [a, b]) = guide(Link::default(), &[("key", "flow"), ("in_key", "0")]);
    lab.send((a, "vm1"), vm_frame(1, None, 1));
    lab.send((b, "vm1"), vm_frame(2, Some(1), 2));
    let (ours, theirs) = (lab::topology::underlay_mac(1), lab::topology::underlay_mac(2));
    let ip = |n| underlay_ip(n).parse().expect("an address");
    let wrap =
        |vni| lab::frames::Wrap { vni, ..lab::frames::Wrap::new((theirs, ours), (ip(2), ip(1))) };
    let unknown = || {
        let frames = (1..=200).map(|vni| wrap(vni).wrap(vm_frame(2, Some(1), 9).bytes()));
        frames.map(|f| packet::Packet::from_frame(&f))
    };
    let (before, upcalls) = (lab.drops(a), lab.upcalls(a));
    // One after the other: how many of a flood come before the first is answered depends on who else wants the processor.
    unknown().for_each(|packet| lab.send((a, "eth1"), packet));
    lab.assert_drops(a, &before, &[("drop_action_unknown_tunnel", 200)], "first");
    let first = lab.upcalls(a) - upcalls;
    // The flows say only the bits that tell these networks from the one that there is; and one is the underlay's, if that is new.
    assert!((2..=10).contains(&first), "{first} upcalls");
    // The drop is a flow like any other: as long as it is used, it stays, and nobody is asked again.
    for _ in 0..20 {
        lab.warp(Duration::from_secs(1), Duration::from_secs(1));
        lab.send_all((a, "eth1"), unknown());
    }
    lab.assert_drops(a, &before, &[("drop_action_unknown_tunnel", 21 * 200)], "later");
    assert_eq!(lab.upcalls(a) - upcalls, first);
    lab.warp(Duration::from_secs(12), Duration::from_secs(1));
    assert_eq!(
        lab.plane(a).datapath.flow_count(),
        0,
        "an end of the flood is the end of its flows"
    );
    lab.received((a, "vm1"));
    lab.send((b, "vm1"), vm_frame(2, Some(1), 3));
    assert_eq!(marks(&mut lab, [(a, "vm1")]), [vec![3]]);
}

#[test]
fn patches_lead_to_tunnels() {
    let mut lab = Lab::new();
    let hosts = [1, 2].map(|n| {
        let host = overlay_host(&mut lab, n, &[("vm1", dummy()), ("to-tun", patch("to-int"))]);
        lab.change(host, |bridges| {
            let tunnel = vxlan("vxlan0", &underlay_ip(3 - n), &[]);
            bridges.insert(
                "br-tun".into(),
                bridge("br-tun", &[("to-int", patch("to-tun")), ("vxlan0", tunnel)]),
            );
        });
        host
    });
    lab.link((hosts[0], "eth1"), (hosts[1], "eth1"), Link::default());
    let vms = hosts.map(|h| (h, "vm1"));
    lab.send(vms[0], vm_frame(1, None, 1));
    lab.send(vms[1], vm_frame(2, Some(1), 2));
    lab.send(vms[0], vm_frame(1, Some(2), 3));
    assert_eq!(marks(&mut lab, vms), [vec![2], vec![1, 3]]);
    assert_no_drops(&lab, &hosts);
    // The wire is cut: what would go through it is dropped, under a name.
    let before = lab.drops(hosts[0]);
    lab.change_port((hosts[0], "to-int"), |p| p.interfaces[0].kind = patch("elsewhere"));
    assert!(lab.plane(hosts[0]).slow.revalidate(Duration::from_secs(5)));
    lab.send(vms[0], vm_frame(1, Some(2), 4));
    assert_eq!(marks(&mut lab, vms), [vec![], vec![]]);
    let dropped = [("drop_action_bridge_not_found", 1)];
    lab.assert_drops(hosts[0], &before, &dropped, "a patch without a peer");
}

#[test]
fn what_does_not_fit_the_wire_is_dropped_by_name() {
    let (mut lab, [a, b]) = guide(Link::default(), &[]);
    lab.send((a, "vm1"), vm_frame(1, None, 1));
    lab.send((b, "vm1"), vm_frame(2, None, 2));
    let _ = marks(&mut lab, [(a, "vm1"), (b, "vm1")]);
    let sized = |len: usize| {
        let mut frame = vm_frame(1, Some(2), 7).bytes().to_vec();
        frame.resize(len, 7);
        packet::Packet::from_frame(&frame)
    };
    // 1500 bytes of outer IP packet: 50 of them are headers, and the inner Ethernet header is carried too.
    lab.send((a, "vm1"), sized(1464));
    assert_eq!(lab.received((b, "vm1")).len(), 1);
    let before = lab.drops(a);
    lab.send((a, "vm1"), sized(1465));
    lab.send((a, "vm1"), sized(1514));
    assert_eq!(lab.received((b, "vm1")).len(), 0);
    lab.assert_drops(a, &before, &[("datapath_drop_too_big", 2)], "one byte too many");
    // A larger MTU on both ends cures it.
    for host in [a, b] {
        lab.change_port((host, "eth1"), |p| p.interfaces[0].mtu_request = Some(1600));
    }
    lab.send((a, "vm1"), sized(1514));
    assert_eq!(lab.received((b, "vm1")).len(), 1);
}

#[test]
fn latency_delays_and_loss_loses_and_nothing_else_happens() {
    let ms = Duration::from_millis;
    let (mut lab, [a, b]) = guide(Link { latency: ms(10), lose_every: 0 }, &[]);
    lab.send((a, "vm1"), vm_frame(1, None, 0));
    lab.warp(ms(100), ms(5)); // neighbours, both ways
    lab.send((b, "vm1"), vm_frame(2, Some(1), 0));
    lab.warp(ms(100), ms(5));
    let _ = marks(&mut lab, [(a, "vm1"), (b, "vm1")]);

    lab.send((a, "vm1"), vm_frame(1, Some(2), 1));
    lab.warp(ms(9), ms(1));
    assert_eq!(marks(&mut lab, [(b, "vm1")]), [vec![]]);
    lab.warp(ms(1), ms(1));
    assert_eq!(marks(&mut lab, [(b, "vm1")]), [vec![1]]);

    lab.set_link((a, "eth1"), Link { latency: ms(1), lose_every: 3 });
    for n in 0..30 {
        lab.send((a, "vm1"), vm_frame(1, Some(2), n));
        lab.warp(ms(2), ms(1));
    }
    let [got] = marks(&mut lab, [(b, "vm1")]);
    assert_eq!(got.len(), 20, "every third is lost: {got:?}");
    assert!(got.is_sorted(), "{got:?}");
    assert_no_drops(&lab, &[a, b]);
}

#[test]
fn a_switch_that_restarts_is_missed_no_longer_than_it_is_away() {
    let (mut lab, [a, b]) = guide(Link::default(), &[]);
    lab.send((a, "vm1"), vm_frame(1, None, 1));
    lab.send((b, "vm1"), vm_frame(2, Some(1), 2));
    let _ = marks(&mut lab, [(a, "vm1"), (b, "vm1")]);
    lab.restart(b);
    assert_eq!(lab.plane(b).datapath.flow_count(), 0);
    lab.send((a, "vm1"), vm_frame(1, Some(2), 3));
    assert_eq!(marks(&mut lab, [(b, "vm1")]), [vec![3]]);
    // The other way everything is to be learned anew, the neighbour first.
    lab.send((b, "vm1"), vm_frame(2, Some(1), 4));
    assert_eq!(marks(&mut lab, [(a, "vm1")]), [vec![4]]);
    assert_no_drops(&lab, &[a, b]);
}

/// Pings each half second find a dead neighbour again within 4 s after it is back, whenever that is.
#[test]
fn a_neighbour_that_was_dead_is_back_within_seconds() {
    for dead in [1, 3, 8, 20, 21, 22, 23, 24] {
        dead_for(Duration::from_secs(dead));
    }
}

fn dead_for(time: Duration) {
    let ms = Duration::from_millis;
    let ping = |lab: &mut Lab, host, n| {
        lab.send((host, "vm1"), vm_frame(1, None, n));
        lab.warp(ms(500), ms(100));
    };
    let (mut lab, [a, b]) = guide(Link { latency: ms(0), lose_every: 1 }, &[]);
    while lab.clock().now().since(base::Instant::default()) < time {
        ping(&mut lab, a, 0);
    }
    assert_eq!(marks(&mut lab, [(b, "vm1")]), [vec![]]);
    lab.set_link((a, "eth1"), Link::default());
    let back = lab.clock().now();
    for n in 1..=10 {
        ping(&mut lab, a, n);
        let [got] = marks(&mut lab, [(b, "vm1")]);
        if !got.is_empty() {
            let after = lab.clock().now().since(back);
            assert!(after <= ms(4000), "dead for {time:?}: it took {after:?}");
            // What waited is not lost, and comes first.
            assert!(got.is_sorted() && got.ends_with(&[n]), "{got:?}");
            return;
        }
    }
    panic!("dead for {time:?}: the neighbour is not found again: {:?}", lab.drops(a));
}

#[test]
fn a_tunnel_to_oneself_goes_nowhere_and_ends() {
    let mut lab = Lab::new();
    let host = overlay_host(
        &mut lab,
        1,
        &[("vm1", dummy()), ("vm2", dummy()), ("vxlan0", vxlan("vxlan0", &underlay_ip(1), &[]))],
    );
    let sent = vm_frame(1, None, 1);
    lab.send((host, "vm1"), sent.clone());
    assert_eq!(bytes(&lab.received((host, "vm2"))), bytes(&[sent]), "others get it as ever");
    lab.warp(Duration::from_secs(5), Duration::from_millis(500));
    let drops = lab.drops(host);
    assert_eq!(drops.values().sum::<u64>(), 1, "{drops:?}");
}
