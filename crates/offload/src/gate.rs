//! Gates: the kernel runs a flow's packets only while none of them is elsewhere.
//!
//! # Why
//! Packets of a flow leave in the order in which they came. What workers still hold would be overtaken by what the kernel runs;
//! so it may run nothing of the flow until they hold nothing of it.
//!
//! # What
//! A gate is a few numbers in memory that the programs and we share:
//!
//! - `passed`: how many packets the filter has let through to the workers: those that came while the gate was closed, and those
//!   unfit for the kernel;
//! - `queued`: how many of these have got as far as the executor, and so are in a socket's queue (a packet is counted in `passed`
//!   by the filter before it is put there, and in `queued` by the executor after);
//! - `expect`: the value of `passed` at which the gate is open. It is written by us alone;
//! - `ran`: how many came while it was open; of UDP also how many of these came [close](CLOSE) behind another (`near`), for which the
//!   time of the `last` one is kept.
//!
//! # Closing
//! Whatever is let through changes `passed`, so the gate closes by itself, for all that come later. Those that came earlier
//! were run then and there, by the same processor, and have left before the one that closed it is queued: nothing to wait for.
//!
//! # Opening
//! Whoever opens it reads `passed` while nothing is on the way to a queue ([`Gate::settled`]), *then* empties the queues, sends
//! all that was in them, and [opens](Gate::open) the gate for the number it has read. Has another been let through since, the
//! number is wrong and the gate stays closed; it can be tried again. No clock is involved, nor luck.
//!
//! Counting begins with [`Gate::close`]. A packet that the filter let through just before, uncounted, may not be in its queue
//! yet; the first counted one of the same flow is behind it. So a gate is opened for a number greater than the one at which
//! counting began.
//!
//! # Draining
//! Workers who are given more than they can do never find a queue empty. What they are given too much of is lost anyway, so it
//! may as well be lost before it is queued: while a gate is [drained](Gate::drain), datagrams that could run here are dropped, and
//! counted (`drained`). Then nothing comes behind those that workers still have, and the gate can be opened as above.
//!
//! # Which gates there are
//! Each flow has two, one for its UDP and one for all else, so that one is not held up by the other. Each port has one for
//! its UDP: fragments have no flow that the filter could name, so they close this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use sys::bpf::SharedMap;

/// A gate, for the control side and the workers.
#[derive(Clone, Debug)]
pub struct Gate {
    table: Arc<SharedMap>,
    number: u32,
}

/// Which of a flow's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// All but UDP.
    Other,
    /// UDP.
    Datagrams,
}

/// Packets that have come to a gate since its flow was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// To workers, while they were counted.
    pub passed: u64,
    /// To the kernel.
    pub ran: u64,
    /// Of these, UDP that came close behind another.
    pub near: u64,
    /// Dropped, for nothing was to come behind what workers had.
    pub drained: u64,
}

/// Nanoseconds between two datagrams that somebody has sent in one go, or as fast as he could: less than a round trip takes.
pub(crate) const CLOSE: i32 = 12_000;

/// The place of each number in an entry of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    Passed = 0,
    Queued = 1,
    Ran = 2,
    Expect = 3,
    Last = 4,
    Near = 5,
    Drained = 6,
}

pub(crate) const WORDS: usize = 7;

/// In the place of `expect`: closed, and nothing is counted.
pub(crate) const SHUT: u64 = u64::MAX;
/// In the place of `expect`: closed, whatever is counted.
const CLOSED: u64 = u64::MAX - 1;
/// In the place of `expect`: closed, and datagrams that would wait for it to open are dropped.
pub(crate) const DRAINING: u64 = u64::MAX - 2;

impl Gate {
    pub(crate) fn new(table: &Arc<SharedMap>, number: u32) -> Self {
        Self { table: table.clone(), number }
    }

    /// For a new owner: nothing has passed. Shut, unless it is `open`.
    pub(crate) fn reset(&self, open: bool) {
        self.set(Word::Expect, SHUT);
        for word in [Word::Passed, Word::Queued, Word::Ran, Word::Last, Word::Near, Word::Drained] {
            self.set(word, 0);
        }
        if open {
            self.set(Word::Expect, 0);
        }
    }

    /// What has come.
    pub fn passage(&self) -> Passage {
        let words = [Word::Passed, Word::Ran, Word::Near, Word::Drained];
        let [passed, ran, near, drained] = words.map(|word| self.get(word));
        Passage { passed, ran, near, drained }
    }

    /// Whether the kernel runs what comes now.
    pub fn is_open(&self) -> bool {
        self.get(Word::Expect) == self.get(Word::Passed)
    }

    /// Workers have what comes from now on, and it is counted. Gives the number beyond which the gate may be opened.
    pub fn close(&self) -> u64 {
        self.set(Word::Expect, CLOSED);
        self.get(Word::Passed)
    }

    /// Nobody has the datagrams that come from now on; workers have what could not run here. It is for a moment: until the gate
    /// is opened, or closed again.
    pub fn drain(&self) {
        self.set(Word::Expect, DRAINING);
    }

    /// Whether datagrams are dropped.
    pub fn is_drained(&self) -> bool {
        self.get(Word::Expect) == DRAINING
    }

    /// Workers have what comes from now on, uncounted.
    pub fn shut(&self) {
        self.set(Word::Expect, SHUT);
    }

    /// How many have been let through; nothing while one of them may not be in its queue yet.
    pub fn settled(&self) -> Option<u64> {
        // In this order: `passed` is never less than `queued`, so if they are equal, they both were so between the two looks.
        let queued = self.get(Word::Queued);
        let passed = self.get(Word::Passed);
        // Whoever looks into the queues now does so after that.
        fence(Ordering::SeqCst);
        (queued == passed).then_some(passed)
    }

    /// Opens the gate, if no more than `passed` have been let through. All of them have been sent on.
    pub fn open(&self, passed: u64) {
        self.set(Word::Expect, passed);
    }

    fn get(&self, word: Word) -> u64 {
        self.word(word).map_or(0, |word| word.load(Ordering::SeqCst))
    }

    fn set(&self, word: Word, value: u64) {
        if let Some(word) = self.word(word) {
            word.store(value, Ordering::SeqCst);
        }
    }

    fn word(&self, word: Word) -> Option<&AtomicU64> {
        self.table.word(self.number, word as usize)
    }
}
