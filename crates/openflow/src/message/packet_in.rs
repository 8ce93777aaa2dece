//! Packets on their way between switch and controller.

use crate::action::Action;
use crate::matching::Match;
use crate::port::Port;

/// No rule matched.
pub const REASON_NO_MATCH: u8 = 0;
/// An action said so.
pub const REASON_ACTION: u8 = 1;

/// The reasons' names.
const REASONS: [&str; 6] =
    ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

/// The reason's name, or its number.
pub fn reason_name(reason: u8) -> String {
    REASONS.get(usize::from(reason)).map_or_else(|| reason.to_string(), |name| (*name).to_owned())
}

/// The reason of that name.
pub fn reason_from_name(name: &str) -> Option<u8> {
    REASONS.iter().position(|reason| *reason == name).map(|i| i as u8)
}

/// A packet for a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// The packet, or its beginning.
    pub packet: Vec<u8>,
    /// How long it was in the switch.
    pub total_len: u32,
    /// The name under which the switch keeps all of it.
    pub buffer: Option<u32>,
    /// Why it is sent.
    pub reason: u8,
    /// Where in the pipeline.
    pub table: Option<u8>,
    /// Of the rule that sent it.
    pub cookie: Option<u64>,
    /// What is known beside the packet, the port that it came in by above all.
    pub metadata: Match,
    /// What the action said.
    pub userdata: Vec<u8>,
    /// What the switch needs to go on with the packet: nobody else's business.
    pub continuation: Vec<u8>,
    /// In which form it is sent.
    pub form: PacketInForm,
}

/// The forms that differ in what they can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketInForm {
    /// The version's own.
    Standard,
    /// Nicira's first.
    Nxt,
    /// Nicira's second, which can be extended.
    Nxt2,
}

impl PacketInForm {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            PacketInForm::Standard => "standard",
            PacketInForm::Nxt => "nxt_packet_in",
            PacketInForm::Nxt2 => "nxt_packet_in2",
        }
    }
}

/// A packet from a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// The packet that the switch kept. `None`: the one in `packet`.
    pub buffer: Option<u32>,
    /// What is known beside the packet, the port that it shall have come in by above all.
    pub metadata: Match,
    /// What to do.
    pub actions: Vec<Action>,
    /// The packet.
    pub packet: Vec<u8>,
}

impl PacketOut {
    /// The port that the packet shall have come in by.
    pub fn in_port(&self) -> Port {
        in_port(&self.metadata)
    }
}

/// The port in a match.
pub fn in_port(m: &Match) -> Port {
    m.exact(crate::field::Field::InPort).map_or(Port::NONE, |port| Port(port as u16))
}
