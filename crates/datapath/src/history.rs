//! What turns of a worker's loop cost, one by one, for whoever wonders where a worker's time goes or what made packets late:
//! histograms, the last turns, and the last milliseconds.
//!
//! # Design
//! Off unless asked for (`other_config:pmd-perf-metrics`). A worker notes one [`Span`] per turn in a short list of its own, and
//! moves the list to what it shares with readers whenever no reader is at it: it never waits.
//!
//! # Compatibility
//! The reference's limits of histograms, so that its readers' habits and scripts go on to work. How full a guest's queue was,
//! which it counts as well, no device here tells: 0.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use base::Instant;

use crate::suspicion::{Supervisor, Suspicions, Watch};

/// Turns, and milliseconds, that are remembered.
pub(crate) const KEPT: usize = 1024;

/// Turns that may wait for a reader to be gone; more are not remembered.
const WAITING: usize = 4 * KEPT;

/// Bins of a histogram; the last one is for all that is beyond.
pub(crate) const BINS: usize = 32;

/// One turn of a worker's loop, or several added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Turns.
    pub turns: u64,
    /// Cycles, sleep not included.
    pub cycles: u64,
    /// Of these, in turns with packets.
    pub busy_cycles: u64,
    /// Packets received.
    pub packets: u64,
    /// Batches that they came in.
    pub batches: u64,
    /// Packets that missed.
    pub upcalls: u64,
    /// Cycles that these cost.
    pub upcall_cycles: u64,
}

impl Span {
    fn add(&mut self, other: &Self) {
        self.turns += other.turns;
        self.cycles += other.cycles;
        self.busy_cycles += other.busy_cycles;
        self.packets += other.packets;
        self.batches += other.batches;
        self.upcalls += other.upcalls;
        self.upcall_cycles += other.upcall_cycles;
    }
}

/// What histograms are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Cycles of a turn.
    Cycles,
    /// Packets of a turn.
    Packets,
    /// Cycles per packet, of turns with packets.
    CyclesPerPacket,
    /// Packets per batch, of turns with packets.
    PacketsPerBatch,
    /// Packets that waited in a guest's queue: not known.
    GuestQueue,
    /// Misses of a turn.
    Upcalls,
    /// Cycles per miss, of turns with misses.
    CyclesPerUpcall,
}

impl Measure {
    /// All, in the reference's order.
    pub const ALL: [Self; 7] = [
        Self::Cycles,
        Self::Packets,
        Self::CyclesPerPacket,
        Self::PacketsPerBatch,
        Self::GuestQueue,
        Self::Upcalls,
        Self::CyclesPerUpcall,
    ];

    /// The largest value of each bin but the last.
    pub fn limits(self) -> [u64; BINS - 1] {
        match self {
            Self::Cycles => logarithmic(500, 24_000_000),
            Self::Packets => logarithmic(0, 1000),
            Self::CyclesPerPacket => linear(100, 30_000),
            Self::PacketsPerBatch => linear(0, 32),
            Self::GuestQueue => logarithmic(0, 512),
            Self::Upcalls => linear(0, 30),
            Self::CyclesPerUpcall => logarithmic(1000, 1_000_000),
        }
    }

    /// The value for a turn, where it has one.
    fn of(self, turn: &Span) -> Option<u64> {
        match self {
            Self::Cycles => Some(turn.cycles),
            Self::Packets => Some(turn.packets),
            Self::CyclesPerPacket => turn.cycles.checked_div(turn.packets),
            Self::PacketsPerBatch => turn.packets.checked_div(turn.batches),
            Self::GuestQueue => Some(0),
            Self::Upcalls => Some(turn.upcalls),
            Self::CyclesPerUpcall => turn.upcall_cycles.checked_div(turn.upcalls),
        }
    }
}

fn linear(least: u64, most: u64) -> [u64; BINS - 1] {
    std::array::from_fn(|i| least + i as u64 * (most - least) / (BINS as u64 - 2))
}

/// Each limit so many times the one before; where that is too little, one more. A 0 comes in front of the 1.
fn logarithmic(least: u64, most: u64) -> [u64; BINS - 1] {
    let first = usize::from(least == 0);
    let steps = (BINS - 2 - first) as f64;
    let (low, high) = ((least.max(1) as f64).ln(), (most as f64).ln());
    let mut limits = [0; BINS - 1];
    for i in first..BINS - 1 {
        let exact = (low + (i - first) as f64 * (high - low) / steps).exp();
        // Whatever the last digit of that: both ends are what was asked for, and the reference rounds the lower one down.
        let whole = if i == BINS - 2 { most } else { (exact - 1e-6) as u64 };
        limits[i] = if i == 0 { whole } else { whole.max(limits[i - 1] + 1) };
    }
    limits
}

/// See the module's essay.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// How many turns' values lie in each bin, by [`Measure`].
    pub histograms: [[u64; BINS]; Measure::ALL.len()],
    /// The last turns by number, oldest first.
    pub turns: VecDeque<(u64, Span)>,
    /// The last milliseconds (of the datapath's clock) that were over, oldest first.
    pub millis: VecDeque<(u64, Span)>,
    /// All turns of milliseconds that were over.
    pub sum: Span,
    /// The millisecond that is not over.
    open: (u64, Span),
    limits: Option<Box<[[u64; BINS - 1]; Measure::ALL.len()]>>,
    supervisor: Supervisor,
}

impl History {
    fn note(&mut self, number: u64, now: Instant, turn: &Span) {
        let limits = self.limits.get_or_insert_with(|| Box::new(Measure::ALL.map(Measure::limits)));
        for ((measure, bins), limits) in
            Measure::ALL.into_iter().zip(&mut self.histograms).zip(limits.iter())
        {
            if let Some(value) = measure.of(turn) {
                bins[limits.partition_point(|limit| *limit < value)] += 1;
            }
        }
        push(&mut self.turns, (number, *turn));
        self.supervisor.look(number, turn, &self.turns);
        let millisecond = now.as_millis();
        if self.open.0 != millisecond {
            if self.open.1.turns > 0 {
                push(&mut self.millis, self.open);
                self.sum.add(&self.open.1);
            }
            self.open = (millisecond, Span::default());
        }
        self.open.1.add(turn);
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == KEPT {
        list.pop_front();
    }
    list.push_back(item);
}

/// The place where a worker leaves its history.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    is_wanted: AtomicBool,
    history: Mutex<History>,
}

impl Shelf {
    /// Whether the worker is to note its turns.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn want(&self, wanted: bool) {
        self.is_wanted.store(wanted, Ordering::Relaxed);
    }

    /// Begins anew.
    pub(crate) fn clear(&self) {
        let mut history = self.lock();
        *history = History { supervisor: history.supervisor.anew(), ..History::default() };
    }

    /// What turns to look for.
    pub(crate) fn watch(&self, watch: Option<Watch>) {
        self.lock().supervisor.set(watch);
    }

    /// Takes those that were found.
    pub(crate) fn take_suspicions(&self) -> Suspicions {
        self.lock().supervisor.take()
    }

    /// A copy, if it is kept.
    pub(crate) fn read(&self) -> Option<History> {
        self.is_wanted().then(|| self.lock().clone())
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The worker's side.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<(u64, Instant, Span)>);

impl Notes {
    /// Notes a turn. Never waits.
    pub(crate) fn note(&mut self, shelf: &Shelf, number: u64, now: Instant, turn: Span) {
        if self.0.len() < WAITING {
            self.0.push((number, now, turn));
        }
        let mut history = match shelf.history.try_lock() {
            Ok(history) => history,
            Err(TryLockError::Poisoned(history)) => history.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for (number, now, turn) in self.0.drain(..) {
            history.note(number, now, &turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_the_references() {
        // Read off its own histograms, beginning and end.
        let known: [(Measure, &[u64], [u64; 3]); 7] = [
            (
                Measure::Cycles,
                &[499, 716, 1025, 1469, 2104, 3014, 4317, 6183, 8857, 12_686, 18_171, 26_027],
                [11_698_454, 16_755_981, 24_000_000],
            ),
            (
                Measure::Packets,
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 17, 22, 28, 35, 45, 57, 72, 92, 117],
                [621, 788, 1000],
            ),
            (Measure::CyclesPerPacket, &[100, 1096, 2093, 3090, 4086], [28_006, 29_003, 30_000]),
            (
                Measure::PacketsPerBatch,
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17],
                [29, 30, 32],
            ),
            (
                Measure::GuestQueue,
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20, 25, 31, 38, 48, 59],
                [332, 412, 512],
            ),
            (Measure::Upcalls, &[0, 1, 2, 3], [28, 29, 30]),
            (
                Measure::CyclesPerUpcall,
                &[999, 1258, 1584, 1995, 2511, 3162, 3981, 5011, 6309, 7943, 9999, 12_589],
                [630_957, 794_328, 1_000_000],
            ),
        ];
        for (measure, first, last) in known {
            let limits = measure.limits();
            assert_eq!(limits[..first.len()], *first, "{measure:?}");
            assert_eq!(limits[BINS - 4..], last, "{measure:?}");
            assert!(limits.is_sorted_by(|a, b| a < b), "{measure:?}");
        }
    }

    fn busy(packets: u64) -> Span {
        let cycles = 1000 * packets;
        Span { turns: 1, cycles, busy_cycles: cycles, packets, batches: 2, ..Span::default() }
    }

    #[test]
    fn turns_are_counted_and_the_last_remembered() {
        let (shelf, mut notes) = (Shelf::default(), Notes::default());
        assert!(shelf.read().is_none());
        shelf.want(true);
        let idle = Span { turns: 1, cycles: 300, ..Span::default() };
        notes.note(&shelf, 0, Instant::from_millis(7), idle);
        notes.note(&shelf, 1, Instant::from_millis(7), busy(64));
        notes.note(&shelf, 2, Instant::from_millis(9), busy(4));
        let history = shelf.read().unwrap();
        let of = |measure: Measure| history.histograms[measure as usize];
        assert_eq!(of(Measure::Cycles)[0], 1);
        assert_eq!((of(Measure::Packets)[0], of(Measure::Packets)[4]), (1, 1));
        assert_eq!(of(Measure::CyclesPerPacket).iter().sum::<u64>(), 2, "idle turns have none");
        assert_eq!(of(Measure::CyclesPerPacket)[1], 2);
        assert_eq!((of(Measure::PacketsPerBatch)[2], of(Measure::PacketsPerBatch)[30]), (1, 1));
        assert_eq!(of(Measure::CyclesPerUpcall), [0; BINS]);
        assert_eq!((history.sum.turns, history.sum.packets), (2, 64), "the ninth is not over");
        assert_eq!(history.turns.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1, 2]);
        let millis: Vec<_> = history.millis.iter().map(|(at, s)| (*at, s.turns)).collect();
        assert_eq!(millis, [(7, 2)]);
        shelf.clear();
        assert_eq!(shelf.read().unwrap().sum, Span::default());
    }

    #[test]
    fn nobody_waits_for_readers_and_memory_is_bounded() {
        let (shelf, mut notes) = (Shelf::default(), Notes::default());
        shelf.want(true);
        let reader = shelf.lock();
        for n in 0..2 * WAITING as u64 {
            notes.note(&shelf, n, Instant::from_millis(n), busy(1));
        }
        assert_eq!(reader.sum.turns, 0);
        drop(reader);
        notes.note(&shelf, 0, Instant::from_millis(0), busy(1));
        let history = shelf.read().unwrap();
        assert_eq!(history.sum.turns, WAITING as u64 - 1, "all but the last millisecond");
        assert_eq!((history.turns.len(), history.millis.len()), (KEPT, KEPT));
        assert!(notes.0.is_empty());
    }
}
