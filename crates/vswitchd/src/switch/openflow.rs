//! What OpenFlow is told of the switch: bridges with their ports, and what it may change in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ofproto::server::BridgeConfig;
use ofproto::switch::Events;
use ofproto::{Configuration, Settings};
use openflow::Port;
use openflow::message::Desc;
use openflow::message::port::PortDesc;
use pipeline::{OfPort, PortConfig};
use stream::Waker;

use super::{Live, LiveBridge, Switch, warn};
use crate::desired;
use crate::openflow::{BridgeSwitch, PlaneEvents, PortChange, PortHandle, Wanted};
use crate::report::{OVS_VERSION, datapath_id};

// Bits of a port's configuration and state (OpenFlow 1.0, 5.2.1).
const DOWN: u32 = 1;
const NO_RECEIVE: u32 = 1 << 2;
const NO_FLOOD: u32 = 1 << 4;
const NO_FORWARD: u32 = 1 << 5;
const NO_PACKET_IN: u32 = 1 << 6;
const LINK_DOWN: u32 = 1;
const LIVE: u32 = 1 << 2;
// Bits of what a link can do.
const FULL_DUPLEX: [(u64, u32); 6] = [
    (10, 1 << 1),
    (100, 1 << 3),
    (1000, 1 << 5),
    (10_000, 1 << 6),
    (40_000, 1 << 7),
    (100_000, 1 << 8),
];
const HALF_DUPLEX: [(u64, u32); 3] = [(10, 1), (100, 1 << 2), (1000, 1 << 4)];
const COPPER: u32 = 1 << 11;

impl Switch {
    /// Whether there is anything new since [`Switch::openflow`] was last asked.
    pub fn has_news_for_openflow(&self) -> bool {
        self.openflow_stale
    }

    /// All that OpenFlow is to know. Whoever has something to tell it wakes it by `waker`.
    pub fn openflow(&mut self, wanted: &BTreeMap<String, Wanted>, waker: &Waker) -> Configuration {
        self.openflow_stale = false;
        let mut sources: Vec<Arc<dyn Events>> = Vec::new();
        for plane in self.planes.values() {
            let bell = waker.clone();
            plane.slow.set_bell(Box::new(move || bell.wake()));
            sources.push(Arc::new(PlaneEvents(plane.slow.clone())));
        }
        let reconfigured = std::mem::take(&mut self.reconfigured);
        let mut bridges = Vec::new();
        for (name, live) in &mut self.bridges {
            let Some(plane) = self.planes.get(&live.kind) else { continue };
            let Some(asked) = self.applied.bridges.get(name) else { continue };
            if asked.is_underlay() {
                continue; // it is nobody's to program
            }
            let switch = live.openflow.get_or_insert_with(|| {
                let mailbox = self.mailbox.clone();
                Arc::new(BridgeSwitch::new(
                    live.id,
                    plane.slow.clone(),
                    self.clock.clone(),
                    mailbox,
                ))
            });
            let switch = switch.clone();
            let wanted = wanted.get(name).cloned().unwrap_or_default();
            let numbered = || live.interfaces.values().flatten().filter(|l| l.excluded.is_none());
            let device = |l: &Live| l.device.as_ref().map(Arc::downgrade);
            let handle = |l: &Live| PortHandle { device: device(l), since: l.since };
            switch.set_ports(numbered().map(|l| (Port(l.ofport.0), handle(l))).collect());
            bridges.push(BridgeConfig {
                id: live.id,
                settings: settings(asked, live, &wanted),
                switch,
                run_dir: self.setup.run_dir.clone(),
                controllers: wanted.controllers,
                in_band: wanted.in_band,
                fail_mode: asked.fail_mode,
                reconfigured,
            });
        }
        Configuration { bridges, sources }
    }

    /// Does what controllers ask of ports. Says whether they asked for anything.
    pub fn change_ports(&mut self) -> bool {
        let changes = self.mailbox.take();
        if changes.is_empty() {
            return false;
        }
        changes.iter().for_each(|change| self.change_port(change));
        self.publish();
        true
    }

    /// Whoever asked may go on: OpenFlow knows how its ports are now.
    pub fn ports_are_changed(&self) {
        self.mailbox.finish();
    }

    fn change_port(&mut self, change: &PortChange) {
        let mut bridges = self.bridges.values_mut().filter(|b| b.id == change.bridge);
        let Some(bridge) = bridges.next() else { return };
        for (name, live) in &mut bridge.interfaces {
            let Ok(live) = live else { continue };
            if live.ofport != change.port {
                continue;
            }
            live.forbidden = live.forbidden & !change.mask | change.config & change.mask & !DOWN;
            if change.mask & DOWN != 0
                && let Some(device) = &live.device
            {
                let up = change.config & DOWN == 0;
                warn(name, if up { "be set up" } else { "be set down" }, device.set_up(up));
                live.status = device.status().unwrap_or_default();
                self.touched.insert(name.clone());
            }
        }
    }
}

/// What a bridge says about itself.
fn settings(asked: &desired::Bridge, live: &LiveBridge, wanted: &Wanted) -> Settings {
    let mut ports: Vec<PortDesc> = live
        .interfaces
        .iter()
        .filter_map(|(name, live)| Some((name, live.as_ref().ok()?)))
        .filter(|(_, live)| live.excluded.is_none())
        .map(|(name, port)| describe(name, port, live))
        .collect();
    ports.sort_by_key(|port| port.port);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "None".to_owned());
    Settings {
        name: asked.name.clone(),
        datapath_id: datapath_id(asked, live),
        desc: Desc {
            manufacturer: "Nicira, Inc.".to_owned(),
            hardware: "Open vSwitch".to_owned(),
            software: OVS_VERSION.to_owned(),
            serial_number: or_none(&wanted.serial_number),
            datapath: or_none(&wanted.description),
        },
        versions: wanted.versions,
        ports,
        tables: wanted.tables.clone(),
    }
}

fn describe(name: &str, live: &Live, bridge: &LiveBridge) -> PortDesc {
    let status = &live.status;
    let speed = status.link_speed.map_or(0, |bits| bits / 1_000_000);
    let table = if status.full_duplex == Some(false) { &HALF_DUPLEX[..] } else { &FULL_DUPLEX };
    let current = table.iter().find(|(mbps, _)| *mbps == speed).map_or(0, |(_, bit)| bit | COPPER);
    PortDesc {
        port: Port(live.ofport.0),
        address: if live.ofport == OfPort::LOCAL { bridge.mac } else { status.mac },
        name: name.to_owned(),
        config: live.forbidden | if status.admin_up { 0 } else { DOWN },
        state: if status.admin_up && status.link_up { LIVE } else { LINK_DOWN },
        current,
        advertised: 0,
        supported: 0,
        peer: 0,
        current_speed: u32::try_from(speed * 1000).unwrap_or(u32::MAX),
        max_speed: 0,
    }
}

/// What is forbidden on a port, as far as it concerns forwarding.
pub(super) fn port_config(live: &Live) -> PortConfig {
    PortConfig {
        no_receive: live.forbidden & NO_RECEIVE != 0,
        no_forward: live.forbidden & NO_FORWARD != 0,
        no_flood: live.forbidden & NO_FLOOD != 0,
        no_packet_in: live.forbidden & NO_PACKET_IN != 0,
    }
}
