//! A gate that is about to be opened: what workers do for it ([`offload::Gate`] says why).
//!
//! Each worker that receives at one of the ports, again and again: reads how many packets have been let through, empties its
//! queues of those ports, sends everything, and says so ([`Opening::cleared`]). When all of them have said the same number, nothing
//! of what was counted so far is held by anybody, and the gate opens for that number.
//!
//! A worker that gets more than it can do never finds its queues empty. It may have a gate of datagrams [drained](Gate::drain) for a
//! moment ([`Opening::drain`]): what is dropped then would have been lost before it got to the queue.
//!
//! A worker that gives a queue away speaks no more for that port's openings. What it has said remains true: what was counted up to
//! that number had left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use flow::DpPort;
use offload::Gate;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing any more.
    Over,
    /// Nothing now.
    Wait,
    /// To empty queues, send everything, and say this number.
    Clear(u64),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Nothing if it was called off, or done.
    gate: Mutex<Option<Gate>>,
    done: AtomicBool,
    /// The gate opens for a greater number only.
    floor: u64,
    /// Whether it may be drained.
    drains: bool,
    /// By which its packets come in.
    ports: Vec<DpPort>,
    /// The slots of the workers that receive there, and the number that each has said last.
    said: Vec<(usize, AtomicU64)>,
}

/// Nobody says this.
const NOTHING: u64 = u64::MAX;

impl Opening {
    /// `workers`: the slots of all who receive at those ports, at least one.
    pub(crate) fn new(
        gate: Gate,
        floor: u64,
        drains: bool,
        ports: Vec<DpPort>,
        workers: &[usize],
    ) -> Self {
        let said = workers.iter().map(|slot| (*slot, AtomicU64::new(NOTHING))).collect();
        let (gate, done) = (Mutex::new(Some(gate)), AtomicBool::new(false));
        Self { gate, done, floor, drains, ports, said }
    }

    /// When this returns nobody opens the gate any more, or drains it.
    pub(crate) fn call_off(&self) {
        if let Some(gate) = self.gate().take() {
            fill(&gate);
        }
    }

    /// Drops the gate's datagrams from now on, if that may be and some have been let through.
    pub(crate) fn drain(&self) -> bool {
        let gate = self.gate();
        let due = |gate: &&Gate| self.drains && gate.passage().passed > self.floor;
        let due = gate.as_ref().filter(due);
        due.inspect(|gate| gate.drain()).is_some()
    }

    /// Drops no more.
    pub(crate) fn end_drain(&self) {
        self.gate().as_ref().inspect(|gate| fill(gate));
    }

    /// Whether the gate was opened; it may have closed by itself again.
    pub(crate) fn has_opened(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    pub(crate) fn concerns(&self, port: DpPort) -> bool {
        self.ports.contains(&port)
    }

    pub(crate) fn is_for(&self, slot: usize) -> bool {
        self.said.iter().any(|(worker, _)| *worker == slot)
    }

    /// Whether a worker that sleeps must be woken for it: another waits for its word.
    pub(crate) fn is_shared(&self) -> bool {
        self.said.len() > 1
    }

    /// What a worker is to do.
    pub(crate) fn task(&self) -> Task {
        match &*self.gate() {
            None => Task::Over,
            Some(gate) => match gate.settled() {
                Some(passed) if passed > self.floor => Task::Clear(passed),
                _ => Task::Wait,
            },
        }
    }

    /// The worker in that slot holds none of the first `passed` packets.
    pub(crate) fn cleared(&self, slot: usize, passed: u64) {
        if let Some((_, said)) = self.said.iter().find(|(worker, _)| *worker == slot) {
            said.store(passed, Ordering::SeqCst);
        }
        if self.said.iter().any(|(_, said)| said.load(Ordering::SeqCst) != passed) {
            return;
        }
        let mut gate = self.gate();
        if let Some(open) = gate.as_ref() {
            open.open(passed);
            // Not if another packet was let through meanwhile.
            if open.is_open() {
                self.done.store(true, Ordering::SeqCst);
                gate.take();
            }
        }
    }

    fn gate(&self) -> MutexGuard<'_, Option<Gate>> {
        self.gate.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Workers have again what comes to a gate that is drained.
fn fill(gate: &Gate) {
    if gate.is_drained() {
        gate.close();
    }
}
