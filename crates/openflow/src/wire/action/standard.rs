//! Actions with numbers of the standards' own. Each version has its list; what a later version dropped is set as any other
//! field there.

use super::super::oxm::{self, Header};
use super::super::{Reader, Writer};
use super::{Context, Item};
use crate::action::{Action, Subfield};
use crate::error::{Code, Result};
use crate::field::{Field, Value};
use crate::port::Port;
use crate::version::Version;
use packet::wire::ethernet::eth_type::PBB;

const SET_FIELD: u16 = 25;
const PUSH_PBB: u16 = 26;
const POP_PBB: u16 = 27;
const COPY_FIELD: u16 = 28;
const METER: u16 = 29;

/// Whether `version` has an action with this number.
pub(super) fn is_known(kind: u16, version: Version) -> bool {
    match version {
        Version::V10 => kind <= 11,
        Version::V11 => kind <= 24,
        // Setting single headers is obsolete since 1.2, but understood.
        _ => {
            kind <= 25
                || version >= Version::V13 && matches!(kind, PUSH_PBB | POP_PBB)
                || version >= Version::V15 && matches!(kind, COPY_FIELD | METER)
        }
    }
}

/// Reads the action of that number, which [`is_known`].
pub(super) fn read(kind: u16, mut item: Item<'_>) -> Result<Action> {
    let bad = |item: &Item<'_>| item.error(Code::OFPBAC_BAD_ARGUMENT);
    let version = item.place.version;
    if kind == SET_FIELD && version >= Version::V12 {
        return read_set_field(item);
    }
    if kind == COPY_FIELD && version >= Version::V15 {
        return read_copy_field(item);
    }
    let len = match (kind, version) {
        (0, Version::V10) => 8,
        (0, _) => 16,
        (4 | 5 | 11, Version::V10) => 16,
        (3 | 4, _) if version != Version::V10 => 16,
        _ => 8,
    };
    item.exactly(len)?;
    let r = &mut item.body.clone();
    let mut number = || match len {
        8 => r.u32(),
        _ => Ok(0),
    };
    let word = number()?;
    let (half, byte) = ((word >> 16) as u16, (word >> 24) as u8);
    // Later versions shifted numbers: to what they were in 1.0, or, for what is new, to what they are.
    let kind = match (version, kind) {
        (Version::V10, kind) => kind,
        (_, 3..=7) => kind + 1,
        (_, 8) => 108,
        (_, kind @ 9..=10) => kind,
        (_, kind) if kind < 3 => kind,
        (_, kind) => kind + 100,
    };
    Ok(match kind {
        0 => read_output(item)?,
        1 => Action::SetVlanVid {
            vid: Some(half).filter(|vid| *vid < 0x1000).ok_or_else(|| bad(&item))?,
            push: version == Version::V10,
        },
        2 => Action::SetVlanPcp {
            pcp: Some(byte).filter(|pcp| *pcp < 8).ok_or_else(|| bad(&item))?,
            push: version == Version::V10,
        },
        3 => Action::StripVlan,
        118 => Action::PopVlan,
        4 => Action::SetEthSrc(item.body.array()?),
        5 => Action::SetEthDst(item.body.array()?),
        6 => Action::SetIpSrc(word),
        7 => Action::SetIpDst(word),
        8 => Action::SetTos(Some(byte).filter(|tos| tos & 3 == 0).ok_or_else(|| bad(&item))?),
        9 => Action::SetTpSrc(half),
        10 => Action::SetTpDst(half),
        11 => {
            let port = Port(item.body.u16()?);
            item.body.skip(6)?;
            if port.0 >= Port::MAX.0 && port != Port::IN_PORT && port != Port::LOCAL {
                return Err(item.error(Code::OFPBAC_BAD_OUT_PORT));
            }
            Action::Enqueue { port, queue: item.body.u32()? }
        }
        108 => Action::SetEcn(Some(byte).filter(|ecn| *ecn < 4).ok_or_else(|| bad(&item))?),
        111 => Action::CopyTtlOut,
        112 => Action::CopyTtlIn,
        113 => Action::SetMplsLabel(
            Some(word).filter(|label| *label < 1 << 20).ok_or_else(|| bad(&item))?,
        ),
        114 => Action::SetMplsTc(Some(byte).filter(|tc| *tc < 8).ok_or_else(|| bad(&item))?),
        115 => Action::SetMplsTtl(byte),
        116 => Action::DecMplsTtl,
        117 => Action::PushVlan(
            Some(half).filter(|t| [0x8100, 0x88a8].contains(t)).ok_or_else(|| bad(&item))?,
        ),
        119 => Action::PushMpls(mpls_type(half).ok_or_else(|| bad(&item))?),
        120 => Action::PopMpls(half),
        121 => Action::SetQueue(word),
        122 => Action::Group(word),
        123 => Action::SetTtl(byte),
        124 => Action::DecTtl(vec![0]),
        126 => Action::PushPbb(Some(half).filter(|t| *t == PBB).ok_or_else(|| bad(&item))?),
        127 => Action::PopPbb,
        129 => Action::Meter(word),
        _ => return Err(item.error(Code::OFPBAC_BAD_TYPE)),
    })
}

/// An Ethernet type that a packet has behind its MPLS header is put on.
pub(super) fn mpls_type(eth_type: u16) -> Option<u16> {
    (eth_type == 0x8847 || eth_type == 0x8848).then_some(eth_type)
}

/// Whether packets can be sent to this port.
pub(super) fn is_output(port: Port) -> bool {
    port.0 < Port::MAX.0 || (Port::IN_PORT.0..=Port::LOCAL.0).contains(&port.0)
}

fn read_output(mut item: Item<'_>) -> Result<Action> {
    let port = match item.place.version {
        Version::V10 => Some(Port(item.body.u16()?)),
        _ => Port::from_wire32(item.body.u32()?),
    };
    let port =
        port.filter(|p| is_output(*p)).ok_or_else(|| item.error(Code::OFPBAC_BAD_OUT_PORT))?;
    Ok(Action::Output { port, max_len: item.body.u16()? })
}

fn read_set_field(mut item: Item<'_>) -> Result<Action> {
    let allowed = item.place.version >= Version::V15;
    let action = read_field_value(&mut item, allowed)?;
    item.body.end_zeros(Code::OFPBAC_BAD_SET_ARGUMENT)?;
    Ok(action)
}

/// Header, value and perhaps mask, as in a match.
pub(super) fn read_field_value(item: &mut Item<'_>, mask_allowed: bool) -> Result<Action> {
    let start: Reader<'_> = item.body;
    let header = Header::read(&mut item.body, Code::OFPBAC_BAD_SET_LEN)?;
    let field = header.field().filter(|_| header.len != 0);
    let field = field.ok_or_else(|| start.error(Code::OFPBAC_BAD_SET_TYPE))?;
    if header.fits(field) && (mask_allowed || !header.has_mask) {
        item.writable(field)?;
    }
    let mapped = oxm::read_payload(field, header, &mut item.body, start).map_err(|mut error| {
        error.code = match error.code {
            Code::OFPBMC_BAD_LEN => Code::OFPBAC_BAD_SET_LEN,
            Code::OFPBMC_BAD_MASK => Code::OFPBAC_BAD_SET_MASK,
            Code::OFPBMC_BAD_VALUE => Code::OFPBAC_BAD_SET_ARGUMENT,
            code => code,
        };
        error
    });
    let (value, mask) = mapped?;
    if header.has_mask && !mask_allowed {
        return Err(start.error(Code::OFPBAC_BAD_SET_MASK));
    }
    item.writable(field)?;
    // A tag can be changed, not taken off.
    if field == Field::VlanVid && value.int() & 0x1000 == 0 {
        return Err(start.error(Code::OFPBAC_BAD_SET_ARGUMENT));
    }
    Ok(Action::SetField { field, value, mask })
}

/// OpenFlow 1.5's, and the ONF's extension that became it.
pub(super) fn read_copy_field(mut item: Item<'_>) -> Result<Action> {
    let (bits, from, to) = (item.body.u16()?, item.body.u16()?, item.body.u16()?);
    item.body.skip(2)?;
    let part = |field, from: u16| Subfield { field, from: from.into(), bits: bits.into() };
    let src = part(oxm::read_name(&mut item.body)?, from);
    let dst = part(oxm::read_name(&mut item.body)?, to);
    item.body.end_zeros(Code::NXBRC_MUST_BE_ZERO)?;
    Ok(Action::Move { src: item.source(src)?, dst: item.target(dst)? })
}

/// Writes an action that `context.version` has a number for. False if there is none.
pub(super) fn write(w: &mut Writer, action: &Action, context: &mut Context) -> bool {
    let version = context.version;
    let v10 = version == Version::V10;
    let v11 = version == Version::V11;
    let legacy = v10 || v11;
    let shift = u16::from(!v10);
    match *action {
        Action::Output { port, max_len } => write_output(w, port, max_len, version),
        Action::Enqueue { port, queue } if v10 => {
            head(w, 11, 16);
            w.u16(port.0);
            w.zeros(6);
            w.u32(queue);
        }
        Action::Enqueue { port, queue } => {
            word(w, 21, queue);
            write_output(w, port, u16::MAX, version);
            super::nicira::write(w, &Action::PopQueue, context);
        }
        Action::SetVlanVid { vid, push } => {
            push_tag(w, push, context);
            if legacy {
                half(w, 1, vid);
            } else {
                set_field(w, Field::VlanVid, u128::from(vid) | 0x1000, version);
            }
        }
        Action::SetVlanPcp { pcp, push } => {
            push_tag(w, push, context);
            if legacy {
                byte(w, 2, pcp);
            } else {
                set_field(w, Field::VlanPcp, pcp.into(), version);
            }
        }
        Action::StripVlan | Action::PopVlan => word(w, if v10 { 3 } else { 18 }, 0),
        // In 1.0, setting a VLAN id puts a tag on, and there is never a second one.
        Action::PushVlan(_) if v10 => {}
        Action::PushVlan(eth_type) => half(w, 17, eth_type),
        Action::SetEthSrc(mac) if legacy => write_mac(w, 4 - shift, mac),
        Action::SetEthDst(mac) if legacy => write_mac(w, 5 - shift, mac),
        Action::SetIpSrc(address) if legacy => word(w, 6 - shift, address),
        Action::SetIpDst(address) if legacy => word(w, 7 - shift, address),
        Action::SetTos(tos) if legacy => byte(w, 8 - shift, tos),
        Action::SetEcn(ecn) if v11 => byte(w, 8, ecn),
        Action::SetTpSrc(port) if legacy => half(w, 9, port),
        Action::SetTpDst(port) if legacy => half(w, 10, port),
        Action::SetEthSrc(mac) => set_bytes(w, Field::EthSrc, &mac, version),
        Action::SetEthDst(mac) => set_bytes(w, Field::EthDst, &mac, version),
        Action::SetIpSrc(address) => set_field(w, Field::IpSrc, address.into(), version),
        Action::SetIpDst(address) => set_field(w, Field::IpDst, address.into(), version),
        Action::SetTos(tos) => set_field(w, Field::IpDscp, u128::from(tos >> 2), version),
        Action::SetEcn(ecn) if !v10 => set_field(w, Field::NwEcn, ecn.into(), version),
        Action::SetTpSrc(port) => {
            set_field(w, transport(context, true), port.into(), version);
        }
        Action::SetTpDst(port) => {
            set_field(w, transport(context, false), port.into(), version);
        }
        Action::SetTtl(ttl) if !v10 => byte(w, 23, ttl),
        Action::DecTtl(ref ids) if !v10 && *ids == [0] => word(w, 24, 0),
        Action::SetMplsLabel(label) if v11 => word(w, 13, label),
        Action::SetMplsTc(tc) if v11 => byte(w, 14, tc),
        Action::SetMplsLabel(label) if !v10 => {
            set_field(w, Field::MplsLabel, label.into(), version);
        }
        Action::SetMplsTc(tc) if !v10 => set_field(w, Field::MplsTc, tc.into(), version),
        Action::SetMplsTtl(ttl) if !v10 => byte(w, 15, ttl),
        Action::DecMplsTtl if !v10 => word(w, 16, 0),
        Action::PushMpls(eth_type) if !v10 => half(w, 19, eth_type),
        Action::PopMpls(eth_type) if !v10 => half(w, 20, eth_type),
        Action::CopyTtlOut if !v10 => word(w, 11, 0),
        Action::CopyTtlIn if !v10 => word(w, 12, 0),
        Action::PushPbb(eth_type) if version >= Version::V13 => half(w, PUSH_PBB, eth_type),
        Action::PopPbb if version >= Version::V13 => word(w, POP_PBB, 0),
        Action::SetQueue(queue) if !v10 => word(w, 21, queue),
        Action::Group(group) if !v10 => word(w, 22, group),
        Action::Meter(meter) if version >= Version::V15 => word(w, METER, meter),
        Action::SetTunnel { id, .. } if !legacy => set_field(w, Field::TunId, id.into(), version),
        Action::SetField { field, ref value, ref mask } if !legacy => {
            let whole = is_whole(field, mask);
            if !whole && version < Version::V15 {
                return false;
            }
            write_set_field(w, field, value, mask, version);
        }
        Action::SetField { field, ref value, ref mask } if is_whole(field, mask) => {
            return match as_single(field, value.int(), version) {
                Some(single) => write(w, &single, context),
                None => false,
            };
        }
        Action::Load { dst, value } if version >= Version::V15 => {
            let width = dst.field.row().width;
            let value = Value::shifted(width, value.into(), dst.from);
            write_set_field(w, dst.field, &value, &dst.mask(), version);
        }
        Action::Move { src, dst } if version >= Version::V15 => {
            let start = w.len();
            head(w, COPY_FIELD, 0);
            w.u16(src.bits as u16);
            w.u16(src.from as u16);
            w.u16(dst.from as u16);
            w.zeros(2);
            oxm::write_name(w, src.field, version);
            oxm::write_name(w, dst.field, version);
            w.pad8(start);
            w.fill_len(start, 2);
        }
        _ => return false,
    }
    true
}

/// Whether the mask covers all bits that the field has.
pub(super) fn is_whole(field: Field, mask: &Value) -> bool {
    let all = crate::field::prereq::whole_mask(field);
    mask.and(&all) == all
}

/// The action of OpenFlow 1.0 or 1.1 that sets this field and nothing else.
fn as_single(field: Field, value: u128, version: Version) -> Option<Action> {
    let v11 = version == Version::V11;
    Some(match field {
        Field::EthSrc => Action::SetEthSrc(crate::text::value::mac(value)),
        Field::EthDst => Action::SetEthDst(crate::text::value::mac(value)),
        Field::IpSrc => Action::SetIpSrc(value as u32),
        Field::IpDst => Action::SetIpDst(value as u32),
        Field::IpDscp => Action::SetTos((value as u8) << 2),
        Field::NwEcn if v11 => Action::SetEcn(value as u8),
        Field::NwTtl if v11 => Action::SetTtl(value as u8),
        Field::TcpSrc | Field::UdpSrc => Action::SetTpSrc(value as u16),
        Field::TcpDst | Field::UdpDst => Action::SetTpDst(value as u16),
        Field::SctpSrc if v11 => Action::SetTpSrc(value as u16),
        Field::SctpDst if v11 => Action::SetTpDst(value as u16),
        Field::VlanVid if value & 0x1000 != 0 => {
            Action::SetVlanVid { vid: value as u16 & 0xfff, push: false }
        }
        Field::VlanPcp => Action::SetVlanPcp { pcp: value as u8, push: false },
        _ => return None,
    })
}

fn transport(context: &Context, src: bool) -> Field {
    use packet::wire::ip_proto;
    match (context.proto, src) {
        (Some(ip_proto::UDP), true) => Field::UdpSrc,
        (Some(ip_proto::UDP), false) => Field::UdpDst,
        (Some(ip_proto::SCTP), true) => Field::SctpSrc,
        (Some(ip_proto::SCTP), false) => Field::SctpDst,
        (_, true) => Field::TcpSrc,
        (_, false) => Field::TcpDst,
    }
}

/// What OpenFlow 1.0 does unasked.
fn push_tag(w: &mut Writer, push: bool, context: &Context) {
    if push && !context.has_vlan && context.version != Version::V10 {
        half(w, 17, 0x8100);
    }
}

fn write_output(w: &mut Writer, port: Port, max_len: u16, version: Version) {
    if version == Version::V10 {
        head(w, 0, 8);
        w.u16(port.0);
        w.u16(max_len);
    } else {
        head(w, 0, 16);
        w.u32(port.to_wire32());
        w.u16(max_len);
        w.zeros(6);
    }
}

fn head(w: &mut Writer, kind: u16, len: u16) {
    w.u16(kind);
    w.u16(len);
}

fn word(w: &mut Writer, kind: u16, value: u32) {
    head(w, kind, 8);
    w.u32(value);
}

fn half(w: &mut Writer, kind: u16, value: u16) {
    word(w, kind, u32::from(value) << 16);
}

fn byte(w: &mut Writer, kind: u16, value: u8) {
    word(w, kind, u32::from(value) << 24);
}

fn write_mac(w: &mut Writer, kind: u16, mac: [u8; 6]) {
    head(w, kind, 16);
    w.bytes(&mac);
    w.zeros(6);
}

fn set_bytes(w: &mut Writer, field: Field, bytes: &[u8], version: Version) {
    let value = Value::from_bytes(field.row().width, bytes);
    write_set_field(w, field, &value, &field.ones(), version);
}

fn set_field(w: &mut Writer, field: Field, value: u128, version: Version) {
    write_set_field(w, field, &Value::Int(value), &field.ones(), version);
}

fn write_set_field(w: &mut Writer, field: Field, value: &Value, mask: &Value, version: Version) {
    let start = w.len();
    head(w, SET_FIELD, 0);
    oxm::write_field(w, field, value, mask, 1, version);
    w.pad8(start);
    w.fill_len(start, 2);
}
