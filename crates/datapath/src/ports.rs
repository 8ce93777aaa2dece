//! The control side's view of ports, and which worker serves which receive queue.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use flow::{DpPort, TunnelProtocol};
use netdev::{Device, RxState};

use crate::miss::QueueId;
use crate::usage::Usage;

/// A tunnel that can be decapsulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The port's name: `vxlan_sys_4789`.
    pub name: Arc<str>,
    /// The type of those whom it serves, for people: `vxlan`.
    pub kind: &'static str,
    /// What it takes off.
    pub protocol: TunnelProtocol,
}

impl Tunnel {
    /// VXLAN at its usual port.
    pub fn vxlan() -> Self {
        let name = "vxlan_sys_4789".into();
        Self { name, kind: "vxlan", protocol: TunnelProtocol::Vxlan }
    }
}

/// What stands behind a datapath port.
#[derive(Clone)]
pub enum PortKind {
    /// A device.
    Device(Arc<dyn Device>),
    /// A tunnel: packets come here by being decapsulated.
    Tunnel(Tunnel),
}

/// A port of the datapath.
#[derive(Clone)]
pub struct PortInfo {
    /// Its number.
    pub port: DpPort,
    /// What it is.
    pub kind: PortKind,
}

impl PortInfo {
    /// The device's name, or the tunnel's: `vxlan_sys_4789`.
    pub fn name(&self) -> String {
        match &self.kind {
            PortKind::Device(device) => device.name().to_owned(),
            PortKind::Tunnel(tunnel) => tunnel.name.to_string(),
        }
    }
}

impl std::fmt::Debug for PortInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.port.0, self.name())
    }
}

/// Port numbers are below this: workers index arrays by them.
pub(crate) const PORTS_MAX: u32 = 65_536;

/// All ports.
#[derive(Default)]
pub(crate) struct PortTable(BTreeMap<DpPort, Entry>);

struct Entry {
    kind: PortKind,
    queues: Vec<RxPlace>,
}

/// Where a receive queue is served.
pub(crate) struct RxPlace {
    pub(crate) id: QueueId,
    /// The slot of its worker.
    pub(crate) home: usize,
    /// The processor whose worker is to serve it.
    pub(crate) pinned: Option<usize>,
    /// The memory node of its device.
    pub(crate) node: Option<usize>,
    pub(crate) usage: Arc<Usage>,
}

impl PortTable {
    /// Whether a port of that number can be added.
    pub(crate) fn check_new(&self, port: DpPort) -> io::Result<()> {
        if port.0 >= PORTS_MAX {
            let text =
                format!("datapath port number {} is too large (at most {})", port.0, PORTS_MAX - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if self.0.contains_key(&port) {
            let text = format!("datapath port number {} is in use", port.0);
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(())
    }

    /// Adds a port with these receive queues.
    pub(crate) fn add(&mut self, port: DpPort, kind: PortKind, queues: Vec<RxPlace>) {
        self.0.insert(port, Entry { kind, queues });
    }

    /// Forgets a port; gives back its queues.
    pub(crate) fn remove(&mut self, port: DpPort) -> Option<Vec<RxPlace>> {
        self.0.remove(&port).map(|entry| entry.queues)
    }

    /// The worker that receives from a port; the first one for ports that nobody receives from.
    pub(crate) fn home(&self, port: DpPort) -> usize {
        self.0.get(&port).and_then(|e| e.queues.first()).map_or(0, |q| q.home)
    }

    /// The device behind a port.
    pub(crate) fn device(&self, port: DpPort) -> Option<&Arc<dyn Device>> {
        match &self.0.get(&port)?.kind {
            PortKind::Device(device) => Some(device),
            PortKind::Tunnel(_) => None,
        }
    }

    /// How it stands with a device's receive queue.
    pub(crate) fn rx_state(&self, port: DpPort, queue: usize) -> RxState {
        self.device(port).map_or(RxState::Enabled, |device| device.rx_state(queue))
    }

    /// All devices.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Arc<dyn Device>> {
        self.0.values().filter_map(|e| match &e.kind {
            PortKind::Device(device) => Some(device),
            PortKind::Tunnel(_) => None,
        })
    }

    /// What a tunnel takes off.
    pub(crate) fn tunnel(&self, port: DpPort) -> Option<TunnelProtocol> {
        match &self.0.get(&port)?.kind {
            PortKind::Tunnel(tunnel) => Some(tunnel.protocol),
            PortKind::Device(_) => None,
        }
    }

    /// Whether a port is a tunnel.
    pub(crate) fn is_tunnel(&self, port: DpPort) -> bool {
        self.0.get(&port).is_some_and(|e| matches!(e.kind, PortKind::Tunnel(_)))
    }

    pub(crate) fn list(&self) -> Vec<PortInfo> {
        self.0.iter().map(|(&port, e)| PortInfo { port, kind: e.kind.clone() }).collect()
    }

    /// The receive queues of a port.
    pub(crate) fn queues_of(&mut self, port: DpPort) -> Option<&mut [RxPlace]> {
        self.0.get_mut(&port).map(|e| &mut *e.queues)
    }

    /// All receive queues, by port and number.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (DpPort, usize, &RxPlace)> {
        self.0.iter().flat_map(|(port, e)| e.queues.iter().enumerate().map(|(i, q)| (*port, i, q)))
    }

    /// The same, to be changed.
    pub(crate) fn queues_mut(&mut self) -> impl Iterator<Item = &mut RxPlace> {
        self.0.values_mut().flat_map(|e| &mut e.queues)
    }
}
