//! GRE (RFC 2784) with key and sequence number (RFC 2890).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// Bits of [`GreHeader::flags`]. All others, version included, must be zero.
pub mod flag {
    /// A checksum over header and payload, and two reserved bytes, follow.
    pub const CSUM: u16 = 0x8000;
    /// A key follows.
    pub const KEY: u16 = 0x2000;
    /// A sequence number follows.
    pub const SEQ: u16 = 0x1000;
}

/// Offset of the checksum, where there is one.
pub const CSUM_OFFSET: u16 = 4;

/// The part that every header has: 4 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct GreHeader {
    /// [`flag`] bits.
    pub flags: U16,
    /// Ethernet type of what is inside; [`eth_type::TEB`](super::ethernet::eth_type::TEB) for an Ethernet frame.
    pub proto: U16,
}

impl Header for GreHeader {}

/// A whole header, decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gre {
    /// Ethernet type of what is inside.
    pub proto: u16,
    /// The checksum as it stands there.
    pub csum: Option<u16>,
    /// Which of the sender's networks the packet belongs to.
    pub key: Option<u32>,
    /// Sequence number.
    pub seq: Option<u32>,
}

impl Gre {
    /// The header at the front of `bytes`. `None`: too short, another version, or flags that only routing and enhanced GRE
    /// know.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, mut rest) = GreHeader::split(bytes)?;
        let flags = header.flags.get();
        if flags & !(flag::CSUM | flag::KEY | flag::SEQ) != 0 {
            return None;
        }
        let mut word = |bit| {
            if flags & bit == 0 {
                return Some(None);
            }
            let (word, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            Some(Some(u32::from_be_bytes(*word)))
        };
        let csum = word(flag::CSUM)?.map(|word| (word >> 16) as u16);
        Some(Self { proto: header.proto.get(), csum, key: word(flag::KEY)?, seq: word(flag::SEQ)? })
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        let words = [self.csum.is_some(), self.key.is_some(), self.seq.is_some()];
        GreHeader::LEN + 4 * words.into_iter().filter(|there| *there).count()
    }

    /// Offset of the sequence number, where there is one.
    pub fn seq_offset(&self) -> Option<usize> {
        self.seq.map(|_| self.len() - 4)
    }

    /// Appends the header.
    pub fn write(&self, to: &mut Vec<u8>) {
        let words = [
            (flag::CSUM, self.csum.map(|csum| u32::from(csum) << 16)),
            (flag::KEY, self.key),
            (flag::SEQ, self.seq),
        ];
        let flags =
            words.iter().filter(|(_, word)| word.is_some()).fold(0, |all, (bit, _)| all | bit);
        let header = GreHeader { flags: flags.into(), proto: self.proto.into() };
        to.extend_from_slice(header.as_bytes());
        for word in words.into_iter().filter_map(|(_, word)| word) {
            to.extend_from_slice(&word.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_part_by_its_bytes() {
        let gre = Gre { proto: 0x6558, csum: Some(0), key: Some(9), seq: Some(1) };
        let mut bytes = vec![];
        gre.write(&mut bytes);
        assert_eq!(bytes, b"\xb0\0\x65\x58\0\0\0\0\0\0\0\x09\0\0\0\x01");
        assert_eq!((gre.len(), gre.seq_offset()), (16, Some(12)));
    }

    #[test]
    fn what_we_do_not_know_is_refused() {
        for flags in [0x4000u16, 0x0800, 0x0700, 0x0080, 0x0001] {
            let bytes = [flags.to_be_bytes(), [0x65, 0x58]].concat();
            assert_eq!(Gre::parse(&bytes), None, "{flags:#x}");
        }
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(
            proto: u16,
            csum: Option<u16>,
            key: Option<u32>,
            seq: Option<u32>,
            behind: Vec<u8>,
        ) {
            let gre = Gre { proto, csum, key, seq };
            let mut bytes = vec![];
            gre.write(&mut bytes);
            prop_assert_eq!(bytes.len(), gre.len());
            for cut in 0..bytes.len() {
                prop_assert_eq!(Gre::parse(&bytes[..cut]), None);
            }
            bytes.extend(behind);
            prop_assert_eq!(Gre::parse(&bytes), Some(gre));
        }
    }
}
