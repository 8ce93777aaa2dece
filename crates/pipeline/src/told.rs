//! What controllers are to hear of a bridge: packets for them, and what has happened to rules by itself.

use openflow::Match;
use openflow::message::continuation::Continuation;

use crate::program::Changes;

/// Something of which a bridge's controllers are to hear.
#[derive(Clone, Debug)]
pub enum Event {
    /// A packet for them.
    PacketIn(Box<PacketIn>),
    /// Rules were learned, evicted or have expired.
    Changes(Changes),
}

/// A packet for a bridge's controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// The packet as it was when it was sent to them.
    pub packet: Vec<u8>,
    /// One of OpenFlow's reasons.
    pub reason: u8,
    /// The table whose rule sent it.
    pub table: u8,
    /// That rule's cookie; none if the packet met no rule.
    pub cookie: Option<u64>,
    /// Controllers with this id alone get it.
    pub controller: u16,
    /// They get no more than so many bytes of it.
    pub max_len: u16,
    /// Metadata and registers as they were, `in_port` among them.
    pub metadata: Match,
    /// What the rule's author wants to hear back.
    pub userdata: Vec<u8>,
    /// What to send back to have it go on, if it was paused.
    pub continuation: Option<Continuation>,
}
