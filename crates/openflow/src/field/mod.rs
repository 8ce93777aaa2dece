//! The one table of fields: name, width, masks, prerequisites, numbers on the wire, text.
//!
//! Matching, actions, both wire formats, text and documentation read this table; a field is nowhere else described.
//!
//! # Home
//! Several fields can be views of the same bits: `vlan_vid` and `vlan_pcp` of `vlan_tci`, `tcp_src` and `icmp_type` of the same
//! sixteen bits, `xreg0` of two registers. [`Row::home`] names the field that owns the bits; a [`Match`](crate::Match) stores
//! owners alone, so two ways to say the same are equal.

pub mod prereq;
mod table;
pub mod value;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use prereq::Prereq;
pub use table::Field;
pub use value::Value;

use crate::error::{NICIRA, ONF};
use crate::version::Version;

/// How a value is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    Decimal,
    Hex,
    Ethernet,
    Ipv4,
    Ipv6,
    /// A port's number as OpenFlow 1.0 has it.
    Port,
    /// A port's number as later versions have it.
    Port32,
    Frag,
    CtState,
    TunnelFlags,
    TcpFlags,
    PacketType,
}

/// What a version with a match of fixed form can say about a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fixed {
    No,
    Exact,
    Cidr,
    Masked,
}

/// The family of a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `NXM_OF_`
    NxmOf,
    /// `NXM_NX_`
    NxmNx,
    /// `OXM_OF_`
    Oxm,
    /// `OXM_OF_PKT_REG`
    PktReg,
    /// `ERICOXM_OF_`
    Eric,
    /// `NXOXM_ET_`, an experimenter's
    NxEt,
    /// `NXOXM_NSH_`, an experimenter's
    NshVendor,
    /// `ONFOXM_ET_`, an experimenter's
    OnfEt,
}

/// The class that says that an experimenter's number follows.
pub const EXPERIMENTER: u16 = 0xffff;
const NSH_VENDOR: u32 = 0x005a_d650;

impl Class {
    /// The class on the wire, and the experimenter.
    pub fn wire(self) -> (u16, u32) {
        match self {
            Class::NxmOf => (0, 0),
            Class::NxmNx => (1, 0),
            Class::Oxm => (0x8000, 0),
            Class::PktReg => (0x8001, 0),
            Class::Eric => (0x1000, 0),
            Class::NxEt => (EXPERIMENTER, NICIRA),
            Class::NshVendor => (EXPERIMENTER, NSH_VENDOR),
            Class::OnfEt => (EXPERIMENTER, ONF),
        }
    }

    /// Whether it is of the standard's making (the rest is Nicira's and Ericsson's).
    pub fn is_standard(self) -> bool {
        matches!(self, Class::Oxm | Class::PktReg | Class::OnfEt)
    }
}

/// One of a field's names on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// As in the standards' header files.
    pub name: &'static str,
    /// Its family.
    pub class: Class,
    /// Its number there.
    pub number: u8,
    /// The first version that knows it; extensions go with every version.
    pub since: Version,
}

/// A number on the wire without what varies (mask, length).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    /// Class.
    pub class: u16,
    /// Experimenter, or 0.
    pub experimenter: u32,
    /// Field.
    pub number: u8,
}

impl Number {
    const PLACES: usize = 128;

    fn place(&self) -> usize {
        usize::from(self.number) % Self::PLACES
    }
}

impl Header {
    /// The number on the wire.
    pub fn number(&self) -> Number {
        let (class, experimenter) = self.class.wire();
        Number { class, experimenter, number: self.number }
    }
}

/// What there is to know about a field.
#[derive(Debug)]
pub struct Row {
    /// The name that we print.
    pub name: &'static str,
    /// Another that we understand; may be empty.
    pub alias: &'static str,
    /// Size on the wire, in bits.
    pub width: u32,
    /// How many low bits can be set.
    pub bits: u32,
    /// As text.
    pub format: Format,
    /// Whether parts of it can be matched.
    pub maskable: bool,
    /// What must be matched as well.
    pub prereq: Prereq,
    /// Whether actions can change it.
    pub writable: bool,
    /// In OpenFlow 1.0's match.
    pub of10: Fixed,
    /// In OpenFlow 1.1's match.
    pub of11: Fixed,
    /// Whose bits they are, and from which bit on.
    pub home: (Field, u32),
    /// Numbers on the wire, Nicira's first.
    pub headers: &'static [Header],
}

impl Field {
    /// The field's row.
    pub fn row(self) -> &'static Row {
        &table::ROWS[self as usize]
    }

    /// The name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Size on the wire in bytes.
    pub fn bytes(self) -> usize {
        self.row().width as usize / 8
    }

    /// All bits that the field has room for.
    pub fn ones(self) -> Value {
        Value::ones(self.row().width)
    }

    /// No bit.
    pub fn zero(self) -> Value {
        Value::zero(self.row().width)
    }

    /// Whether the field can hold this. Some have fewer bits than their room on the wire, or meanings that leave gaps.
    pub fn accepts(self, value: &Value) -> bool {
        let outside = |bits: u128| value.int() & !bits != 0;
        match self {
            Field::VlanVid => !outside(0x1fff),
            Field::NwTos => !outside(0xfc),
            Field::ArpOp => !outside(0xff),
            Field::InPortOxm | Field::ActsetOutput => {
                crate::port::Port::from_wire32(value.int() as u32).is_some()
            }
            Field::CtState => !outside(0xff),
            _ => {
                let row = self.row();
                row.bits == row.width || !outside(value::low_ones(row.bits))
            }
        }
    }

    /// The field with that name, alias, or name on the wire.
    pub fn by_name(name: &str) -> Option<Field> {
        static NAMES: LazyLock<HashMap<&'static str, Field>> = LazyLock::new(|| {
            let rows = Field::ALL.iter().map(|field| (*field, field.row()));
            let names = rows.flat_map(|(field, row)| {
                [row.name, row.alias].into_iter().filter(|n| !n.is_empty()).map(move |n| (n, field))
            });
            names.collect()
        });
        NAMES.get(name).copied()
    }

    /// The field with that number on the wire.
    pub fn by_number(number: Number) -> Option<(Field, &'static Header)> {
        type Named = (Number, Field, &'static Header);
        /// By the lowest bits of the number, several in a place: matches are read by the hundred thousand a second.
        static NUMBERS: LazyLock<Vec<Vec<Named>>> = LazyLock::new(|| {
            let mut places = vec![Vec::new(); Number::PLACES];
            for field in Field::ALL.iter() {
                for header in field.row().headers {
                    places[header.number().place()].push((header.number(), *field, header));
                }
            }
            places
        });
        let place = NUMBERS.get(number.place())?;
        let found = place.iter().rfind(|(own, ..)| *own == number);
        found.map(|(_, field, header)| (*field, *header))
    }

    /// The field whose name on the wire this is.
    pub fn by_header_name(name: &str) -> Option<(Field, &'static Header)> {
        static NAMES: LazyLock<HashMap<&'static str, (Field, &'static Header)>> =
            LazyLock::new(|| {
                let all = Field::ALL.iter().flat_map(|field| {
                    field.row().headers.iter().map(move |h| (h.name, (*field, h)))
                });
                all.collect()
            });
        NAMES.get(name).copied()
    }

    /// The number to write in `version` (`None`: Nicira's extensible match, in OpenFlow 1.0 and 1.1).
    ///
    /// The standard's own where `version` knows it, else an extension; the newest of what is left when `version` is too old for
    /// all of them, for there is no other way to say it.
    pub fn header(self, version: Version) -> Option<&'static Header> {
        let headers = self.row().headers;
        let oxm = version >= Version::V12;
        let known = |h: &Header| h.since <= version && (oxm || !h.class.is_standard());
        let standard = headers.iter().filter(|h| known(h) && h.class.is_standard());
        // The newest standard number is the one proper; older ones are stand-ins from before it.
        standard
            .max_by_key(|h| h.since)
            .or_else(|| headers.iter().find(|h| known(h)))
            .or_else(|| headers.iter().filter(|h| h.class != Class::OnfEt).max_by_key(|h| h.since))
            .or(headers.first())
    }

    /// The name that actions print: Nicira's where there is one.
    pub fn wire_name(self) -> &'static str {
        self.row().headers.first().map_or(self.row().name, |h| h.name)
    }

    /// Register number `i`, counting 32-bit registers.
    pub fn reg(i: usize) -> Field {
        Field::ALL[Field::Reg0 as usize + i]
    }

    /// Tunnel option number `i`.
    pub fn tun_metadata(i: usize) -> Field {
        Field::ALL[Field::TunMetadata0 as usize + i]
    }

    /// The number of a tunnel option, if it is one.
    pub fn tun_metadata_index(self) -> Option<usize> {
        (Field::TunMetadata0..=Field::TunMetadata63)
            .contains(&self)
            .then(|| self as usize - Field::TunMetadata0 as usize)
    }

    /// The 32-bit registers that a register is made of: the first, and how many.
    pub fn registers(self) -> Option<(usize, usize)> {
        let i = |first: Field| self as usize - first as usize;
        if (Field::Reg0..=Field::Reg15).contains(&self) {
            Some((i(Field::Reg0), 1))
        } else if (Field::Xreg0..=Field::Xreg7).contains(&self) {
            Some((i(Field::Xreg0) * 2, 2))
        } else if (Field::Xxreg0..=Field::Xxreg3).contains(&self) {
            Some((i(Field::Xxreg0) * 4, 4))
        } else {
            None
        }
    }
}
