//! The one row that everything hangs on.

use std::collections::BTreeMap;

use ovsdb::Uuid;

use super::table;
use crate::column::StringMap;

table! {
    /// The switch as a whole: its bridges, its managers, and how far it has come in applying the configuration.
    OpenVSwitch = "Open_vSwitch", root, single;

    /// One record per datapath provider in use, by its type.
    datapaths: BTreeMap<String, Uuid>, refers("Datapath");
    /// The bridges.
    bridges: Vec<Uuid>, refers("Bridge");
    /// Database clients to listen for or connect to.
    manager_options: Vec<Uuid>, refers("Manager");
    /// Keys and certificates for TLS connections.
    ssl: Option<Uuid>, refers("SSL");
    /// Settings of the daemon as a whole.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
    /// Counted up by whoever changes the configuration and wants to know when it is applied.
    next_cfg: i64;
    /// The `next_cfg` up to which the switch has applied the configuration.
    cur_cfg: i64;
    /// Processor, memory, process and file system figures, if `other_config:enable-statistics` asks for them.
    statistics: StringMap, ephemeral;
    /// Version of the switch that runs on this database.
    ovs_version: Option<String>;
    /// Version of the database schema.
    db_version: Option<String>;
    /// The kind of host, e.g. its distribution.
    system_type: Option<String>;
    /// The host's version.
    system_version: Option<String>;
    /// Values of Bridge `datapath_type` that the running switch supports.
    datapath_types: Vec<String>;
    /// Values of Interface `type` that the running switch supports.
    iface_types: Vec<String>;
    /// Whether DPDK is in use.
    dpdk_initialized: bool;
    /// Version of DPDK.
    dpdk_version: Option<String>;
}
