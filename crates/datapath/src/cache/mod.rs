//! A worker's answers to "which flow?": an exact-match cache in front of a replica of the megaflow table. Both are owned by
//! one worker, so a lookup takes no lock and touches no line that another thread writes.

mod exact;
mod replica;

use std::sync::Arc;

use flow::FlowKey;

use crate::act::options::OptionTable;
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

    /// The flow of each key into `found` (as many as keys; `None` for a miss). `options` knows those that keys name.
    pub(crate) fn lookup(
        &mut self,
        keys: &[FlowKey],
        options: &mut OptionTable,
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
        if !self.unknown.is_empty() && self.replica.has_sights() {
            self.guess_by_sight(keys, options, found);
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
        if replica.has_sights() {
            for i in unknown.drain(..).map(usize::from) {
                let Some((slot, probes)) = replica.lookup_by_sight(&keys[i], options) else {
                    continue;
                };
                exact.insert(hashes[i], slot);
                found[i] = Some(slot);
                meter.perf.megaflow_hits += 1;
                meter.perf.probes += u64::from(probes);
            }
        }
        meter.mark(Stage::Megaflow);
    }

    /// Guesses of flows that look at options, for packets that have some.
    #[inline(never)]
    fn guess_by_sight(
        &mut self,
        keys: &[FlowKey],
        options: &mut OptionTable,
        found: &mut [Option<Slot>],
    ) {
        let Self { replica, unknown, guesses, .. } = self;
        unknown.retain(|&i| {
            let i = usize::from(i);
            let slot =
                guesses[i].filter(|slot| replica.confirms_by_sight(*slot, &keys[i], options));
            found[i] = slot;
            slot.is_none()
        });
    }

    /// Whether a flow matches, without leaving a trace in the exact-match cache.
    pub(crate) fn knows(&mut self, key: &FlowKey, options: &mut OptionTable) -> bool {
        self.replica.knows(key) || self.replica.lookup_by_sight(key, options).is_some()
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
