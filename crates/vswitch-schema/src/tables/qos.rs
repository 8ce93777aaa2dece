//! Queueing at a port, and mirroring.

use std::collections::BTreeMap;

use ovsdb::Uuid;

use super::table;
use crate::column::{IntMap, StringMap};

table! {
    /// A queueing discipline for what leaves a port.
    QoS = "QoS", root;

    /// The discipline, e.g. `linux-htb`.
    kind as "type": String;
    /// Queues by number.
    queues: BTreeMap<u32, Uuid>, range(0, 4_294_967_295), refers("Queue");
    /// Settings of the discipline.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// One queue of a QoS.
    Queue = "Queue", root;

    /// DSCP bits to write into what leaves through this queue.
    dscp: Option<u8>, range(0, 63);
    /// Rates and priority.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// A copy of selected traffic for an analyser.
    Mirror = "Mirror";

    /// The mirror's name.
    name: String;
    /// Select every packet.
    select_all: bool;
    /// Select what arrives on these ports.
    select_src_port: Vec<Uuid>, weakly_refers("Port");
    /// Select what leaves through these ports.
    select_dst_port: Vec<Uuid>, weakly_refers("Port");
    /// Narrow the selection to these VLANs; none means all.
    select_vlan: Vec<u16>, range(0, 4095), at_most(4096);
    /// Send the copies to this port.
    output_port: Option<Uuid>, weakly_refers("Port");
    /// Send the copies into this VLAN.
    output_vlan: Option<u16>, range(1, 4095);
    /// Most bytes of a packet to copy.
    snaplen: Option<u16>, range(14, 65_535);
    /// Narrow the selection to packets that match this, in ovs-ofctl's syntax.
    filter: Option<String>;
    /// Packets and bytes copied.
    statistics: IntMap, ephemeral;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}
