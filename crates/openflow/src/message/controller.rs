//! What a controller wants to hear of, and what it hears of other controllers.

use super::group::GroupMod;
use super::meter::MeterMod;
use super::switch::Role;

/// Kinds of messages that a switch sends by itself, in the order of [`AsyncMasks`].
pub const ASYNC_KINDS: [&str; 6] =
    ["PACKET_IN", "PORT_STATUS", "FLOW_REMOVED", "ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD"];

/// For each kind of message, a bit for each reason; `None`: as it was.
pub type AsyncMasks = [Option<u32>; 6];

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
