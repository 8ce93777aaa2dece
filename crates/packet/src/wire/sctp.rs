//! SCTP's common header (RFC 9260): ports and a CRC that a switch leaves alone.

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The header: 12 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct SctpHeader {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Verification tag.
    pub tag: U32,
    /// CRC32c.
    pub crc: U32,
}

impl Header for SctpHeader {}
