//! What the database asks for, as plain data: bridges, ports and interfaces with every setting parsed and checked.
//!
//! # Tolerance
//! Any client can write anything that the schema allows straight into the database. A setting that makes no sense becomes a
//! [`Problem`] (logged once, shown in the row) and *what it would have changed stays as it was*: an unknown
//! `datapath_type` keeps the bridge on the datapath it has, a bad address leaves the one it has, a tunnel whose options make
//! none any more goes on with those it had. What is new has nothing to keep, and is refused. Nothing here fails.
//!
//! The one exception are VLANs: a port whose VLANs are not understood carries nothing.

mod bond;
mod guest;
mod host;
mod parts;
pub mod underlay;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datapath::Schedule;
use netdev::{HostOptions, Kind as DeviceKind, afxdp, dpdk};
use ovsdb::Uuid;
use pipeline::{FailMode, PriorityTags, VlanMode};
use smallvec::SmallVec;
use vswitch_schema::{settings, tables};

use crate::rows::{Map, Rows};

mod memo;
mod words;
pub use bond::{Bonding, Lacp};
pub use memo::Memo;
pub use parts::Ports;
use words::{Config, parse_bool, parse_dpid};
pub use words::{parse_mac, parse_unicast};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Everything that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// By name.
    pub bridges: BTreeMap<String, Bridge>,
    /// How workers are to be.
    pub schedule: Schedule,
    /// What could not be understood.
    pub problems: Vec<Problem>,
}

/// A setting that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The table of the row that has it.
    pub table: &'static str,
    /// The row's identity.
    pub row: Uuid,
    /// The row's name, for people.
    pub name: String,
    /// What is wrong and what would be right.
    pub text: String,
}

/// Which datapath a bridge lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatapathKind {
    /// `datapath_type` empty or "system": the reference's kernel datapath; served by the same engine as `Netdev` here.
    System,
    /// "netdev".
    Netdev,
    /// "dummy": for tests.
    Dummy,
}

impl DatapathKind {
    /// The value of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Netdev => "netdev",
            Self::Dummy => "dummy",
        }
    }
}

/// One bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// Its row.
    pub row: Uuid,
    /// Its name, and that of its local port.
    pub name: String,
    /// Where it lives.
    pub datapath: DatapathKind,
    /// `fail_mode`.
    pub fail_mode: FailMode,
    /// `other_config:hwaddr`.
    pub hwaddr: Option<Mac>,
    /// `other_config:datapath-id`.
    pub datapath_id: Option<u64>,
    /// `other_config:mac-aging-time`.
    pub mac_aging: Duration,
    /// `other_config:mac-table-size`.
    pub mac_table_size: usize,
    /// `other_config:forward-bpdu`.
    pub forward_bpdu: bool,
    /// `flood_vlans`.
    pub flood_vlans: BTreeSet<u16>,
    /// Whether somebody collects samples of its flows.
    pub has_collectors: bool,
    /// Shared with the state before, where nothing has changed.
    pub ports: Ports,
}

/// One port.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its row.
    pub row: Uuid,
    /// How it treats VLAN tags.
    pub vlan: VlanMode,
    /// `other_config:priority-tags`.
    pub priority_tags: PriorityTags,
    /// `protected`.
    pub protected: bool,
    /// How its interfaces are used together.
    pub bonding: Bonding,
    /// The interfaces of the port; more than one makes a bond.
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// Its row.
    pub row: Uuid,
    /// Its name.
    pub name: String,
    /// What it is, with what only that kind has.
    pub kind: InterfaceKind,
    /// `ofport_request`.
    pub ofport_request: Option<u16>,
    /// `mac`.
    pub mac: Option<Mac>,
    /// `mtu_request`.
    pub mtu_request: Option<u32>,
    /// `other_config:pmd-rxq-affinity`: processors by number of receive queue.
    pub affinity: BTreeMap<usize, usize>,
    /// How it speaks LACP, if its port does.
    pub lacp: l2::lacp::PortSettings,
}

/// `type` and the options that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub enum InterfaceKind {
    /// A device of the host.
    System(HostOptions),
    /// A device that the bridge makes.
    Internal(HostOptions),
    /// A tap that the switch makes.
    Tap(HostOptions),
    /// A device of the host, by AF_XDP.
    Afxdp {
        /// Its type: "afxdp" or "afxdp-nonpmd".
        kind: DeviceKind,
        /// `options`, those that mean something.
        options: afxdp::Options,
    },
    /// A device that DPDK drives.
    Dpdk(dpdk::Options),
    /// A guest by vhost-user.
    VhostUser {
        /// The hypervisor listens (`dpdkvhostuserclient`), not the switch (`dpdkvhostuser`).
        client: bool,
        /// `options`, as far as such a device reads them.
        options: BTreeMap<String, String>,
    },
    /// A device of tests; options as in the row.
    Dummy {
        /// `options`.
        options: BTreeMap<String, String>,
        /// The type that it stands in for (`--enable-dummy=override`), to be shown.
        poses_as: Option<String>,
    },
    /// A card of the host that carries tunnels and stays the host's, see [`underlay`].
    HostCard {
        /// Tunnels' UDP ports.
        ports: BTreeSet<u16>,
    },
    /// The host, beside its card.
    HostEnd,
    /// One end of a patch.
    Patch {
        /// `options:peer`.
        peer: String,
    },
    /// A tunnel.
    Tunnel(Arc<tunnel::Endpoint>),
    /// Something that cannot be made, and why: it takes its place in the database with this `error`.
    Refused(String),
}

impl InterfaceKind {
    /// Whether a guest's port becomes that one as it is open: its guest is not to notice that it is told to try less often.
    pub fn can_become(&self, other: &Self) -> bool {
        let (Self::VhostUser { client, options }, Self::VhostUser { client: c, options: o }) =
            (self, other)
        else {
            return false;
        };
        let fixed = ["vhost-server-path", "vhost-max-queue-pairs"];
        client == c && fixed.iter().all(|key| options.get(*key) == o.get(*key))
    }
}

/// Kinds between which a running device cannot be carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    System,
    Internal,
    Tap,
    Afxdp,
    Dpdk,
    VhostUser,
    Dummy,
    HostCard,
    HostEnd,
    Patch,
    Tunnel,
    Refused,
}

impl InterfaceKind {
    /// Whether it is a device that the host has, whoever comes and goes.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::System(_) | Self::Afxdp { .. } | Self::HostCard { .. })
    }

    /// The kind without its options.
    pub fn class(&self) -> Class {
        match self {
            Self::System(_) => Class::System,
            Self::Internal(_) => Class::Internal,
            Self::Tap(_) => Class::Tap,
            Self::Afxdp { .. } => Class::Afxdp,
            Self::Dpdk(_) => Class::Dpdk,
            Self::VhostUser { .. } => Class::VhostUser,
            Self::Dummy { .. } => Class::Dummy,
            Self::HostCard { .. } => Class::HostCard,
            Self::HostEnd => Class::HostEnd,
            Self::Patch { .. } => Class::Patch,
            Self::Tunnel(_) => Class::Tunnel,
            Self::Refused(_) => Class::Refused,
        }
    }
}

impl Bridge {
    /// A bridge with default settings and no ports.
    pub fn named(name: &str) -> Self {
        Self {
            row: Uuid::default(),
            name: name.to_owned(),
            datapath: DatapathKind::Netdev,
            fail_mode: FailMode::Standalone,
            hwaddr: None,
            datapath_id: None,
            mac_aging: MAC_AGING,
            mac_table_size: MAC_TABLE_SIZE,
            forward_bpdu: false,
            flood_vlans: BTreeSet::new(),
            has_collectors: false,
            ports: Ports::default(),
        }
    }
}

impl Port {
    /// A trunk port with one interface.
    pub fn single(interface: Interface) -> Self {
        Self {
            row: Uuid::default(),
            vlan: VlanMode::trunk_all(),
            priority_tags: PriorityTags::default(),
            protected: false,
            bonding: Bonding::default(),
            interfaces: vec![interface],
        }
    }
}

impl Interface {
    /// An interface with no settings.
    pub fn named(name: &str, kind: InterfaceKind) -> Self {
        Self {
            row: Uuid::default(),
            name: name.to_owned(),
            kind,
            ofport_request: None,
            mac: None,
            mtu_request: None,
            affinity: BTreeMap::new(),
            lacp: Default::default(),
        }
    }
}

const MAC_AGING: Duration = Duration::from_secs(300);
const MAC_TABLE_SIZE: usize = 8192;

/// What test options of the daemon's command line do to kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DummyMode {
    /// `--enable-dummy`: the dummy datapath and devices exist.
    pub enabled: bool,
    /// `--enable-dummy=override`: every device is a dummy. With `=system`, system devices are.
    pub over: DummyOverride,
    /// `--disable-system`: no devices of the host, no kernel.
    pub no_system: bool,
}

/// The argument of `--enable-dummy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DummyOverride {
    /// Only what says "dummy".
    #[default]
    None,
    /// System devices and datapath too.
    System,
    /// Everything.
    All,
}

/// Reads the rows. `applied` is what runs now: the fallback for what cannot be understood. `memo` is of the last reading, or
/// empty.
pub fn desired(rows: &Rows, applied: &Desired, dummy: DummyMode, memo: &mut Memo) -> Desired {
    memo.retain(rows);
    let taken = Map::with_capacity_and_hasher(rows.interfaces.len(), Default::default());
    let problems = Vec::new();
    let mut reader = Reader { rows, applied, dummy, memo, problems, taken };
    let mut bridges = BTreeMap::new();
    let mut wanted: Vec<&tables::Bridge> =
        rows.switch.iter().flat_map(|s| &s.bridges).filter_map(|id| rows.bridges.get(id)).collect();
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.dedup_by_key(|row| row.uuid);
    for row in &wanted {
        reader.taken.insert(&row.name, Holder::Bridge(&row.name));
    }
    for row in wanted {
        if let Some(bridge) = reader.bridge(row) {
            bridges.insert(bridge.name.clone(), bridge);
        }
    }
    let schedule = reader.schedule();
    reader.underlays(&mut bridges);
    let mut problems = reader.problems;
    problems.sort();
    problems.dedup();
    Desired { bridges, schedule, problems }
}

struct Reader<'a> {
    rows: &'a Rows,
    applied: &'a Desired,
    dummy: DummyMode,
    memo: &'a mut Memo,
    problems: Vec<Problem>,
    /// Interface name -> who has it, to refuse a second use.
    taken: Map<&'a str, Holder<'a>>,
}

/// Who has an interface.
enum Holder<'a> {
    /// This bridge, whose local port it is.
    Bridge(&'a str),
    /// A port.
    Port { port: &'a str, bridge: &'a str },
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge(name) => write!(f, "the local port of bridge {name}"),
            Self::Port { port, bridge } => write!(f, "port {port} of bridge {bridge}"),
        }
    }
}

impl<'a> Reader<'a> {
    fn problem(&mut self, table: &'static str, row: Uuid, name: &str, text: String) {
        self.problems.push(Problem { table, row, name: name.to_owned(), text });
    }

    fn bridge(&mut self, row: &'a tables::Bridge) -> Option<Bridge> {
        if row.name.contains('/') || row.name.is_empty() {
            self.problem(
                "Bridge",
                row.uuid,
                &row.name,
                format!("\"{}\" cannot be a bridge's name", row.name),
            );
            return None;
        }
        let datapath = self.datapath(row)?;
        let named = Bridge::named(&row.name);
        let was = self.applied.bridges.get(&row.name).unwrap_or(&named);
        let mut config = Config {
            problems: &mut self.problems,
            table: "Bridge",
            row: row.uuid,
            name: &row.name,
            map: &row.other_config,
        };
        let mut bridge = Bridge {
            row: row.uuid,
            datapath,
            fail_mode: match row.fail_mode {
                Some(tables::FailMode::Secure) => FailMode::Secure,
                _ => FailMode::Standalone,
            },
            hwaddr: config.read(
                "hwaddr",
                "an Ethernet address such as 02:00:00:00:00:01",
                |s| parse_unicast(s).map(Some),
                (None, was.hwaddr),
            ),
            datapath_id: config.read(
                "datapath-id",
                "16 hexadecimal digits, not all zero",
                |s| parse_dpid(s).map(Some),
                (None, was.datapath_id),
            ),
            mac_aging: config.read(
                "mac-aging-time",
                "a number of seconds",
                |s| s.parse().ok().map(Duration::from_secs),
                (MAC_AGING, was.mac_aging),
            ),
            mac_table_size: config.read(
                "mac-table-size",
                "a number",
                |s| s.parse().ok(),
                (MAC_TABLE_SIZE, was.mac_table_size),
            ),
            forward_bpdu: config.read(
                "forward-bpdu",
                "true or false",
                parse_bool,
                (false, was.forward_bpdu),
            ),
            flood_vlans: row.flood_vlans.iter().copied().collect(),
            has_collectors: self.rows.has_collectors(row),
            ..Bridge::named(&row.name)
        };
        for port in row.ports.iter().filter_map(|id| self.rows.ports.get(id)) {
            let read = self.port_or_as_read_before(&bridge, &row.name, port);
            bridge.ports.insert(port.name.clone(), read);
        }
        // Every bridge has its local port, whether or not somebody put it into the database.
        if bridge.interface(&bridge.name).is_none() {
            let name = bridge.name.clone();
            let local = Interface::named(&name, self.internal(datapath, &BTreeMap::new()));
            // Somebody may have given the port's name to a port of other interfaces.
            let port = match bridge.ports.get(&name) {
                Some(port) => {
                    let mut port = Port::clone(port);
                    port.interfaces.push(local);
                    port
                }
                None => Port::single(local),
            };
            bridge.ports.insert(name, Arc::new(port));
        }
        Some(bridge)
    }

    /// The bridge's datapath; what it has when the column makes no sense; `None` when it has none either.
    fn datapath(&mut self, row: &tables::Bridge) -> Option<DatapathKind> {
        let known = match row.datapath_type.as_str() {
            "" | "system" if self.dummy.enabled && self.dummy.over != DummyOverride::None => {
                Some(DatapathKind::Dummy)
            }
            "" | "system" => Some(DatapathKind::System),
            "netdev" if self.dummy.enabled && self.dummy.over == DummyOverride::All => {
                Some(DatapathKind::Dummy)
            }
            "netdev" => Some(DatapathKind::Netdev),
            "dummy" if self.dummy.enabled => Some(DatapathKind::Dummy),
            _ => None,
        };
        if known.is_some() {
            return known;
        }
        let kept = self.applied.bridges.get(&row.name).map(|b| b.datapath);
        let fate = match kept {
            Some(kind) => format!("the bridge stays on datapath \"{}\"", kind.as_str()),
            None => "the bridge is not created".to_owned(),
        };
        let known = if self.dummy.enabled {
            "\"system\", \"netdev\" or \"dummy\""
        } else {
            "\"system\" or \"netdev\""
        };
        let text =
            format!("datapath_type \"{}\" is unknown (known: {known}): {fate}", row.datapath_type);
        self.problem("Bridge", row.uuid, &row.name, text);
        kept
    }

    /// The port, read anew only if its rows are not those of last time.
    fn port_or_as_read_before(
        &mut self,
        bridge: &Bridge,
        bridge_name: &'a str,
        row: &'a Arc<tables::Port>,
    ) -> Arc<Port> {
        let place = (bridge_name, bridge.datapath);
        let rows = self.rows;
        let interfaces: SmallVec<[_; 2]> =
            row.interfaces.iter().filter_map(|id| rows.interfaces.get(id)).collect();
        let told = self.problems.len();
        let mut own: SmallVec<[_; 2]> = interfaces.iter().map(|row| &***row).collect();
        own.retain(|interface| self.take(bridge_name, row, interface));
        if self.problems.len() == told
            && let Some(port) = self.memo.recall(place, row, &interfaces)
        {
            return port.clone();
        }
        let port = Arc::new(self.port(bridge, row, &own));
        if self.problems.len() == told {
            self.memo.keep(place, row, &interfaces, &port);
        }
        port
    }

    /// Reads a port with those of its interfaces that no other has.
    fn port(
        &mut self,
        bridge: &Bridge,
        row: &tables::Port,
        rows_of: &[&tables::Interface],
    ) -> Port {
        let vlan = VlanMode::from_columns(row.vlan_mode.map(|m| m.as_str()), row.tag, &row.trunks);
        // A port whose VLANs are not understood must not carry all of them: it carries nothing.
        let refused = vlan.as_ref().err().map(|why| format!("{}: {why}", row.name));
        let mut interfaces = Vec::new();
        for row_of in rows_of {
            let mut interface = self.interface(bridge, row_of);
            if let Some(why) = &refused {
                interface.kind = InterfaceKind::Refused(why.clone());
            }
            interfaces.push(interface);
        }
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        for (key, value) in &row.other_config {
            if let Err(refusal) = settings::check("Port", "other_config", key, value, "") {
                self.problem("Port", row.uuid, &row.name, refusal.to_string());
            }
        }
        Port {
            row: row.uuid,
            vlan: vlan.unwrap_or(VlanMode::trunk_all()),
            priority_tags: PriorityTags::from_setting(
                row.other_config.get("priority-tags").map(String::as_str),
            ),
            protected: row.protected,
            bonding: self.bonding(&bridge.name, row),
            interfaces,
        }
    }

    /// An interface can be in one place only; a second is the port's mistake, the first goes on. Says whether this is the first.
    fn take(
        &mut self,
        bridge: &'a str,
        port: &'a tables::Port,
        row: &'a tables::Interface,
    ) -> bool {
        match self.taken.get(row.name.as_str()) {
            // The name is kept for the bridge itself, until its row is met.
            None => {}
            Some(Holder::Bridge(name)) if *name == bridge => {}
            Some(holder) => {
                let text = format!("interface {} is in use already, as {holder}", row.name);
                self.problem("Port", port.uuid, &port.name, text);
                return false;
            }
        }
        self.taken.insert(&row.name, Holder::Port { port: &port.name, bridge });
        true
    }

    fn interface(&mut self, bridge: &Bridge, row: &tables::Interface) -> Interface {
        let kind = self.kind_or_as_it_was(bridge, row);
        let mac = row.mac.as_deref().and_then(|text| {
            let mac = parse_unicast(text);
            if mac.is_none() {
                let text = format!("mac \"{text}\" is not a unicast Ethernet address: ignored");
                self.problem("Interface", row.uuid, &row.name, text);
            }
            mac
        });
        Interface {
            row: row.uuid,
            name: row.name.clone(),
            kind,
            ofport_request: row.ofport_request,
            mac,
            mtu_request: self.mtu(row),
            affinity: self.affinity(bridge, row),
            lacp: self.lacp_of(&bridge.name, row),
        }
    }

    fn mtu(&mut self, row: &tables::Interface) -> Option<u32> {
        let wanted = row.mtu_request?;
        let mtu = u32::try_from(wanted).ok();
        if mtu.is_none() {
            let text = format!("mtu_request {wanted} is more than any device has: ignored");
            self.problem("Interface", row.uuid, &row.name, text);
        }
        mtu
    }

    /// What the row asks for; if that makes no sense and the interface runs, what runs.
    fn kind_or_as_it_was(&mut self, bridge: &Bridge, row: &tables::Interface) -> InterfaceKind {
        let why = match self.kind(bridge, row) {
            InterfaceKind::Refused(why) => why,
            kind => {
                self.check_options(row);
                return kind;
            }
        };
        let was = self.applied.bridges.get(&bridge.name).filter(|b| b.datapath == bridge.datapath);
        let was = was.and_then(|b| b.interface(&row.name)).filter(|i| i.row == row.uuid);
        match was.map(|i| &i.kind) {
            None | Some(InterfaceKind::Refused(_)) => InterfaceKind::Refused(why),
            Some(kind) => {
                self.problem(
                    "Interface",
                    row.uuid,
                    &row.name,
                    format!("{why}; it stays as it was"),
                );
                kind.clone()
            }
        }
    }

    /// Options that ovs-vsctl would have refused, but another client has written: what is understood is used, and the rest
    /// shows in the row.
    fn check_options(&mut self, row: &tables::Interface) {
        for refusal in &self.rows.options_of(row).refusals {
            self.problem("Interface", row.uuid, &row.name, refusal.clone());
        }
    }

    /// A bridge's own port. It is there whatever its row says: options that make no sense show in the row alone.
    fn internal(
        &self,
        datapath: DatapathKind,
        options: &BTreeMap<String, String>,
    ) -> InterfaceKind {
        match datapath {
            DatapathKind::Dummy => {
                InterfaceKind::Dummy { options: BTreeMap::new(), poses_as: None }
            }
            _ => InterfaceKind::Internal(HostOptions::of_tap(options).unwrap_or_default()),
        }
    }

    fn kind(&mut self, bridge: &Bridge, row: &tables::Interface) -> InterfaceKind {
        if row.name == bridge.name {
            return self.internal(bridge.datapath, &row.options);
        }
        let all_dummy = self.dummy.enabled && self.dummy.over == DummyOverride::All;
        let system_dummy = self.dummy.enabled && self.dummy.over != DummyOverride::None;
        let dummy = || InterfaceKind::Dummy { options: row.options.clone(), poses_as: None };
        let poser = || InterfaceKind::Dummy {
            options: row.options.clone(),
            poses_as: Some(row.kind.clone()),
        };
        match row.kind.as_str() {
            "" | "system" if system_dummy => dummy(),
            "internal" | "tap" if all_dummy || bridge.datapath == DatapathKind::Dummy => dummy(),
            "dummy" | "dummy-internal" if self.dummy.enabled => dummy(),
            "dummy-pmd" if self.dummy.enabled => poser(),
            "" | "system" | "afxdp" | "afxdp-nonpmd" if self.dummy.no_system => {
                InterfaceKind::Refused(format!(
                    "{}: system devices are disabled (--disable-system)",
                    row.name
                ))
            }
            "" | "system" | "internal" | "tap" => host::device(row),
            "afxdp" | "afxdp-nonpmd" => {
                match (row.kind.parse(), afxdp::Options::parse(&row.options)) {
                    (Ok(kind), Ok(options)) => InterfaceKind::Afxdp { kind, options },
                    (_, Err(why)) => InterfaceKind::Refused(format!("{}: {why}", row.name)),
                    (Err(()), _) => InterfaceKind::Refused(refuse_type(&row.name, &row.kind)),
                }
            }
            "dpdk" => match dpdk::Options::parse(&row.options) {
                Ok(options) => InterfaceKind::Dpdk(options),
                Err(why) => InterfaceKind::Refused(format!("{}: {why}", row.name)),
            },
            "dpdkvhostuser" => guest::vhost_user(row, false),
            "dpdkvhostuserclient" => guest::vhost_user(row, true),
            "patch" => match row.options.get("peer") {
                Some(peer) if *peer == row.name => InterfaceKind::Refused(format!(
                    "{}: a patch port cannot be its own peer",
                    row.name
                )),
                Some(peer) if !peer.is_empty() => InterfaceKind::Patch { peer: peer.clone() },
                _ => InterfaceKind::Refused(format!(
                    "{}: patch type requires valid 'peer' argument",
                    row.name
                )),
            },
            other => match &self.rows.options_of(row).endpoint {
                Some(_) if all_dummy => poser(),
                Some(Ok(endpoint)) => InterfaceKind::Tunnel(endpoint.clone()),
                Some(Err(why)) => InterfaceKind::Refused(why.clone()),
                None => InterfaceKind::Refused(refuse_type(&row.name, other)),
            },
        }
    }
}

/// Why an interface type cannot be had, for people.
fn refuse_type(name: &str, kind: &str) -> String {
    match kind {
        "bareudp" => {
            format!("{name}: tunnels of type bareudp are the kernel's alone; try gre or gtpu")
        }
        "lisp" | "stt" => format!("{name}: tunnels of type {kind} are not supported any more"),
        _ => format!(
            "could not create {name}: unknown interface type \"{kind}\" (Address family not supported by protocol)"
        ),
    }
}

mod workers;

#[cfg(test)]
mod tests;
