//! AF_XDP devices in network namespaces, with the kernel's stack at their ends. Needs root.

mod bed;
mod forwarder;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bed::{Bed, LEFT, RIGHT, tcp};
use forwarder::{Forwarder, Report};
use netdev::{Device, Kind, Pool};
use packet::{Csum, Packet};
use rustix::io::Errno;
use sys::xdp::program::{Attach, Program, Sockets};
use testbed::probe::{self, Ping};

/// Devices of those kinds and modes at the switch's two ends.
fn pair(bed: &Bed, left: (Kind, &str), right: (Kind, &str)) -> [Arc<dyn Device>; 2] {
    let open = |name, (kind, mode): (Kind, &str)| {
        let options = [("xdp-mode", mode)];
        bed.open_with(kind, name, &options[..usize::from(!mode.is_empty())]).unwrap()
    };
    [open("left", left), open("right", right)]
}

fn assert_passed(report: &Report) {
    assert!(report.error.is_none(), "{:?}", report.error);
    for passed in report.passed {
        assert!(passed.packets > 0, "{passed:?}");
    }
}

fn left_server() -> SocketAddr {
    SocketAddr::new(LEFT.into(), 5001)
}

#[test]
fn tcp_passes_at_default_offloads_whatever_is_at_the_other_end() {
    for right in [(Kind::Afxdp, ""), (Kind::AfxdpNonpmd, "native"), (Kind::System, "")] {
        let bed = Bed::new();
        let [a, b] = pair(&bed, (Kind::Afxdp, "native"), right);
        assert_eq!(a.status().unwrap().details["xdp-mode-in-use"], "native");
        let forwarder = Forwarder::start(a, b);
        tcp(&bed.left, left_server(), &bed.right);
        assert_passed(&forwarder.stop());
    }
}

#[test]
fn every_mode_passes_pings_and_large_datagrams() {
    for mode in ["", "native", "generic"] {
        let bed = Bed::new();
        let [a, b] = pair(&bed, (Kind::Afxdp, mode), (Kind::Afxdp, mode));
        let forwarder = Forwarder::start(a, b);
        let how = Ping { count: 20, interval: Duration::from_millis(5), ..Ping::default() };
        let echoes = probe::ping(&bed.left, RIGHT, how).unwrap();
        assert_eq!(echoes.lost(), 0, "{mode}: {echoes}");
        let server = bed.left.enter(|| UdpSocket::bind((LEFT, 7000))).unwrap().unwrap();
        let client = bed.right.enter(|| UdpSocket::bind((RIGHT, 0))).unwrap().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for len in [0, 1, 17, 18, 19, 1000, 1471, 1472, 1473, 9000, 60_000] {
            let sent: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
            client.send_to(&sent, (LEFT, 7000)).unwrap();
            let mut got = vec![0; 65_536];
            let n = server.recv(&mut got).unwrap_or_else(|e| panic!("{mode}: {len} bytes: {e}"));
            assert!(got[..n] == sent, "{mode}: {len} bytes came damaged or as {n}");
        }
        assert_passed(&forwarder.stop());
    }
}

#[test]
fn generic_mode_passes_tcp_at_default_offloads() {
    let bed = Bed::new();
    let [a, b] = pair(&bed, (Kind::Afxdp, "generic"), (Kind::Afxdp, "generic"));
    let forwarder = Forwarder::start(a, b);
    tcp(&bed.left, left_server(), &bed.right);
    assert_passed(&forwarder.stop());
}

#[test]
fn tcp_over_ipv6_passes() {
    let bed = Bed::new();
    bed.left.ip("addr add fd00::1/64 dev eth0 nodad").unwrap();
    bed.right.ip("addr add fd00::2/64 dev eth0 nodad").unwrap();
    let [a, b] = pair(&bed, (Kind::Afxdp, ""), (Kind::Afxdp, ""));
    let forwarder = Forwarder::start(a, b);
    tcp(&bed.left, "[fd00::1]:5001".parse().unwrap(), &bed.right);
    assert_passed(&forwarder.stop());
}

#[test]
fn frames_longer_than_a_buffer_take_several() {
    let bed = Bed::new();
    for (ns, name) in
        [(&bed.left, "eth0"), (&bed.right, "eth0"), (&bed.switch, "left"), (&bed.switch, "right")]
    {
        ns.ip(&format!("link set {name} mtu 9000")).unwrap();
    }
    let [a, b] = pair(&bed, (Kind::Afxdp, ""), (Kind::Afxdp, ""));
    assert_eq!(a.tx_queue().unwrap().accepts().frame_max, 9018);
    let forwarder = Forwarder::start(a, b);
    tcp(&bed.left, left_server(), &bed.right);
    let report = forwarder.stop();
    assert_passed(&report);
    assert!(report.passed.iter().all(|p| p.longest > 8000), "{:?}", report.passed);
}

#[test]
fn what_cannot_be_had_is_refused_with_the_reason() {
    let bed = Bed::new();
    let refused =
        |name, options: &[(&str, &str)]| bed.open_with(Kind::Afxdp, name, options).err().unwrap();
    let why = refused("left", &[("n_rxq", "3")]);
    assert!(why.contains("options:n_rxq=3, but it has 1 receive queue;"), "{why}");
    let why = refused("left", &[("xdp-mode", "native-with-zerocopy")]);
    assert!(
        why.contains("xdp-mode=native-with-zerocopy: queue 0: Operation not supported"),
        "{why}"
    );
    assert!(why.contains("the driver has no zero-copy"), "{why}");
    let why = refused("left", &[("xdp-mode", "warp")]);
    assert!(why.contains("must be best-effort, native-with-zerocopy, native or generic"), "{why}");
    assert_eq!(refused("gone0", &[]), "could not open network device gone0 (No such device)");
    let why = refused("lo", &[]);
    assert!(why.contains("it is not an Ethernet interface"), "{why}");

    let held = bed.open(Kind::Afxdp, "left").unwrap();
    let why = refused("left", &[("xdp-mode", "native")]);
    assert!(why.contains("another program has an AF_XDP socket there"), "{why}");
    drop(held);
    bed.open(Kind::Afxdp, "left").expect("it is free again");
}

/// A program that somebody else has attached stays, and is named as what is in the way; when it has gone the device can be had.
#[test]
fn another_program_s_device_is_left_to_it() {
    let bed = Bed::new();
    let links = bed.switch.ip("-o link show left").unwrap();
    let ifindex: u32 = links.split(':').next().unwrap().trim().parse().unwrap();
    let attached = || bed.switch.ip("link show left").unwrap().contains("prog/xdp");
    for how in [Attach::Native, Attach::Generic] {
        let foreign = bed.switch.enter(|| {
            let program = Program::load(&Sockets::new(1).unwrap()).unwrap();
            program.attach(ifindex, how).unwrap()
        });
        let foreign = foreign.unwrap();
        for options in [&[][..], &[("xdp-mode", "native")], &[("xdp-mode", "generic")]] {
            let why = bed.open_with(Kind::Afxdp, "left", options).err().unwrap();
            assert!(why.contains("another XDP program is attached; `ip link set"), "{why}");
            assert!(attached(), "{how:?}");
        }
        drop(foreign);
        assert!(!attached());
        bed.open(Kind::Afxdp, "left").expect("nobody has it any more");
    }
}

#[test]
fn status_says_what_is_in_use_and_why_nothing_better() {
    let bed = Bed::new();
    let device = bed.open(Kind::Afxdp, "left").unwrap();
    let details = device.status().unwrap().details;
    assert_eq!(device.kind(), "afxdp");
    assert_eq!(details["driver_name"], "veth");
    assert_eq!(details["xdp-mode-in-use"], "native");
    assert_eq!(details["n_rxq"], "1");
    assert!(details["xdp-fallback"].starts_with("xdp-mode=native-with-zerocopy: "), "{details:?}");
    let generic = [("xdp-mode", "generic"), ("use-need-wakeup", "false")];
    let device = bed.open_with(Kind::AfxdpNonpmd, "right", &generic).unwrap();
    let details = device.status().unwrap().details;
    assert_eq!((device.kind(), details["xdp-mode-in-use"].as_str()), ("afxdp-nonpmd", "generic"));
    assert!(!details["xdp-features"].contains("need-wakeup"), "{details:?}");
    assert!(!details.contains_key("xdp-fallback"), "nothing better was asked for: {details:?}");
}

/// The program goes with the device: the host has its interface back at once, and a device can be opened at once.
#[test]
fn closing_gives_the_interface_back() {
    let bed = Bed::new();
    let attached = || bed.switch.cmd(["ip", "-d", "link", "show", "left"]).ok().unwrap();
    let offloads = || {
        let all = bed.left.cmd(["ethtool", "-k", "eth0"]).ok().unwrap();
        all.lines().find(|l| l.starts_with("tcp-segmentation-offload")).unwrap().to_owned()
    };
    assert!(!attached().contains("prog/xdp"));
    let before = offloads();
    for _ in 0..5 {
        let device = bed.open(Kind::Afxdp, "left").unwrap();
        assert!(attached().contains("prog/xdp"), "{}", attached());
        drop(device);
        assert!(!attached().contains("prog/xdp"), "{}", attached());
    }
    assert_eq!(offloads(), before);
    bed.switch.configure("left", Ipv4Addr::new(10, 0, 0, 9), 24).unwrap();
    let echoes = probe::ping(&bed.left, Ipv4Addr::new(10, 0, 0, 9), Ping::default()).unwrap();
    assert_eq!(echoes.lost(), 0, "{echoes}");
}

/// A driver that takes VLAN tags off frames does not while the device is open, and does again afterwards, if it did before.
#[test]
fn tags_are_left_in_the_frames_while_the_device_is_open() {
    let bed = Bed::new();
    let ethtool = |words: &str| {
        let line = format!("ethtool {words}");
        bed.switch.cmd(line.split_whitespace()).ok().unwrap()
    };
    let takes_tags_off = || {
        let all = ethtool("-k left");
        let mut states = all.lines().filter_map(|l| l.trim().strip_prefix("rx-vlan-offload: "));
        states.next().unwrap().starts_with("on")
    };
    for before in [true, false] {
        ethtool(&format!("-K left rxvlan {}", if before { "on" } else { "off" }));
        assert_eq!(takes_tags_off(), before);
        let device = bed.open_with(Kind::Afxdp, "left", &[]).unwrap();
        assert!(!takes_tags_off());
        // A veth's tags are the other end's business.
        let status = device.status().unwrap();
        assert_eq!(status.details["vlan-tags"], "lost, unless the other end has txvlan off");
        drop(device);
        assert_eq!(takes_tags_off(), before);
    }
    ethtool("-K left rxvlan on");
    assert!(bed.open_with(Kind::Afxdp, "left", &[("xdp-mode", "native-with-zerocopy")]).is_err());
    assert!(takes_tags_off(), "as it was, also when opening fails");
}

#[test]
fn packets_are_counted_and_losses_too() {
    let bed = Bed::new();
    let [a, b] = pair(&bed, (Kind::Afxdp, ""), (Kind::Afxdp, ""));
    let before = [a.stats().unwrap(), b.stats().unwrap()];
    let forwarder = Forwarder::start(a.clone(), b.clone());
    let how = Ping { count: 50, interval: Duration::from_millis(1), ..Ping::default() };
    assert_eq!(probe::ping(&bed.left, RIGHT, how).unwrap().lost(), 0);
    forwarder.stop();
    for (device, before) in [(&a, before[0]), (&b, before[1])] {
        let after = device.stats().unwrap();
        assert!((50..80).contains(&(after.rx_packets - before.rx_packets)), "{after:?} {before:?}");
        assert!((50..80).contains(&(after.tx_packets - before.tx_packets)), "{after:?} {before:?}");
        assert_eq!((after.rx_dropped, after.tx_dropped), (before.rx_dropped, before.tx_dropped));
    }
    // Nobody reads any more: what does not fit into the ring is counted as lost.
    let socket = bed.left.enter(|| UdpSocket::bind((LEFT, 0))).unwrap().unwrap();
    for _ in 0..6000 {
        socket.send_to(&[0; 18], (RIGHT, 9)).unwrap();
    }
    let lost = a.stats().unwrap().rx_dropped - before[0].rx_dropped;
    assert!((3000..4500).contains(&lost), "{lost} of 6000 with room for about 2048");
    let stats = a.stats().unwrap();
    assert_eq!(stats.rx_dropped - before[0].rx_dropped, lost, "asking twice changes nothing");
}

#[test]
fn a_device_that_goes_down_and_up_goes_on() {
    let bed = Bed::new();
    let [a, b] = pair(&bed, (Kind::Afxdp, ""), (Kind::Afxdp, ""));
    let forwarder = Forwarder::start(a.clone(), b);
    a.set_up(false).unwrap();
    assert!(!a.status().unwrap().admin_up);
    let mut tx = a.tx_queue().unwrap();
    for _ in 0..3 {
        tx.send(&mut Pool::default(), &mut vec![Packet::from_frame(&[0; 60]); 3]);
    }
    let dropped = a.stats().unwrap().tx_dropped;
    assert!(dropped >= 6, "{dropped}");
    a.set_up(true).unwrap();
    tcp(&bed.left, left_server(), &bed.right);
    assert_passed(&forwarder.stop());
}

#[test]
fn a_device_that_vanishes_harms_nobody() {
    let bed = Bed::new();
    let device = bed.open(Kind::Afxdp, "left").unwrap();
    let mut tx = device.tx_queue().unwrap();
    bed.switch.ip("link del left").unwrap();
    assert!(device.status().is_err());
    for _ in 0..3 {
        let mut batch = vec![Packet::from_frame(&[0; 60]); 3];
        tx.send(&mut Pool::default(), &mut batch);
        assert!(batch.is_empty());
    }
    let mut rx = device.take_rx_queues();
    let error = rx[0].recv(&mut Pool::default(), 32, &mut Vec::new()).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::NODEV));
    drop((device, rx, tx));
    bed.cable("left", &bed.left);
    bed.open(Kind::Afxdp, "left").expect("there is another of that name");
}

/// What a guest's stack leaves unfinished is known to be, and its bytes are what the stack handed out.
#[test]
fn unfinished_checksums_of_guests_are_recognised() {
    let bed = Bed::new();
    let device = bed.open(Kind::Afxdp, "left").unwrap();
    let socket = bed.left.enter(|| UdpSocket::bind((LEFT, 7000))).unwrap().unwrap();
    bed.left.ip("neigh add 10.0.0.2 lladdr 02:00:00:00:00:08 dev eth0").unwrap();
    socket.send_to(b"some bytes", (RIGHT, 7001)).unwrap();
    let ours = |p: &&Packet| p.bytes()[..6] == [2, 0, 0, 0, 0, 8];
    let got =
        bed::receive(device.take_rx_queues()[0].as_mut(), 5000, |got| got.iter().any(|p| ours(&p)));
    let mut packet = got.iter().find(ours).unwrap().clone();
    assert_eq!(packet.offload.csum, Csum::Partial { start: 34, offset: 6 });
    packet::gso::complete_csum(&mut packet).unwrap();
    let at = packet::wire::locate(packet.bytes()).unwrap();
    let mut sum = at.pseudo(packet.bytes(), at.end - at.l4).unwrap();
    sum.add(packet::checksum::sum(&packet.bytes()[at.l4..at.end]));
    assert_eq!(sum.checksum(), 0, "{packet:?}");
}
