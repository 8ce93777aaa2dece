//! Bonds of whole switches on a virtual clock: who gets which frames, how often, and how soon after a link is gone.

use std::time::Duration;

use l2::bond::Mode;
use lab::topology::{underlay_ip, underlay_mac, vm_frame, vm_mac};
use lab::{End, Host, Lab, Link, bond, bridge, dummy, vxlan};
use vswitchd::desired::{Bonding, Lacp};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(100);
const DEAD: Link = Link { latency: Duration::ZERO, lose_every: 1 };

fn mode(mode: Mode) -> Bonding {
    let mut bonding = Bonding::default();
    bonding.bond.mode = mode;
    bonding
}

fn with_lacp(active: bool) -> Bonding {
    let lacp = Lacp { active, fast: true, system_id: None, system_priority: 65534 };
    Bonding { lacp: Some(lacp), ..mode(Mode::BalanceTcp) }
}

/// A switch with a VM and a bond of `m1` and `m2`.
fn bonded(lab: &mut Lab, n: u8, bonding: Bonding) -> Host {
    let host = lab.host();
    let mut br = bridge("br0", &[("vm", dummy())]);
    br.hwaddr = Some(underlay_mac(n));
    br.ports.insert("bond0".into(), bond(&["m1", "m2"], bonding));
    lab.configure(host, [br]);
    host
}

/// A plain switch that knows nothing of bonds.
fn plain(lab: &mut Lab) -> Host {
    let host = lab.host();
    lab.configure(host, [bridge("net", &[("n1", dummy()), ("n2", dummy()), ("vm", dummy())])]);
    host
}

fn join(lab: &mut Lab, a: (Host, [&'static str; 2]), b: (Host, [&'static str; 2])) {
    for (from, to) in a.1.into_iter().zip(b.1) {
        lab.link((a.0, from), (b.0, to), Link::default());
    }
}

const MEMBERS: [&str; 2] = ["m1", "m2"];
const PLAIN: [&str; 2] = ["n1", "n2"];

/// The marks of the VMs' frames that came out of a port; other frames there (announcements) are passed over.
fn marks(lab: &mut Lab, port: End) -> Vec<u8> {
    let all = lab.received(port);
    let of_vms = all.iter().filter(|p| p.bytes()[12..14] == [0x88, 0xb5]);
    of_vms.map(|p| p.bytes()[59]).collect()
}

fn fail(lab: &mut Lab, host: Host, member: &'static str) {
    lab.set_link((host, member), DEAD);
    lab.set_up((host, member), false);
    settle(lab);
}

fn heal(lab: &mut Lab, host: Host, member: &'static str) {
    lab.set_link((host, member), Link::default());
    lab.set_up((host, member), true);
    settle(lab);
}

/// Flows follow what has been announced.
fn settle(lab: &mut Lab) {
    lab.warp(STEP, STEP);
}

#[test]
fn active_backup_uses_one_member_and_then_the_other() {
    let mut lab = Lab::new();
    let host = bonded(&mut lab, 1, mode(Mode::ActiveBackup));
    let net = plain(&mut lab);
    join(&mut lab, (host, MEMBERS), (net, PLAIN));
    // Questions to all, and answers, each once.
    lab.send((host, "vm"), vm_frame(1, None, 1));
    assert_eq!(marks(&mut lab, (net, "vm")), [1]);
    lab.send((net, "vm"), vm_frame(2, None, 2));
    assert_eq!(marks(&mut lab, (host, "vm")), [2]);
    lab.send((net, "vm"), vm_frame(2, Some(1), 3));
    assert_eq!(marks(&mut lab, (host, "vm")), [3]);
    // What was flooded came back by the backup, and was not taken; nor did it teach anything wrong.
    assert!(lab.drops(host)["drop_action_bond_refused"] > 0);
    fail(&mut lab, host, "m1");
    // The announcement has told the other switch: its answer comes the new way, without a frame of the VM's own.
    lab.send((net, "vm"), vm_frame(2, Some(1), 4));
    assert_eq!(marks(&mut lab, (host, "vm")), [4]);
    lab.send((host, "vm"), vm_frame(1, Some(2), 5));
    assert_eq!(marks(&mut lab, (net, "vm")), [5]);
    // The first is back: nothing changes.
    heal(&mut lab, host, "m1");
    lab.send((host, "vm"), vm_frame(1, Some(2), 6));
    assert_eq!(marks(&mut lab, (net, "vm")), [6]);
    fail(&mut lab, host, "m2");
    fail(&mut lab, host, "m1");
    lab.send((host, "vm"), vm_frame(1, Some(2), 7));
    assert_eq!(lab.drops(host)["datapath_drop_invalid_bond"], 1);
}

#[test]
fn slb_spreads_stations_over_a_plain_switch_without_loops_or_copies() {
    let mut lab = Lab::new();
    let host = bonded(&mut lab, 1, mode(Mode::BalanceSlb));
    let net = plain(&mut lab);
    join(&mut lab, (host, MEMBERS), (net, PLAIN));
    for n in 1..=40 {
        lab.send((host, "vm"), vm_frame(n, None, n));
        assert_eq!(marks(&mut lab, (net, "vm")), [n], "a broadcast arrives once");
        assert_eq!(marks(&mut lab, (host, "vm")), [], "and does not come back");
        lab.send((net, "vm"), vm_frame(100, Some(n), n));
        assert_eq!(marks(&mut lab, (host, "vm")), [n], "the answer too");
    }
    let sent = |lab: &mut Lab, port: &'static str| {
        let (_, live) = lab.switch(host).interface(port).expect("it is there");
        live.as_ref().unwrap().device.as_ref().unwrap().stats().unwrap().tx_packets
    };
    let (first, second) = (sent(&mut lab, "m1"), sent(&mut lab, "m2"));
    assert!(first > 8 && second > 8, "{first} and {second}");
    // A station that is known here does not move because what it said comes back.
    for n in 1..=40 {
        lab.send((host, "vm"), vm_frame(n, None, n));
        marks(&mut lab, (net, "vm"));
    }
    let stations = lab.plane(host).slow.with(|state, now| {
        let snapshot = state.snapshot.clone();
        let bridge = snapshot.bridge_by_name("br0").expect("it is there");
        let vm = bridge.ports().find(|port| &*port.name == "vm").expect("it is there").ofport;
        let table = state.mac_table(bridge.id);
        (1..=40).filter(|n| table.lookup(0, vm_mac(*n), now) == Some(vm)).count()
    });
    assert_eq!(stations, 40);
    fail(&mut lab, host, "m2");
    for n in 1..=40 {
        lab.send((net, "vm"), vm_frame(100, Some(n), n));
        assert_eq!(marks(&mut lab, (host, "vm")), [n], "announced on the other member");
        lab.send((host, "vm"), vm_frame(n, Some(100), n));
        assert_eq!(marks(&mut lab, (net, "vm")), [n]);
    }
}

/// Frames of many connections between two machines, told apart by their source ports.
fn connections(
    first: u16,
    (from, to): (u8, u8),
    count: u16,
) -> impl Iterator<Item = packet::Packet> {
    (0..count).map(move |n| {
        let (src, dst) = (vm_mac(from), vm_mac(to));
        let text = |m: [u8; 6]| m.map(|b| format!("{b:02x}")).join(":");
        lab::frames::packet(&format!(
            "in_port(1),eth(src={},dst={}),eth_type(0x0800),ipv4(src=10.0.0.{from},dst=10.0.0.{to},proto=17,tos=0,ttl=64,frag=no),udp(src={},dst=5000)",
            text(src), text(dst), first + n
        ))
    })
}

#[test]
fn tcp_spreads_connections_once_both_ends_agree() {
    for active in [(true, true), (true, false), (false, true)] {
        let mut lab = Lab::new();
        let hosts =
            [bonded(&mut lab, 1, with_lacp(active.0)), bonded(&mut lab, 2, with_lacp(active.1))];
        join(&mut lab, (hosts[0], MEMBERS), (hosts[1], MEMBERS));
        lab.warp(SECOND * 2, STEP);
        for (from, to) in [(0, 1), (1, 0)] {
            lab.send((hosts[from], "vm"), vm_frame(from as u8 + 1, None, 7));
            assert_eq!(marks(&mut lab, (hosts[to], "vm")), [7], "{active:?}");
        }
        lab.send_all((hosts[0], "vm"), connections(1000, (1, 2), 64));
        assert_eq!(lab.received((hosts[1], "vm")).len(), 64);
        let bonds = lab.switch(hosts[0]).aggregates();
        assert!(bonds["bond0"].current.values().all(|current| *current), "{bonds:?}");
        // A member dies without a word: in three seconds the other end is known to be silent there.
        lab.set_link((hosts[0], "m1"), DEAD);
        lab.warp(SECOND * 4, STEP);
        lab.send_all((hosts[0], "vm"), connections(1000, (1, 2), 64));
        assert_eq!(lab.received((hosts[1], "vm")).len(), 64);
        // There are as many flows as buckets, not as connections.
        let before = lab.upcalls(hosts[0]);
        for n in 0..20 {
            lab.send_all((hosts[0], "vm"), connections(2000 + 100 * n, (1, 2), 64));
        }
        assert_eq!(lab.received((hosts[1], "vm")).len(), 20 * 64);
        assert!(lab.upcalls(hosts[0]) - before <= 256);
    }
}

#[test]
fn tcp_without_a_partner_carries_nothing_unless_it_may_fall_back() {
    let mut lab = Lab::new();
    let host = bonded(&mut lab, 1, with_lacp(true));
    let net = plain(&mut lab);
    join(&mut lab, (host, MEMBERS), (net, PLAIN));
    lab.warp(SECOND * 5, STEP);
    lab.send((host, "vm"), vm_frame(1, None, 1));
    assert_eq!(marks(&mut lab, (net, "vm")), []);
    lab.change_port((host, "bond0"), |port| port.bonding.bond.lacp_fallback_ab = true);
    lab.warp(SECOND * 5, STEP);
    lab.send((host, "vm"), vm_frame(1, None, 2));
    assert_eq!(marks(&mut lab, (net, "vm")), [2]);
    lab.send((net, "vm"), vm_frame(2, Some(1), 3));
    assert_eq!(marks(&mut lab, (host, "vm")), [3]);
}

#[test]
fn load_is_shifted_to_the_idle_member() {
    let mut lab = Lab::new();
    let host = bonded(&mut lab, 1, mode(Mode::BalanceSlb));
    let net = plain(&mut lab);
    join(&mut lab, (host, MEMBERS), (net, PLAIN));
    let slow = lab.plane(host).slow.clone();
    let member_of = |n: u8| {
        slow.with(|state, _| {
            let bond = state.aggregate("bond0").unwrap().1.bond.as_ref().unwrap();
            bond.of_bucket(l2::bond::slb_hash(&vm_mac(n), 0, 0) as u8).unwrap()
        })
    };
    let first = member_of(1);
    let loud: Vec<u8> = (1..=60).filter(|n| member_of(*n) == first).take(8).collect();
    for _ in 0..12 {
        for n in &loud {
            lab.send_all(
                (host, "vm"),
                (0..40).map(|_| {
                    let frame = [vm_frame(*n, Some(200), 0).bytes(), &[0; 1000][..]].concat();
                    packet::Packet::from_frame(&frame)
                }),
            );
        }
        lab.warp(SECOND, STEP);
    }
    let stay = loud.iter().filter(|n| member_of(**n) == first).count();
    assert!((3..=5).contains(&stay), "{stay} of {loud:?} are where all were");
}

#[test]
fn a_tunnel_over_a_bond_survives_the_loss_of_a_member() {
    for bonding in [mode(Mode::ActiveBackup), mode(Mode::BalanceSlb), with_lacp(true)] {
        let mut lab = Lab::new();
        let hosts = [1, 2].map(|n| {
            let host = lab.host();
            let mut phy = bridge("br-phy", &[]);
            phy.hwaddr = Some(underlay_mac(n));
            phy.ports.insert("bond0".into(), bond(&["m1", "m2"], bonding.clone()));
            let tunnel = vxlan("vxlan0", &underlay_ip(3 - n), &[]);
            lab.configure(host, [bridge("br-int", &[("vm", dummy()), ("vxlan0", tunnel)]), phy]);
            lab.address(host, "br-phy", &format!("{}/24", underlay_ip(n)));
            host
        });
        if bonding.lacp.is_some() {
            join(&mut lab, (hosts[0], MEMBERS), (hosts[1], MEMBERS));
        } else {
            // Through a switch that both are plugged into twice.
            let net = lab.host();
            let ports = ["a1", "a2", "b1", "b2"].map(|name| (name, dummy()));
            lab.configure(net, [bridge("net", &ports)]);
            join(&mut lab, (hosts[0], MEMBERS), (net, ["a1", "a2"]));
            join(&mut lab, (hosts[1], MEMBERS), (net, ["b1", "b2"]));
        }
        lab.warp(SECOND * 2, STEP);
        let talk = |lab: &mut Lab, mark: u8| {
            for (from, to) in [(0, 1), (1, 0)] {
                lab.send((hosts[from], "vm"), vm_frame(from as u8 + 1, None, mark));
                lab.warp(STEP, STEP);
                assert_eq!(marks(lab, (hosts[to], "vm")), [mark], "{bonding:?}");
                lab.send_all(
                    (hosts[from], "vm"),
                    connections(1000, (from as u8 + 1, to as u8 + 1), 32),
                );
                assert_eq!(lab.received((hosts[to], "vm")).len(), 32, "{bonding:?}");
            }
        };
        talk(&mut lab, 1);
        fail(&mut lab, hosts[0], "m1");
        if bonding.lacp.is_some() {
            lab.warp(SECOND * 4, STEP);
        }
        talk(&mut lab, 2);
        heal(&mut lab, hosts[0], "m1");
        lab.warp(SECOND * 2, STEP);
        fail(&mut lab, hosts[0], "m2");
        if bonding.lacp.is_some() {
            lab.warp(SECOND * 4, STEP);
        }
        talk(&mut lab, 3);
    }
}

#[test]
fn members_come_and_go_while_the_bond_goes_on() {
    let mut lab = Lab::new();
    let host = bonded(&mut lab, 1, mode(Mode::ActiveBackup));
    let net = plain(&mut lab);
    join(&mut lab, (host, MEMBERS), (net, PLAIN));
    lab.send((net, "vm"), vm_frame(2, None, 1));
    assert_eq!(marks(&mut lab, (host, "vm")), [1]);
    lab.change_port((host, "bond0"), |port| port.interfaces.retain(|i| i.name == "m2"));
    lab.send((host, "vm"), vm_frame(1, Some(2), 2));
    assert_eq!(marks(&mut lab, (net, "vm")), [2], "a port like any other");
    lab.send((net, "vm"), vm_frame(2, Some(1), 3));
    assert_eq!(marks(&mut lab, (host, "vm")), [3]);
    let m1 = vswitchd::desired::Interface::named("m1", dummy());
    lab.change_port((host, "bond0"), |port| port.interfaces.insert(0, m1));
    lab.send((host, "vm"), vm_frame(1, Some(2), 4));
    assert_eq!(marks(&mut lab, (net, "vm")), [4]);
    lab.send((net, "vm"), vm_frame(2, None, 5));
    assert_eq!(marks(&mut lab, (host, "vm")), [5], "a bond again");
}
