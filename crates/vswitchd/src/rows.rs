//! The rows that configure the switch, decoded once and again only when they change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use ovsdb::Uuid;
use ovsdb_idl::{ChangeKind, Changes, Interest, Replica, RowRef, UnknownName};
use tunnel::Endpoint;
use vswitch_schema::{Row, settings, tables};

/// What the daemon reads (and is woken by), and what it writes itself.
pub fn interest() -> Result<Interest, UnknownName> {
    Interest::none(vswitch_schema::schema())
        .watch(
            "Open_vSwitch",
            &[
                "bridges",
                "other_config",
                "external_ids",
                "next_cfg",
                "datapaths",
                "manager_options",
                "ssl",
            ],
        )?
        .quietly(
            "Open_vSwitch",
            &[
                "cur_cfg",
                "ovs_version",
                "db_version",
                "system_type",
                "system_version",
                "datapath_types",
                "iface_types",
            ],
        )?
        .quietly("Open_vSwitch", &["dpdk_initialized", "dpdk_version", "statistics"])?
        .watch(
            "Bridge",
            &[
                "name",
                "datapath_type",
                "fail_mode",
                "ports",
                "other_config",
                "flood_vlans",
                "controller",
                "protocols",
                "flow_tables",
                "ipfix",
            ],
        )?
        .quietly("Bridge", &["datapath_id", "datapath_version", "status"])?
        .watch(
            "Port",
            &[
                "name",
                "interfaces",
                "trunks",
                "tag",
                "vlan_mode",
                "protected",
                "fake_bridge",
                "other_config",
                "mac",
                "bond_mode",
                "bond_updelay",
                "bond_downdelay",
                "bond_fake_iface",
                "lacp",
            ],
        )?
        .quietly("Port", &["status", "bond_active_slave"])?
        .watch(
            "Interface",
            &["name", "type", "options", "mac", "ofport_request", "mtu_request", "other_config"],
        )?
        .quietly(
            "Interface",
            &[
                "mac_in_use",
                "ifindex",
                "ofport",
                "statistics",
                "status",
                "admin_state",
                "link_state",
            ],
        )?
        .quietly("Interface", &["link_resets", "link_speed", "duplex", "mtu", "error"])?
        .quietly("Interface", &["lacp_current"])?
        .watch(
            "Controller",
            &[
                "type",
                "target",
                "max_backoff",
                "inactivity_probe",
                "connection_mode",
                "enable_async_messages",
                "controller_rate_limit",
                "controller_burst_limit",
                "other_config",
            ],
        )?
        .watch("Manager", &["target", "connection_mode"])?
        .watch("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"])?
        .quietly("Controller", &["is_connected", "role", "status"])?
        .watch("Flow_Table", &["name", "flow_limit", "overflow_policy", "groups", "prefixes"])?
        .watch("Flow_Sample_Collector_Set", &["bridge", "ipfix"])?
        .watch("Datapath", &[])?
        .quietly("Datapath", &["capabilities", "datapath_version"])
}

/// A map that is asked about every port at every change.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The configuration as structs.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The one row of Open_vSwitch.
    pub switch: Option<tables::OpenVSwitch>,
    /// Bridge rows.
    pub bridges: Map<Uuid, tables::Bridge>,
    /// Port rows. Shared with whoever remembers what was made of them.
    pub ports: Map<Uuid, Arc<tables::Port>>,
    /// Interface rows, likewise.
    pub interfaces: Map<Uuid, Arc<tables::Interface>>,
    /// Controller rows.
    pub controllers: Map<Uuid, tables::Controller>,
    /// Manager rows.
    pub managers: Map<Uuid, tables::Manager>,
    /// SSL rows.
    pub ssl: Map<Uuid, tables::Ssl>,
    /// Flow_Table rows.
    pub flow_tables: Map<Uuid, tables::FlowTable>,
    /// Flow_Sample_Collector_Set rows.
    pub collectors: Map<Uuid, tables::FlowSampleCollectorSet>,
    /// What was made of an interface's options, until its row changes.
    pub(crate) options: RefCell<Map<Uuid, Arc<Options>>>,
}

/// An interface's options, read and judged.
#[derive(Debug)]
pub(crate) struct Options {
    /// What ovs-vsctl would have said against them.
    pub(crate) refusals: Vec<String>,
    /// The tunnel that they make, if the type is one: or why they make none.
    pub(crate) endpoint: Option<Result<Arc<Endpoint>, String>>,
}

impl Options {
    fn read(row: &tables::Interface) -> Self {
        let options = row.options.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let refusals = settings::check_interface(&row.kind, options.clone());
        let endpoint = tunnel::Kind::from_name(&row.kind).map(|kind| {
            Endpoint::parse(&row.name, kind, options).map(Arc::new).map_err(|errors| {
                let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
                format!("{}: {}", row.name, texts.join("; "))
            })
        });
        Self { refusals: refusals.iter().map(ToString::to_string).collect(), endpoint }
    }
}

impl Rows {
    /// Follows the replica.
    pub fn follow(&mut self, replica: &Replica, changes: &Changes) {
        if changes.touches("Open_vSwitch") {
            self.switch = replica.only_row("Open_vSwitch").map(|row| decode(&row));
        }
        follow::<tables::Bridge, _>(&mut self.bridges, replica, changes);
        follow::<tables::Port, _>(&mut self.ports, replica, changes);
        follow::<tables::Interface, _>(&mut self.interfaces, replica, changes);
        follow::<tables::Controller, _>(&mut self.controllers, replica, changes);
        follow::<tables::Manager, _>(&mut self.managers, replica, changes);
        follow::<tables::Ssl, _>(&mut self.ssl, replica, changes);
        follow::<tables::FlowTable, _>(&mut self.flow_tables, replica, changes);
        follow::<tables::FlowSampleCollectorSet, _>(&mut self.collectors, replica, changes);
        let options = self.options.get_mut();
        for change in changes.table("Interface") {
            options.remove(&change.uuid());
        }
    }

    /// Whether somebody collects samples of a bridge's flows.
    pub(crate) fn has_collectors(&self, bridge: &tables::Bridge) -> bool {
        let mut sets = self.collectors.values();
        bridge.ipfix.is_some() || sets.any(|set| set.bridge == bridge.uuid && set.ipfix.is_some())
    }

    /// What an interface's options say; worked out once as long as the row stays as it is.
    pub(crate) fn options_of(&self, row: &tables::Interface) -> Arc<Options> {
        let mut options = self.options.borrow_mut();
        options.entry(row.uuid).or_insert_with(|| Arc::new(Options::read(row))).clone()
    }
}

fn follow<T: Row, R: From<T>>(rows: &mut Map<Uuid, R>, replica: &Replica, changes: &Changes) {
    let table = T::TABLE.name;
    for change in changes.table(table) {
        match (change.kind(), replica.row(table, change.uuid())) {
            (ChangeKind::Inserted | ChangeKind::Modified, Some(row)) => {
                rows.insert(change.uuid(), decode::<T>(&row).into());
            }
            _ => {
                rows.remove(&change.uuid());
            }
        }
    }
}

fn decode<T: Row>(row: &RowRef<'_>) -> T {
    T::decode(row.uuid(), |column| row.get(column))
}
