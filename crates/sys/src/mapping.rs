//! A piece of memory shared with the kernel, unmapped when dropped.

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Mapped memory.
pub(crate) struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and this type is its only owner.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: by a shared reference the memory is not reached but by its address, and who does so vouches for who else does.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed memory of our own.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice disturbs no other memory.
        #[allow(unsafe_code)]
        let at = unsafe { mmap_anonymous(std::ptr::null_mut(), len, rw, MapFlags::PRIVATE)? };
        Self::new(at, len)
    }

    /// `len` bytes of what a descriptor offers at `offset`.
    pub(crate) fn of(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Self> {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at a place of the kernel's choice disturbs no other memory.
        #[allow(unsafe_code)]
        let at = unsafe { mmap(std::ptr::null_mut(), len, rw, flags, fd, offset)? };
        Self::new(at, len)
    }

    fn new(at: *mut c_void, len: usize) -> io::Result<Self> {
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, len })
    }

    /// Asks for large pages, of which fewer are to be looked up.
    pub(crate) fn advise_huge(&self) {
        use rustix::mm::{Advice, madvise};
        // SAFETY: all of the mapping, and which pages it is made of changes no byte.
        #[allow(unsafe_code)]
        let _ = unsafe { madvise(self.at.as_ptr().cast(), self.len, Advice::LinuxHugepage) };
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// Whether `count` values of that type lie wholly inside at `offset`, aligned.
    pub(crate) fn has<T>(&self, offset: usize, count: usize) -> bool {
        let end = size_of::<T>().checked_mul(count).and_then(|len| offset.checked_add(len));
        end.is_some_and(|end| end <= self.len) && offset.is_multiple_of(align_of::<T>())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever borrowed from it did so by a reference that has ended.
        #[allow(unsafe_code)]
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}
