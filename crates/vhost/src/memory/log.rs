//! The log of written pages that live migration needs.

use std::os::fd::OwnedFd;

use super::RegionError;
use super::mapping::Mapping;

/// Bytes for which one bit stands (`VHOST_LOG_PAGE`).
const PAGE_SHIFT: u32 = 12;

/// A bit for each page of guest memory, in memory that the hypervisor reads and clears while we set.
#[derive(Debug)]
pub struct Log(Mapping);

impl Log {
    /// The log of `size` bytes at that offset of a file.
    pub fn new(file: &OwnedFd, offset: u64, size: u64) -> Result<Self, RegionError> {
        if size == 0 {
            return Err(RegionError::Empty);
        }
        Ok(Self(Mapping::new(file, offset, size)?))
    }

    /// Notes that guest memory was written. Pages beyond the log are the hypervisor's omission.
    #[inline]
    pub fn mark(&self, guest: u64, len: usize) {
        if len == 0 {
            return;
        }
        // A length is at most that of a buffer of ours: the loop is short.
        let last = guest.saturating_add(len as u64 - 1) >> PAGE_SHIFT;
        for page in guest >> PAGE_SHIFT..=last {
            let Ok(byte) = usize::try_from(page / 8) else { return };
            self.0.view().set_bits(byte, 1 << (page % 8));
        }
    }

    /// What a hypervisor does, here for tests: the pages (by their addresses) that were written since this was last asked.
    #[cfg(any(test, feature = "frontend"))]
    pub fn take(&self) -> Vec<u64> {
        let mut pages = Vec::new();
        for byte in 0..self.0.view().len() {
            let bits = self.0.view().take_bits(byte);
            let set = (0..8).filter(|n| bits >> n & 1 != 0);
            pages.extend(set.map(|n| (byte as u64 * 8 + n) << PAGE_SHIFT));
        }
        pages
    }
}
