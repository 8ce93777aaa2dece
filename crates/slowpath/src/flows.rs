//! The flows that the slow path has installed, and what it remembers of each: the statistics already credited, and what the
//! translation said they are to be credited to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use base::Version;
use datapath::{Flow, FlowStats, Ufid};
use flow::FlowKey;
use pipeline::{PortRef, TableSet};
use xlate::Use;

use crate::ages::{self, Since};

/// One installed flow.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) flow: Arc<Flow>,
    /// The key of the packet that made it: what listings show outside the mask.
    pub(crate) first: FlowKey,
    /// What has been credited so far.
    pub(crate) credited: FlowStats,
    /// Whom packets of the flow are credited to, and what they keep alive.
    pub(crate) uses: Arc<[Use]>,
    /// The tables whose rules it depends on.
    pub(crate) reach: TableSet,
    /// The version of the tables at which the flow was last known to be right.
    pub(crate) valid_at: Version,
}

/// All installed flows, and those that were removed but may still count a packet that was under way.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) by_ufid: HashMap<Ufid, Tracked>,
    pub(crate) removed: Vec<Tracked>,
    reach: Reach,
}

/// How many flows depend on the rules of each table.
#[derive(Debug)]
struct Reach([u32; 256]);

impl Default for Reach {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Reach {
    fn add(&mut self, tables: &TableSet) {
        tables.iter().for_each(|table| self.0[usize::from(table)] += 1);
    }

    fn remove(&mut self, tables: &TableSet) {
        tables.iter().for_each(|table| self.0[usize::from(table)] -= 1);
    }
}

/// What has happened to a flow since it was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// The TCP flags of all packets of the flow, these among them.
    pub(crate) tcp_flags: u16,
}

impl Flows {
    /// Remembers a flow; one with the same id is replaced (its statistics go on in the datapath, so its credit goes on too).
    pub(crate) fn insert(
        &mut self,
        flow: Arc<Flow>,
        first: FlowKey,
        uses: Arc<[Use]>,
        valid_at: Version,
    ) {
        let reach = ages::reach(&uses);
        self.reach.add(&reach);
        match self.by_ufid.entry(flow.ufid()) {
            Entry::Occupied(mut old) => {
                let old = old.get_mut();
                self.reach.remove(&old.reach);
                (old.flow, old.uses, old.reach, old.valid_at) = (flow, uses, reach, valid_at);
            }
            Entry::Vacant(place) => {
                let credited = FlowStats::default();
                place.insert(Tracked { credited, first, uses, reach, valid_at, flow });
            }
        }
    }

    /// What flows with this id use from now on, being right at `valid_at`.
    pub(crate) fn renew(&mut self, ufid: Ufid, uses: Arc<[Use]>, valid_at: Version) {
        if let Some(tracked) = self.by_ufid.get_mut(&ufid) {
            let reach = ages::reach(&uses);
            self.reach.add(&reach);
            self.reach.remove(&tracked.reach);
            (tracked.uses, tracked.reach, tracked.valid_at) = (uses, reach, valid_at);
        }
    }

    /// Whether any flow may depend on the rules of these tables.
    pub(crate) fn reach(&self, tables: &TableSet) -> bool {
        tables.iter().any(|table| self.reach.0[usize::from(table)] > 0)
    }

    /// Forgets a flow that is being removed from the datapath; its last packets are still credited in the next pass.
    pub(crate) fn remove(&mut self, ufid: Ufid) -> Option<Arc<Flow>> {
        let tracked = self.by_ufid.remove(&ufid)?;
        self.reach.remove(&tracked.reach);
        let flow = tracked.flow.clone();
        self.removed.push(tracked);
        Some(flow)
    }
}

impl Tracked {
    /// Whether it may not be right any more.
    pub(crate) fn is_concerned(&self, since: &Since<'_>) -> bool {
        since.concern((self.flow.key(), &self.uses, &self.reach), self.valid_at)
    }

    /// What the flow has counted since the last call.
    pub(crate) fn delta(&mut self) -> (Delta, FlowStats) {
        let stats = self.flow.stats();
        let delta = Delta {
            packets: stats.packets.saturating_sub(self.credited.packets),
            bytes: stats.bytes.saturating_sub(self.credited.bytes),
            tcp_flags: stats.tcp_flags,
        };
        self.credited = stats;
        (delta, stats)
    }
}

/// A flow for a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The key of the packet that made it.
    pub first: FlowKey,
    /// The tunnel or patch port that its packets come in by, if they do.
    pub entered: Option<PortRef>,
}

impl Flows {
    /// All flows, the oldest first.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let entered = |t: &Tracked| {
            t.uses.iter().find_map(|u| match u {
                Use::Rx(port) => Some(*port),
                _ => None,
            })
        };
        let listed =
            |t: &Tracked| Listed { flow: t.flow.clone(), first: t.first, entered: entered(t) };
        let mut all: Vec<_> = self.by_ufid.values().map(listed).collect();
        all.sort_by_key(|l| (l.flow.created(), l.flow.ufid()));
        all
    }
}
