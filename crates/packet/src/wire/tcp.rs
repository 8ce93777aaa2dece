//! TCP (RFC 9293).

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// Offset of the checksum field.
pub const CSUM_OFFSET: u16 = 16;

/// Flag bits of [`TcpHeader::offset_flags`].
pub mod flag {
    #![allow(missing_docs)]
    pub const FIN: u16 = 0x001;
    pub const SYN: u16 = 0x002;
    pub const RST: u16 = 0x004;
    pub const PSH: u16 = 0x008;
    pub const ACK: u16 = 0x010;
    pub const URG: u16 = 0x020;
    pub const ECE: u16 = 0x040;
    pub const CWR: u16 = 0x080;
}

/// The header without options: 20 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct TcpHeader {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Sequence number of the first payload byte.
    pub seq: U32,
    /// Next sequence number expected.
    pub ack: U32,
    /// Header length in 32-bit words (high 4 bits) and flags (12 bits).
    pub offset_flags: U16,
    /// Receive window.
    pub window: U16,
    /// Checksum.
    pub csum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl Header for TcpHeader {}

impl TcpHeader {
    /// Length of the header with options in bytes, as it claims: 0 to 60.
    pub fn header_len(&self) -> usize {
        usize::from(self.offset_flags.get() >> 12) * 4
    }

    /// The 12 flag bits.
    pub fn flags(&self) -> u16 {
        self.offset_flags.get() & 0xfff
    }

    /// Clears these flag bits.
    pub fn clear_flags(&mut self, bits: u16) {
        self.offset_flags.set(self.offset_flags.get() & !(bits & 0xfff));
    }

    /// Sets these flag bits.
    pub fn set_flags(&mut self, bits: u16) {
        self.offset_flags.set(self.offset_flags.get() | (bits & 0xfff));
    }
}
