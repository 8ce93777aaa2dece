//! A ring of descriptors in memory shared with the kernel: one side produces, the other consumes.
//!
//! Both sides keep a 32-bit index that only grows, and publish it when they have read or written entries. An index of the
//! kernel's that cannot be (further ahead than the ring is long) counts as "nothing".

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::mapping::Mapping;

/// Where a ring's parts are in its mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    pub producer: u64,
    pub consumer: u64,
    pub desc: u64,
    pub flags: u64,
}

/// An entry of the receive and transmit rings (`struct xdp_desc`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Desc {
    pub addr: u64,
    pub len: u32,
    pub options: u32,
}

/// Entries of rings: plain integers, any bits of which are a value.
pub(super) trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for Desc {}

/// What both sides have in common.
struct Ring<T> {
    map: Mapping,
    /// Places in the map, checked when the ring was made.
    producer: usize,
    consumer: usize,
    flags: usize,
    desc: usize,
    size: u32,
    entries: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// A ring of `size` entries (a power of two) in `map`.
    fn new(map: Mapping, at: Offsets, size: u32) -> io::Result<Self> {
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let desc = place(at.desc);
        let words = [at.producer, at.consumer, at.flags].map(place);
        // Mappings begin at a page, so that what is aligned in them is aligned.
        let fits =
            words.iter().all(|w| map.has::<AtomicU32>(*w, 1)) && map.has::<T>(desc, size as usize);
        if !fits || !size.is_power_of_two() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let [producer, consumer, flags] = words;
        Ok(Self { map, producer, consumer, flags, desc, size, entries: PhantomData })
    }

    /// One of the ring's words.
    fn word(&self, at: usize) -> &AtomicU32 {
        let pointer = self.map.base().wrapping_add(at).cast::<AtomicU32>();
        // SAFETY: `new` found it inside the mapping and aligned; the mapping lives as long as `self`, and the kernel, too, uses
        // atomic accesses.
        #[allow(unsafe_code)]
        unsafe {
            &*pointer
        }
    }

    /// The place of the entry with that index.
    fn entry(&self, index: u32) -> *mut T {
        let slot = (index & (self.size - 1)) as usize;
        self.map.base().wrapping_add(self.desc + slot * size_of::<T>()).cast()
    }
}

/// Our side of a ring that the kernel consumes.
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// The next entry to write.
    next: u32,
}

impl<T: Entry> Producer<T> {
    /// Maps a socket's ring.
    pub(super) fn of(
        fd: BorrowedFd<'_>,
        page: u64,
        at: impl Into<Offsets>,
        size: u32,
    ) -> io::Result<Self> {
        let at = at.into();
        let len = at.desc as usize + size as usize * size_of::<T>();
        Self::new(Mapping::of(fd, page, len)?, at, size)
    }

    pub(super) fn new(map: Mapping, at: Offsets, size: u32) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(map, at, size)?, next: 0 })
    }

    /// Entries written but not consumed.
    pub(super) fn waiting(&self) -> u32 {
        let consumed = self.ring.word(self.ring.consumer).load(Ordering::Acquire);
        self.next.wrapping_sub(consumed)
    }

    /// Entries that can be written now.
    pub(super) fn room(&self) -> u32 {
        self.ring.size.saturating_sub(self.waiting())
    }

    /// Writes an entry, for which there must be room; [`Producer::submit`] makes it known.
    pub(super) fn push(&mut self, value: T) {
        // SAFETY: `Ring::new` found all entries inside the mapping and aligned. The kernel does not read this one before it is
        // submitted.
        #[allow(unsafe_code)]
        unsafe {
            self.ring.entry(self.next).write_volatile(value);
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Makes known what was written.
    pub(super) fn submit(&self) {
        self.ring.word(self.ring.producer).store(self.next, Ordering::Release);
    }

    /// Whether the kernel waits to be woken.
    pub(super) fn needs_wakeup(&self) -> bool {
        // After the entries have become visible, or both sides could wait for each other.
        std::sync::atomic::fence(Ordering::SeqCst);
        self.ring.word(self.ring.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// Our side of a ring that the kernel produces.
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// The next entry to read.
    next: u32,
    /// Entries known to be there.
    known: u32,
}

impl<T: Entry> Consumer<T> {
    /// Maps a socket's ring.
    pub(super) fn of(
        fd: BorrowedFd<'_>,
        page: u64,
        at: impl Into<Offsets>,
        size: u32,
    ) -> io::Result<Self> {
        let at = at.into();
        let len = at.desc as usize + size as usize * size_of::<T>();
        Self::new(Mapping::of(fd, page, len)?, at, size)
    }

    pub(super) fn new(map: Mapping, at: Offsets, size: u32) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(map, at, size)?, next: 0, known: 0 })
    }

    /// Whether there is no entry to read.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.word(self.ring.producer).load(Ordering::Acquire) == self.next
    }

    /// Reads an entry, if there is one; [`Consumer::release`] gives its place back.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.known == 0 {
            let produced = self.ring.word(self.ring.producer).load(Ordering::Acquire);
            let ahead = produced.wrapping_sub(self.next);
            self.known = if ahead <= self.ring.size { ahead } else { 0 };
        }
        self.known = self.known.checked_sub(1)?;
        // SAFETY: `Ring::new` found all entries inside the mapping and aligned; any bits are a value, should the kernel write at
        // the same time.
        #[allow(unsafe_code)]
        let value = unsafe { self.ring.entry(self.next).read_volatile() };
        self.next = self.next.wrapping_add(1);
        Some(value)
    }

    /// Gives back the places of what was read.
    pub(super) fn release(&self) {
        self.ring.word(self.ring.consumer).store(self.next, Ordering::Release);
    }
}
