//! Port numbers of a bridge. OpenFlow 1.0 has sixteen bits for them, later versions thirty-two; inside we keep the short ones,
//! for no bridge has more ports than that.

use std::fmt;

/// A port's number on its bridge, or one of the reserved numbers that mean something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u16);

impl Port {
    /// The first reserved number.
    pub const MAX: Port = Port(0xff00);
    /// Not set by anybody; matches when the action set has no output.
    pub const UNSET: Port = Port(0xfff7);
    /// Back to where it came from.
    pub const IN_PORT: Port = Port(0xfff8);
    /// Through the flow tables.
    pub const TABLE: Port = Port(0xfff9);
    /// Learning switch.
    pub const NORMAL: Port = Port(0xfffa);
    /// All ports but blocked ones.
    pub const FLOOD: Port = Port(0xfffb);
    /// All ports.
    pub const ALL: Port = Port(0xfffc);
    /// The controller.
    pub const CONTROLLER: Port = Port(0xfffd);
    /// The bridge's own.
    pub const LOCAL: Port = Port(0xfffe);
    /// None, or any, depending on who asks.
    pub const NONE: Port = Port(0xffff);

    /// From thirty-two bits: small numbers, or reserved ones, which have ones in front.
    pub fn from_wire32(number: u32) -> Option<Port> {
        match number {
            0..0xff00 => Some(Port(number as u16)),
            0xffff_ff00.. => Some(Port(number as u16)),
            _ => None,
        }
    }

    /// As thirty-two bits.
    pub fn to_wire32(self) -> u32 {
        if self.0 < Port::MAX.0 { self.0.into() } else { 0xffff_0000 | u32::from(self.0) }
    }

    /// The reserved numbers' names.
    const NAMES: &[(&'static str, Port)] = &[
        ("IN_PORT", Port::IN_PORT),
        ("TABLE", Port::TABLE),
        ("NORMAL", Port::NORMAL),
        ("FLOOD", Port::FLOOD),
        ("ALL", Port::ALL),
        ("CONTROLLER", Port::CONTROLLER),
        ("LOCAL", Port::LOCAL),
        ("ANY", Port::NONE),
        ("UNSET", Port::UNSET),
        ("NONE", Port::NONE),
    ];

    /// A number or a reserved name.
    pub fn parse(text: &str) -> Option<Port> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return match text.parse().ok()? {
                number @ 0..=0xffff => Some(Port(number as u16)),
                number => Port::from_wire32(number),
            };
        }
        Port::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, port)| *port)
    }

    /// Whether it is one of the reserved numbers that have a name.
    pub fn has_name(self) -> bool {
        Port::NAMES.iter().any(|(_, port)| *port == self)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Port::NAMES.iter().find(|(_, port)| port == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
