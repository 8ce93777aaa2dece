//! The flows that the slow path has installed, and what it remembers of each: the statistics already credited, and what the
//! translation said they are to be credited to.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use base::Version;
use datapath::{Active, Counts, Flow, FlowStats, Ufid};
use flow::FlowKey;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use pipeline::{PortRef, TableSet};
use xlate::Use;

use crate::ages::{self, Since};

/// One installed flow.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) flow: Arc<Flow>,
    /// Where it counts: asked for all flows again and again.
    counts: Arc<Counts>,
    /// What the packet that made it had beside what the flow matches, for listings.
    beside: Beside,
    /// The options that its key names.
    pub(crate) options: Box<[u8]>,
    /// What has been credited so far.
    pub(crate) credited: FlowStats,
    /// Packets that it had had when the datapath was last asked whether the kernel should run it.
    pub(crate) offered: u64,
    /// Whom packets of the flow are credited to, and what they keep alive.
    pub(crate) uses: Arc<[Use]>,
    /// The tables whose rules it depends on.
    pub(crate) reach: TableSet,
    /// The version of the tables at which the flow was last known to be right.
    pub(crate) valid_at: Version,
}

/// A key without what a flow with that key matches anyway: there may be very many flows.
#[derive(Debug)]
struct Beside {
    /// A bit for each word of the key that differs from the flow's.
    which: u64,
    words: Box<[u64]>,
}

const _: () = assert!(flow::WORDS <= 64);

impl Beside {
    fn of(key: &FlowKey, flow: &Flow) -> Self {
        let own = flow.pattern().key();
        let both = key.words().iter().zip(own.words());
        let differ = (0..).zip(both).filter(|(_, (word, own))| word != own);
        let (mut which, mut words) = (0, [0; flow::WORDS]);
        let mut count = 0;
        for ((place, (word, _)), next) in differ.zip(&mut words) {
            which |= 1 << place;
            *next = *word;
            count += 1;
        }
        Self { which, words: words.iter().take(count).copied().collect() }
    }

    /// The key.
    fn key(&self, flow: &Flow) -> FlowKey {
        let mut key = flow.pattern().key();
        let places = (0..flow::WORDS).filter(|i| self.which >> i & 1 == 1);
        places.zip(&self.words).for_each(|(i, word)| key.words_mut()[i] = *word);
        key
    }
}

/// Flows by their ids, which are hashes.
pub(crate) type ByUfid = HashMap<Ufid, Box<Tracked>, BuildHasherDefault<AsIs>>;

/// Flows that were removed: in the boxes that they had.
#[allow(clippy::vec_box)]
pub(crate) type Removed = Vec<Box<Tracked>>;

/// Passes an id on.
#[derive(Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash << 8 | u64::from(*byte));
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// All installed flows, and those that were removed but may still count a packet that was under way.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) by_ufid: ByUfid,
    pub(crate) removed: Removed,
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
        (first, options): (&FlowKey, Box<[u8]>),
        uses: Arc<[Use]>,
        valid_at: Version,
    ) {
        let reach = ages::reach(&uses);
        self.reach.add(&reach);
        match self.by_ufid.entry(flow.ufid()) {
            Entry::Occupied(mut old) => {
                let old = old.get_mut();
                self.reach.remove(&old.reach);
                (old.uses, old.reach, old.valid_at) = (uses, reach, valid_at);
                old.set_flow(flow);
            }
            Entry::Vacant(place) => {
                let credited = FlowStats::default();
                let beside = Beside::of(first, &flow);
                place.insert(Box::new(Tracked {
                    credited,
                    offered: 0,
                    beside,
                    options,
                    uses,
                    reach,
                    valid_at,
                    counts: flow.counts().clone(),
                    flow,
                }));
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
    /// The key of the packet that made it.
    fn first(&self) -> FlowKey {
        self.beside.key(&self.flow)
    }

    /// Whether it may not be right any more.
    pub(crate) fn is_concerned(&self, since: &Since<'_>) -> bool {
        since.concern(|| self.flow.key(), (&self.uses, &self.reach), self.valid_at)
    }

    /// The flow, if it has had packets since this was last asked.
    pub(crate) fn offer(&mut self) -> Option<Active> {
        let before = std::mem::replace(&mut self.offered, self.credited.packets);
        (self.credited.packets > before).then(|| Active { flow: self.flow.clone(), before })
    }

    /// Another is in its place.
    pub(crate) fn set_flow(&mut self, flow: Arc<Flow>) {
        self.counts = flow.counts().clone();
        self.flow = flow;
    }

    /// What the flow has counted since the last call.
    pub(crate) fn delta(&mut self) -> (Delta, FlowStats) {
        let stats = self.counts.stats();
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
    /// The options that it names, as in the Geneve header.
    pub options: Box<[u8]>,
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
        let listed = |t: &Tracked| Listed {
            flow: t.flow.clone(),
            first: t.first(),
            options: t.options.clone(),
            entered: entered(t),
        };
        let mut all: Vec<_> = self.by_ufid.values().map(|t| listed(t)).collect();
        all.sort_by_key(|l| (l.flow.created(), l.flow.ufid()));
        all
    }
}
