//! Tables' set-up and features as bytes.

use std::collections::BTreeSet;

use super::oxm::Header;
use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::error::{Code, Result};
use crate::field::Field;
use crate::message::actions::ActionSet;
use crate::message::table::{
    FeaturesCommand, InstructionFeatures, TableDesc, TableFeatures, TableMiss, TableMod,
    TableReason, TableStatus, Vacancy,
};
use crate::version::Version;

/// Bits of a table's configuration, and of what it can be configured to do, since OpenFlow 1.4.
const EVICTION: u32 = 1 << 2;
const VACANCY_EVENTS: u32 = 1 << 3;

/// Properties of a table's set-up.
const EVICTION_PROPERTY: u16 = 2;
const VACANCY_PROPERTY: u16 = 3;

fn read_vacancy(property: &Property<'_>) -> Result<Vacancy> {
    let mut body = property.exactly(4, 0)?;
    Ok(Vacancy { down: body.u8()?, up: body.u8()?, now: body.u8()? })
}

fn write_vacancy(w: &mut Writer, vacancy: Vacancy) {
    property::write(w, VACANCY_PROPERTY, |w| {
        w.u8(vacancy.down);
        w.u8(vacancy.up);
        w.u8(vacancy.now);
        w.zeros(1);
    });
}

/// The configuration of OpenFlow 1.1 and 1.2. What means nothing there is as if nothing was said.
pub(super) fn read_miss(config: u32) -> TableMiss {
    match config & 3 {
        1 => TableMiss::Continue,
        2 => TableMiss::Drop,
        _ => TableMiss::Controller,
    }
}

pub(super) fn read_mod(mut r: Reader<'_>, version: Version) -> Result<TableMod> {
    let mut change = TableMod { table: r.u8()?, ..TableMod::default() };
    r.skip(3)?;
    let config = r.u32()?;
    if matches!(version, Version::V11 | Version::V12) {
        change.miss = Some(read_miss(config));
    }
    if version < Version::V14 {
        return Ok(change);
    }
    change.eviction = Some(config & EVICTION != 0);
    change.vacancy_events = Some(config & VACANCY_EVENTS != 0);
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        match property.kind {
            PropertyKind::Plain(EVICTION_PROPERTY) => {
                change.eviction_flags = Some(property.u32()?);
            }
            PropertyKind::Plain(VACANCY_PROPERTY) => {
                let vacancy = read_vacancy(&property)?;
                let Vacancy { down, up, now } = vacancy;
                if down > up || up > 100 || now != 0 {
                    return Err(property.error(Code::OFPBPC_BAD_VALUE));
                }
                change.vacancy = Some(vacancy);
            }
            _ => return Err(property.error(Code::OFPBRC_BAD_TYPE)),
        }
    }
    Ok(change)
}

pub(super) fn write_mod(w: &mut Writer, change: &TableMod, version: Version) {
    w.u8(change.table);
    w.zeros(3);
    if version < Version::V14 {
        let miss = change.miss.filter(|_| version < Version::V13);
        return w.u32(miss.map_or(0, |miss| miss as u32));
    }
    w.u32(config(change.eviction == Some(true), change.vacancy_events == Some(true)));
    if let Some(flags) = change.eviction_flags {
        property::write(w, EVICTION_PROPERTY, |w| w.u32(flags));
    }
    if let Some(vacancy) = change.vacancy {
        write_vacancy(w, Vacancy { now: 0, ..vacancy });
    }
}

fn config(eviction: bool, vacancy_events: bool) -> u32 {
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    bit(eviction, EVICTION) | bit(vacancy_events, VACANCY_EVENTS)
}

fn read_desc(r: &mut Reader<'_>) -> Result<TableDesc> {
    let start = *r;
    let len = usize::from(r.u16()?);
    let rest = len.checked_sub(2).ok_or_else(|| start.error(Code::OFPBRC_BAD_LEN))?;
    let mut r = r.within(rest, Code::OFPBRC_BAD_LEN)?;
    let mut desc = TableDesc { table: r.u8()?, ..TableDesc::default() };
    r.skip(1)?;
    let config = r.u32()?;
    desc.eviction = config & EVICTION != 0;
    desc.vacancy_events = config & VACANCY_EVENTS != 0;
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        match property.kind {
            PropertyKind::Plain(EVICTION_PROPERTY) => desc.eviction_flags = Some(property.u32()?),
            PropertyKind::Plain(VACANCY_PROPERTY) => desc.vacancy = Some(read_vacancy(&property)?),
            _ => {}
        }
    }
    Ok(desc)
}

pub(super) fn read_descs(mut r: Reader<'_>) -> Result<Vec<TableDesc>> {
    let mut tables = Vec::new();
    while !r.is_empty() {
        tables.push(read_desc(&mut r)?);
    }
    Ok(tables)
}

pub(super) fn write_desc(w: &mut Writer, desc: &TableDesc) {
    let start = w.len();
    w.u16(0);
    w.u8(desc.table);
    w.zeros(1);
    w.u32(config(desc.eviction, desc.vacancy_events));
    if let Some(flags) = desc.eviction_flags {
        property::write(w, EVICTION_PROPERTY, |w| w.u32(flags));
    }
    if let Some(vacancy) = desc.vacancy {
        write_vacancy(w, vacancy);
    }
    w.fill_len(start, 0);
}

pub(super) fn read_status(mut r: Reader<'_>) -> Result<TableStatus> {
    let start = r;
    let reason = match r.u8()? {
        3 => TableReason::VacancyDown,
        4 => TableReason::VacancyUp,
        _ => return Err(start.error(Code::OFPBPC_BAD_VALUE)),
    };
    r.skip(7)?;
    Ok(TableStatus { reason, desc: read_desc(&mut r)? })
}

pub(super) fn write_status(w: &mut Writer, status: &TableStatus) {
    w.u8(match status.reason {
        TableReason::VacancyDown => 3,
        TableReason::VacancyUp => 4,
    });
    w.zeros(7);
    write_desc(w, &status.desc);
}

/// Properties of features. Odd ones, up to the actions', are for the rule that other rules leave packets to.
mod feature {
    pub(super) const INSTRUCTIONS: u16 = 0;
    pub(super) const NEXT_TABLES: u16 = 2;
    pub(super) const WRITE_ACTIONS: u16 = 4;
    pub(super) const APPLY_ACTIONS: u16 = 6;
    pub(super) const MATCH: u16 = 8;
    pub(super) const WILDCARDS: u16 = 10;
    pub(super) const WRITE_SET_FIELD: u16 = 12;
    pub(super) const APPLY_SET_FIELD: u16 = 14;
}

/// Those that must be there when there is any.
const REQUIRED: u32 = 1 << feature::INSTRUCTIONS
    | 1 << feature::NEXT_TABLES
    | 1 << feature::WRITE_ACTIONS
    | 1 << feature::APPLY_ACTIONS
    | 1 << feature::MATCH
    | 1 << feature::WILDCARDS
    | 1 << feature::WRITE_SET_FIELD
    | 1 << feature::APPLY_SET_FIELD;

const NAME: usize = 32;
/// What stands before the properties.
const FIXED: usize = 64;

/// Instructions in the order of [`INSTRUCTIONS`](crate::message::table::INSTRUCTIONS): their numbers.
const INSTRUCTION_NUMBERS: [u16; 6] = [6, 4, 5, 3, 2, 1];

/// A set of instructions from bits by number.
pub(super) fn instructions_from_bits(bits: u32) -> u8 {
    INSTRUCTION_NUMBERS
        .iter()
        .enumerate()
        .filter(|(_, number)| bits >> **number & 1 == 1)
        .fold(0, |set, (i, _)| set | 1 << i)
}

pub(super) fn instructions_to_bits(set: u8) -> u32 {
    INSTRUCTION_NUMBERS
        .iter()
        .enumerate()
        .filter(|(i, _)| set >> i & 1 == 1)
        .fold(0, |bits, (_, number)| bits | 1 << number)
}

/// Reads numbers with the length of nothing, of instructions or actions, into bits. Experimenters' are left out.
fn read_ids(mut r: Reader<'_>) -> Result<u32> {
    let mut bits = 0;
    while !r.is_empty() {
        let start = r;
        let bad_len = |_| start.error(Code::OFPBPC_BAD_LEN);
        let (number, len) = (r.u16().map_err(bad_len)?, r.u16().map_err(bad_len)?);
        let rest = usize::from(len).checked_sub(4);
        r.take(rest.ok_or_else(|| start.error(Code::OFPBPC_BAD_LEN))?, Code::OFPBPC_BAD_LEN)?;
        bits |= 1u32.checked_shl(number.into()).unwrap_or(0);
    }
    Ok(bits)
}

/// Reads fields' numbers; those with a mask apart. What we do not know is left out.
fn read_fields(mut r: Reader<'_>) -> Result<(BTreeSet<Field>, BTreeSet<Field>)> {
    let (mut exact, mut masked) = (BTreeSet::new(), BTreeSet::new());
    while !r.is_empty() {
        let start = r;
        let header = Header::read(&mut r, Code::OFPBMC_BAD_LEN)?;
        let Some(field) = header.field().filter(|field| header.fits(*field)) else { continue };
        if header.has_mask && !field.row().maskable {
            return Err(start.error(Code::OFPBMC_BAD_MASK));
        }
        if header.has_mask {
            masked.insert(field)
        } else {
            exact.insert(field)
        };
    }
    Ok((exact, masked))
}

fn read_exact_fields(property: &Property<'_>) -> Result<BTreeSet<Field>> {
    let (exact, masked) = read_fields(property.body)?;
    if masked.is_empty() { Ok(exact) } else { Err(property.error(Code::OFPBMC_BAD_MASK)) }
}

fn read_property(
    table: &mut TableFeatures,
    property: &Property<'_>,
    version: Version,
) -> Result<()> {
    let PropertyKind::Plain(number) = property.kind else { return Ok(()) };
    let of_match = matches!(number, feature::MATCH | feature::WILDCARDS);
    let rules = if number % 2 == 0 || of_match { &mut table.hit } else { &mut table.miss };
    match number & !u16::from(!of_match) {
        feature::INSTRUCTIONS => {
            rules.instructions = instructions_from_bits(read_ids(property.body)?);
        }
        feature::NEXT_TABLES => {
            let mut body = property.body;
            let tables = body.take_rest();
            if tables.contains(&255) {
                return Err(property.error(Code::OFPBPC_BAD_VALUE));
            }
            rules.next = tables.iter().copied().collect();
        }
        feature::WRITE_ACTIONS => {
            rules.write.actions = ActionSet::from_bits(read_ids(property.body)?, version);
        }
        feature::APPLY_ACTIONS => {
            rules.apply.actions = ActionSet::from_bits(read_ids(property.body)?, version);
        }
        feature::MATCH => (table.matching, table.masked) = read_fields(property.body)?,
        feature::WILDCARDS => table.wildcard = read_exact_fields(property)?,
        feature::WRITE_SET_FIELD => rules.write.set_fields = read_exact_fields(property)?,
        feature::APPLY_SET_FIELD => rules.apply.set_fields = read_exact_fields(property)?,
        _ => {}
    }
    Ok(())
}

pub(super) fn read_features(mut r: Reader<'_>, version: Version) -> Result<Vec<TableFeatures>> {
    let mut tables = Vec::new();
    while !r.is_empty() {
        let start = r;
        let bad_len = || start.error(Code::OFPBPC_BAD_LEN);
        let len = usize::from(r.u16().map_err(|_| bad_len())?);
        let whole = Some(len).filter(|len| *len >= FIXED && len.is_multiple_of(8));
        let rest = whole.ok_or_else(bad_len)? - 2;
        let mut r2 = r.within(rest, Code::OFPBPC_BAD_LEN)?;
        tables.push(read_table_features(&mut r2, &start, version)?);
    }
    Ok(tables)
}

fn read_table_features(
    r: &mut Reader<'_>,
    start: &Reader<'_>,
    version: Version,
) -> Result<TableFeatures> {
    let mut table = TableFeatures { table: r.u8()?, ..TableFeatures::default() };
    let (command, features) = (r.u8()?, r.u32()?);
    if table.table == 255 {
        return Err(start.error(Code::OFPTFFC_BAD_TABLE));
    }
    if version >= Version::V15 {
        let known = FeaturesCommand::ALL.get(usize::from(command)).copied();
        table.command = Some(known.ok_or_else(|| start.error(Code::OFPTFFC_BAD_COMMAND))?);
        table.features = features;
    }
    table.name = r.text(NAME)?;
    (table.metadata_match, table.metadata_write) = (r.u64()?, r.u64()?);
    let capabilities = r.u32()?;
    if version >= Version::V14 {
        table.eviction = Some(capabilities & EVICTION != 0);
        table.vacancy_events = Some(capabilities & VACANCY_EVENTS != 0);
    }
    table.max_entries = r.u32()?;
    let mut seen = 0u32;
    table.has_properties = !r.is_empty();
    while !r.is_empty() {
        let property = Property::read(r)?;
        if let PropertyKind::Plain(number @ 0..16) = property.kind {
            if seen >> number & 1 == 1 {
                return Err(property.error(Code::OFPTFFC_BAD_FEATURES));
            }
            seen |= 1 << number;
        }
        read_property(&mut table, &property, version)?;
    }
    // Since OpenFlow 1.5, a table may say nothing.
    let may_be_silent = version >= Version::V15 && !table.has_properties;
    if !may_be_silent && seen & REQUIRED != REQUIRED {
        return Err(start.error(Code::OFPTFFC_BAD_FEATURES));
    }
    inherit(&mut table, seen);
    // What can be matched in part can be matched, and need not be; what cannot be matched cannot be left out.
    let TableFeatures { matching, masked, wildcard, .. } = &mut table;
    matching.extend(masked.iter());
    wildcard.extend(masked.iter());
    wildcard.retain(|field| matching.contains(field));
    Ok(table)
}

/// Where nothing is said of the rule that other rules leave packets to, it can do what these can.
fn inherit(table: &mut TableFeatures, seen: u32) {
    let missing = |number: u16| seen >> (number + 1) & 1 == 0;
    let InstructionFeatures { next, instructions, write, apply } = &table.hit;
    let miss = &mut table.miss;
    if missing(feature::INSTRUCTIONS) {
        miss.instructions = *instructions;
    }
    if missing(feature::NEXT_TABLES) {
        miss.next.clone_from(next);
    }
    if missing(feature::WRITE_ACTIONS) {
        miss.write.actions = write.actions;
    }
    if missing(feature::APPLY_ACTIONS) {
        miss.apply.actions = apply.actions;
    }
    if missing(feature::WRITE_SET_FIELD) {
        miss.write.set_fields.clone_from(&write.set_fields);
    }
    if missing(feature::APPLY_SET_FIELD) {
        miss.apply.set_fields.clone_from(&apply.set_fields);
    }
}

fn write_ids(w: &mut Writer, number: u16, bits: u32) {
    property::write(w, number, |w| {
        for id in (0..32u16).filter(|id| bits >> id & 1 == 1) {
            w.u16(id);
            w.u16(4);
        }
    });
}

fn write_fields(
    w: &mut Writer,
    number: u16,
    fields: &BTreeSet<Field>,
    masked: &BTreeSet<Field>,
    version: Version,
) {
    property::write(w, number, |w| {
        for field in fields {
            if let Some(header) = Header::of(*field, version, masked.contains(field)) {
                header.write(w);
            }
        }
    });
}

fn write_rules(w: &mut Writer, rules: &InstructionFeatures, miss: u16, version: Version) {
    let none = BTreeSet::new();
    write_ids(w, feature::INSTRUCTIONS + miss, instructions_to_bits(rules.instructions));
    property::write(w, feature::NEXT_TABLES + miss, |w| {
        rules.next.iter().for_each(|table| w.u8(*table));
    });
    write_ids(w, feature::WRITE_ACTIONS + miss, rules.write.actions.to_bits(version));
    write_fields(w, feature::WRITE_SET_FIELD + miss, &rules.write.set_fields, &none, version);
    write_ids(w, feature::APPLY_ACTIONS + miss, rules.apply.actions.to_bits(version));
    write_fields(w, feature::APPLY_SET_FIELD + miss, &rules.apply.set_fields, &none, version);
}

pub(super) fn write_features(w: &mut Writer, table: &TableFeatures, version: Version) {
    let start = w.len();
    let of15 = version >= Version::V15;
    w.u16(0);
    w.u8(table.table);
    w.u8(if of15 { table.command.unwrap_or_default() as u8 } else { 0 });
    w.u32(if of15 { table.features } else { 0 });
    w.text(&table.name, NAME);
    w.u64(table.metadata_match);
    w.u64(table.metadata_write);
    let can = config(table.eviction == Some(true), table.vacancy_events == Some(true));
    w.u32(if version >= Version::V14 { can } else { 0 });
    w.u32(table.max_entries);
    if table.has_properties {
        write_rules(w, &table.hit, 0, version);
        write_rules(w, &table.miss, 1, version);
        let none = BTreeSet::new();
        write_fields(w, feature::MATCH, &table.matching, &table.masked, version);
        write_fields(w, feature::WILDCARDS, &table.wildcard, &none, version);
    }
    w.fill_len(start, 0);
}
