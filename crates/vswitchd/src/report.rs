//! Writing back what came of the configuration: port numbers, states, statistics, errors, and `cur_cfg`.
//!
//! Values that the database has already are not sent (the transaction drops them), so a round costs what has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use jiff::Timestamp;
use netdev::Stats;
use ofproto::Status;
use ovsdb::{ColumnId, Datum, TableId, Uuid};
use ovsdb_idl::{Prepared, Txn};
use pipeline::PortRef;
use slowpath::Traffic;
use tunnel::state::{Reason, TOO_BIG_LATELY, TunnelState, TunnelStates};
use vswitch_schema::tables::{Duplex, LinkState, Role};
use vswitch_schema::{Column, IntMap, StringMap};

use crate::desired::{Bridge, DummyMode, Interface, InterfaceKind};
use crate::rows::Rows;
use crate::switch::{AggregateStatus, Live, LiveBridge, Switch};

/// The version of Open vSwitch whose behaviour this is.
pub const OVS_VERSION: &str = "4.0.0";

/// Which interfaces a round is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that were touched.
    Touched,
    /// All, with statistics.
    All,
}

/// A transaction being filled by column names.
struct Writer<'a> {
    txn: Txn<'a>,
}

impl Writer<'_> {
    fn table(&self, name: &str) -> Option<TableId> {
        self.txn.schema().table_id(name)
    }

    fn set(&mut self, table: &str, row: Uuid, column: &str, value: Datum) {
        let Some(table) = self.table(table) else { return };
        let Some(column): Option<ColumnId> = self.txn.schema().table(table).column_id(column)
        else {
            return;
        };
        if row != Uuid::ZERO && self.txn.exists(table, row) {
            self.txn.set(table, row, column, value);
        }
    }

    fn put<T: Column>(&mut self, table: &str, row: Uuid, column: &str, value: &T) {
        self.set(table, row, column, value.to_datum());
    }
}

/// Notes how the tunnels stand that were asked about. Says which have changed.
pub fn observe_tunnels(
    switch: &Switch,
    rows: &Rows,
    states: &mut TunnelStates,
    asked: impl Fn(&str) -> bool,
    now: Instant,
) -> Vec<String> {
    let mut changed = Vec::new();
    let mut touched = Vec::new();
    for (name, bridge) in &switch.applied().bridges {
        let Some((live, plane)) = switch.bridge(name) else { continue };
        plane.slow.with(|state, _| {
            for interface in bridge.interfaces().filter(|i| asked(&i.name)) {
                let port = live.interfaces.get(&interface.name);
                let refused = match port {
                    Some(Ok(port)) => port.excluded.as_ref(),
                    Some(Err(why)) => Some(why),
                    None => None,
                };
                let (reason, mtu) = match (refused, &interface.kind) {
                    (Some(why), _) if is_tunnel(rows, interface) => {
                        (Reason::Misconfigured { why: why.as_str().into() }, None)
                    }
                    (None, InterfaceKind::Tunnel(endpoint)) => {
                        let bridge_of = |dev: &str| state.snapshot.bridge_of_device(dev);
                        let port = port.and_then(|l| l.as_ref().ok());
                        let port = port.map(|l| PortRef { bridge: live.id, port: l.ofport });
                        let too_big = port.and_then(|port| state.too_big_for(port));
                        let lately = too_big.filter(|seen| now.since(seen.at) < TOO_BIG_LATELY);
                        let (routes, neighbours) = (&state.routes, &state.neighbours);
                        let reason = Reason::of(endpoint, routes, neighbours, bridge_of, now)
                            .with_too_big(lately.map(|seen| seen.mtu));
                        (reason, tunnel::state::mtu(endpoint, routes))
                    }
                    _ => continue,
                };
                let name: Arc<str> = interface.name.as_str().into();
                if states.update(&name, reason, now) {
                    changed.push(name.to_string());
                }
                if states.set_mtu(&name, mtu) {
                    touched.push(name.to_string());
                }
            }
        });
    }
    states.retain(|name| !asked(name) || switch.interface(name).is_some());
    for name in &changed {
        // What is wrong with options was said when they were read.
        let is_new = |state: &&TunnelState| !matches!(state.reason, Reason::Misconfigured { .. });
        if let Some(state) = states.get(name).filter(is_new) {
            let level = if state.reason.is_error() { log::Level::Warn } else { log::Level::Info };
            log::log!(target: "tunnel", level, "{name}: {}", state.reason);
        }
    }
    changed.append(&mut touched);
    changed
}

/// Whether an interface is, or was to be, a tunnel.
fn is_tunnel(rows: &Rows, interface: &Interface) -> bool {
    let row = rows.interfaces.get(&interface.row);
    row.is_some_and(|row| tunnel::Kind::from_name(&row.kind).is_some())
}

/// What there is to report.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The switch.
    pub switch: &'a Switch,
    /// Its rows.
    pub rows: &'a Rows,
    /// How tunnels stand.
    pub tunnels: &'a TunnelStates,
    /// How controllers stand, by their rows.
    pub controllers: &'a BTreeMap<String, Status>,
    /// How ports of several interfaces are.
    pub aggregates: &'a BTreeMap<String, AggregateStatus>,
    /// Test devices.
    pub dummy: DummyMode,
}

/// The transaction that brings the database up to date.
pub fn transaction(
    txn: Txn<'_>,
    known: Known<'_>,
    is_touched: impl Fn(&str) -> bool,
    scope: Scope,
) -> Prepared {
    let Known { switch, rows, tunnels, controllers, aggregates, dummy } = known;
    let mut w = Writer { txn };
    let all = scope == Scope::All;
    let is_due = |name: &str| all || is_touched(name);
    for (name, bridge) in &switch.applied().bridges {
        let Some((live, _)) = switch.bridge(name) else { continue };
        w.put(
            "Bridge",
            bridge.row,
            "datapath_id",
            &Some(format!("{:016x}", datapath_id(bridge, live))),
        );
        w.put("Bridge", bridge.row, "datapath_version", &"<built-in>".to_owned());
        w.put("Bridge", bridge.row, "status", &problems(switch, "Bridge", bridge.row));
        for (port_name, port) in bridge.ports.iter() {
            let mut due = port.interfaces.iter().filter(|i| is_due(&i.name)).peekable();
            if due.peek().is_some() || is_due(port_name) {
                w.put("Port", port.row, "status", &problems(switch, "Port", port.row));
                let active = aggregates.get(port_name).and_then(|b| b.active);
                w.put("Port", port.row, "bond_active_slave", &active.map(mac_text));
            }
            let heard = aggregates.get(port_name).map(|b| &b.current);
            for interface in due {
                let current = heard.and_then(|heard| heard.get(&interface.name)).copied();
                w.put("Interface", interface.row, "lacp_current", &current);
                match live.interfaces.get(&interface.name) {
                    Some(Ok(port)) => {
                        interface_up(&mut w, switch, name, interface, port, tunnels, all)
                    }
                    Some(Err(why)) => {
                        let mut status = StringMap::new();
                        if let Some(state) = tunnels.get(&interface.name) {
                            tunnel_status(&mut status, switch, state);
                        }
                        interface_failed(&mut w, interface.row, why, &status);
                    }
                    None => {}
                }
            }
        }
    }
    for row in rows.controllers.keys() {
        if let Some(status) = controllers.get(&row.to_string()) {
            controller(&mut w, *row, status, switch.clock.now());
        }
    }
    if let Some(row) = &rows.switch {
        w.put("Open_vSwitch", row.uuid, "cur_cfg", &row.next_cfg);
        w.put("Open_vSwitch", row.uuid, "ovs_version", &Some(OVS_VERSION.to_owned()));
        w.put("Open_vSwitch", row.uuid, "db_version", &Some(vswitch_schema::VERSION.to_owned()));
        w.put("Open_vSwitch", row.uuid, "datapath_types", &datapath_types(dummy));
        w.put("Open_vSwitch", row.uuid, "iface_types", &iface_types(dummy));
        w.put("Open_vSwitch", row.uuid, "dpdk_initialized", &switch.dpdk_version().is_some());
        let version = switch.dpdk_version().unwrap_or("none").to_owned();
        w.put("Open_vSwitch", row.uuid, "dpdk_version", &Some(version));
    }
    w.txn.finish()
}

/// How a controller stands.
fn controller(w: &mut Writer<'_>, row: Uuid, status: &Status, now: Instant) {
    w.put("Controller", row, "is_connected", &status.connected);
    let role = status.role.filter(|_| status.connected).map(|role| match role {
        openflow::message::Role::Primary => Role::Master,
        openflow::message::Role::Secondary => Role::Slave,
        _ => Role::Other,
    });
    w.put("Controller", row, "role", &role);
    let mut map = StringMap::new();
    if !status.state.is_empty() {
        map.insert("state".to_owned(), status.state.to_owned());
    }
    if let Some(error) = &status.last_error {
        map.insert("last_error".to_owned(), error.clone());
    }
    let times = [
        ("sec_since_connect", status.since_connect),
        ("sec_since_disconnect", status.since_disconnect),
    ];
    for (key, since) in times {
        if let Some(since) = since {
            map.insert(key.to_owned(), now.since(since).as_secs().to_string());
        }
    }
    w.put("Controller", row, "status", &map);
}

fn datapath_types(dummy: DummyMode) -> Vec<String> {
    let mut types = vec!["netdev".to_owned(), "system".to_owned()];
    if dummy.enabled {
        types.insert(0, "dummy".to_owned());
    }
    types
}

fn iface_types(dummy: DummyMode) -> Vec<String> {
    let dummies = ["dummy", "dummy-internal", "dummy-pmd"].into_iter().filter(|_| dummy.enabled);
    let afxdp = ["afxdp", "afxdp-nonpmd"];
    let dpdk = ["dpdk"].into_iter().filter(|_| netdev::dpdk::AVAILABLE);
    let mut types: Vec<&str> = afxdp.into_iter().chain(dpdk).chain(dummies).collect();
    types.extend(["dpdkvhostuser", "dpdkvhostuserclient", "internal", "patch", "system", "tap"]);
    types.extend(tunnel::Kind::all().map(tunnel::Kind::name));
    types.into_iter().map(str::to_owned).collect()
}

fn interface_failed(w: &mut Writer<'_>, row: Uuid, why: &str, status: &StringMap) {
    w.put("Interface", row, "error", &Some(why.to_owned()));
    w.put("Interface", row, "ofport", &Some(-1_i64));
    let empty = Datum::default();
    for column in [
        "mac_in_use",
        "ifindex",
        "admin_state",
        "link_state",
        "link_resets",
        "link_speed",
        "duplex",
        "mtu",
    ] {
        w.set("Interface", row, column, empty.clone());
    }
    w.put("Interface", row, "status", status);
    w.put("Interface", row, "statistics", &IntMap::new());
}

fn interface_up(
    w: &mut Writer<'_>,
    switch: &Switch,
    bridge: &str,
    interface: &Interface,
    live: &Live,
    tunnels: &TunnelStates,
    with_statistics: bool,
) {
    let row = interface.row;
    let s = &live.status;
    let has_device = live.device.is_some();
    let state = |up: bool| Some(if up { LinkState::Up } else { LinkState::Down });
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let ofport = if live.excluded.is_some() { -1 } else { i64::from(live.ofport.0) };
    let error =
        live.excluded.clone().or_else(|| problems(switch, "Interface", row).remove("error"));
    w.put("Interface", row, "error", &error);
    w.put("Interface", row, "ofport", &Some(ofport));
    w.put("Interface", row, "mac_in_use", &Some(mac_text(s.mac)));
    w.put("Interface", row, "ifindex", &(s.ifindex != 0).then_some(i64::from(s.ifindex)));
    w.put("Interface", row, "mtu", &has_device.then_some(i64::from(s.mtu)));
    w.put("Interface", row, "admin_state", &state(s.admin_up));
    w.put("Interface", row, "link_state", &state(s.link_up));
    w.put("Interface", row, "link_resets", &Some(number(s.link_resets)));
    w.put("Interface", row, "link_speed", &s.link_speed.map(number));
    w.put(
        "Interface",
        row,
        "duplex",
        &s.full_duplex.map(|full| if full { Duplex::Full } else { Duplex::Half }),
    );
    w.put("Interface", row, "status", &status(switch, live, tunnels.get(&interface.name)));
    if with_statistics {
        w.put("Interface", row, "statistics", &statistics(switch, bridge, live));
    }
}

/// The Interface row's `status`: what the device says, and how a tunnel stands.
fn status(switch: &Switch, live: &Live, tunnel: Option<&TunnelState>) -> StringMap {
    let mut map: StringMap = live.status.details.clone();
    let Some(state) = tunnel else { return map };
    if let Some(dev) = state.reason.egress() {
        map.insert("tunnel_egress_iface".into(), dev.to_string());
        let carrier = switch
            .interface(dev)
            .and_then(|(_, l)| l.as_ref().ok())
            .is_some_and(|l| l.status.link_up);
        map.insert(
            "tunnel_egress_iface_carrier".into(),
            if carrier { "up" } else { "down" }.into(),
        );
    }
    if let Some(mtu) = state.mtu {
        map.insert("tunnel_mtu".into(), mtu.to_string());
    }
    tunnel_status(&mut map, switch, state);
    map
}

/// How a tunnel stands, why, and since when.
fn tunnel_status(map: &mut StringMap, switch: &Switch, state: &TunnelState) {
    map.insert("tunnel_state".into(), state.reason.word().into());
    map.insert("tunnel_state_reason".into(), state.reason.to_string());
    map.insert("tunnel_state_since".into(), since_text(switch, state.since));
}

/// A moment as a date, to the second.
pub fn since_text(switch: &Switch, since: Instant) -> String {
    let ago = switch.clock.now().since(since);
    let wall = switch.clock.wall().saturating_sub(ago);
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| String::from("unknown"), |t| t.to_string())
}

fn statistics(switch: &Switch, bridge: &str, live: &Live) -> IntMap {
    let stats = match &live.device {
        Some(device) => device.stats().unwrap_or_default(),
        None => {
            let port = switch.port_ref(bridge, live);
            let traffic =
                |port: PortRef| switch.bridge(bridge).map(|(_, plane)| plane.slow.traffic(port));
            traffic_stats(port.and_then(traffic).unwrap_or_default())
        }
    };
    let all = [
        ("rx_packets", stats.rx_packets),
        ("rx_bytes", stats.rx_bytes),
        ("tx_packets", stats.tx_packets),
        ("tx_bytes", stats.tx_bytes),
        ("rx_dropped", stats.rx_dropped),
        ("tx_dropped", stats.tx_dropped),
        ("rx_errors", stats.rx_errors),
        ("tx_errors", stats.tx_errors),
        ("rx_frame_err", stats.rx_frame_err),
        ("rx_over_err", stats.rx_over_err),
        ("rx_crc_err", stats.rx_crc_err),
        ("rx_missed_errors", stats.rx_missed_errors),
        ("collisions", stats.collisions),
    ];
    // A tunnel or patch has packets and bytes, and drops once there are any; a dummy knows of nothing else.
    let is_dummy = live.device.as_ref().is_some_and(|device| device.as_dummy().is_some());
    let knows_all = live.device.is_some() && !is_dummy;
    let has = |i: usize, n: u64| knows_all || i < 4 || n > 0;
    let kept = all.into_iter().enumerate().filter(|(i, (_, n))| has(*i, *n));
    let kept = kept.map(|(_, (name, n))| (name.to_owned(), n));
    let custom = live.device.iter().flat_map(|device| device.custom_stats());
    kept.chain(custom).map(|(name, n)| (name, i64::try_from(n).unwrap_or(i64::MAX))).collect()
}

fn traffic_stats(t: Traffic) -> Stats {
    Stats {
        rx_packets: t.rx_packets,
        rx_bytes: t.rx_bytes,
        tx_packets: t.tx_packets,
        tx_bytes: t.tx_bytes,
        tx_dropped: t.tx_dropped,
        ..Stats::default()
    }
}

/// What is wrong with a row, as `error=..`, if anything is.
fn problems(switch: &Switch, table: &str, row: Uuid) -> StringMap {
    let here = switch.applied().problems.iter().filter(|p| p.table == table && p.row == row);
    let texts: Vec<_> = here.map(|p| p.text.as_str()).collect();
    if texts.is_empty() {
        BTreeMap::new()
    } else {
        BTreeMap::from([("error".to_owned(), texts.join("; "))])
    }
}

/// Who a bridge is: as configured, or by its address.
pub fn datapath_id(bridge: &Bridge, live: &LiveBridge) -> u64 {
    bridge.datapath_id.unwrap_or_else(|| mac_number(live.mac))
}

fn mac_number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// An Ethernet address as text.
pub fn mac_text(m: [u8; 6]) -> String {
    format!("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
}

/// How often statistics are written (`other_config:stats-update-interval`, at least 5 s).
pub fn interval(rows: &Rows) -> Duration {
    let ms = rows
        .switch
        .as_ref()
        .and_then(|s| s.other_config.get("stats-update-interval")?.parse().ok());
    Duration::from_millis(ms.unwrap_or(5000).max(5000))
}
