//! UDP (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// Offset of the checksum field.
pub const CSUM_OFFSET: u16 = 6;

/// The header: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct UdpHeader {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Length of header and payload.
    pub len: U16,
    /// Checksum; 0: none.
    pub csum: U16,
}

impl Header for UdpHeader {}

impl UdpHeader {
    /// A header for `payload_len` bytes (at most 65527) without a checksum.
    pub fn new(src: u16, dst: u16, payload_len: usize) -> Self {
        let len = u16::try_from(payload_len + Self::LEN).unwrap_or(u16::MAX);
        Self { src: src.into(), dst: dst.into(), len: len.into(), csum: 0.into() }
    }
}
