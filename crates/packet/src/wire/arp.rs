//! ARP for IPv4 over Ethernet (RFC 826), and RARP, which has the same form.

use std::net::Ipv4Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::ethernet::{BROADCAST, EthernetHeader, Mac, eth_type};

/// Operations.
pub mod op {
    #![allow(missing_docs)]
    pub const REQUEST: u16 = 1;
    pub const REPLY: u16 = 2;
    pub const RARP_REQUEST: u16 = 3;
    pub const RARP_REPLY: u16 = 4;
}

/// The packet: 28 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct ArpHeader {
    /// Hardware type: 1 is Ethernet.
    pub hardware: U16,
    /// Protocol type: 0x0800 is IPv4.
    pub protocol: U16,
    /// Length of a hardware address: 6.
    pub hardware_len: u8,
    /// Length of a protocol address: 4.
    pub protocol_len: u8,
    /// [`op`].
    pub op: U16,
    /// Sender's hardware address.
    pub sha: Mac,
    /// Sender's protocol address.
    pub spa: U32,
    /// Target's hardware address.
    pub tha: Mac,
    /// Target's protocol address.
    pub tpa: U32,
}

impl Header for ArpHeader {}

impl ArpHeader {
    /// A packet of these fields for IPv4 over Ethernet.
    pub fn new(op: u16, sha: Mac, spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Self {
        Self {
            hardware: 1.into(),
            protocol: eth_type::IPV4.into(),
            hardware_len: 6,
            protocol_len: 4,
            op: op.into(),
            sha,
            spa: spa.to_bits().into(),
            tha,
            tpa: tpa.to_bits().into(),
        }
    }

    /// Whether the addresses are what the fields' names say: IPv4 over Ethernet.
    pub fn is_ipv4_over_ethernet(&self) -> bool {
        self.hardware.get() == 1
            && self.protocol.get() == eth_type::IPV4
            && self.hardware_len == 6
            && self.protocol_len == 4
    }
}

/// A frame with an ARP packet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ArpFrame {
    /// Link layer.
    pub ethernet: EthernetHeader,
    /// ARP.
    pub arp: ArpHeader,
}

impl Header for ArpFrame {}

impl ArpFrame {
    /// Asks everybody who has `wanted`.
    pub fn request(mac: Mac, ip: Ipv4Addr, wanted: Ipv4Addr) -> Self {
        Self {
            ethernet: EthernetHeader::new(BROADCAST, mac, eth_type::ARP),
            arp: ArpHeader::new(op::REQUEST, mac, ip, [0; 6], wanted),
        }
    }

    /// Tells `to` that `ip` is at `mac`.
    pub fn reply(mac: Mac, ip: Ipv4Addr, to_mac: Mac, to_ip: Ipv4Addr) -> Self {
        Self {
            ethernet: EthernetHeader::new(to_mac, mac, eth_type::ARP),
            arp: ArpHeader::new(op::REPLY, mac, ip, to_mac, to_ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_bytes_of_rfc_826() {
        let f = ArpFrame::request(
            [2, 0, 0, 0, 0, 1],
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(10, 0, 0, 2),
        );
        let want = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x08\x06\0\x01\x08\0\x06\x04\0\x01\
                     \x02\0\0\0\0\x01\x0a\0\0\x01\0\0\0\0\0\0\x0a\0\0\x02";
        assert_eq!(f.as_bytes(), want);
        assert!(ArpFrame::view(want).unwrap().arp.is_ipv4_over_ethernet());
        assert!(ArpFrame::view(&want[..41]).is_none());
    }
}
