//! What a worker does so that the kernel can take flows over: see [`crate::opening`].

use std::sync::Arc;

use super::Worker;
use crate::opening::{Opening, Task};

/// How many a worker tends at one time, and how often it tries each. Whoever wants more asks again.
const MOST: usize = 1024;
const TRIES: u32 = 256;

/// Batches that may be found in a queue that was empty a moment ago.
const LATECOMERS: usize = 4;

/// An opening, and how often it may be tried.
pub(super) struct Tended {
    pub(super) opening: Arc<Opening>,
    tries: u32,
}

impl Worker {
    /// Sees to further ones from now on.
    pub(super) fn tend(&mut self, openings: Vec<Arc<Opening>>) {
        let room = MOST.saturating_sub(self.tended.len());
        let new = openings.into_iter().take(room);
        self.tended.extend(new.map(|opening| Tended { opening, tries: TRIES }));
    }

    /// Does what there is to do, when all queues have just been found empty.
    pub(super) fn try_openings(&mut self) {
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
