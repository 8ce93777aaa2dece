//! What controllers want to hear, their roles, and what one of them did, as bytes.

use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::controller::{AsyncConfig, AsyncForm, AsyncMasks, RoleStatus};
use crate::message::ipfix::IpfixStats;
use crate::message::switch::Role;
use crate::version::Version;

/// The reasons that a version has, as bits, of each kind of message in their order.
fn reasons(version: Version) -> [u32; 6] {
    let packet_in = if version >= Version::V14 { 0x3f } else { 7 };
    [packet_in, 7, 0x3f, 7, 0x18, 3]
}

/// In the form of OpenFlow 1.3 and Nicira's first: three kinds, each for primaries and secondaries. What means nothing is left
/// out.
pub(super) fn read_async(
    mut r: Reader<'_>,
    version: Version,
    form: AsyncForm,
) -> Result<AsyncConfig> {
    let mut config = AsyncConfig { primary: [Some(0); 6], secondary: [Some(0); 6], form };
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
        let (number, known) = match property.kind {
            PropertyKind::Plain(number) if number < 12 => {
                (number, reasons[usize::from(number / 2)])
            }
            PropertyKind::Plain(_) if strict => {
                return Err(property.error(Code::OFPACFC_UNSUPPORTED));
            }
            PropertyKind::Vendor(..) if strict => return Err(property.unknown()),
            _ => continue,
        };
        let bits = property.u32()?;
        if bits & !known != 0 && strict {
            return Err(property.error(Code::OFPACFC_INVALID));
        }
        let masks = if number % 2 == 1 { &mut config.primary } else { &mut config.secondary };
        masks[usize::from(number / 2)] = Some(bits & known);
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
    for i in 0..6 {
        put(&config.secondary, i, 2 * i as u16);
        put(&config.primary, i, 2 * i as u16 + 1);
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
