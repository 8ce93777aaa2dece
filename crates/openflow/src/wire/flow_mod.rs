//! Flow-mods: OpenFlow 1.0's, Nicira's, and that of all later versions.

use super::action::{self, Context};
use super::header::{self, Header, Kind};
use super::legacy;
use super::oxm::{self, Strictness};
use super::shape::{self, Shape};
use super::{Reader, Writer};
use crate::consistency;
use crate::error::{Code, Result};
use crate::matching::Match;
use crate::message::flow_mod::{ALL_TABLES, ANY_GROUP, Command, Flags, FlowMod, Head};
use crate::port::Port;
use crate::version::{Protocol, Protocols, Version};

const SEND_FLOW_REM: u16 = 1;
const CHECK_OVERLAP: u16 = 1 << 1;
/// The same bit is [`RESET_COUNTS`] since 1.2.
const EMERGENCY: u16 = 1 << 2;
const RESET_COUNTS: u16 = 1 << 2;
const NO_PACKET_COUNTS: u16 = 1 << 3;
const NO_BYTE_COUNTS: u16 = 1 << 4;

fn known_flags(version: Version) -> u16 {
    match version {
        Version::V10 => SEND_FLOW_REM | CHECK_OVERLAP | EMERGENCY,
        Version::V11 => SEND_FLOW_REM | CHECK_OVERLAP,
        Version::V12 => SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS,
        _ => 0x1f,
    }
}

/// Flags of a rule, as flow-mods and statistics have them.
pub(super) fn read_flags(bits: u16, version: Version) -> std::result::Result<Flags, Code> {
    if bits & !known_flags(version) != 0 {
        return Err(Code::OFPFMFC_BAD_FLAGS);
    }
    let v10 = version == Version::V10;
    Ok(Flags {
        send_flow_rem: bits & SEND_FLOW_REM != 0,
        check_overlap: bits & CHECK_OVERLAP != 0,
        emergency: v10 && bits & EMERGENCY != 0,
        reset_counts: !v10 && bits & RESET_COUNTS != 0,
        no_packet_counts: bits & NO_PACKET_COUNTS != 0,
        no_byte_counts: bits & NO_BYTE_COUNTS != 0,
    })
}

/// The other way; what the version does not know is left out.
pub(super) fn write_flags(flags: Flags, version: Version) -> u16 {
    let v10 = version == Version::V10;
    let bit = |set: bool, bit: u16| if set { bit } else { 0 };
    let bits = bit(flags.send_flow_rem, SEND_FLOW_REM)
        | bit(flags.check_overlap, CHECK_OVERLAP)
        | bit(flags.emergency && v10, EMERGENCY)
        | bit(flags.reset_counts && !v10, RESET_COUNTS)
        | bit(flags.no_packet_counts, NO_PACKET_COUNTS)
        | bit(flags.no_byte_counts, NO_BYTE_COUNTS);
    bits & known_flags(version)
}

/// A command, and in OpenFlow 1.0 a table in its upper byte (where that extension is in use; without it the byte is 0).
fn read_command(r: &Reader<'_>, word: u16) -> Result<(Command, u8)> {
    let command =
        Command::from_number(word as u8).ok_or_else(|| r.error(Code::OFPFMFC_BAD_COMMAND))?;
    Ok((command, (word >> 8) as u8))
}

/// A port, none where any will do.
pub(super) fn read_port(r: &mut Reader<'_>, version: Version) -> Result<Port> {
    let start = *r;
    if version == Version::V10 {
        return r.u16().map(Port);
    }
    let number = r.u32()?;
    Port::from_wire32(number).ok_or_else(|| start.error(Code::OFPBAC_BAD_OUT_PORT))
}

pub(super) fn write_port(w: &mut Writer, port: Port, version: Version) {
    if version == Version::V10 { w.u16(port.0) } else { w.u32(port.to_wire32()) }
}

pub(super) fn read_buffer(r: &mut Reader<'_>) -> Result<Option<u32>> {
    Ok(Some(r.u32()?).filter(|buffer| *buffer != u32::MAX))
}

/// The flow-mod of OpenFlow 1.0 and, since 1.1, of all versions.
pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<FlowMod> {
    let start = r;
    if version == Version::V10 {
        let is_exact = legacy::is_exact10(r);
        let mut matching = legacy::read10(&mut r)?;
        matching.normalize();
        let cookie = r.u64()?;
        let (command, table) = read_command(&start, r.u16()?)?;
        let mut head = Head { table, new_cookie: cookie, ..Head::new(command) };
        read_timing(&mut r, &mut head)?;
        if is_exact {
            // OpenFlow 1.0, 3.4: it has the highest, whatever it says.
            head.priority = u16::MAX;
        }
        head.out_port = Port(r.u16()?);
        let flags = r.u16()?;
        return finish(head, matching, r, start, flags, version);
    }
    let front = Front::read(&mut r)?;
    // Of several faults, one of the match is the first to be told.
    let matching = read_match(&mut r, version, Strictness::Strict)?;
    finish(front.head(version)?, matching, r, start, front.flags, version)
}

/// What is before the match since OpenFlow 1.1, not looked at yet.
struct Front<'a> {
    start: Reader<'a>,
    cookie: (u64, u64),
    table: u8,
    command: u8,
    timing: Reader<'a>,
    out_port: Reader<'a>,
    out_group: u32,
    flags: u16,
    importance: u16,
}

impl<'a> Front<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self> {
        let start = *r;
        let cookie = (r.u64()?, r.u64()?);
        let (table, command) = (r.u8()?, r.u8()?);
        let timing = *r;
        r.skip(10)?;
        let out_port = *r;
        r.skip(4)?;
        let (out_group, flags, importance) = (r.u32()?, r.u16()?, r.u16()?);
        Ok(Self { start, cookie, table, command, timing, out_port, out_group, flags, importance })
    }

    /// All but the flags.
    fn head(&self, version: Version) -> Result<Head> {
        let (command, _) = read_command(&self.start, self.command.into())?;
        let mut head = Head { table: self.table, ..Head::new(command) };
        let modifies = matches!(command, Command::Modify | Command::ModifyStrict);
        let (cookie, mask) = self.cookie;
        if command == Command::Add || version == Version::V11 && modifies && mask == 0 {
            head.new_cookie = cookie;
        } else {
            head.cookie = (cookie, mask);
        }
        if self.table == ALL_TABLES && !(command.deletes() && version >= Version::V12) {
            return Err(self.start.error(Code::OFPFMFC_BAD_TABLE_ID));
        }
        read_timing(&mut { self.timing }, &mut head)?;
        head.out_port = read_port(&mut { self.out_port }, version)?;
        head.out_group = self.out_group;
        if version >= Version::V14 && command == Command::Add {
            head.importance = self.importance;
        }
        Ok(head)
    }
}

fn read_timing(r: &mut Reader<'_>, head: &mut Head) -> Result<()> {
    (head.idle_timeout, head.hard_timeout, head.priority) = (r.u16()?, r.u16()?, r.u16()?);
    head.buffer = read_buffer(r)?;
    Ok(())
}

/// A flow-mod taken apart and no further: for who has met its like before.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The version.
    pub version: Version,
    /// All but what follows.
    pub head: Head,
    /// The fields of its match, without what is around them.
    pub fields: &'a [u8],
    /// Where these are in the message.
    pub fields_at: usize,
    /// Its instructions; OpenFlow 1.0's actions.
    pub instructions: &'a [u8],
}

/// Takes a flow-mod with an extensible match apart. `None` of all other messages, and of those that can be refused without a
/// look at what is in the parts.
pub fn flow_mod_parts(message: &[u8]) -> Option<Parts<'_>> {
    /// Who, and the number of his flow-mod.
    const NICIRAS: [u8; 8] = [0, 0, 0x23, 0x20, 0, 0, 0, 13];
    let header = Header::peek(message).filter(|h| usize::from(h.len) == message.len())?;
    let version = Version::from_wire(header.version)?;
    let mut r = Reader::new(message, "flow-mod");
    r.skip(header::LEN).ok()?;
    let (mut head, flags, fields) = if r.rest().starts_with(&NICIRAS) && header.kind == 4 {
        r.skip(NICIRAS.len()).ok()?;
        read_nicira_head(&mut r).ok()?
    } else {
        let known = shape::find(Kind::Standard(header.kind), version)?;
        let is_it = known.shape == Shape::FlowMod && version >= Version::V12;
        if !is_it || !known.allows(r.left()) {
            return None;
        }
        let front = Front::read(&mut r).ok()?;
        (front.head(version).ok()?, front.flags, oxm::read_frame(&mut r).ok()?)
    };
    head.flags = read_flags(flags, version).ok().filter(|flags| !flags.emergency)?;
    let (fields, fields_at) = (fields.rest(), fields.start());
    Some(Parts { version, head, fields, fields_at, instructions: r.rest() })
}

fn finish(
    mut head: Head,
    matching: Match,
    r: Reader<'_>,
    start: Reader<'_>,
    flags: u16,
    version: Version,
) -> Result<FlowMod> {
    let instructions = action::read_instructions(r, version)?;
    head.flags = read_flags(flags, version).map_err(|code| start.error(code))?;
    if head.flags.emergency {
        // There is no other way to say that there is no such table.
        return Err(start.error(Code::OFPFMFC_TABLE_FULL));
    }
    let table = Some(head.table).filter(|table| *table != ALL_TABLES && version != Version::V10);
    let usable =
        consistency::check(&instructions, &matching, table).map_err(|code| start.error(code))?;
    if usable.and(Protocols::of_version(version)).is_empty() {
        return Err(start.error(Code::OFPBAC_MATCH_INCONSISTENT));
    }
    Ok(head.with(matching, instructions))
}

/// The match of a version since 1.1.
pub(super) fn read_match(
    r: &mut Reader<'_>,
    version: Version,
    strictness: Strictness,
) -> Result<crate::Match> {
    match version {
        Version::V10 => legacy::read10(r),
        // Replies of OpenFlow 1.1 have the later form where the match would not fit the older.
        Version::V11 if r.rest().starts_with(&[0, 1]) => oxm::read_match(r, strictness),
        Version::V11 => legacy::read11(r),
        _ => oxm::read_match(r, strictness),
    }
}

pub(super) fn write_match(w: &mut Writer, m: &crate::Match, version: Version) {
    match version {
        Version::V10 => legacy::write10(w, m),
        // What the older form cannot say goes in the later one, as the reference's replies do.
        Version::V11 if legacy::fits11(m) => legacy::write11(w, m),
        _ => oxm::write_match(w, m, version),
    }
}

/// Nicira's flow-mod, which is OpenFlow 1.0's with an extensible match.
pub(super) fn read_nicira(mut r: Reader<'_>, version: Version) -> Result<FlowMod> {
    let start = r;
    let (mut head, flags, fields) = read_nicira_head(&mut r)?;
    let (matching, masked_cookie) = oxm::read(fields, Strictness::Strict, true)?;
    if let Some(masked) = masked_cookie {
        if head.command == Command::Add {
            // Additions have no cookies to look for.
            return Err(start.error(Code::NXBRC_NXM_INVALID));
        }
        head.cookie = masked;
    }
    finish(head, matching, r, start, flags, version)
}

/// What is before its actions: the match is not read yet.
fn read_nicira_head<'a>(r: &mut Reader<'a>) -> Result<(Head, u16, Reader<'a>)> {
    let start = *r;
    let cookie = r.u64()?;
    let (command, table) = read_command(&start, r.u16()?)?;
    let mut head = Head { table, new_cookie: cookie, ..Head::new(command) };
    read_timing(r, &mut head)?;
    head.out_port = Port(r.u16()?);
    let flags = r.u16()?;
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let fields = r.within(len, Code::OFPBMC_BAD_LEN)?;
    r.take((8 - len % 8) % 8, Code::OFPBMC_BAD_LEN)?;
    Ok((head, flags, fields))
}

/// Writes the body of a flow-mod, in the form of `protocol`.
pub(super) fn write(w: &mut Writer, flow: &FlowMod, protocol: Protocol) {
    let version = protocol.version();
    let context = Context::new(version, &flow.matching);
    let flags = write_flags(flow.flags, version);
    // OpenFlow 1.1 cannot say "all tables".
    let table = if version == Version::V11 && flow.table == ALL_TABLES { 0 } else { flow.table };
    let v10_command = || {
        let table = if protocol.has_table() { table } else { 0 };
        u16::from(table) << 8 | flow.command as u16
    };
    let timing = |w: &mut Writer| {
        w.u16(flow.idle_timeout);
        w.u16(flow.hard_timeout);
        w.u16(flow.priority);
        w.u32(flow.buffer.unwrap_or(u32::MAX));
    };
    if version == Version::V10 {
        if !protocol.is_nxm() {
            legacy::write10(w, &flow.matching);
        }
        w.u64(flow.new_cookie);
        w.u16(v10_command());
        timing(w);
        w.u16(flow.out_port.0);
        w.u16(flags);
        if protocol.is_nxm() {
            let at = w.len();
            w.zeros(8);
            let start = w.len();
            let cookie = Some(flow.cookie).filter(|_| flow.command != Command::Add);
            oxm::write(w, &flow.matching, version, cookie);
            w.set_u16(at, u16::try_from(w.len() - start).unwrap_or(u16::MAX));
            w.pad8(start);
        }
    } else {
        let (cookie, mask) = match flow.command {
            Command::Add => (flow.new_cookie, 0),
            _ => flow.cookie,
        };
        w.u64(cookie);
        w.u64(mask);
        // Additions without a table go to the first.
        let first = table == ALL_TABLES && !flow.command.deletes();
        w.u8(if first { 0 } else { table });
        w.u8(flow.command as u8);
        timing(w);
        w.u32(flow.out_port.to_wire32());
        w.u32(flow.out_group);
        w.u16(flags);
        w.u16(if version >= Version::V14 { flow.importance } else { 0 });
        write_match(w, &flow.matching, version);
    }
    action::write_instructions(w, &flow.instructions, context);
}

/// The protocols that can carry this flow-mod at all, apart from match and actions.
pub fn protocols(flow: &FlowMod) -> Protocols {
    let mut set = Protocols::ANY;
    let flags = flow.flags;
    if flags.no_packet_counts || flags.no_byte_counts {
        set = set.and(Protocols::OF13_UP);
    }
    if flags.reset_counts {
        set = set.and(Protocols::OXM);
    }
    if flow.out_group != ANY_GROUP {
        set = set.and(Protocols::OF11.or(Protocols::OXM));
    }
    set
}
