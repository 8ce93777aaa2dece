//! Packets that the kernel puts at the other end of a veth at once: that they get there, are counted, and that nothing which lies on the
//! ordinary way is left out.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;

use sys::xdp::program::{Attach, Program, Sockets};
use testbed::bed::Sharing;
use testbed::guest::{DEVICE, Wire};
use testbed::netns::cable;
use testbed::probe::{self, Ping};
use testbed::{Guest, Host, Testbed, wait};

use crate::offload::{FLOOD, SETTLE};
use crate::support::{OneBridge, host_state, ok, ours, programs};

/// Packets that the kernel says have left by an interface of a host. It knows nothing of those that jump.
fn left(host: &Host, port: &str) -> u64 {
    host.ns.counters(port).expect("counters").tx_packets
}

/// Packets that the switch says have left by a port.
fn counted(host: &Host, port: &str) -> u64 {
    let text = ok(ok(host.cmd("ovs-ofctl", ["dump-ports", "br0", port])).ok());
    let (_, sent) = text.split_once("tx pkts=").expect("a count of what was sent");
    sent.split(',').next().and_then(|n| n.trim().parse().ok()).expect("a number")
}

/// Pings until the answers of a flood all jump to the first guest, or none does.
#[track_caller]
fn until_they_jump(net: &OneBridge, jump: bool) {
    let [a, b, ..] = &net.guests[..] else { panic!("two guests") };
    let done = wait::until("packets to take the way that they should", SETTLE, || {
        let before = left(&net.host, &a.port);
        let echoes = ok(probe::ping(&a.ns, b.address, FLOOD));
        let ordinary = left(&net.host, &a.port) - before;
        let all = u64::from(FLOOD.count);
        let right = if jump { ordinary == 0 } else { ordinary >= all };
        (echoes.lost() == 0 && right).then_some(())
    });
    done.unwrap_or_else(|e| panic!("jump: {jump}: {e}\n{}", host_state(&net.host)));
}

/// Two guests on a bridge, whose packets jump.
#[track_caller]
fn jumping() -> OneBridge {
    let net = OneBridge::build(2);
    for guest in &net.guests {
        ok(guest.without_ipv6());
    }
    until_they_jump(&net, true);
    net
}

#[test]
fn what_jumps_arrives_and_is_counted() {
    if !ours() {
        return;
    }
    let net = jumping();
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    let all = u64::from(FLOOD.count);
    let before = [a, b].map(|g| (counted(&net.host, &g.port), g.ns.counters(DEVICE)));
    assert_eq!(ok(probe::ping(&a.ns, b.address, FLOOD)).lost(), 0);
    for (guest, (sent, received)) in [a, b].into_iter().zip(before) {
        let sent = counted(&net.host, &guest.port) - sent;
        let now = guest.ns.counters(DEVICE).expect("counters").rx_packets;
        let received = now - received.expect("counters").rx_packets;
        // Neighbours may ask for each other.
        assert!((all..all + 4).contains(&sent), "{sent} sent\n{}", host_state(&net.host));
        assert!((sent..sent + 4).contains(&received), "{sent} sent, {received} received");
    }
    net.assert_connected();
    // What has been counted stays, whoever counts from then on.
    let before = counted(&net.host, &a.port);
    ok(net.host.vsctl("set open . other_config:kernel-offload=false"));
    assert!(counted(&net.host, &a.port) >= before);
    ok(net.host.vsctl("remove open . other_config kernel-offload"));
    until_they_jump(&net, true);
    assert!(counted(&net.host, &a.port) >= before + all);
}

#[test]
fn who_listens_at_the_near_end_sees_what_leaves() {
    if !ours() {
        return;
    }
    let net = jumping();
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    for everywhere in [false, true] {
        let interface = if everywhere { "any" } else { &a.port };
        let log = net.host.dir().join(format!("tcpdump-{interface}"));
        let line = format!("tcpdump -lnn -i {interface} icmp[icmptype] == icmp-echoreply");
        let mut tcpdump = ok(testbed::Cmd::line(&line).netns(net.host.ns.name()).spawn(&log));
        ok(wait::until("tcpdump to listen", SETTLE, || {
            tcpdump.printed().contains("listening on").then_some(())
        }));
        until_they_jump(&net, false);
        let seen = |process: &testbed::Process| {
            let lines = process.printed();
            lines.lines().filter(|line| line.contains("ICMP echo reply")).count()
        };
        let before = seen(&tcpdump);
        assert_eq!(ok(probe::ping(&a.ns, b.address, FLOOD)).lost(), 0);
        ok(wait::until("tcpdump to have seen all", SETTLE, || {
            (seen(&tcpdump) >= before + FLOOD.count as usize).then_some(())
        }));
        assert!(tcpdump.is_running());
        ok(tcpdump.kill());
        until_they_jump(&net, true);
    }
}

#[test]
fn queues_and_filters_of_the_near_end_are_not_passed_by() {
    if !ours() {
        return;
    }
    let net = jumping();
    let port = &net.guests[0].port;
    let tc = |line: &str| ok(testbed::Cmd::line(line).netns(net.host.ns.name()).ok());
    tc(&format!("tc qdisc add dev {port} clsact"));
    for (make, undo) in [
        (
            format!("tc qdisc add dev {port} root tbf rate 1gbit burst 1mb latency 50ms"),
            format!("tc qdisc del dev {port} root"),
        ),
        (
            format!(
                "tc filter add dev {port} egress protocol all prio 1 u32 match u32 0 0 flowid 1:1"
            ),
            format!("tc filter del dev {port} egress"),
        ),
    ] {
        tc(&make);
        until_they_jump(&net, false);
        tc(&undo);
        until_they_jump(&net, true);
    }
    let tagging = ok(testbed::netns::tag(&net.host.ns, port, 0));
    until_they_leave_by_the_ordinary_way(&net);
    drop(tagging);
    until_they_jump(&net, true);
}

/// Of what is sent to the first guest, of whom there is no answer, nothing jumps.
#[track_caller]
fn until_they_leave_by_the_ordinary_way(net: &OneBridge) {
    let [a, b, ..] = &net.guests[..] else { panic!("two guests") };
    let done = wait::until("packets to leave by the ordinary way", SETTLE, || {
        let before = left(&net.host, &a.port);
        ok(probe::ping(&b.ns, a.address, FLOOD));
        (left(&net.host, &a.port) >= before + u64::from(FLOOD.count)).then_some(())
    });
    done.unwrap_or_else(|e| panic!("{e}\n{}", host_state(&net.host)));
}

/// As an AF_XDP port has one there: it is to see all packets.
#[test]
fn an_xdp_program_at_the_far_end_is_not_passed_by() {
    if !ours() {
        return;
    }
    let net = jumping();
    let [a, _] = &net.guests[..] else { panic!("two guests") };
    for how in [Attach::Native, Attach::Generic] {
        // Without a socket it lets all pass.
        let link = ok(a.ns.enter(|| {
            let program = Program::load(&Sockets::new(1).expect("a table")).expect("a program");
            program.attach(index(DEVICE), how).expect("attached")
        }));
        until_they_jump(&net, false);
        drop(link);
        until_they_jump(&net, true);
    }
}

/// The index of a device in this thread's namespace.
fn index(device: &str) -> u32 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    sys::ifreq::index(socket.as_fd(), device).expect("a device")
}

/// Its address may change, it may go to another namespace, even to ours.
#[test]
fn the_far_end_is_followed() {
    const MAC: &str = "02:00:00:00:00:77";
    if !ours() {
        return;
    }
    let net = jumping();
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    ok(a.ns.ip(&format!("link set {DEVICE} address {MAC}")));
    ok(b.ns.ip(&format!("neigh replace {} lladdr {MAC} dev {DEVICE} nud permanent", a.address)));
    until_they_jump(&net, true);
    // To another guest's namespace, under another name.
    ok(a.ns.ip(&format!("link set {DEVICE} netns {} name moved", b.ns.name())));
    ok(b.ns.ip("link set moved up"));
    for ns in [&b.ns, &net.host.ns] {
        let arrived = wait::until("packets to arrive where the end is", SETTLE, || {
            let before = ns.counters("moved").expect("counters").rx_packets;
            // Nobody answers; they are sent to where it was learnt.
            ok(probe::ping(&b.ns, a.address, Ping { count: 5, ..FLOOD }));
            (ns.counters("moved").expect("counters").rx_packets > before).then_some(())
        });
        arrived.unwrap_or_else(|e| panic!("{e}\n{}", host_state(&net.host)));
        if ns.name() == b.ns.name() {
            ok(b.ns.ip(&format!("link set moved netns {}", net.host.ns.name())));
            ok(net.host.ns.ip("link set moved up"));
        }
    }
}

/// A packet on its way through more switches than it may jump to takes the ordinary way once, and goes on. (Going round in circles it
/// would otherwise never let its processor go.)
#[test]
fn jumps_of_one_packet_have_a_bound() {
    /// From one host to the other, to and fro. One more than a packet may jump by.
    const CABLES: usize = 9;
    const MAC: &str = "02:00:00:00:00:55";
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut hosts = ["left", "right"].map(|name| ok(bed.host(name, &programs())));
    let [left_host, right_host] = &mut hosts;
    for host in [&mut *left_host, &mut *right_host] {
        // What the hosts' own stacks say would be counted with the rest.
        for which in ["all", "default"] {
            ok(host.ns.sysctl(&format!("ipv6/conf/{which}/disable_ipv6"), "1"));
        }
        ok(host.start());
        ok(host.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure"));
    }
    let (left_host, right_host) = (&*left_host, &*right_host);
    let guests = [(left_host, "vma", 1), (right_host, "vmb", 2)].map(|(host, name, last)| {
        let address = Ipv4Addr::new(192, 168, 1, last);
        let guest = ok(Guest::new(&bed, &host.ns, name, "vm", address, Wire::Veth));
        ok(guest.without_ipv6());
        ok(guest.ns.ip(&format!("link set {DEVICE} address {MAC}")));
        guest
    });
    let [a, b] = &guests;
    for (guest, other) in [(a, b), (b, a)] {
        let entry =
            format!("neigh replace {} lladdr {MAC} dev {DEVICE} nud permanent", other.address);
        ok(guest.ns.ip(&entry));
    }
    let cables: Vec<String> = (0..CABLES).map(|i| format!("c{i}")).collect();
    for name in &cables {
        ok(cable((&left_host.ns, name), (&right_host.ns, name)));
        for host in [left_host, right_host] {
            ok(host.ns.ip(&format!("link set {name} address {MAC} up")));
        }
    }
    // The left host joins its guest to the first cable, the second to the third, and so on; the right host the others.
    let ports = |first: &[&str], rest: &[String]| -> Vec<String> {
        first.iter().map(ToString::to_string).chain(rest.iter().cloned()).collect()
    };
    let mut right_ports = ports(&[], &cables);
    right_ports.push("vm".to_owned());
    for (host, ports) in [(left_host, ports(&["vm"], &cables)), (right_host, right_ports)] {
        let add: Vec<_> = ports.iter().map(|port| format!("add-port br0 {port}")).collect();
        ok(host.vsctl(&add.join(" -- ")));
        for pair in ports.chunks_exact(2) {
            for (from, to) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                let rule = format!("in_port={from},actions=output:{to}");
                ok(ok(host.cmd("ovs-ofctl", ["add-flow", "br0", &rule])).ok());
            }
        }
    }
    let sent = || {
        [left_host, right_host].map(|host| cables.iter().map(|c| left(host, c)).collect::<Vec<_>>())
    };
    let mut last = String::new();
    let done = wait::until("packets to jump as often as they may", SETTLE * 2, || {
        let before = sent();
        let echoes = ok(probe::ping(&a.ns, b.address, FLOOD));
        let now = sent();
        let [from_left, from_right] = [0, 1].map(|i| {
            now[i].iter().zip(&before[i]).map(|(now, before)| now - before).collect::<Vec<_>>()
        });
        last = format!("{from_left:?} {from_right:?}, {echoes}");
        let all = u64::from(FLOOD.count);
        // To the right by the last cable, and back by the first one.
        let (mut right, mut back) = (vec![0; CABLES], vec![0; CABLES]);
        (right[CABLES - 1], back[0]) = (all, all);
        (echoes.lost() == 0 && from_left == right && from_right == back).then_some(())
    });
    done.unwrap_or_else(|e| {
        panic!("{e}: {last}\n{}{}", host_state(left_host), host_state(right_host))
    });
}
