//! The control side's view of ports, and which worker serves which receive queue.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use flow::DpPort;
use netdev::Device;

/// Tunnels that can be decapsulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// RFC 7348.
    Vxlan {
        /// Where it listens.
        udp_port: u16,
    },
}

/// What stands behind a datapath port.
#[derive(Clone)]
pub enum PortKind {
    /// A device.
    Device(Arc<dyn Device>),
    /// A tunnel: packets come here by being decapsulated.
    Tunnel(TunnelKind),
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
            PortKind::Tunnel(TunnelKind::Vxlan { udp_port }) => format!("vxlan_sys_{udp_port}"),
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
pub(crate) struct PortTable {
    ports: BTreeMap<DpPort, Entry>,
    /// Receive queues per worker.
    load: Vec<usize>,
}

struct Entry {
    kind: PortKind,
    /// The worker of each receive queue.
    homes: Vec<usize>,
}

impl PortTable {
    pub(crate) fn new(workers: usize) -> Self {
        Self { ports: BTreeMap::new(), load: vec![0; workers] }
    }

    /// Whether a port of that number can be added.
    pub(crate) fn check_new(&self, port: DpPort) -> io::Result<()> {
        if port.0 >= PORTS_MAX {
            let text =
                format!("datapath port number {} is too large (at most {})", port.0, PORTS_MAX - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if self.ports.contains_key(&port) {
            let text = format!("datapath port number {} is in use", port.0);
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(())
    }

    /// Adds a port with that many receive queues and says which worker serves each: always the one with fewest.
    pub(crate) fn add(&mut self, port: DpPort, kind: PortKind, queues: usize) -> Vec<usize> {
        let mut homes = Vec::with_capacity(queues);
        for _ in 0..queues {
            let least = (0..self.load.len()).min_by_key(|&w| self.load[w]).unwrap_or(0);
            self.load[least] += 1;
            homes.push(least);
        }
        self.ports.insert(port, Entry { kind, homes: homes.clone() });
        homes
    }

    /// Forgets a port; says whether there was one.
    pub(crate) fn remove(&mut self, port: DpPort) -> bool {
        let Some(entry) = self.ports.remove(&port) else { return false };
        for worker in entry.homes {
            self.load[worker] -= 1;
        }
        true
    }

    /// The worker that receives from a port; the first one for ports that nobody receives from.
    pub(crate) fn home(&self, port: DpPort) -> usize {
        self.ports.get(&port).and_then(|e| e.homes.first()).copied().unwrap_or(0)
    }

    pub(crate) fn list(&self) -> Vec<PortInfo> {
        self.ports.iter().map(|(&port, e)| PortInfo { port, kind: e.kind.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_spread_evenly_and_numbers_are_checked() {
        let mut table = PortTable::new(2);
        let tunnel = PortKind::Tunnel(TunnelKind::Vxlan { udp_port: 4789 });
        assert_eq!(table.add(DpPort(1), tunnel.clone(), 1), [0]);
        assert_eq!(table.add(DpPort(2), tunnel.clone(), 2), [1, 0]);
        assert_eq!(table.add(DpPort(3), tunnel.clone(), 1), [1]);
        assert!(table.remove(DpPort(2)) && !table.remove(DpPort(2)));
        assert_eq!(table.add(DpPort(4), tunnel, 1), [0]);
        assert_eq!((table.home(DpPort(3)), table.home(DpPort(77))), (1, 0));
        assert_eq!(table.check_new(DpPort(1)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(table.check_new(DpPort::NONE).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(table.list().iter().map(|p| p.port.0).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(table.list()[0].name(), "vxlan_sys_4789");
    }
}
