//! ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861).

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{EthernetHeader, Mac, eth_type};
use super::ipv6::Ipv6Header;
use super::{Header, ip_proto};
use crate::checksum;

/// Message types.
pub mod kind {
    #![allow(missing_docs)]
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
}

/// Neighbour discovery option types.
pub mod option {
    #![allow(missing_docs)]
    pub const SOURCE_LINK_ADDRESS: u8 = 1;
    pub const TARGET_LINK_ADDRESS: u8 = 2;
}

/// Bits of the 32-bit field of a neighbour advertisement.
pub mod na_flag {
    #![allow(missing_docs)]
    pub const ROUTER: u32 = 1 << 31;
    pub const SOLICITED: u32 = 1 << 30;
    pub const OVERRIDE: u32 = 1 << 29;
}

/// The header with the type-dependent 32 bits: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Icmpv6Header {
    /// [`kind`].
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum over pseudo-header, header and payload.
    pub csum: U16,
    /// Depends on the type.
    pub word: U32,
}

impl Header for Icmpv6Header {}

/// What a neighbour solicitation or advertisement says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    /// Who is asked for or announced.
    pub target: [u8; 16],
    /// Source link-layer address option; zero when absent.
    pub sll: Mac,
    /// Target link-layer address option; zero when absent.
    pub tll: Mac,
    /// Type of the first of these two options; 0 when there is none.
    pub first_option: u8,
}

impl Neighbour {
    /// Parses what follows the [`Icmpv6Header`] of a solicitation or advertisement with code 0 (a message with another code
    /// is not neighbour discovery: CVE-2023-5366). An option of length 0 or beyond the end ends the walk; an address option
    /// given twice makes the whole message void (`None`), as does a target that is cut short.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (target, mut rest) = body.split_first_chunk::<16>()?;
        let mut said = Self { target: *target, ..Self::default() };
        // The length is at least 8 per round, so the rounds are bounded by the packet.
        while let Some((first, _)) = rest.split_first_chunk::<8>() {
            let len = usize::from(first[1]) * 8;
            let Some(after) = rest.get(len..).filter(|_| len != 0) else { break };
            let slot = match first[0] {
                option::SOURCE_LINK_ADDRESS if len == 8 => Some(&mut said.sll),
                option::TARGET_LINK_ADDRESS if len == 8 => Some(&mut said.tll),
                _ => None,
            };
            if let Some(slot) = slot {
                if *slot != [0; 6] {
                    return None;
                }
                slot.copy_from_slice(&first[2..8]);
                if said.first_option == 0 {
                    said.first_option = first[0];
                }
            }
            rest = after;
        }
        Some(said)
    }
}

/// The solicited-node multicast address of `ip` (RFC 4291, section 2.7.1) and its Ethernet address (RFC 2464, section 7).
pub fn solicited_node(ip: &Ipv6Addr) -> (Ipv6Addr, Mac) {
    let [.., a, b, c] = ip.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    (group, [0x33, 0x33, 0xff, a, b, c])
}

/// A neighbour discovery frame with one link-layer address option: 86 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct NeighbourFrame {
    /// Link layer.
    pub ethernet: EthernetHeader,
    /// Network layer.
    pub ipv6: Ipv6Header,
    /// ICMPv6.
    pub icmp: Icmpv6Header,
    /// Who is asked for or announced.
    pub target: [u8; 16],
    /// Option type and length in units of 8 bytes.
    pub option: [u8; 2],
    /// The option's address.
    pub address: Mac,
}

impl Header for NeighbourFrame {}

impl NeighbourFrame {
    /// Asks who has `wanted`.
    pub fn solicitation(mac: Mac, ip: Ipv6Addr, wanted: Ipv6Addr) -> Self {
        let (group, group_mac) = solicited_node(&wanted);
        let ethernet = EthernetHeader::new(group_mac, mac, eth_type::IPV6);
        Self::new(
            ethernet,
            ip,
            group,
            (kind::NEIGHBOUR_SOLICITATION, 0),
            wanted,
            (option::SOURCE_LINK_ADDRESS, mac),
        )
    }

    /// Tells `to` that `ip` is at `mac`; `flags` of [`na_flag`].
    pub fn advertisement(mac: Mac, ip: Ipv6Addr, to_mac: Mac, to: Ipv6Addr, flags: u32) -> Self {
        let ethernet = EthernetHeader::new(to_mac, mac, eth_type::IPV6);
        Self::new(
            ethernet,
            ip,
            to,
            (kind::NEIGHBOUR_ADVERTISEMENT, flags),
            ip,
            (option::TARGET_LINK_ADDRESS, mac),
        )
    }

    fn new(
        ethernet: EthernetHeader,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        (kind, word): (u8, u32),
        target: Ipv6Addr,
        (option, address): (u8, Mac),
    ) -> Self {
        const BODY: usize = Icmpv6Header::LEN + 16 + 8;
        let mut frame = Self {
            ethernet,
            ipv6: Ipv6Header::new(src, dst, ip_proto::ICMPV6, 255, BODY),
            icmp: Icmpv6Header { kind, code: 0, csum: 0.into(), word: word.into() },
            target: target.octets(),
            option: [option, 1],
            address,
        };
        let mut sum = frame.ipv6.pseudo(ip_proto::ICMPV6, BODY);
        sum.add(checksum::sum(&frame.as_bytes()[EthernetHeader::LEN + Ipv6Header::LEN..]));
        frame.icmp.csum = sum.checksum().into();
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(options: &[&[u8]]) -> Vec<u8> {
        let mut b = vec![0xfe; 16];
        options.iter().for_each(|o| b.extend_from_slice(o));
        b
    }

    const SLL: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 7];
    const TLL: [u8; 8] = [2, 1, 2, 0, 0, 0, 0, 8];

    #[test]
    fn options_that_lie_end_the_walk() {
        let mac7 = [2, 0, 0, 0, 0, 7];
        let sll = |o: &[&[u8]]| Neighbour::parse(&body(o)).map(|n| n.sll);
        assert_eq!(sll(&[]), Some([0; 6]));
        assert_eq!(sll(&[&SLL, &TLL]), Some(mac7));
        assert_eq!(sll(&[&SLL, &[3, 9, 0, 0, 0, 0, 0, 0]]), Some(mac7));
        assert_eq!(sll(&[&SLL, &[3, 0, 0, 0, 0, 0, 0, 0], &TLL]), Some(mac7));
        assert_eq!(sll(&[&[14, 1, 0, 0, 0, 0, 0, 0], &SLL]), Some(mac7));
        assert_eq!(sll(&[&SLL[..7]]), Some([0; 6]));
        assert_eq!(sll(&[&SLL, &SLL]), None);
        assert_eq!(Neighbour::parse(&[0; 15]), None);
        let first = |o: &[&[u8]]| Neighbour::parse(&body(o)).map(|n| n.first_option);
        assert_eq!(
            first(&[&[14, 1, 0, 0, 0, 0, 0, 0], &TLL, &SLL]),
            Some(option::TARGET_LINK_ADDRESS)
        );
        assert_eq!(first(&[&SLL, &TLL]), Some(option::SOURCE_LINK_ADDRESS));
        assert_eq!(first(&[]), Some(0));
    }

    #[test]
    fn frames_verify() {
        let (a, b) = ("fe80::1".parse().unwrap(), "fe80::12:3456".parse().unwrap());
        let ns = NeighbourFrame::solicitation([2; 6], a, b);
        assert_eq!(ns.ethernet.dst, [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        let na = NeighbourFrame::advertisement(
            [2; 6],
            a,
            [4; 6],
            b,
            na_flag::SOLICITED | na_flag::OVERRIDE,
        );
        for f in [&ns, &na] {
            let mut sum = f.ipv6.pseudo(58, 32);
            sum.add(checksum::sum(&f.as_bytes()[54..]));
            assert_eq!(sum.checksum(), 0);
        }
        assert_eq!(Neighbour::parse(&na.as_bytes()[62..]).unwrap().tll, [2; 6]);
    }
}
