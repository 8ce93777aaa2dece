//! Matches as text: `tcp,nw_dst=10.0.0.0/8,tp_dst=80`.

use std::fmt;

use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;

use super::names::{Named, Names, Shown};
use super::number::{Hex, parse};
use super::subfield::parse_subfield;
use super::value::{Masked, Signed, parse_masked};
use crate::field::prereq::{packet_type_of, whole_mask};
use crate::field::{Field, Fixed, Format, Prereq, Value};
use crate::matching::{Match, VLAN_PRESENT};
use crate::port::Port;
use crate::version::Protocols;

/// Words that stand for an Ethernet type and perhaps an IP protocol.
const SHORTHANDS: &[(&str, u16, u8)] = &[
    ("ip", eth_type::IPV4, 0),
    ("ipv4", eth_type::IPV4, 0),
    ("ip4", eth_type::IPV4, 0),
    ("icmp", eth_type::IPV4, ip_proto::ICMP),
    ("tcp", eth_type::IPV4, ip_proto::TCP),
    ("udp", eth_type::IPV4, ip_proto::UDP),
    ("sctp", eth_type::IPV4, ip_proto::SCTP),
    ("ipv6", eth_type::IPV6, 0),
    ("ip6", eth_type::IPV6, 0),
    ("tcp6", eth_type::IPV6, ip_proto::TCP),
    ("udp6", eth_type::IPV6, ip_proto::UDP),
    ("sctp6", eth_type::IPV6, ip_proto::SCTP),
    ("icmp6", eth_type::IPV6, ip_proto::ICMPV6),
    ("arp", eth_type::ARP, 0),
    ("rarp", eth_type::RARP, 0),
    ("mpls", eth_type::MPLS, 0),
    ("mplsm", eth_type::MPLS_MULTICAST, 0),
];

/// The Ethernet type and the IP protocol (0: none) for which a word stands.
pub(super) fn kind_by_name(name: &str) -> Option<(u16, u8)> {
    SHORTHANDS.iter().find(|(word, ..)| *word == name).map(|(_, kind, proto)| (*kind, *proto))
}

/// The word for this Ethernet type and protocol, and whether it says the protocol too.
fn shorthand(kind: u16, proto: Option<u8>) -> Option<(&'static str, bool)> {
    let find = |proto: u8| SHORTHANDS.iter().find(|(_, k, p)| (*k, *p) == (kind, proto));
    match proto.filter(|p| *p != 0).and_then(find) {
        Some((name, ..)) => Some((name, true)),
        None => find(0).map(|(name, ..)| (*name, false)),
    }
}

/// Between what people match on first and the kind of packet.
const BEFORE_KIND: &[Field] = &[
    Field::PktMark,
    Field::RecircId,
    Field::DpHash,
    Field::ConjId,
    Field::SkbPriority,
    Field::ActsetOutput,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwSrc,
    Field::CtIpv6Src,
    Field::CtNwDst,
    Field::CtIpv6Dst,
    Field::CtNwProto,
    Field::CtTpSrc,
    Field::CtTpDst,
];

/// After the registers.
const TUNNEL: &[Field] = &[
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
    Field::TunErspanVer,
    Field::TunErspanIdx,
    Field::TunErspanDir,
    Field::TunErspanHwid,
    Field::TunGtpuFlags,
    Field::TunGtpuMsgtype,
    Field::TunFlags,
];

/// After the addresses.
const NETWORK: &[Field] = &[Field::IpSrc, Field::IpDst, Field::Ipv6Src, Field::Ipv6Dst];

const TRANSPORT: &[Field] = &[
    Field::ArpSha,
    Field::ArpTha,
    Field::NshFlags,
    Field::NshTtl,
    Field::NshMdtype,
    Field::NshNp,
    Field::NshSpi,
    Field::NshSi,
    Field::NshC1,
    Field::NshC2,
    Field::NshC3,
    Field::NshC4,
];

/// Prints with commas between.
struct List<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    separator: &'static str,
    names: &'a Names,
}

impl<'a> List<'a, '_> {
    fn item(&mut self, item: fmt::Arguments<'_>) -> fmt::Result {
        self.f.write_str(self.separator)?;
        self.separator = ",";
        self.f.write_fmt(item)
    }

    /// The port in a field that has one.
    fn port(&self, field: Field, value: &Value) -> Option<Shown<'a, Port>> {
        let port = match field.row().format {
            Format::Port => Port(value.int() as u16),
            Format::Port32 => Port::from_wire32(value.int() as u32)?,
            _ => return None,
        };
        Some(self.names.port(port))
    }

    /// `name=value` of a field that is matched.
    fn field(&mut self, m: &Match, field: Field) -> fmt::Result {
        match m.get(field) {
            Some((value, mask)) => self.value(field, &value, &mask),
            None => Ok(()),
        }
    }

    fn value(&mut self, field: Field, value: &Value, mask: &Value) -> fmt::Result {
        let name = text_name(field);
        let (v, m) = (value.int(), mask.int());
        let whole = mask.and(&whole_mask(field)) == whole_mask(field);
        match field {
            Field::Ipv6Label if whole => self.item(format_args!("{name}={v:#07x}")),
            Field::Ipv6Label => self.item(format_args!("{name}={v:#07x}/{m:#07x}")),
            Field::NshFlags if !whole => self.item(format_args!("{name}={v:#04x}/{m:#04x}")),
            Field::TcpSrc
            | Field::TcpDst
            | Field::UdpSrc
            | Field::UdpDst
            | Field::SctpSrc
            | Field::SctpDst
                if !whole =>
            {
                self.item(format_args!("{name}={v:#x}/{m:#x}"))
            }
            Field::RecircId => self.item(format_args!("{name}={}", Hex(v))),
            Field::CtZone => self.item(format_args!("{name}={v}")),
            Field::TunFlags => self.item(format_args!("{name}={}", Signed(field, value, mask))),
            _ if whole && self.port(field, value).is_some_and(|port| port.has_name()) => {
                match self.port(field, value) {
                    Some(port) => self.item(format_args!("{name}={port}")),
                    None => Ok(()),
                }
            }
            _ if mask.is_zero() => self.item(format_args!("{name}")),
            _ if is_tight(field, mask) => self.item(format_args!("{name}={value:x}")),
            _ => self.item(format_args!("{name}={}", Masked(field, value, mask))),
        }
    }
}

/// Whether this is a tunnel option that is meant to its last bit, as far as anybody can tell who does not know how long it is.
pub(super) fn is_tight(field: Field, mask: &Value) -> bool {
    let bytes = mask.to_bytes(crate::field::value::WIDEST);
    let mut significant = bytes.iter().skip_while(|b| **b == 0);
    field.tun_metadata_index().is_some() && significant.all(|b| *b == 0xff)
}

/// The older of a field's names, which `ovs-ofctl` prints in matches.
fn text_name(field: Field) -> &'static str {
    match field {
        Field::EthSrc => "dl_src",
        Field::EthDst => "dl_dst",
        Field::IpSrc => "nw_src",
        Field::IpDst => "nw_dst",
        Field::IpFrag => "nw_frag",
        Field::TunGtpuFlags => "gtpu_flags",
        Field::TunGtpuMsgtype => "gtpu_msgtype",
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => "tp_src",
        Field::TcpDst | Field::UdpDst | Field::SctpDst => "tp_dst",
        Field::Icmpv6Type => "icmp_type",
        Field::Icmpv6Code => "icmp_code",
        _ => field.name(),
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named(self, Names::none()).fmt(f)
    }
}

impl fmt::Display for Named<'_, Match> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(m, names) = *self;
        m.list(&mut List { f, separator: "", names })
    }
}

impl Match {
    fn list(&self, list: &mut List<'_, '_>) -> fmt::Result {
        for field in BEFORE_KIND {
            list.field(self, *field)?;
        }
        let (names_type, names_proto) = self.list_kind(list)?;
        for i in 0..16 {
            list.field(self, Field::reg(i))?;
        }
        for field in TUNNEL {
            list.field(self, *field)?;
        }
        for i in 0..64 {
            list.field(self, Field::tun_metadata(i))?;
        }
        list.field(self, Field::Metadata)?;
        list.field(self, Field::InPort)?;
        self.list_vlan(list)?;
        list.field(self, Field::EthSrc)?;
        list.field(self, Field::EthDst)?;
        if let (false, Some(kind)) = (names_type, self.exact(Field::EthType)) {
            list.item(format_args!("dl_type={kind:#06x}"))?;
        }
        for field in NETWORK {
            list.field(self, self.view(*field))?;
        }
        list.field(self, Field::Ipv6Label)?;
        list.field(self, Field::Ipv6Exthdr)?;
        if !names_proto && let Some(proto) = self.get(Field::NwProto) {
            let arp = Prereq::Arp.is_met(self);
            let field = if arp { Field::ArpOp } else { Field::NwProto };
            list.value(field, &proto.0, &field.ones())?;
        }
        for field in [self.view(Field::ArpSha), self.view(Field::ArpTha)] {
            if Prereq::Arp.is_met(self) {
                list.field(self, field)?;
            }
        }
        for field in &TRANSPORT[2..] {
            list.field(self, *field)?;
        }
        self.list_tos(list)?;
        for field in [
            Field::NwTtl,
            Field::MplsLabel,
            Field::MplsTc,
            Field::MplsTtl,
            Field::MplsBos,
            Field::PbbIsid,
            Field::PbbUca,
            Field::IpFrag,
        ] {
            list.field(self, field)?;
        }
        for owner in [Field::TcpSrc, Field::TcpDst] {
            list.field(self, self.view(owner))?;
        }
        if Prereq::Icmpv6.is_met(self) {
            list.field(self, Field::NdTarget)?;
            list.field(self, Field::NdSll)?;
            list.field(self, Field::NdTll)?;
            list.field(self, Field::NdReserved)?;
            list.field(self, Field::NdOptionsType)?;
        }
        list.field(self, Field::TcpFlags)
    }

    /// The kind of packet, in a word if there is one; whether that said the Ethernet type, and the IP protocol.
    fn list_kind(&self, list: &mut List<'_, '_>) -> Result<(bool, bool), fmt::Error> {
        let mut names_type = false;
        match self.exact(Field::PacketType) {
            Some(0) if self.has(Field::RecircId) => list.item(format_args!("eth"))?,
            Some(0) | None => {}
            Some(kind) => {
                let value = Value::Int(kind);
                list.value(Field::PacketType, &value, &Field::PacketType.ones())?;
                names_type = true;
            }
        }
        if names_type {
            return Ok((true, false));
        }
        let Some(kind) = self.exact(Field::EthType) else { return Ok((false, false)) };
        match shorthand(kind as u16, self.ip_proto()) {
            Some((word, proto)) => {
                list.item(format_args!("{word}"))?;
                Ok((true, proto))
            }
            None => Ok((false, false)),
        }
    }

    fn list_vlan(&self, list: &mut List<'_, '_>) -> fmt::Result {
        let Some((tci, mask)) = self.get(Field::VlanTci) else { return Ok(()) };
        let (tci, mask) = (tci.int() as u16, mask.int() as u16);
        let (vid, pcp) = (mask & 0x1fff == 0x1fff, mask & 0xf000 == 0xf000);
        let present = tci & VLAN_PRESENT != 0;
        if present
            && mask & VLAN_PRESENT != 0
            && (vid || pcp)
            && (mask & 0x0fff == 0 || vid)
            && (mask & 0xe000 == 0 || pcp)
        {
            if vid {
                list.item(format_args!("dl_vlan={}", tci & 0x0fff))?;
            }
            if pcp {
                list.item(format_args!("dl_vlan_pcp={}", tci >> 13))?;
            }
            Ok(())
        } else if mask == 0xffff {
            list.item(format_args!("vlan_tci={tci:#06x}"))
        } else {
            list.item(format_args!("vlan_tci={tci:#06x}/{mask:#06x}"))
        }
    }

    fn list_tos(&self, list: &mut List<'_, '_>) -> fmt::Result {
        let Some((tos, mask)) = self.get_owner_tos() else { return Ok(()) };
        if mask & 0xfc == 0xfc {
            list.item(format_args!("nw_tos={}", tos & 0xfc))?;
        }
        if mask & 3 == 3 {
            list.item(format_args!("nw_ecn={}", tos & 3))?;
        }
        Ok(())
    }

    fn get_owner_tos(&self) -> Option<(u8, u8)> {
        let tos = |field| self.get(field).map(|(v, m)| (v.int() as u8, m.int() as u8));
        let (tos_bits, tos_mask) = tos(Field::IpDscp).map_or((0, 0), |(v, m)| (v << 2, m << 2));
        let (ecn, ecn_mask) = tos(Field::NwEcn).unwrap_or_default();
        (tos_mask | ecn_mask != 0).then_some((tos_bits | ecn, tos_mask | ecn_mask))
    }

    /// The same as [`Match::parse_field`], with names of ports.
    pub fn parse_field_named(
        &mut self,
        key: &str,
        value: &str,
        names: &Names,
    ) -> Option<Result<Protocols, String>> {
        let is_port = |field: &Field| matches!(field.row().format, Format::Port | Format::Port32);
        match Field::by_name(key).filter(is_port).and_then(|_| names.port_by_name(value)) {
            Some(port) if Port::parse(value).is_none() => self.parse_field(key, &port.to_string()),
            _ => self.parse_field(key, value),
        }
    }

    /// Takes one `key[=value]` into the match. `None` when `key` is nothing that can be matched; else the protocols that can
    /// say it.
    pub fn parse_field(&mut self, key: &str, value: &str) -> Option<Result<Protocols, String>> {
        if value.is_empty() {
            if key == "eth" {
                self.set_exact(Field::PacketType, 0u32);
                return Some(Ok(Protocols::ANY));
            }
            if let Some((_, kind, proto)) = SHORTHANDS.iter().find(|(name, ..)| *name == key) {
                self.set_kind(*kind);
                if *proto != 0 {
                    self.set_exact(Field::NwProto, *proto);
                }
                // OpenFlow 1.0 and 1.1 cannot look into IPv6.
                let v6 = *kind == eth_type::IPV6 && *proto != 0;
                return Some(Ok(if v6 {
                    Protocols::NXM.or(Protocols::OXM)
                } else {
                    Protocols::ANY
                }));
            }
        }
        if key.contains('[') {
            return Some(self.parse_part(key, value));
        }
        let legacy = match key {
            "dl_vlan" => Some(self.parse_dl_vlan(value)),
            "dl_vlan_pcp" => Some(self.parse_dl_vlan_pcp(value)),
            _ => None,
        };
        if let Some(result) = legacy {
            return Some(result.map(|()| Protocols::ANY));
        }
        let field = match key {
            "tp_src" => Field::TcpSrc,
            // As they are printed.
            "gtpu_flags" => Field::TunGtpuFlags,
            "gtpu_msgtype" => Field::TunGtpuMsgtype,
            "tp_dst" => Field::TcpDst,
            // Whatever the version of ICMP; an explicit one is looked up below.
            "icmp_type" if self.ether_type() == Some(eth_type::IPV6) => Field::Icmpv6Type,
            "icmp_code" if self.ether_type() == Some(eth_type::IPV6) => Field::Icmpv6Code,
            _ => Field::by_name(key)?,
        };
        if value.is_empty() {
            if field.tun_metadata_index().is_none() {
                return Some(Err(format!("field {key} missing value")));
            }
            self.set_present(field);
            return Some(Ok(protocols(field, &field.zero())));
        }
        Some(self.parse_value(field, value))
    }

    /// `field[from..to]=number`; other parts of the field may be matched beside it.
    fn parse_part(&mut self, key: &str, text: &str) -> Result<Protocols, String> {
        let part = parse_subfield(key)?;
        let number: u128 =
            parse(text).ok_or_else(|| format!("{key}: cannot parse integer value: {text}"))?;
        if part.bits < 128 && number >> part.bits != 0 {
            return Err(format!("{key}: value {number:#x} does not fit into {} bits", part.bits));
        }
        let (field, width) = (part.field, part.field.row().width);
        let here = Value::mask(width, part.from, part.bits);
        let (value, mask) = self.get(field).unwrap_or_else(|| (field.zero(), field.zero()));
        let value = value.without(&here).or(&Value::shifted(width, number, part.from));
        let mask = mask.or(&here);
        self.set(field, &value, &mask);
        let whole = whole_mask(field);
        if !field.row().maskable && mask.and(&whole) != whole {
            return Ok(Protocols::NONE);
        }
        Ok(protocols(field, &mask))
    }

    fn set_kind(&mut self, kind: u16) {
        match self.exact(Field::PacketType) {
            Some(packet_type) if packet_type == packet_type_of(kind).into() => {}
            _ => self.set_exact(Field::EthType, kind),
        }
    }

    fn parse_value(&mut self, field: Field, text: &str) -> Result<Protocols, String> {
        let (mut value, mask) = parse_masked(field, text)?;
        match field {
            Field::VlanTci if mask.int() == 0xffff && value.int() & 0x1000 == 0 => {
                value = Value::Int(0);
            }
            Field::VlanPcp => {
                let (old, old_mask) =
                    self.get(Field::VlanTci).map_or((0, 0), |(v, m)| (v.int(), m.int()));
                let present = u128::from(VLAN_PRESENT);
                let (value, mask) = ((value.int() & 7) << 13, (mask.int() & 7) << 13);
                self.set(
                    Field::VlanTci,
                    &Value::Int(old & 0x0fff | value | present),
                    &Value::Int(old_mask & 0x0fff | mask | present),
                );
                return Ok(Protocols::ANY);
            }
            Field::NwTos => value = Value::Int(value.int() & 0xfc),
            Field::ArpOp if value.int() > 0xff => {
                return Err(format!("{text}: value too large for 8-bit field arp_op"));
            }
            _ => {}
        }
        if mask.is_zero() && field.tun_metadata_index().is_some() {
            self.set_present(field);
            return Ok(protocols(field, &mask));
        }
        if mask.is_zero() {
            self.clear(field);
            return Ok(Protocols::ANY);
        }
        self.set(field, &value, &mask);
        Ok(protocols(field, &mask))
    }

    fn parse_dl_vlan(&mut self, text: &str) -> Result<(), String> {
        let vid: u32 =
            parse(text).ok_or_else(|| format!("{text}: bad syntax for dl_vlan value"))?;
        let vid = u16::try_from(vid)
            .map_err(|_| format!("{text}: value too large for 2-byte field dl_vlan"))?;
        let (value, mask) = match vid {
            0xffff => (0, 0xffff),
            0..=0xfff => (vid | VLAN_PRESENT, 0x1fff),
            _ => return Err(format!("{text}: not a valid VLAN id")),
        };
        let pcp = self.get(Field::VlanTci).filter(|_| vid != 0xffff);
        let (pcp, pcp_mask) = pcp.map_or((0, 0), |(v, m)| (v.int() & 0xe000, m.int() & 0xe000));
        let value = Value::Int(u128::from(value) | pcp);
        self.set(Field::VlanTci, &value, &Value::Int(mask | pcp_mask));
        Ok(())
    }

    fn parse_dl_vlan_pcp(&mut self, text: &str) -> Result<(), String> {
        let pcp: u32 =
            parse(text).ok_or_else(|| format!("{text}: bad syntax for dl_vlan_pcp value"))?;
        if pcp > 7 {
            return Err(format!("{text}: not a valid VLAN PCP"));
        }
        self.parse_value(Field::VlanPcp, &pcp.to_string()).map(drop)
    }
}

/// The protocols that can match `field` with this mask.
pub fn protocols(field: Field, mask: &Value) -> Protocols {
    let row = field.row();
    let all = whole_mask(field);
    let whole = mask.and(&all) == all;
    let can = |fixed: Fixed| match fixed {
        Fixed::No => false,
        Fixed::Exact => whole,
        Fixed::Cidr => super::value::prefix(mask, row.width).is_some(),
        Fixed::Masked => true,
    };
    let mut set = Protocols::NXM.or(Protocols::OXM);
    if row.headers.is_empty() {
        set = Protocols::NONE;
    }
    if can(row.of11) {
        set = set.or(Protocols::OF11);
    }
    if can(row.of10) {
        set = set.or(Protocols::OF10);
    }
    set
}
