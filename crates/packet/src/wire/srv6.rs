//! The segment routing header (RFC 8754): an IPv6 routing header of type 4, the stations of a packet's way in reverse order.

use std::net::Ipv6Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The routing header's type.
pub const ROUTING_TYPE: u8 = 4;

/// The most segments that we write.
pub const SEGMENTS_MAX: usize = 6;

/// The fixed part: 8 bytes. Segments follow, 16 bytes each, the last station first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Srv6Header {
    /// What is inside: [`ip_proto`](super::ip_proto).
    pub next: u8,
    /// Length beyond the first eight bytes, in units of eight.
    pub len: u8,
    /// [`ROUTING_TYPE`].
    pub routing_type: u8,
    /// Segments that are yet to be visited.
    pub segments_left: u8,
    /// Position of the last element of the list, from zero.
    pub last_entry: u8,
    /// Flags; none is defined.
    pub flags: u8,
    /// A tag of the sender's.
    pub tag: U16,
}

impl Header for Srv6Header {}

impl Srv6Header {
    /// Appends a header for a packet that has its whole way before it: `segments` in the order in which they are visited, the
    /// first of which is the outer destination address. `None`: there are none, or more than [`SEGMENTS_MAX`].
    pub fn write(next: u8, segments: &[Ipv6Addr], to: &mut Vec<u8>) -> Option<()> {
        let last = u8::try_from(segments.len().checked_sub(1)?).ok()?;
        if segments.len() > SEGMENTS_MAX {
            return None;
        }
        let header = Self {
            next,
            len: 2 * (last + 1),
            routing_type: ROUTING_TYPE,
            segments_left: last,
            last_entry: last,
            flags: 0,
            tag: 0.into(),
        };
        to.extend_from_slice(header.as_bytes());
        for segment in segments.iter().rev() {
            to.extend_from_slice(&segment.octets());
        }
        Some(())
    }

    /// The header at the front of `bytes`, and its whole length. `None`: not a segment routing header, cut short, or a list
    /// that contradicts the length.
    pub fn parse(bytes: &[u8]) -> Option<(&Self, usize)> {
        let (header, _) = Self::split(bytes)?;
        let len = Self::LEN + 8 * usize::from(header.len);
        let listed = Self::LEN + 16 * (usize::from(header.last_entry) + 1);
        let sane = header.routing_type == ROUTING_TYPE
            && header.segments_left <= header.last_entry
            && listed <= len
            && len <= bytes.len();
        sane.then_some((header, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_segments_by_their_bytes() {
        let segments = ["fd00::1", "fd00::2"].map(|s| s.parse::<Ipv6Addr>().unwrap());
        let mut bytes = vec![];
        Srv6Header::write(4, &segments, &mut bytes).unwrap();
        assert_eq!(bytes[..8], [4, 4, 4, 1, 1, 0, 0, 0]);
        assert_eq!(bytes[8..24], segments[1].octets(), "the last station comes first");
        assert_eq!(bytes[24..], segments[0].octets());
        assert_eq!(Srv6Header::write(4, &[], &mut bytes), None);
        assert_eq!(Srv6Header::write(4, &[Ipv6Addr::LOCALHOST; 7], &mut bytes), None);
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(n in 1..=SEGMENTS_MAX, next: u8, behind: Vec<u8>) {
            let mut bytes = vec![];
            Srv6Header::write(next, &vec![Ipv6Addr::LOCALHOST; n], &mut bytes).unwrap();
            let whole = bytes.len();
            for cut in 0..whole {
                prop_assert!(Srv6Header::parse(&bytes[..cut]).is_none());
            }
            bytes.extend(behind);
            let (header, len) = Srv6Header::parse(&bytes).unwrap();
            prop_assert_eq!((header.next, len), (next, whole));
        }

        #[test]
        fn any_bytes_can_be_read(bytes: Vec<u8>) {
            if let Some((_, len)) = Srv6Header::parse(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
