//! Bridges and what belongs to one bridge.

use std::collections::BTreeMap;

use ovsdb::Uuid;

use super::{choice, table};
use crate::column::StringMap;

choice! {
    /// What a bridge does while no controller is connected.
    FailMode {
        /// Act as a learning switch.
        Standalone = "standalone",
        /// Leave the flow tables alone.
        Secure = "secure",
    }
}

choice! {
    /// What a full flow table does with one more flow.
    OverflowPolicy {
        /// Refuse it.
        Refuse = "refuse",
        /// Remove the flow that will expire first.
        Evict = "evict",
    }
}

table! {
    /// An Ethernet switch inside the daemon: ports that forward to each other.
    Bridge = "Bridge", index(&["name"]);

    /// The bridge's name, and its local port's.
    name: String, immutable;
    /// The datapath provider: `system`, `netdev`, `dummy`; empty means `system`.
    datapath_type: String;
    /// Kept for old clients; see Datapath.
    datapath_version: String;
    /// The OpenFlow datapath identifier in use, 16 hexadecimal digits.
    datapath_id: Option<String>, ephemeral;
    /// Take part in IEEE 802.1D spanning tree.
    stp_enable: bool;
    /// Take part in rapid spanning tree.
    rstp_enable: bool;
    /// Learn multicast receivers from IGMP and MLD.
    mcast_snooping_enable: bool;
    /// The ports.
    ports: Vec<Uuid>, refers("Port");
    /// Copies of traffic for an analyser.
    mirrors: Vec<Uuid>, refers("Mirror");
    /// NetFlow export.
    netflow: Option<Uuid>, refers("NetFlow");
    /// sFlow export.
    sflow: Option<Uuid>, refers("sFlow");
    /// IPFIX export.
    ipfix: Option<Uuid>, refers("IPFIX");
    /// OpenFlow controllers; none means the bridge runs by itself.
    controller: Vec<Uuid>, refers("Controller");
    /// OpenFlow versions to offer; none means all.
    protocols: Vec<String>,
        one_of(&["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"]);
    /// What to do while no controller is connected.
    fail_mode: Option<FailMode>;
    /// Spanning tree state.
    status: StringMap, ephemeral;
    /// Rapid spanning tree state.
    rstp_status: StringMap, ephemeral;
    /// Settings.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
    /// VLANs in which nothing is learned and everything floods.
    flood_vlans: Vec<u16>, range(0, 4095), at_most(4096);
    /// Settings of single OpenFlow tables, by table number.
    flow_tables: BTreeMap<u8, Uuid>, range(0, 254), refers("Flow_Table");
    /// Auto Attach (IEEE 802.1Qcj) settings.
    auto_attach: Option<Uuid>, refers("AutoAttach");
}

table! {
    /// Limits and hints for one OpenFlow table of a bridge.
    FlowTable = "Flow_Table";

    /// The table's name.
    name: Option<String>;
    /// The most flows the table takes.
    flow_limit: Option<i64>, at_least(0);
    /// What happens at the limit.
    overflow_policy: Option<OverflowPolicy>;
    /// Fields by which eviction is made fair.
    groups: Vec<String>;
    /// Fields whose prefixes are tracked so that datapath flows stay wide.
    prefixes: Vec<String>, at_most(4);
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// Auto Attach: how the bridge presents itself, and which VLANs map to which services.
    AutoAttach = "AutoAttach";

    /// The name announced by LLDP.
    system_name: String;
    /// The description announced by LLDP.
    system_description: String;
    /// Service identifier (I-SID) to VLAN.
    mappings: BTreeMap<u32, u16>, range(0, 16_777_215), values(0, 4095);
}
