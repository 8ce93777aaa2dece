//! Queues as bytes.

use super::flow_mod::{read_port, write_port};
use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::message::queue::{ALL_QUEUES, QueueConfig, QueueRequest, QueueStats};
use crate::message::stats::Duration;
use crate::port::Port;
use crate::version::Version;

/// Numbers of a queue's properties, the same in every version.
const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
/// A rate that says that there is none.
const NO_RATE: u16 = 0xffff;

/// The question of OpenFlow 1.3 and earlier, for all queues of a port.
pub(super) fn read_config_request(mut r: Reader<'_>, version: Version) -> Result<QueueRequest> {
    let start = r;
    let port = read_port(&mut r, version)?;
    let any = version != Version::V10 && port == Port::NONE;
    if port >= Port::MAX && !any {
        return Err(start.error(Code::OFPQOFC_BAD_PORT));
    }
    Ok(QueueRequest { port, queue: ALL_QUEUES })
}

pub(super) fn write_config_request(w: &mut Writer, asked: QueueRequest, version: Version) {
    write_port(w, asked.port, version);
    w.zeros(if version == Version::V10 { 2 } else { 4 });
}

/// The question of OpenFlow 1.4 and later.
pub(super) fn read_desc_request(mut r: Reader<'_>, version: Version) -> Result<QueueRequest> {
    Ok(QueueRequest { port: read_port(&mut r, version)?, queue: r.u32()? })
}

pub(super) fn write_desc_request(w: &mut Writer, asked: QueueRequest, version: Version) {
    write_port(w, asked.port, version);
    w.u32(asked.queue);
}

/// The answer of OpenFlow 1.3 and earlier: a port, and its queues.
pub(super) fn read_configs(
    mut r: Reader<'_>,
    version: Version,
) -> Result<(Port, Vec<QueueConfig>)> {
    let of = read_port(&mut r, version)?;
    r.skip(if version == Version::V10 { 6 } else { 4 })?;
    let mut queues = Vec::new();
    while !r.is_empty() {
        let start = r;
        let bad_len = || start.error(Code::OFPBRC_BAD_LEN);
        let queue = r.u32()?;
        // Since 1.2, a queue says its port again, which says nothing new.
        let head = if version >= Version::V12 { 16 } else { 8 };
        if version >= Version::V12 {
            r.skip(4)?;
        }
        let len = usize::from(r.u16()?);
        r.skip(if version >= Version::V12 { 6 } else { 2 })?;
        let rest = len.checked_sub(head).filter(|rest| rest.is_multiple_of(8));
        let mut properties = r.within(rest.ok_or_else(bad_len)?, Code::OFPBRC_BAD_LEN)?;
        let mut config = QueueConfig { port: of, queue, min_rate: None, max_rate: None };
        while !properties.is_empty() {
            let (kind, len) = (properties.u16()?, usize::from(properties.u16()?));
            let rest = len.checked_sub(4).filter(|_| len.is_multiple_of(8));
            let mut body = properties.within(rest.ok_or_else(bad_len)?, Code::OFPBRC_BAD_LEN)?;
            let rate = match kind {
                MIN_RATE => &mut config.min_rate,
                MAX_RATE => &mut config.max_rate,
                _ => continue,
            };
            body.skip(4)?;
            *rate = Some(body.u16()?).filter(|rate| *rate != NO_RATE);
            body.skip(6)?;
            body.end(Code::OFPBRC_BAD_LEN)?;
        }
        queues.push(config);
    }
    Ok((of, queues))
}

pub(super) fn write_configs(w: &mut Writer, port: Port, queues: &[QueueConfig], version: Version) {
    write_port(w, port, version);
    w.zeros(if version == Version::V10 { 6 } else { 4 });
    for config in queues {
        let start = w.len();
        w.u32(config.queue);
        if version >= Version::V12 {
            write_port(w, port, version);
        }
        let at = w.len();
        w.zeros(if version >= Version::V12 { 8 } else { 4 });
        for (kind, rate) in [(MIN_RATE, config.min_rate), (MAX_RATE, config.max_rate)] {
            if let Some(rate) = rate {
                w.u16(kind);
                w.u16(16);
                w.zeros(4);
                w.u16(rate);
                w.zeros(6);
            }
        }
        w.fill_len(start, at - start);
    }
}

/// The answer of OpenFlow 1.4 and later.
pub(super) fn read_descs(mut r: Reader<'_>, version: Version) -> Result<Vec<QueueConfig>> {
    let mut queues = Vec::new();
    while !r.is_empty() {
        let start = r;
        let (port, queue) = (read_port(&mut r, version)?, r.u32()?);
        let len = usize::from(r.u16()?);
        r.skip(6)?;
        let rest = len.checked_sub(16).filter(|rest| rest.is_multiple_of(8));
        let rest = rest.ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
        let mut properties = r.within(rest, Code::OFPBRC_BAD_LEN)?;
        let mut config = QueueConfig { port, queue, min_rate: None, max_rate: None };
        while !properties.is_empty() {
            let property = Property::read(&mut properties)?;
            let rate = match property.kind {
                PropertyKind::Plain(MIN_RATE) => &mut config.min_rate,
                PropertyKind::Plain(MAX_RATE) => &mut config.max_rate,
                _ => continue,
            };
            *rate = Some(property.u16()?).filter(|rate| *rate != NO_RATE);
        }
        queues.push(config);
    }
    Ok(queues)
}

pub(super) fn write_desc(w: &mut Writer, config: &QueueConfig, version: Version) {
    let start = w.len();
    write_port(w, config.port, version);
    w.u32(config.queue);
    w.zeros(8);
    for (kind, rate) in [(MIN_RATE, config.min_rate), (MAX_RATE, config.max_rate)] {
        if let Some(rate) = rate {
            property::write(w, kind, |w| {
                w.u16(rate);
                w.zeros(2);
            });
        }
    }
    w.fill_len(start, 8);
}

pub(super) fn read_stats_request(mut r: Reader<'_>, version: Version) -> Result<QueueRequest> {
    let mut of = read_port(&mut r, version)?;
    if version == Version::V10 {
        r.skip(2)?;
        // Any port goes by another number there.
        if of == Port::ALL {
            of = Port::NONE;
        }
    }
    Ok(QueueRequest { port: of, queue: r.u32()? })
}

pub(super) fn write_stats_request(w: &mut Writer, asked: QueueRequest, version: Version) {
    let v10 = version == Version::V10;
    let any = v10 && asked.port == Port::NONE;
    write_port(w, if any { Port::ALL } else { asked.port }, version);
    if v10 {
        w.zeros(2);
    }
    w.u32(asked.queue);
}

pub(super) fn read_stats(mut r: Reader<'_>, version: Version) -> Result<Vec<QueueStats>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let mut one = if version >= Version::V14 {
            let len = usize::from(r.u16()?);
            let rest = len.checked_sub(2).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
            let mut one = r.within(rest, Code::OFPBRC_BAD_LEN)?;
            one.skip(6)?;
            one
        } else {
            let len = if version == Version::V13 { 40 } else { 32 };
            r.within(len, Code::OFPBRC_BAD_LEN)?
        };
        let port = read_port(&mut one, version)?;
        if version == Version::V10 {
            one.skip(2)?;
        }
        let queue = one.u32()?;
        let mut count = || one.u64().map(|count| (count != u64::MAX).then_some(count));
        let (bytes, packets, errors) = (count()?, count()?, count()?);
        let mut duration = None;
        if version >= Version::V13 {
            let said = Duration { seconds: one.u32()?, nanoseconds: one.u32()? };
            duration = Some(said).filter(|said| said.seconds != u32::MAX);
        }
        // There are no properties yet.
        all.push(QueueStats { port, queue, bytes, packets, errors, duration });
    }
    Ok(all)
}

pub(super) fn write_stats(w: &mut Writer, stats: &QueueStats, version: Version) {
    let start = w.len();
    if version >= Version::V14 {
        w.zeros(8);
    }
    write_port(w, stats.port, version);
    if version == Version::V10 {
        w.zeros(2);
    }
    w.u32(stats.queue);
    for count in [stats.bytes, stats.packets, stats.errors] {
        w.u64(count.unwrap_or(u64::MAX));
    }
    if version >= Version::V13 {
        let unknown = Duration { seconds: u32::MAX, nanoseconds: u32::MAX };
        let duration = stats.duration.unwrap_or(unknown);
        w.u32(duration.seconds);
        w.u32(duration.nanoseconds);
    }
    if version >= Version::V14 {
        w.fill_len(start, 0);
    }
}
