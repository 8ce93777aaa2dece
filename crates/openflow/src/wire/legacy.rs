//! The matches of OpenFlow 1.0 and 1.1: structures of fixed form, with a word of bits that say what is wild.

use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;

use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::field::value::low_ones;
use crate::field::{Field, Prereq, Value};
use crate::matching::{Match, VLAN_PRESENT};
use crate::port::Port;
use crate::text::value::prefix;

mod wild10 {
    pub(super) const IN_PORT: u32 = 1;
    pub(super) const DL_VLAN: u32 = 1 << 1;
    pub(super) const DL_SRC: u32 = 1 << 2;
    pub(super) const DL_DST: u32 = 1 << 3;
    pub(super) const DL_TYPE: u32 = 1 << 4;
    pub(super) const NW_PROTO: u32 = 1 << 5;
    pub(super) const TP_SRC: u32 = 1 << 6;
    pub(super) const TP_DST: u32 = 1 << 7;
    pub(super) const NW_SRC: u32 = 8;
    pub(super) const NW_DST: u32 = 14;
    pub(super) const DL_VLAN_PCP: u32 = 1 << 20;
    pub(super) const NW_TOS: u32 = 1 << 21;
    /// All of them.
    pub(super) const ALL: u32 = (1 << 22) - 1;
}

/// `dl_vlan` of packets without a tag.
const NO_VLAN: u16 = 0xffff;
/// `dl_vlan` of packets with any tag; in OpenFlow 1.1.
const ANY_VLAN: u16 = 0xfffe;
/// The size of OpenFlow 1.1's match.
const LEN11: u16 = 88;

/// What both versions say about VLANs.
fn set_vlan(m: &mut Match, vid: Option<u16>, pcp: Option<u8>) {
    let (value, mask) = match (vid, pcp) {
        (Some(NO_VLAN), _) => (0, 0xffff),
        (None | Some(ANY_VLAN), None) if vid.is_none() => return,
        (None | Some(ANY_VLAN), None) => (VLAN_PRESENT, VLAN_PRESENT),
        (None | Some(ANY_VLAN), Some(pcp)) => (u16::from(pcp & 7) << 13 | VLAN_PRESENT, 0xf000),
        (Some(vid), None) => (vid & 0xfff | VLAN_PRESENT, 0x1fff),
        (Some(vid), Some(pcp)) => (vid & 0xfff | u16::from(pcp & 7) << 13 | VLAN_PRESENT, 0xffff),
    };
    m.set(Field::VlanTci, &Value::Int(value.into()), &Value::Int(mask.into()));
}

/// Whether OpenFlow 1.0's match at this place leaves nothing open.
pub(super) fn is_exact10(mut r: Reader<'_>) -> bool {
    r.u32().is_ok_and(|wild| wild & wild10::ALL == 0)
}

/// Reads OpenFlow 1.0's match. It may speak of fields that packets do not have.
pub fn read10(r: &mut Reader<'_>) -> Result<Match> {
    let wild = r.u32()?;
    let is_set = |bit: u32| wild & bit == 0;
    let mut m = Match::any();
    let in_port = r.u16()?;
    let (src, dst): ([u8; 6], [u8; 6]) = (r.array()?, r.array()?);
    let (vlan, pcp) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    let (kind, tos, proto) = (r.u16()?, r.u8()?, r.u8()?);
    r.skip(2)?;
    let (nw_src, nw_dst, tp_src, tp_dst) = (r.u32()?, r.u32()?, r.u16()?, r.u16()?);
    if is_set(wild10::IN_PORT) {
        m.set_exact(Field::InPort, in_port);
    }
    if is_set(wild10::DL_SRC) {
        m.set(Field::EthSrc, &Value::from_bytes(48, &src), &Field::EthSrc.ones());
    }
    if is_set(wild10::DL_DST) {
        m.set(Field::EthDst, &Value::from_bytes(48, &dst), &Field::EthDst.ones());
    }
    let vlan = is_set(wild10::DL_VLAN).then_some(vlan);
    set_vlan(&mut m, vlan, is_set(wild10::DL_VLAN_PCP).then_some(pcp));
    if is_set(wild10::DL_TYPE) {
        m.set_exact(Field::EthType, kind);
    }
    if is_set(wild10::NW_TOS) {
        m.set_exact(Field::NwTos, tos & 0xfc);
    }
    if is_set(wild10::NW_PROTO) {
        m.set_exact(Field::NwProto, proto);
    }
    for (field, shift, address) in
        [(Field::IpSrc, wild10::NW_SRC, nw_src), (Field::IpDst, wild10::NW_DST, nw_dst)]
    {
        let host = (wild >> shift & 0x3f).min(32);
        let mask = Value::mask(32, host, 32 - host);
        m.set(field, &Value::Int(address.into()), &mask);
    }
    if is_set(wild10::TP_SRC) {
        m.set_exact(Field::TcpSrc, tp_src);
    }
    if is_set(wild10::TP_DST) {
        m.set_exact(Field::TcpDst, tp_dst);
    }
    Ok(m)
}

/// Writes it. What it cannot say must not be in `m`: see [`protocols`](crate::text::matching::protocols).
pub fn write10(w: &mut Writer, m: &Match) {
    let mut wild = 0;
    let mut get = |field: Field, bit: u32| {
        m.exact(field).unwrap_or_else(|| {
            wild |= bit;
            0
        })
    };
    let in_port = get(Field::InPort, wild10::IN_PORT) as u16;
    let src = get(Field::EthSrc, wild10::DL_SRC);
    let dst = get(Field::EthDst, wild10::DL_DST);
    let kind = get(Field::EthType, wild10::DL_TYPE) as u16;
    let tos = get(Field::NwTos, wild10::NW_TOS) as u8;
    let proto = get(Field::NwProto, wild10::NW_PROTO) as u8;
    let tp_src = get(Field::TcpSrc, wild10::TP_SRC) as u16;
    let tp_dst = get(Field::TcpDst, wild10::TP_DST) as u16;
    let (vid, pcp) = vlan(m);
    let addresses =
        [(Field::IpSrc, wild10::NW_SRC), (Field::IpDst, wild10::NW_DST)].map(|(field, shift)| {
            let (address, mask) = m.get(field).unwrap_or((Value::Int(0), Value::Int(0)));
            let len = prefix(&mask, 32).unwrap_or(32);
            wild |= (32 - len) << shift;
            address.int() as u32
        });
    let vid = vid.filter(|vid| *vid != ANY_VLAN);
    if vid.is_none() {
        wild |= wild10::DL_VLAN;
    }
    // Of packets without a tag, the priority is known too: there is none.
    if pcp.is_none() && vid != Some(NO_VLAN) {
        wild |= wild10::DL_VLAN_PCP;
    }
    w.u32(wild);
    w.u16(in_port);
    w.bytes(&crate::text::value::mac(src));
    w.bytes(&crate::text::value::mac(dst));
    w.u16(vid.unwrap_or(0));
    w.u8(pcp.unwrap_or(0));
    w.zeros(1);
    w.u16(kind);
    w.u8(tos);
    w.u8(proto);
    w.zeros(2);
    addresses.iter().for_each(|address| w.u32(*address));
    w.u16(tp_src);
    w.u16(tp_dst);
}

/// What can be said about VLANs: an id, [`NO_VLAN`] or [`ANY_VLAN`]; and a priority.
fn vlan(m: &Match) -> (Option<u16>, Option<u8>) {
    let Some((tci, mask)) = m.get(Field::VlanTci) else { return (None, None) };
    let (tci, mask) = (tci.int() as u16, mask.int() as u16);
    if mask & VLAN_PRESENT == 0 {
        return (None, None);
    }
    if tci & VLAN_PRESENT == 0 {
        return (Some(NO_VLAN), None);
    }
    let vid = if mask & 0xfff == 0xfff { tci & 0xfff } else { ANY_VLAN };
    let pcp = (mask & 0xe000 == 0xe000).then_some((tci >> 13) as u8);
    (Some(vid), pcp)
}

mod wild11 {
    pub(super) const IN_PORT: u32 = 1;
    pub(super) const DL_VLAN: u32 = 1 << 1;
    pub(super) const DL_VLAN_PCP: u32 = 1 << 2;
    pub(super) const DL_TYPE: u32 = 1 << 3;
    pub(super) const NW_TOS: u32 = 1 << 4;
    pub(super) const NW_PROTO: u32 = 1 << 5;
    pub(super) const TP_SRC: u32 = 1 << 6;
    pub(super) const TP_DST: u32 = 1 << 7;
    pub(super) const MPLS_LABEL: u32 = 1 << 8;
    pub(super) const MPLS_TC: u32 = 1 << 9;
}

/// Reads OpenFlow 1.1's match. What it says of fields that packets do not have is an error.
pub fn read11(r: &mut Reader<'_>) -> Result<Match> {
    let start = *r;
    let bad = |code: Code| Err(start.error(code));
    let (kind, len) = (r.u16()?, r.u16()?);
    if kind != 0 {
        return bad(Code::OFPBMC_BAD_TYPE);
    }
    if len != LEN11 {
        return bad(Code::OFPBMC_BAD_LEN);
    }
    let mut r = r_within(r, usize::from(LEN11) - 4)?;
    let (in_port, wild) = (r.u32()?, r.u32()?);
    let is_set = |bit: u32| wild & bit == 0;
    let mut m = Match::any();
    if is_set(wild11::IN_PORT) {
        let Some(port) = Port::from_wire32(in_port) else { return bad(Code::OFPBMC_BAD_VALUE) };
        m.set_exact(Field::InPort, port.0);
    }
    for field in [Field::EthSrc, Field::EthDst] {
        let (value, wild): ([u8; 6], [u8; 6]) = (r.array()?, r.array()?);
        let mask = field.ones().without(&Value::from_bytes(48, &wild));
        m.set(field, &Value::from_bytes(48, &value), &mask);
    }
    let (vlan, pcp) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    let vlan = is_set(wild11::DL_VLAN).then_some(vlan);
    let pcp = is_set(wild11::DL_VLAN_PCP).then_some(pcp);
    if vlan.is_some_and(|vid| (0x1000..ANY_VLAN).contains(&vid)) {
        return bad(Code::OFPBMC_BAD_VALUE);
    }
    // A priority alone says nothing: only an id says that there is a tag.
    if let Some(vid) = vlan {
        if pcp.is_some_and(|pcp| pcp > 7) {
            return bad(Code::OFPBMC_BAD_VALUE);
        }
        set_vlan(&mut m, Some(vid), pcp);
    }
    let (kind, tos, proto) = (r.u16()?, r.u8()?, r.u8()?);
    if is_set(wild11::DL_TYPE) {
        m.set_exact(Field::EthType, kind);
    }
    let (ip, arp) = (Prereq::Ip.is_met(&m), Prereq::Arp.is_met(&m));
    if ip && is_set(wild11::NW_TOS) {
        if tos & 3 != 0 {
            return bad(Code::OFPBMC_BAD_VALUE);
        }
        m.set_exact(Field::NwTos, tos);
    }
    if (ip || arp) && is_set(wild11::NW_PROTO) {
        m.set_exact(Field::NwProto, proto);
    }
    for field in [Field::IpSrc, Field::IpDst] {
        let (value, wild) = (r.u32()?, r.u32()?);
        if Prereq::Ipv4.is_met(&m) || arp {
            m.set(field, &Value::Int(value.into()), &Value::Int((!wild).into()));
        }
    }
    let (tp_src, tp_dst) = (r.u16()?, r.u16()?);
    if ip {
        set_transport(&mut m, is_set, tp_src, tp_dst).map_err(|code| start.error(code))?;
    }
    let (label, tc) = (r.u32()?, r.u8()?);
    r.skip(3)?;
    if Prereq::Mpls.is_met(&m) {
        if is_set(wild11::MPLS_LABEL) {
            m.set_exact(Field::MplsLabel, u128::from(label) & low_ones(20));
        }
        if is_set(wild11::MPLS_TC) {
            m.set_exact(Field::MplsTc, tc & 7);
        }
    }
    let (metadata, wild) = (r.u64()?, r.u64()?);
    m.set(Field::Metadata, &Value::Int(metadata.into()), &Value::Int((!wild).into()));
    Ok(m)
}

fn r_within<'a>(r: &mut Reader<'a>, len: usize) -> Result<Reader<'a>> {
    r.within(len, Code::OFPBMC_BAD_LEN)
}

fn set_transport(
    m: &mut Match,
    is_set: impl Fn(u32) -> bool,
    src: u16,
    dst: u16,
) -> std::result::Result<(), Code> {
    let ports = [(Field::TcpSrc, wild11::TP_SRC, src), (Field::TcpDst, wild11::TP_DST, dst)];
    let matched = ports.into_iter().filter(|(_, bit, _)| is_set(*bit));
    match m.ip_proto() {
        Some(ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP) => {
            matched.for_each(|(field, _, port)| m.set_exact(field, port));
            Ok(())
        }
        Some(ip_proto::ICMP) if m.ether_type() == Some(eth_type::IPV4) => {
            for (field, _, number) in matched {
                if number > 0xff {
                    return Err(Code::OFPBMC_BAD_FIELD);
                }
                m.set_exact(field, number);
            }
            Ok(())
        }
        Some(ip_proto::ICMPV6) if m.ether_type() == Some(eth_type::IPV6) => {
            for (field, _, number) in matched {
                if number > 0xff {
                    return Err(Code::OFPBMC_BAD_FIELD);
                }
                m.set_exact(field, number);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether OpenFlow 1.1's own form says all of a match.
pub fn fits11(m: &Match) -> bool {
    let mut w = Writer::new();
    write11(&mut w, m);
    let bytes = w.into_bytes();
    read11(&mut Reader::new(&bytes, "match")).is_ok_and(|read| read == *m)
}

/// Writes it.
pub fn write11(w: &mut Writer, m: &Match) {
    let mut wild = 0;
    let mut get = |field: Field, bit: u32| {
        m.exact(field).unwrap_or_else(|| {
            wild |= bit;
            0
        })
    };
    let in_port = Port(get(Field::InPort, wild11::IN_PORT) as u16);
    let kind = get(Field::EthType, wild11::DL_TYPE) as u16;
    let tos = get(Field::NwTos, wild11::NW_TOS) as u8;
    let proto = get(Field::NwProto, wild11::NW_PROTO) as u8;
    let tp_src = get(Field::TcpSrc, wild11::TP_SRC) as u16;
    let tp_dst = get(Field::TcpDst, wild11::TP_DST) as u16;
    let label = get(Field::MplsLabel, wild11::MPLS_LABEL) as u32;
    let tc = get(Field::MplsTc, wild11::MPLS_TC) as u8;
    let (vid, pcp) = vlan(m);
    wild |= if vid.is_none() { wild11::DL_VLAN } else { 0 };
    wild |= if pcp.is_none() { wild11::DL_VLAN_PCP } else { 0 };
    let masked = |field: Field| m.get(field).unwrap_or((Value::Int(0), Value::Int(0)));
    w.u16(0);
    w.u16(LEN11);
    w.u32(if wild & wild11::IN_PORT == 0 { in_port.to_wire32() } else { 0 });
    w.u32(wild);
    for field in [Field::EthSrc, Field::EthDst] {
        let (value, mask) = masked(field);
        w.bytes(&value.to_bytes(6));
        w.bytes(&field.ones().without(&mask).to_bytes(6));
    }
    w.u16(vid.unwrap_or(0));
    w.u8(pcp.unwrap_or(0));
    w.zeros(1);
    w.u16(kind);
    w.u8(tos);
    w.u8(proto);
    for field in [Field::IpSrc, Field::IpDst] {
        let (value, mask) = masked(field);
        w.bytes(&value.to_bytes(4));
        w.bytes(&Field::IpSrc.ones().without(&mask).to_bytes(4));
    }
    w.u16(tp_src);
    w.u16(tp_dst);
    w.u32(label);
    w.u8(tc);
    w.zeros(3);
    let (value, mask) = masked(Field::Metadata);
    w.bytes(&value.to_bytes(8));
    w.bytes(&Field::Metadata.ones().without(&mask).to_bytes(8));
}
