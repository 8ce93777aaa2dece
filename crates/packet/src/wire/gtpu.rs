//! GTP-U (3GPP TS 29.281): what carries a mobile's packets between base station and core.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The registered UDP port.
pub const PORT: u16 = 2152;

/// The message type of a packet of the user's (T-PDU). All others are signalling.
pub const MSG_GPDU: u8 = 255;

/// The flags of a plain header: version 1, protocol type GTP.
pub const FLAGS_PLAIN: u8 = 0x30;

/// The mandatory part: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct GtpuHeader {
    /// Version (3 bits), protocol type, a spare bit, [`GtpuHeader::EXTENSION`], [`GtpuHeader::SEQUENCE`] and
    /// [`GtpuHeader::NPDU`].
    pub flags: u8,
    /// Message type.
    pub message: u8,
    /// Bytes that follow this part.
    pub len: U16,
    /// Tunnel endpoint identifier, of the receiver's choice.
    pub teid: U32,
}

impl Header for GtpuHeader {}

impl GtpuHeader {
    /// An extension header follows.
    pub const EXTENSION: u8 = 0x04;
    /// The sequence number means something.
    pub const SEQUENCE: u8 = 0x02;
    /// The N-PDU number means something.
    pub const NPDU: u8 = 0x01;

    /// A header before `payload_len` bytes of a user's packet.
    pub fn new(teid: u32, payload_len: usize) -> Self {
        let len = u16::try_from(payload_len).unwrap_or(u16::MAX);
        Self { flags: FLAGS_PLAIN, message: MSG_GPDU, len: len.into(), teid: teid.into() }
    }

    /// Whether it is of the version and protocol type that we know.
    pub fn is_sane(&self) -> bool {
        self.flags & 0xf0 == FLAGS_PLAIN
    }

    /// The header at the front of `bytes`, and the length of all of it: the optional part and extension headers included, each
    /// whole. `None`: not version 1 of GTP, or lengths that contradict each other.
    pub fn parse(bytes: &[u8]) -> Option<(&Self, usize)> {
        let (header, _) = Self::split(bytes)?;
        let end = Self::LEN + usize::from(header.len.get());
        let bytes = bytes.get(..end).filter(|_| header.is_sane())?;
        let mut at = Self::LEN;
        if header.flags & (Self::EXTENSION | Self::SEQUENCE | Self::NPDU) == 0 {
            return Some((header, at));
        }
        // Sequence number, N-PDU number, and the type of the first extension header.
        let [.., mut next] = *bytes.get(at..)?.first_chunk::<4>()?;
        at += 4;
        if header.flags & Self::EXTENSION == 0 {
            return Some((header, at));
        }
        while next != 0 {
            // Length in words, itself and the type of the next one included; nothing would ever end at length 0.
            let len = usize::from(*bytes.get(at)?) * 4;
            next = *bytes.get(at..)?.get(..len)?.last()?;
            at += len;
        }
        Some((header, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_header_by_its_bytes() {
        let header = GtpuHeader::new(0x1388, 20);
        assert_eq!(header.as_bytes(), b"\x30\xff\0\x14\0\0\x13\x88");
    }

    #[test]
    fn options_and_extension_headers_are_passed_over() {
        let parse = |bytes: &[u8]| GtpuHeader::parse(bytes).map(|(_, len)| len);
        assert_eq!(parse(b"\x30\xff\0\x04\0\0\0\x01data"), Some(8));
        assert_eq!(parse(b"\x32\xff\0\x04\0\0\0\x01\0\x07\0\x85"), Some(12), "type means nothing");
        let two = b"\x34\xff\0\x10\0\0\0\x01\0\0\0\x85\x01\x10\x09\xc0\x01ab\0data";
        assert_eq!(parse(two), Some(20));
        assert_eq!(parse(&two[..23]), None, "shorter than it says");
        assert_eq!(parse(b"\x34\xff\0\x08\0\0\0\x01\0\0\0\x85\0\0\0\0"), None, "length zero");
        assert_eq!(parse(b"\x34\xff\0\x08\0\0\0\x01\0\0\0\x85\x02\0\0\0"), None, "beyond the end");
        assert_eq!(parse(b"\x50\xff\0\0\0\0\0\x01"), None, "version 2");
        assert_eq!(parse(b"\x20\xff\0\0\0\0\0\x01"), None, "GTP'");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes: Vec<u8>) {
            if let Some((header, len)) = GtpuHeader::parse(&bytes) {
                prop_assert!(len <= GtpuHeader::LEN + usize::from(header.len.get()));
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
