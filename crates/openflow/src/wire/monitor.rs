//! Watching rules, as bytes: Nicira's form in OpenFlow 1.0 to 1.2, the Open Networking Foundation's in 1.3, the standard's since.

use super::action::{self, Context};
use super::flow_mod::{read_port, write_match, write_port};
use super::oxm::{self, Strictness};
use super::{Reader, Writer};
use crate::action::Instructions;
use crate::error::{Code, Result};
use crate::matching::Match;
use crate::message::flow_mod::ANY_GROUP;
use crate::message::monitor::{
    FlowChange, FlowEvent, FlowUpdate, MonitorCommand, MonitorFlags, MonitorRequest,
};
use crate::port::Port;
use crate::version::Version;

fn bits(flags: MonitorFlags) -> u16 {
    let MonitorFlags { initial, add, delete, modify, actions, own, only_own } = flags;
    [initial, add, delete, modify, actions, own, only_own]
        .into_iter()
        .enumerate()
        .fold(0, |bits, (i, set)| bits | u16::from(set) << i)
}

fn flags(bits: u16) -> MonitorFlags {
    let bit = |i: u16| bits >> i & 1 == 1;
    MonitorFlags {
        initial: bit(0),
        add: bit(1),
        delete: bit(2),
        modify: bit(3),
        actions: bit(4),
        own: bit(5),
        only_own: bit(6),
    }
}

fn known_flags(word: u16, known: u16, r: &Reader<'_>) -> Result<MonitorFlags> {
    let flags = flags(word);
    if !(flags.add || flags.delete || flags.modify) || word & !known != 0 {
        return Err(r.error(Code::OFPMOFC_BAD_FLAGS));
    }
    Ok(flags)
}

/// A match in Nicira's form, padded.
fn read_nxm(r: &mut Reader<'_>, len: usize, strictness: Strictness) -> Result<Match> {
    let fields = r.within(len, Code::OFPBMC_BAD_LEN)?;
    r.take(len.next_multiple_of(8) - len, Code::OFPBMC_BAD_LEN)?;
    oxm::read(fields, strictness, false).map(|(m, _)| m)
}

pub(super) fn read_nicira_requests(mut r: Reader<'_>) -> Result<Vec<MonitorRequest>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let mut asked = MonitorRequest::new(r.u32()?);
        let (word, out_port, len) = (r.u16()?, r.u16()?, usize::from(r.u16()?));
        asked.flags = known_flags(word, 0x3f, &start)?;
        asked.out_port = Port(out_port);
        asked.table = r.u8()?;
        r.zeros(5, Code::NXBRC_MUST_BE_ZERO)?;
        asked.matching = read_nxm(&mut r, len, Strictness::Strict)?;
        all.push(asked);
    }
    Ok(all)
}

pub(super) fn read_onf_requests(mut r: Reader<'_>) -> Result<Vec<MonitorRequest>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let mut asked = MonitorRequest::new(r.u32()?);
        let word = r.u16()?;
        r.skip(2)?; // the match says its own length
        asked.flags = known_flags(word, 0x3f, &start)?;
        asked.out_port = read_port(&mut r, Version::V13)?;
        asked.table = r.u8()?;
        r.zeros(3, Code::NXBRC_MUST_BE_ZERO)?;
        asked.matching = oxm::read_match(&mut r, Strictness::Strict)?;
        all.push(asked);
    }
    Ok(all)
}

pub(super) fn read_requests(mut r: Reader<'_>, version: Version) -> Result<Vec<MonitorRequest>> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let mut asked = MonitorRequest::new(r.u32()?);
        asked.out_port = read_port(&mut r, version)?;
        asked.out_group = r.u32()?;
        let word = r.u16()?;
        asked.table = r.u8()?;
        let command = match r.u8()? {
            0 => Some(MonitorCommand::Add),
            1 => Some(MonitorCommand::Modify),
            2 => Some(MonitorCommand::Delete),
            _ => None,
        };
        asked.flags = match command {
            Some(MonitorCommand::Delete) => flags(word & 0x5f),
            // Open vSwitch has no changes of one's own in full beside those in short.
            _ => known_flags(word, 0x5f, &start)?,
        };
        asked.command = command.ok_or_else(|| start.error(Code::OFPMOFC_BAD_COMMAND))?;
        asked.matching = oxm::read_match(&mut r, Strictness::Strict)?;
        all.push(asked);
    }
    Ok(all)
}

pub(super) fn write_request(w: &mut Writer, asked: &MonitorRequest, version: Version) {
    w.u32(asked.id);
    let old = bits(asked.flags) & 0x3f;
    match version {
        Version::V10 | Version::V11 | Version::V12 => {
            w.u16(old);
            w.u16(asked.out_port.0);
            let at = w.len();
            w.zeros(2);
            w.u8(asked.table);
            w.zeros(5);
            write_nxm(w, &asked.matching, at);
        }
        Version::V13 => {
            w.u16(old);
            let at = w.len();
            w.zeros(2);
            write_port(w, asked.out_port, version);
            w.u8(asked.table);
            w.zeros(3);
            let start = w.len();
            write_match(w, &asked.matching, version);
            w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
        }
        _ => {
            write_port(w, asked.out_port, version);
            w.u32(asked.out_group);
            w.u16(bits(asked.flags) & 0x5f);
            w.u8(asked.table);
            w.u8(asked.command as u8);
            write_match(w, &asked.matching, version);
        }
    }
}

/// Writes a match in Nicira's form, padded; its length into the two bytes at `at`.
fn write_nxm(w: &mut Writer, m: &Match, at: usize) {
    let start = w.len();
    oxm::write(w, m, Version::V10, None);
    w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
    w.pad8(start);
}

/// The numbers of events since OpenFlow 1.4.
mod event {
    pub(super) const ABBREVIATED: u16 = 4;
    pub(super) const PAUSED: u16 = 5;
    pub(super) const RESUMED: u16 = 6;
}

/// Nicira's number of an abbreviated event.
const NX_ABBREVIATED: u16 = 3;

pub(super) fn read_updates(mut r: Reader<'_>, version: Version) -> Result<Vec<FlowUpdate>> {
    let standard = version >= Version::V14;
    let mut all = Vec::new();
    while !r.is_empty() {
        let start = r;
        let bad_len = || start.error(Code::OFPBRC_BAD_LEN);
        let (len, number) = (usize::from(r.u16()?), r.u16()?);
        let rest = len.checked_sub(4).filter(|_| len.is_multiple_of(8)).ok_or_else(bad_len)?;
        let mut body = r.within(rest, Code::OFPBRC_BAD_LEN)?;
        use FlowEvent::{Added, Deleted, Initial, Modified};
        let event = match number {
            0..=2 if !standard => [Added, Deleted, Modified][usize::from(number)],
            0..=3 if standard => [Initial, Added, Deleted, Modified][usize::from(number)],
            NX_ABBREVIATED if !standard => {
                all.push(FlowUpdate::Abbreviated(short(&mut body)?));
                continue;
            }
            event::ABBREVIATED if standard => {
                all.push(FlowUpdate::Abbreviated(short(&mut body)?));
                continue;
            }
            event::PAUSED | event::RESUMED if standard => {
                short(&mut body)?;
                let paused = number == event::PAUSED;
                all.push(if paused { FlowUpdate::Paused } else { FlowUpdate::Resumed });
                continue;
            }
            _ => return Err(start.error(Code::NXBRC_FM_BAD_EVENT)),
        };
        let change = if standard {
            read_full(body, event, version)?
        } else {
            read_nicira_full(body, event, version)?
        };
        all.push(FlowUpdate::Full(Box::new(change)));
    }
    Ok(all)
}

/// The four bytes of an update that has no more.
fn short(body: &mut Reader<'_>) -> Result<u32> {
    let word = body.u32()?;
    body.end(Code::OFPBRC_BAD_LEN)?;
    Ok(word)
}

fn blank(event: FlowEvent) -> FlowChange {
    FlowChange {
        event,
        reason: 0,
        priority: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        table: 0,
        cookie: 0,
        matching: Match::any(),
        instructions: Instructions::default(),
    }
}

fn read_nicira_full(mut r: Reader<'_>, event: FlowEvent, version: Version) -> Result<FlowChange> {
    let mut change = blank(event);
    (change.reason, change.priority) = (r.u16()?, r.u16()?);
    (change.idle_timeout, change.hard_timeout) = (r.u16()?, r.u16()?);
    let len = usize::from(r.u16()?);
    change.table = r.u8()?;
    r.skip(1)?;
    change.cookie = r.u64()?;
    if version == Version::V13 {
        change.matching = oxm::read_match(&mut r, Strictness::Strict)?;
        change.instructions = action::read_instructions(r, version)?;
    } else {
        if len > r.left() {
            return Err(r.error(Code::OFPBRC_BAD_LEN));
        }
        change.matching = read_nxm(&mut r, len, Strictness::Strict)?;
        change.instructions = Instructions::apply(action::read(r, version)?);
    }
    Ok(change)
}

fn read_full(mut r: Reader<'_>, event: FlowEvent, version: Version) -> Result<FlowChange> {
    let mut change = blank(event);
    (change.table, change.reason) = (r.u8()?, r.u8()?.into());
    (change.idle_timeout, change.hard_timeout) = (r.u16()?, r.u16()?);
    change.priority = r.u16()?;
    r.skip(4)?;
    change.cookie = r.u64()?;
    change.matching = oxm::read_match(&mut r, Strictness::Strict)?;
    change.instructions = action::read_instructions(r, version)?;
    Ok(change)
}

pub(super) fn write_update(w: &mut Writer, update: &FlowUpdate, version: Version) {
    let standard = version >= Version::V14;
    let start = w.len();
    w.zeros(2);
    match update {
        FlowUpdate::Full(change) => write_full(w, change, version),
        FlowUpdate::Abbreviated(xid) => {
            w.u16(if standard { event::ABBREVIATED } else { NX_ABBREVIATED });
            w.u32(*xid);
        }
        FlowUpdate::Paused | FlowUpdate::Resumed => {
            let paused = *update == FlowUpdate::Paused;
            w.u16(if paused { event::PAUSED } else { event::RESUMED });
            w.zeros(4);
        }
    }
    w.fill_len(start, 0);
}

fn write_full(w: &mut Writer, change: &FlowChange, version: Version) {
    let context = Context::new(version, &change.matching);
    if version >= Version::V14 {
        w.u16(change.event as u16);
        w.u8(change.table);
        w.u8(u8::try_from(change.reason).unwrap_or(u8::MAX));
        w.u16(change.idle_timeout);
        w.u16(change.hard_timeout);
        w.u16(change.priority);
        w.zeros(4);
        w.u64(change.cookie);
        write_match(w, &change.matching, version);
        action::write_instructions(w, &change.instructions, context);
        return;
    }
    // There is no word for rules that were there before.
    w.u16((change.event as u16).saturating_sub(1));
    w.u16(change.reason);
    w.u16(change.priority);
    w.u16(change.idle_timeout);
    w.u16(change.hard_timeout);
    let at = w.len();
    w.zeros(2);
    w.u8(change.table);
    w.zeros(1);
    w.u64(change.cookie);
    if version == Version::V13 {
        let start = w.len();
        write_match(w, &change.matching, version);
        w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
        action::write_instructions(w, &change.instructions, context);
    } else {
        write_nxm(w, &change.matching, at);
        action::write(w, &change.instructions.apply, context);
    }
}

/// Whether a version can say it: before OpenFlow 1.4, pauses are messages of their own, and groups cannot be asked for.
pub(super) fn can_update(update: &FlowUpdate, version: Version) -> bool {
    version >= Version::V14 || !matches!(update, FlowUpdate::Paused | FlowUpdate::Resumed)
}

/// The same, of a question.
pub(super) fn can_ask(asked: &MonitorRequest, version: Version) -> bool {
    let plain = asked.command == MonitorCommand::Add
        && asked.out_group == ANY_GROUP
        && !asked.flags.only_own;
    version >= Version::V14 || plain
}
