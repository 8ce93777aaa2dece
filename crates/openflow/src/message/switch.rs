//! What a switch is and how it is set up.

use super::port::PortDesc;
use crate::error::Code;

/// What a switch can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Who it is.
    pub datapath_id: u64,
    /// Packets that it keeps.
    pub buffers: u32,
    /// Tables that it has.
    pub tables: u8,
    /// 0 for the main connection.
    pub auxiliary_id: u8,
    /// Bits of [`CAPABILITIES`].
    pub capabilities: u32,
    /// Actions that it has, as bits; in OpenFlow 1.0.
    pub actions: u32,
    /// Its ports; up to OpenFlow 1.2.
    pub ports: Vec<PortDesc>,
}

/// Names of a switch's capabilities by bit. Some versions know fewer.
pub const CAPABILITIES: &[(&str, u32)] = &[
    ("FLOW_STATS", 1),
    ("TABLE_STATS", 1 << 1),
    ("PORT_STATS", 1 << 2),
    ("STP", CAPABILITY_STP),
    ("GROUP_STATS", CAPABILITY_GROUP_STATS),
    ("IP_REASM", 1 << 5),
    ("QUEUE_STATS", 1 << 6),
    ("ARP_MATCH_IP", 1 << 7),
    ("PORT_BLOCKED", 1 << 8),
    ("BUNDLES", 1 << 9),
    ("FLOW_MONITORING", 1 << 10),
];

/// Spanning tree, in OpenFlow 1.0. The same bit means groups later, so here they are two.
pub const CAPABILITY_STP: u32 = 1 << 30;
/// Groups, since OpenFlow 1.1.
pub const CAPABILITY_GROUP_STATS: u32 = 1 << 3;

/// How fragments are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Fragments {
    #[default]
    Normal,
    Drop,
    Reassemble,
    /// As fields to match: Nicira's.
    NxMatch,
}

impl Fragments {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Fragments::Normal => "normal",
            Fragments::Drop => "drop",
            Fragments::Reassemble => "reassemble",
            Fragments::NxMatch => "nx-match",
        }
    }
}

/// What a controller can set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Of fragments.
    pub fragments: Fragments,
    /// Whether packets that died are sent to the controller: `None` where the version cannot say.
    pub invalid_ttl_to_controller: Option<bool>,
    /// How much of a packet that no rule matched goes to the controller.
    pub miss_send_len: u16,
}

/// What a controller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    NoChange,
    Equal,
    Primary,
    Secondary,
}

impl Role {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Role::NoChange => "nochange",
            Role::Equal => "equal",
            Role::Primary => "primary",
            Role::Secondary => "secondary",
        }
    }

    /// By the number that the standard gave; Nicira's are one less, and it has no question.
    pub fn from_number(number: u32) -> Result<Role, Code> {
        use Role::*;
        usize::try_from(number)
            .ok()
            .and_then(|i| [NoChange, Equal, Primary, Secondary].get(i).copied())
            .ok_or(Code::OFPRRFC_BAD_ROLE)
    }
}

/// A role, asked for or given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleMessage {
    /// Which.
    pub role: Role,
    /// A number that grows with each election: late requests of a lost one are refused.
    pub generation: Option<u64>,
    /// Among several with this role; OpenFlow 1.5.
    pub short_id: Option<u16>,
    /// Whether it is Nicira's message.
    pub nicira: bool,
}
