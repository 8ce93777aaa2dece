//! The whole configuration at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::Version;
use flow::DpPort;
use tunnel::{EndpointId, Endpoints, SourcePorts};

use crate::bridge::{Bridge, BridgeId};
use crate::port::{Port, PortRef};

/// All bridges of one datapath. See the crate's essay.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) version: Version,
    pub(crate) datapath: Arc<str>,
    pub(crate) bridges: BTreeMap<BridgeId, Bridge>,
    pub(crate) by_name: HashMap<Arc<str>, BridgeId>,
    pub(crate) by_dp: HashMap<DpPort, PortRef>,
    pub(crate) internals: HashMap<Arc<str>, PortRef>,
    pub(crate) endpoints: Endpoints,
    /// The port of each endpoint, by its index.
    pub(crate) endpoint_ports: Vec<PortRef>,
    pub(crate) source_ports: SourcePorts,
}

impl Snapshot {
    /// No bridges, version 0.
    pub fn empty(datapath: impl Into<Arc<str>>) -> Self {
        crate::SnapshotBuilder::new(Version::default(), datapath).build()
    }

    /// Which configuration this is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The datapath that its port numbers belong to, such as `netdev@ovs-netdev`.
    pub fn datapath(&self) -> &Arc<str> {
        &self.datapath
    }

    /// All bridges, in order of id.
    pub fn bridges(&self) -> impl Iterator<Item = &Bridge> {
        self.bridges.values()
    }

    /// A bridge.
    pub fn bridge(&self, id: BridgeId) -> Option<&Bridge> {
        self.bridges.get(&id)
    }

    /// The bridge with that UUID.
    pub fn bridge_by_uuid(&self, uuid: [u32; 4]) -> Option<&Bridge> {
        self.bridges().find(|bridge| bridge.uuid == uuid)
    }

    /// The bridge of that name.
    pub fn bridge_by_name(&self, name: &str) -> Option<&Bridge> {
        self.bridges.get(self.by_name.get(name)?)
    }

    /// A port with its bridge.
    pub fn port(&self, at: PortRef) -> Option<(&Bridge, &Port)> {
        let bridge = self.bridge(at.bridge)?;
        Some((bridge, bridge.port(at.port)?))
    }

    /// The port that packets from this datapath port belong to. Tunnels have none: see [`Snapshot::endpoints`].
    pub fn port_of_dp(&self, dp: DpPort) -> Option<PortRef> {
        self.by_dp.get(&dp).copied()
    }

    /// The internal port of that name: what a route's device is, if it is ours.
    pub fn internal(&self, name: &str) -> Option<PortRef> {
        self.internals.get(name).copied()
    }

    /// The name under which neighbours behind that device are kept, if it is an internal port: its own.
    pub fn bridge_of_device(&self, name: &str) -> Option<Arc<str>> {
        Some(self.port(self.internal(name)?)?.1.name.clone())
    }

    /// All tunnel endpoints.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The port that an endpoint belongs to.
    pub fn endpoint_port(&self, id: EndpointId) -> Option<PortRef> {
        self.endpoint_ports.get(id.index()).copied()
    }

    /// The range of UDP source ports of tunnels.
    pub fn source_ports(&self) -> SourcePorts {
        self.source_ports
    }
}
