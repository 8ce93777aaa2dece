//! The memory that AF_XDP devices share, in network namespaces. Needs root.

mod bed;
mod forwarder;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use bed::{Bed, LEFT, RIGHT, tcp};
use forwarder::Forwarder;
use netdev::{Kind, Pool};
use packet::Buf;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use sys::xdp::program::{Attach, Program, Sockets};
use sys::xdp::{self, Chunks, Config, Frame, Sharing, Umems};
use testbed::wait;

const CONFIG: Config = Config {
    depth: 256,
    zero_copy: false,
    need_wakeup: true,
    multi_buffer: false,
    checksums: false,
    node: None,
};

fn server() -> SocketAddr {
    SocketAddr::new(LEFT.into(), 5001)
}

/// A socket of the left guest whose datagrams need no answer to be sent.
fn sender(bed: &Bed) -> UdpSocket {
    bed.left.ip("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:08 dev eth0").unwrap();
    bed.left.enter(|| UdpSocket::bind((LEFT, 7000))).unwrap().unwrap()
}

#[test]
fn a_packet_leaves_in_the_chunk_that_it_came_in() {
    let bed = Bed::new();
    let umems = Umems::default();
    let index = |name: &str| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        sys::ifreq::index(socket.as_fd(), name).unwrap()
    };
    let (mut rx, other, mut tx, _link) = bed
        .switch
        .enter(|| {
            let [left, right] = ["left", "right"].map(index);
            let (rx, _) = xdp::open(left, 0, CONFIG, &umems).unwrap();
            let (other, tx) = xdp::open(right, 0, CONFIG, &umems).unwrap();
            let table = Sockets::new(1).unwrap();
            table.set(0, rx.fd()).unwrap();
            let link = Program::load(&table).unwrap().attach(left, Attach::Native).unwrap();
            (rx, other, tx, link)
        })
        .unwrap();
    assert_eq!([rx.sharing(), other.sharing()], [Sharing::Shared; 2]);
    let socket = sender(&bed);
    let arrived = || bed.right.counters("eth0").unwrap().rx_packets;
    let before = arrived();
    let mut chunks = Chunks::default();
    let mut sent = 0;
    // More than there are chunks.
    while sent < 20_000 {
        for _ in 0..100 {
            socket.send_to(b"some bytes", (RIGHT, 7001)).unwrap();
        }
        while let Some(frame) = rx.next(&mut chunks) {
            let Frame::Whole(chunk, at) = frame else { panic!("to be copied") };
            let mut buf = Buf::of(chunk.into_block(), at);
            let base = buf.as_slice().as_ptr();
            buf.prepend(&[0xff; 50]);
            assert_eq!(buf.as_slice()[50..].as_ptr(), base, "there is room in front");
            let (block, at) = buf.into_block();
            assert!(tx.push(block, at, None, &mut chunks).unwrap().is_none(), "it was copied");
            sent += 1;
        }
        rx.done();
        // It takes some of them at a time.
        let _ = tx.kick();
        while tx.waiting() > 0 {
            let _ = tx.kick();
        }
        tx.reap(&mut chunks);
    }
    wait::until("all of them", Duration::from_secs(5), || {
        tx.reap(&mut chunks);
        (arrived() - before >= sent).then_some(())
    })
    .unwrap();
}

#[test]
fn devices_share_memory_as_they_come_and_go() {
    let bed = Bed::new();
    let open = |name| {
        let device = bed.open(Kind::Afxdp, name).unwrap();
        assert_eq!(device.status().unwrap().details["umem"], "shared");
        device
    };
    let mut left = open("left");
    for round in 0..3 {
        let right = open("right");
        let forwarder = Forwarder::start(left, right);
        tcp(&bed.left, server(), &bed.right);
        assert!(forwarder.stop().error.is_none());
        // The first one has gone; in the last round, its interface too.
        left = if round == 1 {
            let device = open("left");
            bed.switch.ip("link del left").unwrap();
            let right = open("right");
            drop(device);
            bed.cable("left", &bed.left);
            bed.left.configure("eth0", LEFT, 24).unwrap();
            // The new interface has another address.
            bed.right.ip("neigh flush dev eth0").unwrap();
            drop(right);
            open("left")
        } else {
            open("left")
        };
    }
}

/// Somebody who keeps all packets for himself does not keep others from coming: they are copied.
#[test]
fn packets_that_are_held_stop_nobody() {
    const HELD: usize = 15_000;
    let bed = Bed::new();
    let device = bed.open(Kind::Afxdp, "left").unwrap();
    let mut rx = device.take_rx_queues().pop().unwrap();
    let socket = sender(&bed);
    let mut pool = Pool::default();
    let mut held = Vec::new();
    let mut n = 0u32;
    while held.len() < HELD {
        for _ in 0..500 {
            socket.send_to(&n.to_be_bytes(), (RIGHT, 7001)).unwrap();
            n += 1;
        }
        while rx.recv(&mut pool, 32, &mut held).unwrap() == netdev::Received::More {}
    }
    held.retain(|packet| packet.bytes()[..6] == [2, 0, 0, 0, 0, 8]);
    assert_eq!(held.len(), n as usize, "of so many");
    for (n, packet) in (0u32..).zip(&held) {
        assert_eq!(packet.bytes()[42..46], n.to_be_bytes());
    }
    assert_eq!(device.stats().unwrap().rx_dropped, 0);
}

/// Where little memory may be locked, ports have less of it, and none where there is too little.
#[test]
fn a_limit_of_locked_memory_is_kept() {
    let bed = Bed::new();
    let limited = |limit: u64, name: &'static str| {
        let device = bed.switch.enter(|| {
            let mut caps = capabilities(None).unwrap();
            caps.effective -= CapabilitySet::IPC_LOCK;
            set_capabilities(None, caps).unwrap();
            let before = getrlimit(Resource::Memlock);
            let low = Rlimit { current: Some(limit), maximum: before.maximum };
            setrlimit(Resource::Memlock, low).unwrap();
            let outcome = bed::open(Kind::Afxdp, name, &[("xdp-mode", "native")]);
            setrlimit(Resource::Memlock, before).unwrap();
            caps.effective |= CapabilitySet::IPC_LOCK;
            set_capabilities(None, caps).unwrap();
            outcome
        });
        device.unwrap()
    };
    let device = limited(8 << 20, "left").unwrap();
    let umem = &device.status().unwrap().details["umem"];
    assert_eq!(umem, "own: the limit of locked memory is too low to share");
    let right = bed.open(Kind::Afxdp, "right").unwrap();
    let forwarder = Forwarder::start(device, right);
    tcp(&bed.left, server(), &bed.right);
    assert!(forwarder.stop().error.is_none());
    let why = limited(1 << 20, "left").err().unwrap();
    assert!(why.contains("the limit of locked memory is too low (ulimit -l)"), "{why}");
}

#[test]
fn the_driver_can_be_polled() {
    let bed = Bed::new();
    let plain = bed.open(Kind::Afxdp, "left").unwrap();
    assert_eq!(plain.status().unwrap().details["xdp-busy-poll"], "off");
    drop(plain);
    let options = [("xdp-busy-poll", "64")];
    let [a, b] = ["left", "right"].map(|n| bed.open_with(Kind::Afxdp, n, &options).unwrap());
    assert_eq!(a.status().unwrap().details["xdp-busy-poll"], "64");
    let rx = a.take_rx_queues();
    assert!(rx[0].polled());
    drop((rx, a));
    let a = bed.open_with(Kind::Afxdp, "left", &options).unwrap();
    let forwarder = Forwarder::start(a, b);
    tcp(&bed.left, server(), &bed.right);
    assert!(forwarder.stop().error.is_none());
}
