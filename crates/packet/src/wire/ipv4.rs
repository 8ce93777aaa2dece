//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Fragment, Header};
use crate::checksum::{self, Sum};

/// Bits of [`Ipv4Header::frag`].
pub mod frag_bit {
    /// Do not fragment.
    pub const DF: u16 = 0x4000;
    /// More fragments follow.
    pub const MF: u16 = 0x2000;
    /// Offset in units of 8 bytes.
    pub const OFFSET: u16 = 0x1fff;
}

/// The header without options: 20 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version (high nibble) and header length in 32-bit words.
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Length of header and payload in bytes.
    pub total_len: U16,
    /// Identification.
    pub id: U16,
    /// Flags and fragment offset: [`frag_bit`].
    pub frag: U16,
    /// Time to live.
    pub ttl: u8,
    /// Payload protocol: [`super::ip_proto`].
    pub proto: u8,
    /// Header checksum.
    pub csum: U16,
    /// Source.
    pub src: U32,
    /// Destination.
    pub dst: U32,
}

impl Header for Ipv4Header {}

impl Ipv4Header {
    /// A header for `payload_len` bytes, not to be fragmented, with its checksum right. A length beyond 65515 is cut to it.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, ttl: u8, payload_len: usize) -> Self {
        let mut header = Self {
            version_ihl: 0x45,
            tos: 0,
            total_len: u16::try_from(payload_len + Self::LEN).unwrap_or(u16::MAX).into(),
            id: 0.into(),
            frag: frag_bit::DF.into(),
            ttl,
            proto,
            csum: 0.into(),
            src: src.to_bits().into(),
            dst: dst.to_bits().into(),
        };
        header.csum = checksum::checksum(header.as_bytes()).into();
        header
    }

    /// Length of the header with options in bytes, as it claims: 0 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0xf) * 4
    }

    /// The extent of the packet that begins `bytes`: (header length, total length). `None` when the lengths contradict each
    /// other or the bytes at hand; bytes behind the total length are link-layer padding and fine.
    #[inline]
    pub fn extent(&self, available: usize) -> Option<(usize, usize)> {
        let (header, total) = (self.header_len(), usize::from(self.total_len.get()));
        (header >= Self::LEN && header <= total && total <= available).then_some((header, total))
    }

    /// Whether it is a fragment.
    #[inline]
    pub fn fragment(&self) -> Fragment {
        let bits = self.frag.get();
        if bits & frag_bit::OFFSET != 0 {
            Fragment::Later
        } else if bits & frag_bit::MF != 0 {
            Fragment::First
        } else {
            Fragment::No
        }
    }

    /// The pseudo-header's part of a transport checksum over `len` bytes.
    #[inline]
    pub fn pseudo(&self, len: usize) -> Sum {
        Sum::pseudo_v4(self.src.get(), self.dst.get(), self.proto, len)
    }

    /// Changes the total length and brings the checksum along (RFC 1624).
    pub fn set_total_len(&mut self, total_len: u16) {
        self.csum = checksum::update16(self.csum.get(), self.total_len.get(), total_len).into();
        self.total_len = total_len.into();
    }

    /// Changes the identification and brings the checksum along.
    pub fn set_id(&mut self, id: u16) {
        self.csum = checksum::update16(self.csum.get(), self.id.get(), id).into();
        self.id = id.into();
    }
}

/// The sum over a header, which almost never has options.
#[inline]
fn sum(header: &[u8]) -> Sum {
    match <&[u8; Ipv4Header::LEN]>::try_from(header) {
        Ok(plain) => checksum::sum_few(plain),
        Err(_) => checksum::sum(header),
    }
}

/// Whether the checksum of this header (with options) is right.
#[inline]
pub fn is_sound(header: &[u8]) -> bool {
    sum(header).checksum() == 0
}

/// Computes the checksum of the header (with options) that begins `packet`. Nothing happens when it does not fit.
pub fn fix_checksum(packet: &mut [u8]) {
    let Some(len) = Ipv4Header::view(packet).map(Ipv4Header::header_len) else { return };
    if let Some(header) = packet.get_mut(..len).filter(|h| h.len() >= Ipv4Header::LEN) {
        header[10..12].fill(0);
        let csum = sum(header).checksum();
        header[10..12].copy_from_slice(&csum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_header_verifies_and_edits_keep_it_so() {
        let mut h =
            Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 17, 64, 8);
        assert_eq!(checksum::checksum(h.as_bytes()), 0);
        h.set_total_len(1500);
        h.set_id(0xfffe);
        assert_eq!(checksum::checksum(h.as_bytes()), 0);
        assert!(is_sound(h.as_bytes()));
        let mut wrong = h;
        wrong.ttl -= 1;
        assert!(!is_sound(wrong.as_bytes()));
        let (before, mut bytes) = (h, h);
        bytes.csum = 0x1234.into();
        fix_checksum(bytes.as_mut_bytes());
        assert_eq!(bytes, before);
    }

    #[test]
    fn extents_that_lie_are_none() {
        let mut h = Ipv4Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 17, 64, 8);
        assert_eq!(h.extent(28), Some((20, 28)));
        assert_eq!(h.extent(46), Some((20, 28)));
        assert_eq!(h.extent(27), None);
        h.version_ihl = 0x44;
        assert_eq!(h.extent(28), None);
        h.version_ihl = 0x48;
        assert_eq!(h.extent(28), None);
        fix_checksum(h.as_mut_bytes()); // options that are not there: nothing happens
    }

    #[test]
    fn fragments() {
        let mut h = Ipv4Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 17, 64, 8);
        for (bits, want) in [
            (0x4000, Fragment::No),
            (0x8000, Fragment::No),
            (0x2000, Fragment::First),
            (0x2001, Fragment::Later),
            (1, Fragment::Later),
        ] {
            h.frag = bits.into();
            assert_eq!(h.fragment(), want, "{bits:#x}");
        }
    }
}
