//! Obeying at once: what controllers wait for behind a barrier, and what tests wait for.
//!
//! # Why so little has to be waited for
//! A worker reads its mailbox after it has received a packet and before it looks it up. So a flow that was removed or replaced
//! before a packet arrived is not met by that packet: whoever has told the workers need not wait for them. What a barrier
//! has to do is find the flows that the changes before it concern ([`crate::ages`]), and translate these again. They are
//! few, as a rule none; then the barrier is answered on the spot ([`Shared::settle`]).
//!
//! A flow from an older version cannot turn up afterwards: it is made, and workers are told of it, under one reader's lock of
//! the state, and a change has to wait until that is given back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base::{Clock, Instant, Version};
use datapath::Ufid;

use crate::ages::Since;
use crate::flows::Tracked;
use crate::{Shared, lock};

/// So many flows can be looked through at once: it takes a hundredth of a microsecond for each that is not concerned.
const FEW: usize = 8192;
/// So many, if all are to be translated.
const FEW_IN_ALL: usize = 1024;
/// So many of them can be translated at once.
const FEWER: usize = 16;
/// Flows looked through under one lock otherwise.
const CHUNK: usize = 256;

impl Shared {
    /// Has all flows obey what has changed until now, if that is done in no time. If not, it says so: see [`Shared::barrier`].
    pub(crate) fn settle(&self) -> bool {
        self.settle_few(FEWER)
    }

    /// The same after a new configuration, which concerns all flows: if there are not very many.
    pub(crate) fn settle_all(&self) -> bool {
        self.settle_few(FEW_IN_ALL)
    }

    /// The same if no more than `most` flows are concerned.
    fn settle_few(&self, most: usize) -> bool {
        let state = self.read();
        let version = state.version();
        let since = state.ages.since(self.obeyed());
        if since.is_nothing() {
            return true;
        }
        let concerned = {
            let flows = lock(&self.flows);
            if !since.is_everything() && !flows.reach(&since.tables) {
                Vec::new()
            } else if flows.by_ufid.len() > FEW {
                return false;
            } else {
                concerned(&since, flows.by_ufid.values())
            }
        };
        if concerned.len() > most {
            return false;
        }
        drop(state);
        if !concerned.is_empty() {
            self.look_again(&concerned, self.clock.now(), None);
        }
        self.obeyed.fetch_max(version.0, Ordering::AcqRel);
        true
    }

    /// The version of the state that all flows are known to obey: those made since are of a later one.
    pub(crate) fn obeyed(&self) -> Version {
        Version(self.obeyed.load(Ordering::Acquire))
    }

    /// When this returns, no packet that is received from now on can meet a flow that was made before the changes up to now.
    pub(crate) fn barrier(&self) {
        let version = self.read().version();
        if self.obeyed() >= version {
            return;
        }
        let now = self.clock.now();
        let ids: Vec<Ufid> = lock(&self.flows).by_ufid.keys().copied().collect();
        for chunk in ids.chunks(CHUNK) {
            let concerned = {
                let state = self.read();
                let since = state.ages.since(self.obeyed());
                let flows = lock(&self.flows);
                concerned(&since, chunk.iter().filter_map(|id| flows.by_ufid.get(id)))
            };
            self.look_again(&concerned, now, None);
        }
        self.obeyed.fetch_max(version.0, Ordering::AcqRel);
    }

    /// Waits until nothing moves any more.
    pub(crate) fn quiesce(&self, timeout: Duration) -> bool {
        // At rest is what two looks find with nothing waiting, if nothing has been answered between them: whatever the answers
        // to the first look's packets have caused was done, or would wait, by the second. (That nothing waits is not enough:
        // a packet may go up and down again between two looks, and be on its way down at each.)
        let each = timeout / 4;
        let mut at_rest = None;
        let start = Clock::real();
        loop {
            if !self.datapath.quiesce(each) || start.now().since(Instant::default()) > timeout {
                return false;
            }
            self.note_peers();
            let is_at_rest = self.datapath.misses().is_at_rest();
            let answered = self.count.upcalls.get();
            if !is_at_rest {
                at_rest = None;
                std::thread::yield_now();
            } else if at_rest.replace(answered) == Some(answered) {
                return true;
            }
        }
    }
}

/// Those of these flows that may not be right any more.
pub(crate) fn concerned<'a>(
    since: &Since<'_>,
    flows: impl Iterator<Item = &'a Box<Tracked>>,
) -> Vec<Ufid> {
    flows.filter(|flow| flow.is_concerned(since)).map(|flow| flow.flow.ufid()).collect()
}
