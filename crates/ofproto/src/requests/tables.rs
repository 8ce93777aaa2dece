//! Tables: what they can do, how they are set up, what they have counted.

use std::collections::{BTreeMap, BTreeSet};

use openflow::error::Code;
use openflow::message::actions::ActionSet;
use openflow::message::table::{
    ActionFeatures, InstructionFeatures, TableDesc, TableFeatures, TableMiss, TableMod,
};
use openflow::message::{Message, TableStats};
use openflow::{Field, Version};
use pipeline::TABLES;

use super::{Outcome, list};
use crate::bridge::{Bridge, Request, Step};
use crate::switch::with_program;

/// So many rules fit into a table where nobody has set a limit, as far as anybody is told.
const MAX_ENTRIES: u32 = 1_000_000;
/// All instructions, and those without a table that follows and, where that is an action, a meter.
const INSTRUCTIONS: u8 = 0b11_1111;
const GOTO: u8 = 1 << 5;
const METER: u8 = 1;
/// Rules make way by their group, their importance and their age.
const EVICTION: u32 = 0b111;

/// What a table of this number can do, in this version.
fn features(id: u8, version: Version, names: &BTreeMap<u8, String>) -> TableFeatures {
    let numbered = |field: &Field| !field.row().headers.is_empty();
    let all = || Field::ALL.iter().copied().filter(numbered);
    let can = ActionFeatures {
        actions: ActionSet::all(version),
        set_fields: all().filter(|field| field.row().writable).collect(),
    };
    let next: BTreeSet<u8> = (id + 1..TABLES).collect();
    let mut instructions = INSTRUCTIONS;
    if next.is_empty() {
        instructions &= !GOTO;
    }
    if !matches!(version, Version::V13 | Version::V14) {
        instructions &= !METER;
    }
    let hit = InstructionFeatures { next, instructions, write: can.clone(), apply: can };
    let later = version >= Version::V14;
    TableFeatures {
        table: id,
        command: None,
        features: 0,
        name: names.get(&id).cloned().unwrap_or_default(),
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        miss_config: Some(TableMiss::Controller),
        eviction: later.then_some(false),
        vacancy_events: later.then_some(false),
        max_entries: MAX_ENTRIES,
        has_properties: true,
        miss: hit.clone(),
        hit,
        matching: all().collect(),
        masked: all().filter(|field| field.row().maskable).collect(),
        wildcard: all().collect(),
    }
}

pub(super) fn describe_features(
    bridge: &mut Bridge,
    request: &Request,
    wanted: &[TableFeatures],
) -> Outcome {
    if !wanted.is_empty() {
        // Tables are as they are.
        return Err(Code::OFPTFFC_EPERM);
    }
    let version = bridge.peer(request.from).map_or(Version::V15, |p| p.version());
    let names = bridge.settings.tables.clone();
    let empty = Message::TableFeaturesReply { tables: Vec::new(), more: false };
    let entries = (0..TABLES).map(move |id| Message::TableFeaturesReply {
        tables: vec![features(id, version, &names)],
        more: false,
    });
    list(bridge, request, empty, entries)
}

pub(super) fn describe(bridge: &mut Bridge, request: &Request) -> Outcome {
    let empty = Message::TableDescReply { tables: Vec::new(), more: false };
    let set_up = bridge.table_mods.clone();
    let entries = (0..TABLES).map(move |id| {
        let (eviction, vacancy_events, vacancy) = set_up.get(&id).copied().unwrap_or_default();
        let desc = TableDesc {
            table: id,
            eviction,
            eviction_flags: Some(EVICTION),
            vacancy_events,
            vacancy,
        };
        Message::TableDescReply { tables: vec![desc], more: false }
    });
    list(bridge, request, empty, entries)
}

pub(super) fn change(bridge: &mut Bridge, change: &TableMod) -> Outcome {
    if change.table >= TABLES && change.table != u8::MAX {
        return Err(Code::OFPTMFC_BAD_TABLE);
    }
    for id in (0..TABLES).filter(|id| change.table == u8::MAX || change.table == *id) {
        let (eviction, events, vacancy) = bridge.table_mods.entry(id).or_default();
        *eviction = change.eviction.unwrap_or(*eviction);
        *events = change.vacancy_events.unwrap_or(*events);
        *vacancy = change.vacancy.or(*vacancy);
    }
    Ok(Step::Done)
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request) -> Outcome {
    bridge.switch.collect();
    let names = bridge.settings.tables.clone();
    let version = bridge.peer(request.from).map_or(Version::V15, |p| p.version());
    let counts = with_program(&*bridge.switch, |program, _| {
        let count = |id: u8| {
            let Some(table) = program.table(id) else { return (0, 0, 0) };
            let active = table.rules().filter(|rule| !rule.is_hidden()).count();
            let (lookups, matched) = table.counts();
            (active, lookups, matched)
        };
        (0..TABLES).map(count).collect::<Vec<_>>()
    });
    let empty = Message::TableStatsReply { tables: Vec::new(), more: false };
    let entries =
        (0..TABLES).zip(counts.unwrap_or_default()).map(move |(id, (active, lookups, matched))| {
            let stats = TableStats {
                table: id,
                name: names.get(&id).cloned().unwrap_or_default(),
                max_entries: Some(MAX_ENTRIES),
                active: u32::try_from(active).unwrap_or(u32::MAX),
                lookups,
                matched,
                features: (version < Version::V13).then(|| Box::new(features(id, version, &names))),
            };
            Message::TableStatsReply { tables: vec![stats], more: false }
        });
    list(bridge, request, empty, entries)
}
