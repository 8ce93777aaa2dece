//! One mapped file, and [`View`]s of it: the only place where guest memory is touched.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use rustix::fs::{FileType, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::huge::{self, PIECE, Pieces};
use super::{Outside, RegionError, fault};

/// Part of a file, mapped for reading and writing.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// What was mapped, from and to page boundaries.
    base: NonNull<u8>,
    mapped: usize,
    /// The wanted part of it.
    view: View,
    /// Where packets pass through.
    pieces: Pieces,
    /// Stands by when the file is cut short.
    guard: fault::Guard,
}

/// Mapped bytes. They stay mapped as long as their [`Mapping`], which everyone who has a view must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is memory of the whole process; nothing about it belongs to a thread.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: see that of `View`; the rest is numbers.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}
// SAFETY: as for `Mapping`.
#[allow(unsafe_code)]
unsafe impl Send for View {}
// SAFETY: all access through a shared reference is by copies and atomics on raw pointers, never by Rust references to plain
// memory. Others (the guest, another thread) may write at the same time; then bytes are mixed, which is in the nature of
// memory shared with a guest: every reader checks its copy.
#[allow(unsafe_code)]
unsafe impl Sync for View {}

impl Mapping {
    /// Maps `size` bytes (not 0) of a file.
    pub(crate) fn new(file: &OwnedFd, offset: u64, size: u64) -> Result<Self, RegionError> {
        let stat = fstat(file.as_fd()).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(RegionError::NoFile);
        }
        let end = offset.checked_add(size).ok_or(RegionError::Wraps)?;
        if u64::try_from(stat.st_size).unwrap_or(0) < end {
            return Err(RegionError::BeyondFile);
        }
        // Huge pages can be mapped only whole; their file system says their size here.
        let page = u64::try_from(stat.st_blksize).ok().filter(|p| p.is_power_of_two());
        let page = page.unwrap_or(1).max(rustix::param::page_size() as u64);
        let from = offset & !(page - 1);
        let mapped = end.checked_add(page - 1).ok_or(RegionError::Wraps)? & !(page - 1);
        let usize_of = |n: u64| usize::try_from(n).map_err(|_| RegionError::Wraps);
        let mapped = usize_of(mapped - from)?;
        let (start, len) = (usize_of(offset - from)?, usize_of(size)?);
        let has_huge = page >= PIECE as u64;
        let base =
            if has_huge { map(None, mapped, file, from) } else { map_in_line(mapped, file, from) }?;
        // Those that are huge already need nothing.
        let pieces = Pieces::of(if has_huge { 0 } else { mapped + base.as_ptr() as usize % PIECE });
        match fault::Guard::new(base.as_ptr() as usize, mapped) {
            Ok(guard) => {
                // SAFETY: `start` and `len` are inside of what was mapped.
                #[allow(unsafe_code)]
                let view = View { start: unsafe { base.add(start) }, len };
                Ok(Self { base, mapped, view, pieces, guard })
            }
            Err(error) => {
                unmap(base, mapped);
                Err(error.into())
            }
        }
    }

    /// The file has been cut short, and somebody noticed by touching it.
    pub(crate) fn is_damaged(&self) -> bool {
        self.guard.is_hit()
    }

    /// Notes that there are packets where byte `at` of it is. True: nobody knew that of the memory around it.
    #[inline]
    pub(super) fn note(&self, at: usize) -> bool {
        let base = self.base.as_ptr() as usize;
        let address = (self.view.start.as_ptr() as usize).wrapping_add(at);
        self.pieces.note(address.wrapping_sub(base - base % PIECE))
    }

    /// Has all that was noted be made of huge pages.
    pub(super) fn settle(&self) {
        let base = self.base.as_ptr() as usize;
        self.pieces.settle(|at| {
            let piece = base - base % PIECE + at;
            if piece >= base && piece + PIECE <= base + self.mapped {
                huge::collapse(piece);
            }
        });
    }

    /// All of it. Whoever takes it holds the mapping, too.
    #[inline]
    pub(super) fn view(&self) -> View {
        self.view
    }
}

/// Maps a file, at an address of the kernel's choice or in place of what is at that one.
fn map(at: Option<NonNull<u8>>, len: usize, file: &OwnedFd, from: u64) -> io::Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // Kernels have a name space for guests' memory of their own: memory that is not there yet costs nothing.
    let mut flags = MapFlags::SHARED | MapFlags::NORESERVE;
    flags.set(MapFlags::FIXED, at.is_some());
    let hint = at.map_or(null_mut(), |at| at.as_ptr().cast());
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody; another is one that the caller has made for it.
    #[allow(unsafe_code)]
    let base = unsafe { mmap(hint, len, access, flags, file, from) }?;
    NonNull::new(base.cast()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// The same, where pieces of the file that could be one huge page are such in memory, too.
fn map_in_line(len: usize, file: &OwnedFd, from: u64) -> io::Result<NonNull<u8>> {
    let room = len.checked_add(PIECE).ok_or(io::ErrorKind::OutOfMemory)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: as in `map`.
    #[allow(unsafe_code)]
    let start = unsafe { mmap_anonymous(null_mut(), room, ProtFlags::empty(), flags) }?;
    let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let before = (from as usize).wrapping_sub(start.as_ptr() as usize) % PIECE;
    // SAFETY: `before` is less than `PIECE`, so both are inside of the room, or at its end.
    #[allow(unsafe_code)]
    let (base, end) = unsafe { (start.add(before), start.add(before + len)) };
    let mapped = map(Some(base), len, file, from);
    // What is left of the room, and all of it if there was no mapping.
    match mapped {
        Ok(_) => {
            let after = room - before - len;
            [(start, before), (end, after)]
                .into_iter()
                .filter(|(_, len)| *len > 0)
                .for_each(|(at, len)| unmap(at, len));
        }
        Err(_) => unmap(start, room),
    }
    mapped
}

impl View {
    /// Bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The address of its first byte, as a number.
    pub(super) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// A part of it.
    pub(super) fn part(&self, at: usize, len: usize) -> Result<Self, Outside> {
        let start = NonNull::new(self.pointer(at, len).ok_or(Outside)?).ok_or(Outside)?;
        Ok(Self { start, len })
    }

    /// Where `len` bytes from `at` are; `None` if they are not all inside.
    #[inline]
    fn pointer(&self, at: usize, len: usize) -> Option<*mut u8> {
        let inside = at <= self.len && len <= self.len - at;
        inside.then(|| self.start.as_ptr().wrapping_add(at))
    }

    #[inline]
    pub(super) fn read(&self, at: usize, to: &mut [u8]) -> Result<(), Outside> {
        let from = self.pointer(at, to.len()).ok_or(Outside)?;
        // SAFETY: `from` has `to.len()` bytes behind it, mapped as long as `self` may be used; `to` is our own memory, so
        // they do not overlap. The bytes may change while they are copied: any byte is a value of u8.
        #[allow(unsafe_code)]
        unsafe {
            copy(from, to.as_mut_ptr(), to.len());
        }
        Ok(())
    }

    /// As many bytes as the caller wants to look at at once.
    #[inline]
    pub(super) fn read_array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let from = self.pointer(at, N)?;
        // SAFETY: as in `read`; arrays of bytes may be anywhere.
        #[allow(unsafe_code)]
        Some(unsafe { from.cast::<[u8; N]>().read_unaligned() })
    }

    #[inline]
    pub(super) fn write_array<const N: usize>(&self, at: usize, from: [u8; N]) -> Option<()> {
        let to = self.pointer(at, N)?;
        // SAFETY: as in `write`; arrays of bytes may be anywhere.
        #[allow(unsafe_code)]
        unsafe {
            to.cast::<[u8; N]>().write_unaligned(from);
        }
        Some(())
    }

    #[inline]
    pub(super) fn write(&self, at: usize, from: &[u8]) -> Result<(), Outside> {
        let to = self.pointer(at, from.len()).ok_or(Outside)?;
        // SAFETY: as in `read`, the other way; nobody has a Rust reference to the bytes that are written.
        #[allow(unsafe_code)]
        unsafe {
            copy(from.as_ptr(), to, from.len());
        }
        Ok(())
    }

    /// Has the processor fetch what lies there, if it can and anything does, while we do something else.
    #[inline]
    pub(super) fn fetch(&self, at: usize, for_writing: bool) {
        let Some(pointer) = self.pointer(at, 1) else { return };
        #[cfg(target_arch = "x86_64")]
        // SAFETY: hints: they have no effect but on the cache, whatever the address. (The second has a name in
        // `core::arch`, too, but for the oldest of processors, as which we are compiled, that means the first.)
        #[allow(unsafe_code)]
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            if for_writing {
                std::arch::asm!(
                    "prefetchw [{0}]",
                    in(reg) pointer,
                    options(nostack, readonly, preserves_flags)
                );
            } else {
                _mm_prefetch::<_MM_HINT_T0>(pointer.cast_const().cast());
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (pointer, for_writing);
    }

    /// `None`: outside, or at an odd address.
    #[inline]
    fn cell16(&self, at: usize) -> Option<&AtomicU16> {
        let cell = self.pointer(at, 2)?.cast::<u16>();
        // SAFETY: two mapped bytes at an even address, mapped as long as `self` may be used, and so the reference.
        // An atomic may change behind a shared reference, also by the guest's own atomic accesses.
        #[allow(unsafe_code)]
        cell.is_aligned().then(|| unsafe { AtomicU16::from_ptr(cell) })
    }

    #[inline]
    pub(super) fn load16(&self, at: usize, order: Ordering) -> Option<u16> {
        self.cell16(at).map(|cell| u16::from_le(cell.load(order)))
    }

    #[inline]
    pub(super) fn store16(&self, at: usize, value: u16, order: Ordering) {
        if let Some(cell) = self.cell16(at) {
            cell.store(value.to_le(), order);
        }
    }

    /// `None`: outside.
    #[inline]
    fn cell8(&self, at: usize) -> Option<&AtomicU8> {
        let byte = self.pointer(at, 1)?;
        // SAFETY: one mapped byte; see `cell16`.
        #[allow(unsafe_code)]
        Some(unsafe { AtomicU8::from_ptr(byte) })
    }

    /// Sets bits of a byte that others set bits of at the same time. Nothing happens outside.
    #[inline]
    pub(super) fn set_bits(&self, at: usize, bits: u8) {
        if let Some(byte) = self.cell8(at) {
            // Always, also if they are set already: what was written before is to be seen by whoever clears them.
            byte.fetch_or(bits, Ordering::SeqCst);
        }
    }

    /// Clears a byte and says what it was.
    #[cfg(any(test, feature = "frontend"))]
    pub(super) fn take_bits(&self, at: usize) -> u8 {
        self.cell8(at).map_or(0, |byte| byte.swap(0, Ordering::SeqCst))
    }
}

/// Copies as `copy_nonoverlapping` does, the most frequent lengths of frames without a call: two pieces of a fixed length, which
/// may overlap *each other*.
///
/// # Safety
/// That of `copy_nonoverlapping`.
#[inline]
#[allow(unsafe_code)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    /// The `N` bytes at the start and the `N` before the end.
    ///
    /// # Safety
    /// That of `copy_nonoverlapping`, and `N <= len`.
    #[inline]
    unsafe fn ends<const N: usize>(from: *const u8, to: *mut u8, len: usize) {
        let rest = len - N;
        // SAFETY: both pieces are inside of what the caller may copy.
        unsafe {
            copy_nonoverlapping(from, to, N);
            copy_nonoverlapping(from.add(rest), to.add(rest), N);
        }
    }
    // SAFETY: the caller's; and `N <= len <= 2 * N` in each arm.
    unsafe {
        match len {
            32..=64 => ends::<32>(from, to, len),
            65..=128 => ends::<64>(from, to, len),
            _ => copy_nonoverlapping(from, to, len),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First the guard: afterwards the addresses may be anybody's.
        self.guard.release();
        unmap(self.base, self.mapped);
    }
}

fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: exactly what was mapped, once, by its owner, when nobody can use it any more.
    #[allow(unsafe_code)]
    let result = unsafe { munmap(base.as_ptr().cast(), len) };
    debug_assert!(result.is_ok());
}
