//! What workers hold: the two ends of a port's queues.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::wire::vlan::VlanTag;
use packet::{Buf, Csum, Packet};
use vhost::Queue;
use vhost::ring::net::{Head, Sink};

use super::Shared;
use crate::common::Losses;
use crate::finish::finish;
use crate::vnet::{self, Unfit};
use crate::{Accepts, Pool, Received, RxQueue, TxQueue};

/// Buffers that are made ready at a time.
const READY: usize = 8;

/// Where received frames go.
struct Inbox<'a> {
    pool: &'a mut Pool,
    /// Frames, and behind them buffers that are ready.
    out: &'a mut Vec<Packet>,
    /// How many of them are frames.
    frames: usize,
    losses: &'a Losses,
}

impl Sink for Inbox<'_> {
    #[inline]
    fn begin(&mut self) -> &mut Buf {
        if self.out.len() <= self.frames {
            self.pool.take_many(READY, self.out);
        }
        &mut self.out[self.frames].buf
    }

    #[inline(always)]
    fn end(&mut self, head: Head) {
        let is_whole = |p: &Packet| p.buf.len() >= EthernetHeader::LEN;
        self.frames += 1;
        if head == Head::default() && self.out.get(self.frames - 1).is_some_and(is_whole) {
            return; // nothing is unfinished, as in most frames: so it says already
        }
        self.understand(head);
    }

    fn cancel(&mut self) {
        if let Some(packet) = self.out.get_mut(self.frames) {
            packet.buf.reset(packet::buf::HEADROOM);
        }
    }
}

impl Inbox<'_> {
    /// Takes over what a header says of the last frame.
    #[inline(never)]
    fn understand(&mut self, head: Head) {
        let Some(last) = self.frames.checked_sub(1) else { return };
        let Packet { buf, offload } = &mut self.out[last];
        match vnet::decode(&head, buf.as_mut_slice()) {
            Ok(unfinished) => *offload = unfinished,
            Err(_) => {
                self.losses.rx_malformed.inc();
                self.frames = last;
                self.cancel();
            }
        }
    }
}

impl Drop for Inbox<'_> {
    /// What is ready and was not needed goes back.
    fn drop(&mut self) {
        for packet in self.out.drain(self.frames..) {
            self.pool.put(packet.buf);
        }
    }
}

/// Receives what a guest sends through one of its queues.
pub(super) struct Rx {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

impl Rx {
    pub(super) fn new(shared: Arc<Shared>, pair: usize) -> Self {
        Self { queue: shared.port.pairs()[pair].from_guest.clone(), shared }
    }
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.queue.fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        if !self.queue.is_live() {
            return Ok(Received::Dormant);
        }
        let losses = &self.shared.losses;
        let before = out.len();
        let more = self.queue.receive(max, &mut Inbox { pool, out, frames: before, losses });
        if self.shared.is_down() {
            losses.rx_dropped.add((out.len() - before) as u64);
            out.drain(before..).for_each(|packet| pool.put(packet.buf));
        }
        Ok(if more { Received::More } else { Received::Drained })
    }

    fn arm(&mut self) -> Received {
        if self.queue.arm() { Received::More } else { Received::Drained }
    }

    /// In the guest's memory.
    fn keeps_unread(&self) -> bool {
        true
    }

    fn polled(&self) -> bool {
        true
    }
}

/// Sends to a guest. Each worker has one.
pub(super) struct Tx {
    shared: Arc<Shared>,
    /// Added to every choice of a queue, so that workers with little to send do not all send to the first.
    first: usize,
    heads: Vec<Head>,
    /// Numbers of the pairs that receive, as of `receiving`.
    pairs: Vec<usize>,
    receiving: u64,
    scratch: Vec<Packet>,
}

impl Tx {
    pub(super) fn new(shared: Arc<Shared>, first: usize) -> Self {
        Self {
            shared,
            first,
            heads: Vec::new(),
            pairs: Vec::new(),
            receiving: 0,
            scratch: Vec::new(),
        }
    }

    /// Looks which pairs receive now.
    fn look(&mut self) {
        let receiving = self.shared.receiving.load(Ordering::Relaxed);
        if receiving != self.receiving {
            self.receiving = receiving;
            self.pairs.clear();
            self.pairs.extend((0..64).filter(|n| receiving >> n & 1 != 0));
        }
    }

    /// Writes the header of each packet; what cannot be described is finished, or counted and left out.
    fn describe(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        let Accepts { frame_max, csum, .. } = self.shared.accepts.get();
        self.heads.clear();
        // Most frames have nothing to say, and are too short for tags to matter.
        let short = (frame_max as usize).saturating_sub(VlanTag::LEN);
        let is_plain = |Packet { buf, offload }: &Packet| {
            buf.len() <= short && offload.gso.is_none() && offload.csum == Csum::Complete
        };
        if batch.iter().all(is_plain) {
            self.heads.resize(batch.len(), Head::default());
            return;
        }
        let fits = |packet: &Packet| {
            if vnet::is_too_long(packet, frame_max) {
                return Err(Unfit::TooLong);
            }
            let mut head = vnet::encode(packet.bytes(), &packet.offload, frame_max)?;
            if packet.offload.csum == Csum::Verified && csum {
                head[0] = vnet::DATA_VALID;
            }
            Ok(head)
        };
        self.heads.reserve(batch.len());
        for packet in batch.iter() {
            let Ok(head) = fits(packet) else { break };
            self.heads.push(head);
        }
        let good = self.heads.len();
        if good == batch.len() {
            return;
        }
        // The rest one by one: rare.
        self.scratch.extend(batch.drain(good..));
        for packet in self.scratch.drain(..) {
            match fits(&packet) {
                Ok(head) => {
                    self.heads.push(head);
                    batch.push(packet);
                }
                Err(Unfit::Finish) => {
                    let losses = &self.shared.losses;
                    for packet in finish(packet, Accepts::default(), pool, losses) {
                        match fits(&packet) {
                            Ok(head) => {
                                self.heads.push(head);
                                batch.push(packet);
                            }
                            Err(unfit) => {
                                self.shared.unfit(unfit);
                                pool.put(packet.buf);
                            }
                        }
                    }
                }
                Err(unfit) => {
                    self.shared.unfit(unfit);
                    pool.put(packet.buf);
                }
            }
        }
    }

    /// Hands packets to one queue, and counts those for which it has no room.
    fn hand_over<'f>(
        &self,
        pair: usize,
        total: usize,
        frames: impl Iterator<Item = (Head, &'f [u8])> + Clone,
    ) {
        let queue = &self.shared.port.pairs()[pair].to_guest;
        let mut done = 0;
        let (chances, mut retries) = (self.shared.retries_max.load(Ordering::Relaxed), 0);
        loop {
            let now = queue.send(frames.clone().skip(done));
            done += now;
            if done >= total || now == 0 || retries == chances {
                break;
            }
            retries += 1;
        }
        if retries > 0 {
            self.shared.retries.add(retries.into());
        }
        if done < total {
            self.shared.losses.tx_dropped.add((total - done) as u64);
        }
    }
}

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        self.shared.accepts.get()
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        self.look();
        self.describe(pool, batch);
        let frames = self.heads.iter().copied().zip(batch.iter().map(Packet::bytes));
        match self.pairs.as_slice() {
            [] => self.shared.losses.tx_dropped.add(batch.len() as u64),
            [only] => self.hand_over(*only, batch.len(), frames),
            pairs => {
                let choose = |frame: &[u8]| (flow_of(frame) + self.first) % pairs.len();
                for (n, pair) in pairs.iter().enumerate() {
                    let chosen = frames.clone().filter(|(_, f)| choose(f) == n);
                    self.hand_over(*pair, chosen.clone().count(), chosen);
                }
            }
        }
        pool.put_all(batch);
    }
}

/// A number that is the same for all frames of a connection: a sum of IP addresses and transport ports where those usually are.
fn flow_of(frame: &[u8]) -> usize {
    let word = |at: usize| {
        let bytes = frame.get(at..at + 4).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u32::from_be_bytes(*b))
    };
    let words: &[usize] = match frame.get(12..14) {
        Some([0x08, 0x00]) => &[26, 30, 34],
        Some([0x86, 0xdd]) => &[22, 26, 30, 34, 38, 42, 46, 50, 54],
        _ => return 0,
    };
    let mixed = words.iter().fold(0u32, |sum, at| (sum ^ word(*at)).wrapping_mul(0x9e37_79b1));
    (mixed >> 16) as usize
}
