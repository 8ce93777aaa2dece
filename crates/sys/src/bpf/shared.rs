//! Numbers that programs of the kernel and we read and write at any time, without a system call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;

use super::Map;
use crate::mapping::Mapping;

/// A table of 64-bit numbers, so many under each entry's number, mapped into this process. Zeroed in the beginning.
pub struct SharedMap {
    map: Map,
    memory: Mapping,
    words: usize,
}

impl SharedMap {
    /// `entries` with so many `words` each. `EINVAL`: too large.
    pub fn new(words: usize, entries: u32) -> io::Result<Self> {
        let size = words.checked_mul(size_of::<u64>()).ok_or(io::ErrorKind::InvalidInput)?;
        let map = Map::mappable_array(size, entries)?;
        let len = size.checked_mul(entries as usize).ok_or(io::ErrorKind::InvalidInput)?;
        let memory = Mapping::of(map.as_fd(), 0, len)?;
        Ok(Self { map, memory, words })
    }

    /// A number of an entry, if there is such a one.
    pub fn word(&self, entry: u32, word: usize) -> Option<&AtomicU64> {
        let at = (entry as usize).checked_mul(self.words)?.checked_add(word)?;
        let offset = at.checked_mul(size_of::<u64>())?;
        if word >= self.words || !self.memory.has::<AtomicU64>(offset, 1) {
            return None;
        }
        // SAFETY: inside the mapping and aligned, as was just checked; the mapping lives as long as `self`, is never sliced,
        // and everybody, the kernel's programs included, reads and writes its words whole.
        #[allow(unsafe_code)]
        Some(unsafe { &*self.memory.base().add(offset).cast::<AtomicU64>() })
    }

    /// For programs to look up in.
    pub fn map(&self) -> &Map {
        &self.map
    }
}

impl AsFd for SharedMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl std::fmt::Debug for SharedMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMap").field("map", &self.map).field("words", &self.words).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn what_is_written_here_the_kernel_reads() {
        let shared = SharedMap::new(3, 5).expect("tables need CAP_BPF");
        shared.word(4, 2).unwrap().store(7, Ordering::Relaxed);
        let mut value = [0; 24];
        shared.map().get(&4u32.to_ne_bytes(), &mut value).unwrap();
        assert_eq!(value[16..], 7u64.to_ne_bytes());
        value[..8].copy_from_slice(&9u64.to_ne_bytes());
        shared.map().set(&4u32.to_ne_bytes(), &value).unwrap();
        assert_eq!(shared.word(4, 0).unwrap().load(Ordering::Relaxed), 9);
    }

    #[test]
    fn there_is_nothing_beyond_the_end() {
        let shared = SharedMap::new(3, 5).expect("tables need CAP_BPF");
        assert!(shared.word(4, 3).is_none() && shared.word(5, 0).is_none());
        assert!(shared.word(u32::MAX, usize::MAX).is_none());
    }
}
