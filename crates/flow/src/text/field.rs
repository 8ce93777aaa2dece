//! The table of attributes that are lists of plain fields, and the notation of values.

use std::fmt;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::ethernet::{MacText, eth_type, parse_mac};
use packet::wire::icmpv6::kind;
use packet::wire::ip_proto;
use zerocopy::IntoBytes;

use crate::key::{FlowKey, Mask, frag};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `aa:bb:cc:dd:ee:ff`
    Mac,
    /// `1.2.3.4`
    Ipv4,
    /// `fe80::1`
    Ipv6,
    /// Decimal, with a hexadecimal mask.
    Dec,
    /// Hexadecimal (0 without prefix).
    Hex,
    /// Hexadecimal, 0 with prefix too, and a mask of eight digits.
    Word,
    /// `no`, `first`, `later`; without a mask.
    Frag,
}

/// One field of an attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Byte range in the key.
    at: usize,
    width: usize,
    /// How many low bits can be set.
    bits: u32,
}

/// The size of a member of the key.
const fn width<T>(_: fn(&FlowKey) -> &T) -> usize {
    size_of::<T>()
}

macro_rules! field {
    ($name:literal, $kind:ident, $member:ident, $bits:literal) => {
        Field {
            name: $name,
            kind: Kind::$kind,
            at: offset_of!(FlowKey, $member),
            width: width(|k| &k.$member),
            bits: $bits,
        }
    };
}

/// An attribute that is a list of fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
    /// Whether a packet with this key has it.
    pub(super) present: fn(&FlowKey) -> bool,
}

impl Group {
    /// Whether a mask looks at any of it.
    pub(super) fn is_looked_at(&self, mask: &Mask) -> bool {
        self.fields.iter().any(|field| field.get(&mask.0) != 0)
    }
}

/// Attributes that are one number.
pub(super) const SKB_PRIORITY: Field = field!("skb_priority", Hex, skb_priority, 32);
pub(super) const SKB_MARK: Field = field!("skb_mark", Hex, skb_mark, 32);
pub(super) const CT_ZONE: Field = field!("ct_zone", Hex, ct_zone, 16);
pub(super) const CT_MARK: Field = field!("ct_mark", Hex, ct_mark, 32);
pub(super) const CT_LABEL: Field = field!("ct_label", Hex, ct_label, 128);
pub(super) const RECIRC_ID: Field = field!("recirc_id", Hex, recirc_id, 32);
pub(super) const DP_HASH: Field = field!("dp_hash", Hex, dp_hash, 32);
pub(super) const SCALARS: [Field; 7] =
    [SKB_PRIORITY, SKB_MARK, CT_ZONE, CT_MARK, CT_LABEL, RECIRC_ID, DP_HASH];

/// The link layer.
pub(super) const ETH: Group = Group {
    name: "eth",
    fields: &[field!("src", Mac, eth_src, 48), field!("dst", Mac, eth_dst, 48)],
    present: |k| k.packet_type == 0,
};

const PORTS: &[Field] = &[field!("src", Dec, tp_src, 16), field!("dst", Dec, tp_dst, 16)];
const TYPE_AND_CODE: &[Field] = &[field!("type", Dec, tp_src, 8), field!("code", Dec, tp_dst, 8)];

/// What stands behind the Ethernet type, in order.
pub(super) const UPPER: [Group; 12] = [
    Group {
        name: "ipv4",
        fields: &[
            field!("src", Ipv4, nw_src, 32),
            field!("dst", Ipv4, nw_dst, 32),
            field!("proto", Dec, nw_proto, 8),
            field!("tos", Hex, nw_tos, 8),
            field!("ttl", Dec, nw_ttl, 8),
            field!("frag", Frag, ip_frag, 2),
        ],
        present: FlowKey::is_ipv4,
    },
    Group {
        name: "ipv6",
        fields: &[
            field!("src", Ipv6, ipv6_src, 128),
            field!("dst", Ipv6, ipv6_dst, 128),
            field!("label", Hex, ipv6_label, 20),
            field!("proto", Dec, nw_proto, 8),
            field!("tclass", Hex, nw_tos, 8),
            field!("hlimit", Dec, nw_ttl, 8),
            field!("frag", Frag, ip_frag, 2),
        ],
        present: FlowKey::is_ipv6,
    },
    Group {
        name: "ipv6_exthdrs",
        fields: &[field!("hdrs", Hex, ipv6_exthdr, 9)],
        present: FlowKey::is_ipv6,
    },
    Group { name: "pbb", fields: &[field!("tci", Hex, ipv6_label, 32)], present: FlowKey::is_pbb },
    Group {
        name: "arp",
        fields: &[
            field!("sip", Ipv4, nw_src, 32),
            field!("tip", Ipv4, nw_dst, 32),
            field!("op", Dec, nw_proto, 8),
            field!("sha", Mac, arp_sha, 48),
            field!("tha", Mac, arp_tha, 48),
        ],
        present: FlowKey::is_arp,
    },
    Group { name: "tcp", fields: PORTS, present: |k| has_transport(k, ip_proto::TCP) },
    Group { name: "udp", fields: PORTS, present: |k| has_transport(k, ip_proto::UDP) },
    Group { name: "sctp", fields: PORTS, present: |k| has_transport(k, ip_proto::SCTP) },
    Group {
        name: "icmp",
        fields: TYPE_AND_CODE,
        present: |k| k.is_ipv4() && has_transport(k, ip_proto::ICMP),
    },
    Group { name: "icmpv6", fields: TYPE_AND_CODE, present: is_icmpv6 },
    Group {
        name: "nd",
        fields: &[
            field!("target", Ipv6, nd_target, 128),
            field!("sll", Mac, arp_sha, 48),
            field!("tll", Mac, arp_tha, 48),
        ],
        present: is_nd,
    },
    Group {
        name: "nd_ext",
        fields: &[
            field!("nd_reserved", Word, nd_reserved, 32),
            field!("nd_options_type", Dec, nd_options_type, 8),
        ],
        present: is_nd,
    },
];

fn has_transport(key: &FlowKey, proto: u8) -> bool {
    (key.is_ipv4() || key.is_ipv6()) && key.nw_proto == proto && key.ip_frag & frag::LATER == 0
}

fn is_icmpv6(key: &FlowKey) -> bool {
    key.is_ipv6() && has_transport(key, ip_proto::ICMPV6)
}

fn is_nd(key: &FlowKey) -> bool {
    let nd = [kind::NEIGHBOUR_SOLICITATION, kind::NEIGHBOUR_ADVERTISEMENT].map(u16::from);
    is_icmpv6(key) && nd.contains(&key.tp_src) && key.tp_dst == 0
}

/// Whether a packet with this key has TCP flags.
pub(super) fn is_tcp(key: &FlowKey) -> bool {
    has_transport(key, ip_proto::TCP)
}

/// Makes `key` one that has the attribute, as far as other attributes have not said so (for `set(..)` actions, which name one
/// header alone).
pub(super) fn hint(key: &mut FlowKey, group: &str) {
    let (eth_type, proto) = match group {
        "ipv4" => (eth_type::IPV4, None),
        "ipv6" => (eth_type::IPV6, None),
        "pbb" => (eth_type::PBB, None),
        "arp" => (eth_type::ARP, None),
        "tcp" => (eth_type::IPV4, Some(ip_proto::TCP)),
        "udp" => (eth_type::IPV4, Some(ip_proto::UDP)),
        "sctp" => (eth_type::IPV4, Some(ip_proto::SCTP)),
        "icmp" => (eth_type::IPV4, Some(ip_proto::ICMP)),
        "icmpv6" | "nd" | "nd_ext" => (eth_type::IPV6, Some(ip_proto::ICMPV6)),
        _ => return,
    };
    if key.eth_type == 0 {
        key.eth_type = eth_type;
    }
    if let Some(proto) = proto
        && key.nw_proto == 0
    {
        key.nw_proto = proto;
    }
    if matches!(group, "nd" | "nd_ext") && key.tp_src == 0 {
        key.tp_src = kind::NEIGHBOUR_SOLICITATION.into();
    }
}

impl Field {
    /// All bits that the field can have.
    pub(super) fn full(&self) -> u128 {
        u128::MAX >> (128 - self.bits)
    }

    /// Addresses and labels are bytes in wire order, all else integers in the machine's.
    fn is_bytes(&self) -> bool {
        matches!(self.kind, Kind::Mac | Kind::Ipv6) || self.width == 16
    }

    pub(super) fn get(&self, key: &FlowKey) -> u128 {
        let member = &key.as_bytes()[self.at..self.at + self.width];
        let mut bytes = [0; 16];
        if self.is_bytes() || cfg!(target_endian = "big") {
            bytes[16 - self.width..].copy_from_slice(member);
            u128::from_be_bytes(bytes) & self.full()
        } else {
            bytes[..self.width].copy_from_slice(member);
            u128::from_le_bytes(bytes) & self.full()
        }
    }

    /// Sets the field; bits that it does not have are left out.
    pub(super) fn set(&self, key: &mut FlowKey, value: u128) {
        let member = &mut key.as_mut_bytes()[self.at..self.at + self.width];
        let value = value & self.full();
        if self.is_bytes() || cfg!(target_endian = "big") {
            member.copy_from_slice(&value.to_be_bytes()[16 - self.width..]);
        } else {
            member.copy_from_slice(&value.to_le_bytes()[..self.width]);
        }
    }

    /// Writes `value`, or `value/mask` when the mask does not cover the field.
    pub(super) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        key: &FlowKey,
        mask: &Mask,
    ) -> fmt::Result {
        let mask = self.get(&mask.0);
        write_value(f, self.kind, self.get(key))?;
        if mask == self.full() || self.kind == Kind::Frag {
            return Ok(());
        }
        f.write_str("/")?;
        if self.kind == Kind::Word {
            return write!(f, "0x{mask:08x}");
        }
        write_value(f, if self.kind == Kind::Dec { Kind::Hex } else { self.kind }, mask)
    }

    /// Reads `value` or `value/mask` into key and mask.
    pub(super) fn parse(&self, text: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
        let (value, of) = match text.split_once('/') {
            Some((value, of)) if self.kind != Kind::Frag => (value, self.parse_mask(of)?),
            Some(_) => return None,
            None => (text, self.full()),
        };
        let value = parse_value(self.kind, value).filter(|v| *v <= self.full())?;
        self.set(key, value);
        self.set(&mut mask.0, of);
        Some(())
    }

    fn parse_mask(&self, text: &str) -> Option<u128> {
        let address = matches!(self.kind, Kind::Ipv4 | Kind::Ipv6);
        let mask = match text.parse::<u32>() {
            Ok(len) if address => {
                let host = self.bits.checked_sub(len)?;
                self.full().checked_shr(host)?.checked_shl(host)?
            }
            _ => parse_value(self.kind, text)?,
        };
        (mask <= self.full()).then_some(mask)
    }
}

/// `%#x`: hexadecimal with prefix, 0 without.
pub(super) struct HexText(pub(super) u128);

impl fmt::Display for HexText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

fn write_value(f: &mut fmt::Formatter<'_>, kind: Kind, value: u128) -> fmt::Result {
    match kind {
        Kind::Mac => {
            let [.., a, b, c, d, e, g] = value.to_be_bytes();
            write!(f, "{}", MacText(&[a, b, c, d, e, g]))
        }
        Kind::Ipv4 => write!(f, "{}", Ipv4Addr::from_bits(value as u32)),
        Kind::Ipv6 => write!(f, "{}", Ipv6Addr::from_bits(value)),
        Kind::Dec => write!(f, "{value}"),
        Kind::Hex => write!(f, "{}", HexText(value)),
        Kind::Word => write!(f, "0x{value:x}"),
        Kind::Frag => f.write_str(match value as u8 {
            0 => "no",
            frag::ANY => "first",
            _ => "later",
        }),
    }
}

fn parse_value(kind: Kind, text: &str) -> Option<u128> {
    match kind {
        Kind::Mac => {
            let [a, b, c, d, e, f] = parse_mac(text)?;
            Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]).into())
        }
        Kind::Ipv4 => Some(text.parse::<Ipv4Addr>().ok()?.to_bits().into()),
        Kind::Ipv6 => Some(text.parse::<Ipv6Addr>().ok()?.to_bits()),
        Kind::Dec | Kind::Hex | Kind::Word => parse_number(text),
        Kind::Frag => match text {
            "no" => Some(0),
            "first" => Some(frag::ANY.into()),
            "later" => Some((frag::ANY | frag::LATER).into()),
            _ => None,
        },
    }
}

/// A number in decimal, or hexadecimal with `0x`.
pub(super) fn parse_number(text: &str) -> Option<u128> {
    let text = text.trim();
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // from_str_radix would take a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(digits, radix).ok())?
}
