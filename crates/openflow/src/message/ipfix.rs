//! What IPFIX exporters did: Nicira's extension.

/// An exporter's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct IpfixStats {
    /// All flows that there were.
    pub flows: u64,
    /// Flows that there are.
    pub current_flows: u64,
    pub packets: u64,
    pub ipv4_packets: u64,
    pub ipv6_packets: u64,
    pub errors: u64,
    pub ipv4_errors: u64,
    pub ipv6_errors: u64,
    pub sent: u64,
    pub sent_errors: u64,
    /// Whose collectors; 0 of a bridge's own exporter.
    pub collector_set: u32,
}
