//! VXLAN (RFC 7348).

use zerocopy::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The registered UDP port.
pub const PORT: u16 = 4789;

/// The flag that says "the network identifier is valid", which every VXLAN header must have, in [`VxlanHeader::flags`].
pub const FLAG_I: u32 = 0x0800_0000;

/// The flag of group-based policies (draft-smith-vxlan-group-policy): the low 16 bits of [`VxlanHeader::flags`] are a group.
pub const FLAG_G: u32 = 0x8000_0000;

/// The flag of the generic protocol extension (draft-ietf-nvo3-vxlan-gpe): the lowest 8 bits of [`VxlanHeader::flags`] tell
/// what is inside.
pub const FLAG_P: u32 = 0x0400_0000;

/// What may be inside with [`FLAG_P`].
pub mod next {
    #![allow(missing_docs)]
    pub const IPV4: u8 = 1;
    pub const IPV6: u8 = 2;
    pub const ETHERNET: u8 = 3;
    pub const NSH: u8 = 4;
}

/// What a header says beside the network identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Nothing.
    None,
    /// A policy's group.
    Group {
        /// "Do not learn" (0x40) and "policy applied" (0x08).
        flags: u8,
        /// The group of the sender.
        id: u16,
    },
    /// What is inside, a number of [`next`].
    Next(u8),
}

/// The bits that [`Extension::Group`] may have in its flags.
pub const GROUP_FLAGS: u8 = 0x48;

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

    /// A header with an extension.
    pub fn extended(vni: u32, extension: Extension) -> Self {
        let more = match extension {
            Extension::None => 0,
            Extension::Group { flags, id } => {
                FLAG_G | u32::from(flags & GROUP_FLAGS) << 16 | u32::from(id)
            }
            Extension::Next(next) => FLAG_P | u32::from(next),
        };
        Self { flags: (FLAG_I | more).into(), ..Self::new(vni) }
    }

    /// What it says beside the network identifier. `None`: flags that contradict each other, or that nobody knows.
    pub fn extension(&self) -> Option<Extension> {
        let flags = self.flags.get();
        if flags & FLAG_I == 0 || self.vni_reserved.get() & 0xff != 0 {
            return None;
        }
        match flags & !FLAG_I {
            0 => Some(Extension::None),
            more if more & !(FLAG_G | u32::from(GROUP_FLAGS) << 16 | 0xffff) == 0 => {
                let id = more as u16;
                let group = Extension::Group { flags: (more >> 16) as u8, id };
                (more & FLAG_G != 0).then_some(group)
            }
            more if more & !(FLAG_P | 0xff) == 0 => Some(Extension::Next(more as u8)),
            _ => None,
        }
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

    #[test]
    fn extensions_by_their_bytes() {
        let group = Extension::Group { flags: 0x48, id: 5 };
        let h = VxlanHeader::extended(0x7b, group);
        assert_eq!(h.as_bytes(), [0x88, 0x48, 0, 5, 0, 0, 0x7b, 0]);
        assert_eq!(h.extension(), Some(group));
        let h = VxlanHeader::extended(0x7b, Extension::Next(next::IPV4));
        assert_eq!(h.as_bytes(), [0x0c, 0, 0, 1, 0, 0, 0x7b, 0]);
        assert_eq!(h.extension(), Some(Extension::Next(1)));
        for flags in [0x0800_0005u32, 0x8c00_0001, 0x0c00_0101, 0x1800_0000, 0x8880_0001, 0] {
            assert_eq!(VxlanHeader { flags: flags.into(), ..h }.extension(), None, "{flags:#x}");
        }
        assert_eq!(VxlanHeader::new(1).extension(), Some(Extension::None));
    }
}
