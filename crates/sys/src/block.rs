//! Memory of a packet: from the heap, or a chunk of memory that the kernel's AF_XDP sockets know.
//!
//! A [`Block`] is a slice that somebody owns, whoever's memory it is: reading it asks nothing. Only its end differs. Memory of the
//! heap is freed; a chunk goes back to those that nobody has.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::xdp::memory::Memory;

/// Bytes of one owner.
pub struct Block {
    base: NonNull<u8>,
    len: usize,
    /// Whose chunk it is; else it is a boxed slice.
    home: Option<Arc<Memory>>,
}

// SAFETY: a block is the only owner of its bytes, like the boxed slice or the chunk that it was made of.
#[allow(unsafe_code)]
unsafe impl Send for Block {}
// SAFETY: by a shared reference it can only be read.
#[allow(unsafe_code)]
unsafe impl Sync for Block {}

impl Block {
    /// Chunk number `number` of `home`.
    ///
    /// # Safety
    /// Nobody else has this chunk, the kernel included, until the block is dropped or disowned.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn chunk(home: Arc<Memory>, number: u32) -> Option<Self> {
        let (base, len) = home.place(number)?;
        Some(Self { base, len, home: Some(home) })
    }

    /// Whose chunk it is, if it is one.
    #[inline]
    pub(crate) fn home(&self) -> Option<&Arc<Memory>> {
        self.home.as_ref()
    }

    /// Gives up a chunk without giving it back: says where it begins. Its claim on `home` stays as it was.
    #[inline]
    pub(crate) fn disown(self) -> NonNull<u8> {
        ManuallyDrop::new(self).base
    }

    /// Gives up a chunk's claim on its home without giving the chunk back: says where it begins.
    pub(crate) fn forget(self) -> NonNull<u8> {
        let mut this = ManuallyDrop::new(self);
        drop(this.home.take());
        this.base
    }
}

impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        let bytes = ManuallyDrop::new(bytes.into_boxed_slice());
        let len = bytes.len();
        Self { base: NonNull::from(&**bytes).cast(), len, home: None }
    }
}

impl Default for Block {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Clone for Block {
    /// A copy on the heap.
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `base` and `len` are those of the boxed slice, or of a chunk inside of `home`'s mapping, which lives as long;
        // all bytes are initialised, and nobody else has them.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr(), self.len)
        }
    }
}

impl DerefMut for Block {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and by an exclusive reference.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len)
        }
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.put(self.base);
            return;
        }
        let slice = std::ptr::slice_from_raw_parts_mut(self.base.as_ptr(), self.len);
        // SAFETY: without a home it was made of a boxed slice of that place and length, which nobody else has.
        #[allow(unsafe_code)]
        drop(unsafe { Box::from_raw(slice) });
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = if self.home.is_some() { "chunk" } else { "heap" };
        write!(f, "Block[{of} {}]", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_heap_are_slices() {
        let mut block = Block::from(vec![1, 2, 3]);
        block[1] = 9;
        assert_eq!(*block.clone(), [1, 9, 3]);
        assert!(Block::default().is_empty());
        assert_eq!(format!("{block:?}"), "Block[heap 3]");
    }
}
