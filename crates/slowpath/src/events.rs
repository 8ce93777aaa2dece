//! What controllers are to be told: packets for them, and what has happened to rules by itself.
//!
//! The slow path does not know who listens. It puts events into a bounded queue and rings a bell; whoever speaks to controllers
//! takes them out. A queue that is full loses packets, which is counted, and never what happened to rules: that is kept short
//! by whoever makes rules expire.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use base::Counter;
use openflow::Match;
use pipeline::{BridgeId, Changes};

/// Packets that may wait.
const MOST_PACKETS: usize = 4096;

/// Something that controllers are to be told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A packet for a bridge's controllers.
    PacketIn(Box<PacketIn>),
    /// Rules were learned, evicted or have expired.
    Changes(BridgeId, Changes),
}

/// A packet for a bridge's controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// Whose controllers.
    pub bridge: BridgeId,
    /// The packet as it was when it was sent to them.
    pub packet: Vec<u8>,
    /// One of OpenFlow's reasons.
    pub reason: u8,
    /// The table whose rule sent it.
    pub table: u8,
    /// That rule's cookie; none if the packet met no rule.
    pub cookie: Option<u64>,
    /// Controllers with this id alone get it.
    pub controller: u16,
    /// They get no more than so many bytes of it.
    pub max_len: u16,
    /// Metadata and registers as they were, `in_port` among them.
    pub metadata: Match,
    /// What the rule's author wants to hear back.
    pub userdata: Vec<u8>,
    /// What to send back to have it go on, if it was paused.
    pub continuation: Vec<u8>,
}

/// See the module.
pub(crate) struct Events {
    queue: Mutex<Queue>,
    lost: Arc<Counter>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    packets: usize,
    bell: Option<Bell>,
}

/// Called, without locks held but the queue's own, when the queue is no longer empty: must not call back.
pub type Bell = Box<dyn Fn() + Send>;

impl Events {
    pub(crate) fn new(lost: Arc<Counter>) -> Self {
        Self { queue: Mutex::default(), lost }
    }

    /// Whom to wake.
    pub(crate) fn set_bell(&self, bell: Bell) {
        self.lock().bell = Some(bell);
    }

    pub(crate) fn push(&self, event: Event) {
        let mut queue = self.lock();
        if matches!(event, Event::PacketIn(_)) {
            if queue.packets >= MOST_PACKETS {
                self.lost.inc();
                return;
            }
            queue.packets += 1;
        }
        queue.events.push_back(event);
        if queue.events.len() == 1
            && let Some(bell) = &queue.bell
        {
            bell();
        }
    }

    /// All that wait, in order.
    pub(crate) fn take(&self) -> Vec<Event> {
        let mut queue = self.lock();
        queue.packets = 0;
        queue.events.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.lock().events.len()).finish()
    }
}
