//! Statistics, and rules that are gone, as bytes.

use super::action::{self, Context};
use super::flow_mod::{read_flags, read_match, read_port, write_flags, write_match, write_port};
use super::oxm::{self, Strictness};
use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer, cut};
use crate::error::{Code, Result};
use crate::matching::Match;
use crate::message::flow_mod::{ANY_GROUP, Flags};
use crate::message::stats::{
    AggregateReply, Desc, Duration, FlowRemoved, FlowStats, FlowStatsRequest, PortStats,
};
use crate::port::Port;
use crate::version::{Protocol, Version};

const LONG_TEXT: usize = 256;
const SHORT_TEXT: usize = 32;

pub(super) fn read_desc(mut r: Reader<'_>) -> Result<Desc> {
    let desc = Desc {
        manufacturer: r.text(LONG_TEXT)?,
        hardware: r.text(LONG_TEXT)?,
        software: r.text(LONG_TEXT)?,
        serial_number: r.text(SHORT_TEXT)?,
        datapath: r.text(LONG_TEXT)?,
    };
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(desc)
}

pub(super) fn write_desc(w: &mut Writer, desc: &Desc) {
    w.text(&desc.manufacturer, LONG_TEXT);
    w.text(&desc.hardware, LONG_TEXT);
    w.text(&desc.software, LONG_TEXT);
    w.text(&desc.serial_number, SHORT_TEXT);
    w.text(&desc.datapath, LONG_TEXT);
}

pub(super) fn read_flow_request(mut r: Reader<'_>, version: Version) -> Result<FlowStatsRequest> {
    let mut asked = FlowStatsRequest::default();
    if version == Version::V10 {
        asked.matching = super::legacy::read10(&mut r)?;
        asked.table = r.u8()?;
        r.skip(1)?;
        asked.out_port = Port(r.u16()?);
        r.end(Code::OFPBRC_BAD_LEN)?;
        return Ok(asked);
    }
    asked.table = r.u8()?;
    r.skip(3)?;
    asked.out_port = read_port(&mut r, version)?;
    asked.out_group = r.u32()?;
    r.skip(4)?;
    let (cookie, mask) = (r.u64()?, r.u64()?);
    asked.cookie = (cookie, mask);
    asked.matching = read_match(&mut r, version, Strictness::Strict)?;
    r.end8()?;
    Ok(asked)
}

/// Nicira's, in OpenFlow 1.0.
pub(super) fn read_nicira_request(mut r: Reader<'_>) -> Result<FlowStatsRequest> {
    let out_port = Port(r.u16()?);
    let len = usize::from(r.u16()?);
    let table = r.u8()?;
    r.skip(3)?;
    let (matching, cookie) = read_nxm(&mut r, len, Strictness::Strict, true)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    let cookie = cookie.unwrap_or_default();
    Ok(FlowStatsRequest { table, out_port, out_group: ANY_GROUP, cookie, matching, nicira: true })
}

fn read_nxm(
    r: &mut Reader<'_>,
    len: usize,
    strictness: Strictness,
    cookie: bool,
) -> Result<oxm::WithCookie> {
    let fields = r.within(len, Code::OFPBMC_BAD_LEN)?;
    r.take(len.next_multiple_of(8) - len, Code::OFPBMC_BAD_LEN)?;
    oxm::read(fields, strictness, cookie)
}

/// Writes an extensible match; its length into the two bytes at `at`.
fn write_nxm(w: &mut Writer, m: &Match, cookie: Option<(u64, u64)>, at: usize) {
    let start = w.len();
    oxm::write(w, m, Version::V10, cookie);
    w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
    w.pad8(start);
}

pub(super) fn write_flow_request(w: &mut Writer, asked: &FlowStatsRequest, version: Version) {
    if version == Version::V10 && asked.nicira {
        w.u16(asked.out_port.0);
        let at = w.len();
        w.u16(0);
        w.u8(asked.table);
        w.zeros(3);
        write_nxm(w, &asked.matching, Some(asked.cookie), at);
    } else if version == Version::V10 {
        super::legacy::write10(w, &asked.matching);
        w.u8(asked.table);
        w.zeros(1);
        w.u16(asked.out_port.0);
    } else {
        w.u8(asked.table);
        w.zeros(3);
        write_port(w, asked.out_port, version);
        w.u32(asked.out_group);
        w.zeros(4);
        w.u64(asked.cookie.0);
        w.u64(asked.cookie.1);
        write_match(w, &asked.matching, version);
    }
}

/// A counter that says "nobody counts" by all ones.
fn count(number: u64) -> Option<u64> {
    (number != u64::MAX).then_some(number)
}

pub(super) fn read_flows(
    mut r: Reader<'_>,
    version: Version,
    nicira: bool,
) -> Result<Vec<FlowStats>> {
    let mut flows = Vec::new();
    while !r.is_empty() {
        flows.push(match (version, nicira) {
            (Version::V10, false) => read_flow10(&mut r)?,
            (Version::V10, true) => read_nicira_flow(&mut r)?,
            (Version::V15, _) => read_flow15(&mut r)?,
            _ => read_flow11(&mut r, version)?,
        });
    }
    Ok(flows)
}

/// What a rule does, at the end of an entry that began at `start` and is `len` bytes long. Nobody looks at the length before:
/// of a list that was cut off, the first thing that is not all there is told.
fn read_rest(
    r: &mut Reader<'_>,
    start: &Reader<'_>,
    len: usize,
    version: Version,
) -> Result<crate::Instructions> {
    let read = r.position() - start.position();
    let rest = len.checked_sub(read).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
    let cut_off = if version == Version::V10 { Code::OFPBRC_BAD_LEN } else { Code::OFPBIC_BAD_LEN };
    action::read_instructions(r.within(rest, cut_off)?, version)
}

pub(super) fn blank(table: u8) -> FlowStats {
    FlowStats {
        table,
        duration: None,
        priority: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        idle_age: None,
        hard_age: None,
        flags: Flags::default(),
        cookie: 0,
        packets: None,
        bytes: None,
        matching: Match::any(),
        instructions: crate::action::Instructions::default(),
    }
}

fn read_duration(r: &mut Reader<'_>) -> Result<Duration> {
    Ok(Duration { seconds: r.u32()?, nanoseconds: r.u32()? })
}

fn read_flow10(r: &mut Reader<'_>) -> Result<FlowStats> {
    let entry = *r;
    let len = usize::from(r.u16()?);
    let mut flow = blank(r.u8()?);
    r.skip(1)?;
    flow.matching = super::legacy::read10(r)?;
    flow.duration = Some(read_duration(r)?);
    (flow.priority, flow.idle_timeout, flow.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    r.skip(6)?;
    flow.cookie = r.u64()?;
    (flow.packets, flow.bytes) = (count(r.u64()?), count(r.u64()?));
    flow.instructions = read_rest(r, &entry, len, Version::V10)?;
    Ok(flow)
}

fn read_nicira_flow(r: &mut Reader<'_>) -> Result<FlowStats> {
    let entry = *r;
    let len = usize::from(r.u16()?);
    let mut flow = blank(r.u8()?);
    r.skip(1)?;
    flow.duration = Some(read_duration(r)?);
    (flow.priority, flow.idle_timeout, flow.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let match_len = usize::from(r.u16()?);
    // One more than the age, for 0 is "not known".
    flow.idle_age = r.u16()?.checked_sub(1);
    flow.hard_age = r.u16()?.checked_sub(1);
    flow.cookie = r.u64()?;
    (flow.packets, flow.bytes) = (count(r.u64()?), count(r.u64()?));
    flow.matching = read_nxm(r, match_len, Strictness::Strict, false)?.0;
    flow.instructions = read_rest(r, &entry, len, Version::V10)?;
    Ok(flow)
}

fn read_flow11(r: &mut Reader<'_>, version: Version) -> Result<FlowStats> {
    let entry = *r;
    let len = usize::from(r.u16()?);
    let mut flow = blank(r.u8()?);
    r.skip(1)?;
    flow.duration = Some(read_duration(r)?);
    (flow.priority, flow.idle_timeout, flow.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let (flags, importance) = (r.u16()?, r.u16()?);
    r.skip(2)?;
    if version >= Version::V13 {
        flow.flags = read_flags(flags, version).map_err(|code| entry.error(code))?;
    }
    if version >= Version::V14 {
        flow.importance = importance;
    }
    flow.cookie = r.u64()?;
    (flow.packets, flow.bytes) = (count(r.u64()?), count(r.u64()?));
    flow.matching = read_match(r, version, Strictness::Strict)?;
    flow.instructions = read_rest(r, &entry, len, version)?;
    Ok(flow)
}

fn read_flow15(r: &mut Reader<'_>) -> Result<FlowStats> {
    let entry = *r;
    let len = usize::from(r.u16()?);
    r.skip(2)?;
    let mut flow = blank(r.u8()?);
    r.skip(1)?;
    (flow.priority, flow.idle_timeout, flow.hard_timeout) = (r.u16()?, r.u16()?, r.u16()?);
    let flags = r.u16()?;
    flow.flags = read_flags(flags, Version::V15).map_err(|code| entry.error(code))?;
    flow.importance = r.u16()?;
    flow.cookie = r.u64()?;
    flow.matching = oxm::read_match(r, Strictness::Strict)?;
    read_oxs(r, &mut flow)?;
    flow.instructions = read_rest(r, &entry, len, Version::V15)?;
    Ok(flow)
}

/// OpenFlow 1.5's extensible statistics.
mod oxs {
    pub(super) const CLASS: u16 = 0x8002;
    pub(super) const DURATION: u8 = 0;
    pub(super) const IDLE_TIME: u8 = 1;
    pub(super) const FLOW_COUNT: u8 = 3;
    pub(super) const PACKET_COUNT: u8 = 4;
    pub(super) const BYTE_COUNT: u8 = 5;
}

/// Reads a list of statistics, each handed to `take` with its number; what is not the standard's is left out.
fn read_oxs_list(
    r: &mut Reader<'_>,
    mut take: impl FnMut(u8, &mut Reader<'_>) -> Result<bool>,
) -> Result<()> {
    let start = *r;
    let bad_len = || start.error(Code::OFPBMC_BAD_LEN);
    r.skip(2)?;
    let len = usize::from(r.u16()?);
    let mut list = r.within(len.checked_sub(4).ok_or_else(bad_len)?, Code::OFPBMC_BAD_LEN)?;
    r.take(len.next_multiple_of(8) - len, Code::OFPBMC_BAD_LEN)?;
    while !list.is_empty() {
        let here = list;
        let (class, field, len) = (list.u16()?, list.u8()? >> 1, list.u8()?);
        let mut value = list.within(len.into(), Code::OFPBMC_BAD_LEN)?;
        if class == oxs::CLASS {
            if !take(field, &mut value)? {
                continue;
            }
            value.end(Code::OFPBMC_BAD_LEN).map_err(|_| here.error(Code::OFPBMC_BAD_LEN))?;
        }
    }
    Ok(())
}

pub(super) fn read_oxs(r: &mut Reader<'_>, flow: &mut FlowStats) -> Result<()> {
    read_oxs_list(r, |field, value| {
        match field {
            oxs::DURATION => flow.duration = Some(read_duration(value)?),
            oxs::IDLE_TIME => {
                let idle = read_duration(value)?;
                flow.idle_age = Some(u16::try_from(idle.seconds).unwrap_or(u16::MAX));
            }
            oxs::PACKET_COUNT => flow.packets = count(value.u64()?),
            oxs::BYTE_COUNT => flow.bytes = count(value.u64()?),
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Writes one statistic of the list.
fn write_oxs(w: &mut Writer, field: u8, value: &[u8]) {
    w.u16(oxs::CLASS);
    w.u8(field << 1);
    w.u8(value.len() as u8);
    w.bytes(value);
}

fn write_oxs_list(w: &mut Writer, body: impl FnOnce(&mut Writer)) {
    let start = w.len();
    w.zeros(4);
    body(w);
    w.fill_len(start, 2);
    w.pad8(start);
}

/// What a rule has counted, as far as it is known.
pub(super) fn write_counts(
    w: &mut Writer,
    duration: Option<Duration>,
    idle_age: Option<u16>,
    packets: Option<u64>,
    bytes: Option<u64>,
) {
    write_oxs_list(w, |w| {
        if let Some(duration) = duration {
            write_oxs(w, oxs::DURATION, &duration_bytes(duration));
        }
        if let Some(seconds) = idle_age {
            let idle = Duration { seconds: seconds.into(), nanoseconds: 0 };
            write_oxs(w, oxs::IDLE_TIME, &duration_bytes(idle));
        }
        if let Some(packets) = packets {
            write_oxs(w, oxs::PACKET_COUNT, &packets.to_be_bytes());
        }
        if let Some(bytes) = bytes {
            write_oxs(w, oxs::BYTE_COUNT, &bytes.to_be_bytes());
        }
    });
}

fn duration_bytes(duration: Duration) -> [u8; 8] {
    (u64::from(duration.seconds) << 32 | u64::from(duration.nanoseconds)).to_be_bytes()
}

fn write_duration(w: &mut Writer, duration: Option<Duration>) {
    w.bytes(&duration_bytes(duration.unwrap_or_default()));
}

fn write_count(w: &mut Writer, number: Option<u64>) {
    w.u64(number.unwrap_or(u64::MAX));
}

pub(super) fn write_flows(w: &mut Writer, flows: &[FlowStats], protocol: Protocol) {
    flows.iter().for_each(|flow| append_flow(w, flow, &flow.instructions, protocol));
}

/// Writes one entry of an answer. What it does is apart, for who shares it with others.
pub fn append_flow(
    w: &mut Writer,
    flow: &FlowStats,
    instructions: &crate::Instructions,
    protocol: Protocol,
) {
    let version = protocol.version();
    let context = Context::new(version, &flow.matching);
    let form = if version == Version::V11 { Version::V12 } else { version };
    append_parts(
        w,
        flow,
        protocol,
        |w| oxm::write(w, &flow.matching, form, None),
        |w| action::write_instructions(w, instructions, context),
    );
}

/// The same of one whose fields and instructions are bytes already: those of [`Template`](super::Template) and of
/// [`write_instructions`](action::write_instructions), in this very protocol. It must have an extensible match.
pub fn append_written_flow(
    w: &mut Writer,
    flow: &FlowStats,
    fields: &[u8],
    instructions: &[u8],
    protocol: Protocol,
) {
    append_parts(w, flow, protocol, |w| w.bytes(fields), |w| w.bytes(instructions));
}

/// The entry around what a rule matches and does. A match of fixed form is taken from `flow`.
fn append_parts(
    w: &mut Writer,
    flow: &FlowStats,
    protocol: Protocol,
    fields: impl FnOnce(&mut Writer),
    instructions: impl FnOnce(&mut Writer),
) {
    let start = w.len();
    let version = protocol.version();
    w.u16(0);
    let timing = |w: &mut Writer| {
        w.u16(flow.priority);
        w.u16(flow.idle_timeout);
        w.u16(flow.hard_timeout);
    };
    if version < Version::V15 {
        w.u8(flow.table);
        w.zeros(1);
    }
    match version {
        Version::V10 if protocol.is_nxm() => {
            write_duration(w, flow.duration);
            timing(w);
            let at = w.len();
            w.u16(0);
            w.u16(flow.idle_age.map_or(0, |age| age.saturating_add(1)));
            w.u16(flow.hard_age.map_or(0, |age| age.saturating_add(1)));
            w.u64(flow.cookie);
            write_count(w, flow.packets);
            write_count(w, flow.bytes);
            let match_start = w.len();
            fields(w);
            w.set_u16(at, u16::try_from(w.len() - match_start).unwrap_or(u16::MAX));
            w.pad8(match_start);
        }
        Version::V10 => {
            super::legacy::write10(w, &flow.matching);
            write_duration(w, flow.duration);
            timing(w);
            w.zeros(6);
            w.u64(flow.cookie);
            write_count(w, flow.packets);
            write_count(w, flow.bytes);
        }
        Version::V15 => {
            w.zeros(2);
            w.u8(flow.table);
            w.zeros(1);
            timing(w);
            w.u16(write_flags(flow.flags, version));
            w.u16(flow.importance);
            w.u64(flow.cookie);
            oxm::write_framed(w, fields);
            write_counts(w, flow.duration, flow.idle_age, flow.packets, flow.bytes);
        }
        _ => {
            write_duration(w, flow.duration);
            timing(w);
            let flags = if version >= Version::V13 { write_flags(flow.flags, version) } else { 0 };
            w.u16(flags);
            w.u16(if version >= Version::V14 { flow.importance } else { 0 });
            w.zeros(2);
            w.u64(flow.cookie);
            write_count(w, flow.packets);
            write_count(w, flow.bytes);
            // In the later form even where it fits OpenFlow 1.1's own, which cannot tell all that the rule's author may have
            // said of tags. Open vSwitch does so as well.
            oxm::write_framed(w, fields);
        }
    }
    instructions(w);
    w.fill_len(start, 0);
}

pub(super) fn read_aggregate(
    mut r: Reader<'_>,
    version: Version,
    nicira: bool,
) -> Result<AggregateReply> {
    let mut sums = AggregateReply { packets: None, bytes: None, flows: u32::MAX, nicira };
    if version >= Version::V15 {
        read_oxs_list(&mut r, |field, value| {
            match field {
                oxs::FLOW_COUNT => sums.flows = value.u32()?,
                oxs::PACKET_COUNT => sums.packets = count(value.u64()?),
                oxs::BYTE_COUNT => sums.bytes = count(value.u64()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        return Ok(sums);
    }
    (sums.packets, sums.bytes, sums.flows) = (count(r.u64()?), count(r.u64()?), r.u32()?);
    r.skip(4)?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(sums)
}

pub(super) fn write_aggregate(w: &mut Writer, sums: &AggregateReply, version: Version) {
    if version >= Version::V15 {
        return write_oxs_list(w, |w| {
            write_oxs(w, oxs::FLOW_COUNT, &sums.flows.to_be_bytes());
            if let Some(packets) = sums.packets {
                write_oxs(w, oxs::PACKET_COUNT, &packets.to_be_bytes());
            }
            if let Some(bytes) = sums.bytes {
                write_oxs(w, oxs::BYTE_COUNT, &bytes.to_be_bytes());
            }
        });
    }
    write_count(w, sums.packets);
    write_count(w, sums.bytes);
    w.u32(sums.flows);
    w.zeros(4);
}

pub(super) fn read_port_request(mut r: Reader<'_>, version: Version) -> Result<Port> {
    let start = r;
    let port = read_port(&mut r, version).map_err(|_| start.error(Code::OFPBRC_BAD_PORT))?;
    r.skip(if version == Version::V10 { 6 } else { 4 })?;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(port)
}

pub(super) fn write_port_request(w: &mut Writer, port: Port, version: Version) {
    write_port(w, port, version);
    w.zeros(if version == Version::V10 { 6 } else { 4 });
}

/// Where OpenFlow 1.4 has what is Ethernet's alone.
const ETHERNET: u16 = 0;

pub(super) fn read_ports(mut r: Reader<'_>, version: Version) -> Result<Vec<PortStats>> {
    let mut ports = Vec::new();
    while !r.is_empty() {
        let start = r;
        let mut stats = PortStats {
            port: Port::NONE,
            counters: [u64::MAX; 12],
            duration: None,
            custom: Vec::new(),
        };
        let bad_port = || start.error(Code::OFPBRC_BAD_PORT);
        if version < Version::V14 {
            stats.port = read_port(&mut r, version).map_err(|_| bad_port())?;
            r.skip(if version == Version::V10 { 6 } else { 4 })?;
            for counter in &mut stats.counters {
                *counter = r.u64()?;
            }
            if version >= Version::V13 {
                stats.duration = said(read_duration(&mut r)?);
            }
        } else {
            let len = usize::from(r.u16()?);
            let rest = len.checked_sub(2).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
            let mut r = r.within(rest, Code::OFPBRC_BAD_LEN)?;
            r.skip(2)?;
            stats.port = read_port(&mut r, version).map_err(|_| bad_port())?;
            stats.duration = said(read_duration(&mut r)?);
            for counter in &mut stats.counters[..8] {
                *counter = r.u64()?;
            }
            while !r.is_empty() {
                let property = Property::read(&mut r)?;
                match property.kind {
                    PropertyKind::Plain(ETHERNET) => {
                        let mut body = property.exactly(32, 4)?;
                        for counter in &mut stats.counters[8..] {
                            *counter = body.u64()?;
                        }
                    }
                    PropertyKind::Vendor(INTEL, CUSTOM_COUNTERS) => {
                        stats.custom = read_custom(&property)?;
                    }
                    _ => {}
                }
            }
        }
        ports.push(stats);
    }
    Ok(ports)
}

/// Counters of a device's own, which Open vSwitch has under Intel's number.
const INTEL: u32 = 0xaa01;
const CUSTOM_COUNTERS: u32 = 2;
/// The longest name that a counter has.
const COUNTER_NAME: usize = 63;

fn read_custom(property: &Property<'_>) -> Result<Vec<(String, u64)>> {
    let mut body = property.body;
    let bad_len = |_| property.error(Code::OFPBPC_BAD_LEN);
    body.skip(2).map_err(bad_len)?;
    let count = body.u16().map_err(bad_len)?;
    let mut counters = Vec::new();
    for _ in 0..count {
        let len = usize::from(body.u8().map_err(bad_len)?);
        let name = body.take(len, Code::OFPBPC_BAD_LEN)?;
        let name = cut(&String::from_utf8_lossy(name), COUNTER_NAME).to_owned();
        let value = body.u64().map_err(bad_len)?;
        // Without a name, nobody could say what it is.
        if !name.is_empty() {
            counters.push((name, value));
        }
    }
    Ok(counters)
}

fn write_custom(w: &mut Writer, counters: &[(String, u64)]) {
    property::write_vendor(w, INTEL, CUSTOM_COUNTERS, |w| {
        w.zeros(2);
        w.u16(u16::try_from(counters.len()).unwrap_or(u16::MAX));
        for (name, value) in counters.iter().take(u16::MAX.into()) {
            let name = cut(name, COUNTER_NAME);
            w.u8(name.len() as u8);
            w.bytes(name.as_bytes());
            w.u64(*value);
        }
    });
}

/// All ones is no time at all.
fn said(duration: Duration) -> Option<Duration> {
    (duration.seconds != u32::MAX).then_some(duration)
}

pub(super) fn write_port_stats(w: &mut Writer, stats: &PortStats, version: Version) {
    let unknown = Duration { seconds: u32::MAX, nanoseconds: u32::MAX };
    let duration = stats.duration.unwrap_or(unknown);
    if version < Version::V14 {
        write_port(w, stats.port, version);
        w.zeros(if version == Version::V10 { 6 } else { 4 });
        stats.counters.iter().for_each(|counter| w.u64(*counter));
        if version >= Version::V13 {
            write_duration(w, Some(duration));
        }
        return;
    }
    let start = w.len();
    w.zeros(4);
    w.u32(stats.port.to_wire32());
    write_duration(w, Some(duration));
    stats.counters[..8].iter().for_each(|counter| w.u64(*counter));
    let property = w.len();
    w.u16(ETHERNET);
    w.zeros(6);
    stats.counters[8..].iter().for_each(|counter| w.u64(*counter));
    w.fill_len(property, 2);
    if !stats.custom.is_empty() {
        write_custom(w, &stats.custom);
    }
    w.fill_len(start, 0);
}

pub(super) fn read_removed(mut r: Reader<'_>, version: Version) -> Result<FlowRemoved> {
    let mut removed = no_removed();
    if version == Version::V10 {
        removed.matching = super::legacy::read10(&mut r)?;
        removed.cookie = r.u64()?;
        removed.priority = r.u16()?;
        removed.reason = r.u8()?;
        r.skip(1)?;
        removed.duration = read_duration(&mut r)?;
        removed.idle_timeout = r.u16()?;
        r.skip(2)?;
        (removed.packets, removed.bytes) = (count(r.u64()?), count(r.u64()?));
        r.end(Code::OFPBRC_BAD_LEN)?;
        return Ok(removed);
    }
    if version >= Version::V15 {
        removed.table = Some(r.u8()?);
        removed.reason = r.u8()?;
        removed.priority = r.u16()?;
        (removed.idle_timeout, removed.hard_timeout) = (r.u16()?, r.u16()?);
        removed.cookie = r.u64()?;
        removed.matching = oxm::read_match(&mut r, Strictness::Strict)?;
        let mut flow = blank(0);
        read_oxs(&mut r, &mut flow)?;
        removed.duration = flow.duration.unwrap_or_default();
        (removed.packets, removed.bytes) = (flow.packets, flow.bytes);
        r.end8()?;
        return Ok(removed);
    }
    removed.cookie = r.u64()?;
    removed.priority = r.u16()?;
    (removed.reason, removed.table) = (r.u8()?, Some(r.u8()?));
    removed.duration = read_duration(&mut r)?;
    removed.idle_timeout = r.u16()?;
    removed.hard_timeout = r.u16()?;
    (removed.packets, removed.bytes) = (count(r.u64()?), count(r.u64()?));
    removed.matching = read_match(&mut r, version, Strictness::Strict)?;
    r.end8()?;
    Ok(removed)
}

fn no_removed() -> FlowRemoved {
    FlowRemoved {
        matching: Match::any(),
        cookie: 0,
        priority: 0,
        reason: 0,
        table: None,
        duration: Duration::default(),
        idle_timeout: 0,
        hard_timeout: 0,
        packets: None,
        bytes: None,
        nicira: false,
    }
}

pub(super) fn read_nicira_removed(mut r: Reader<'_>) -> Result<FlowRemoved> {
    let mut removed = FlowRemoved { nicira: true, ..no_removed() };
    removed.cookie = r.u64()?;
    removed.priority = r.u16()?;
    removed.reason = r.u8()?;
    removed.table = r.u8()?.checked_sub(1);
    removed.duration = read_duration(&mut r)?;
    removed.idle_timeout = r.u16()?;
    let len = usize::from(r.u16()?);
    (removed.packets, removed.bytes) = (count(r.u64()?), count(r.u64()?));
    removed.matching = read_nxm(&mut r, len, Strictness::Strict, false)?.0;
    r.end(Code::OFPBRC_BAD_LEN)?;
    Ok(removed)
}

pub(super) fn write_removed(w: &mut Writer, removed: &FlowRemoved, version: Version) {
    let table = removed.table.unwrap_or(0);
    match version {
        Version::V10 => {
            super::legacy::write10(w, &removed.matching);
            w.u64(removed.cookie);
            w.u16(removed.priority);
            w.u8(removed.reason);
            w.zeros(1);
            write_duration(w, Some(removed.duration));
            w.u16(removed.idle_timeout);
            w.zeros(2);
            write_count(w, removed.packets);
            write_count(w, removed.bytes);
        }
        Version::V15 => {
            w.u8(table);
            w.u8(removed.reason);
            w.u16(removed.priority);
            w.u16(removed.idle_timeout);
            w.u16(removed.hard_timeout);
            w.u64(removed.cookie);
            write_match(w, &removed.matching, version);
            write_oxs_list(w, |w| {
                write_oxs(w, oxs::DURATION, &duration_bytes(removed.duration));
                if let Some(packets) = removed.packets {
                    write_oxs(w, oxs::PACKET_COUNT, &packets.to_be_bytes());
                }
                if let Some(bytes) = removed.bytes {
                    write_oxs(w, oxs::BYTE_COUNT, &bytes.to_be_bytes());
                }
            });
        }
        _ => {
            w.u64(removed.cookie);
            w.u16(removed.priority);
            w.u8(removed.reason);
            w.u8(table);
            write_duration(w, Some(removed.duration));
            w.u16(removed.idle_timeout);
            w.u16(removed.hard_timeout);
            write_count(w, removed.packets);
            write_count(w, removed.bytes);
            write_match(w, &removed.matching, version);
        }
    }
}

pub(super) fn write_nicira_removed(w: &mut Writer, removed: &FlowRemoved) {
    w.u64(removed.cookie);
    w.u16(removed.priority);
    w.u8(removed.reason);
    w.u8(removed.table.map_or(0, |table| table.saturating_add(1)));
    write_duration(w, Some(removed.duration));
    w.u16(removed.idle_timeout);
    let at = w.len();
    w.u16(0);
    write_count(w, removed.packets);
    write_count(w, removed.bytes);
    write_nxm(w, &removed.matching, None, at);
}
