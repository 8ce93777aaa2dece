//! The network service header (RFC 8300): base header and service path header.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The part that every header has: 8 bytes. Metadata follows.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct NshHeader {
    /// Version (2 bits), flags (2), TTL (6), length in words (6).
    pub word: U16,
    /// Type of the metadata: 1 for four words of context, 2 for variable length.
    pub mdtype: u8,
    /// Next protocol.
    pub np: u8,
    /// Service path identifier (24 bits) and service index (8 bits).
    pub path: U32,
}

impl Header for NshHeader {}

impl NshHeader {
    /// Metadata type: four words.
    pub const FIXED: u8 = 1;
    /// Metadata type: variable length.
    pub const VARIABLE: u8 = 2;
    /// Length of a header with four words of context.
    pub const FIXED_LEN: usize = 24;

    /// A header of `len` bytes with its metadata.
    pub fn new(flags: u8, ttl: u8, len: usize, mdtype: u8, np: u8, path: u32) -> Self {
        let word =
            u16::from(flags & 3) << 12 | u16::from(ttl & 0x3f) << 6 | (len / 4) as u16 & 0x3f;
        Self { word: word.into(), mdtype, np, path: path.into() }
    }

    /// Version; 0 is the only one.
    pub fn version(&self) -> u8 {
        (self.word.get() >> 14) as u8
    }

    /// Flags: 2 is OAM.
    pub fn flags(&self) -> u8 {
        (self.word.get() >> 12 & 3) as u8
    }

    /// Time to live, six bits.
    pub fn ttl(&self) -> u8 {
        (self.word.get() >> 6 & 0x3f) as u8
    }

    /// Changes the flags.
    pub fn set_flags(&mut self, flags: u8) {
        self.word = (self.word.get() & !0x3000 | u16::from(flags & 3) << 12).into();
    }

    /// Changes the time to live.
    pub fn set_ttl(&mut self, ttl: u8) {
        self.word = (self.word.get() & !0x0fc0 | u16::from(ttl & 0x3f) << 6).into();
    }

    /// Bytes of the whole header, metadata and all, as it says itself.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        usize::from(self.word.get() & 0x3f) * 4
    }

    /// Bytes that follow this part; `None` if the length says that not even this part is there.
    pub fn rest_len(&self) -> Option<usize> {
        self.len().checked_sub(Self::LEN)
    }

    /// Whether version, length and metadata type go together.
    pub fn is_sane(&self) -> bool {
        self.version() == 0
            && match self.mdtype {
                Self::FIXED => self.len() == Self::FIXED_LEN,
                Self::VARIABLE => self.len() >= Self::LEN,
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_rfc_has_them() {
        let mut h = NshHeader::new(2, 63, 24, 1, 3, 0x1234_56ff);
        assert_eq!(h.as_bytes(), [0x2f, 0xc6, 1, 3, 0x12, 0x34, 0x56, 0xff]);
        assert_eq!((h.version(), h.flags(), h.ttl(), h.len()), (0, 2, 63, 24));
        h.set_ttl(1);
        h.set_flags(0);
        assert_eq!(h.as_bytes()[..2], [0x00, 0x46]);
        assert!(h.is_sane());
        h.mdtype = 3;
        assert!(!h.is_sane());
    }
}
