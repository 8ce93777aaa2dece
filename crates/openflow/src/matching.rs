//! What a flow matches: for some fields a value, and a mask that says which of its bits count.
//!
//! A [`Match`] is small and sorted: it holds the fields that it says something about, each once, under the field that owns the
//! bits ([`Row::home`](crate::field::Row)). Bits outside of the mask are zero. Two matches are equal when they accept the same
//! packets by the same fields.

use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;

use crate::field::prereq::{self, ETHERNET, whole_mask};
use crate::field::value::low_ones;
use crate::field::{Field, Prereq, Value};
use crate::port::Port;

/// The bit of `vlan_tci` that says that there is a tag.
pub const VLAN_PRESENT: u16 = 0x1000;

/// All bits of a packet type.
const PACKET_TYPE: u128 = u32::MAX as u128;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    field: Field,
    value: Value,
    mask: Value,
}

/// What a flow matches. The empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Match {
    entries: Vec<Entry>,
}

impl Match {
    /// Matches everything.
    pub fn any() -> Match {
        Match::default()
    }

    /// Whether everything matches.
    pub fn is_any(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes room for what most matches have, at once.
    pub(crate) fn reserve(&mut self) {
        if self.entries.capacity() == 0 {
            self.entries.reserve(6);
        }
    }

    fn at(&self, owner: Field) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&owner, |e| e.field)
    }

    fn owner(&self, owner: Field) -> Option<(&Value, &Value)> {
        self.at(owner).ok().map(|i| (&self.entries[i].value, &self.entries[i].mask))
    }

    /// The same as numbers, of a number.
    fn bits(&self, owner: Field) -> Option<(u128, u128)> {
        self.owner(owner).map(|(value, mask)| (value.int(), mask.int()))
    }

    /// The number that those bits of the owner must be, if they all count.
    fn all_of(&self, owner: Field, bits: u128) -> Option<u128> {
        self.bits(owner).filter(|(_, mask)| mask & bits == bits).map(|(value, _)| value & bits)
    }

    /// What the field is matched with: value and mask, which is not zero but for [`Match::set_present`]. `None` when any value
    /// will do.
    pub fn get(&self, field: Field) -> Option<(Value, Value)> {
        if is_owner(field) {
            return self.owner(field).map(|(value, mask)| (value.clone(), mask.clone()));
        }
        if let Some((first, count)) = field.registers() {
            return self.registers(first, count);
        }
        let (owner, shift) = field.row().home;
        let (value, mask) = self.owner(owner)?;
        if field == Field::InPortOxm {
            return Some((Value::Int(Port(value.int() as u16).to_wire32().into()), field.ones()));
        }
        let Some(view) = view(field) else { return Some((value.clone(), mask.clone())) };
        let mask = mask.int() >> shift & view;
        (mask != 0).then(|| (Value::Int(value.int() >> shift & view), Value::Int(mask)))
    }

    fn registers(&self, first: usize, count: usize) -> Option<(Value, Value)> {
        let part = |i: usize| self.owner(Field::reg(i)).map(|(v, m)| (v.int(), m.int()));
        let (value, mask) = (first..first + count).fold((0, 0), |(value, mask), i| {
            let (v, m) = part(i).unwrap_or_default();
            (value << 32 | v, mask << 32 | m)
        });
        (mask != 0).then_some((Value::Int(value), Value::Int(mask)))
    }

    /// The field's value if all of it must match.
    pub fn exact(&self, field: Field) -> Option<u128> {
        let (value, mask) = self.number(field)?;
        let all = whole_mask(field).int();
        (mask & all == all).then_some(value)
    }

    /// As [`Match::get`], of fields that are numbers: without copying what is not.
    fn number(&self, field: Field) -> Option<(u128, u128)> {
        if is_owner(field) {
            return self.owner(field).map(|(value, mask)| (value.int(), mask.int()));
        }
        self.get(field).map(|(value, mask)| (value.int(), mask.int()))
    }

    /// Whether anything is said about the field.
    pub fn has(&self, field: Field) -> bool {
        if is_owner(field) {
            return self.owner(field).is_some();
        }
        self.get(field).is_some()
    }

    /// Matches `field` with these bits, whatever was said about it before. Fields in packets make this a match of Ethernet
    /// frames, unless it is one of something else already.
    pub fn set(&mut self, field: Field, value: &Value, mask: &Value) {
        let row = field.row();
        if is_owner(field) {
            self.set_owner(field, value.clone(), mask.clone());
            self.imply_ethernet(row.prereq, mask);
            return;
        }
        if let Some((first, count)) = field.registers() {
            for i in 0..count {
                let from = 32 * (count - 1 - i) as u32;
                let part = |v: &Value| Value::Int(v.bits(from, 32));
                self.set_owner(Field::reg(first + i), part(value), part(mask));
            }
            return;
        }
        let (owner, shift) = row.home;
        if field == Field::InPortOxm {
            // There are no other ports than those with short numbers.
            let mask = if mask.is_zero() { Value::Int(0) } else { owner.ones() };
            self.set_owner(owner, Value::Int(value.int() & 0xffff), mask);
        } else if let Some(view) = view(field) {
            // A number of eight bits fills the room of a port: the rest is zero.
            let all = if view == 0xff && owner != Field::NwProto { 0xffff } else { view << shift };
            let (old, old_mask) =
                self.owner(owner).map_or((0, 0), |(v, m)| (v.int() & !all, m.int() & !all));
            let rest = if mask.is_zero() { 0 } else { all & !(view << shift) };
            let new = |old: u128, v: &Value| old | (v.int() & view) << shift;
            let (value, mask) = (new(old, value), new(old_mask, mask) | rest);
            self.set_owner(owner, Value::Int(value), Value::Int(mask));
        } else {
            self.set_owner(field, value.clone(), mask.clone());
        }
        self.imply_ethernet(row.prereq, mask);
    }

    /// What is matched in packets is matched in Ethernet frames, unless it is said otherwise.
    fn imply_ethernet(&mut self, prereq: Prereq, mask: &Value) {
        if prereq.is_in_packet() && self.at(Field::PacketType).is_err() && !mask.is_zero() {
            let all = Value::Int(PACKET_TYPE);
            self.set_owner(Field::PacketType, Value::Int(ETHERNET.into()), all);
        }
    }

    /// Matches `field` with this number.
    pub fn set_exact(&mut self, field: Field, number: impl Into<u128>) {
        let (value, mask) = prereq::whole(field, number.into());
        self.set(field, &value, &mask);
    }

    fn set_owner(&mut self, field: Field, value: Value, mask: Value) {
        let at = self.at(field);
        let value = value.and(&mask);
        match (at, mask.is_zero()) {
            (Ok(i), true) => drop(self.entries.remove(i)),
            (Err(_), true) => {}
            (Ok(i), false) => self.entries[i] = Entry { field, value, mask },
            (Err(i), false) => self.entries.insert(i, Entry { field, value, mask }),
        }
    }

    /// Matches packets that have this option of a tunnel, whatever it is: with a mask that is zero.
    pub fn set_present(&mut self, option: Field) {
        let entry = Entry { field: option, value: option.zero(), mask: option.zero() };
        match self.at(option) {
            Ok(i) => self.entries[i] = entry,
            Err(i) => self.entries.insert(i, entry),
        }
    }

    /// Says nothing about the field any more.
    pub fn clear(&mut self, field: Field) {
        self.set(field, &field.zero(), &field.zero());
    }

    /// The fields that own bits that are matched, with value and mask.
    pub fn entries(&self) -> impl Iterator<Item = (Field, &Value, &Value)> {
        self.entries.iter().map(|e| (e.field, &e.value, &e.mask))
    }

    /// Whether it is said that packets are Ethernet frames, or nothing is said.
    pub fn is_ethernet(&self) -> bool {
        self.packet_type().is_none_or(|t| t == ETHERNET.into())
    }

    fn packet_type(&self) -> Option<u128> {
        self.all_of(Field::PacketType, PACKET_TYPE)
    }

    /// The Ethernet type, or that of a packet without an Ethernet header.
    pub fn ether_type(&self) -> Option<u16> {
        match self.packet_type() {
            Some(kind) if kind >> 16 == 1 => Some(kind as u16),
            Some(kind) if kind != ETHERNET.into() => None,
            _ => self.all_of(Field::EthType, 0xffff).map(|t| t as u16),
        }
    }

    /// Whether only fragments without a transport header match.
    pub fn is_later_fragment(&self) -> bool {
        const LATER: u128 = flow::frag::LATER as u128;
        self.bits(Field::IpFrag).is_some_and(|(value, mask)| mask & value & LATER != 0)
    }

    /// The IP protocol, where there is one.
    pub fn ip_proto(&self) -> Option<u8> {
        self.all_of(Field::NwProto, 0xff).map(|p| p as u8)
    }

    /// Leaves out what can never matter: fields of protocols that the match does not ask for. True if there was any.
    pub fn normalize(&mut self) -> bool {
        let before = self.entries.len();
        let keep: Vec<bool> = self.entries.iter().map(|e| self.is_meaningful(e.field)).collect();
        let mut keep = keep.into_iter();
        self.entries.retain(|_| keep.next().unwrap_or(true));
        self.entries.len() != before
    }

    /// Whether an owner of bits is a part of packets that this matches.
    fn is_meaningful(&self, owner: Field) -> bool {
        let met = |prereq: Prereq| prereq.is_met(self);
        let any = |prereqs: &[Prereq]| prereqs.iter().any(|p| met(*p));
        match owner {
            Field::IpSrc | Field::IpDst => any(&[Prereq::Ipv4, Prereq::Arp]),
            Field::NwProto => any(&[Prereq::Ip, Prereq::Arp]),
            Field::TcpSrc | Field::TcpDst => {
                any(&[Prereq::Tcp, Prereq::Udp, Prereq::Sctp, Prereq::Icmp, Prereq::Icmpv6])
            }
            Field::ArpSha => any(&[Prereq::Arp, Prereq::NdSolicit]),
            Field::ArpTha => any(&[Prereq::Arp, Prereq::NdAdvert]),
            Field::VlanTci => self.is_ethernet(),
            Field::EthSrc | Field::EthDst | Field::EthType => self.is_ethernet(),
            _ => {
                let prereq = owner.row().prereq;
                matches!(prereq, Prereq::None | Prereq::Ct) || met(prereq)
            }
        }
    }

    /// The field by which people call the bits of an owner, in this match: `arp_spa` for `ip_src` of ARP packets.
    pub fn view(&self, owner: Field) -> Field {
        let has_views = matches!(
            owner,
            Field::IpSrc
                | Field::IpDst
                | Field::NwProto
                | Field::ArpSha
                | Field::ArpTha
                | Field::TcpSrc
                | Field::TcpDst
        );
        if !has_views {
            return owner;
        }
        let arp = Prereq::Arp.is_met(self);
        let proto = self.ip_proto();
        let icmp = |of4: Field, of6: Field, other: Field| match (self.ether_type(), proto) {
            (Some(eth_type::IPV4), Some(ip_proto::ICMP)) => of4,
            (Some(eth_type::IPV6), Some(ip_proto::ICMPV6)) => of6,
            _ => other,
        };
        match owner {
            Field::IpSrc if arp => Field::ArpSpa,
            Field::IpDst if arp => Field::ArpTpa,
            Field::NwProto if arp => Field::ArpOp,
            Field::ArpSha if !arp => Field::NdSll,
            Field::ArpTha if !arp => Field::NdTll,
            Field::TcpSrc => match proto {
                Some(ip_proto::UDP) => Field::UdpSrc,
                Some(ip_proto::SCTP) => Field::SctpSrc,
                _ => icmp(Field::IcmpType, Field::Icmpv6Type, Field::TcpSrc),
            },
            Field::TcpDst => match proto {
                Some(ip_proto::UDP) => Field::UdpDst,
                Some(ip_proto::SCTP) => Field::SctpDst,
                _ => icmp(Field::IcmpCode, Field::Icmpv6Code, Field::TcpDst),
            },
            _ => owner,
        }
    }
}

/// Whether a field is all of the bits that it owns, and no other's.
fn is_owner(field: Field) -> bool {
    let is_one = field.registers().is_none_or(|(_, count)| count == 1);
    is_one && field.row().home.0 == field && view(field).is_none()
}

/// Which bits a field looks at, of one that has more of them. `None` for fields that own their bits alone.
fn view(field: Field) -> Option<u128> {
    match field {
        // With the bit that says that there is a tag.
        Field::VlanVid => Some(0x1fff),
        Field::NwTos => Some(0xfc),
        Field::ArpOp | Field::NwProto => Some(0xff),
        Field::IcmpType | Field::IcmpCode | Field::Icmpv6Type | Field::Icmpv6Code => Some(0xff),
        _ => (field.row().home.0 != field).then(|| low_ones(field.row().bits)),
    }
}
