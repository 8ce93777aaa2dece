//! Remembering, for the case that we are killed, how far each ring has come.
//!
//! The protocol's own means for this (`GET_INFLIGHT_FD`, `SET_INFLIGHT_FD`) is memory that the front end keeps for us between
//! two of our lives. It can hold a state for each descriptor, for back ends that give buffers back in any order. Ours come back in
//! order and at once, so the one thing to remember is the position; of a split ring, not even that, for it is in the ring.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::memory::{Memory, Placement, RegionError, Span};
use crate::message::Inflight;
use crate::port::PAIRS;
use crate::ring::SIZE_MAX;

/// Bytes of a ring's record before its descriptors, and for each of those; as much as packed rings need.
const HEAD: u64 = 32;
const DESCRIPTOR: u64 = 32;
/// Records begin at multiples of a cache line.
const ALIGN: u64 = 64;

/// Offsets in a record of a packed ring, after the features.
const VERSION: usize = 8;
const POSITIONS: usize = 10;
const USED_INDEX: usize = 16;
const USED_WRAP: usize = 20;

fn record_len(queue_size: u16) -> u64 {
    (HEAD + u64::from(queue_size) * DESCRIPTOR).next_multiple_of(ALIGN)
}

/// Makes memory for the records of so many rings.
pub fn allocate(wanted: Inflight) -> Result<(Inflight, OwnedFd), RegionError> {
    let Inflight { queues, queue_size, .. } = wanted;
    if queues == 0 || usize::from(queues) > 2 * PAIRS || queue_size > SIZE_MAX {
        return Err(RegionError::Empty);
    }
    let size = u64::from(queues) * record_len(queue_size);
    let fd = memfd_create("vhost-inflight", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
    ftruncate(&fd, size).map_err(std::io::Error::from)?;
    Ok((Inflight { size, offset: 0, queues, queue_size }, fd))
}

/// The records of a front end's rings.
#[derive(Debug)]
pub struct Tracking {
    memory: Arc<Memory>,
    what: Inflight,
}

impl Tracking {
    /// The records in that memory.
    pub fn new(what: Inflight, fd: &OwnedFd) -> Result<Self, RegionError> {
        let needed = u64::from(what.queues) * record_len(what.queue_size);
        if what.queue_size > SIZE_MAX || what.size < needed {
            return Err(RegionError::BeyondFile);
        }
        let place = Placement { size: what.size, offset: what.offset, ..Placement::default() };
        let memory = Memory::default().with(place, fd)?;
        Ok(Self { memory: Arc::new(memory), what })
    }

    /// The record of a ring. None for split rings.
    pub(crate) fn ring(&self, index: usize, packed: bool) -> Option<Record> {
        if !packed || index >= usize::from(self.what.queues) {
            return None;
        }
        let len = record_len(self.what.queue_size);
        let span = self.memory.span(index as u64 * len, len as usize, 2).ok()?;
        Some(Record { span, size: self.what.queue_size })
    }
}

/// What is remembered of one ring.
#[derive(Debug)]
pub struct Record {
    span: Span,
    size: u16,
}

impl Record {
    /// Where an earlier life of ours stopped, if there was one.
    pub(crate) fn base(&self) -> Option<u32> {
        let [version, positions] =
            [VERSION, POSITIONS].map(|at| self.span.load16(at, Ordering::Acquire));
        let index = self.span.load16(USED_INDEX, Ordering::Acquire);
        let wrap = self.span.load16(USED_WRAP, Ordering::Acquire) & 1;
        (version == 1 && positions == self.size).then_some(u32::from(index | wrap << 15))
    }

    /// Notes a position, in the form of a ring's base.
    #[inline]
    pub(crate) fn note(&self, base: u32) {
        let (index, wrap) = (base as u16 & 0x7fff, base as u16 >> 15);
        // Both of its two forms, the present and the settled one: nothing of ours is ever half done.
        self.span.store16(USED_INDEX + 2, index, Ordering::Relaxed);
        self.span.store16(USED_INDEX, index, Ordering::Relaxed);
        self.span.store16(USED_WRAP, wrap | wrap << 8, Ordering::Release);
        if self.span.load16(VERSION, Ordering::Relaxed) != 1 {
            self.span.store16(POSITIONS, self.size, Ordering::Relaxed);
            self.span.store16(VERSION, 1, Ordering::Release);
        }
    }
}
