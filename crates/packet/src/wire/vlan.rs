//! IEEE 802.1Q tags.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::ethernet::eth_type;

/// A tag where it stands in a frame, behind the two addresses: protocol (0x8100, 0x88a8) and control information.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct VlanTag {
    /// Tag protocol.
    pub tpid: U16,
    /// Priority (3 bits), drop eligible (1 bit), id (12 bits).
    pub tci: U16,
}

impl Header for VlanTag {}

/// Whether an Ethernet type announces a tag.
pub fn is_vlan(t: u16) -> bool {
    t == eth_type::VLAN || t == eth_type::QINQ
}
