//! VXLAN (RFC 7348).

use zerocopy::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The registered UDP port.
pub const PORT: u16 = 4789;

/// The flag that says "the network identifier is valid", which every VXLAN header must have, in [`VxlanHeader::flags`].
pub const FLAG_I: u32 = 0x0800_0000;

/// The header: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct VxlanHeader {
    /// Flags (high 8 bits) and reserved bits, which extensions use.
    pub flags: U32,
    /// Network identifier (high 24 bits) and 8 reserved bits.
    pub vni_reserved: U32,
}

impl Header for VxlanHeader {}

impl VxlanHeader {
    /// A plain header for a network; only the low 24 bits of `vni` count.
    pub fn new(vni: u32) -> Self {
        Self { flags: FLAG_I.into(), vni_reserved: (vni << 8).into() }
    }

    /// The network identifier.
    pub fn vni(&self) -> u32 {
        self.vni_reserved.get() >> 8
    }

    /// Whether it is a plain VXLAN header as we must accept it: flag I and no other of the flag bits that extensions (GBP,
    /// GPE) define, reserved bits zero. The reference refuses the rest as well.
    pub fn is_plain(&self) -> bool {
        self.flags.get() == FLAG_I && self.vni_reserved.get() & 0xff == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_identifier_has_24_bits() {
        let h = VxlanHeader::new(0xff12_3456);
        assert_eq!(h.as_bytes(), [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(h.vni(), 0x12_3456);
        assert!(h.is_plain());
        assert!(!VxlanHeader { flags: 0.into(), ..h }.is_plain());
        assert!(!VxlanHeader { vni_reserved: 1.into(), ..h }.is_plain());
    }
}
