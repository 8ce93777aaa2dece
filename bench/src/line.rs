//! Ports of one switch whose other ends are packet sockets: frames go in by one and come out by another.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use packet::checksum::checksum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::mmsg::{HEAD, Receiver, Sender};
use sys::{ifreq, packet_socket};
use testbed::netns::cable;
use testbed::{Error, Host, Netns, Result, Testbed};

/// Frames by one system call.
pub(crate) const BATCH: usize = 32;
/// Of a frame.
const LEN: usize = 64;
/// Where a frame's number is.
const NUMBER: std::ops::Range<usize> = 42..46;
/// The type of its datagrams: UDP.
const UDP: u8 = 17;

/// The other end of a port.
pub(crate) struct Line {
    pub(crate) ns: Netns,
    socket: OwnedFd,
    sender: Sender,
    receiver: Receiver,
    buffers: Vec<[u8; 128]>,
}

impl Line {
    /// Adds port `number` to the bridge `br0` of a host, and goes to its other end.
    pub(crate) fn plug(bed: &Testbed, host: &Host, number: u16) -> Result<Self> {
        Self::plug_into(bed, host, "br0", number)
    }

    /// The same of another bridge; numbers are the host's.
    pub(crate) fn plug_into(bed: &Testbed, host: &Host, bridge: &str, number: u16) -> Result<Self> {
        // A bed may have several hosts.
        let of = host.dir().file_name().unwrap_or_default().to_string_lossy();
        let ns = bed.netns(&format!("{of}-end{number}"))?;
        let name = format!("p{number}");
        for quiet in [&host.ns, &ns] {
            quiet.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        }
        cable((&host.ns, &name), (&ns, "eth0"))?;
        host.ns.ip(&format!("link set {name} up"))?;
        ns.ip("link set eth0 up")?;
        host.vsctl(&format!(
            "add-port {bridge} {name} -- set interface {name} ofport_request={number}"
        ))?;
        let open = || -> io::Result<OwnedFd> {
            let socket = packet_socket::open()?;
            packet_socket::set_vnet_header(socket.as_fd())?;
            packet_socket::ignore_outgoing(socket.as_fd())?;
            packet_socket::bind(socket.as_fd(), ifreq::index(socket.as_fd(), "eth0")?)?;
            Ok(socket)
        };
        let socket = ns.enter(open)?.map_err(Error::io("a packet socket"))?;
        let (sender, receiver) = (Sender::new(BATCH), Receiver::new(BATCH));
        Ok(Self { ns, socket, sender, receiver, buffers: vec![[0; 128]; BATCH] })
    }

    /// Sends frames, as many as there is room for. Says how many.
    pub(crate) fn send(&mut self, frames: &[Vec<u8>]) -> usize {
        let batch = frames.iter().map(|frame| ([0; HEAD], frame.as_slice()));
        self.sender.send(self.socket.as_fd(), batch).unwrap_or(0)
    }

    /// The numbers of the frames that have come, waiting at most so long for the first.
    pub(crate) fn receive(&mut self, limit: Duration) -> Vec<u32> {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        let came = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
        if !came.is_ok_and(|n| n > 0) {
            return Vec::new();
        }
        let buffers = self.buffers.iter_mut().map(|b| b.as_mut_slice());
        let count = self.receiver.recv(self.socket.as_fd(), buffers).unwrap_or(0);
        let number = |frame: &[u8; 128]| frame[NUMBER].try_into().map_or(0, u32::from_be_bytes);
        self.buffers[..count].iter().map(number).collect()
    }

    /// Frames that have come to this end since it is there.
    pub(crate) fn arrived(&self) -> u64 {
        self.ns.counters("eth0").unwrap_or_default().rx_packets
    }
}

/// A datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    pub(crate) addresses: [u32; 2],
    pub(crate) ports: [u16; 2],
    pub(crate) number: u32,
}

impl Datagram {
    /// The frame that it travels in.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut ip = vec![0x45, 0];
        ip.extend((LEN as u16 - 14).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
        self.addresses.iter().for_each(|address| ip.extend(address.to_be_bytes()));
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend(ip);
        let length = LEN as u16 - 34;
        // A checksum of 0: there is none.
        [self.ports[0], self.ports[1], length, 0]
            .iter()
            .for_each(|n| frame.extend(n.to_be_bytes()));
        frame.extend(self.number.to_be_bytes());
        frame.resize(LEN, 0);
        frame
    }
}
