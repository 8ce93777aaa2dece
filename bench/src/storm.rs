//! Small datagrams, as many as one thread can send.
//!
//! An ordinary UDP socket sends one by one, and its kernel path costs the thread more than the switch spends on them: such a storm
//! would measure itself. So the frames are ready-made and go out in batches by a packet socket in the guest, each with its
//! UDP checksum left to the device, as a guest's stack leaves it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use packet::checksum::{Sum, checksum};
use sys::mmsg::{HEAD, Sender};
use sys::{ifreq, packet_socket};
use testbed::guest::{DEVICE, Guest};
use testbed::{Error, Result, wait};

/// Payload of a datagram in a 60-byte frame (64 with the frame check sequence).
pub(crate) const SMALL: usize = 18;
/// Datagrams sent by one system call.
const BATCH: usize = 32;

/// A storm that is ready to start.
pub(crate) struct Storm {
    socket: OwnedFd,
    /// A batch; of its flows in turn.
    frames: Vec<Vec<u8>>,
}

impl Storm {
    /// From one guest to a port of another, in `flows` flows.
    pub(crate) fn new(from: &Guest, to: &Guest, port: u16, flows: usize) -> Result<Self> {
        let macs = [mac(&to.ns.mac(DEVICE)?)?, mac(&from.ns.mac(DEVICE)?)?];
        let ends = (from.address, to.address);
        let first = 20_000;
        let ports = (0..BATCH).map(|i| first + (i % flows) as u16);
        let frames = ports.map(|source| frame(macs, ends, (source, port))).collect();
        let open = || -> io::Result<OwnedFd> {
            let socket = packet_socket::open()?;
            packet_socket::set_vnet_header(socket.as_fd())?;
            packet_socket::ignore_outgoing(socket.as_fd())?;
            packet_socket::bind(socket.as_fd(), ifreq::index(socket.as_fd(), DEVICE)?)?;
            Ok(socket)
        };
        let failed = |source| Error::Io { what: "a packet socket".to_owned(), source };
        let socket = from.ns.enter(open)?.map_err(failed)?;
        Ok(Self { socket, frames })
    }

    /// Sends until told to stop, as fast as it can.
    pub(crate) fn rage(&self, stop: &AtomicBool) {
        let mut sender = Sender::new(BATCH);
        while !stop.load(Ordering::Relaxed) {
            self.send(&mut sender);
        }
    }

    /// Sends until told to stop, so many a second in evenly spaced batches.
    pub(crate) fn flow(&self, rate: u32, stop: &AtomicBool) {
        let mut sender = Sender::new(BATCH);
        let apart = Duration::from_secs(1) * BATCH as u32 / rate;
        let mut next = wait::now();
        while !stop.load(Ordering::Relaxed) {
            self.send(&mut sender);
            next = next + apart;
            std::thread::sleep(next.since(wait::now()));
        }
    }

    /// One batch.
    fn send(&self, sender: &mut Sender) {
        let mut head = [0; HEAD];
        head[0] = 1; // the checksum is to be computed ..
        head[6..8].copy_from_slice(&34u16.to_ne_bytes()); // .. from here on ..
        head[8..10].copy_from_slice(&6u16.to_ne_bytes()); // .. and goes there.
        let batch = self.frames.iter().map(|frame| (head, frame.as_slice()));
        // A full queue refuses now and then; the next batch may pass.
        let _ = sender.send(self.socket.as_fd(), batch);
    }
}

fn mac(text: &str) -> Result<[u8; 6]> {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
    let bytes = bytes.collect::<Option<Vec<_>>>().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Error::Missing(format!("{text} is no Ethernet address")))
}

fn frame(
    macs: [[u8; 6]; 2],
    (from, to): (Ipv4Addr, Ipv4Addr),
    (source, port): (u16, u16),
) -> Vec<u8> {
    let len = 8 + SMALL;
    let mut ip = vec![0x45, 0];
    ip.extend((20 + len as u16).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let pseudo = Sum::pseudo_v4(from.to_bits(), to.to_bits(), 17, len).fold();
    let mut frame = macs.concat();
    frame.extend([8, 0]);
    frame.extend(ip);
    for half in [source, port, len as u16, pseudo] {
        frame.extend(half.to_be_bytes());
    }
    frame.extend([0; SMALL]);
    frame
}
