//! Tables that programs of the kernel and we share.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::{bpf, bpf_fd, two};

// Commands and values of bpf(2), from linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP: libc::c_int = 1;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const MAP_TYPE_HASH: u32 = 1;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_PERCPU_ARRAY: u32 = 6;
/// Of map_flags: it can be mapped into memory.
const MMAPABLE: u32 = 1 << 10;

/// A table of values of one size under keys of one size.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
    /// A value is one for each processor: only programs read and write it.
    per_cpu: bool,
}

impl Map {
    /// Entries under any keys, at most so many.
    pub fn hash(key_size: usize, value_size: usize, entries: u32) -> io::Result<Self> {
        Self::create(MAP_TYPE_HASH, key_size, value_size, entries, 0)
    }

    /// Entries by number (a native `u32`), all there from the beginning, zeroed.
    pub fn array(value_size: usize, entries: u32) -> io::Result<Self> {
        Self::create(MAP_TYPE_ARRAY, size_of::<u32>(), value_size, entries, 0)
    }

    /// The same, to be mapped into memory.
    pub(super) fn mappable_array(value_size: usize, entries: u32) -> io::Result<Self> {
        Self::create(MAP_TYPE_ARRAY, size_of::<u32>(), value_size, entries, MMAPABLE)
    }

    /// The same with a value for each processor, which programs alone can see.
    pub fn per_cpu_array(value_size: usize, entries: u32) -> io::Result<Self> {
        Self::create(MAP_TYPE_PERCPU_ARRAY, size_of::<u32>(), value_size, entries, 0)
    }

    fn create(
        kind: u32,
        key_size: usize,
        value_size: usize,
        entries: u32,
        flags: u32,
    ) -> io::Result<Self> {
        // map_type, key_size; value_size, max_entries; map_flags, inner_map_fd; numa_node.
        let attr = [two(kind, key_size as u32), two(value_size as u32, entries), two(flags, 0), 0];
        // SAFETY: no addresses in it; MAP_CREATE returns a descriptor.
        #[allow(unsafe_code)]
        let fd = unsafe { bpf_fd(MAP_CREATE, &attr) }?;
        Ok(Self { fd, key_size, value_size, per_cpu: kind == MAP_TYPE_PERCPU_ARRAY })
    }

    /// Writes an entry; programs see the old one or the new one. `E2BIG`: no room; `EINVAL`: sizes are not the table's.
    pub fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check(key, value.len())?;
        let attr = [self.number(), key.as_ptr().addr() as u64, value.as_ptr().addr() as u64, 0];
        // SAFETY: the kernel reads a key and a value, whose sizes were checked and which are alive for the call.
        #[allow(unsafe_code)]
        unsafe { bpf(MAP_UPDATE, &attr) }.map(drop)
    }

    /// Reads an entry into `value`. `ENOENT`: there is none.
    pub fn get(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.check(key, value.len())?;
        let attr = [self.number(), key.as_ptr().addr() as u64, value.as_mut_ptr().addr() as u64, 0];
        // SAFETY: the kernel reads a key and writes a value, whose sizes were checked and which are alive for the call; `value`
        // is exclusively borrowed.
        #[allow(unsafe_code)]
        unsafe { bpf(MAP_LOOKUP, &attr) }.map(drop)
    }

    /// Takes an entry out. `ENOENT`: there is none; `EINVAL`: arrays have all their entries always.
    pub fn remove(&self, key: &[u8]) -> io::Result<()> {
        self.check(key, self.value_size)?;
        let attr = [self.number(), key.as_ptr().addr() as u64];
        // SAFETY: the kernel reads a key, whose size was checked and which is alive for the call.
        #[allow(unsafe_code)]
        unsafe { bpf(MAP_DELETE, &attr) }.map(drop)
    }

    fn check(&self, key: &[u8], value_len: usize) -> io::Result<()> {
        let fits = !self.per_cpu && key.len() == self.key_size && value_len == self.value_size;
        if fits { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
    }

    fn number(&self) -> u64 {
        two(self.fd.as_raw_fd() as u32, 0)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
