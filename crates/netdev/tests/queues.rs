//! Ports with several receive queues, and what may be asked of ports of the host. Needs root.

mod bed;
mod forwarder;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use base::Clock;
use bed::{Bed, LEFT, RIGHT, receive, tcp};
use forwarder::Forwarder;
use netdev::{Accepts, Device, Kind, Opener};
use packet::Packet;
use testbed::Netns;

const FLOWS: usize = 32;
const EACH: u8 = 8;
/// Where the datagrams go.
const PORT: u16 = 4000;

/// Sends datagrams of many flows from a namespace, in turn; each flow's are numbered.
fn send_flows(from: &Netns, address: Ipv4Addr, to: Ipv4Addr) {
    let open = || UdpSocket::bind((address, 0)).unwrap();
    let sockets: Vec<UdpSocket> = from.enter(|| (0..FLOWS).map(|_| open()).collect()).unwrap();
    // Connected, or the kernel would have no hash for a tap to choose the queue by.
    sockets.iter().for_each(|socket| socket.connect((to, PORT)).unwrap());
    for n in 0..EACH {
        for socket in &sockets {
            socket.send(&[n; 18]).unwrap();
        }
    }
}

/// Source port and number, if it is one of the datagrams.
fn numbered(packet: &Packet) -> Option<(u16, u8)> {
    let bytes = packet.bytes();
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let is_ours = bytes.len() >= 60 && bytes[12..14] == [8, 0] && bytes[23] == 17;
    (is_ours && port(36) == PORT).then(|| (port(34), bytes[42]))
}

/// Everything has come, once, each flow's in order and by one queue; and no queue was spared.
fn assert_shared(device: &Arc<dyn Device>, queues: usize, send: impl FnOnce()) {
    let mut rx = device.take_rx_queues();
    assert_eq!(rx.len(), queues);
    assert_eq!(device.status().unwrap().details["n_rxq"], queues.to_string());
    send();
    let mut flows: BTreeMap<u16, (usize, Vec<u8>)> = BTreeMap::new();
    for (queue, rx) in rx.iter_mut().enumerate() {
        let got = receive(rx.as_mut(), 200, |_| false);
        let got: Vec<_> = got.iter().filter_map(numbered).collect();
        assert!(!got.is_empty(), "queue {queue} was spared");
        for (port, n) in got {
            let (home, numbers) = flows.entry(port).or_insert((queue, Vec::new()));
            assert_eq!(*home, queue, "the flow from port {port} is in two queues");
            numbers.push(n);
        }
    }
    assert_eq!(flows.len(), FLOWS);
    for (port, (_, numbers)) in flows {
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "from port {port}");
    }
}

#[test]
fn a_system_port_shares_its_frames_out_by_flow() {
    let bed = Bed::new();
    let device = bed.open_with(Kind::System, "left", &[("n_rxq", "3")]).unwrap();
    bed.left.ip("neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev eth0").unwrap();
    assert_shared(&device, 3, || send_flows(&bed.left, LEFT, RIGHT));
}

#[test]
fn what_is_sent_comes_back_to_no_queue() {
    let bed = Bed::new();
    let device = bed.open_with(Kind::System, "left", &[("n_rxq", "2")]).unwrap();
    let mut tx: Vec<_> = (0..2).map(|_| device.tx_queue().unwrap()).collect();
    let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[0x88, 0xb5], &[7; 50]].concat();
    for tx in &mut tx {
        tx.send(&mut Default::default(), &mut vec![Packet::from_frame(&frame)]);
    }
    for rx in &mut device.take_rx_queues() {
        let got = receive(rx.as_mut(), 100, |_| false);
        assert!(got.iter().all(|packet| packet.bytes() != frame), "{got:?}");
    }
}

#[test]
fn a_tap_shares_its_frames_out_by_flow() {
    let bed = Bed::new();
    let tap = bed.open_with(Kind::Internal, "br0", &[("n_rxq", "3")]).unwrap();
    bed.switch.configure("br0", RIGHT, 24).unwrap();
    bed.switch.ip("neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev br0").unwrap();
    assert_shared(&tap, 3, || send_flows(&bed.switch, RIGHT, LEFT));
}

#[test]
fn tcp_passes_between_ports_that_finish_everything() {
    let bed = Bed::new();
    let off = [("tx-offload", "off")];
    let tap = bed.open_with(Kind::Internal, "br0", &off).unwrap();
    let left = bed.open_with(Kind::System, "left", &off).unwrap();
    for device in [&tap, &left] {
        assert_eq!(device.status().unwrap().details["tx-offload-in-use"], "none");
        let accepts = device.tx_queue().unwrap().accepts();
        assert_eq!(accepts, accepts.complete_only());
        device.refresh().unwrap();
        assert_eq!(device.tx_queue().unwrap().accepts(), accepts, "also when looked at anew");
    }
    bed.switch.configure("br0", RIGHT, 24).unwrap();
    let forwarder = Forwarder::start(tap, left);
    tcp(&bed.left, SocketAddr::new(LEFT.into(), 5001), &bed.switch);
    assert!(forwarder.stop().error.is_none());
}

#[test]
fn status_names_the_way_that_bytes_go() {
    let bed = Bed::new();
    let details = |kind, name: &str, options: &[(&str, &str)]| {
        let device = bed.open_with(kind, name, options).unwrap();
        let Accepts { tunnel, .. } = device.tx_queue().unwrap().accepts();
        (device.status().unwrap().details, tunnel)
    };
    let (auto, tunnel) = details(Kind::System, "left", &[]);
    assert_eq!((auto["io-path"].as_str(), auto["n_rxq"].as_str()), ("packet-socket", "1"));
    assert_eq!(auto["tunnel-path"], "relay, when needed");
    assert_eq!(auto["tx-offload-in-use"], "checksum, tcp, udp, tunnel");
    assert!(tunnel);
    let (udp, tunnel) = details(Kind::System, "left", &[("tx-offload", "udp")]);
    assert_eq!((udp["tunnel-path"].as_str(), tunnel), ("udp", false));
    assert_eq!(udp["tx-offload-in-use"], "checksum, tcp, udp");
    let (relay, tunnel) = details(Kind::System, "left", &[("tx-offload", "relay")]);
    assert!(relay["tunnel-path"].starts_with("relay fs-tx") && tunnel, "{relay:?}");
    let (tap, _) = details(Kind::Tap, "tap0", &[]);
    assert_eq!((tap["io-path"].as_str(), tap["n_rxq"].as_str()), ("tap", "1"));
    // A driver that would have the kernel cut tunnels' packets anyway.
    bed.switch.cmd(["ethtool", "-K", "left", "tx-udp_tnl-segmentation", "off"]).ok().unwrap();
    let (cut, _) = details(Kind::System, "left", &[]);
    assert_eq!((cut["tunnel-path"].as_str()), "udp");
    assert!(cut["tunnel-fallback"].contains("tx-udp_tnl-segmentation"), "{cut:?}");
    let why = bed.open_with(Kind::System, "left", &[("tx-offload", "relay")]).err().unwrap();
    assert_eq!(
        why,
        "could not open network device left (options:tx-offload=relay: the driver does not segment \
         tunnels itself (tx-udp_tnl-segmentation, tx-tcp-segmentation))"
    );
}

#[test]
fn what_cannot_be_had_is_refused_by_name() {
    let bed = Bed::new();
    for (kind, name, key, value) in [
        (Kind::System, "left", "n_rxq", "0"),
        (Kind::System, "left", "tx-offload", "yes"),
        (Kind::Tap, "tap0", "n_rxq", "65"),
        (Kind::Internal, "br0", "tx-offload", "relay"),
    ] {
        let why = bed.open_with(kind, name, &[(key, value)]).err().unwrap();
        let want =
            format!("could not open network device {name} (options:{key}={value:?} must be ");
        assert!(why.starts_with(&want), "{why}");
    }
}

/// A tap that outlives its switch keeps its width.
#[test]
fn a_tap_left_behind_is_adopted_if_it_is_wide_enough() {
    let bed = Bed::new();
    let open = |name: &str, queues: &str| {
        let options = BTreeMap::from([("n_rxq".to_owned(), queues.to_owned())]);
        let opener = Opener::new(Clock::real()).with_persistent_taps();
        let open = || opener.open(Kind::Internal, name, &options).map_err(|e| e.to_string());
        bed.switch.enter(open).unwrap()
    };
    drop(open("wide", "2").unwrap());
    assert_eq!(open("wide", "1").unwrap().take_rx_queues().len(), 1);
    assert_eq!(open("wide", "2").unwrap().take_rx_queues().len(), 2);
    drop(open("narrow", "1").unwrap());
    assert_eq!(
        open("narrow", "2").err().unwrap(),
        "could not open network device narrow (options:n_rxq=2: it exists with one queue; \
         `ip link del narrow` lets it be made anew)"
    );
    assert_eq!(open("narrow", "1").unwrap().take_rx_queues().len(), 1);
}
