//! What a flow has seen.
//!
//! Workers come and go while flows stay, so a flow does not know how many there are: a worker that installs a flow takes a
//! [`Cell`] of its own from it, and readers add all of them up.
//!
//! Nearly all flows have one worker. The first cell is therefore where the others would be looked for, and who reads, as the
//! revalidator does for every flow twice a second, takes no lock to know that there are none.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base::Instant;

/// What a flow has seen, all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets; a super-packet counts as one.
    pub packets: u64,
    /// Bytes of frames, from the Ethernet header on.
    pub bytes: u64,
    /// When the last one passed.
    pub used: Option<Instant>,
    /// All TCP flags seen.
    pub tcp_flags: u16,
}

/// One worker's share. Only that worker writes it, so plain loads and stores do.
#[derive(Debug, Default)]
pub(crate) struct StatsCell {
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Nanoseconds plus one; 0 for never.
    used: AtomicU64,
    tcp_flags: AtomicU16,
    /// A worker has it.
    is_taken: AtomicBool,
    /// Of a first one: there are others.
    is_followed: AtomicBool,
}

impl StatsCell {
    /// Counts a group of packets. To be called by the cell's worker alone.
    pub(crate) fn count(&self, packets: u64, bytes: u64, tcp_flags: u16, now: Instant) {
        let bump = |cell: &AtomicU64, n: u64| {
            cell.store(cell.load(Ordering::Relaxed) + n, Ordering::Relaxed)
        };
        bump(&self.packets, packets);
        bump(&self.bytes, bytes);
        self.used.store(now.as_nanos().saturating_add(1), Ordering::Relaxed);
        let seen = self.tcp_flags.load(Ordering::Relaxed);
        self.tcp_flags.store(seen | tcp_flags, Ordering::Relaxed);
    }

    /// Takes it, with what it has counted, if nobody has it.
    fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::Acquire)
    }

    fn add_to(&self, sum: &mut FlowStats) {
        sum.packets += self.packets.load(Ordering::Relaxed);
        sum.bytes += self.bytes.load(Ordering::Relaxed);
        let used = self.used.load(Ordering::Relaxed).checked_sub(1).map(Instant::from_nanos);
        sum.used = sum.used.max(used);
        sum.tcp_flags |= self.tcp_flags.load(Ordering::Relaxed);
    }
}

/// On cache lines that no other worker writes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Apart(StatsCell);

/// The shares of all workers that have, or had, a flow.
#[derive(Debug, Default)]
pub struct Counts {
    first: StatsCell,
    more: Mutex<More>,
}

/// As many as there are workers, at most. Seldom any: so it takes no room.
#[allow(clippy::box_collection)]
type More = Option<Box<Vec<Arc<Apart>>>>;

/// With what an [`Arc`] has beside it, one cache line: there may be very many.
const _: () = assert!(size_of::<Counts>() <= 48);

impl Counts {
    /// What the flow has seen until now.
    pub fn stats(&self) -> FlowStats {
        let mut sum = FlowStats::default();
        self.first.add_to(&mut sum);
        if self.first.is_followed.load(Ordering::Acquire) {
            self.more().iter().flat_map(|all| all.iter()).for_each(|cell| cell.0.add_to(&mut sum));
        }
        sum
    }

    /// A cell for one worker. One that no worker has any more is taken over with what it has counted.
    pub(crate) fn cell(counts: &Arc<Counts>) -> Cell {
        let counts = counts.clone();
        if counts.first.take() {
            return Cell { counts, own: None };
        }
        let mut more = counts.more();
        let all = more.get_or_insert_default();
        let free = all.iter().find(|cell| cell.0.take()).cloned();
        let own = free.unwrap_or_else(|| {
            let new = Arc::<Apart>::default();
            new.0.take();
            all.push(new.clone());
            counts.first.is_followed.store(true, Ordering::Release);
            new
        });
        drop(more);
        Cell { counts, own: Some(own) }
    }

    fn more(&self) -> MutexGuard<'_, More> {
        self.more.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A worker's hold of its [`StatsCell`].
#[derive(Debug)]
pub(crate) struct Cell {
    counts: Arc<Counts>,
    /// If it is not the first.
    own: Option<Arc<Apart>>,
}

impl Deref for Cell {
    type Target = StatsCell;

    #[inline]
    fn deref(&self) -> &StatsCell {
        match &self.own {
            None => &self.counts.first,
            Some(own) => &own.0,
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.is_taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_goes_and_another_comes_and_no_count_is_lost() {
        let counts = Arc::new(Counts::default());
        let now = Instant::from_millis(7);
        let (one, two) = (Counts::cell(&counts), Counts::cell(&counts));
        one.count(2, 200, 1, now);
        two.count(1, 50, 2, now);
        let cells = |counts: &Counts| 1 + counts.more().as_ref().map_or(0, |all| all.len());
        for gone in [two, one] {
            drop(gone);
            let next = Counts::cell(&counts);
            next.count(1, 50, 4, now);
            std::mem::forget(next);
            assert_eq!(cells(&counts), 2);
        }
        let FlowStats { packets, bytes, used, tcp_flags } = counts.stats();
        assert_eq!((packets, bytes, used, tcp_flags), (5, 350, Some(now), 7));
        Counts::cell(&counts);
        assert_eq!(cells(&counts), 3, "all were taken");
    }
}
