//! What controllers want to hear, their roles, and what one of them did, as bytes.

use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::controller::{
    AsyncConfig, AsyncForm, AsyncMasks, ControllerReason, ControllerStatus, RoleStatus, UNASKED,
};
use crate::message::ipfix::IpfixStats;
use crate::message::switch::Role;
use crate::version::Version;

/// The reasons that a version has, as bits, of each kind of message in their order.
fn reasons(version: Version) -> [u32; UNASKED] {
    let packet_in = if version >= Version::V14 { 0x3f } else { 7 };
    let controller_status = if version >= Version::V15 { 0x7f } else { 0 };
    [packet_in, 7, 0x3f, 7, 0x18, 3, controller_status]
}

/// The property that each kind has for secondaries; that for primaries is the next. Between the last two are the triggers of
/// statistics, of which there are none.
const PROPERTIES: [u16; UNASKED] = [0, 2, 4, 6, 8, 10, 14];

/// In the form of OpenFlow 1.3 and Nicira's first: three kinds, each for primaries and secondaries. What means nothing is left
/// out.
pub(super) fn read_async(
    mut r: Reader<'_>,
    version: Version,
    form: AsyncForm,
) -> Result<AsyncConfig> {
    let mut config =
        AsyncConfig { primary: [Some(0); UNASKED], secondary: [Some(0); UNASKED], form };
    for (i, known) in reasons(version).into_iter().enumerate().take(3) {
        config.primary[i] = Some(r.u32()? & known);
        config.secondary[i] = Some(r.u32()? & known);
    }
    Ok(config)
}

pub(super) fn write_async(w: &mut Writer, config: &AsyncConfig, version: Version) {
    for (i, known) in reasons(version).into_iter().enumerate().take(3) {
        w.u32(config.primary[i].unwrap_or(0) & known);
        w.u32(config.secondary[i].unwrap_or(0) & known);
    }
}

/// The first number that marks an experimenter's property: there are two, for primaries and for secondaries.
const FIRST_VENDOR: u16 = 0xfffe;

/// In the form of OpenFlow 1.4: properties, of which the even ones are for secondaries. A switch is `strict`, and refuses what
/// it does not know.
pub(super) fn read_async_properties(
    mut r: Reader<'_>,
    version: Version,
    form: AsyncForm,
    strict: bool,
) -> Result<AsyncConfig> {
    let mut config = AsyncConfig { form, ..AsyncConfig::default() };
    let reasons = reasons(version);
    while !r.is_empty() {
        let property = Property::read_with(&mut r, FIRST_VENDOR)?;
        let PropertyKind::Plain(number) = property.kind else {
            if strict {
                return Err(property.unknown());
            }
            continue;
        };
        // What a version has no reasons for, it does not have.
        let kind =
            PROPERTIES.into_iter().zip(reasons).enumerate().find_map(|(i, (first, known))| {
                (number & !1 == first && known != 0).then_some((i, known))
            });
        let Some((kind, known)) = kind else {
            if strict {
                return Err(property.error(Code::OFPACFC_UNSUPPORTED));
            }
            continue;
        };
        let bits = property.u32()?;
        if bits & !known != 0 && strict {
            return Err(property.error(Code::OFPACFC_INVALID));
        }
        let masks = if number % 2 == 1 { &mut config.primary } else { &mut config.secondary };
        masks[kind] = Some(bits & known);
    }
    Ok(config)
}

pub(super) fn write_async_properties(w: &mut Writer, config: &AsyncConfig, version: Version) {
    let known = reasons(version);
    let mut put = |masks: &AsyncMasks, i: usize, number: u16| {
        if let Some(mask) = masks[i] {
            property::write(w, number, |w| w.u32(mask & known[i]));
        }
    };
    for (i, number) in PROPERTIES.into_iter().enumerate().filter(|(i, _)| known[*i] != 0) {
        put(&config.secondary, i, number);
        put(&config.primary, i, number + 1);
    }
}

pub(super) fn read_role_status(mut r: Reader<'_>) -> Result<RoleStatus> {
    let start = r;
    let role = Role::from_number(r.u32()?).map_err(|code| start.error(code))?;
    let reason = r.u8()?;
    r.skip(3)?;
    let generation = Some(r.u64()?).filter(|generation| *generation != u64::MAX);
    Ok(RoleStatus { role, reason, generation })
}

pub(super) fn write_role_status(w: &mut Writer, status: &RoleStatus) {
    w.u32(status.role as u32);
    w.u8(status.reason);
    w.zeros(3);
    w.u64(status.generation.unwrap_or(u64::MAX));
}

/// The property that says where a controller is.
const URI: u16 = 0;
/// A controller's status, without properties.
const STATUS: usize = 16;

pub(super) fn read_statuses(mut r: Reader<'_>) -> Result<Vec<ControllerStatus>> {
    let mut statuses = Vec::new();
    while !r.is_empty() {
        let mut len = r;
        let len = usize::from(len.u16()?);
        statuses.push(read_status(r.within(len, Code::OFPBRC_BAD_LEN)?)?);
    }
    Ok(statuses)
}

/// Reads one, which must be all that there is.
pub(super) fn read_status(mut r: Reader<'_>) -> Result<ControllerStatus> {
    let start = r;
    let len = usize::from(r.u16()?);
    if len != start.left() || len < STATUS {
        return Err(start.error(Code::OFPBRC_BAD_LEN));
    }
    let short_id = r.u16()?;
    let role = Role::from_number(r.u32()?).map_err(|code| start.error(code))?;
    let (reason, channel) = (r.u8()?, r.u8()?);
    let reason = ControllerReason::ALL.get(usize::from(reason)).copied();
    let reason = reason.ok_or_else(|| start.error(Code::OFPBRC_BAD_TYPE))?;
    let connected = match channel {
        0 => true,
        1 => false,
        _ => return Err(start.error(Code::OFPBRC_BAD_TYPE)),
    };
    r.skip(6)?;
    let mut uri = None;
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        match property.kind {
            PropertyKind::Plain(URI) => {
                let mut body = property.body;
                let len = body.left();
                uri = Some(body.text(len)?);
            }
            PropertyKind::Plain(_) => return Err(property.unknown()),
            // Experimenters may say more.
            PropertyKind::Vendor(..) => {}
        }
    }
    Ok(ControllerStatus { short_id, role, reason, connected, uri })
}

pub(super) fn write_status(w: &mut Writer, status: &ControllerStatus) {
    let start = w.len();
    w.u16(0);
    w.u16(status.short_id);
    w.u32(status.role as u32);
    w.u8(status.reason as u8);
    w.u8(u8::from(!status.connected));
    w.zeros(6);
    if let Some(uri) = &status.uri {
        property::write(w, URI, |w| w.bytes(super::cut(uri, LONGEST_URI).as_bytes()));
    }
    w.fill_len(start, 0);
}

/// As much of where a controller is as always fits.
const LONGEST_URI: usize = 4096;

pub(super) fn read_ipfix(r: &mut Reader<'_>) -> Result<IpfixStats> {
    let mut stats = IpfixStats::default();
    for count in counters(&mut stats) {
        *count = r.u64()?;
    }
    stats.collector_set = r.u32()?;
    r.skip(4)?;
    Ok(stats)
}

pub(super) fn write_ipfix(w: &mut Writer, stats: &IpfixStats) {
    let mut stats = *stats;
    for count in counters(&mut stats) {
        w.u64(*count);
    }
    w.u32(stats.collector_set);
    w.zeros(4);
}

/// In the order in which they are written.
fn counters(stats: &mut IpfixStats) -> [&mut u64; 10] {
    [
        &mut stats.flows,
        &mut stats.current_flows,
        &mut stats.packets,
        &mut stats.ipv4_packets,
        &mut stats.ipv6_packets,
        &mut stats.errors,
        &mut stats.ipv4_errors,
        &mut stats.ipv6_errors,
        &mut stats.sent,
        &mut stats.sent_errors,
    ]
}
