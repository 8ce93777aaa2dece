//! Virtqueues (virtio 1.3, sections 2.7 and 2.8), device side.
//!
//! # What
//! A ring hands out *chains*: what the driver made available, as a list of [`Segment`]s of guest memory, in order. The device
//! copies from or to them and says that it is done. [`split`] and [`packed`] are the two ways to lay that out in memory; [`net`]
//! moves frames through either.
//!
//! # Speed
//! What the driver wrote lies in another processor's cache, and to wait for each piece in turn would take longer than all the
//! rest. So chains are taken by the batch ([`Ring::take`]), which reads each descriptor once and has the processor fetch the
//! buffer that it names; by the time the last is read, the first buffer is there. When a batch is done, the descriptors of the
//! next are fetched in the same way ([`Ring::fetch_ahead`]).
//!
//! # Hostile drivers
//! All that is read from a ring is copied once and then checked: indices against the ring's size, the length of a chain
//! against [`CHAIN_MAX`] (so that a chain that bites its tail ends), tables against what is allowed in a table. Addresses are
//! checked where they are used, by [`Memory`]. A driver that breaks the rules of the *ring* has broken it for good, until it is
//! set up anew ([`Broken`]); one that describes a senseless *buffer* loses that packet.
//!
//! # Order
//! Chains are given back in the order in which they came, all of a batch at once. That is what `VIRTIO_F_IN_ORDER` promises, and
//! it makes a switch that was killed lose nothing: what has not been given back is simply available again.

pub mod net;
pub mod packed;
pub mod split;

use std::sync::atomic::{Ordering, fence};

use crate::memory::{Memory, Outside, Span};

/// Segments of a chain at most. Drivers use up to 64 for the largest super-packet.
pub const CHAIN_MAX: usize = 256;

/// Descriptors of a ring at most (section 2.6).
pub const SIZE_MAX: u16 = 1 << 15;

const DESCRIPTOR: usize = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A piece of a buffer in guest memory. Nothing about it has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Guest-physical address.
    pub guest: u64,
    /// Bytes.
    pub len: u32,
    /// For the device to write, as opposed to read.
    pub writable: bool,
}

/// What the driver calls a chain, for giving it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Its first descriptor (split), or its buffer id (packed).
    pub id: u16,
    /// Places in the ring that it takes (packed).
    pub slots: u16,
}

/// Where a ring is to go on, as vhost-user tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// We stood there ourselves when the ring was stopped.
    Left(u32),
    /// A front end says so. It may not know: of a packed ring whose switch was killed, QEMU repeats what it was told at the ring's
    /// last orderly stop, however long ago that was, or else the beginning.
    Said(u32),
}

impl Base {
    /// The position.
    pub fn value(self) -> u32 {
        match self {
            Self::Left(value) | Self::Said(value) => value,
        }
    }
}

impl Default for Base {
    fn default() -> Self {
        Self::Said(0)
    }
}

/// How a driver broke its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Broken {
    #[error("more buffers are available than the ring has places")]
    Jump,
    #[error("a descriptor beyond the end of its table")]
    Index,
    #[error("a chain of more than {CHAIN_MAX} descriptors, or one that never ends")]
    Endless,
    #[error("a table of descriptors where none is allowed, or of an impossible length")]
    Table,
}

/// The pieces of memory that make up a ring.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Places.
    pub size: u16,
    /// Descriptor area.
    pub descriptors: Span,
    /// Driver area: the available ring, or the driver's event suppression.
    pub driver: Span,
    /// Device area: the used ring, or the device's event suppression.
    pub device: Span,
}

/// Where a driver says that a ring is: addresses in the hypervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Addresses {
    pub descriptors: u64,
    pub driver: u64,
    pub device: u64,
}

/// Why a ring cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Its size.
    #[error("a ring of {0} places")]
    Size(u32),
    /// Its place.
    #[error("a ring that is not wholly in guest memory, or not aligned")]
    Place(#[from] Outside),
}

impl Layout {
    /// Finds a ring in memory. `event`: with event indices.
    pub fn find(
        memory: &Memory,
        at: Addresses,
        size: u32,
        packed: bool,
        event: bool,
    ) -> Result<Self, LayoutError> {
        let fits = |n: &u16| *n >= 1 && *n <= SIZE_MAX && (packed || n.is_power_of_two());
        let size = u16::try_from(size).ok().filter(fits).ok_or(LayoutError::Size(size))?;
        let n = usize::from(size);
        let tail = if event { 2 } else { 0 };
        let (driver, device) = if packed { (4, 4) } else { (4 + 2 * n + tail, 4 + 8 * n + tail) };
        // The alignments of section 2.7 and 2.8; what they are for is that 16-bit values can be accessed as one.
        let (driver_align, device_align) = if packed { (4, 4) } else { (2, 4) };
        Ok(Self {
            size,
            descriptors: memory.span(at.descriptors, DESCRIPTOR * n, 16)?,
            driver: memory.span(at.driver, driver, driver_align)?,
            device: memory.span(at.device, device, device_align)?,
        })
    }
}

/// Chains that were taken from a ring and not given back yet, in order.
#[derive(Debug, Default)]
pub struct Chains {
    /// What to call each, and where its segments end.
    tokens: Vec<(Token, usize)>,
    segments: Vec<Segment>,
}

impl Chains {
    /// Forgets them all.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.segments.clear();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number `at`, with its segments.
    #[inline]
    pub fn get(&self, at: usize) -> Option<(Token, &[Segment])> {
        let (token, end) = *self.tokens.get(at)?;
        let start = if at == 0 { 0 } else { self.tokens[at - 1].1 };
        Some((token, &self.segments[start..end]))
    }

    /// From number `from` on, in order.
    #[inline]
    pub fn iter_from(&self, from: usize) -> impl DoubleEndedIterator<Item = (Token, &[Segment])> {
        (from..self.len()).filter_map(|at| self.get(at))
    }

    /// Forgets the first `count`.
    pub fn forget_first(&mut self, count: usize) {
        let Some(last) = count.checked_sub(1) else { return };
        let Some((_, end)) = self.tokens.get(last).copied() else { return self.clear() };
        self.tokens.drain(..count);
        self.segments.drain(..end);
        self.tokens.iter_mut().for_each(|(_, later)| *later -= end);
    }

    /// Appends a segment of the chain that is being read.
    #[inline]
    fn append(&mut self, segment: Segment) -> Result<(), Broken> {
        let start = self.tokens.last().map_or(0, |(_, end)| *end);
        if self.segments.len() - start >= CHAIN_MAX {
            return Err(Broken::Endless);
        }
        self.segments.push(segment);
        Ok(())
    }

    /// The chain is complete. (What is read of one that never becomes so belongs to nobody.)
    #[inline]
    fn complete(&mut self, token: Token) {
        self.tokens.push((token, self.segments.len()));
    }
}

/// What the processor is to fetch of each buffer that is taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fetch {
    /// Bytes at its beginning that are not looked at if the driver wrote the buffer, and not changed if we do.
    pub header: usize,
    /// Bytes of it, those included.
    pub bytes: usize,
}

/// The device's side of a ring, whatever its layout.
pub trait Ring {
    /// Takes up to `max` chains more, and has the processor fetch what is wanted of each one's buffer. If the driver broke the
    /// ring, those before the breach are there.
    fn take(
        &mut self,
        memory: &Memory,
        max: u16,
        fetch: Fetch,
        to: &mut Chains,
    ) -> Result<(), Broken>;
    /// Puts a chain back as if it had not been taken: the last one first.
    fn put_back(&mut self, token: Token);
    /// Gives a chain back, with so many bytes written to it. The driver sees it at the next [`Ring::publish`].
    fn give_back(&mut self, token: Token, written: u32);
    /// Shows the driver all that was given back.
    fn publish(&mut self);
    /// Has the processor fetch the descriptors of the next chains, up to `max` of those that there are already.
    fn fetch_ahead(&mut self, max: u16);
    /// Whether the driver wants to be called for what was published since this was last asked.
    fn wants_call(&mut self) -> bool;
    /// Asks the driver to notify of new chains, or not to. It may do so nevertheless.
    fn ask_for_notification(&mut self, wanted: bool);
    /// Whether a chain is available now.
    fn has_more(&self) -> bool;
    /// Where to go on after a stop, as vhost-user tells it.
    fn base(&self) -> u32;
}

/// A descriptor as both layouts have its first part.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    guest: u64,
    len: u32,
    /// Split: flags, next. Packed: id, flags.
    tail: [u16; 2],
}

impl Descriptor {
    #[inline]
    fn parse(bytes: [u8; DESCRIPTOR]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            guest: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from_le_bytes([i, j, k, l]),
            tail: [u16::from_le_bytes([m, n]), u16::from_le_bytes([o, p])],
        }
    }

    #[inline]
    fn segment(&self, flags: u16) -> Segment {
        Segment { guest: self.guest, len: self.len, writable: flags & WRITE != 0 }
    }

    /// Has the processor fetch the buffer's beginning.
    #[inline]
    fn fetch(&self, memory: &Memory, flags: u16, Fetch { header, bytes }: Fetch) {
        memory.fetch(self.guest, header, bytes.min(self.len as usize), flags & WRITE != 0);
    }

    /// How many descriptors the table has that this one refers to, if that is a possible number.
    fn table_len(&self) -> Result<u16, Broken> {
        let len = self.len as usize;
        let entries = len / DESCRIPTOR;
        let fits = len.is_multiple_of(DESCRIPTOR) && (1..=usize::from(SIZE_MAX)).contains(&entries);
        u16::try_from(entries).ok().filter(|_| fits).ok_or(Broken::Table)
    }

    /// Reads an entry of that table. A table outside of memory is one of which nothing makes sense.
    fn table_entry(&self, memory: &Memory, index: u16) -> Result<Descriptor, Broken> {
        let at =
            self.guest.checked_add(u64::from(index) * DESCRIPTOR as u64).ok_or(Broken::Table)?;
        let mut bytes = [0; DESCRIPTOR];
        memory.read(at, &mut bytes).map_err(|Outside| Broken::Table)?;
        Ok(Descriptor::parse(bytes))
    }
}

/// Whether an index that moved from `old` to `new` has passed the one behind which the other side wants to hear (section
/// 2.7.7.2).
#[inline]
fn passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// What we stored is to be seen before what we load next is read: each side stores, then looks at the other's store.
#[inline]
fn store_before_load() {
    fence(Ordering::SeqCst);
}
