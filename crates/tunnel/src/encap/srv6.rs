//! Segment routing: the outer destination is the first segment, and the header lists them all.

use std::net::Ipv6Addr;

use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;
use packet::wire::srv6::Srv6Header;

use super::Said;
use crate::Remote;

pub(super) fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    let next = match said.bare {
        Some(eth_type::IPV4) => ip_proto::IPV4,
        Some(eth_type::IPV6) => ip_proto::IPV6,
        _ => return None,
    };
    let dst = match said.endpoint.remote {
        Remote::Address(std::net::IpAddr::V6(ip)) => ip,
        Remote::Address(_) => return None,
        Remote::Flow => Ipv6Addr::from(said.told.ipv6_dst),
    };
    match said.endpoint.segments.as_slice() {
        [] => Srv6Header::write(next, &[dst], to),
        // It is where the packet goes first; anything else would be lost on its way.
        segments if segments.first() == Some(&dst) => Srv6Header::write(next, segments, to),
        _ => None,
    }
}
