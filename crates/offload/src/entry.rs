//! What a flow does, as the kernel's side of the engine reads it, and what it has seen.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// Send it by an interface.
    Output = 1,
    /// Put the prepared headers before it, and send it.
    Push = 2,
    /// Take the outer headers off, and look up what is inside.
    Pop = 3,
}

/// Of [`Entry::flags`]: the interface takes super-packets that came out of a tunnel.
pub(crate) const POPPED_SUPER: u32 = 1;
/// The other end of the interface may have packets at once, if they are to its address.
pub(crate) const FAR: u32 = 2;

/// The length of the prepared headers: Ethernet, IPv4, UDP, VXLAN.
pub(crate) const HEADER: usize = 50;

/// One flow. The last four members are written by the programs, all else by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Entry {
    /// A [`Kind`].
    pub(crate) kind: u32,
    /// Where it goes.
    pub(crate) ifindex: u32,
    /// The longest frame there, Ethernet header included; of a super-packet, the longest segment.
    pub(crate) frame_max: u32,
    /// For [`Kind::Pop`]: the tunnel's port.
    pub(crate) tunnel_port: u32,
    pub(crate) flags: u32,
    /// The sum of the prepared IPv4 header's words without the total length.
    pub(crate) ip_sum: u32,
    /// The lowest UDP source port, and how many there are.
    pub(crate) source_low: u16,
    pub(crate) source_ports: u16,
    /// Which tally counts what is put at the other end.
    pub(crate) tally: u32,
    pub(crate) header: [u8; HEADER],
    /// The address of the other end.
    pub(crate) far_mac: [u8; 6],
    /// The longest frame there, but for super-packets.
    pub(crate) far_frame_max: u32,
    pub(crate) pad: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) tcp_flags: u64,
    /// Packets lost because the kernel had no memory to change them.
    pub(crate) failed: u64,
}

impl Default for Entry {
    fn default() -> Self {
        Self::new_zeroed()
    }
}
