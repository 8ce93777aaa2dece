//! Tables' counters as bytes. Before OpenFlow 1.3, what tables can do stands among them, each version in its own way.

use std::collections::BTreeSet;

use super::table::{instructions_from_bits, instructions_to_bits, read_miss};
use super::{Reader, Writer};
use crate::error::Result;
use crate::field::{Field, Number};
use crate::message::actions::ActionSet;
use crate::message::stats::TableStats;
use crate::message::table::{ActionFeatures, InstructionFeatures, TableFeatures};
use crate::version::Version;

const NAME: usize = 32;

/// The bits that say that OpenFlow 1.0 can leave a field out.
const WILDCARDS10: [(u32, Field); 12] = [
    (1, Field::InPort),
    (1 << 1, Field::VlanVid),
    (1 << 2, Field::EthSrc),
    (1 << 3, Field::EthDst),
    (1 << 4, Field::EthType),
    (1 << 5, Field::NwProto),
    (1 << 6, Field::TcpSrc),
    (1 << 7, Field::TcpDst),
    (0x3f00, Field::IpSrc),
    (0xf_c000, Field::IpDst),
    (1 << 20, Field::VlanPcp),
    (1 << 21, Field::NwTos),
];

/// OpenFlow 1.1's bits of fields.
const FIELDS11: [(u32, Field); 15] = [
    (1, Field::InPort),
    (1 << 1, Field::VlanVid),
    (1 << 2, Field::VlanPcp),
    (1 << 3, Field::EthType),
    (1 << 4, Field::NwTos),
    (1 << 5, Field::NwProto),
    (1 << 6, Field::TcpSrc),
    (1 << 7, Field::TcpDst),
    (1 << 8, Field::MplsLabel),
    (1 << 9, Field::MplsTc),
    (1 << 11, Field::EthSrc),
    (1 << 12, Field::EthDst),
    (1 << 13, Field::IpSrc),
    (1 << 14, Field::IpDst),
    (1 << 15, Field::Metadata),
];

type Fields = BTreeSet<Field>;

fn from_bits(table: &[(u32, Field)], bits: u32) -> Fields {
    table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, field)| *field).collect()
}

fn to_bits(table: &[(u32, Field)], has: impl Fn(Field) -> bool) -> u32 {
    table.iter().filter(|(_, field)| has(*field)).fold(0, |bits, (bit, _)| bits | bit)
}

/// OpenFlow 1.2's bits are the numbers of its extensible match.
fn from_oxm(bits: u64) -> Fields {
    let field = |number: u8| {
        let number = Number { class: 0x8000, experimenter: 0, number };
        Field::by_number(number).filter(|(_, known)| known.since <= Version::V12)
    };
    (0..64).filter(|n| bits >> n & 1 == 1).filter_map(field).map(|(field, _)| field).collect()
}

fn to_oxm(fields: &Fields) -> u64 {
    let number = |field: &Field| {
        let number = field.header(Version::V12)?.number();
        (number.class == 0x8000 && number.number < 64).then_some(number.number)
    };
    fields.iter().filter_map(number).fold(0, |bits, number| bits | 1 << number)
}

pub(super) fn read(mut r: Reader<'_>, version: Version) -> Result<Vec<TableStats>> {
    let mut tables = Vec::new();
    while !r.is_empty() {
        tables.push(read_one(&mut r, version)?);
    }
    Ok(tables)
}

fn read_one(r: &mut Reader<'_>, version: Version) -> Result<TableStats> {
    let mut stats = TableStats { table: r.u8()?, ..TableStats::default() };
    let mut can = TableFeatures { table: stats.table, ..TableFeatures::default() };
    match version {
        Version::V10 => {
            r.skip(3)?;
            stats.name = r.text(NAME)?;
            can.wildcard = from_bits(&WILDCARDS10, r.u32()?);
            can.matching.clone_from(&can.wildcard);
        }
        Version::V11 => {
            r.skip(7)?;
            stats.name = r.text(NAME)?;
            can.wildcard = from_bits(&FIELDS11, r.u32()?);
            can.matching = from_bits(&FIELDS11, r.u32()?);
            can.hit.instructions = instructions_from_bits(r.u32()? & !(1 << 6));
            can.hit.write.actions = ActionSet::from_bits(r.u32()?, version);
            can.hit.apply.actions = ActionSet::from_bits(r.u32()?, version);
            can.miss_config = Some(read_miss(r.u32()?));
        }
        Version::V12 => {
            r.skip(7)?;
            stats.name = r.text(NAME)?;
            can.matching = from_oxm(r.u64()?);
            can.wildcard = from_oxm(r.u64()?);
            let actions = [r.u32()?, r.u32()?].map(|bits| ActionSet::from_bits(bits, version));
            let [write, apply] = actions;
            can.hit.write = ActionFeatures { actions: write, set_fields: from_oxm(r.u64()?) };
            can.hit.apply = ActionFeatures { actions: apply, set_fields: from_oxm(r.u64()?) };
            (can.metadata_match, can.metadata_write) = (r.u64()?, r.u64()?);
            can.hit.instructions = instructions_from_bits(r.u32()? & !(1 << 6));
            can.miss_config = Some(read_miss(r.u32()?));
        }
        _ => r.skip(3)?,
    }
    if version < Version::V13 {
        can.matching.extend(can.wildcard.iter());
        can.miss.clone_from(&can.hit);
        stats.max_entries = Some(r.u32()?);
        stats.features = Some(Box::new(can));
    }
    stats.active = r.u32()?;
    (stats.lookups, stats.matched) = (r.u64()?, r.u64()?);
    Ok(stats)
}

/// Writes counters, and, where they belong there, what is known of what the table can do.
pub(super) fn write(w: &mut Writer, stats: &TableStats, version: Version) {
    let unknown = TableFeatures::default();
    let can = stats.features.as_deref().unwrap_or(&unknown);
    let InstructionFeatures { instructions, write, apply, .. } = &can.hit;
    let miss = can.miss_config.map_or(0, |miss| miss as u32);
    w.u8(stats.table);
    if version < Version::V13 {
        w.zeros(if version == Version::V10 { 3 } else { 7 });
        w.text(&stats.name, NAME);
    }
    // What cannot be matched need not be.
    let wild = |field: Field| can.wildcard.contains(&field) || !can.matching.contains(&field);
    match version {
        Version::V10 => w.u32(to_bits(&WILDCARDS10, wild)),
        Version::V11 => {
            w.u32(to_bits(&FIELDS11, |field| can.wildcard.contains(&field)));
            w.u32(to_bits(&FIELDS11, |field| can.matching.contains(&field)));
            w.u32(instructions_to_bits(*instructions));
            w.u32(write.actions.to_bits(version));
            w.u32(apply.actions.to_bits(version));
            w.u32(miss);
        }
        Version::V12 => {
            w.u64(to_oxm(&can.matching));
            w.u64(to_oxm(&can.wildcard));
            w.u32(write.actions.to_bits(version));
            w.u32(apply.actions.to_bits(version));
            w.u64(to_oxm(&write.set_fields));
            w.u64(to_oxm(&apply.set_fields));
            w.u64(can.metadata_match);
            w.u64(can.metadata_write);
            w.u32(instructions_to_bits(*instructions));
            w.u32(miss);
        }
        _ => w.zeros(3),
    }
    if version < Version::V13 {
        w.u32(stats.max_entries.unwrap_or(0));
    }
    w.u32(stats.active);
    w.u64(stats.lookups);
    w.u64(stats.matched);
}
