//! One mapped file: the only place where guest memory is touched.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use rustix::fs::{FileType, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{Outside, RegionError, fault};

/// Part of a file, mapped for reading and writing.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// What was mapped, from and to page boundaries.
    base: NonNull<u8>,
    mapped: usize,
    /// Where in it the wanted part lies.
    start: usize,
    len: usize,
    /// Stands by when the file is cut short.
    guard: fault::Guard,
}

// SAFETY: a mapping is memory of the whole process; nothing about it belongs to a thread.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: all access through a shared reference is by copies and atomics on raw pointers, never by Rust references to plain
// memory. Others (the guest, another thread) may write at the same time; then bytes are mixed, which is in the nature of
// memory shared with a guest: every reader checks its copy.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

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
        // Kernels have a name space for guests' memory of their own: memory that is not there yet costs nothing.
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody. `mapped` is not 0.
        #[allow(unsafe_code)]
        let base = unsafe {
            mmap(null_mut(), mapped, ProtFlags::READ | ProtFlags::WRITE, flags, file, from)
        };
        let base = base.map_err(io::Error::from)?;
        let Some(base) = NonNull::new(base.cast::<u8>()) else { return Err(RegionError::NoFile) };
        match fault::Guard::new(base.as_ptr() as usize, mapped) {
            Ok(guard) => Ok(Self { base, mapped, start, len, guard }),
            Err(error) => {
                unmap(base, mapped);
                Err(error.into())
            }
        }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The file has been cut short, and somebody noticed by touching it.
    pub(crate) fn is_damaged(&self) -> bool {
        self.guard.is_hit()
    }

    /// The address of a byte, as a number.
    pub(crate) fn address(&self, at: usize) -> usize {
        self.base.as_ptr() as usize + self.start + at
    }

    /// Where `len` bytes from `at` are; `None` if they are not all inside.
    #[inline]
    fn pointer(&self, at: usize, len: usize) -> Option<*mut u8> {
        let inside = at <= self.len && len <= self.len - at;
        inside.then(|| self.base.as_ptr().wrapping_add(self.start + at))
    }

    #[inline]
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) -> Result<(), Outside> {
        let from = self.pointer(at, to.len()).ok_or(Outside)?;
        // SAFETY: `from` has `to.len()` mapped bytes behind it, which stay mapped as long as `self`; `to` is our own memory, so
        // they do not overlap. The bytes may change while they are copied: any byte is a value of u8.
        #[allow(unsafe_code)]
        unsafe {
            copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn write(&self, at: usize, from: &[u8]) -> Result<(), Outside> {
        let to = self.pointer(at, from.len()).ok_or(Outside)?;
        // SAFETY: as in `read`, the other way; nobody has a Rust reference to the bytes that are written.
        #[allow(unsafe_code)]
        unsafe {
            copy_nonoverlapping(from.as_ptr(), to, from.len());
        }
        Ok(())
    }

    /// Has the processor fetch what lies there, if it can and anything does, while we do something else.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        let Some(pointer) = self.pointer(at, 1) else { return };
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint: it has no effect but on the cache, whatever the address.
        #[allow(unsafe_code)]
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(pointer.cast_const().cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = pointer;
    }

    /// `None`: outside, or at an odd address.
    #[inline]
    fn cell16(&self, at: usize) -> Option<&AtomicU16> {
        let cell = self.pointer(at, 2)?.cast::<u16>();
        // SAFETY: two mapped bytes at an even address, which stay mapped as long as the reference can live (that of `self`).
        // An atomic may change behind a shared reference, also by the guest's own atomic accesses.
        #[allow(unsafe_code)]
        cell.is_aligned().then(|| unsafe { AtomicU16::from_ptr(cell) })
    }

    #[inline]
    pub(crate) fn load16(&self, at: usize, order: Ordering) -> Option<u16> {
        self.cell16(at).map(|cell| u16::from_le(cell.load(order)))
    }

    #[inline]
    pub(crate) fn store16(&self, at: usize, value: u16, order: Ordering) {
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
    pub(crate) fn set_bits(&self, at: usize, bits: u8) {
        if let Some(byte) = self.cell8(at) {
            // Always, also if they are set already: what was written before is to be seen by whoever clears them.
            byte.fetch_or(bits, Ordering::SeqCst);
        }
    }

    /// Clears a byte and says what it was.
    #[cfg(any(test, feature = "frontend"))]
    pub(crate) fn take_bits(&self, at: usize) -> u8 {
        self.cell8(at).map_or(0, |byte| byte.swap(0, Ordering::SeqCst))
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
