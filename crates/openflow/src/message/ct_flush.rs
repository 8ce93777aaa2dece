//! Forgetting tracked connections: Nicira's extension.

use std::net::IpAddr;

/// One direction of a connection, as far as it is said: 0 and `None` are "any".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CtTuple {
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    pub source_port: u16,
    pub destination_port: u16,
    pub icmp_id: u16,
    pub icmp_type: u8,
    pub icmp_code: u8,
}

/// Which connections to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtFlush {
    /// Their IP protocol; 0 for any.
    pub protocol: u8,
    /// Their zone; `None` is zone 0 in what is printed, and any zone in what is done.
    pub zone: Option<u16>,
    /// The way of their first packet.
    pub original: CtTuple,
    /// The way back.
    pub reply: CtTuple,
}
