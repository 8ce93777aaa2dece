//! Everything that translations read, with one version over all of it; and what they are credited to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ages::Ages;
use crate::aggregates::Aggregates;
use crate::aside::Postponed;
use crate::lock;
use crate::under_way::UnderWay;

use base::{Instant, Version};
use datapath::Miss;
use l2::{MacConfig, MacTable};
use pipeline::{BridgeId, FailMode, PortRef, Program, Snapshot};
use tunnel::{Neighbours, Peers, Routes, Waiting};
use xlate::{Frozens, Learn, MacTables, MeterIds, Programs, Tables};

/// Packets and bytes of a port that is not a device: a tunnel's or a patch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Traffic {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
}

/// What of a state has changed since this was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    /// Rules of tables alone.
    Rules,
    Anything,
}

/// What the switch knows: its configuration, and what traffic, the kernel and people have taught it.
pub struct State {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// What controllers have programmed, per bridge of the snapshot.
    pub programs: Programs,
    /// The datapath's number of each meter.
    pub(crate) meter_ids: MeterIds,
    /// The meters as the datapath has them.
    pub(crate) meters: BTreeMap<(BridgeId, u32), Arc<pipeline::Meter>>,
    /// Packets that are to come back.
    pub frozens: Frozens,
    /// Stations, per bridge.
    pub macs: MacTables,
    /// Ports of several interfaces.
    pub(crate) aggregates: Aggregates,
    /// Routes and own addresses.
    pub routes: Routes,
    /// Next hops.
    pub neighbours: Neighbours,
    /// Tunnels' other ends that understand unfinished packets.
    pub peers: Peers,
    /// Packets that wait for a next hop.
    pub(crate) waiting: Waiting<Miss>,
    /// What packets that belong to no flow will come back to.
    pub(crate) held: Mutex<UnderWay>,
    traffic: Mutex<HashMap<PortRef, Traffic>>,
    /// Packets that were too long for tunnel ports; no more entries than ports.
    pub(crate) too_big: Mutex<HashMap<PortRef, crate::TooBig>>,
    mac_configs: BTreeMap<BridgeId, MacConfig>,
    version: Version,
    /// When what last changed.
    pub(crate) ages: Ages,
    /// The bridge whose program is being changed beside this one, and what packets have taught it since.
    pub(crate) aside: Option<(BridgeId, Vec<Postponed>)>,
    /// Bridges may have got other programs since `version` was last raised.
    is_published: bool,
    /// The versions of all parts when `version` was last raised.
    parts: [Version; 7],
}

impl State {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            programs: Programs::new(),
            meter_ids: MeterIds::new(),
            meters: BTreeMap::new(),
            frozens: Frozens::default(),
            macs: MacTables::new(),
            aggregates: Aggregates::default(),
            routes: Routes::default(),
            neighbours: Neighbours::default(),
            peers: Peers::default(),
            waiting: Waiting::default(),
            held: Mutex::default(),
            traffic: Mutex::default(),
            too_big: Mutex::default(),
            mac_configs: BTreeMap::new(),
            version: Version::default(),
            ages: Ages::default(),
            aside: None,
            is_published: false,
            parts: [Version::default(); 7],
        }
    }

    /// What a translation reads beside the snapshot.
    pub fn tables(&self) -> Tables<'_> {
        Tables {
            programs: &self.programs,
            frozens: &self.frozens,
            meters: &self.meter_ids,
            macs: &self.macs,
            aggregates: &self.aggregates.all,
            routes: &self.routes,
            neighbours: &self.neighbours,
            peers: &self.peers,
        }
    }

    /// The version of it all.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The MAC table of a bridge, made at first use.
    pub fn mac_table(&mut self, bridge: BridgeId) -> &mut MacTable<pipeline::OfPort> {
        let config = self.mac_configs.get(&bridge).copied().unwrap_or_default();
        self.macs.entry(bridge).or_insert_with(|| MacTable::new(config))
    }

    pub(crate) fn publish(
        &mut self,
        snapshot: Snapshot,
        macs: &BTreeMap<BridgeId, MacConfig>,
        now: Instant,
    ) {
        self.programs.retain(|id, _| snapshot.bridge(*id).is_some());
        for bridge in snapshot.bridges() {
            // What is programmed afterwards, also because the mode changes, is for whoever knows of controllers.
            self.programs.entry(bridge.id).or_insert_with(|| match bridge.fail_mode {
                FailMode::Standalone => Program::standalone(seed(), now),
                FailMode::Secure => Program::new(seed()),
            });
        }
        self.macs.retain(|id, _| snapshot.bridge(*id).is_some());
        for (id, table) in &mut self.macs {
            table.set_config(macs.get(id).copied().unwrap_or_default());
            // Stations behind a port that is gone, is something else now, or is in other VLANs, are gone with it.
            let old = self.snapshot.bridge(*id);
            for port in old.into_iter().flat_map(|b| b.ports()) {
                let same = snapshot
                    .bridge(*id)
                    .and_then(|b| b.port(port.ofport))
                    .is_some_and(|new| is_same_place(new, port));
                if !same {
                    table.forget_port(port.ofport);
                }
            }
        }
        let gone: Vec<_> = self
            .snapshot
            .bridges()
            .filter(|b| snapshot.bridge(b.id).is_none())
            .map(|b| b.name.clone())
            .collect();
        for name in gone {
            self.neighbours.flush(Some(&name));
        }
        lock(&self.traffic).retain(|port, _| snapshot.port(*port).is_some());
        lock(&self.too_big).retain(|port, _| snapshot.port(*port).is_some());
        self.aggregates.configure(&snapshot, &self.frozens, now);
        self.is_published = true;
        self.mac_configs = macs.clone();
        self.snapshot = Arc::new(snapshot);
    }

    /// A station was heard.
    pub(crate) fn learn(&mut self, learn: &Learn, now: Instant) {
        let table = self.mac_table(learn.bridge);
        table.learn(learn.vlan, learn.mac, learn.port, now);
        if learn.announces {
            table.announce(learn.vlan, learn.mac, now);
        }
    }

    /// A flow whose source is this station has had packets, the last at `now`. If it was heard elsewhere since, it has moved
    /// and stays there; heard last where the flow comes from, it is back.
    pub(crate) fn refresh(&mut self, learn: &Learn, now: Instant) {
        let known = self.macs.get(&learn.bridge).and_then(|t| t.lookup(learn.vlan, learn.mac, now));
        let moves = known.is_some_and(|port| port != learn.port);
        // Of two moments that are equal the one told late, which is this, is the earlier.
        let heard = if moves { now - Duration::from_nanos(1) } else { now };
        self.learn(learn, heard);
    }

    /// What a port has seen.
    pub(crate) fn traffic(&self, port: PortRef) -> Traffic {
        lock(&self.traffic).get(&port).copied().unwrap_or_default()
    }

    /// A port has seen something.
    pub(crate) fn count_traffic(&self, port: PortRef, count: impl FnOnce(&mut Traffic)) {
        count(lock(&self.traffic).entry(port).or_default());
    }

    /// Raises the version if any part has changed. Says what has.
    pub(crate) fn note_change(&mut self) -> Change {
        let macs = self.macs.values().map(|t| t.version().0).sum();
        let programs = self.programs.values().map(|p| p.version().0).sum();
        let parts = [
            self.snapshot.version(),
            self.routes.version(),
            self.neighbours.version(),
            self.peers.version(),
            self.aggregates.version(),
            Version(macs),
            Version(programs),
        ];
        let is_published = std::mem::take(&mut self.is_published);
        if parts == self.parts && !is_published {
            return Change::Nothing;
        }
        self.version = self.version.next();
        let [others @ .., _] = &parts;
        let mut is_beyond = is_published || !self.parts.starts_with(others);
        for (bridge, program) in &mut self.programs {
            let touched = program.take_touched();
            is_beyond |= touched.is_beyond();
            self.ages.note(*bridge, touched, self.version);
        }
        if is_beyond {
            self.ages.everything(self.version);
        }
        self.parts = parts;
        if is_beyond { Change::Anything } else { Change::Rules }
    }
}

/// Whether stations known at the one are at the other.
fn is_same_place(new: &pipeline::Port, old: &pipeline::Port) -> bool {
    new.name == old.name && new.vlan == old.vlan && new.home() == old.home()
}

/// A number that nobody outside can guess.
fn seed() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}
