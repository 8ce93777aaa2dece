//! Bundles and tunnel option tables as bytes.

use super::header::Header;
use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::bundle::{
    BundleAdd, BundleControl, BundleFeatures, BundleFeaturesRequest, BundleStep, Moment, Schedule,
};
use crate::message::tlv::{TlvCommand, TlvMap, TlvTable, TlvTableMod};
use crate::version::Version;

pub(super) fn read_control(mut r: Reader<'_>) -> Result<BundleControl> {
    let start = r;
    let (id, step, flags) = (r.u32()?, r.u16()?, r.u16()?);
    let step = BundleStep::ALL.get(usize::from(step)).copied();
    let step = step.ok_or_else(|| start.error(Code::OFPBFC_BAD_TYPE))?;
    Ok(BundleControl { id, step, flags })
}

pub(super) fn write_control(w: &mut Writer, control: &BundleControl) {
    w.u32(control.id);
    w.u16(control.step as u16);
    w.u16(control.flags);
}

/// Kinds of messages that can be in bundles: packet-out, flow-mod, group-mod, port-mod.
fn bundles(kind: u8, version: Version) -> bool {
    let port_mod = if version == Version::V10 { 15 } else { 16 };
    matches!(kind, 13 | 14) || kind == port_mod || kind == 15 && version != Version::V10
}

pub(super) fn read_add(mut r: Reader<'_>, outer: Header, version: Version) -> Result<BundleAdd> {
    let id = r.u32()?;
    r.skip(2)?;
    let flags = r.u16()?;
    let inner = Header::peek(r.rest()).ok_or_else(|| r.error(Code::OFPBFC_MSG_BAD_LEN))?;
    let here = r;
    let message = r.take(usize::from(inner.len).max(8), Code::OFPBFC_MSG_BAD_LEN)?.to_vec();
    if inner.len < 8 {
        return Err(here.error(Code::OFPBFC_MSG_BAD_LEN));
    }
    if inner.version != outer.version {
        return Err(here.error(Code::OFPBFC_BAD_VERSION));
    }
    if inner.xid != outer.xid {
        return Err(here.error(Code::OFPBFC_MSG_BAD_XID));
    }
    // In the dress of an experimenter's message, flow-mods are welcome too.
    let nicira_flow_mod =
        inner.kind == 4 && message.get(8..16) == Some(&[0, 0, 0x23, 0x20, 0, 0, 0, 13]);
    if !bundles(inner.kind, version) && !nicira_flow_mod {
        return Err(here.error(Code::OFPBFC_MSG_UNSUP));
    }
    Ok(BundleAdd { id, flags, message })
}

pub(super) fn write_add(w: &mut Writer, add: &BundleAdd, xid: u32) {
    w.u32(add.id);
    w.zeros(2);
    w.u16(add.flags);
    let start = w.len();
    w.bytes(&add.message);
    // The same transaction inside and out.
    let [a, b, c, d] = xid.to_be_bytes();
    if add.message.len() >= 8 {
        w.set_u16(start + 4, u16::from_be_bytes([a, b]));
        w.set_u16(start + 6, u16::from_be_bytes([c, d]));
    }
}

/// The property that tells how bundles are scheduled.
const TIME: u16 = 1;

fn read_moment(r: &mut Reader<'_>) -> Result<Moment> {
    let moment = Moment { seconds: r.u64()?, nanoseconds: r.u32()? };
    r.skip(4)?;
    Ok(moment)
}

fn write_moment(w: &mut Writer, moment: Moment) {
    w.u64(moment.seconds);
    w.u32(moment.nanoseconds);
    w.zeros(4);
}

/// Reads properties, of which one is known.
fn read_schedule(mut r: Reader<'_>) -> Result<Option<Schedule>> {
    let mut schedule = None;
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        if property.kind != PropertyKind::Plain(TIME) {
            return Err(property.unknown());
        }
        let mut body = property.exactly(64, 4)?;
        schedule = Some(Schedule {
            accuracy: read_moment(&mut body)?,
            max_future: read_moment(&mut body)?,
            max_past: read_moment(&mut body)?,
            now: read_moment(&mut body)?,
        });
    }
    Ok(schedule)
}

fn write_schedule(w: &mut Writer, schedule: Option<&Schedule>) {
    if let Some(s) = schedule {
        property::write(w, TIME, |w| {
            w.zeros(4);
            for moment in [s.accuracy, s.max_future, s.max_past, s.now] {
                write_moment(w, moment);
            }
        });
    }
}

pub(super) fn read_features_request(mut r: Reader<'_>) -> Result<BundleFeaturesRequest> {
    let flags = r.u32()?;
    r.skip(4)?;
    Ok(BundleFeaturesRequest { flags, schedule: read_schedule(r)? })
}

pub(super) fn write_features_request(w: &mut Writer, asked: &BundleFeaturesRequest) {
    w.u32(asked.flags);
    w.zeros(4);
    write_schedule(w, asked.schedule.as_ref());
}

pub(super) fn read_features(mut r: Reader<'_>) -> Result<BundleFeatures> {
    let capabilities = r.u16()?;
    r.skip(6)?;
    Ok(BundleFeatures { capabilities, schedule: read_schedule(r)? })
}

pub(super) fn write_features(w: &mut Writer, features: &BundleFeatures) {
    w.u16(features.capabilities);
    w.zeros(6);
    write_schedule(w, features.schedule.as_ref());
}

/// The longest value of an option.
const LONGEST: u8 = 124;

fn read_maps(mut r: Reader<'_>) -> Result<Vec<TlvMap>> {
    let mut maps = Vec::new();
    while !r.is_empty() {
        let start = r;
        let map = TlvMap { class: r.u16()?, kind: r.u8()?, len: r.u8()?, index: r.u16()? };
        r.skip(2)?;
        if map.len > LONGEST || !map.len.is_multiple_of(4) {
            return Err(start.error(Code::NXTTMFC_BAD_OPT_LEN));
        }
        if map.index >= 64 {
            return Err(start.error(Code::NXTTMFC_BAD_FIELD_IDX));
        }
        maps.push(map);
    }
    Ok(maps)
}

fn write_maps(w: &mut Writer, maps: &[TlvMap]) {
    for map in maps {
        w.u16(map.class);
        w.u8(map.kind);
        w.u8(map.len);
        w.u16(map.index);
        w.zeros(2);
    }
}

pub(super) fn read_tlv_mod(mut r: Reader<'_>) -> Result<TlvTableMod> {
    let start = r;
    let command = match r.u16()? {
        0 => TlvCommand::Add,
        1 => TlvCommand::Delete,
        2 => TlvCommand::Clear,
        _ => return Err(start.error(Code::NXTTMFC_BAD_COMMAND)),
    };
    r.skip(6)?;
    Ok(TlvTableMod { command, maps: read_maps(r)? })
}

pub(super) fn write_tlv_mod(w: &mut Writer, change: &TlvTableMod) {
    w.u16(change.command as u16);
    w.zeros(6);
    write_maps(w, &change.maps);
}

pub(super) fn read_tlv_table(mut r: Reader<'_>) -> Result<TlvTable> {
    let (max_space, max_fields) = (r.u32()?, r.u16()?);
    r.skip(10)?;
    Ok(TlvTable { max_space, max_fields, maps: read_maps(r)? })
}

pub(super) fn write_tlv_table(w: &mut Writer, table: &TlvTable) {
    w.u32(table.max_space);
    w.u16(table.max_fields);
    w.zeros(10);
    write_maps(w, &table.maps);
}
