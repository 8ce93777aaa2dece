//! Reports on traffic to collectors: NetFlow, sFlow, IPFIX.

use ovsdb::Uuid;

use super::table;
use crate::column::StringMap;

table! {
    /// Export of flow records by NetFlow version 5.
    NetFlow = "NetFlow";

    /// Collectors, `ip:port`.
    targets: Vec<String>, not_empty;
    /// Engine type in the records.
    engine_type: Option<u8>, range(0, 255);
    /// Engine number in the records.
    engine_id: Option<u8>, range(0, 255);
    /// Put engine bits into the interface numbers.
    add_id_to_interface: bool;
    /// Seconds between records of a long flow; 0 is the default, -1 means never.
    active_timeout: i64, at_least(-1);
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// Export of sampled packets and counters by sFlow version 5.
    Sflow = "sFlow";

    /// Collectors, `ip:port`.
    targets: Vec<String>, not_empty;
    /// One packet in this many is sampled.
    sampling: Option<i64>;
    /// Seconds between reports of counters.
    polling: Option<i64>;
    /// Bytes of each sampled packet to report.
    header: Option<i64>;
    /// Device whose address names this agent.
    agent: Option<String>;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// Export of flow records by IPFIX (RFC 7011).
    Ipfix = "IPFIX";

    /// Collectors, `ip:port`.
    targets: Vec<String>;
    /// One packet in this many is sampled, of a whole bridge.
    sampling: Option<u32>, range(1, 4_294_967_295);
    /// Observation domain of a whole bridge's samples.
    obs_domain_id: Option<u32>, range(0, 4_294_967_295);
    /// Observation point of a whole bridge's samples.
    obs_point_id: Option<u32>, range(0, 4_294_967_295);
    /// Seconds a flow stays in the cache before it is reported.
    cache_active_timeout: Option<i64>, range(0, 4200);
    /// Most flows in the cache.
    cache_max_flows: Option<u32>, range(0, 4_294_967_295);
    /// Settings.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}

table! {
    /// A set of collectors that OpenFlow `sample` actions name by number.
    FlowSampleCollectorSet = "Flow_Sample_Collector_Set", root, index(&["id", "bridge"]);

    /// The number.
    id: u32, range(0, 4_294_967_295);
    /// The bridge on which the number counts.
    bridge: Uuid, refers("Bridge");
    /// Where samples go.
    ipfix: Option<Uuid>, refers("IPFIX");
    /// The local sampling group that samples go to.
    local_group_id: Option<u32>, range(0, 4_294_967_295);
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}
