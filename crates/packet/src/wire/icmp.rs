//! ICMP for IPv4 (RFC 792): the fixed header, and echo.

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{EthernetHeader, Mac, eth_type};
use super::ipv4::Ipv4Header;
use super::{Header, ip_proto};
use crate::checksum;

/// Message types.
pub mod kind {
    #![allow(missing_docs)]
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
}

/// The header: 8 bytes. IGMP's begins alike.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct IcmpHeader {
    /// [`kind`].
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum over header and payload (no pseudo-header).
    pub csum: U16,
    /// Depends on the type; echo: identifier.
    pub id: U16,
    /// Depends on the type; echo: sequence number.
    pub seq: U16,
}

impl Header for IcmpHeader {}

/// Addresses of a frame with an IPv4 packet.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Ends {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
}

/// A frame with an echo request or reply.
pub fn echo(ends: &Ends, kind: u8, id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut icmp = IcmpHeader { kind, code: 0, csum: 0.into(), id: id.into(), seq: seq.into() };
    let mut sum = checksum::sum(icmp.as_bytes());
    sum.add(checksum::sum(payload));
    icmp.csum = sum.checksum().into();
    let ip =
        Ipv4Header::new(ends.src, ends.dst, ip_proto::ICMP, 64, IcmpHeader::LEN + payload.len());
    let ethernet = EthernetHeader::new(ends.eth_dst, ends.eth_src, eth_type::IPV4);
    [ethernet.as_bytes(), ip.as_bytes(), icmp.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_verifies() {
        let ends = Ends {
            eth_src: [2; 6],
            eth_dst: [4; 6],
            src: Ipv4Addr::new(10, 0, 0, 1),
            dst: Ipv4Addr::new(10, 0, 0, 2),
        };
        let frame = echo(&ends, kind::ECHO_REQUEST, 1, 2, b"odd");
        assert_eq!(checksum::checksum(&frame[14..34]), 0);
        assert_eq!(checksum::checksum(&frame[34..]), 0);
    }
}
