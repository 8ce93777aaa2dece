//! A match as bytes, of which only the values vary: for who writes a hundred thousand matches of a dozen kinds.
//!
//! Which fields an extensible match is written as, in which order, whether with a mask and of which length, depends on the
//! match's own fields and masks and on a few values: those of [`Template::DECIDES`]. Two matches that agree on these are
//! written alike but for the bytes that the [`Slot`]s name.

use super::action::Context;
use super::oxm::{self, Header};
use super::{Reader, Writer};
use crate::error::Code;
use crate::field::Field;
use crate::matching::{Match, VLAN_PRESENT};
use crate::version::{Protocol, Version};

/// Where a field's value is among the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The field as it is called there.
    pub field: Field,
    /// Its first byte.
    pub at: usize,
    /// How many bytes it has.
    pub len: usize,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The fields of the match that it was made of, without what goes around them.
    pub bytes: Vec<u8>,
    /// Where the values are.
    pub slots: Vec<Slot>,
    /// For writing the actions of rules with such a match.
    pub context: Context,
}

impl Template {
    /// The fields whose values say how a match is written, and the bits of them that do.
    pub const DECIDES: [(Field, u128); 4] = [
        (Field::PacketType, u32::MAX as u128),
        (Field::EthType, u16::MAX as u128),
        (Field::VlanTci, VLAN_PRESENT as u128),
        (Field::NwProto, u8::MAX as u128),
    ];

    /// `None` where matches have a form without slots: what OpenFlow 1.0 and 1.1 had first; and for options of tunnels, which
    /// are as long as their values ask for.
    pub fn new(m: &Match, protocol: Protocol) -> Option<Template> {
        let version = protocol.version();
        if version < Version::V12 && !protocol.is_nxm() {
            return None;
        }
        let mut w = Writer::new();
        oxm::write(&mut w, m, version, None);
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes, "match");
        let mut slots = Vec::new();
        while !r.is_empty() {
            let header = Header::read(&mut r, Code::OFPBMC_BAD_LEN).ok()?;
            let field = header.field().filter(|field| field.tun_metadata_index().is_none())?;
            let len = header.len >> u32::from(header.has_mask);
            slots.push(Slot { field, at: r.position(), len });
            r.skip(header.len).ok()?;
        }
        Some(Template { bytes, slots, context: Context::new(version, m) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::flow_mod::Command;
    use crate::text::flow::parse_flow;

    #[test]
    fn slots_are_where_the_values_are() {
        let text = "in_port=5,tcp,nw_src=10.1.2.0/24,tp_dst=80";
        let m = parse_flow(text, Command::Delete).expect("it is well-formed").flow.matching;
        let template = Template::new(&m, Protocol::Of13).expect("it is extensible");
        let named: Vec<_> =
            template.slots.iter().map(|s| (s.field, &template.bytes[s.at..s.at + s.len])).collect();
        let wanted: [(Field, &[u8]); 5] = [
            (Field::InPortOxm, &[0, 0, 0, 5]),
            (Field::EthType, &[8, 0]),
            (Field::IpSrc, &[10, 1, 2, 0]),
            (Field::NwProto, &[6]),
            (Field::TcpDst, &[0, 80]),
        ];
        assert_eq!(named, wanted);
        assert_eq!(Template::new(&m, Protocol::Of10Table), None);
        let nicira = Template::new(&m, Protocol::NxmTable).expect("so it is");
        assert_eq!((nicira.slots[0].field, nicira.slots[0].len), (Field::InPort, 2));
    }
}
