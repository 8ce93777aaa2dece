//! Tables: changes, descriptions, features, statistics.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::super::fields::list as fields;
use super::super::names::Names;
use super::super::number::Hex;
use crate::field::Field;
use crate::message::stats::TableStats;
use crate::message::table::{
    ActionFeatures, EVICTION, INSTRUCTIONS, InstructionFeatures, TableDesc, TableFeatures,
    TableMod, TableReason, TableStatus, Vacancy,
};

fn on(set: bool) -> &'static str {
    if set { "on" } else { "off" }
}

fn eviction_flags(flags: u32) -> String {
    let mut names: Vec<String> = (0..)
        .zip(EVICTION)
        .filter(|(bit, _)| flags >> bit & 1 == 1)
        .map(|(_, name)| name.to_owned())
        .collect();
    if flags >> EVICTION.len() != 0 {
        names.push(format!("{:#x}", flags >> EVICTION.len() << EVICTION.len()));
    }
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

pub(super) fn table_mod(out: &mut String, change: &TableMod, names: &Names) {
    match change.table {
        255 => out.push_str(" table_id: ALL_TABLES"),
        table => drop(write!(out, " table_id={}", names.table(table))),
    }
    if let Some(miss) = change.miss {
        let _ = write!(out, ", flow_miss_config={}", miss.name());
    }
    if let Some(eviction) = change.eviction {
        let _ = write!(out, ", eviction={}", on(eviction));
    }
    if let Some(flags) = change.eviction_flags {
        let _ = write!(out, ", eviction_flags={}", eviction_flags(flags));
    }
    if let Some(events) = change.vacancy_events {
        let _ = write!(out, ", vacancy={}", on(events));
        if events {
            let Vacancy { down, up, .. } = change.vacancy.unwrap_or_default();
            let _ = write!(out, " vacancy:{down},{up}");
        }
    }
}

pub(super) fn desc(out: &mut String, desc: &TableDesc, names: &Names) {
    let flags = desc.eviction_flags.map_or_else(|| "(default)".to_owned(), eviction_flags);
    let _ = write!(
        out,
        "\n  table {}:\n   eviction={} eviction_flags={flags}\n   vacancy={}",
        names.table(desc.table),
        on(desc.eviction),
        on(desc.vacancy_events)
    );
    if desc.vacancy_events {
        let Vacancy { down, up, now } = desc.vacancy.unwrap_or_default();
        let _ = write!(out, " vacancy_down={down}% vacancy_up={up}% vacancy={now}%");
    }
    out.push('\n');
}

pub(super) fn status(out: &mut String, status: &TableStatus, names: &Names) {
    out.push_str(match status.reason {
        TableReason::VacancyDown => " reason=VACANCY_DOWN",
        TableReason::VacancyUp => " reason=VACANCY_UP",
    });
    out.push_str("\ntable_desc:-");
    desc(out, &status.desc, names);
}

fn action_features(out: &mut String, features: &ActionFeatures) {
    if !features.actions.is_empty() {
        let names: Vec<_> = features.actions.names().collect();
        let _ = writeln!(out, "        actions: {}", names.join(" "));
    }
    if !features.set_fields.is_empty() {
        let _ = writeln!(out, "        supported on Set-Field: {}", fields(&features.set_fields));
    }
}

fn next_tables(next: &BTreeSet<u8>) -> String {
    let next: Vec<u8> = next.iter().copied().collect();
    let ranges = next.chunk_by(|a, b| a + 1 == *b).map(|range| match range {
        [first, .., last] => format!("{first}-{last}"),
        _ => range.iter().map(u8::to_string).collect(),
    });
    ranges.collect::<Vec<_>>().join(",")
}

fn rules(out: &mut String, rules: &InstructionFeatures, before: Option<&InstructionFeatures>) {
    if !rules.next.is_empty() {
        let _ = writeln!(out, "      next tables: {}", next_tables(&rules.next));
    }
    if rules.instructions != 0 {
        if before.is_some_and(|before| before.instructions == rules.instructions) {
            out.push_str("      (same instructions)\n");
        } else {
            let names = (0..).zip(INSTRUCTIONS);
            let names = names.filter(|(bit, _)| rules.instructions >> bit & 1 == 1);
            let names: Vec<_> = names.map(|(_, name)| name).collect();
            let _ = writeln!(out, "      instructions: {}", names.join(" "));
        }
    }
    let same =
        |before: &InstructionFeatures| before.write == rules.write && before.apply == rules.apply;
    if before.is_some_and(same) && !rules.write.set_fields.is_empty() {
        out.push_str("      (same actions)\n");
    } else if rules.write != rules.apply {
        out.push_str("      Write-Actions features:\n");
        action_features(out, &rules.write);
        out.push_str("      Apply-Actions features:\n");
        action_features(out, &rules.apply);
    } else if rules.write != ActionFeatures::default() {
        out.push_str("      Write-Actions and Apply-Actions features:\n");
        action_features(out, &rules.write);
    }
}

/// Whether rules of both tables can do the same, apart from that a table cannot go to itself.
fn same_rules(a: &InstructionFeatures, a_table: u8, b: &InstructionFeatures, b_table: u8) -> bool {
    let (first, second) = if a_table <= b_table { (&a.next, &b.next) } else { (&b.next, &a.next) };
    let later = a_table.max(b_table);
    let adjacent = a_table.abs_diff(b_table) == 1;
    let next = if adjacent && first.contains(&later) && !second.contains(&later) {
        first.iter().filter(|table| **table != later).eq(second.iter())
    } else {
        first == second
    };
    next && a.instructions == b.instructions && a.write == b.write && a.apply == b.apply
}

fn same_features(a: &TableFeatures, b: &TableFeatures) -> bool {
    a.metadata_match == b.metadata_match
        && a.metadata_write == b.metadata_write
        && a.miss_config == b.miss_config
        && a.eviction == b.eviction
        && a.vacancy_events == b.vacancy_events
        && a.max_entries == b.max_entries
        && same_rules(&a.hit, a.table, &b.hit, b.table)
        && same_rules(&a.miss, a.table, &b.miss, b.table)
        && a.matching == b.matching
}

fn matching(out: &mut String, table: &TableFeatures) {
    out.push_str("    matching:\n");
    let masked = |field: &&Field| table.masked.contains(field);
    let optional = |field: &&Field| table.wildcard.contains(field);
    let all = || table.matching.iter();
    for (how, fields) in [
        ("arbitrary mask", fields(all().filter(masked))),
        ("exact match or wildcard", fields(all().filter(|f| !masked(f) && optional(f)))),
        ("must exact match", fields(all().filter(|f| !masked(f) && !optional(f)))),
    ] {
        if !fields.is_empty() {
            let _ = writeln!(out, "      {how}: {fields}");
        }
    }
}

/// What a table can do, apart from what the table before can.
fn features(out: &mut String, table: &TableFeatures, before: Option<&TableFeatures>) {
    if table.metadata_match != 0 || table.metadata_write != 0 {
        let (m, write) = (Hex(table.metadata_match), Hex(table.metadata_write));
        let _ = writeln!(out, "    metadata: match={m} write={write}");
    }
    if let Some(miss) = table.miss_config {
        let _ = writeln!(out, "    config={}", miss.name());
    }
    let supported = |supported: bool| if supported { "supported" } else { "not supported" };
    if let Some(eviction) = table.eviction {
        let _ = writeln!(out, "    eviction: {}", supported(eviction));
    }
    if let Some(events) = table.vacancy_events {
        let _ = writeln!(out, "    vacancy events: {}", supported(events));
    }
    if table.max_entries != 0 {
        let _ = writeln!(out, "    max_entries={}", table.max_entries);
    }
    let nothing = table.hit == InstructionFeatures::default();
    let same = |before: &TableFeatures| {
        same_rules(&table.hit, table.table, &before.hit, before.table)
            && same_rules(&table.miss, table.table, &before.miss, before.table)
    };
    if before.is_some_and(same) {
        if !nothing {
            out.push_str("    (same instructions)\n");
        }
    } else if table.hit != table.miss {
        out.push_str("    instructions (other than table miss):\n");
        rules(out, &table.hit, before.map(|before| &before.hit));
        out.push_str("    instructions (table miss):\n");
        rules(out, &table.miss, before.map(|before| &before.miss));
    } else if !nothing {
        out.push_str("    instructions (table miss and others):\n");
        rules(out, &table.hit, before.map(|before| &before.hit));
    }
    if !table.matching.is_empty() {
        if before.is_some_and(|before| before.matching == table.matching) {
            out.push_str("    (same matching)\n");
        } else {
            matching(out, table);
        }
    }
}

/// Tables that are as the one before, and not yet printed.
#[derive(Default)]
struct Ditto {
    range: Option<(u8, u8)>,
}

impl Ditto {
    fn add(&mut self, table: u8) {
        self.range = Some(self.range.map_or((table, table), |(first, _)| (first, table)));
    }

    fn flush(&mut self, out: &mut String) {
        let _ = match self.range.take() {
            None => Ok(()),
            Some((first, last)) if first == last => writeln!(out, "\n  table {first}: ditto"),
            Some((first, last)) => writeln!(out, "\n  tables {first}...{last}: ditto"),
        };
    }
}

/// Features of tables, with their counters if there are any.
fn all<'a>(
    out: &mut String,
    tables: impl Iterator<Item = (&'a TableFeatures, Option<&'a TableStats>)>,
) {
    let mut ditto = Ditto::default();
    let mut before: Option<(&TableFeatures, Option<&TableStats>)> = None;
    for (table, stats) in tables {
        let counts = |stats: &TableStats| (stats.active, stats.lookups, stats.matched);
        let same_stats =
            stats.is_none_or(|s| before.and_then(|b| b.1).is_some_and(|b| counts(b) == counts(s)));
        let before_features = before.map(|(features, _)| features);
        let same = before_features.is_some_and(|before| same_features(table, before));
        before = Some((table, stats));
        if same_stats
            && same
            && table.name.is_empty()
            && table.command.unwrap_or_default() as u8 == 0
        {
            ditto.add(table.table);
            continue;
        }
        ditto.flush(out);
        if let Some(command) = table.command.filter(|command| *command as u8 != 0) {
            let _ = write!(out, "\n  command: {}", command.name());
        }
        let _ = write!(out, "\n  table {}", table.table);
        if !table.name.is_empty() {
            let _ = write!(out, " (\"{}\")", table.name);
        }
        out.push(':');
        if same_stats && same {
            out.push_str(" ditto");
            continue;
        }
        out.push('\n');
        if let Some(TableStats { active, lookups, matched, .. }) = stats {
            let _ = writeln!(out, "    active={active}, lookup={lookups}, matched={matched}");
        }
        if same {
            let nothing = TableFeatures {
                table: table.table,
                name: table.name.clone(),
                ..TableFeatures::default()
            };
            if *table != nothing {
                out.push_str("    (same features)\n");
            }
            continue;
        }
        features(out, table, before_features);
    }
    ditto.flush(out);
}

/// What tables can do, as a list of its own: what they have in common is said once.
pub fn table_features(tables: &[TableFeatures]) -> String {
    let mut out = String::new();
    all_features(&mut out, tables);
    out.push('\n');
    out.trim_start_matches('\n').to_owned()
}

pub(super) fn all_features(out: &mut String, tables: &[TableFeatures]) {
    all(out, tables.iter().map(|table| (table, None)));
}

pub(super) fn all_stats(out: &mut String, tables: &[TableStats]) {
    let features: Vec<TableFeatures> = tables
        .iter()
        .map(|stats| match &stats.features {
            Some(features) => TableFeatures {
                table: stats.table,
                name: stats.name.clone(),
                max_entries: stats.max_entries.unwrap_or(0),
                ..TableFeatures::clone(features)
            },
            None => TableFeatures {
                table: stats.table,
                name: stats.name.clone(),
                max_entries: stats.max_entries.unwrap_or(0),
                ..TableFeatures::default()
            },
        })
        .collect();
    all(out, features.iter().zip(tables.iter().map(Some)));
}
