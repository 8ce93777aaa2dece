//! What the connection tracker is asked for by a `ct(..)` action.

use std::net::IpAddr;

/// A pass through the connection tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ct {
    /// Whether an unknown connection is remembered.
    pub commit: Commit,
    /// The table of connections.
    pub zone: u16,
    /// Value and mask for the connection's mark.
    pub mark: Option<(u32, u32)>,
    /// Value and mask for the connection's label, in network order.
    pub label: Option<(u128, u128)>,
    /// The name of the application protocol whose related connections are looked for.
    pub helper: Option<String>,
    /// The name of the timeout policy.
    pub timeout: Option<String>,
    /// Address translation.
    pub nat: Option<Nat>,
}

/// Whether a connection is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Commit {
    /// Only looked up.
    #[default]
    No,
    /// Remembered.
    Yes,
    /// Remembered; one of the opposite direction is forgotten.
    Force,
}

/// Address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nat {
    /// As decided when the connection was new.
    Existing,
    /// Of a new connection.
    New(NatRange),
}

/// What a new connection's addresses and ports are chosen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NatRange {
    /// Which end is replaced.
    pub side: NatSide,
    /// First and last address, of one family; none: translate as the connection was.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// First and last port.
    pub ports: Option<(u16, u16)>,
    /// The choice survives a restart.
    pub persistent: bool,
    /// How ports are chosen, where it is said.
    pub choice: Option<NatChoice>,
}

/// Which end of the connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatSide {
    /// Its source.
    Source,
    /// Its destination.
    Destination,
}

/// How ports are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatChoice {
    /// By hash of the connection.
    Hash,
    /// At random.
    Random,
}
