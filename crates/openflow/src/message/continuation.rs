//! What a switch must know to go on with a packet that it gave to a controller: Open vSwitch's form of it.
//!
//! To a controller it is a row of bytes ([`PacketIn::continuation`](super::PacketIn)), which comes back as it went
//! ([`Message::Resume`](super::Message)). A switch reads it by [`wire::continuation`](crate::wire::continuation).

use crate::action::{Action, Instructions};

/// Actions that were left when the pipeline paused, and the rule that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// The rule's table.
    pub table: u8,
    /// The rule's cookie.
    pub cookie: u64,
    /// What is still to be done.
    pub actions: Vec<Action>,
    /// What is to be done behind that, and no action says.
    pub instructions: Instructions,
}

impl Rest {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.instructions.is_empty()
    }
}

/// Where a packet paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// The bridge, by the four words of its UUID. A packet goes on nowhere else.
    pub bridge: Option<[u32; 4]>,
    /// The stack, its top first: each value's bytes.
    pub stack: Vec<Vec<u8>>,
    /// Mirrors that the packet was sent to already, as bits.
    pub mirrors: u32,
    /// Whether connection tracking saw the packet.
    pub conntracked: bool,
    /// What is left, the innermost rule first.
    pub rest: Vec<Rest>,
    /// What is done at the end.
    pub action_set: Vec<Action>,
    /// The datapath's port that the packet came in by.
    pub datapath_port: Option<u32>,
}

/// The longest value on a stack.
pub const LONGEST: usize = 128;
