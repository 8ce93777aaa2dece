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
use crate::field::value::low_ones;
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
    /// Whether a mask of as many bytes follows.
    pub has_mask: bool,
}

impl Slot {
    /// The slots of the fields of an extensible match. `None` of what is no match, or has an option of a tunnel: these are as
    /// long as their values ask for.
    pub fn all(fields: &[u8]) -> Option<Vec<Slot>> {
        let mut r = Reader::new(fields, "match");
        let mut slots = Vec::new();
        while !r.is_empty() {
            let header = Header::read(&mut r, Code::OFPBMC_BAD_LEN).ok()?;
            // Of another length the number is something else: Nicira's matches can hold a cookie.
            let field = header.field().filter(|field| header.fits(*field))?;
            if field.tun_metadata_index().is_some() {
                return None;
            }
            let len = header.len >> u32::from(header.has_mask);
            slots.push(Slot { field, at: r.position(), len, has_mask: header.has_mask });
            r.skip(header.len).ok()?;
        }
        Some(slots)
    }

    /// The bits of which it makes no difference for the rest of a flow-mod what they are: it is read, and refused, alike. That
    /// holds if nothing else in the match is about the same bits.
    pub fn varies(&self) -> u128 {
        let field = self.field;
        match field {
            // The rest says whether there is a tag.
            Field::VlanVid => 0xfff,
            Field::VlanTci => !u128::from(VLAN_PRESENT) & 0xffff,
            // The rest says whether there can be such a port.
            Field::InPort | Field::InPortOxm => 0xff,
            _ if field.registers().is_some() || PLAIN.contains(&field) => {
                low_ones(field.row().bits)
            }
            _ => 0,
        }
    }
}

/// Fields that are numbers and nothing else: none of their values is refused, or is what another field asks for.
const PLAIN: &[Field] = &[
    Field::Metadata,
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::ConjId,
    Field::PktMark,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::EthSrc,
    Field::EthDst,
    Field::IpSrc,
    Field::IpDst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::ArpSha,
    Field::ArpTha,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
];

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
        let slots = Slot::all(&bytes)?;
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
