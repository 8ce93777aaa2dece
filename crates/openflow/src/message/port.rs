//! Ports and what is said of them.

use crate::port::Port;

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortDesc {
    /// Its number.
    pub port: Port,
    /// Its hardware address.
    pub address: [u8; 6],
    /// Its name, 15 bytes of it.
    pub name: String,
    /// Bits of [`CONFIG`].
    pub config: u32,
    /// Bits of [`STATE`].
    pub state: u32,
    /// Bits of [`FEATURES`]: what it does now.
    pub current: u32,
    /// What it says to its peer.
    pub advertised: u32,
    /// What it can do.
    pub supported: u32,
    /// What its peer says.
    pub peer: u32,
    /// kbit/s; in OpenFlow 1.0 what the features say.
    pub current_speed: u32,
    /// kbit/s at most.
    pub max_speed: u32,
}

/// A name and its bit.
pub type Bit = (&'static str, u32);

/// How a port is set up. Spanning tree's bits are OpenFlow 1.0's alone.
pub const CONFIG: &[Bit] = &[
    ("PORT_DOWN", 1),
    ("NO_STP", 1 << 1),
    ("NO_RECV", 1 << 2),
    ("NO_RECV_STP", 1 << 3),
    ("NO_FLOOD", 1 << 4),
    ("NO_FWD", 1 << 5),
    ("NO_PACKET_IN", 1 << 6),
];

/// The bits that OpenFlow 1.1 and later have.
pub const CONFIG11: u32 = 1 | 1 << 2 | 1 << 5 | 1 << 6;

/// How a port is.
pub const STATE: &[Bit] = &[("LINK_DOWN", 1), ("BLOCKED", 1 << 1), ("LIVE", 1 << 2)];

/// Where OpenFlow 1.0 has spanning tree's state.
pub const STP_SHIFT: u32 = 8;

/// What a port's link can do.
pub const FEATURES: &[Bit] = &[
    ("10MB-HD", 1),
    ("10MB-FD", 1 << 1),
    ("100MB-HD", 1 << 2),
    ("100MB-FD", 1 << 3),
    ("1GB-HD", 1 << 4),
    ("1GB-FD", 1 << 5),
    ("10GB-FD", 1 << 6),
    ("40GB-FD", 1 << 7),
    ("100GB-FD", 1 << 8),
    ("1TB-FD", 1 << 9),
    ("OTHER", 1 << 10),
    ("COPPER", 1 << 11),
    ("FIBER", 1 << 12),
    ("AUTO_NEG", 1 << 13),
    ("AUTO_PAUSE", 1 << 14),
    ("AUTO_PAUSE_ASYM", 1 << 15),
];

/// What became of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PortReason {
    Add,
    Delete,
    Modify,
}

/// A port that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// Which.
    pub reason: PortReason,
    /// What it is now.
    pub desc: PortDesc,
}

/// A change of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMod {
    /// Which.
    pub port: Port,
    /// Its address, to be sure.
    pub address: [u8; 6],
    /// Bits to be as said.
    pub config: u32,
    /// The bits that change.
    pub mask: u32,
    /// What it shall say to its peer; 0: no change.
    pub advertise: u32,
}
