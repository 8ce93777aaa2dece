//! One datapath with its slow path: a world of port numbers of its own.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base::{Clock, Counters};
use datapath::{Config, Datapath, Schedule, Tunnel};
use flow::DpPort;
use netdev::Device;
use pipeline::Snapshot;
use slowpath::SlowPath;
use tunnel::{Endpoint, Kind, Routes};

use super::{Tuning, errno_text};
use crate::desired::DatapathKind;
use crate::numbers::DpPorts;

/// A datapath, its slow path, and who has which port number.
pub struct Plane {
    /// `netdev@ovs-netdev` and the like.
    pub name: String,
    /// The workers.
    pub datapath: Datapath,
    /// The handlers.
    pub slow: SlowPath,
    /// The port numbers in use.
    pub ports: DpPorts,
    /// Devices that tunnels share: kind and UDP port -> number, and how many tunnels use it.
    tunnels: HashMap<(Kind, u16), (DpPort, usize)>,
}

impl Plane {
    pub(super) fn start(
        kind: DatapathKind,
        clock: &Clock,
        counters: &Counters,
        workers: usize,
        routes: &Routes,
        tuning: Tuning,
    ) -> io::Result<Self> {
        let name = format!("{0}@ovs-{0}", kind.as_str());
        let mut config = Config::new(clock.clone(), counters.clone());
        config.workers = workers;
        let datapath = Datapath::start(config)?;
        let slow = SlowPath::start(
            datapath.clone(),
            clock.clone(),
            counters,
            Snapshot::empty(name.as_str()),
        )?;
        slow.with(|state, _| state.routes = routes.clone());
        let ports = DpPorts::new(kind == DatapathKind::Dummy);
        let plane = Self { name, datapath, slow, ports, tunnels: HashMap::new() };
        plane.tune(tuning);
        Ok(plane)
    }

    /// Settings of the switch as a whole.
    pub(super) fn tune(&self, tuning: Tuning) {
        self.slow.set_max_idle(tuning.max_idle);
        self.datapath.set_offload(tuning.kernel_offload);
        if let Err(error) = self.slow.set_handlers(tuning.handlers) {
            log::error!(target: super::LOG, "{}: could not start a handler ({})", self.name, errno_text(&error));
        }
    }

    /// How its workers are to be. What cannot be had is logged, and the workers that there are go on.
    pub(super) fn set_schedule(&self, schedule: &Schedule) {
        if let Err(error) = self.datapath.set_schedule(schedule.clone()) {
            log::error!(target: super::LOG, "{}: could not start a worker ({})", self.name, errno_text(&error));
        }
    }

    /// Ends its threads. The datapath goes first: that closes the queue on which the slow path waits.
    pub(super) fn stop(&self) {
        self.datapath.stop();
        self.slow.stop();
    }

    pub(super) fn add_device(&mut self, name: &str, device: Arc<dyn Device>) -> io::Result<DpPort> {
        let dp = self.ports.take(name).ok_or_else(|| io::Error::other("no free datapath port"))?;
        let added = self.datapath.add_port(dp, device);
        if added.is_err() {
            self.ports.release(dp);
        }
        added.map(|()| dp)
    }

    pub(super) fn remove_device(&mut self, dp: DpPort) {
        if let Err(error) = self.datapath.remove_port(dp) {
            log::warn!(target: super::LOG, "{}: {error}", self.name);
        }
        self.ports.release(dp);
    }

    /// The datapath port that serves this endpoint's kind and UDP port; made when the first tunnel needs it.
    pub(super) fn tunnel_port(&mut self, endpoint: &Endpoint) -> Result<DpPort, String> {
        let key = (endpoint.kind, endpoint.dst_port);
        if let Some((dp, users)) = self.tunnels.get_mut(&key) {
            *users += 1;
            return Ok(*dp);
        }
        let device = endpoint.device_name();
        let refuse = |why: &str| {
            format!("could not add network device {} to ofproto ({why})", endpoint.name)
        };
        let dp = self.ports.take(&device).ok_or_else(|| refuse("no free datapath port"))?;
        let tunnel = Tunnel {
            name: device.into(),
            kind: endpoint.kind.name(),
            protocol: endpoint.kind.protocol(),
        };
        if let Err(error) = self.datapath.add_tunnel_port(dp, tunnel) {
            self.ports.release(dp);
            return Err(refuse(&errno_text(&error)));
        }
        self.tunnels.insert(key, (dp, 1));
        Ok(dp)
    }

    pub(super) fn release_tunnel(&mut self, dp: DpPort) {
        let Some((key, users)) =
            self.tunnels.iter_mut().find(|(_, (d, _))| *d == dp).map(|(k, (_, n))| (*k, n))
        else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.tunnels.remove(&key);
            self.remove_device(dp);
        }
    }
}
