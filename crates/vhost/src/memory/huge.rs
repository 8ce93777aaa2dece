//! Huge pages for the parts of guest memory that packets pass through.
//!
//! # The problem
//! A guest whose memory was not set up with huge pages has each buffer on a page of its own, and there are more of those than a
//! processor remembers the addresses of. So nearly every packet costs a walk through page tables, on both sides: in a virtual
//! machine a walk through two of them. To set huge pages up means to reserve them when the host starts, which few do.
//!
//! # What is done
//! The kernel can put a huge page in place of 512 small ones while they are in use (`MADV_COLLAPSE`, Linux 6.1). Workers note
//! which [`PIECE`]s of memory hold rings and buffers, one buffer of a batch each time ([`Pieces::note`]), and the control side
//! has those collapsed, each once ([`Pieces::settle`]). Pieces without packets stay as they are: what they lack is not to be
//! allocated for nothing. A piece takes the kernel less than a millisecond, in which whoever touches it waits.
//!
//! # Where it does nothing
//! Before Linux 6.1, on memory that has huge pages already, and on files that are not of memory: the kernel says no, once for each
//! piece.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a huge page, the same on all kinds of processors that have this kernel's default page size.
pub(super) const PIECE: usize = 2 << 20;

/// How often the kernel is asked again where it was busy.
const TRIES: usize = 3;

/// Which pieces of a region are known to hold what packets need. Pieces count from its first byte at an address that is a multiple of
/// [`PIECE`], back to the one that it begins in.
#[derive(Debug)]
pub(super) struct Pieces {
    /// A bit each.
    seen: Box<[AtomicU64]>,
    /// Those of them that have been dealt with.
    settled: Box<[AtomicU64]>,
}

impl Pieces {
    /// None of a region that covers so many bytes from a multiple of [`PIECE`] on is known.
    pub(super) fn of(bytes: usize) -> Self {
        let words = bytes.div_ceil(PIECE).div_ceil(64);
        let none = || (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { seen: none(), settled: none() }
    }

    /// Notes the piece in which that byte is. True: nobody had before.
    #[inline]
    pub(super) fn note(&self, at: usize) -> bool {
        let (word, bit) = place(at / PIECE);
        let Some(seen) = self.seen.get(word) else { return false };
        seen.load(Ordering::Relaxed) & bit == 0 && seen.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Hands over, once each, the pieces that were noted, by the byte that they begin with.
    pub(super) fn settle(&self, mut collapse: impl FnMut(usize)) {
        for (n, (seen, settled)) in self.seen.iter().zip(&self.settled).enumerate() {
            let seen = seen.load(Ordering::Relaxed);
            let mut new = seen & !settled.fetch_or(seen, Ordering::Relaxed);
            while new != 0 {
                collapse((n * 64 + new.trailing_zeros() as usize) * PIECE);
                new &= new - 1;
            }
        }
    }
}

fn place(piece: usize) -> (usize, u64) {
    (piece / 64, 1 << (piece % 64))
}

/// Asks the kernel for a huge page at an address, which must be a multiple of [`PIECE`] in memory that is mapped. Says whether there
/// is one.
pub(super) fn collapse(address: usize) -> bool {
    for _ in 0..TRIES {
        // SAFETY: which pages memory is made of changes no byte of it, and a wrong address is refused.
        #[allow(unsafe_code)]
        let done = unsafe { libc::madvise(address as *mut _, PIECE, libc::MADV_COLLAPSE) } == 0;
        let busy = || std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN);
        if done || !busy() {
            return done;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(pieces: &Pieces) -> Vec<usize> {
        let mut all = Vec::new();
        pieces.settle(|at| all.push(at / PIECE));
        all
    }

    #[test]
    fn each_piece_is_handed_over_once() {
        let pieces = Pieces::of(200 * PIECE + 1);
        assert!(pieces.note(0));
        assert!(!pieces.note(PIECE - 1), "the same piece");
        assert!(pieces.note(64 * PIECE));
        assert!(pieces.note(200 * PIECE));
        assert_eq!(settled(&pieces), [0, 64, 200]);
        assert!(!pieces.note(1));
        assert!(pieces.note(PIECE));
        assert_eq!(settled(&pieces), [1]);
        assert_eq!(settled(&pieces), [0; 0]);
    }

    #[test]
    fn what_is_outside_is_nothing() {
        let pieces = Pieces::of(PIECE);
        assert!(!pieces.note(64 * PIECE), "beyond the last word");
        assert!(!pieces.note(usize::MAX));
        assert_eq!(settled(&pieces), [0; 0]);
        assert!(!Pieces::of(0).note(0));
    }
}
