//! What the tests of devices share: namespaces with cables between them, and traffic that is checked byte by byte.
#![allow(dead_code, unreachable_pub, missing_docs)] // each user takes what it needs

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use netdev::{Device, Kind, Opener, Pool, Received, RxQueue};
use packet::Packet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testbed::bed::Sharing;
use testbed::{Netns, Testbed};

use crate::forwarder::Forwarder;

/// A namespace for the switch and two for hosts, each with `eth0` whose other end is `left` or `right` in the switch's.
pub struct Bed {
    pub bed: Testbed,
    opener: Opener,
    pub switch: Netns,
    pub left: Netns,
    pub right: Netns,
}

pub const LEFT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

impl Bed {
    pub fn new() -> Self {
        let bed = Testbed::new(Sharing::Shared).unwrap();
        let [switch, left, right] = ["sw", "l", "r"].map(|name| bed.netns(name).unwrap());
        let opener = Opener::new(Clock::real());
        let bed = Self { bed, opener, switch, left, right };
        bed.cable("left", &bed.left);
        bed.cable("right", &bed.right);
        bed.left.configure("eth0", LEFT, 24).unwrap();
        bed.right.configure("eth0", RIGHT, 24).unwrap();
        bed
    }

    pub fn cable(&self, port: &str, host: &Netns) {
        host.sysctl("ipv6/conf/all/disable_ipv6", "0").unwrap();
        self.switch
            .ip(&format!("link add {port} type veth peer name eth0 netns {}", host.name()))
            .unwrap();
        // The switch's side has no address of any kind, so that its stack says nothing.
        self.switch.sysctl(&format!("ipv6/conf/{port}/disable_ipv6"), "1").unwrap();
        self.switch.ip(&format!("link set {port} up")).unwrap();
    }

    pub fn open(&self, kind: Kind, name: &str) -> Result<Arc<dyn Device>, String> {
        self.open_with(kind, name, &[])
    }

    pub fn open_with(
        &self,
        kind: Kind,
        name: &str,
        options: &[(&str, &str)],
    ) -> Result<Arc<dyn Device>, String> {
        self.switch.enter(|| open_by(&self.opener, kind, name, options)).unwrap()
    }

    pub fn forwarder(&self) -> Forwarder {
        let [left, right] = ["left", "right"].map(|port| self.open(Kind::System, port).unwrap());
        Forwarder::start(left, right)
    }
}

/// Opens a device where this thread is.
pub fn open(kind: Kind, name: &str, options: &[(&str, &str)]) -> Result<Arc<dyn Device>, String> {
    open_by(&Opener::new(Clock::real()), kind, name, options)
}

fn open_by(
    opener: &Opener,
    kind: Kind,
    name: &str,
    options: &[(&str, &str)],
) -> Result<Arc<dyn Device>, String> {
    let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    opener.open(kind, name, &options).map_err(|e| e.to_string())
}

/// Bytes sent each way by [`tcp`].
pub const TCP_BYTES: usize = 16 << 20;

/// The byte at a place of a stream, different enough that no packet's worth equals its neighbour.
fn pattern(at: usize) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

/// Sends a pattern both ways at once over TCP and checks each byte.
pub fn tcp(server: &Netns, address: SocketAddr, client: &Netns) {
    let listener = server.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    let stream = client
        .enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(10)))
        .unwrap()
        .unwrap();
    let accepted = listener.accept().unwrap().0;
    let ends = [accepted, stream];
    std::thread::scope(|s| {
        for end in &ends {
            end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            end.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
            let data: Vec<u8> = (0..TCP_BYTES).map(pattern).collect();
            s.spawn(move || (&mut &*end).write_all(&data).unwrap());
            s.spawn(move || {
                let mut got = vec![0; TCP_BYTES];
                (&mut &*end).read_exact(&mut got).unwrap();
                assert!(
                    got.iter().enumerate().all(|(at, byte)| *byte == pattern(at)),
                    "bytes were damaged"
                );
            });
        }
    });
}

/// Receives until `enough` or until nothing has come for a while.
pub fn receive(
    rx: &mut dyn RxQueue,
    millis: i64,
    enough: impl Fn(&[Packet]) -> bool,
) -> Vec<Packet> {
    let timeout = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
    let mut frames = Vec::new();
    while !enough(&frames)
        && poll(&mut [PollFd::new(&rx.fd(), PollFlags::IN)], Some(&timeout)).unwrap() > 0
    {
        while rx.recv(&mut Pool::default(), 32, &mut frames).unwrap() == Received::More {}
    }
    frames
}
