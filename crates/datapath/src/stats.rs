//! What workers count: packets, lookups, and cycles by stage of the packet's road. Each worker stores its own, readers add
//! them up.
//!
//! A worker counts in a [`Perf`] of its own and publishes it once per batch. Stages are told apart by reading the cycle counter
//! between them, once per batch each ([`Meter::mark`]): about a tenth of the counter's cost per packet and stage.

use std::sync::atomic::{AtomicU64, Ordering};

use sys::cycles;
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

impl DpStats {
    /// Adds what one worker has done.
    pub(crate) fn add(&mut self, perf: &Perf) {
        self.hit += perf.hit();
        self.exact_hits += perf.exact_hits;
        self.missed += perf.missed;
        self.lost += perf.lost;
        self.received += perf.received;
    }
}

/// Stretches of the packet's road that cost cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Taking packets from devices.
    Receive,
    /// Reading headers.
    Extract,
    /// Hashing, and the exact-match cache.
    Exact,
    /// Megaflows, for what that does not know.
    Megaflow,
    /// Grouping and actions.
    Act,
    /// Finishing offloads, and handing packets to devices.
    Transmit,
    /// Copies for the slow path.
    Miss,
    /// Commands: flows, ports, packets that come back.
    Command,
}

impl Stage {
    /// All, in the packet's order.
    pub const ALL: [Self; 8] = [
        Self::Receive,
        Self::Extract,
        Self::Exact,
        Self::Megaflow,
        Self::Act,
        Self::Transmit,
        Self::Miss,
        Self::Command,
    ];

    /// For tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Extract => "extract",
            Self::Exact => "exact match",
            Self::Megaflow => "megaflow",
            Self::Act => "act",
            Self::Transmit => "transmit",
            Self::Miss => "miss",
            Self::Command => "commands",
        }
    }
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Perf {
    /// Packets received from ports.
    pub received: u64,
    /// Batches that they came in.
    pub batches: u64,
    /// Lookups: one per packet and round.
    pub passes: u64,
    /// Of these, answered by the exact-match cache.
    pub exact_hits: u64,
    /// Answered by megaflows.
    pub megaflow_hits: u64,
    /// Subtables that were probed for them.
    pub probes: u64,
    /// Answered by nothing.
    pub missed: u64,
    /// Missed, and no room in the queue to the slow path.
    pub lost: u64,
    /// Packets handed to devices.
    pub sent: u64,
    /// Batches of them.
    pub sent_batches: u64,
    /// Turns of the worker's loop.
    pub iterations: u64,
    /// Of these, with packets.
    pub busy_iterations: u64,
    /// Cycles of iterations with packets.
    pub busy_cycles: u64,
    /// Cycles of iterations without, sleep not included.
    pub idle_cycles: u64,
    /// How often it slept, and for how many cycles.
    pub sleeps: u64,
    /// See there.
    pub sleep_cycles: u64,
    /// Cycles by [`Stage`], in that order.
    pub stages: [u64; Stage::ALL.len()],
}

const COUNTS: usize = size_of::<Perf>() / size_of::<u64>();

impl Perf {
    /// Packets that a flow matched.
    pub fn hit(&self) -> u64 {
        self.exact_hits + self.megaflow_hits
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let (now, then) = (self.words(), earlier.words());
        zerocopy::transmute!(
            std::array::from_fn::<u64, COUNTS, _>(|i| now[i].wrapping_sub(then[i]))
        )
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let (one, two) = (self.words(), other.words());
        zerocopy::transmute!(std::array::from_fn::<u64, COUNTS, _>(|i| one[i].wrapping_add(two[i])))
    }

    fn words(&self) -> &[u64; COUNTS] {
        zerocopy::transmute_ref!(self)
    }
}

/// A worker's published counts. Written by that worker alone.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Published([AtomicU64; COUNTS]);

impl Default for Published {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Published {
    /// Shows everybody the worker's counts. By the owning worker alone.
    #[inline]
    pub(crate) fn store(&self, perf: &Perf) {
        for (cell, n) in self.0.iter().zip(perf.words()) {
            cell.store(*n, Ordering::Relaxed);
        }
    }

    pub(crate) fn load(&self) -> Perf {
        zerocopy::transmute!(std::array::from_fn::<u64, COUNTS, _>(|i| {
            self.0[i].load(Ordering::Relaxed)
        }))
    }
}

/// A worker's counts, and where its cycles go.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) perf: Perf,
    last: u64,
}

impl Meter {
    /// What begins now is charged by the next mark. Gives back the cycle counter.
    #[inline]
    pub(crate) fn start(&mut self) -> u64 {
        self.last = cycles::now();
        self.last
    }

    /// All since the last mark was `stage`. Gives back the cycle counter.
    #[inline]
    pub(crate) fn mark(&mut self, stage: Stage) -> u64 {
        let now = cycles::now();
        self.perf.stages[stage as usize] += now.wrapping_sub(self.last);
        self.last = now;
        now
    }

    /// The cycle counter at the last mark.
    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_was_counted() {
        let mut meter = Meter::default();
        meter.start();
        meter.mark(Stage::Act);
        meter.perf.missed = 7;
        let published = Published::default();
        published.store(&meter.perf);
        let before = published.load();
        assert_eq!(before, meter.perf);
        assert!(before.stages[Stage::Act as usize] > 0);
        meter.perf.missed += 2;
        let since = meter.perf.since(&before);
        assert_eq!(since, Perf { missed: 2, ..Perf::default() });
        assert!(Stage::ALL.iter().enumerate().all(|(i, s)| *s as usize == i));
    }
}
