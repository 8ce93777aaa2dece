//! An allocator that counts, for tests and benches that say "this allocates nothing".

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

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
