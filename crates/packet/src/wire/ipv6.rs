//! IPv6 (RFC 8200) and its extension headers.

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Fragment, Header, ip_proto};
use crate::checksum::Sum;

/// Extension headers walked at most; a longer chain counts as one that is cut short.
pub const MAX_EXTENSIONS: usize = 256;

/// The fixed header: 40 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_label: U32,
    /// Bytes behind this header.
    pub payload_len: U16,
    /// Type of what follows: [`ip_proto`].
    pub next: u8,
    /// Time to live.
    pub hop_limit: u8,
    /// Source.
    pub src: [u8; 16],
    /// Destination.
    pub dst: [u8; 16],
}

impl Header for Ipv6Header {}

impl Ipv6Header {
    /// A header for `payload_len` bytes (at most 65535).
    pub fn new(src: Ipv6Addr, dst: Ipv6Addr, next: u8, hop_limit: u8, payload_len: usize) -> Self {
        Self {
            version_class_label: 0x6000_0000.into(),
            payload_len: u16::try_from(payload_len).unwrap_or(u16::MAX).into(),
            next,
            hop_limit,
            src: src.octets(),
            dst: dst.octets(),
        }
    }

    /// DSCP and ECN.
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_label.get() >> 20) as u8
    }

    /// The flow label.
    pub fn flow_label(&self) -> u32 {
        self.version_class_label.get() & 0xf_ffff
    }

    /// The pseudo-header's part of a transport checksum over `len` bytes of `proto`.
    pub fn pseudo(&self, proto: u8, len: usize) -> Sum {
        Sum::pseudo_v6(&self.src, &self.dst, proto, len)
    }
}

/// The fragment header: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct FragmentHeader {
    /// Type of what follows.
    pub next: u8,
    /// Zero.
    pub reserved: u8,
    /// Offset in units of 8 bytes (high 13 bits), and bit 0: more fragments follow.
    pub offset_more: U16,
    /// Identification.
    pub id: U32,
}

impl Header for FragmentHeader {}

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Its type; [`ip_proto::FRAGMENT`] when the packet is a later fragment (nobody knows what it holds).
    pub proto: u8,
    /// Bytes of extension headers before it.
    pub offset: usize,
    /// Whether the packet is a fragment. A fragment header with offset 0 and no more to come (RFC 6946) is not.
    pub fragment: Fragment,
    /// A routing header has more destinations: the address in the fixed header is not the one that checksums are over.
    pub routed: bool,
    /// Which there are ([`extension`]).
    pub extensions: u16,
}

/// Kinds of extension headers that a packet has, and what is odd about them: the bits of OpenFlow 1.3's `OFPIEH_*`.
pub mod extension {
    /// There is nothing behind them.
    pub const NO_NEXT: u16 = 1 << 0;
    /// Encrypted security payload.
    pub const ESP: u16 = 1 << 1;
    /// Authentication.
    pub const AUTH: u16 = 1 << 2;
    /// Destination options, once or twice.
    pub const DESTINATION: u16 = 1 << 3;
    /// Fragment.
    pub const FRAGMENT: u16 = 1 << 4;
    /// Routing.
    pub const ROUTING: u16 = 1 << 5;
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u16 = 1 << 6;
    /// One is there more often than it may.
    pub const REPEATED: u16 = 1 << 7;
    /// They are not in the order that RFC 8200, 4.1, recommends.
    pub const UNORDERED: u16 = 1 << 8;
}

/// What a walk along extension headers has met.
#[derive(Default)]
struct Met {
    kinds: u16,
    /// The place of the last one in the recommended order.
    place: u8,
    destinations: u8,
}

impl Met {
    fn header(&mut self, kind: u8) {
        let (bit, place) = match kind {
            ip_proto::HOP_BY_HOP => (extension::HOP_BY_HOP, 0),
            // For all that a routing header names, or for the last alone.
            ip_proto::DESTINATION => (extension::DESTINATION, if self.place <= 1 { 1 } else { 6 }),
            ip_proto::ROUTING => (extension::ROUTING, 2),
            ip_proto::FRAGMENT => (extension::FRAGMENT, 3),
            ip_proto::AH => (extension::AUTH, 4),
            ip_proto::ESP => (extension::ESP, 5),
            ip_proto::NO_NEXT => (extension::NO_NEXT, 7),
            _ => return,
        };
        let again = self.kinds & bit != 0;
        self.destinations += u8::from(kind == ip_proto::DESTINATION);
        if again && (kind != ip_proto::DESTINATION || self.destinations > 2) {
            self.kinds |= extension::REPEATED;
        }
        if place < self.place {
            self.kinds |= extension::UNORDERED;
        }
        self.kinds |= bit;
        self.place = place;
    }
}

/// Walks extension headers in `payload`, the bytes behind the fixed header, whose type is `next`. `None` when the chain does
/// not fit into them.
pub fn walk_extensions(payload: &[u8], next: u8) -> Option<Upper> {
    let mut at =
        Upper { proto: next, offset: 0, fragment: Fragment::No, routed: false, extensions: 0 };
    let mut met = Met::default();
    for _ in 0..MAX_EXTENSIONS {
        let len = match at.proto {
            ip_proto::HOP_BY_HOP
            | ip_proto::ROUTING
            | ip_proto::DESTINATION
            | ip_proto::AH
            | ip_proto::FRAGMENT => {
                met.header(at.proto);
                let rest = payload.get(at.offset..)?;
                // Every extension header has at least 8 bytes; all we read is in them.
                let (first, _) = rest.split_first_chunk::<8>()?;
                let len = match at.proto {
                    ip_proto::AH => (usize::from(first[1]) + 2) * 4,
                    ip_proto::FRAGMENT => 8,
                    _ => (usize::from(first[1]) + 1) * 8,
                };
                if at.proto == ip_proto::FRAGMENT {
                    let bits = u16::from_be_bytes([first[2], first[3]]);
                    if bits & 0xfff8 != 0 {
                        return Some(Upper {
                            offset: at.offset + 8,
                            fragment: Fragment::Later,
                            extensions: met.kinds,
                            ..at
                        });
                    }
                    if bits != 0 {
                        at.fragment = Fragment::First;
                    }
                }
                at.routed |= at.proto == ip_proto::ROUTING && first[3] != 0;
                at.proto = first[0];
                len
            }
            _ => {
                met.header(at.proto);
                return Some(Upper { extensions: met.kinds, ..at });
            }
        };
        at.offset += len;
        if at.offset > payload.len() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_end_within_their_bytes() {
        assert_eq!(
            walk_extensions(&[], 17),
            Some(Upper {
                proto: 17,
                offset: 0,
                fragment: Fragment::No,
                routed: false,
                extensions: 0
            })
        );
        let hbh = [17, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(walk_extensions(&hbh, 0).unwrap().offset, 8);
        assert_eq!(walk_extensions(&hbh[..7], 0), None);
        assert_eq!(walk_extensions(&[17, 1, 0, 0, 0, 0, 0, 0], 0), None);
        assert_eq!(walk_extensions(&[0; 8 * 300], 0), None, "too many");
    }

    #[test]
    fn fragments() {
        let mut f = [17, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(walk_extensions(&f, 44).unwrap().fragment, Fragment::No);
        f[3] = 1;
        assert_eq!(
            walk_extensions(&f, 44).unwrap(),
            Upper {
                proto: 17,
                offset: 8,
                fragment: Fragment::First,
                routed: false,
                extensions: extension::FRAGMENT
            }
        );
        f[3] = 8;
        assert_eq!(
            walk_extensions(&f, 44).unwrap(),
            Upper {
                proto: 44,
                offset: 8,
                fragment: Fragment::Later,
                routed: false,
                extensions: extension::FRAGMENT
            }
        );
    }
    /// What a chain of headers of 8 bytes of these kinds has.
    fn met(kinds: &[u8]) -> u16 {
        let mut bytes = vec![];
        for next in kinds.iter().skip(1) {
            bytes.extend([*next, 0, 0, 0, 0, 0, 0, 0]);
        }
        walk_extensions(&bytes, kinds[0]).unwrap().extensions
    }

    #[test]
    fn which_extensions_there_are() {
        use extension::*;
        const TCP: u8 = ip_proto::TCP;
        assert_eq!(met(&[TCP]), 0);
        assert_eq!(met(&[59]), NO_NEXT);
        assert_eq!(met(&[50]), ESP);
        assert_eq!(met(&[0, 51, TCP]), HOP_BY_HOP | AUTH);
        let all = HOP_BY_HOP | DESTINATION | ROUTING | FRAGMENT | AUTH | ESP;
        assert_eq!(met(&[0, 60, 43, 44, 51, 50]), all, "as recommended");
        assert_eq!(met(&[0, 43, 60, TCP]), HOP_BY_HOP | ROUTING | DESTINATION);
        assert_eq!(met(&[60, 43, 60, TCP]), ROUTING | DESTINATION, "two are allowed");
        assert_eq!(met(&[60, 60, 60, TCP]), DESTINATION | REPEATED, "but not three");
        assert_eq!(met(&[43, 43, TCP]), ROUTING | REPEATED);
        assert_eq!(met(&[51, 0, TCP]), AUTH | HOP_BY_HOP | UNORDERED);
        assert_eq!(met(&[43, 60, 44, TCP]), ROUTING | DESTINATION | FRAGMENT | UNORDERED);
    }
}
