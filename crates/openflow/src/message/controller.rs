//! What a controller wants to hear of, and what it hears of other controllers.

use super::group::GroupMod;
use super::meter::MeterMod;
use super::switch::Role;

/// How many kinds of messages a switch sends by itself.
pub const UNASKED: usize = 7;

/// What they are, in the order of [`AsyncMasks`]. The last is OpenFlow 1.5's.
pub const ASYNC_KINDS: [&str; UNASKED] = [
    "PACKET_IN",
    "PORT_STATUS",
    "FLOW_REMOVED",
    "ROLE_STATUS",
    "TABLE_STATUS",
    "REQUESTFORWARD",
    "CONTROLLER_STATUS",
];

/// For each kind of message, a bit for each reason; `None`: as it was.
pub type AsyncMasks = [Option<u32>; UNASKED];

/// The ways to say which messages are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AsyncForm {
    /// The version's own, or Nicira's first where there is none.
    #[default]
    Standard,
    /// Nicira's first: three kinds, all at once.
    Nicira,
    /// Nicira's second, which is that of OpenFlow 1.4 in earlier versions.
    Nicira2,
}

/// Which messages a controller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig {
    /// As a primary, or equal.
    pub primary: AsyncMasks,
    /// As a secondary.
    pub secondary: AsyncMasks,
    /// How it is said.
    pub form: AsyncForm,
}

/// Why a role changed.
pub const ROLE_REASONS: [&str; 3] =
    ["primary_request", "configuration_changed", "experimenter_data_changed"];

/// A controller's role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    /// What it is now.
    pub role: Role,
    /// Why: [`ROLE_REASONS`].
    pub reason: u8,
    /// The last election that the switch knows.
    pub generation: Option<u64>,
}

/// A change that another controller made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Of a group.
    Group(Box<GroupMod>),
    /// Of a meter.
    Meter(MeterMod),
}

/// A change that another controller made, as that controller sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestForward {
    /// Its transaction.
    pub xid: u32,
    /// The change.
    pub change: Forwarded,
}

/// Why a controller's status is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ControllerReason {
    /// Somebody asked.
    #[default]
    Request,
    /// The connection came or went.
    ChannelStatus,
    Role,
    ControllerAdded,
    ControllerRemoved,
    ShortId,
    Experimenter,
}

impl ControllerReason {
    /// All, by number.
    pub const ALL: [ControllerReason; 7] = [
        ControllerReason::Request,
        ControllerReason::ChannelStatus,
        ControllerReason::Role,
        ControllerReason::ControllerAdded,
        ControllerReason::ControllerRemoved,
        ControllerReason::ShortId,
        ControllerReason::Experimenter,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        CONTROLLER_REASONS[self as usize]
    }
}

/// The names of [`ControllerReason`]s.
pub const CONTROLLER_REASONS: [&str; 7] = [
    "request",
    "channel_status",
    "role",
    "controller_added",
    "controller_removed",
    "short_id",
    "experimenter",
];

/// How one of the switch's controllers stands; since OpenFlow 1.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerStatus {
    /// By which number it calls itself; 0: by none.
    pub short_id: u16,
    /// What it may do.
    pub role: Role,
    /// Why this is told.
    pub reason: ControllerReason,
    /// Whether it is connected.
    pub connected: bool,
    /// Where it is, if that is said.
    pub uri: Option<String>,
}
