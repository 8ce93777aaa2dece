//! A guest's memory: what its hypervisor shares with us, by descriptor and offset.
//!
//! # What
//! [`Memory`] is a table of regions, immutable: when regions come or go, another table is made, which shares the mappings of the
//! regions that stay. [`Memory::read`] and [`Memory::write`] copy between guest-physical addresses and our own buffers;
//! a [`Span`] is a piece of one region (a ring) with loads and stores of single values. All are checked against the region's
//! bounds, so that no address that a guest can think of reaches anything else.
//!
//! # Why no references
//! The guest runs while we read. So nothing here ever gives out a reference to its memory: values are *copied* out, once, and
//! what is checked is the copy. A guest that changes its mind meanwhile gets its bytes mixed up, and nobody else is harmed.
//!
//! # Truncation
//! The memory is a file that others can cut short, and touching what is gone is a SIGBUS, which would end the process. `fault`
//! puts empty memory in place of such a region; the guest is then detached ([`Memory::is_damaged`]).
//!
//! # Huge pages
//! Where packets are, memory is made of huge pages, if it is not already (`huge`): [`Memory::note`], [`Memory::settle`].
//!
//! # Migration
//! While a hypervisor copies the guest elsewhere, every page that we write is noted in a [`Log`].

mod fault;
mod huge;
mod log;
mod mapping;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use self::log::Log;
use mapping::{Mapping, View};

/// Regions that a guest may have at most: memory that is plugged in comes as a region of its own.
pub const REGIONS_MAX: usize = 64;

/// Bytes that processors fetch at a time.
const CACHE_LINE: usize = 64;

/// How often regions may be added once more.
const AGAIN_MAX: usize = REGIONS_MAX * crate::port::PAIRS;

/// Where a region lies, in the three ways to see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Guest-physical address of its first byte.
    pub guest: u64,
    /// Bytes.
    pub size: u64,
    /// Address of its first byte in the hypervisor, in whose terms rings are placed.
    pub user: u64,
    /// Offset of its first byte in the file.
    pub offset: u64,
}

impl Placement {
    fn overlaps(&self, other: &Self) -> bool {
        let meet =
            |a: u64, b: u64| a < b.saturating_add(other.size) && b < a.saturating_add(self.size);
        meet(self.guest, other.guest) || meet(self.user, other.user)
    }
}

/// Why a region cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RegionError {
    #[error("a memory region of no bytes")]
    Empty,
    #[error("a memory region that goes beyond the last address")]
    Wraps,
    #[error("a memory region that overlaps another")]
    Overlaps,
    #[error("more than {REGIONS_MAX} memory regions")]
    TooMany,
    #[error("no such memory region")]
    Unknown,
    #[error("guest memory that is no file")]
    NoFile,
    #[error("a memory region beyond the end of its file")]
    BeyondFile,
    #[error("cannot map guest memory: {0}")]
    Map(#[from] io::Error),
}

/// A guest address that is not (wholly) in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address outside of guest memory")]
pub struct Outside;

/// One region, mapped.
#[derive(Debug)]
struct Region {
    placement: Placement,
    mapping: Mapping,
}

impl Region {
    fn map(placement: Placement, file: &OwnedFd) -> Result<Self, RegionError> {
        let Placement { guest, size, user, offset } = placement;
        if size == 0 {
            return Err(RegionError::Empty);
        }
        let ends = [guest, user, offset].map(|start| start.checked_add(size));
        if ends.contains(&None) || usize::try_from(size).is_err() {
            return Err(RegionError::Wraps);
        }
        Ok(Self { placement, mapping: Mapping::new(file, offset, size)? })
    }

    #[inline]
    fn view(&self) -> View {
        self.mapping.view()
    }

    /// The offset of a guest address in this region, if `len` bytes from there are inside.
    #[inline]
    fn at(&self, guest: u64, len: usize) -> Option<usize> {
        let at = guest.wrapping_sub(self.placement.guest);
        (at <= self.placement.size && len as u64 <= self.placement.size - at).then_some(at as usize)
    }
}

/// A guest's memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    regions: Vec<Arc<Region>>,
    /// Regions added once more than is needed: QEMU (7.2, say) adds and removes all regions once for each queue pair.
    again: Vec<Placement>,
    log: Option<Arc<Log>>,
}

impl Memory {
    /// Memory of these regions.
    pub fn new(
        regions: impl IntoIterator<Item = (Placement, OwnedFd)>,
    ) -> Result<Self, RegionError> {
        regions
            .into_iter()
            .try_fold(Self::default(), |memory, (placement, file)| memory.with(placement, &file))
    }

    /// The same with one region more. One that is there already is to be removed as often as it was added.
    pub fn with(&self, placement: Placement, file: &OwnedFd) -> Result<Self, RegionError> {
        if self.regions.iter().any(|r| r.placement == placement) {
            if self.again.len() >= AGAIN_MAX {
                return Err(RegionError::TooMany);
            }
            let mut memory = self.clone();
            memory.again.push(placement);
            return Ok(memory);
        }
        if self.regions.len() >= REGIONS_MAX {
            return Err(RegionError::TooMany);
        }
        if self.regions.iter().any(|r| r.placement.overlaps(&placement)) {
            return Err(RegionError::Overlaps);
        }
        let mut regions = self.regions.clone();
        regions.push(Arc::new(Region::map(placement, file)?));
        // The largest first: it is asked most often.
        regions.sort_by_key(|r| std::cmp::Reverse(r.placement.size));
        Ok(Self { regions, again: self.again.clone(), log: self.log.clone() })
    }

    /// The same without the region that lies there (its offset does not matter).
    pub fn without(&self, placement: Placement) -> Result<Self, RegionError> {
        let is_it =
            |r: &Arc<Region>| Placement { offset: placement.offset, ..r.placement } == placement;
        let at = self.regions.iter().position(is_it).ok_or(RegionError::Unknown)?;
        let known = self.regions[at].placement;
        if let Some(once) = self.again.iter().position(|p| *p == known) {
            let mut memory = self.clone();
            memory.again.swap_remove(once);
            return Ok(memory);
        }
        let mut regions = self.regions.clone();
        regions.remove(at);
        Ok(Self { regions, again: self.again.clone(), log: self.log.clone() })
    }

    /// The same, noting what is written there (or not, any more).
    pub fn logged(&self, log: Option<Arc<Log>>) -> Self {
        Self { regions: self.regions.clone(), again: self.again.clone(), log }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// Whether a part of it has gone away, so that nothing in it means anything any more.
    pub fn is_damaged(&self) -> bool {
        self.regions.iter().any(|r| r.mapping.is_damaged())
    }

    /// Notes that packets are where that guest address is. True: nobody knew that of the memory around it, and there is something to
    /// [`Memory::settle`].
    #[inline]
    pub fn note(&self, guest: u64) -> bool {
        self.find(guest, 1).is_some_and(|(region, at)| region.mapping.note(at))
    }

    /// Has the memory that packets pass through be made of huge pages. This takes some milliseconds at first, and then nothing.
    pub fn settle(&self) {
        self.regions.iter().for_each(|region| region.mapping.settle());
    }

    /// The region that a guest address is in, and where.
    #[inline]
    fn find(&self, guest: u64, len: usize) -> Option<(&Region, usize)> {
        self.regions.iter().find_map(|r| Some((&**r, r.at(guest, len)?)))
    }

    /// Copies out of guest memory.
    #[inline]
    pub fn read(&self, guest: u64, to: &mut [u8]) -> Result<(), Outside> {
        match self.find(guest, to.len()) {
            Some((region, at)) => region.view().read(at, to),
            None => self.read_across(guest, to),
        }
    }

    /// Copies out of guest memory a header, and from where that ends into `to`.
    #[inline]
    pub fn read_behind<const N: usize>(
        &self,
        guest: u64,
        to: &mut [u8],
    ) -> Result<[u8; N], Outside> {
        if let Some((region, at)) = self.find(guest, N + to.len()) {
            region.view().read(at + N, to)?;
            return region.view().read_array(at).ok_or(Outside);
        }
        let mut header = [0; N];
        self.read_across(guest, &mut header)?;
        self.read_across(guest.wrapping_add(N as u64), to)?;
        Ok(header)
    }

    /// The same where no one region holds it all.
    #[cold]
    fn read_across(&self, mut guest: u64, mut to: &mut [u8]) -> Result<(), Outside> {
        while !to.is_empty() {
            let (region, at) = self.find(guest, 1).ok_or(Outside)?;
            let here = to.len().min(region.view().len() - at);
            let (part, rest) = to.split_at_mut(here);
            region.view().read(at, part)?;
            guest = guest.wrapping_add(here as u64);
            to = rest;
        }
        Ok(())
    }

    /// Copies into guest memory.
    #[inline]
    pub fn write(&self, guest: u64, from: &[u8]) -> Result<(), Outside> {
        let written = match self.find(guest, from.len()) {
            Some((region, at)) => region.view().write(at, from),
            None => self.write_across(guest, from),
        };
        self.mark(guest, from.len());
        written
    }

    /// Copies a header into guest memory, and behind it `from`. Not the header if it is there already, as it often is: what nobody
    /// writes to stays in the guest's cache.
    #[inline]
    pub fn write_behind<const N: usize>(
        &self,
        guest: u64,
        header: [u8; N],
        from: &[u8],
    ) -> Result<(), Outside> {
        let Some((region, at)) = self.find(guest, N + from.len()) else {
            self.write(guest, &header)?;
            return self.write(guest.wrapping_add(N as u64), from);
        };
        let view = region.view();
        if view.read_array(at) != Some(header) {
            view.write_array(at, header).ok_or(Outside)?;
        }
        let written = view.write(at + N, from);
        self.mark(guest, N + from.len());
        written
    }

    /// Notes a write. Afterwards: a page that is copied between the mark and the write would be copied as it was before.
    #[inline]
    fn mark(&self, guest: u64, len: usize) {
        if let Some(log) = &self.log {
            log.mark(guest, len);
        }
    }

    #[cold]
    fn write_across(&self, mut guest: u64, mut from: &[u8]) -> Result<(), Outside> {
        while !from.is_empty() {
            let (region, at) = self.find(guest, 1).ok_or(Outside)?;
            let here = from.len().min(region.view().len() - at);
            let (part, rest) = from.split_at(here);
            region.view().write(at, part)?;
            guest = guest.wrapping_add(here as u64);
            from = rest;
        }
        Ok(())
    }

    /// Has the processor fetch what lies at a guest address, while we do something else: `len` bytes, to be read or written. Those
    /// lines that have nothing in them but the first `header` are not read, or only read.
    #[inline]
    pub fn fetch(&self, guest: u64, header: usize, len: usize, for_writing: bool) {
        let Some((region, at)) = self.find(guest, 1) else { return };
        let within = guest as usize % CACHE_LINE;
        let (first, lines) = ((within + header) / CACHE_LINE, (within + len).div_ceil(CACHE_LINE));
        for line in if for_writing { 0 } else { first }..lines {
            let at = at.saturating_add(line * CACHE_LINE);
            region.view().fetch(at, for_writing && line >= first);
        }
    }

    /// The memory node that the byte at an address in the hypervisor is on, if it is there and the system says.
    pub fn node_of(&self, user: u64) -> Option<usize> {
        let span = self.span(user, 1, 1).ok()?;
        sys::affinity::numa_node_of_address(span.view.address())
    }

    /// A piece of memory by its address in the hypervisor; it must be in one region and aligned to `align` (a power of two).
    pub fn span(&self, user: u64, len: usize, align: u64) -> Result<Span, Outside> {
        let place = |r: &Arc<Region>| {
            let guest = user.wrapping_sub(r.placement.user).wrapping_add(r.placement.guest);
            let inside = user >= r.placement.user && r.at(guest, len).is_some();
            inside.then(|| (r.clone(), guest))
        };
        let (region, guest) = self.regions.iter().find_map(place).ok_or(Outside)?;
        let view = region.view().part(region.at(guest, len).ok_or(Outside)?, len)?;
        if view.address() % align as usize != 0 {
            return Err(Outside);
        }
        self.note(guest);
        Ok(Span { view, _region: region, guest, log: self.log.clone() })
    }
}

/// A piece of one region, for values that a guest and we both change: a part of a ring. Positions are bytes from its start. A
/// position outside is a defect of ours; it reads as 0 and is not written.
#[derive(Clone, Debug)]
pub struct Span {
    view: View,
    /// Keeps what is in view mapped.
    _region: Arc<Region>,
    guest: u64,
    log: Option<Arc<Log>>,
}

impl Span {
    /// Loads a 16-bit value.
    #[inline]
    pub fn load16(&self, at: usize, order: Ordering) -> u16 {
        let value = self.view.load16(at, order);
        debug_assert!(value.is_some(), "{at} in {self:?}");
        value.unwrap_or_default()
    }

    /// Stores a 16-bit value.
    #[inline]
    pub fn store16(&self, at: usize, value: u16, order: Ordering) {
        self.view.store16(at, value, order);
        self.mark(at, 2);
    }

    /// Has the processor fetch what lies there, while we do something else.
    #[inline]
    pub fn fetch(&self, at: usize) {
        self.view.fetch(at, false);
    }

    /// Copies bytes out.
    #[inline]
    pub fn read<const N: usize>(&self, at: usize) -> [u8; N] {
        let bytes = self.view.read_array(at);
        debug_assert!(bytes.is_some(), "{at} in {self:?}");
        bytes.unwrap_or([0; N])
    }

    /// Copies bytes in.
    #[inline]
    pub fn write<const N: usize>(&self, at: usize, bytes: [u8; N]) {
        let written = self.view.write_array(at, bytes);
        debug_assert!(written.is_some(), "{at} in {self:?}");
        self.mark(at, N);
    }

    #[inline]
    fn mark(&self, at: usize, len: usize) {
        if let Some(log) = &self.log {
            log.mark(self.guest.wrapping_add(at as u64), len);
        }
    }
}

#[cfg(test)]
mod tests;
