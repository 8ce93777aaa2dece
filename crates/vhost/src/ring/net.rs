//! Frames through rings: the part that is virtio-net's (virtio 1.3, section 5.1.6).
//!
//! A frame travels behind a header of 10 or 12 bytes. Header and frame may be cut into segments anywhere. A frame to the guest
//! may take several chains when buffers are *mergeable*: then the header's last field says how many.

use packet::Buf;

use super::{Broken, Ring, Segment, Token};
use crate::memory::{Memory, Outside};

/// The header without the count of merged buffers.
pub type Head = [u8; 10];

const HEAD: usize = 10;
const LONG_HEAD: usize = 12;

/// Chains that are fetched ahead at most: a batch of them.
const AHEAD: u16 = packet::BATCH as u16;

/// Chains that one frame is spread over at most: buffers too small for that are of no use.
const MERGED_MAX: usize = 256;

/// Where frames' buffers come from and go back to.
pub trait Buffers {
    /// A buffer with room for the longest frame.
    fn take(&mut self) -> Buf;
    /// It is needed no longer.
    fn put(&mut self, buf: Buf);
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

/// Lists that are used again with every batch, so that none is allocated.
#[derive(Debug, Default)]
pub struct Scratch {
    segments: Vec<Segment>,
    /// Chains taken for one frame: what to call them, and where their segments end.
    chains: Vec<(Token, usize)>,
}

/// Takes up to `max` frames that the driver sent. `Ok(true)`: there may be more.
#[allow(clippy::too_many_arguments)] // a ring and what belongs to it live apart, so that each can be borrowed alone
pub fn receive<R: Ring, B: Buffers>(
    ring: &mut R,
    memory: &Memory,
    header_len: usize,
    max: usize,
    buffers: &mut B,
    scratch: &mut Scratch,
    tally: &mut Tally,
    mut sink: impl FnMut(&mut B, Head, Buf),
) -> Result<bool, Broken> {
    let mut outcome = Ok(true);
    ring.prefetch(memory, u16::try_from(max).unwrap_or(u16::MAX).min(AHEAD));
    for _ in 0..max {
        scratch.segments.clear();
        let token = match ring.next(memory, &mut scratch.segments) {
            Ok(Some(token)) => token,
            Ok(None) => {
                outcome = Ok(false);
                break;
            }
            Err(broken) => {
                outcome = Err(broken);
                break;
            }
        };
        let mut buf = buffers.take();
        match gather(memory, &scratch.segments, header_len, &mut buf) {
            Ok(head) => {
                tally.packets += 1;
                tally.bytes += buf.len() as u64;
                sink(buffers, head, buf);
            }
            Err(lost) => {
                match lost {
                    Lost::Malformed => tally.malformed += 1,
                    Lost::TooLong => tally.too_long += 1,
                }
                buffers.put(buf);
            }
        }
        ring.give_back(token, 0);
    }
    ring.publish();
    outcome
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
#[inline]
fn gather(
    memory: &Memory,
    segments: &[Segment],
    header_len: usize,
    buf: &mut Buf,
) -> Result<Head, Lost> {
    let mut head = [0; LONG_HEAD];
    if let [only] = segments
        && header_len == LONG_HEAD
        && !only.writable
        && only.len as usize >= LONG_HEAD
    {
        // The most frequent case, with lengths that the compiler knows.
        memory.read(only.guest, &mut head)?;
        let len = only.len as usize - LONG_HEAD;
        let room = buf.spare_mut().get_mut(..len).ok_or(Lost::TooLong)?;
        memory.read(only.guest.wrapping_add(LONG_HEAD as u64), room)?;
        buf.commit(len);
        return head.first_chunk().copied().ok_or(Lost::Malformed);
    }
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

/// What became of one frame for the guest.
enum Sent {
    Whole,
    Lost,
    /// The guest has no room now.
    Full,
}

/// How frames go to a guest.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// [`crate::features::Features::header_len`].
    pub header_len: usize,
    /// A frame may take several buffers.
    pub mergeable: bool,
}

/// Gives frames to the driver until it has no more room. Says how many are dealt with (given, or lost and counted).
pub fn send<'f, R: Ring>(
    ring: &mut R,
    memory: &Memory,
    format: Format,
    frames: impl Iterator<Item = (Head, &'f [u8])>,
    scratch: &mut Scratch,
    tally: &mut Tally,
) -> Result<usize, Broken> {
    let mut done = 0;
    let mut outcome = Ok(());
    ring.prefetch(
        memory,
        frames.size_hint().1.map_or(AHEAD, |n| u16::try_from(n).unwrap_or(AHEAD).min(AHEAD)),
    );
    for (head, frame) in frames {
        match send_one(ring, memory, format, head, frame, scratch, tally) {
            Ok(Sent::Whole) => {
                tally.packets += 1;
                tally.bytes += frame.len() as u64;
            }
            Ok(Sent::Lost) => {}
            Ok(Sent::Full) => break,
            Err(broken) => {
                outcome = Err(broken);
                break;
            }
        }
        done += 1;
    }
    ring.publish();
    outcome.map(|()| done)
}

#[inline]
fn send_one<R: Ring>(
    ring: &mut R,
    memory: &Memory,
    format: Format,
    head: Head,
    frame: &[u8],
    scratch: &mut Scratch,
    tally: &mut Tally,
) -> Result<Sent, Broken> {
    let start = ring.position();
    let Scratch { segments, chains } = scratch;
    segments.clear();
    chains.clear();
    let needed = format.header_len + frame.len();
    let mut room = 0;
    while room < needed {
        let from = segments.len();
        let Some(token) = ring.next(memory, segments)? else {
            ring.rewind(start);
            return Ok(Sent::Full);
        };
        let writable = segments[from..].iter().filter(|s| s.writable);
        room += writable.map(|s| s.len as usize).sum::<usize>();
        chains.push((token, segments.len()));
        if room < needed && (!format.mergeable || chains.len() >= MERGED_MAX) {
            ring.rewind(start);
            tally.too_long += 1;
            return Ok(Sent::Lost);
        }
    }
    let mut header = [0; LONG_HEAD];
    header[..HEAD].copy_from_slice(&head);
    let count = u16::try_from(chains.len()).unwrap_or(u16::MAX);
    header[HEAD..].copy_from_slice(&count.to_le_bytes());
    if let ([(token, _)], [only]) = (chains.as_slice(), segments.as_slice())
        && format.header_len == LONG_HEAD
    {
        let after = only.guest.wrapping_add(LONG_HEAD as u64);
        let written = memory.write(only.guest, &header).and_then(|()| memory.write(after, frame));
        ring.give_back(*token, if written.is_ok() { needed as u32 } else { 0 });
        tally.malformed += u64::from(written.is_err());
        return Ok(if written.is_ok() { Sent::Whole } else { Sent::Lost });
    }
    let mut rest = Parts { header: &header[..format.header_len], frame };
    let mut from = 0;
    let mut intact = true;
    for (token, end) in chains.drain(..) {
        let mut written = 0;
        for segment in segments[from..end].iter().filter(|s| s.writable) {
            match rest.write(memory, segment) {
                Ok(n) => written += n,
                Err(Outside) => intact = false,
            }
        }
        from = end;
        ring.give_back(token, written);
    }
    if !intact {
        tally.malformed += 1;
        return Ok(Sent::Lost);
    }
    Ok(Sent::Whole)
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
