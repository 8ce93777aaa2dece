//! The network service header (RFC 8300): what a flow matches of it, and the one that an action pushes.

/// Most bytes of metadata that fit the header's length field behind base and service path header.
pub const MD2_MAX: usize = 248;

/// The fields of a header. Of a mask, the bits that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NshKey {
    /// Two bits: 2 is OAM.
    pub flags: u8,
    /// Six bits.
    pub ttl: u8,
    /// 1: four words of context; 2: variable length.
    pub mdtype: u8,
    /// The next protocol ([`next`]).
    pub np: u8,
    /// Service path identifier (24 bits) and service index (8 bits).
    pub path: u32,
    /// The context headers of metadata type 1; zero for others.
    pub context: [u32; 4],
}

/// Values of the next protocol field.
pub mod next {
    #![allow(missing_docs)]
    pub const IPV4: u8 = 1;
    pub const IPV6: u8 = 2;
    pub const ETHERNET: u8 = 3;
    pub const NSH: u8 = 4;
}

/// A header to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NshPush {
    /// Its fields.
    pub key: NshKey,
    /// Variable-length metadata for type 2: a multiple of four bytes, at most [`MD2_MAX`].
    pub md2: Vec<u8>,
}

impl NshKey {
    /// Service path identifier.
    pub fn spi(&self) -> u32 {
        self.path >> 8
    }

    /// Service index.
    pub fn si(&self) -> u8 {
        self.path as u8
    }
}
