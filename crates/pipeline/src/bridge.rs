//! A bridge: ports that exchange packets.

use std::collections::BTreeMap;
use std::sync::Arc;

use packet::wire::ethernet::Mac;

use crate::port::{OfPort, Port, PortKind};
use crate::vlan::{Vid, VlanSet};

/// Names a bridge for as long as it exists, over all snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeId(pub u32);

/// What a bridge does with packets while no controller has given it rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailMode {
    /// Forward like an ordinary learning bridge.
    #[default]
    Standalone,
    /// Forward nothing.
    Secure,
}

/// What a port of several interfaces, or one on which LACP is spoken, is to be.
pub type Aggregate = l2::aggregate::Config<OfPort>;

/// A bridge with its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Which one.
    pub id: BridgeId,
    /// Its name, which is also its local port's.
    pub name: Arc<str>,
    /// By which controllers' continuations name it: the four words of its row's UUID. Zero if it is of no database.
    pub uuid: [u32; 4],
    /// What it does without rules.
    pub fail_mode: FailMode,
    /// VLANs on which nothing is learned and everything is flooded (`flood_vlans`).
    pub flood_vlans: VlanSet,
    /// Whether reserved group addresses are forwarded like others (`other_config:forward-bpdu`).
    pub forward_bpdu: bool,
    /// Whether somebody collects samples of flows.
    pub has_collectors: bool,
    pub(crate) ports: BTreeMap<OfPort, Port>,
    pub(crate) flood_order: Vec<OfPort>,
    pub(crate) aggregates: BTreeMap<OfPort, Arc<Aggregate>>,
}

impl Bridge {
    /// A standalone bridge without ports.
    pub fn new(id: BridgeId, name: impl Into<Arc<str>>) -> Self {
        Self {
            id,
            name: name.into(),
            uuid: [0; 4],
            fail_mode: FailMode::default(),
            flood_vlans: VlanSet::empty(),
            forward_bpdu: false,
            has_collectors: false,
            ports: BTreeMap::new(),
            flood_order: Vec::new(),
            aggregates: BTreeMap::new(),
        }
    }

    /// A port.
    pub fn port(&self, port: OfPort) -> Option<&Port> {
        self.ports.get(&port)
    }

    /// All ports, in order of number (the local port last).
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    /// All ports in the order in which floods visit them.
    pub fn flood_ports(&self) -> impl Iterator<Item = &Port> {
        self.flood_order.iter().filter_map(|p| self.ports.get(p))
    }

    /// What the aggregate with that number is to be.
    pub fn aggregate(&self, home: OfPort) -> Option<&Arc<Aggregate>> {
        self.aggregates.get(&home)
    }

    /// All aggregates, each with its number.
    pub fn aggregates(&self) -> impl Iterator<Item = (OfPort, &Arc<Aggregate>)> {
        self.aggregates.iter().map(|(home, aggregate)| (*home, aggregate))
    }

    /// Whether frames of its own may come back to it, by another member of a bond whose other end knows nothing of the bond.
    pub fn may_hear_itself(&self) -> bool {
        let mut bonds = self.aggregates.values().filter_map(|aggregate| aggregate.bond.as_ref());
        bonds.any(|bond| bond.mode == l2::bond::Mode::BalanceSlb)
    }

    /// The hardware address of the local port.
    pub fn local_mac(&self) -> Option<Mac> {
        match self.port(OfPort::LOCAL)?.kind {
            PortKind::Internal { mac, .. } => Some(mac),
            _ => None,
        }
    }

    /// Whether stations of this VLAN are learned.
    pub fn learns(&self, vid: Vid) -> bool {
        !self.flood_vlans.contains(vid)
    }
}
