//! Devices in network namespaces, with the kernel's stack at their ends. Needs root.

mod bed;
mod forwarder;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use base::Clock;
use bed::{Bed, LEFT, RIGHT, TCP_BYTES, receive, tcp};
use forwarder::{Forwarder, Report};
use netdev::{Kind, Opener, Pool};
use packet::{Carrier, Csum, Encap, Gso, GsoKind, Offload, Packet};
use rustix::io::Errno;

/// Both directions carried super-packets whole.
fn assert_super_packets(report: &Report) {
    assert!(report.error.is_none(), "{:?}", report.error);
    for passed in report.passed {
        assert!(passed.super_packets > 0, "{passed:?}");
        assert!(passed.longest > 30_000, "{passed:?}");
        // Whole super-packets need far fewer packets than segments would be (with some slack for acknowledgements).
        assert!(passed.packets < (TCP_BYTES / 1448) as u64, "{passed:?}");
    }
}

#[test]
fn tcp_passes_between_system_devices_at_default_offloads() {
    let bed = Bed::new();
    let forwarder = bed.forwarder();
    tcp(&bed.left, SocketAddr::new(LEFT.into(), 5001), &bed.right);
    assert_super_packets(&forwarder.stop());
}

#[test]
fn tcp_over_ipv6_passes_too() {
    let bed = Bed::new();
    bed.left.ip("addr add fd00::1/64 dev eth0 nodad").unwrap();
    bed.right.ip("addr add fd00::2/64 dev eth0 nodad").unwrap();
    let forwarder = bed.forwarder();
    tcp(&bed.left, "[fd00::1]:5001".parse().unwrap(), &bed.right);
    assert_super_packets(&forwarder.stop());
}

#[test]
fn tcp_passes_with_offloads_off_at_one_end() {
    let bed = Bed::new();
    bed.left
        .cmd(["ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
        .ok()
        .unwrap();
    let forwarder = bed.forwarder();
    tcp(&bed.left, SocketAddr::new(LEFT.into(), 5001), &bed.right);
    assert!(forwarder.stop().error.is_none());
}

#[test]
fn tags_are_put_back_with_all_offsets_moved() {
    let bed = Bed::new();
    let host = bed
        .left
        .enter(|| Opener::new(Clock::real()).open(Kind::System, "eth0", &BTreeMap::new()))
        .unwrap()
        .unwrap();
    let device = bed.open(Kind::System, "left").unwrap();
    let mut rx = device.take_rx_queues();
    let mut tx = host.tx_queue().unwrap();
    let plain = super_packet(1000, 5);
    let unfinished =
        Packet { offload: Offload { gso: None, ..plain.offload }, ..super_packet(1000, 1) };
    let tags: [&[u8]; 4] =
        [&[], &[0x81, 0, 0x20, 7], &[0x88, 0xa8, 0, 9], &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7]];
    for tag in tags {
        for untagged in [&plain, &unfinished] {
            let mut sent = untagged.clone();
            sent.buf.insert_gap(12, tag.len());
            sent.buf.as_mut_slice()[12..12 + tag.len()].copy_from_slice(tag);
            sent.offload.pushed(tag.len() as u16);
            tx.send(&mut Pool::default(), &mut vec![sent.clone()]);
            let got = receive(rx[0].as_mut(), 1000, |frames| {
                frames.iter().any(|p| p.bytes() == sent.bytes())
            });
            let got = got.iter().find(|p| p.bytes() == sent.bytes());
            assert_eq!(
                got.unwrap_or_else(|| panic!("not received behind {tag:x?}")).offload,
                sent.offload,
                "{tag:x?}"
            );
        }
    }
}

fn is_arp(frame: &[u8], at: usize) -> bool {
    frame.get(at..at + 2) == Some(&[8, 6])
}

#[test]
fn tcp_passes_between_a_tap_and_a_veth() {
    let bed = Bed::new();
    let tap = bed.open(Kind::Internal, "br0").unwrap();
    assert_eq!((tap.kind(), tap.name()), ("tap", "br0"));
    assert!(!tap.status().unwrap().admin_up, "nobody has set it up");
    bed.switch.configure("br0", RIGHT, 24).unwrap();
    let forwarder = Forwarder::start(tap.clone(), bed.open(Kind::System, "left").unwrap());
    tcp(&bed.left, SocketAddr::new(LEFT.into(), 5001), &bed.switch);
    assert_super_packets(&forwarder.stop());
    let stats = tap.stats().unwrap();
    assert!(stats.rx_bytes > TCP_BYTES as u64 && stats.tx_bytes > TCP_BYTES as u64, "{stats:?}");
}

#[test]
fn statistics_are_seen_from_the_switch() {
    let bed = Bed::new();
    let tap = bed.open(Kind::Tap, "tap0").unwrap();
    tap.set_up(true).unwrap();
    let before = tap.stats().unwrap();
    tap.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![Packet::from_frame(&[0xff; 100])]);
    let after = tap.stats().unwrap();
    assert_eq!((after.tx_packets - before.tx_packets, after.tx_bytes - before.tx_bytes), (1, 100));
    assert_eq!(after.rx_packets, before.rx_packets);
}

#[test]
fn a_device_that_vanishes_is_an_error_and_can_be_opened_when_it_returns() {
    let bed = Bed::new();
    let forwarder = bed.forwarder();
    bed.switch.ip("link del left").unwrap();
    let error = forwarder.join().error.unwrap();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NODEV));
    let gone = bed.open(Kind::System, "left").err().unwrap();
    assert_eq!(gone, "could not open network device left (No such device)");
    bed.cable("left", &bed.left);
    bed.left.configure("eth0", LEFT, 24).unwrap();
    let forwarder = bed.forwarder();
    tcp(&bed.left, SocketAddr::new(LEFT.into(), 5001), &bed.right);
    forwarder.stop();
}

#[test]
fn a_deleted_tap_is_an_error() {
    let bed = Bed::new();
    let tap = bed.open(Kind::Tap, "tap0").unwrap();
    let forwarder = Forwarder::start(tap.clone(), bed.open(Kind::System, "left").unwrap());
    bed.switch.ip("link del tap0").unwrap();
    assert_eq!(Errno::from_io_error(&forwarder.join().error.unwrap()), Some(Errno::NODEV));
    assert!(tap.status().is_err());
    let mut batch = vec![Packet::from_frame(&[0; 60])];
    tap.tx_queue().unwrap().send(&mut Pool::default(), &mut batch);
    assert!(batch.is_empty());
}

#[test]
fn a_device_that_goes_down_and_up_goes_on() {
    let bed = Bed::new();
    let [left, right] = ["left", "right"].map(|port| bed.open(Kind::System, port).unwrap());
    let forwarder = Forwarder::start(left.clone(), right);
    left.set_up(false).unwrap();
    let status = left.status().unwrap();
    assert!(!status.admin_up && !status.link_up && status.link_resets == 1, "{status:?}");
    left.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![Packet::from_frame(&[0; 60]); 3]);
    assert_eq!(left.stats().unwrap().tx_dropped, 3);
    left.set_up(true).unwrap();
    tcp(&bed.left, SocketAddr::new(LEFT.into(), 5001), &bed.right);
    assert!(forwarder.stop().error.is_none());
}

#[test]
fn addresses_and_sizes_can_be_set() {
    let bed = Bed::new();
    for (kind, name, driver) in [(Kind::System, "left", "veth"), (Kind::Tap, "tap0", "tun")] {
        let device = bed.open(kind, name).unwrap();
        let tx = device.tx_queue().unwrap();
        assert_eq!((tx.accepts().frame_max, tx.accepts().gso_max), (1518, 65535));
        device.set_mac([2, 1, 2, 3, 4, 5]).unwrap();
        device.set_mtu(2000).unwrap();
        let status = device.status().unwrap();
        assert_eq!((status.mac, status.mtu), ([2, 1, 2, 3, 4, 5], 2000));
        assert_eq!((status.link_speed, status.full_duplex), (Some(10_000_000_000), Some(true)));
        assert_eq!(status.details["driver_name"], driver);
        assert_eq!(status.details.contains_key("peer_ifindex"), driver == "veth");
        assert_eq!(tx.accepts().frame_max, 2018);
        bed.switch.ip(&format!("link set {name} mtu 1400")).unwrap();
        assert_eq!(tx.accepts().frame_max, 2018, "nobody has told it");
        device.refresh().unwrap();
        assert_eq!(tx.accepts().frame_max, 1418);
        assert!(device.set_mtu(1).is_err());
    }
}

#[test]
fn only_the_frame_that_is_too_long_is_dropped() {
    let bed = Bed::new();
    let left = bed.open(Kind::System, "left").unwrap();
    let tap = bed.open(Kind::Tap, "tap0").unwrap();
    tap.set_up(true).unwrap();
    let open = || Opener::new(Clock::real()).open(Kind::System, "eth0", &BTreeMap::new());
    let far_ends =
        [bed.left.enter(open).unwrap().unwrap(), bed.open(Kind::System, "tap0").unwrap()];
    for (device, far_end) in [left, tap].into_iter().zip(far_ends) {
        let before = device.stats().unwrap();
        let mut tagged = vec![0xee; 1518];
        tagged[12..14].copy_from_slice(&[0x81, 0]);
        let mut batch = vec![
            Packet::from_frame(&[0xee; 60]),
            Packet::from_frame(&[0xee; 1515]),
            Packet::from_frame(&tagged),
            super_packet(1473, 3),
            Packet::from_frame(&[0xee; 1514]),
        ];
        device.tx_queue().unwrap().send(&mut Pool::default(), &mut batch);
        let is_ours = |p: &&Packet| p.bytes()[0] == 0xee;
        let got = receive(far_end.take_rx_queues()[0].as_mut(), 1000, |f| {
            f.iter().filter(is_ours).count() == 3
        });
        assert_eq!(
            got.iter().filter(is_ours).map(|p| p.buf.len()).collect::<Vec<_>>(),
            [60, 1518, 1514]
        );
        let after = device.stats().unwrap();
        // The host's stack behind the tap counts a drop of its own: it knows nobody in that VLAN.
        assert!((2..=3).contains(&(after.tx_dropped - before.tx_dropped)), "{}", device.name());
        assert_eq!(after.tx_errors, before.tx_errors);
    }
}

/// A UDP super-packet from 10.0.0.9 to the host on the left, port 7000, of `count` datagrams of `size` bytes each.
fn super_packet(size: u16, count: usize) -> Packet {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0]);
    frame.extend(udp_packet(Ipv4Addr::new(10, 0, 0, 9), LEFT, 7000, &payload(size, count)));
    let gso = Some(Gso { kind: GsoKind::Udp, size, ecn: false });
    let offload =
        Offload { csum: Csum::Partial { start: 34, offset: 6 }, gso, ..Offload::default() };
    Packet { offload, ..Packet::from_frame(&frame) }
}

/// Each datagram's bytes are its number.
fn payload(size: u16, count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| vec![n as u8; usize::from(size)]).collect()
}

/// IPv4 and UDP with a partial checksum.
fn udp_packet(src: Ipv4Addr, dst: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len();
    let mut p = vec![0x45, 0];
    p.extend(((20 + len) as u16).to_be_bytes());
    p.extend([0, 1, 0, 0, 64, 17, 0, 0]);
    p.extend(src.octets());
    p.extend(dst.octets());
    let sum = packet::checksum::checksum(&p[..20]);
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    p.extend([0x40, 0]);
    p.extend(port.to_be_bytes());
    p.extend((len as u16).to_be_bytes());
    let pseudo = packet::checksum::Sum::pseudo_v4(src.to_bits(), dst.to_bits(), 17, len).fold();
    p.extend(pseudo.to_be_bytes());
    p.extend(payload);
    p
}

/// Receives datagrams until nothing comes any more, and checks that they are the `count` of [`payload`], in order.
fn expect_datagrams(socket: &UdpSocket, size: u16, count: usize) {
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buf = [0; 65536];
    for n in 0..count {
        let len = socket.recv(&mut buf).unwrap_or_else(|e| panic!("datagram {n} of {count}: {e}"));
        assert_eq!(buf[..len], vec![n as u8; usize::from(size)], "datagram {n} of {count}");
    }
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut buf).is_err(), "more than {count} datagrams");
    socket.set_nonblocking(false).unwrap();
}

#[test]
fn udp_super_packets_arrive_also_when_the_kernel_refuses_them() {
    let bed = Bed::new();
    let socket = bed.left.enter(|| UdpSocket::bind((LEFT, 7000))).unwrap().unwrap();
    let left = bed.open(Kind::System, "left").unwrap();
    let mut tx = left.tx_queue().unwrap();
    assert!(tx.accepts().uso);
    // 200 segments are more than any kernel takes.
    for (size, count) in [(1000, 40), (100, 200), (1472, 44)] {
        tx.send(&mut Pool::default(), &mut vec![super_packet(size, count)]);
        expect_datagrams(&socket, size, count);
    }
    assert!(tx.accepts().uso, "one refusal of something odd says nothing of the rest");
    bed.switch
        .cmd(["ethtool", "-K", "left", "tx-udp-segmentation", "off", "tx", "off"])
        .ok()
        .unwrap();
    left.refresh().unwrap();
    tx.send(&mut Pool::default(), &mut vec![super_packet(1000, 40)]);
    expect_datagrams(&socket, 1000, 40);
    let stats = left.stats().unwrap();
    assert_eq!((stats.tx_dropped, stats.tx_errors), (0, 0));
}

#[test]
fn a_super_packet_in_a_tunnel_is_finished_on_the_way() {
    let bed = Bed::new();
    bed.left
        .ip("link add vx0 address 02:00:00:00:00:77 type vxlan id 7 dstport 4789 local 10.0.0.1")
        .unwrap();
    let inner_ip = Ipv4Addr::new(10, 9, 0, 1);
    bed.left.configure("vx0", inner_ip, 24).unwrap();
    let socket = bed.left.enter(|| UdpSocket::bind((inner_ip, 7000))).unwrap().unwrap();
    let mut inner = vec![2, 0, 0, 0, 0, 0x77, 2, 0, 0, 0, 0, 0x99, 8, 0];
    inner.extend(udp_packet(Ipv4Addr::new(10, 9, 0, 9), inner_ip, 7000, &payload(1000, 50)));
    let mut tunnel = vec![8, 0, 0, 0, 0, 0, 7, 0];
    tunnel.extend(inner);
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0]);
    frame.extend(udp_packet(Ipv4Addr::new(10, 0, 0, 9), LEFT, 4789, &tunnel));
    let offload = Offload {
        csum: Csum::Partial { start: 84, offset: 6 },
        gso: Some(Gso { kind: GsoKind::Udp, size: 1000, ecn: false }),
        encap: Some(Encap {
            l3: 14,
            l4: 34,
            inner: 50,
            carrier: Carrier::Udp,
            csum: false,
            bare: false,
        }),
        plain: false,
    };
    let packet = Packet { offload, ..Packet::from_frame(&frame) };
    let left = bed.open(Kind::System, "left").unwrap();
    left.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![packet]);
    expect_datagrams(&socket, 1000, 50);
    assert!(left.stats().unwrap().tx_packets < 10, "it left as outer super-packets");
}

/// A TCP super-packet of `count` segments of `size` bytes, in VXLAN from 10.0.0.9 to the host on the left.
fn tunnelled_tcp(size: u16, count: usize) -> Packet {
    let mut tcp =
        vec![0x1b, 0x58, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0];
    tcp.extend(payload(size, count));
    let mut ip = vec![0x45, 0];
    ip.extend((20 + tcp.len() as u16).to_be_bytes());
    ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 9, 0, 9, 10, 9, 0, 1]);
    let sum = packet::checksum::checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    // The pseudo-header's part.
    let mut pseudo = ip[12..20].to_vec();
    pseudo.extend([0, 6]);
    pseudo.extend((tcp.len() as u16).to_be_bytes());
    tcp[16..18].copy_from_slice(&(!packet::checksum::checksum(&pseudo)).to_be_bytes());
    let mut tunnel = vec![8, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0, 0, 0, 0x77, 2, 0, 0, 0, 0, 0x99, 8, 0];
    tunnel.extend(ip);
    tunnel.extend(tcp);
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 0]);
    frame.extend(udp_packet(Ipv4Addr::new(10, 0, 0, 9), LEFT, 4789, &tunnel));
    frame[40..42].fill(0); // no outer checksum
    let offload = Offload {
        csum: Csum::Partial { start: 84, offset: 16 },
        gso: Some(Gso { kind: GsoKind::Tcp4, size, ecn: false }),
        encap: Some(Encap {
            l3: 14,
            l4: 34,
            inner: 50,
            carrier: Carrier::Udp,
            csum: false,
            bare: false,
        }),
        plain: false,
    };
    Packet { offload, ..Packet::from_frame(&frame) }
}

#[test]
fn tunnel_super_packets_leave_whole_and_in_their_turn() {
    let bed = Bed::new();
    let left = bed.open(Kind::System, "left").unwrap();
    let open = || Opener::new(Clock::real()).open(Kind::System, "eth0", &BTreeMap::new());
    let far_end = bed.left.enter(open).unwrap().unwrap();
    let mut rx = far_end.take_rx_queues();
    let mut tx = left.tx_queue().unwrap();
    assert!(tx.accepts().tunnel, "until the first shows otherwise");
    let plain = |n: u8| Packet::from_frame(&[&[0xee; 14][..], &[n; 50]].concat());
    let sent = tunnelled_tcp(1000, 40);
    // The thread that sends is in the switch's namespace, as a worker is.
    bed.switch
        .enter(|| {
            let mut batch = vec![plain(1), sent.clone(), plain(2), tunnelled_tcp(500, 3), plain(3)];
            tx.send(&mut Pool::default(), &mut batch);
        })
        .unwrap();
    let is_ours = |p: &&Packet| p.bytes()[0] == 0xee || p.bytes()[6..12] == [2, 0, 0, 0, 0, 9];
    let got = receive(rx[0].as_mut(), 1000, |all| all.iter().filter(is_ours).count() == 5);
    let got: Vec<_> = got.iter().filter(is_ours).collect();
    let lengths = [64, sent.buf.len(), 64, tunnelled_tcp(500, 3).buf.len(), 64];
    assert_eq!(got.iter().map(|p| p.buf.len()).collect::<Vec<_>>(), lengths);
    assert_eq!((got[1].bytes(), got[1].offload), (sent.bytes(), sent.offload));
    assert!(tx.accepts().tunnel);

    // A driver that has the kernel cut them is better served by outer datagrams.
    let tunnels =
        |on| bed.switch.cmd(["ethtool", "-K", "left", "tx-udp_tnl-segmentation", on]).ok();
    tunnels("off").unwrap();
    left.refresh().unwrap();
    assert!(!tx.accepts().tunnel);
    tunnels("on").unwrap();
    left.refresh().unwrap();
    assert!(tx.accepts().tunnel);

    // The relay is there as long as the device is open.
    let relays = || bed.switch.ip("-br link show").unwrap().matches("fs-tx").count();
    assert_eq!(relays(), 1);

    // Without it nothing is lost.
    bed.switch.ip("link set fs-tx0 down").unwrap();
    tx.send(&mut Pool::default(), &mut vec![tunnelled_tcp(1000, 40)]);
    let segments = |all: &[Packet]| all.iter().filter(is_ours).count();
    let got = receive(rx[0].as_mut(), 1000, |all| segments(all) == 40);
    assert_eq!(segments(&got), 40);
    assert!(!tx.accepts().tunnel);
    drop((tx, left));
    let gone = || (relays() == 0).then_some(());
    testbed::wait::until("the relay to go", Duration::from_secs(5), gone).unwrap();
}

#[test]
fn taps_are_adopted_and_kept_as_told() {
    let bed = Bed::new();
    let open = |persistent: bool| {
        let opener = Opener::new(Clock::real());
        let opener = if persistent { opener.with_persistent_taps() } else { opener };
        let open = || opener.open(Kind::Internal, "br0", &BTreeMap::new());
        // A child of another test, between its fork and its exec, still has the descriptor of the one before.
        let open = || bed.switch.enter(open).unwrap().ok();
        testbed::wait::until("br0 to be free", Duration::from_secs(5), open).unwrap()
    };
    drop(open(false));
    let gone = || (!bed.switch.has("br0")).then_some(());
    testbed::wait::until("br0 to go", Duration::from_secs(5), gone).unwrap();
    let kept = open(true);
    let busy = bed.open(Kind::Tap, "br0").err().unwrap();
    assert!(
        busy.starts_with(
            "could not open network device br0 (Device or resource busy: another process"
        ),
        "{busy}"
    );
    drop(kept);
    assert!(bed.switch.has("br0"));
    let adopted = open(true);
    adopted.release().unwrap();
    drop(adopted);
    testbed::wait::until("br0 to go", Duration::from_secs(5), gone).unwrap();
    bed.switch.ip("tuntap add br0 mode tap").unwrap();
    drop(open(false));
    assert!(bed.switch.has("br0"), "it was there before");
    let taken = bed.open(Kind::Tap, "left").err().unwrap();
    assert!(taken.contains("exists and is not a tap"), "{taken}");
    let _ = bed.bed.prefix();
}

#[test]
fn a_tap_that_another_process_holds_is_a_system_device() {
    let bed = Bed::new();
    let vm = bed.open(Kind::Tap, "tap0").unwrap();
    vm.set_up(true).unwrap();
    let forwarder = Forwarder::start(
        bed.open(Kind::System, "tap0").unwrap(),
        bed.open(Kind::System, "left").unwrap(),
    );
    // What the machine sends through the tap arrives at the host on the left ..
    let socket = bed.left.enter(|| UdpSocket::bind((LEFT, 7000))).unwrap().unwrap();
    vm.tx_queue().unwrap().send(&mut Pool::default(), &mut vec![super_packet(1000, 40)]);
    expect_datagrams(&socket, 1000, 40);
    // .. and the answer (an ARP request for the sender) arrives at the machine.
    let _ = socket.send_to(b"x", "10.0.0.9:1");
    let frames =
        receive(vm.take_rx_queues()[0].as_mut(), 2000, |f| f.iter().any(|p| is_arp(p.bytes(), 12)));
    assert!(frames.iter().any(|p| is_arp(p.bytes(), 12)));
    forwarder.stop();
}
