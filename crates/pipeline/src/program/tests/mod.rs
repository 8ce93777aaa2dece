//! Programs by what `ovs-ofctl` would say to them. What is expected is what Open vSwitch 3.1 answers.

mod bundles;
mod flow_mods;
mod groups;
mod options;
mod time;

use std::time::Duration;

use base::Instant;
use openflow::message::FlowStatsRequest;
use openflow::message::flow_mod::Command;
use openflow::message::group::{BucketPlace, Group, GroupCommand, GroupKind, GroupMod};
use openflow::message::meter::{Band, BandKind, Meter, MeterCommand, MeterFlags, MeterMod};
use openflow::text::flow::parse_flow;
use openflow::{Action, Code};

use super::*;
use crate::request::Request;

/// So many seconds after the start.
fn at(seconds: u64) -> Instant {
    Instant::default() + Duration::from_secs(seconds)
}

/// What a switch decodes of an OpenFlow 1.3 message with this text: but for new rules, it brings no cookie.
fn flow(command: Command, text: &str) -> FlowMod {
    let flow = parse_flow(text, command).unwrap_or_else(|e| panic!("{text}: {e}")).flow;
    let new_cookie = if command == Command::Add { flow.new_cookie } else { u64::MAX };
    FlowMod { new_cookie, ..flow }
}

fn add(program: &mut Program, text: &str) -> Result<Changes, Code> {
    program.flow_mod(&flow(Command::Add, text), at(0)).map_err(|e| e.code)
}

fn change(program: &mut Program, command: Command, text: &str) -> Result<Changes, Code> {
    program.flow_mod(&flow(command, text), at(1)).map_err(|e| e.code)
}

/// Rules as `table,priority match actions`, cookies where there are some.
fn dump(program: &Program) -> Vec<String> {
    let rules = program.select(&FlowStatsRequest::default()).expect("all rules");
    rules.iter().map(|rule| show(rule)).collect()
}

fn show(rule: &Rule) -> String {
    let cookie = if rule.cookie == 0 { String::new() } else { format!("{}:", rule.cookie) };
    let (table, priority, matching) =
        (rule.table, rule.priority, rule.matching(&crate::Options::NONE));
    format!("{cookie}{table},{priority} {matching} {}", rule.instructions)
}

/// Everything that can be seen of a program.
fn everything(program: &Program) -> String {
    let rules = program.tables().flat_map(|(_, table)| table.rules().cloned());
    let mut rules: Vec<_> = rules.collect();
    rules.sort_by_key(|rule| rule.id);
    let rules: Vec<_> =
        rules.iter().map(|rule| (rule.id, rule.stats(at(9), program.options()))).collect();
    let cookies: Vec<_> = program.cookies.of(7).map(|rule| rule.id).collect();
    let users = |id| program.group_references(id);
    let groups: Vec<_> =
        program.groups().map(|g| (&g.setup, g.stats(users(g.setup.id), at(9)))).collect();
    let meters: Vec<_> =
        program.meters().map(|m| (m, program.meter_references(m.setup.id))).collect();
    let stats = program.table_stats();
    let version = program.version();
    format!("{rules:#?} {cookies:?} {groups:#?} {meters:#?} {stats:?} {version:?}")
}

fn group(
    command: GroupCommand,
    id: u32,
    buckets: Vec<openflow::message::group::Bucket>,
) -> GroupMod {
    GroupMod { command, group: Group { id, kind: GroupKind::All, selection: None, buckets } }
}

fn bucket(actions: Vec<Action>) -> openflow::message::group::Bucket {
    openflow::message::group::Bucket::new(GroupKind::All, actions)
}

fn meter(command: MeterCommand, id: u32) -> MeterMod {
    let band = Band { kind: BandKind::Drop, rate: 100, burst: 0 };
    let meter = Meter { id, flags: MeterFlags(MeterFlags::KBPS), bands: vec![band] };
    MeterMod { command, meter }
}
