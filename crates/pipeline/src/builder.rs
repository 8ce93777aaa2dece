//! The only way to make a [`Snapshot`]: add bridges, then ports, then build. What cannot be is refused, one port at a time,
//! and the rest goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use base::Version;
use flow::DpPort;
use packet::wire::ethernet::Mac;
use tunnel::{DuplicateEndpoint, Endpoint, Endpoints, SourcePorts};

use crate::bridge::{Aggregate, Bridge, BridgeId};
use crate::port::{OfPort, Port, PortConfig, PortKind, PortRef};
use crate::snapshot::Snapshot;
use crate::vlan::{PriorityTags, VlanMode};

/// What is to be behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSpecKind {
    /// A device of the host, or any other that carries bytes.
    Device(DpPort),
    /// A device through which the host's own stack is a station of the bridge.
    Internal {
        /// Its datapath port.
        dp: DpPort,
        /// Its hardware address.
        mac: Mac,
    },
    /// A wire to the port of that name, which must be a patch port with this one as its peer.
    Patch {
        /// The other port's name.
        peer: Arc<str>,
    },
    /// A tunnel.
    Tunnel {
        /// The datapath port that serves tunnels of its kind and UDP port.
        dp: DpPort,
        /// What it is configured to.
        endpoint: Arc<Endpoint>,
    },
}

/// A port to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its number.
    pub ofport: OfPort,
    /// What is to be behind it.
    pub kind: PortSpecKind,
    /// How it treats VLAN tags.
    pub vlan: VlanMode,
    /// Whether it sends tags that carry only a priority.
    pub priority_tags: PriorityTags,
    /// Does not exchange packets with other protected ports.
    pub protected: bool,
    /// What is forbidden.
    pub config: PortConfig,
    /// Nothing can be sent there now.
    pub is_down: bool,
}

impl PortSpec {
    /// A port with all settings at their defaults: a trunk for all VLANs.
    pub fn new(name: impl Into<Arc<str>>, ofport: OfPort, kind: PortSpecKind) -> Self {
        Self {
            name: name.into(),
            ofport,
            kind,
            vlan: VlanMode::trunk_all(),
            priority_tags: PriorityTags::default(),
            protected: false,
            config: PortConfig::default(),
            is_down: false,
        }
    }
}

/// Something that cannot be part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Another bridge has that id or name.
    BridgeExists(Arc<str>),
    /// There is no bridge with that id.
    NoBridge(BridgeId),
    /// Another port, of any bridge, has that name.
    NameTaken(Arc<str>),
    /// Not a number that a port can have.
    BadOfPort(OfPort),
    /// Another port of the bridge has that number.
    OfPortTaken(OfPort),
    /// Another port has that datapath port.
    DpPortTaken(DpPort),
    /// The local port must be internal and have the bridge's name.
    BadLocalPort,
    /// No packet could tell this tunnel from another.
    DuplicateTunnel(DuplicateEndpoint),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BridgeExists(name) => write!(f, "bridge {name} exists already"),
            Self::NoBridge(id) => write!(f, "there is no bridge number {}", id.0),
            Self::NameTaken(name) => write!(f, "a port named {name} exists already"),
            Self::BadOfPort(p) => write!(f, "port number {p} is reserved"),
            Self::OfPortTaken(p) => write!(f, "another port has number {p}"),
            Self::DpPortTaken(p) => write!(f, "another port has datapath port {}", p.0),
            Self::BadLocalPort => {
                f.write_str("the local port must be internal and named like its bridge")
            }
            // What the reference's Interface.error says in parentheses.
            Self::DuplicateTunnel(_) => f.write_str("File exists"),
        }
    }
}

impl std::error::Error for BuildError {}

/// A snapshot in the making.
#[derive(Debug)]
pub struct SnapshotBuilder {
    snapshot: Snapshot,
    names: HashMap<Arc<str>, PortRef>,
    /// Patch ports and whom they want as their peer.
    patches: Vec<(PortRef, Arc<str>)>,
    tunnel_dps: HashSet<DpPort>,
}

impl SnapshotBuilder {
    /// An empty snapshot of that version for that datapath.
    pub fn new(version: Version, datapath: impl Into<Arc<str>>) -> Self {
        let snapshot = Snapshot {
            version,
            datapath: datapath.into(),
            bridges: BTreeMap::new(),
            by_name: HashMap::new(),
            by_dp: HashMap::new(),
            internals: HashMap::new(),
            endpoints: Endpoints::default(),
            endpoint_ports: Vec::new(),
            source_ports: SourcePorts::default(),
        };
        Self { snapshot, names: HashMap::new(), patches: Vec::new(), tunnel_dps: HashSet::new() }
    }

    /// The range of UDP source ports of tunnels.
    pub fn source_ports(&mut self, ports: SourcePorts) {
        self.snapshot.source_ports = ports;
    }

    /// Adds a bridge; ports that it already has are not taken over.
    pub fn bridge(&mut self, mut bridge: Bridge) -> Result<(), BuildError> {
        let s = &mut self.snapshot;
        if s.bridges.contains_key(&bridge.id) || s.by_name.contains_key(&bridge.name) {
            return Err(BuildError::BridgeExists(bridge.name));
        }
        bridge.ports.clear();
        bridge.flood_order.clear();
        bridge.aggregates.clear();
        s.by_name.insert(bridge.name.clone(), bridge.id);
        s.bridges.insert(bridge.id, bridge);
        Ok(())
    }

    /// Adds a port to a bridge that was added before.
    pub fn port(&mut self, bridge: BridgeId, spec: PortSpec) -> Result<(), BuildError> {
        let at = PortRef { bridge, port: spec.ofport };
        self.check(at, &spec)?;
        let kind = self.kind(at, &spec)?;
        if let Some(dp) = kind.own_dp() {
            self.snapshot.by_dp.insert(dp, at);
        }
        if matches!(kind, PortKind::Internal { .. }) {
            self.snapshot.internals.insert(spec.name.clone(), at);
        }
        self.names.insert(spec.name.clone(), at);
        let PortSpec { name, ofport, vlan, priority_tags, protected, config, is_down, .. } = spec;
        let aggregate = None;
        let port =
            Port { name, ofport, kind, vlan, priority_tags, protected, config, is_down, aggregate };
        if let Some(bridge) = self.snapshot.bridges.get_mut(&bridge) {
            bridge.ports.insert(ofport, port);
        }
        Ok(())
    }

    /// Makes an aggregate of ports that were added before; members that were not, or that another has, are left out.
    pub fn aggregate(&mut self, bridge: BridgeId, mut aggregate: Aggregate) {
        let Some(bridge) = self.snapshot.bridges.get_mut(&bridge) else { return };
        let is_free = |port: &Port| port.aggregate.is_none();
        aggregate.members.retain(|member, _| bridge.ports.get(member).is_some_and(is_free));
        let Some(home) = aggregate.members.keys().next().copied() else { return };
        for member in aggregate.members.keys() {
            if let Some(port) = bridge.ports.get_mut(member) {
                port.aggregate = Some(home);
            }
        }
        bridge.aggregates.insert(home, Arc::new(aggregate));
    }

    fn check(&self, at: PortRef, spec: &PortSpec) -> Result<(), BuildError> {
        let bridge =
            self.snapshot.bridges.get(&at.bridge).ok_or(BuildError::NoBridge(at.bridge))?;
        let is_local = at.port == OfPort::LOCAL;
        let is_internal = matches!(spec.kind, PortSpecKind::Internal { .. });
        if !at.port.is_valid() {
            Err(BuildError::BadOfPort(at.port))
        } else if bridge.ports.contains_key(&at.port) {
            Err(BuildError::OfPortTaken(at.port))
        } else if self.names.contains_key(&spec.name) {
            Err(BuildError::NameTaken(spec.name.clone()))
        } else if is_local && !(is_internal && spec.name == bridge.name) {
            Err(BuildError::BadLocalPort)
        } else {
            Ok(())
        }
    }

    fn kind(&mut self, at: PortRef, spec: &PortSpec) -> Result<PortKind, BuildError> {
        match &spec.kind {
            PortSpecKind::Device(dp) => Ok(PortKind::Device(self.free(*dp)?)),
            PortSpecKind::Internal { dp, mac } => {
                Ok(PortKind::Internal { dp: self.free(*dp)?, mac: *mac })
            }
            PortSpecKind::Patch { peer } => {
                self.patches.push((at, peer.clone()));
                Ok(PortKind::Patch(None))
            }
            PortSpecKind::Tunnel { dp, endpoint } => {
                // Tunnels share theirs among themselves.
                if self.snapshot.by_dp.contains_key(dp) {
                    return Err(BuildError::DpPortTaken(*dp));
                }
                let dp = *dp;
                let inserted = self.snapshot.endpoints.insert(endpoint.clone(), dp);
                let endpoint = inserted.map_err(BuildError::DuplicateTunnel)?;
                self.snapshot.endpoint_ports.push(at);
                self.tunnel_dps.insert(dp);
                Ok(PortKind::Tunnel { dp, endpoint })
            }
        }
    }

    /// A datapath port that no device has, nor any tunnel.
    fn free(&self, dp: DpPort) -> Result<DpPort, BuildError> {
        let taken = self.snapshot.by_dp.contains_key(&dp) || self.tunnel_dps.contains(&dp);
        if taken { Err(BuildError::DpPortTaken(dp)) } else { Ok(dp) }
    }

    /// Connects patch ports and finishes.
    pub fn build(mut self) -> Snapshot {
        let wanted: HashMap<PortRef, Arc<str>> = self.patches.iter().cloned().collect();
        let name_of = |s: &Snapshot, at: PortRef| s.port(at).map(|(_, p)| p.name.clone());
        for (at, peer_name) in &self.patches {
            let peer = self.names.get(peer_name).copied();
            let own_name = name_of(&self.snapshot, *at);
            // Both ends must want each other; a wire to oneself is none.
            let mutual = peer
                .filter(|p| p != at && wanted.get(p) == own_name.as_ref() && own_name.is_some());
            let port =
                self.snapshot.bridges.get_mut(&at.bridge).and_then(|b| b.ports.get_mut(&at.port));
            if let Some(port) = port {
                port.kind = PortKind::Patch(mutual);
            }
        }
        for bridge in self.snapshot.bridges.values_mut() {
            bridge.flood_order = bridge.ports.keys().copied().collect();
            bridge.flood_order.sort_by_key(|p| p.flood_order());
        }
        self.snapshot
    }
}

#[cfg(test)]
mod tests;
