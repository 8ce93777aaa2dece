//! The two ends of a socket: frames to packets, packets to frames.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use packet::{Buf, Csum, Offload, Packet};
use rustix::io::Errno;
use rustix::net::sockopt;
use sys::xdp::{self, Checksum, Frame, Refused};

use super::{Mode, Shared};
use crate::finish::finish;
use crate::repair::repair;
use crate::vnet::is_too_long;
use crate::{Accepts, Pool, Received, RxQueue, TxQueue};

/// How often a batch is kicked again when the kernel has no room for more.
const PATIENCE: usize = 16;

/// The receiving side.
pub(super) struct Rx {
    shared: Arc<Shared>,
    half: xdp::Rx,
    /// A packet of which more frames are to come.
    part: Option<Buf>,
    /// The rest of a packet that was too long.
    skipping: bool,
}

impl Rx {
    pub(super) fn new(shared: Arc<Shared>, half: xdp::Rx) -> Self {
        Self { shared, half, part: None, skipping: false }
    }
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.half.fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let Self { shared, half, part, skipping } = self;
        let mut count = 0;
        if shared.busy_poll.is_some() && half.is_empty() {
            half.poll();
        }
        while count < max
            && let Some(frame) = half.next(&mut pool.chunks)
        {
            count += 1;
            let (bytes, more) = match frame {
                Frame::Whole(chunk, at) => {
                    shared.accept(Buf::of(chunk.into_block(), at), pool, out);
                    continue;
                }
                Frame::Piece(bytes, more) => (bytes, more),
                Frame::Nonsense => {
                    shared.losses.rx_malformed.inc();
                    continue;
                }
            };
            let mut buf = part.take().unwrap_or_else(|| pool.take());
            if *skipping || bytes.len() > buf.tailroom() {
                pool.put(buf);
                if !more {
                    shared.losses.rx_malformed.inc();
                }
                *skipping = more;
                continue;
            }
            buf.extend(bytes);
            if more {
                *part = Some(buf);
            } else {
                shared.accept(buf, pool, out);
            }
        }
        if count > 0 {
            half.done();
        }
        match count {
            0 => shared.is_alive(half.fd()).map(|()| Received::Drained),
            _ if count == max => Ok(Received::More),
            _ => Ok(Received::Drained),
        }
    }

    fn arm(&mut self) -> Received {
        match self.shared.busy_poll {
            Some(_) if !self.half.is_empty() => Received::More,
            _ => Received::Drained,
        }
    }

    /// Where the driver is to be asked, nothing comes to the descriptor before that.
    fn polled(&self) -> bool {
        self.shared.busy_poll.is_some()
    }
}

impl Shared {
    /// Makes a packet of a received frame.
    fn accept(&self, mut buf: Buf, pool: &mut Pool, out: &mut Vec<Packet>) {
        match self.judge(buf.as_mut_slice()) {
            Some(offload) => out.push(Packet { buf, offload }),
            None => {
                self.losses.rx_malformed.inc();
                pool.put(buf);
            }
        }
    }

    /// What is unfinished in a frame. `None`: it cannot be used.
    fn judge(&self, frame: &mut [u8]) -> Option<Offload> {
        let csum = if self.repairs { repair(frame) } else { Csum::Complete };
        let generic = self.mode == Mode::Generic;
        if generic {
            self.segments.hear(frame);
        }
        let frame_max = self.accepts.get().frame_max;
        if frame.len() <= frame_max as usize {
            Some(Offload { csum, ..Offload::default() })
        } else if generic {
            self.segments.super_packet(frame, csum, frame_max)
        } else {
            None
        }
    }

    /// `ENODEV` when the interface has gone for good: a socket that is woken for nothing may have been told so.
    fn is_alive(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        match sockopt::socket_error(socket) {
            Ok(Err(Errno::NETDOWN)) => self.host.link().map(drop),
            _ => Ok(()),
        }
    }
}

/// The sending side.
pub(super) struct Tx {
    shared: Arc<Shared>,
    half: Arc<Mutex<xdp::Tx>>,
}

impl Tx {
    pub(super) fn new(shared: Arc<Shared>, half: Arc<Mutex<xdp::Tx>>) -> Self {
        Self { shared, half }
    }
}

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        self.shared.accepts.get()
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        let accepts = self.accepts();
        let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
        half.reap(&mut pool.chunks);
        // Of the last batch something may be left that a device which is down did not take.
        let is_down = half.waiting() > 0 && self.shared.kick(&mut half) == Outcome::Down;
        for packet in batch.drain(..) {
            if is_down {
                self.shared.losses.tx_dropped.inc();
                pool.put(packet.buf);
            } else if packet.offload.gso.is_some() || !accepts.csum && !packet.offload.is_complete()
            {
                for packet in finish(packet, accepts, pool, &self.shared.losses) {
                    self.shared.push(&mut half, packet, accepts, pool);
                }
            } else {
                self.shared.push(&mut half, packet, accepts, pool);
            }
        }
        if !is_down {
            self.shared.kick(&mut half);
        }
    }
}

/// What came of making the kernel send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    /// There was no room for all; the rest goes with the next batch.
    Later,
    /// The device is down or gone.
    Down,
}

impl Shared {
    fn push(&self, half: &mut xdp::Tx, packet: Packet, accepts: Accepts, pool: &mut Pool) {
        if self.mode == Mode::Generic {
            self.segments.hear(packet.bytes());
        }
        let csum = match packet.offload.csum {
            Csum::Partial { start, offset } => Some(Checksum { start, offset }),
            _ => None,
        };
        if is_too_long(&packet, accepts.frame_max) {
            self.losses.tx_dropped.inc();
            pool.put(packet.buf);
            return;
        }
        let (block, at) = packet.buf.into_block();
        let mut outcome = half.push(block, at.clone(), csum, &mut pool.chunks);
        if let Err((block, Refused::Full)) = outcome {
            self.kick(half);
            half.reap(&mut pool.chunks);
            outcome = half.push(block, at, csum, &mut pool.chunks);
        }
        let left = match outcome {
            Ok(left) => left,
            Err((block, refused)) => {
                match refused {
                    Refused::Full => self.losses.tx_dropped.inc(),
                    Refused::Unfit => self.losses.tx_errors.inc(),
                }
                Some(block)
            }
        };
        if let Some(block) = left {
            pool.put(Buf::of(block, 0..0));
        }
    }

    /// Has the kernel send what is in the ring, again as long as it takes some or there is patience.
    fn kick(&self, half: &mut xdp::Tx) -> Outcome {
        let mut patience = PATIENCE;
        let mut waiting = u32::MAX;
        loop {
            let Err(error) = half.kick() else { return Outcome::Sent };
            match Errno::from_io_error(&error) {
                Some(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => {}
                // The device dropped one, which the kernel counts; the others are behind it.
                Some(Errno::BUSY) => {}
                Some(Errno::NETDOWN | Errno::NXIO | Errno::NODEV) => return Outcome::Down,
                _ => {
                    log::debug!("{}: cannot send: {error}", self.host.name);
                    return Outcome::Later;
                }
            }
            let left = half.waiting();
            match left {
                0 => return Outcome::Sent,
                _ if left < waiting => waiting = left,
                _ if patience == 0 => return Outcome::Later,
                _ => patience -= 1,
            }
        }
    }
}
