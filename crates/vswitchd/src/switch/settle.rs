//! After the steps: addresses and MTUs that follow from the whole, and the snapshot that makes it take effect.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use l2::MacConfig;
use pipeline::{Bridge, BridgeId, OfPort, PortSpec, PortSpecKind, Snapshot, SnapshotBuilder, Vid};
use tunnel::{Local, Remote};

use super::openflow::port_config;
use super::{LOG, Live, LiveBridge, Switch, warn};
use crate::desired::{self, InterfaceKind, Mac};

impl Switch {
    /// Makes what the steps have changed take effect.
    pub(super) fn settle(&mut self) {
        self.choose_macs();
        self.choose_mtus();
        self.silence_members();
        self.publish();
        let bridges = &self.bridges;
        self.planes.retain(|kind, plane| {
            let used = bridges.values().any(|b| b.kind == *kind);
            if !used {
                plane.stop();
            }
            used
        });
    }

    /// A bridge's address: as configured, else the lowest of its devices', else the one that it was made with.
    fn choose_macs(&mut self) {
        for (name, bridge) in &mut self.bridges {
            let Some(wanted) = self.applied.bridges.get(name) else { continue };
            let configured = wanted.hwaddr.or_else(|| wanted.interface(name).and_then(|i| i.mac));
            let chosen = configured.or_else(|| lowest_mac(wanted, bridge));
            let Some(Ok(local)) = bridge.interfaces.get_mut(name) else { continue };
            let Some(device) = &local.device else { continue };
            // A dummy keeps the address that tests expect of it.
            let keeps = device.as_dummy().is_some() && !wanted.is_underlay();
            let own = if keeps { local.status.mac } else { bridge.mac };
            let mac = chosen.filter(|_| configured.is_some() || !keeps).unwrap_or(own);
            if local.status.mac != mac {
                warn(name, "set the hardware address", device.set_mac(mac));
                local.status.mac = mac;
                self.touched.insert(name.clone());
            }
            bridge.mac = mac;
        }
    }

    /// Internal devices follow the smallest MTU among the bridge's other devices, unless told otherwise.
    fn choose_mtus(&mut self) {
        for (name, bridge) in &mut self.bridges {
            let Some(wanted) = self.applied.bridges.get(name) else { continue };
            let is_internal = |i: &desired::Interface| matches!(i.kind, InterfaceKind::Internal(_));
            let mtu_of = |i: &desired::Interface| {
                let live = bridge.interfaces.get(&i.name)?.as_ref().ok()?;
                live.device.as_ref().map(|_| live.status.mtu)
            };
            let Some(smallest) =
                wanted.interfaces().filter(|i| !is_internal(i)).filter_map(mtu_of).min()
            else {
                continue;
            };
            for interface in
                wanted.interfaces().filter(|i| is_internal(i) && i.mtu_request.is_none())
            {
                if let Some(Ok(live)) = bridge.interfaces.get_mut(&interface.name)
                    && live.status.mtu != smallest
                    && let Some(device) = &live.device
                {
                    warn(&interface.name, "set the MTU", device.set_mtu(smallest));
                    live.status.mtu = smallest;
                    self.touched.insert(interface.name.clone());
                }
            }
        }
    }

    /// Builds a snapshot for each datapath and hands it over.
    pub(super) fn publish(&mut self) {
        self.version = self.version.next();
        self.openflow_stale = true;
        for (kind, plane) in &self.planes {
            let mut builder = SnapshotBuilder::new(self.version, plane.name.as_str());
            builder.source_ports(self.source_ports);
            let mut macs = BTreeMap::new();
            // Of two tunnels that cannot be told apart the one that was there first stays.
            for with_new in [false, true] {
                for (name, live) in self.bridges.iter_mut().filter(|(_, b)| b.kind == *kind) {
                    let Some(wanted) = self.applied.bridges.get(name) else { continue };
                    if !with_new {
                        macs.insert(
                            live.id,
                            MacConfig {
                                aging: wanted.mac_aging,
                                max_entries: wanted.mac_table_size,
                            },
                        );
                        add_bridge(&mut builder, wanted, live);
                    }
                    add_ports(&mut builder, wanted, live, &mut self.touched, with_new);
                }
            }
            let snapshot = builder.build();
            let ends = tunnel_ends(&snapshot);
            plane.slow.with(|state, _| state.routes.watch(Some(ends.clone())));
            plane.slow.publish(snapshot, &macs);
        }
        place(&mut self.bridges);
    }
}

fn lowest_mac(wanted: &desired::Bridge, bridge: &LiveBridge) -> Option<Mac> {
    let device_mac =
        |i: &desired::Interface| Some(bridge.interfaces.get(&i.name)?.as_ref().ok()?.status.mac);
    let real = wanted.interfaces().filter(|i| i.kind.is_of_host());
    real.filter_map(device_mac).filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]).min()
}

fn add_bridge(builder: &mut SnapshotBuilder, wanted: &desired::Bridge, live: &LiveBridge) {
    let mut bridge = Bridge::new(live.id, wanted.name.as_str());
    bridge.uuid = wanted.row.words();
    bridge.fail_mode = wanted.fail_mode;
    bridge.forward_bpdu = wanted.forward_bpdu;
    bridge.has_collectors = wanted.has_collectors;
    bridge.flood_vlans = wanted.flood_vlans.iter().filter_map(|v| Vid::new(*v)).collect();
    if let Err(error) = builder.bridge(bridge) {
        log::error!(target: LOG, "bridge {}: {error}", wanted.name);
    }
}

/// Adds a bridge's new tunnels, or all its other ports.
fn add_ports(
    builder: &mut SnapshotBuilder,
    wanted: &desired::Bridge,
    live: &mut LiveBridge,
    touched: &mut BTreeSet<String>,
    new_tunnels: bool,
) {
    let mac = live.mac;
    for interface in wanted.interfaces() {
        let Some(Ok(port)) = live.interfaces.get_mut(&interface.name) else { continue };
        let is_new = matches!(interface.kind, InterfaceKind::Tunnel(_)) && !port.is_placed;
        if is_new != new_tunnels {
            continue;
        }
        let Some(spec) = spec(wanted, interface, port, mac) else { continue };
        let added = builder.port(live.id, spec);
        let excluded = added.err().map(|why| {
            format!("could not add network device {} to ofproto ({why})", interface.name)
        });
        if excluded != port.excluded {
            touched.insert(interface.name.clone());
            if let Some(why) = &excluded {
                log::warn!(target: LOG, "{why}");
            }
        }
        port.excluded = excluded;
    }
    super::bonds::add_aggregates(builder, wanted, live);
}

/// All tunnels that are not excluded have their place by now.
fn place(bridges: &mut BTreeMap<String, LiveBridge>) {
    for live in bridges.values_mut().flat_map(|b| b.interfaces.values_mut()).flatten() {
        live.is_placed = live.excluded.is_none();
    }
}

fn spec(
    bridge: &desired::Bridge,
    interface: &desired::Interface,
    live: &Live,
    mac: Mac,
) -> Option<PortSpec> {
    let dp = live.dp;
    let kind = match &interface.kind {
        InterfaceKind::Patch { peer } => PortSpecKind::Patch { peer: peer.as_str().into() },
        InterfaceKind::Tunnel(endpoint) => {
            PortSpecKind::Tunnel { dp: dp?, endpoint: endpoint.clone() }
        }
        InterfaceKind::Internal(_) => {
            PortSpecKind::Internal { dp: dp?, mac: internal_mac(live, mac) }
        }
        InterfaceKind::HostEnd => PortSpecKind::Internal { dp: dp?, mac },
        InterfaceKind::Dummy { .. } if live.ofport == OfPort::LOCAL => {
            PortSpecKind::Internal { dp: dp?, mac }
        }
        _ => PortSpecKind::Device(dp?),
    };
    let (_, port) = bridge.port_of(&interface.name)?;
    let mut spec = PortSpec::new(interface.name.as_str(), live.ofport, kind);
    spec.vlan = port.vlan.clone();
    spec.priority_tags = port.priority_tags;
    spec.protected = port.protected;
    spec.config = port_config(live);
    spec.is_down = super::is_down(live);
    Some(spec)
}

/// The addresses whose routes matter to tunnels.
fn tunnel_ends(snapshot: &Snapshot) -> Vec<IpAddr> {
    let mut ends = Vec::new();
    for (_, endpoint, _) in snapshot.endpoints().iter() {
        if let Remote::Address(ip) = endpoint.remote {
            ends.push(ip);
        }
        if let Local::Address(ip) = endpoint.local {
            ends.push(ip);
        }
    }
    ends.sort();
    ends.dedup();
    ends
}

/// The local port has the bridge's address; other internal ports have their own.
fn internal_mac(live: &Live, bridge_mac: Mac) -> Mac {
    if live.ofport == OfPort::LOCAL {
        return bridge_mac;
    }
    live.status.mac
}

/// Names a bridge for log lines.
impl std::fmt::Debug for LiveBridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BridgeId(id) = self.id;
        f.debug_struct("LiveBridge")
            .field("id", &id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
