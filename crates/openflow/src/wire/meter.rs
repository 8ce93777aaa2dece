//! Meters as bytes, in OpenFlow 1.3 and later.

use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::meter::{
    Band, BandKind, Meter, MeterCommand, MeterFeatures, MeterFlags, MeterMod, MeterStats,
};
use crate::message::stats::Duration;

const DROP: u16 = 1;
const DSCP_REMARK: u16 = 2;
/// Every band that we know is that long.
const BAND: u16 = 16;

fn read_flags(r: &Reader<'_>, bits: u16) -> Result<MeterFlags> {
    let both = MeterFlags::KBPS | MeterFlags::PKTPS;
    if bits & !0xf != 0 || bits & both == both {
        return Err(r.error(Code::OFPMMFC_BAD_FLAGS));
    }
    Ok(MeterFlags(bits))
}

fn read_bands(mut r: Reader<'_>) -> Result<Vec<Band>> {
    let mut bands = Vec::new();
    while !r.is_empty() {
        let start = r;
        let bad = |code: Code| Err(start.error(code));
        let (kind, len) = (r.u16()?, r.u16()?);
        if len != BAND {
            return bad(Code::OFPMMFC_BAD_BAND);
        }
        let (rate, burst, level) = (r.u32()?, r.u32()?, r.u8()?);
        r.skip(3)?;
        let kind = match kind {
            DROP => BandKind::Drop,
            DSCP_REMARK => BandKind::DscpRemark(level),
            _ => return bad(Code::OFPMMFC_BAD_BAND),
        };
        bands.push(Band { kind, rate, burst });
    }
    Ok(bands)
}

fn write_bands(w: &mut Writer, bands: &[Band]) {
    for band in bands {
        let (kind, level) = match band.kind {
            BandKind::Drop => (DROP, 0),
            BandKind::DscpRemark(level) => (DSCP_REMARK, level),
        };
        w.u16(kind);
        w.u16(BAND);
        w.u32(band.rate);
        w.u32(band.burst);
        w.u8(level);
        w.zeros(3);
    }
}

pub(super) fn read_mod(mut r: Reader<'_>) -> Result<MeterMod> {
    let start = r;
    let command = match r.u16()? {
        0 => MeterCommand::Add,
        1 => MeterCommand::Modify,
        2 => MeterCommand::Delete,
        _ => return Err(start.error(Code::OFPMMFC_BAD_COMMAND)),
    };
    let (flags, id) = (r.u16()?, r.u32()?);
    let mut meter = Meter { id, flags: MeterFlags(0), bands: Vec::new() };
    if command != MeterCommand::Delete {
        meter.flags = read_flags(&start, flags)?;
        meter.bands = read_bands(r)?;
    }
    Ok(MeterMod { command, meter })
}

pub(super) fn write_mod(w: &mut Writer, change: &MeterMod) {
    w.u16(change.command as u16);
    w.u16(change.meter.flags.0);
    w.u32(change.meter.id);
    write_bands(w, &change.meter.bands);
}

pub(super) fn read_request(mut r: Reader<'_>) -> Result<u32> {
    let id = r.u32()?;
    r.skip(4)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(id)
}

pub(super) fn write_request(w: &mut Writer, id: u32) {
    w.u32(id);
    w.zeros(4);
}

pub(super) fn read_configs(mut r: Reader<'_>) -> Result<Vec<Meter>> {
    let mut meters = Vec::new();
    while !r.is_empty() {
        let start = r;
        let len = usize::from(r.u16()?);
        let (flags, id) = (MeterFlags(r.u16()?), r.u32()?);
        let bands = len.checked_sub(8).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        let bands = read_bands(r.within(bands, Code::OFPBRC_BAD_LEN)?)?;
        meters.push(Meter { id, flags, bands });
    }
    Ok(meters)
}

pub(super) fn write_config(w: &mut Writer, meter: &Meter) {
    let start = w.len();
    w.u16(0);
    w.u16(meter.flags.0);
    w.u32(meter.id);
    write_bands(w, &meter.bands);
    w.fill_len(start, 0);
}

pub(super) fn read_stats(mut r: Reader<'_>) -> Result<Vec<MeterStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let id = r.u32()?;
        let len = usize::from(r.u16()?);
        let rest = len.checked_sub(6).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        let mut r2 = r.within(rest, Code::OFPBRC_BAD_LEN)?;
        r2.skip(6)?;
        let (flows, packets, bytes) = (r2.u32()?, r2.u64()?, r2.u64()?);
        let duration = Duration { seconds: r2.u32()?, nanoseconds: r2.u32()? };
        let mut bands = Vec::new();
        while !r2.is_empty() {
            bands.push((r2.u64()?, r2.u64()?));
        }
        all.push(MeterStats { id, flows, packets, bytes, duration, bands });
    }
    Ok(all)
}

pub(super) fn write_stats(w: &mut Writer, stats: &MeterStats) {
    let start = w.len();
    w.u32(stats.id);
    w.zeros(8);
    w.u32(stats.flows);
    w.u64(stats.packets);
    w.u64(stats.bytes);
    w.u32(stats.duration.seconds);
    w.u32(stats.duration.nanoseconds);
    for (packets, bytes) in &stats.bands {
        w.u64(*packets);
        w.u64(*bytes);
    }
    w.fill_len(start, 4);
}

pub(super) fn read_features(mut r: Reader<'_>) -> Result<MeterFeatures> {
    let features = MeterFeatures {
        max_meters: r.u32()?,
        band_types: r.u32()?,
        capabilities: r.u32()?,
        max_bands: r.u8()?,
        max_color: r.u8()?,
    };
    r.skip(2)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(features)
}

pub(super) fn write_features(w: &mut Writer, features: &MeterFeatures) {
    w.u32(features.max_meters);
    w.u32(features.band_types);
    w.u32(features.capabilities);
    w.u8(features.max_bands);
    w.u8(features.max_color);
    w.zeros(2);
}
