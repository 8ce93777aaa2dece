//! What must be matched as well before a field means anything.

use packet::wire::ethernet::eth_type;
use packet::wire::icmpv6::kind;
use packet::wire::ip_proto;

use super::value::low_ones;
use super::{Field, Value};
use crate::matching::Match;

/// Ethernet types that `packet` has no use for.
pub(crate) const NSH: u16 = 0x894f;

/// What a field is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Prereq {
    None,
    Ethernet,
    Vlan,
    Mpls,
    /// A service tag of a provider backbone bridge (IEEE 802.1ah).
    Pbb,
    Ipv4,
    Ipv6,
    /// Either of both.
    Ip,
    Arp,
    Nsh,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
    Nd,
    NdSolicit,
    NdAdvert,
    /// A connection that was looked up and is valid.
    Ct,
}

/// The packet type of Ethernet frames.
pub const ETHERNET: u32 = 0;

/// The packet type of what an Ethernet header of that type would precede.
pub fn packet_type_of(eth_type: u16) -> u32 {
    1 << 16 | u32::from(eth_type)
}

impl Prereq {
    /// Whether `m` says enough for a field with this prerequisite.
    pub fn is_met(self, m: &Match) -> bool {
        let is = |types: &[u16]| m.ether_type().is_some_and(|t| types.contains(&t));
        let ip = || is(&[eth_type::IPV4, eth_type::IPV6]);
        let transport = |proto| m.ip_proto() == Some(proto) && ip() && !m.is_later_fragment();
        match self {
            Prereq::None => true,
            Prereq::Ethernet => m.is_ethernet(),
            Prereq::Vlan => m.get(Field::VlanTci).is_some_and(|(tci, _)| tci.int() & 0x1000 != 0),
            Prereq::Mpls => is(&[eth_type::MPLS, eth_type::MPLS_MULTICAST]),
            Prereq::Pbb => m.is_ethernet() && is(&[eth_type::PBB]),
            Prereq::Ipv4 => is(&[eth_type::IPV4]),
            Prereq::Ipv6 => is(&[eth_type::IPV6]),
            Prereq::Ip => ip(),
            Prereq::Arp => is(&[eth_type::ARP, eth_type::RARP]),
            Prereq::Nsh => is(&[NSH]),
            Prereq::Tcp => transport(ip_proto::TCP),
            Prereq::Udp => transport(ip_proto::UDP),
            Prereq::Sctp => transport(ip_proto::SCTP),
            Prereq::Icmp => is(&[eth_type::IPV4]) && transport(ip_proto::ICMP),
            Prereq::Icmpv6 => is(&[eth_type::IPV6]) && transport(ip_proto::ICMPV6),
            Prereq::Nd => Prereq::NdSolicit.is_met(m) || Prereq::NdAdvert.is_met(m),
            Prereq::NdSolicit => is_icmpv6_of(m, kind::NEIGHBOUR_SOLICITATION),
            Prereq::NdAdvert => is_icmpv6_of(m, kind::NEIGHBOUR_ADVERTISEMENT),
            Prereq::Ct => is_valid_connection(m),
        }
    }

    /// Whether the field is in a packet, not beside it: then it is an Ethernet frame unless something else was said.
    pub fn is_in_packet(self) -> bool {
        !matches!(self, Prereq::None | Prereq::Ct)
    }
}

fn is_icmpv6_of(m: &Match, kind: u8) -> bool {
    let code = m.get(Field::Icmpv6Code);
    Prereq::Icmpv6.is_met(m)
        && m.exact(Field::Icmpv6Type) == Some(kind.into())
        && code.is_none_or(|(code, _)| code.is_zero())
}

/// Its state is known to be one that a connection with an original direction has: or at least not an invalid one.
fn is_valid_connection(m: &Match) -> bool {
    const NEW_EST_REL_RPL_SNAT_DNAT: u128 = 0xcf;
    const INVALID: u128 = 0x10;
    const TRACKED: u128 = 0x20;
    m.get(Field::CtState).is_some_and(|(state, mask)| {
        let (state, mask) = (state.int(), mask.int());
        let is_known_valid = mask & INVALID != 0 && state & (TRACKED | INVALID) == TRACKED;
        state & NEW_EST_REL_RPL_SNAT_DNAT != 0 || is_known_valid
    })
}

/// An exact value.
pub(crate) fn whole(field: Field, number: u128) -> (Value, Value) {
    (Value::shifted(field.row().width, number, 0), whole_mask(field))
}

/// A mask over all bits that the field can have.
pub fn whole_mask(field: Field) -> Value {
    match field {
        Field::VlanVid => Value::Int(0x1fff),
        Field::NwTos => Value::Int(0xfc),
        Field::ArpOp => Value::Int(0xff),
        _ => {
            let row = field.row();
            match row.width {
                ..=128 => Value::Int(low_ones(row.bits)),
                _ => Value::mask(row.width, 0, row.bits),
            }
        }
    }
}
