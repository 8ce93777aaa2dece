//! Frames through rings: the part that is virtio-net's (virtio 1.3, section 5.1.6).
//!
//! A frame travels behind a header of 10 or 12 bytes. Header and frame may be cut into segments anywhere. A frame to the guest
//! may take several chains when buffers are *mergeable*: then the header's last field says how many.

use packet::Buf;

use super::{Broken, Chains, Fetch, Ring, Segment, Token};
use crate::features::{Features, bit};
use crate::memory::{Memory, Outside};

/// The header without the count of merged buffers.
pub type Head = [u8; 10];

const LONG_HEAD: usize = 12;

/// Chains that are taken together at most.
const BATCH: u16 = packet::BATCH as u16;

/// Chains whose buffers the processor fetches while we copy frames. It can only wait for so many lines at a time: where more are
/// asked for, the asking itself waits.
const WINDOW: u16 = 8;

/// Bytes of a buffer that are fetched ahead at most. Of longer ones the processor sees for itself that they go on.
const FETCH_MAX: usize = 256;

/// Chains that one frame is spread over at most: buffers too small for that are of no use.
const MERGED_MAX: usize = 256;

/// Who takes frames. They are received where they are to stay, because moving them is a good part of what they cost.
pub trait Sink {
    /// An empty buffer with room for the longest frame, to receive the next one in.
    fn begin(&mut self) -> &mut Buf;
    /// The frame is in the buffer last begun, and came with this header.
    fn end(&mut self, head: Head);
    /// The buffer last begun receives no frame.
    fn cancel(&mut self);
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that went through.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames lost because a buffer made no sense: outside of memory, of the wrong direction, without a whole header.
    pub malformed: u64,
    /// Frames lost because they do not fit: into our buffer, or into the guest's.
    pub too_long: u64,
}

/// Takes up to `max` frames that the driver sent. `Ok(true)`: there may be more. `chains` is a list to be used again with every
/// batch, so that none is allocated.
pub fn receive(
    ring: &mut impl Ring,
    memory: &Memory,
    format: Format,
    max: usize,
    sink: &mut impl Sink,
    chains: &mut Chains,
    tally: &mut Tally,
) -> Result<bool, Broken> {
    let max = u16::try_from(max).unwrap_or(u16::MAX).min(BATCH);
    chains.clear();
    let header = if format.silent { format.header_len } else { 0 };
    let mut ahead = Ahead::new(Fetch { header, bytes: FETCH_MAX }, max);
    ahead.take(ring, memory, WINDOW, chains);
    let mut at = 0;
    while let Some((token, segments)) = chains.get(at) {
        let buf = sink.begin();
        match gather(memory, segments, format, buf) {
            Ok(head) => {
                tally.packets += 1;
                tally.bytes += buf.len() as u64;
                sink.end(head);
            }
            Err(lost) => {
                match lost {
                    Lost::Malformed => tally.malformed += 1,
                    Lost::TooLong => tally.too_long += 1,
                }
                sink.cancel();
            }
        }
        ring.give_back(token, 0);
        at += 1;
        ahead.take(ring, memory, 1, chains);
    }
    ring.publish();
    ring.fetch_ahead(max);
    ahead.outcome.map(|()| chains.len() == usize::from(max))
}

/// Takes chains of a batch some time before they are used.
struct Ahead {
    fetch: Fetch,
    /// Chains of the batch that may still be there.
    left: u16,
    outcome: Result<(), Broken>,
}

impl Ahead {
    fn new(fetch: Fetch, max: u16) -> Self {
        Self { fetch, left: max, outcome: Ok(()) }
    }

    /// Takes so many more, if there are.
    #[inline(always)]
    fn take(&mut self, ring: &mut impl Ring, memory: &Memory, count: u16, to: &mut Chains) {
        let count = count.min(self.left);
        if count == 0 {
            return;
        }
        let before = to.len();
        self.outcome = ring.take(memory, count, self.fetch, to);
        // Where there were fewer, the driver is not to be watched while it adds some.
        let is_all = to.len() - before == usize::from(count) && self.outcome.is_ok();
        self.left = if is_all { self.left - count } else { 0 };
    }
}

enum Lost {
    Malformed,
    TooLong,
}

impl From<Outside> for Lost {
    fn from(Outside: Outside) -> Self {
        Self::Malformed
    }
}

/// Copies a header and a frame out of a chain.
#[inline(always)]
fn gather(
    memory: &Memory,
    segments: &[Segment],
    Format { header_len, silent, .. }: Format,
    buf: &mut Buf,
) -> Result<Head, Lost> {
    if let [only] = segments
        && header_len == LONG_HEAD
        && !only.writable
        && only.len as usize >= LONG_HEAD
    {
        // The most frequent case.
        let len = only.len as usize - LONG_HEAD;
        let room = buf.spare_mut().get_mut(..len).ok_or(Lost::TooLong)?;
        if silent {
            memory.read(only.guest.wrapping_add(LONG_HEAD as u64), room)?;
            buf.commit(len);
            return Ok(Head::default());
        }
        let header: [u8; LONG_HEAD] = memory.read_behind(only.guest, room)?;
        buf.commit(len);
        return header.first_chunk().copied().ok_or(Lost::Malformed);
    }
    let head = gather_pieces(memory, segments, header_len, buf)?;
    Ok(if silent { Head::default() } else { head })
}

/// The same, however the chain is cut.
#[inline(never)]
fn gather_pieces(
    memory: &Memory,
    segments: &[Segment],
    header_len: usize,
    buf: &mut Buf,
) -> Result<Head, Lost> {
    let mut head = [0; LONG_HEAD];
    let mut filled = 0;
    for segment in segments {
        if segment.writable {
            return Err(Lost::Malformed);
        }
        let (mut guest, mut len) = (segment.guest, segment.len as usize);
        if filled < header_len {
            let part = len.min(header_len - filled);
            memory.read(guest, &mut head[filled..filled + part])?;
            filled += part;
            guest = guest.wrapping_add(part as u64);
            len -= part;
        }
        if len > 0 {
            let room = buf.spare_mut().get_mut(..len).ok_or(Lost::TooLong)?;
            memory.read(guest, room)?;
            buf.commit(len);
        }
    }
    if filled < header_len {
        return Err(Lost::Malformed);
    }
    head.first_chunk().copied().ok_or(Lost::Malformed)
}

/// How frames lie in buffers.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// [`crate::features::Features::header_len`].
    header_len: usize,
    /// A frame to the guest may take several buffers.
    mergeable: bool,
    /// Headers from the guest say nothing: it may leave no checksum unfinished, and so nothing at all (section 5.1.6.2). So nobody
    /// need wait for them.
    silent: bool,
}

impl Format {
    /// As was agreed upon.
    pub const fn of(features: Features) -> Self {
        Self {
            header_len: features.header_len(),
            mergeable: features.has(bit::MRG_RXBUF),
            silent: !features.has(bit::CSUM),
        }
    }
}

/// Gives frames to the driver until it has no more room. Says how many are dealt with (given, or lost and counted). `chains` as
/// in [`receive`].
pub fn send<'f, R: Ring>(
    ring: &mut R,
    memory: &Memory,
    format: Format,
    frames: impl Iterator<Item = (Head, &'f [u8])> + Clone,
    chains: &mut Chains,
    tally: &mut Tally,
) -> Result<usize, Broken> {
    chains.clear();
    // Most frames take one chain each.
    let wanted = frames.size_hint().1.and_then(|n| u16::try_from(n).ok()).unwrap_or(BATCH);
    // Frames of a batch are often alike.
    let bytes = frames.clone().next().map_or(0, |(_, frame)| format.header_len + frame.len());
    let fetch = Fetch { header: format.header_len, bytes: bytes.min(FETCH_MAX) };
    let mut ahead = Ahead::new(fetch, wanted.min(BATCH));
    ahead.take(ring, memory, WINDOW, chains);
    let (mut done, mut used) = (0, 0);
    'frames: for (head, frame) in frames {
        ahead.take(ring, memory, 1, chains);
        let needed = format.header_len + frame.len();
        let (written, count) = match chains.get(used) {
            // The most frequent case.
            Some((token, [only]))
                if only.writable
                    && only.len as usize >= needed
                    && format.header_len == LONG_HEAD =>
            {
                let written = memory.write_behind(only.guest, header(head, 1), frame);
                ring.give_back(token, if written.is_ok() { needed as u32 } else { 0 });
                (written, 1)
            }
            _ => {
                let count = loop {
                    match room(chains, used, needed, format.mergeable) {
                        Room::For(count) => break count,
                        Room::TooLong => {
                            tally.too_long += 1;
                            done += 1;
                            continue 'frames;
                        }
                        Room::Unknown => {
                            // However many there are, what one frame may take is all that is kept.
                            chains.forget_first(std::mem::take(&mut used));
                            let before = chains.len();
                            if ahead.outcome.is_ok() {
                                ahead.left = BATCH;
                                ahead.take(ring, memory, BATCH, chains);
                            }
                            if chains.len() == before {
                                break 'frames;
                            }
                        }
                    }
                };
                let header = header(head, count);
                let parts = Parts { header: &header[..format.header_len], frame };
                (scatter(ring, memory, parts, chains.iter_from(used).take(count)), count)
            }
        };
        match written {
            Ok(()) => {
                tally.packets += 1;
                tally.bytes += frame.len() as u64;
            }
            Err(Outside) => tally.malformed += 1,
        }
        used += count;
        done += 1;
    }
    for (token, _) in chains.iter_from(used).rev() {
        ring.put_back(token);
    }
    ring.publish();
    ring.fetch_ahead(BATCH);
    ahead.outcome.map(|()| done)
}

/// What chains are there for a frame.
enum Room {
    /// The first so many are enough.
    For(usize),
    /// None that will ever do.
    TooLong,
    /// Not enough yet.
    Unknown,
}

/// Whether the chains from number `from` on have room for `needed` bytes.
fn room(chains: &Chains, from: usize, needed: usize, mergeable: bool) -> Room {
    let mut room = 0;
    for (n, (_, segments)) in (1..).zip(chains.iter_from(from)) {
        room += segments.iter().filter(|s| s.writable).map(|s| s.len as usize).sum::<usize>();
        if room >= needed {
            return Room::For(n);
        }
        if !mergeable || n >= MERGED_MAX {
            return Room::TooLong;
        }
    }
    Room::Unknown
}

/// The whole header of a frame that takes so many chains. (Put together as two numbers, because a processor stalls when it is to
/// load at once what was stored in pieces just before.)
#[inline]
fn header(head: Head, chains: usize) -> [u8; LONG_HEAD] {
    let [a, b, c, d, e, f, g, h, i, j] = head;
    let [k, l] = u16::try_from(chains).unwrap_or(u16::MAX).to_le_bytes();
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let rest = u32::from_le_bytes([i, j, k, l]);
    let mut header = [0; LONG_HEAD];
    header[..8].copy_from_slice(&first.to_le_bytes());
    header[8..].copy_from_slice(&rest.to_le_bytes());
    header
}

/// Copies a header and a frame into chains that have room for them, and gives those back.
fn scatter<'c>(
    ring: &mut impl Ring,
    memory: &Memory,
    mut parts: Parts<'_>,
    chains: impl Iterator<Item = (Token, &'c [Segment])>,
) -> Result<(), Outside> {
    let mut outcome = Ok(());
    for (token, segments) in chains {
        let mut written = 0;
        for segment in segments.iter().filter(|s| s.writable) {
            match parts.write(memory, segment) {
                Ok(n) => written += n,
                Err(outside) => outcome = Err(outside),
            }
        }
        ring.give_back(token, written);
    }
    outcome
}

/// What is still to be written of a header and a frame.
struct Parts<'a> {
    header: &'a [u8],
    frame: &'a [u8],
}

impl Parts<'_> {
    /// Fills a segment as far as there is something left.
    #[inline]
    fn write(&mut self, memory: &Memory, segment: &Segment) -> Result<u32, Outside> {
        let (mut guest, mut len) = (segment.guest, segment.len as usize);
        let mut written = 0;
        for part in [&mut self.header, &mut self.frame] {
            let here = len.min(part.len());
            if here > 0 {
                let (now, later) = part.split_at(here);
                memory.write(guest, now)?;
                *part = later;
                guest = guest.wrapping_add(here as u64);
                len -= here;
                written += here as u32;
            }
        }
        Ok(written)
    }
}
