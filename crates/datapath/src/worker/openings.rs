//! What a worker does so that the kernel can take flows over: see [`crate::opening`].

use std::sync::Arc;
use std::time::Duration;

use sys::cycles;

use super::Worker;
use crate::opening::{Opening, Task};

/// How many a worker tends at one time, and how often it tries each. Whoever wants more asks again.
const MOST: usize = 1024;
const TRIES: u32 = 256;

/// A worker that has not found its queues empty for so long, while they lost packets, has more to do than it can ..
const OVERRUN: Duration = Duration::from_millis(50);
/// .. so it drops datagrams in order to find them empty, until it has received what a full queue holds, or for so long. It delivers
/// no less meanwhile.
const FULL: u64 = 131_072;
const DRAIN: Duration = Duration::from_secs(2);

/// How long it waits for others who do that.
const LOOK: Duration = Duration::from_micros(100);

/// Batches that may be found in a queue that was empty a moment ago.
const LATECOMERS: usize = 4;

/// An opening, and how often it may be tried.
pub(super) struct Tended {
    pub(super) opening: Arc<Opening>,
    tries: u32,
}

impl Drop for Tended {
    fn drop(&mut self) {
        self.opening.end_drain();
    }
}

/// How the openings of a worker that gets too much come by a moment at which it holds nothing. Times are in cycles, for it is the
/// worker's own that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Drain {
    /// There is no need, or it was tried.
    #[default]
    None,
    /// Since then no queue was found empty; they had lost so many packets.
    Waiting { since: u64, lost: u64 },
    /// Since then datagrams are dropped; it had received so many packets.
    Draining { since: u64, received: u64 },
}

impl Worker {
    /// Sees to further ones from now on.
    pub(super) fn tend(&mut self, openings: Vec<Arc<Opening>>) {
        let room = MOST.saturating_sub(self.tended.len());
        let new = openings.into_iter().take(room);
        self.tended.extend(new.map(|opening| Tended { opening, tries: TRIES }));
        if self.drain == Drain::None {
            self.drain = self.waiting();
        }
    }

    fn waiting(&self) -> Drain {
        let lost = self.queues.iter().flatten().map(|queue| queue.rx.overruns()).sum();
        Drain::Waiting { since: cycles::now(), lost }
    }

    fn is_past(&self, since: u64, time: Duration) -> bool {
        let cycles = cycles::now().wrapping_sub(since);
        u128::from(cycles) * 1000 >= time.as_millis() * u128::from(self.shared.cycle_rate.hz())
    }

    /// To be called now and then while queues are not found empty.
    pub(super) fn drain_openings(&mut self) {
        match self.drain {
            Drain::Waiting { since, lost } if self.is_past(since, OVERRUN) => {
                self.drain = self.waiting();
                if matches!(self.drain, Drain::Waiting { lost: now, .. } if now > lost) {
                    self.begin_drain();
                }
            }
            Drain::Draining { since, received }
                if self.engine.meter.perf.received - received > FULL
                    || self.is_past(since, DRAIN) =>
            {
                self.end_drain();
            }
            _ => {}
        }
    }

    fn begin_drain(&mut self) {
        self.tended.retain(|tended| tended.opening.task() != Task::Over);
        let drained = self.tended.iter().filter(|tended| tended.opening.drain()).count();
        let (since, received) = (cycles::now(), self.engine.meter.perf.received);
        self.drain = if drained > 0 { Drain::Draining { since, received } } else { Drain::None };
    }

    /// Where datagrams are dropped until others have emptied their queues as well: waits for a little while, for packets too.
    pub(super) fn wait_for_drain(&mut self) -> bool {
        let Drain::Draining { since, .. } = self.drain else { return false };
        if self.is_past(since, DRAIN) {
            self.end_drain();
            return false;
        }
        self.look(Some(LOOK));
        true
    }

    fn end_drain(&mut self) {
        self.tended.iter().for_each(|tended| tended.opening.end_drain());
        self.drain = Drain::None;
    }

    /// Does what there is to do, when all queues have just been found empty.
    pub(super) fn try_openings(&mut self) {
        if let Drain::Waiting { since, .. } = &mut self.drain {
            *since = cycles::now();
        }
        let mut clear = Vec::new();
        self.tended.retain_mut(|Tended { opening, tries }| match opening.task() {
            Task::Over => false,
            Task::Wait => true,
            Task::Clear(passed) => {
                clear.push((opening.clone(), passed));
                *tries -= 1;
                *tries > 0
            }
        });
        if clear.is_empty() || self.desk.mailbox.is_pending() {
            return;
        }
        for index in 0..self.queues.len() {
            let port = self.queues.get(index).and_then(Option::as_ref).map(|queue| queue.port);
            let Some(port) = port else { continue };
            if clear.iter().any(|(opening, _)| opening.concerns(port)) && !self.is_emptied(index) {
                return;
            }
        }
        self.engine.finish(self.last);
        for (opening, passed) in clear {
            // Where it receives nothing it has no say.
            if self.queues.iter().flatten().any(|queue| opening.concerns(queue.port)) {
                opening.cleared(self.desk.slot, passed);
            }
        }
        self.tended.retain(|tended| tended.opening.task() != Task::Over);
        if self.tended.is_empty() {
            self.drain = Drain::None;
        }
    }

    /// Moves what has come since the queue was last found empty. False: there is too much.
    fn is_emptied(&mut self, index: usize) -> bool {
        for _ in 0..LATECOMERS {
            let before = self.engine.meter.perf.received;
            self.serve_batch(index, false, false);
            if !self.turns.is_empty() {
                return false;
            }
            if self.engine.meter.perf.received == before {
                return true;
            }
        }
        false
    }
}
