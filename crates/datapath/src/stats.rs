//! Counts of lookups: each worker stores its own, readers add them up.

use std::sync::atomic::{AtomicU64, Ordering};

/// Statistics of a datapath, in the terms of `dpctl/show`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpStats {
    /// Packets that a flow matched.
    pub hit: u64,
    /// Of these, by the exact-match cache.
    pub exact_hits: u64,
    /// Packets that no flow matched. One that a flow answered while it still waited for the slow path is a hit as well.
    pub missed: u64,
    /// Packets that no flow matched and that did not get into the queue to the slow path.
    pub lost: u64,
    /// Packets received from ports.
    pub received: u64,
    /// Flows installed.
    pub flows: usize,
    /// Different masks among them.
    pub masks: usize,
}

/// One worker's counts. Written by that worker alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerStats {
    hit: AtomicU64,
    exact_hits: AtomicU64,
    missed: AtomicU64,
    lost: AtomicU64,
    received: AtomicU64,
}

/// What has happened since the last [`WorkerStats::publish`].
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) hit: u64,
    pub(crate) exact_hits: u64,
    pub(crate) missed: u64,
    pub(crate) lost: u64,
    pub(crate) received: u64,
}

impl WorkerStats {
    /// Adds `lookups` and clears them. By the owning worker alone.
    pub(crate) fn publish(&self, lookups: &mut Lookups) {
        let n = std::mem::take(lookups);
        let bump = |cell: &AtomicU64, n: u64| {
            cell.store(cell.load(Ordering::Relaxed) + n, Ordering::Relaxed)
        };
        bump(&self.hit, n.hit);
        bump(&self.exact_hits, n.exact_hits);
        bump(&self.missed, n.missed);
        bump(&self.lost, n.lost);
        bump(&self.received, n.received);
    }

    /// Adds these counts to `sum`.
    pub(crate) fn add_to(&self, sum: &mut DpStats) {
        sum.hit += self.hit.load(Ordering::Relaxed);
        sum.exact_hits += self.exact_hits.load(Ordering::Relaxed);
        sum.missed += self.missed.load(Ordering::Relaxed);
        sum.lost += self.lost.load(Ordering::Relaxed);
        sum.received += self.received.load(Ordering::Relaxed);
    }
}
