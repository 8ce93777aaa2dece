//! Datapaths and their connection tracking zones.

use std::collections::BTreeMap;

use ovsdb::Uuid;

use super::table;
use crate::column::{IntMap, StringMap};

table! {
    /// A datapath: one forwarding plane that several bridges share.
    Datapath = "Datapath";

    /// Version of the provider.
    datapath_version: String;
    /// Connection tracking zones with settings of their own.
    ct_zones: BTreeMap<u16, Uuid>, range(0, 65_535), refers("CT_Zone");
    /// Most connections in a zone without a limit of its own; 0 means no limit.
    ct_zone_default_limit: Option<u32>, range(0, 4_294_967_295);
    /// What the datapath can do.
    capabilities: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// Settings of one connection tracking zone.
    CtZone = "CT_Zone";

    /// How long idle connections live.
    timeout_policy: Option<Uuid>, refers("CT_Timeout_Policy");
    /// Most connections; 0 means no limit.
    limit: Option<u32>, range(0, 4_294_967_295);
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// How long idle connections live, by protocol state.
    CtTimeoutPolicy = "CT_Timeout_Policy";

    /// Seconds by state.
    timeouts: IntMap, values(0, 4_294_967_295), one_of(&[
        "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "tcp_fin_wait", "tcp_close_wait", "tcp_last_ack",
        "tcp_time_wait", "tcp_close", "tcp_syn_sent2", "tcp_retransmit", "tcp_unack",
        "udp_first", "udp_single", "udp_multiple", "icmp_first", "icmp_reply",
    ]);
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}
