//! Allocators: the one of our programs, and one that counts, for tests and benches that say "this allocates nothing".

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use libmimalloc_sys as mi;

/// The allocator of our programs. Flows, rules and rows are made by one thread and let go by another, by the hundred thousand: that
/// costs less here than in the C library, and what is free is given back.
///
/// Nearly everything is asked for as C programs ask, without a word about alignment. Asked for a certain alignment, mimalloc looks
/// for a free block that happens to have it, and where there is none, as when a table only grows, it takes a larger block
/// and begins somewhere in it: that took nearly three times as many instructions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mimalloc;

/// What C promises for whatever is at least as large.
const NATURAL: usize = 16;

/// Whether a block of that size is aligned well enough whoever asks for it.
fn is_natural(layout: &Layout) -> bool {
    layout.align() <= NATURAL && layout.align() <= layout.size()
}

// SAFETY: mimalloc's functions keep the promises of the C library's, among them that memory is aligned for any type of that size
// with an alignment of up to `NATURAL`; the others take the alignment. All of its memory may be freed and reallocated by any of
// its functions.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Mimalloc {
    // SAFETY: what the trait asks of callers is more than mimalloc asks.
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size and any power of two will do.
        let block = unsafe {
            if is_natural(&layout) {
                mi::mi_malloc(size)
            } else {
                mi::mi_malloc_aligned(size, align)
            }
        };
        block.cast()
    }

    // SAFETY: as above.
    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        let block = unsafe {
            if is_natural(&layout) {
                mi::mi_zalloc(size)
            } else {
                mi::mi_zalloc_aligned(size, align)
            }
        };
        block.cast()
    }

    // SAFETY: the caller says that `block` is of this allocator.
    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast::<c_void>(), layout.align());
        // What stays where it is must be as well aligned as what is moved.
        let natural = is_natural(&layout) && align <= size;
        // SAFETY: as above, and it is not used after this.
        let moved = unsafe {
            if natural {
                mi::mi_realloc(block, size)
            } else {
                mi::mi_realloc_aligned(block, size, align)
            }
        };
        moved.cast()
    }

    // SAFETY: as above.
    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: as above.
        unsafe { mi::mi_free(block.cast()) }
    }
}

/// The system's allocator, with a count of allocations by all threads.
#[derive(Debug, Default)]
pub struct Counting(AtomicU64);

impl Counting {
    /// To be the `#[global_allocator]`.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Allocations so far; a reallocation is one too.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every method hands its arguments on to the system's allocator, which keeps the trait's promises, and gives back what
// that gave; counting touches no memory that is handed out.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    // SAFETY: what the trait asks of callers is handed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note();
        // SAFETY: the caller keeps the promises of this method, which are the same.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: what the trait asks of callers is handed on.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: what the trait asks of callers is handed on.
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.note();
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }

    // SAFETY: what the trait asks of callers is handed on.
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_keep_what_they_hold() {
        for (size, align) in
            (0..200).flat_map(|i| [1, 2, 8, 16, 64, 4096].map(|align| (1 + i * i, align)))
        {
            let layout = Layout::from_size_align(size, align).unwrap();
            let is_aligned =
                |block: *mut u8| !block.is_null() && block.addr().is_multiple_of(align);
            // SAFETY: no layout is empty, writes stay within them, and what is allocated is freed with the last one.
            #[allow(unsafe_code)]
            unsafe {
                let (a, b) = (Mimalloc.alloc(layout), Mimalloc.alloc_zeroed(layout));
                assert!(is_aligned(a) && is_aligned(b), "{layout:?}");
                let zeros = std::slice::from_raw_parts(b, size);
                assert!(zeros.iter().all(|byte| *byte == 0));
                a.write_bytes(0xa5, size);
                for more in [size * 2, size.div_ceil(3)] {
                    let c = Mimalloc.alloc(layout);
                    c.write_bytes(0x5a, size);
                    let moved = Mimalloc.realloc(c, layout, more);
                    assert!(is_aligned(moved));
                    let kept = std::slice::from_raw_parts(moved, size.min(more));
                    assert!(kept.iter().all(|byte| *byte == 0x5a));
                    Mimalloc.dealloc(moved, Layout::from_size_align(more, align).unwrap());
                }
                let kept = std::slice::from_raw_parts(a, size);
                assert!(kept.iter().all(|byte| *byte == 0xa5));
                Mimalloc.dealloc(a, layout);
                Mimalloc.dealloc(b, layout);
            }
        }
    }

    #[test]
    fn allocations_are_counted() {
        let counting = Counting::new();
        let layout = Layout::new::<u64>();
        // SAFETY: the layout is not empty, and what is allocated is freed with the same one.
        #[allow(unsafe_code)]
        unsafe {
            let ptr = counting.alloc(layout);
            counting.dealloc(ptr, layout);
        }
        assert_eq!(counting.count(), 1);
    }
}
