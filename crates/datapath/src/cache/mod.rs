//! A worker's answers to "which flow?": an exact-match cache in front of a replica of the megaflow table. Both are owned by
//! one worker, so a lookup takes no lock and touches no line that another thread writes.

mod exact;
mod replica;

use std::sync::Arc;

use flow::FlowKey;

use crate::entry::Flow;
use crate::stats::{Meter, Stage};
use exact::{ExactCache, micro_hash};
pub(crate) use replica::{Held, Replica, Slot};

/// Both caches.
pub(crate) struct Cache {
    exact: ExactCache,
    replica: Replica,
    seed: u64,
    /// Scratch of [`Cache::lookup`]: packets that the exact-match cache does not know, every packet's hash, and its guess.
    unknown: Vec<u16>,
    hashes: Vec<u64>,
    guesses: Vec<Option<Slot>>,
}

impl Cache {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            exact: ExactCache::new(),
            replica: Replica::new(seed),
            seed,
            unknown: Vec::new(),
            hashes: Vec::new(),
            guesses: Vec::new(),
        }
    }

    /// The flow of each key into `found` (as many as keys; `None` for a miss).
    pub(crate) fn lookup(
        &mut self,
        keys: &[FlowKey],
        found: &mut Vec<Option<Slot>>,
        meter: &mut Meter,
    ) {
        found.clear();
        self.hashes.clear();
        self.unknown.clear();
        self.guesses.clear();
        // In three passes, so that what one packet waits for comes from memory while others are looked at.
        for key in keys {
            let hash = micro_hash(self.seed, key);
            self.exact.expect(hash);
            self.hashes.push(hash);
        }
        for hash in &self.hashes {
            let guess = self.exact.get(*hash);
            if let Some(slot) = guess {
                self.replica.expect(slot);
            }
            self.guesses.push(guess);
        }
        for ((key, guess), i) in keys.iter().zip(&self.guesses).zip(0u16..) {
            let slot = guess.filter(|slot| self.replica.confirms(*slot, key));
            if slot.is_none() {
                self.unknown.push(i);
            }
            found.push(slot);
        }
        meter.perf.passes += keys.len() as u64;
        meter.perf.exact_hits += (keys.len() - self.unknown.len()) as u64;
        meter.mark(Stage::Exact);
        if self.unknown.is_empty() {
            return;
        }
        let Self { exact, replica, unknown, hashes, .. } = self;
        replica.lookup(keys, unknown, |i, slot, probes| {
            exact.insert(hashes[usize::from(i)], slot);
            found[usize::from(i)] = Some(slot);
            meter.perf.megaflow_hits += 1;
            meter.perf.probes += u64::from(probes);
        });
        meter.mark(Stage::Megaflow);
    }

    /// Whether a flow matches, without leaving a trace in the exact-match cache.
    pub(crate) fn knows(&mut self, key: &FlowKey) -> bool {
        self.replica.knows(key)
    }

    /// The flow in a slot that [`Cache::lookup`] has just found.
    pub(crate) fn held(&self, slot: Slot) -> Option<&Held> {
        self.replica.held(slot)
    }

    /// Installs a flow if it is still live.
    pub(crate) fn put(&mut self, flow: Arc<Flow>) {
        self.replica.put(flow);
    }

    /// Takes this very flow out.
    pub(crate) fn remove(&mut self, flow: &Arc<Flow>) {
        self.replica.remove(flow);
    }

    /// Takes out all flows that are not live.
    pub(crate) fn sweep(&mut self) {
        self.replica.sweep();
    }

    /// Puts the busiest masks first. To be called now and then.
    pub(crate) fn rank(&mut self) {
        self.replica.rank();
    }
}
