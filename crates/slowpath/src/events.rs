//! What controllers are to be told: packets for them, and what has happened to rules by itself.
//!
//! The slow path does not know who listens. It puts events into a bounded queue and rings a bell; whoever speaks to controllers
//! takes them out. A queue that is full loses packets, and much later what has happened to rules, each counted by its name.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use base::Counter;
use pipeline::{BridgeId, Event};

/// Packets that may wait.
const MOST_PACKETS: usize = 4096;

/// Changes of rules that may wait before further ones are lost. (As many come at once as do.)
const MOST_CHANGES: usize = 65_536;

/// See the module.
pub(crate) struct Events {
    queue: Mutex<Queue>,
    lost: Arc<Counter>,
    lost_changes: Arc<Counter>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<(BridgeId, Event)>,
    packets: usize,
    changes: usize,
    bell: Option<Bell>,
}

/// Called, without locks held but the queue's own, when the queue is no longer empty: must not call back.
pub type Bell = Box<dyn Fn() + Send>;

impl Events {
    pub(crate) fn new(lost: Arc<Counter>, lost_changes: Arc<Counter>) -> Self {
        Self { queue: Mutex::default(), lost, lost_changes }
    }

    /// Whom to wake.
    pub(crate) fn set_bell(&self, bell: Bell) {
        self.lock().bell = Some(bell);
    }

    pub(crate) fn push(&self, bridge: BridgeId, event: Event) {
        let mut queue = self.lock();
        match event {
            Event::PacketIn(_) if queue.packets >= MOST_PACKETS => {
                self.lost.inc();
                return;
            }
            Event::Changes(changes) if queue.changes >= MOST_CHANGES => {
                self.lost_changes.add(changes.len() as u64);
                return;
            }
            event => queue.add(bridge, event),
        }
        if queue.events.len() == 1
            && let Some(bell) = &queue.bell
        {
            bell();
        }
    }

    /// All that wait, in order.
    pub(crate) fn take(&self) -> Vec<(BridgeId, Event)> {
        let mut queue = self.lock();
        (queue.packets, queue.changes) = (0, 0);
        queue.events.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Queue {
    /// At the end; what has happened to rules of one bridge is told together.
    fn add(&mut self, bridge: BridgeId, event: Event) {
        match (event, self.events.back_mut()) {
            (Event::Changes(mut new), Some((last, Event::Changes(list)))) if bridge == *last => {
                self.changes += new.len();
                list.append(&mut new);
            }
            (event, _) => {
                match &event {
                    Event::PacketIn(_) => self.packets += 1,
                    Event::Changes(changes) => self.changes += changes.len(),
                }
                self.events.push_back((bridge, event));
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.lock().events.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Counters;
    use pipeline::Change;

    fn changes(events: &Events, bridge: u32, count: usize) {
        let change = Change::Vacancy { table: 0, low: true };
        events.push(BridgeId(bridge), Event::Changes(vec![change; count]));
    }

    fn taken(events: &Events) -> Vec<(u32, usize)> {
        let counts = events.take().into_iter().map(|event| match event {
            (bridge, Event::Changes(changes)) => (bridge.0, changes.len()),
            (bridge, Event::PacketIn(_)) => (bridge.0, 0),
        });
        counts.collect()
    }

    #[test]
    fn changes_are_told_together_and_are_bounded() {
        let counters = Counters::default();
        let events = Events::new(counters.counter("packets"), counters.counter("changes"));
        for (bridge, count) in [(1, 2), (1, 3), (2, 1), (1, 1)] {
            changes(&events, bridge, count);
        }
        assert_eq!(taken(&events), [(1, 5), (2, 1), (1, 1)]);
        changes(&events, 1, MOST_CHANGES + 7);
        changes(&events, 1, 2);
        assert_eq!(
            counters.read("changes"),
            2,
            "what comes at once is kept, what comes after is not"
        );
        assert_eq!(taken(&events), [(1, MOST_CHANGES + 7)]);
        changes(&events, 1, 2);
        assert_eq!(taken(&events), [(1, 2)], "there is room again");
    }
}
