//! What a rule does to packets: actions, and the instructions that hold them.
//!
//! Actions are the union of what all versions of OpenFlow and Nicira's extensions know. How each is written, and in which
//! versions it can be, is `wire`'s affair.

pub mod ct;
pub mod learn;
pub mod select;

pub use ct::{Ct, Nat, Zone};
pub use learn::Learn;
pub use select::{Bundle, Multipath};

use crate::field::{Field, Value};
use crate::port::Port;

/// A part of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subfield {
    /// The field.
    pub field: Field,
    /// Its first bit.
    pub from: u32,
    /// How many bits.
    pub bits: u32,
}

impl Subfield {
    /// All of a field.
    pub fn whole(field: Field) -> Subfield {
        Subfield { field, from: 0, bits: field.row().bits }
    }

    /// Whether the field has such bits.
    pub fn exists(&self) -> bool {
        self.bits > 0 && self.from.saturating_add(self.bits) <= self.field.row().bits
    }

    /// Whether it is the field as a whole.
    pub fn is_whole(&self) -> bool {
        *self == Subfield::whole(self.field)
    }

    /// The bits as a mask over the field.
    pub fn mask(&self) -> Value {
        Value::mask(self.field.row().width, self.from, self.bits)
    }
}

/// To a controller, with more to say than a length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// How much of the packet.
    pub max_len: u16,
    /// Which controller; 0 for any.
    pub id: u16,
    /// The reason that is given.
    pub reason: u8,
    /// What comes back with the packet.
    pub userdata: Vec<u8>,
    /// Whether the pipeline can be resumed.
    pub pause: bool,
    /// The meter that the messages pass.
    pub meter: Option<u32>,
}

impl Default for Controller {
    fn default() -> Self {
        Controller {
            max_len: u16::MAX,
            id: 0,
            reason: crate::message::packet_in::REASON_ACTION,
            userdata: Vec::new(),
            pause: false,
            meter: None,
        }
    }
}

/// Where sampled packets are said to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Direction {
    #[default]
    Default,
    Ingress,
    Egress,
}

/// Samples for IPFIX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Of 65535.
    pub probability: u16,
    /// Whose collectors.
    pub collector_set: u32,
    /// Observation domain.
    pub domain: u32,
    /// Observation point.
    pub point: u32,
    /// The port that is named.
    pub port: Option<Port>,
    /// Which way the packet goes there.
    pub direction: Direction,
}

/// A property of a header that is put around a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EncapProperty {
    /// Which metadata an NSH header has.
    MdType(u8),
    /// One of an NSH header's variable metadata.
    Tlv {
        /// Its class.
        class: u16,
        /// Its type.
        kind: u8,
        /// Its value.
        data: Vec<u8>,
    },
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Action {
    // Output.
    Output {
        port: Port,
        max_len: u16,
    },
    OutputReg {
        src: Subfield,
        max_len: u16,
    },
    OutputTrunc {
        port: Port,
        max_len: u32,
    },
    Controller(Box<Controller>),
    Enqueue {
        port: Port,
        queue: u32,
    },
    Group(u32),
    Bundle(Box<Bundle>),
    // VLAN.
    /// With a tag put on where there is none, if asked for.
    SetVlanVid {
        vid: u16,
        push: bool,
    },
    SetVlanPcp {
        pcp: u8,
        push: bool,
    },
    /// As OpenFlow 1.0 calls it, and ...
    StripVlan,
    /// ... the same, as later versions do.
    PopVlan,
    PushVlan(u16),
    // Single header fields, as OpenFlow 1.0 names them.
    SetEthSrc([u8; 6]),
    SetEthDst([u8; 6]),
    SetIpSrc(u32),
    SetIpDst(u32),
    /// The six upper bits of the byte.
    SetTos(u8),
    SetEcn(u8),
    SetTtl(u8),
    SetTpSrc(u16),
    SetTpDst(u16),
    /// The controllers that hear of packets that died.
    DecTtl(Vec<u16>),
    // MPLS.
    SetMplsLabel(u32),
    SetMplsTc(u8),
    SetMplsTtl(u8),
    DecMplsTtl,
    PushMpls(u16),
    PopMpls(u16),
    /// To the outermost of the headers that count hops, from the next (MPLS and IP).
    CopyTtlOut,
    /// From the outermost to the next.
    CopyTtlIn,
    // Provider backbone bridges (IEEE 802.1ah).
    /// A backbone header with a service tag of this Ethernet type around the frame.
    PushPbb(u16),
    PopPbb,
    // Any field.
    SetField {
        field: Field,
        value: Value,
        mask: Value,
    },
    /// Nicira's way to set a part of a field.
    Load {
        dst: Subfield,
        value: u64,
    },
    Move {
        src: Subfield,
        dst: Subfield,
    },
    Push(Subfield),
    Pop(Subfield),
    DeleteField(Field),
    // Metadata.
    /// `wide`: in the form with 64 bits, even if fewer would do.
    SetTunnel {
        id: u64,
        wide: bool,
    },
    SetQueue(u32),
    PopQueue,
    // Control.
    Resubmit {
        port: Port,
        table: u8,
        with_ct: bool,
    },
    Clone(Vec<Action>),
    Exit,
    Conjunction {
        id: u32,
        clause: u8,
        clauses: u8,
    },
    Learn(Box<Learn>),
    Multipath(Box<Multipath>),
    FinTimeout {
        idle: u16,
        hard: u16,
    },
    Note(Vec<u8>),
    Sample(Box<Sample>),
    CheckPktLarger {
        len: u16,
        dst: Subfield,
    },
    /// As an action, in OpenFlow 1.5 and before it in the instruction of that name.
    Meter(u32),
    // Connections.
    Ct(Box<Ct>),
    CtClear,
    // Packets of other kinds.
    Encap {
        packet_type: u32,
        header_size: u16,
        properties: Vec<EncapProperty>,
    },
    /// The packet type that must remain, or [`USE_NEXT_PROTO`].
    Decap {
        packet_type: u32,
    },
    DecNshTtl,
}

/// To [`Action::Decap`]: whatever the header says.
pub const USE_NEXT_PROTO: u32 = 0xfffe;

/// The table that [`Action::Resubmit`] means by "the one we are in".
pub const SAME_TABLE: u8 = 255;

/// What a rule does: the instructions, each at most once, in the order in which they act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instructions {
    /// Before anything else; in OpenFlow 1.5 an action among the others.
    pub meter: Option<u32>,
    /// At once.
    pub apply: Vec<Action>,
    /// Empties the action set.
    pub clear_actions: bool,
    /// Into the action set. `None` and an empty list are different things to say, and mean the same.
    pub write_actions: Option<Vec<Action>>,
    /// Value and mask.
    pub write_metadata: Option<(u64, u64)>,
    /// On to another table.
    pub goto_table: Option<u8>,
}

impl Instructions {
    /// Actions alone.
    pub fn apply(actions: Vec<Action>) -> Instructions {
        Instructions { apply: actions, ..Instructions::default() }
    }

    /// Whether there is nothing to do: the packet is dropped.
    pub fn is_empty(&self) -> bool {
        *self == Instructions::default()
    }
}
