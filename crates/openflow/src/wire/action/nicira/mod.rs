//! Nicira's actions: the same bytes in every version of OpenFlow, but for the numbers of fields.

use super::super::oxm;
use super::standard::{is_output, mpls_type, read_field_value};
use super::{Item, List, ct, learn, read_name};
use crate::action::select::{BundleAlgorithm, HashFields, MultipathAlgorithm};
use crate::action::{
    Action, Bundle, Controller, Direction, EncapProperty, Multipath, Sample, Subfield,
};
use crate::error::{Code, Result};
use crate::port::Port;
use crate::version::Version;

mod write;

pub(super) use write::{begin, end, write, write_metadata};

mod kind {
    pub(super) const RESUBMIT: u16 = 1;
    pub(super) const SET_TUNNEL: u16 = 2;
    pub(super) const SET_QUEUE: u16 = 4;
    pub(super) const POP_QUEUE: u16 = 5;
    pub(super) const REG_MOVE: u16 = 6;
    pub(super) const REG_LOAD: u16 = 7;
    pub(super) const NOTE: u16 = 8;
    pub(super) const SET_TUNNEL64: u16 = 9;
    pub(super) const MULTIPATH: u16 = 10;
    pub(super) const BUNDLE: u16 = 12;
    pub(super) const BUNDLE_LOAD: u16 = 13;
    pub(super) const RESUBMIT_TABLE: u16 = 14;
    pub(super) const OUTPUT_REG: u16 = 15;
    pub(super) const LEARN: u16 = 16;
    pub(super) const EXIT: u16 = 17;
    pub(super) const DEC_TTL: u16 = 18;
    pub(super) const FIN_TIMEOUT: u16 = 19;
    pub(super) const CONTROLLER: u16 = 20;
    pub(super) const DEC_TTL_CNT_IDS: u16 = 21;
    pub(super) const WRITE_METADATA: u16 = 22;
    pub(super) const PUSH_MPLS: u16 = 23;
    pub(super) const POP_MPLS: u16 = 24;
    pub(super) const SET_MPLS_TTL: u16 = 25;
    pub(super) const DEC_MPLS_TTL: u16 = 26;
    pub(super) const STACK_PUSH: u16 = 27;
    pub(super) const STACK_POP: u16 = 28;
    pub(super) const SAMPLE: u16 = 29;
    pub(super) const SET_MPLS_LABEL: u16 = 30;
    pub(super) const SET_MPLS_TC: u16 = 31;
    pub(super) const OUTPUT_REG2: u16 = 32;
    pub(super) const REG_LOAD2: u16 = 33;
    pub(super) const CONJUNCTION: u16 = 34;
    pub(super) const CT: u16 = 35;
    pub(super) const NAT: u16 = 36;
    pub(super) const CONTROLLER2: u16 = 37;
    pub(super) const SAMPLE2: u16 = 38;
    pub(super) const OUTPUT_TRUNC: u16 = 39;
    pub(super) const GROUP: u16 = 40;
    pub(super) const SAMPLE3: u16 = 41;
    pub(super) const CLONE: u16 = 42;
    pub(super) const CT_CLEAR: u16 = 43;
    pub(super) const RESUBMIT_TABLE_CT: u16 = 44;
    pub(super) const LEARN2: u16 = 45;
    pub(super) const ENCAP: u16 = 46;
    pub(super) const DECAP: u16 = 47;
    pub(super) const DEC_NSH_TTL: u16 = 48;
    pub(super) const CHECK_PKT_LARGER: u16 = 49;
    pub(super) const DELETE_FIELD: u16 = 50;
}

/// How long an action of fixed length is. Those that stand for a number of OpenFlow 1.1 exist in 1.0 alone.
fn fixed_len(number: u16) -> Option<usize> {
    Some(match number {
        kind::RESUBMIT
        | kind::SET_TUNNEL
        | kind::SET_QUEUE
        | kind::POP_QUEUE
        | kind::RESUBMIT_TABLE
        | kind::EXIT
        | kind::DEC_TTL
        | kind::FIN_TIMEOUT
        | kind::CONTROLLER
        | kind::PUSH_MPLS
        | kind::POP_MPLS
        | kind::SET_MPLS_TTL
        | kind::DEC_MPLS_TTL
        | kind::SET_MPLS_LABEL
        | kind::SET_MPLS_TC
        | kind::CONJUNCTION
        | kind::OUTPUT_TRUNC
        | kind::GROUP
        | kind::CT_CLEAR
        | kind::RESUBMIT_TABLE_CT
        | kind::DECAP
        | kind::DEC_NSH_TTL => 16,
        kind::REG_LOAD
        | kind::SET_TUNNEL64
        | kind::OUTPUT_REG
        | kind::STACK_PUSH
        | kind::STACK_POP
        | kind::SAMPLE
        | kind::OUTPUT_REG2
        | kind::DELETE_FIELD => 24,
        kind::MULTIPATH | kind::WRITE_METADATA | kind::SAMPLE2 | kind::SAMPLE3 => 32,
        _ => return None,
    })
}

/// Whether the number means anything in this version.
pub(super) fn is_known(number: u16, version: Version) -> bool {
    match number {
        // What is a standard action later.
        kind::SET_QUEUE
        | kind::DEC_TTL
        | kind::PUSH_MPLS
        | kind::POP_MPLS
        | kind::SET_MPLS_TTL
        | kind::DEC_MPLS_TTL
        | kind::SET_MPLS_LABEL
        | kind::SET_MPLS_TC
        | kind::GROUP
        | kind::WRITE_METADATA => version == Version::V10,
        kind::ENCAP | kind::DECAP | kind::DEC_NSH_TTL => version >= Version::V13,
        3 | 11 => false,
        _ => (1..=50).contains(&number),
    }
}

/// An offset and a count in sixteen bits: ten of them, and six for the count less one.
pub(super) fn unpack(ofs_nbits: u16) -> (u32, u32) {
    (u32::from(ofs_nbits >> 6), u32::from(ofs_nbits & 0x3f) + 1)
}

/// The other way.
pub(super) fn pack(part: &Subfield) -> u16 {
    ((part.from << 6) | (part.bits.saturating_sub(1) & 0x3f)) as u16
}

pub(super) fn read(number: u16, mut item: Item<'_>, list: &mut List) -> Result<()> {
    let version = item.place.version;
    if !is_known(number, version) {
        return Err(item.error(Code::OFPBAC_BAD_VENDOR_TYPE));
    }
    if let Some(len) = fixed_len(number) {
        item.exactly(len)?;
    }
    let bad = Code::OFPBAC_BAD_ARGUMENT;
    let r = &mut item.body;
    let action = match number {
        kind::RESUBMIT => Action::Resubmit { port: Port(r.u16()?), table: 255, with_ct: false },
        kind::RESUBMIT_TABLE | kind::RESUBMIT_TABLE_CT => {
            let (port, table) = (Port(r.u16()?), r.u8()?);
            r.end_zeros(bad)?;
            Action::Resubmit { port, table, with_ct: number == kind::RESUBMIT_TABLE_CT }
        }
        kind::SET_TUNNEL => {
            r.skip(2)?;
            Action::SetTunnel { id: r.u32()?.into(), wide: false }
        }
        kind::SET_TUNNEL64 => {
            r.skip(6)?;
            Action::SetTunnel { id: r.u64()?, wide: true }
        }
        kind::SET_QUEUE | kind::GROUP | kind::SET_MPLS_LABEL => {
            r.skip(2)?;
            let value = r.u32()?;
            match number {
                kind::SET_QUEUE => Action::SetQueue(value),
                kind::GROUP => Action::Group(value),
                _ if value < 1 << 20 => Action::SetMplsLabel(value),
                _ => return Err(item.error(bad)),
            }
        }
        kind::POP_QUEUE => Action::PopQueue,
        kind::REG_MOVE => return read_move(item, list),
        kind::REG_LOAD => {
            let (from, bits) = unpack(r.u16()?);
            let field = read_name(&mut item.body)?;
            let dst = item.target(Subfield { field, from, bits })?;
            let value = item.body.u64()?;
            if bits < 64 && value >> bits != 0 {
                return Err(item.error(bad));
            }
            Action::Load { dst, value }
        }
        kind::REG_LOAD2 => {
            let action = read_field_value(&mut item, true)?;
            item.body.end_zeros(Code::OFPBAC_BAD_SET_ARGUMENT)?;
            action
        }
        kind::NOTE => Action::Note(r.take_rest().to_vec()),
        kind::MULTIPATH => read_multipath(item)?,
        kind::BUNDLE | kind::BUNDLE_LOAD => read_bundle(item, number == kind::BUNDLE_LOAD)?,
        kind::OUTPUT_REG => {
            let (from, bits) = unpack(r.u16()?);
            let field = read_name(&mut item.body)?;
            let src = item.source(Subfield { field, from, bits })?;
            let max_len = item.body.u16()?;
            item.body.end_zeros(bad)?;
            Action::OutputReg { src, max_len }
        }
        kind::OUTPUT_REG2 => {
            let (from, bits) = unpack(r.u16()?);
            let max_len = r.u16()?;
            let field = oxm::read_name(&mut item.body)?;
            let src = item.source(Subfield { field, from, bits })?;
            item.body.end_zeros(bad)?;
            Action::OutputReg { src, max_len }
        }
        kind::LEARN | kind::LEARN2 => learn::read(item, number == kind::LEARN2)?,
        kind::EXIT => Action::Exit,
        kind::DEC_TTL => Action::DecTtl(vec![0]),
        kind::DEC_TTL_CNT_IDS => {
            let count = r.u16()?;
            r.zeros(4, Code::NXBRC_MUST_BE_ZERO)?;
            let mut ids = r.within(2 * usize::from(count), Code::OFPBAC_BAD_LEN)?;
            Action::DecTtl((0..count).map(|_| ids.u16()).collect::<Result<_>>()?)
        }
        kind::FIN_TIMEOUT => Action::FinTimeout { idle: r.u16()?, hard: r.u16()? },
        kind::CONTROLLER => {
            let (max_len, id, reason) = (r.u16()?, r.u16()?, r.u8()?);
            Action::Controller(Box::new(Controller {
                max_len,
                id,
                reason,
                ..Controller::default()
            }))
        }
        kind::CONTROLLER2 => read_controller2(item)?,
        kind::WRITE_METADATA => {
            r.zeros(6, Code::NXBRC_MUST_BE_ZERO)?;
            list.metadata = Some((r.u64()?, r.u64()?));
            return Ok(());
        }
        kind::PUSH_MPLS => Action::PushMpls(mpls_type(r.u16()?).ok_or_else(|| item.error(bad))?),
        kind::POP_MPLS => Action::PopMpls(r.u16()?),
        kind::SET_MPLS_TTL => Action::SetMplsTtl(r.u8()?),
        kind::SET_MPLS_TC => {
            Action::SetMplsTc(Some(r.u8()?).filter(|tc| *tc < 8).ok_or_else(|| item.error(bad))?)
        }
        kind::DEC_MPLS_TTL => Action::DecMplsTtl,
        kind::STACK_PUSH | kind::STACK_POP => {
            let from = r.u16()?.into();
            let field = oxm::read_name(&mut item.body)?;
            let part = Subfield { field, from, bits: item.body.u16()?.into() };
            item.body.end_zeros(Code::NXBRC_MUST_BE_ZERO)?;
            match number {
                kind::STACK_PUSH => Action::Push(item.source(part)?),
                _ => Action::Pop(item.target(part)?),
            }
        }
        kind::SAMPLE | kind::SAMPLE2 | kind::SAMPLE3 => read_sample(item, number)?,
        kind::CONJUNCTION => {
            let (clause, clauses, id) = (r.u8()?, r.u8()?, r.u32()?);
            if !(2..=64).contains(&clauses) || clause >= clauses {
                return Err(item.error(Code::NXBAC_BAD_CONJUNCTION));
            }
            Action::Conjunction { id, clause: clause + 1, clauses }
        }
        kind::CT => ct::read(item)?,
        kind::NAT => {
            list.nats.push(ct::read_nat(item)?);
            return Ok(());
        }
        kind::OUTPUT_TRUNC => {
            let (port, max_len) = (Port(r.u16()?), r.u32()?);
            if max_len < 14 {
                return Err(item.error(bad));
            }
            if !is_output(port) || port == Port::CONTROLLER || port == Port::TABLE {
                return Err(item.error(Code::OFPBAC_BAD_OUT_PORT));
            }
            Action::OutputTrunc { port, max_len }
        }
        kind::CLONE => {
            r.skip(6)?;
            let place = super::Place { depth: item.place.depth + 1, ..item.place };
            let inner = super::read_list(*r, place)?;
            if inner.metadata.is_some() || !inner.nats.is_empty() {
                return Err(item.error(Code::OFPBAC_BAD_SET_ARGUMENT));
            }
            Action::Clone(inner.actions)
        }
        kind::CT_CLEAR => Action::CtClear,
        kind::ENCAP => read_encap(item)?,
        kind::DECAP => {
            r.skip(2)?;
            let packet_type = r.u32()?;
            if packet_type != 0
                && packet_type != crate::action::USE_NEXT_PROTO
                && packet_type >> 16 > 1
            {
                return Err(item.error(bad));
            }
            Action::Decap { packet_type }
        }
        kind::DEC_NSH_TTL => Action::DecNshTtl,
        kind::CHECK_PKT_LARGER => {
            let (len, from) = (r.u16()?, r.u16()?.into());
            let field = oxm::read_name(&mut item.body)?;
            let dst = item.target(Subfield { field, from, bits: 1 })?;
            item.body.end_zeros(Code::NXBRC_MUST_BE_ZERO)?;
            Action::CheckPktLarger { len, dst }
        }
        kind::DELETE_FIELD => {
            let field = oxm::read_name(&mut item.body)?;
            if field.tun_metadata_index().is_none() {
                return Err(item.error(bad));
            }
            Action::DeleteField(field)
        }
        _ => return Err(item.error(Code::OFPBAC_BAD_VENDOR_TYPE)),
    };
    if item.place.in_ct
        && !matches!(action, Action::SetField { .. } | Action::Load { .. } | Action::Move { .. })
    {
        return Err(item.error(bad));
    }
    list.actions.push(action);
    Ok(())
}

fn read_move(mut item: Item<'_>, list: &mut List) -> Result<()> {
    let (bits, from, to) = (item.body.u16()?, item.body.u16()?, item.body.u16()?);
    let part = |field, from: u16| Subfield { field, from: from.into(), bits: bits.into() };
    let src = part(oxm::read_name(&mut item.body)?, from);
    let dst = part(oxm::read_name(&mut item.body)?, to);
    item.body.end_zeros(Code::OFPBAC_BAD_ARGUMENT)?;
    list.actions.push(Action::Move { src: item.source(src)?, dst: item.target(dst)? });
    Ok(())
}

fn read_multipath(mut item: Item<'_>) -> Result<Action> {
    let bad = |item: &Item<'_>| item.error(Code::OFPBAC_BAD_ARGUMENT);
    let r = &mut item.body;
    let (fields, basis) = (r.u16()?, r.u16()?);
    r.skip(2)?;
    let (algorithm, max_link, arg) = (r.u16()?, r.u16()?, r.u32()?);
    r.skip(2)?;
    let (from, bits) = unpack(r.u16()?);
    let field = read_name(&mut item.body)?;
    let fields = HashFields::from_number(fields).ok_or_else(|| bad(&item))?;
    let algorithm = MultipathAlgorithm::from_number(algorithm).ok_or_else(|| bad(&item))?;
    if bits < 16 && u32::from(max_link) + 1 > 1 << bits {
        return Err(bad(&item));
    }
    let dst = item.target(Subfield { field, from, bits })?;
    let multipath = Multipath { fields, basis, algorithm, max_link, arg, dst };
    Ok(Action::Multipath(Box::new(multipath)))
}

/// What bundles' members are: ports, in Nicira's number for them.
const OFPORT: u32 = 2;

/// The most members of a bundle.
const MEMBERS: u16 = 2048;

fn read_bundle(mut item: Item<'_>, load: bool) -> Result<Action> {
    item.at_least(32)?;
    let bad = |item: &Item<'_>| item.error(Code::OFPBAC_BAD_ARGUMENT);
    let r = &mut item.body;
    let (algorithm, fields, basis) = (r.u16()?, r.u16()?, r.u16()?);
    let (member_type, count) = (r.u32()?, r.u16()?);
    let (from, bits) = unpack(r.u16()?);
    let mut name = *r;
    r.skip(4)?;
    r.zeros(4, Code::OFPBAC_BAD_ARGUMENT)?;
    let dst = if load {
        let field = read_name(&mut name)?;
        let dst = item.target(Subfield { field, from, bits })?;
        if dst.bits < 16 {
            return Err(bad(&item));
        }
        Some(dst)
    } else {
        // No destination, and nothing where it would be.
        let mut name = name.within(4, Code::OFPBAC_BAD_LEN)?;
        name.zeros(4, Code::OFPBAC_BAD_ARGUMENT)?;
        None
    };
    if member_type != 0x0000_0002 && member_type != OFPORT || count > MEMBERS {
        return Err(bad(&item));
    }
    let fields = HashFields::from_number(fields).ok_or_else(|| bad(&item))?;
    let algorithm = BundleAlgorithm::from_number(algorithm).ok_or_else(|| bad(&item))?;
    let mut ports = item.body.within(2 * usize::from(count), Code::OFPBAC_BAD_LEN)?;
    let members = (0..count).map(|_| ports.u16().map(Port)).collect::<Result<_>>()?;
    item.body.end_zeros(Code::OFPBAC_BAD_ARGUMENT)?;
    Ok(Action::Bundle(Box::new(Bundle { algorithm, fields, basis, members, dst })))
}

fn read_controller2(mut item: Item<'_>) -> Result<Action> {
    item.body.zeros(6, Code::NXBRC_MUST_BE_ZERO)?;
    let mut controller = Controller::default();
    let mut r = item.body;
    while !r.is_empty() {
        let start = r;
        let bad_len = || start.error(Code::OFPBPC_BAD_LEN);
        let (number, len) = (r.u16().map_err(|_| bad_len())?, r.u16().map_err(|_| bad_len())?);
        let len = usize::from(len);
        let body = len.checked_sub(4).ok_or_else(bad_len)?;
        let mut property = r.within(body, Code::OFPBPC_BAD_LEN)?;
        r.take((8 - len % 8) % 8, Code::OFPBPC_BAD_LEN)?;
        let fixed = |body_len: usize| if body == body_len { Ok(()) } else { Err(bad_len()) };
        match number {
            // What follows a short number says nothing.
            0 => controller.max_len = property.u16().map_err(|_| bad_len())?,
            1 => controller.id = property.u16().map_err(|_| bad_len())?,
            2 => controller.reason = property.u8().map_err(|_| bad_len())?,
            3 => controller.userdata = property.take_rest().to_vec(),
            4 => controller.pause = true,
            5 => {
                fixed(4)?;
                controller.meter = Some(property.u32()?);
            }
            _ => return Err(start.error(Code::OFPBPC_BAD_TYPE)),
        }
    }
    Ok(Action::Controller(Box::new(controller)))
}

fn read_sample(mut item: Item<'_>, number: u16) -> Result<Action> {
    let r = &mut item.body;
    let (probability, collector_set) = (r.u16()?, r.u32()?);
    let (domain, point) = (r.u32()?, r.u32()?);
    let (mut port, mut direction) = (None, Direction::Default);
    if number != kind::SAMPLE {
        port = Some(Port(r.u16()?)).filter(|port| *port != Port::NONE);
        if number == kind::SAMPLE3 {
            direction = match r.u8()? {
                0 => Direction::Default,
                1 => Direction::Ingress,
                2 => Direction::Egress,
                _ => return Err(item.error(Code::OFPBAC_BAD_ARGUMENT)),
            };
            item.body.end_zeros(Code::NXBRC_MUST_BE_ZERO)?;
        }
    }
    if probability == 0 {
        return Err(item.error(Code::OFPBAC_BAD_ARGUMENT));
    }
    let sample = Sample { probability, collector_set, domain, point, port, direction };
    Ok(Action::Sample(Box::new(sample)))
}

/// The class of properties of NSH headers.
const NSH_CLASS: u16 = 4;

fn read_encap(mut item: Item<'_>) -> Result<Action> {
    let header_size = item.body.u16()?;
    let packet_type = item.body.u32()?;
    // Ethernet, NSH, and both kinds of MPLS.
    if ![0, 0x1_894f, 0x1_8847, 0x1_8848].contains(&packet_type) {
        return Err(item.error(Code::NXBAC_BAD_HEADER_TYPE));
    }
    let mut properties = Vec::new();
    let mut r = item.body;
    while !r.is_empty() {
        let start = r;
        let bad_len = || start.error(Code::OFPBAC_BAD_LEN);
        let head = r.take(4, Code::OFPBAC_BAD_LEN)?;
        let (class, number, len) =
            (u16::from_be_bytes([head[0], head[1]]), head[2], usize::from(head[3]));
        let body = len.checked_sub(4).ok_or_else(bad_len)?;
        let mut property = r.within(body, Code::OFPBAC_BAD_LEN)?;
        r.take((8 - len % 8) % 8, Code::OFPBAC_BAD_LEN)?;
        properties.push(match (class, number) {
            (NSH_CLASS, 1) if body == 1 => {
                let md_type = property.u8()?;
                if md_type != 1 && md_type != 2 {
                    return Err(start.error(Code::NXBAC_BAD_ED_PROP));
                }
                EncapProperty::MdType(md_type)
            }
            (NSH_CLASS, 2) if body >= 4 => {
                let (class, kind, len) = (property.u16()?, property.u8()?, property.u8()?);
                if usize::from(len).next_multiple_of(8) != property.left() {
                    return Err(start.error(Code::NXBAC_BAD_ED_PROP));
                }
                let data = property.take(len.into(), Code::NXBAC_BAD_ED_PROP)?.to_vec();
                EncapProperty::Tlv { class, kind, data }
            }
            (NSH_CLASS, 1 | 2) => return Err(start.error(Code::NXBAC_BAD_ED_PROP)),
            _ => return Err(start.error(Code::NXBAC_UNKNOWN_ED_PROP)),
        });
    }
    Ok(Action::Encap { packet_type, header_size, properties })
}
