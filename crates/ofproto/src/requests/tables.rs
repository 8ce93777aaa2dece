//! Tables: what they can do, how they are set up, what they have counted.

use std::collections::BTreeSet;

use openflow::error::Code;
use openflow::message::Message;
use openflow::message::actions::ActionSet;
use openflow::message::table::{
    ActionFeatures, InstructionFeatures, TableDesc, TableFeatures, TableMiss, TableMod, Vacancy,
};
use openflow::{Field, Version};
use pipeline::{Changes, Miss, TABLES, TableSettings};

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
fn features(id: u8, version: Version, settings: &TableSettings) -> TableFeatures {
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
        name: settings.name.clone(),
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        miss_config: Some(match settings.miss {
            Miss::Default | Miss::Controller => TableMiss::Controller,
            Miss::Continue => TableMiss::Continue,
            Miss::Drop => TableMiss::Drop,
        }),
        eviction: later.then_some(false),
        vacancy_events: later.then_some(false),
        max_entries: settings.limit.unwrap_or(MAX_ENTRIES),
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
    let settings = with_program(&*bridge.switch, |program, _| {
        (0..TABLES).map(|id| program.settings(id)).collect::<Vec<_>>()
    });
    let empty = Message::TableFeaturesReply { tables: Vec::new(), more: false };
    let entries = (0..TABLES).zip(settings.unwrap_or_default()).map(move |(id, settings)| {
        let tables = vec![features(id, version, &settings)];
        Message::TableFeaturesReply { tables, more: false }
    });
    list(bridge, request, empty, entries)
}

pub(super) fn describe(bridge: &mut Bridge, request: &Request) -> Outcome {
    let set_up = with_program(&*bridge.switch, |program, _| {
        (0..TABLES).map(|id| describe_one(id, &program.settings(id))).collect::<Vec<_>>()
    });
    let empty = Message::TableDescReply { tables: Vec::new(), more: false };
    let one = |table| Message::TableDescReply { tables: vec![table], more: false };
    list(bridge, request, empty, set_up.unwrap_or_default().into_iter().map(one))
}

pub(super) fn describe_one(table: u8, settings: &TableSettings) -> TableDesc {
    let levels = |v: pipeline::Vacancy| Vacancy { down: v.down, up: v.up, now: 0 };
    TableDesc {
        table,
        eviction: settings.evicts(),
        eviction_flags: Some(EVICTION),
        vacancy_events: settings.vacancy.is_some(),
        vacancy: settings.vacancy.map(levels),
    }
}

pub(super) fn change(bridge: &mut Bridge, request: &Request, change: &TableMod) -> Outcome {
    const ALL: u8 = u8::MAX;
    // What is beyond controllers' tables is the switch's own.
    if change.table >= TABLES && change.table != ALL {
        return Err(Code::OFPTMFC_EPERM);
    }
    let ids = (0..TABLES).filter(|id| change.table == ALL || change.table == *id);
    let done = with_program(&*bridge.switch, |program, now| {
        let configure = |id: u8| {
            let settings = with(change, program.settings(id));
            program.configure(id, settings, now)
        };
        ids.flat_map(configure).collect::<Changes>()
    });
    bridge.tell_changes(&done.unwrap_or_default(), Some((request.from, request.xid)));
    Ok(Step::Done)
}

/// Settings as a table-mod would have them.
fn with(change: &TableMod, mut settings: TableSettings) -> TableSettings {
    settings.miss = match change.miss {
        Some(TableMiss::Controller) => Miss::Controller,
        Some(TableMiss::Continue) => Miss::Continue,
        Some(TableMiss::Drop) => Miss::Drop,
        None => settings.miss,
    };
    settings.evict = change.eviction.unwrap_or(settings.evict);
    settings.vacancy = match (change.vacancy_events, change.vacancy) {
        (Some(false), _) => None,
        (_, Some(Vacancy { down, up, .. })) => Some(pipeline::Vacancy { down, up }),
        (_, None) => settings.vacancy,
    };
    settings
}

pub(super) fn statistics(bridge: &mut Bridge, request: &Request) -> Outcome {
    bridge.switch.collect();
    let version = bridge.peer(request.from).map_or(Version::V15, |p| p.version());
    let stats = with_program(&*bridge.switch, |program, _| {
        let all = program.table_stats().into_iter();
        all.map(|stats| (program.settings(stats.table), stats)).collect::<Vec<_>>()
    });
    let empty = Message::TableStatsReply { tables: Vec::new(), more: false };
    let entries = stats.unwrap_or_default().into_iter().map(move |(settings, mut stats)| {
        stats.max_entries.get_or_insert(MAX_ENTRIES);
        if version < Version::V13 {
            stats.features = Some(Box::new(features(stats.table, version, &settings)));
        }
        Message::TableStatsReply { tables: vec![stats], more: false }
    });
    list(bridge, request, empty, entries)
}
