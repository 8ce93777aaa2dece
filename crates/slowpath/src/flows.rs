//! The flows that the slow path has installed, and what it remembers of each: the statistics already credited, and what the
//! translation said they are to be credited to.

use std::collections::HashMap;
use std::sync::Arc;

use base::Version;
use datapath::{Flow, FlowStats, Ufid};
use flow::FlowKey;
use pipeline::PortRef;
use xlate::Use;

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
    /// The version of the tables at which the flow was last known to be right.
    pub(crate) valid_at: Version,
}

/// All installed flows, and those that were removed but may still count a packet that was under way.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) by_ufid: HashMap<Ufid, Tracked>,
    pub(crate) removed: Vec<Tracked>,
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
        match self.by_ufid.get_mut(&flow.ufid()) {
            Some(old) => {
                (old.flow, old.uses, old.valid_at) = (flow, uses, valid_at);
            }
            None => {
                let tracked =
                    Tracked { credited: FlowStats::default(), first, uses, valid_at, flow };
                self.by_ufid.insert(tracked.flow.ufid(), tracked);
            }
        }
    }

    /// Forgets a flow that is being removed from the datapath; its last packets are still credited in the next pass.
    pub(crate) fn remove(&mut self, ufid: Ufid) -> Option<Arc<Flow>> {
        let tracked = self.by_ufid.remove(&ufid)?;
        let flow = tracked.flow.clone();
        self.removed.push(tracked);
        Some(flow)
    }
}

impl Tracked {
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
