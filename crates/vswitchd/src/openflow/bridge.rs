//! A bridge, and a datapath's events, as the crate `ofproto` sees them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError, Weak};

use base::{Clock, Instant};
use netdev::Device;
use netdev::rtnl::{Neighbour, Query};
use ofproto::switch::{Event, Events, MeterCounters, NextHop, Switch};
use openflow::message::continuation::Continuation;
use openflow::message::stats;
use openflow::message::{self, PacketOut};
use openflow::{Code, Port};
use pipeline::{BridgeId, Changes, Edit, Failed, OfPort, PortRef, Program};
use slowpath::SlowPath;

use super::mailbox::{Mailbox, PortChange};

/// A port whose counters can be asked for.
#[derive(Clone)]
pub struct PortHandle {
    /// Its device, if it is one. Not held: a device must be closed before its successor can be opened.
    pub device: Option<Weak<dyn Device>>,
    /// Since when it is there.
    pub since: Instant,
}

/// See the module.
pub struct BridgeSwitch {
    id: BridgeId,
    slow: SlowPath,
    clock: Clock,
    mailbox: Mailbox,
    ports: Mutex<BTreeMap<Port, PortHandle>>,
}

impl BridgeSwitch {
    /// A bridge without ports.
    pub fn new(id: BridgeId, slow: SlowPath, clock: Clock, mailbox: Mailbox) -> Self {
        Self { id, slow, clock, mailbox, ports: Mutex::default() }
    }

    /// It has these ports from now on.
    pub fn set_ports(&self, ports: BTreeMap<Port, PortHandle>) {
        *self.ports.lock().unwrap_or_else(PoisonError::into_inner) = ports;
    }

    fn port(&self, port: Port) -> Option<PortHandle> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).get(&port).cloned()
    }
}

/// Nobody counts that.
const UNKNOWN: u64 = u64::MAX;

impl Switch for BridgeSwitch {
    fn program(&self, act: &mut dyn FnMut(&mut Program, Instant)) {
        self.slow.with(|state, now| {
            if let Some(program) = state.programs.get_mut(&self.id) {
                act(program, now);
            }
        });
    }

    fn bundle(&self, edits: &[Edit]) -> Option<Result<Changes, Failed>> {
        self.slow.bundle(self.id, edits)
    }

    fn barrier(&self) {
        self.slow.barrier();
    }

    fn settle(&self) -> bool {
        self.slow.settle()
    }

    fn collect(&self) {
        self.slow.collect();
    }

    fn packet_out(&self, out: &PacketOut) -> Result<(), Code> {
        self.slow.packet_out(self.id, out)
    }

    fn resume(&self, packet: &message::PacketIn, all: &Continuation) -> Result<(), Code> {
        self.slow.resume(all, &packet.packet, &packet.metadata)
    }

    fn port_stats(&self, port: Port) -> Option<stats::PortStats> {
        let handle = self.port(port)?;
        let age = self.clock.now().since(handle.since);
        let since = stats::Duration {
            seconds: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
            nanoseconds: age.subsec_millis() * 1_000_000,
        };
        let (counters, custom) = match &handle.device {
            Some(device) => {
                let device = device.upgrade()?;
                let s = device.stats().unwrap_or_default();
                let mut all = [
                    s.rx_packets,
                    s.tx_packets,
                    s.rx_bytes,
                    s.tx_bytes,
                    s.rx_dropped,
                    s.tx_dropped,
                    s.rx_errors,
                    s.tx_errors,
                    s.rx_frame_err,
                    s.rx_over_err,
                    s.rx_crc_err,
                    s.collisions,
                ];
                if device.as_dummy().is_some() {
                    all[4..].fill(UNKNOWN);
                }
                (all, device.custom_stats())
            }
            None => {
                let t = self.slow.traffic(PortRef { bridge: self.id, port: OfPort(port.0) });
                let mut all = [UNKNOWN; 12];
                all[..4].copy_from_slice(&[t.rx_packets, t.tx_packets, t.rx_bytes, t.tx_bytes]);
                (all, Vec::new())
            }
        };
        Some(stats::PortStats { port, counters, duration: Some(since), custom })
    }

    fn meter_counters(&self, id: u32) -> MeterCounters {
        let stats = self.slow.meter_stats(self.id, id).unwrap_or_default();
        MeterCounters { packets: stats.packets, bytes: stats.bytes, bands: stats.bands }
    }

    fn next_hops(&self, remotes: &[Ipv4Addr]) -> Vec<NextHop> {
        let routes = self.slow.with(|state, _| {
            remotes.iter().map(|ip| state.routes.lookup((*ip).into(), 0, None)).collect::<Vec<_>>()
        });
        // Without the kernel's word none of them is known.
        let known = Query::open().and_then(|mut query| Ok((query.links()?, query.neighbours()?)));
        let (links, neighbours) = known.unwrap_or_default();
        let hop = |(ip, route): (&Ipv4Addr, Option<tunnel::NextHop>)| {
            let Some(route) = route.filter(|route| &*route.dev != "lo") else {
                return NextHop::None;
            };
            let wanted = route.neighbour((*ip).into());
            let link = links.iter().find(|link| *link.name == *route.dev).map(|link| link.ifindex);
            let usable = |n: &&Neighbour| n.ip == wanted && Some(n.ifindex) == link && n.usable;
            let mac = neighbours.iter().find(usable).and_then(|neighbour| neighbour.mac);
            mac.map_or(NextHop::Unknown, NextHop::At)
        };
        remotes.iter().zip(routes).map(hop).collect()
    }

    fn set_port(&self, port: Port, config: u32, mask: u32) {
        self.mailbox.ask(PortChange { bridge: self.id, port: OfPort(port.0), config, mask });
    }
}

/// What a datapath's slow path has to tell controllers.
pub struct PlaneEvents(pub SlowPath);

impl Events for PlaneEvents {
    fn take(&self) -> Vec<(BridgeId, Event)> {
        self.0.take_events()
    }
}
