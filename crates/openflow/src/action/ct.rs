//! Connection tracking.

use std::net::IpAddr;

use super::{Action, Subfield};

/// A connection tracking zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// This one.
    Number(u16),
    /// Whose number is in a field.
    Field(Subfield),
}

/// Looks up, and perhaps commits, the packet's connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ct {
    /// Make it known.
    pub commit: bool,
    /// Whatever its direction was before.
    pub force: bool,
    /// Where.
    pub zone: Zone,
    /// Where a copy of the packet goes on, with its connection known.
    pub table: Option<u8>,
    /// Port of the protocol that has a helper; 0 for none.
    pub alg: u16,
    /// Address translation.
    pub nat: Option<Nat>,
    /// What is done to the connection's own fields.
    pub exec: Vec<Action>,
}

impl Default for Ct {
    fn default() -> Self {
        Ct {
            commit: false,
            force: false,
            zone: Zone::Number(0),
            table: None,
            alg: 0,
            nat: None,
            exec: Vec::new(),
        }
    }
}

/// Which address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Side {
    Src,
    Dst,
}

/// Address translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nat {
    /// `None`: as the connection has it already.
    pub side: Option<Side>,
    /// The same for one host, across restarts.
    pub persistent: bool,
    /// Ports are chosen by a hash.
    pub hash: bool,
    /// Ports are chosen at random.
    pub random: bool,
    /// First and, if there is a range, last address.
    pub addresses: Option<(IpAddr, Option<IpAddr>)>,
    /// First and, if there is a range, last port.
    pub ports: Option<(u16, Option<u16>)>,
}
