//! What differs between the flows of two places, and making them equal.
//!
//! Flows are paired by table, priority and match. They come out by table; within a table those that match the same fields
//! together, the highest priority first.

use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;

use openflow::action::Instructions;
use openflow::message::flow_mod::{ALL_TABLES, Command, DEFAULT_PRIORITY};
use openflow::message::stats::FlowStatsRequest;
use openflow::message::{FlowMod, Message};
use openflow::text::names::{Named, Names};
use openflow::{Match, Protocols};

use super::super::names;
use super::super::switch::Switch;
use super::super::{Context, End, Stop};
use super::{change, dump};

/// What a flow is in one of the places, but for what it is paired by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    cookie: u64,
    idle_timeout: u16,
    hard_timeout: u16,
    importance: u16,
    instructions: Instructions,
}

#[derive(Clone, Debug)]
struct Pair {
    table: u8,
    priority: u16,
    matching: Match,
    versions: [Option<Version>; 2],
}

/// The flows of two places.
#[derive(Debug, Default)]
struct Pairs {
    all: Vec<Pair>,
    index: HashMap<(u8, u16, String), usize>,
}

/// One of the two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Pairs {
    fn add(&mut self, side: Side, table: u8, priority: u16, matching: Match, version: Version) {
        let key = (table, priority, matching.to_string());
        let next = self.all.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.all.push(Pair { table, priority, matching, versions: [None, None] });
        }
        if let Some(pair) = self.all.get_mut(at)
            && let Some(place) = pair.versions.get_mut(side as usize)
        {
            *place = Some(version);
        }
    }

    /// Reads a file; says who can carry all of its flows.
    fn read_file(
        &mut self,
        context: &mut Context<'_>,
        switch: &str,
        file: &str,
        side: Side,
    ) -> Result<Protocols, Stop> {
        if file != "-"
            && let Err(error) = std::fs::metadata(file)
        {
            return Err(format!("{file}: open ({})", stream::strerror(&error)).into());
        }
        let mut usable = Protocols::ANY;
        for parsed in change::read(context, switch, file, Command::Add)? {
            usable = usable.and(parsed.protocols);
            let flow = parsed.flow;
            let table = if flow.table == ALL_TABLES { 0 } else { flow.table };
            let version = Version {
                cookie: flow.new_cookie,
                idle_timeout: flow.idle_timeout,
                hard_timeout: flow.hard_timeout,
                importance: flow.importance,
                instructions: flow.instructions,
            };
            self.add(side, table, flow.priority, flow.matching, version);
        }
        Ok(usable)
    }

    fn read_switch(&mut self, context: &mut Context<'_>, switch: &mut Switch, side: Side) -> End {
        let nicira = switch.protocol.is_nxm();
        let all = FlowStatsRequest { nicira, ..FlowStatsRequest::default() };
        let question = Message::FlowStatsRequest(Box::new(all));
        for flow in dump::collect(context, switch, &question)? {
            let version = Version {
                cookie: flow.cookie,
                idle_timeout: flow.idle_timeout,
                hard_timeout: flow.hard_timeout,
                importance: flow.importance,
                instructions: flow.instructions,
            };
            self.add(side, flow.table, flow.priority, flow.matching, version);
        }
        Ok(())
    }

    /// All pairs in the order that the module says.
    fn in_order(self) -> Vec<Pair> {
        let fields = |m: &Match| {
            let masks = m.entries().map(|(field, _, mask)| format!("{field:?}{mask:?}"));
            masks.collect::<String>()
        };
        // Of those that match the same fields in a table: the highest priority, and which came first.
        let mut groups: HashMap<(u8, String), (u16, usize)> = HashMap::new();
        let keyed: Vec<((u8, String), Pair)> =
            self.all.into_iter().map(|pair| ((pair.table, fields(&pair.matching)), pair)).collect();
        for (key, pair) in &keyed {
            let first = groups.len();
            let group = groups.entry(key.clone()).or_insert((0, first));
            group.0 = group.0.max(pair.priority);
        }
        let mut ranked: Vec<(u8, u16, usize, Pair)> = keyed
            .into_iter()
            .map(|(key, pair)| {
                let (priority, first) = groups.get(&key).copied().unwrap_or_default();
                (pair.table, u16::MAX - priority, first, pair)
            })
            .collect();
        ranked.sort_by_key(|(table, priority, first, _)| (*table, *priority, *first));
        ranked.into_iter().map(|(.., pair)| pair).collect()
    }
}

pub(in super::super) fn replace(context: &mut Context<'_>, args: &[String]) -> End {
    let mut pairs = Pairs::default();
    let usable = pairs.read_file(context, &args[0], &args[1], Side::Right)?;
    let mut switch = Switch::open(context, &args[0])?;
    switch.set_protocol_for_dump(context, usable)?;
    pairs.read_switch(context, &mut switch, Side::Left)?;
    let pairs = pairs.in_order();
    let readd = context.settings.readd;
    let mut messages = Vec::new();
    for same_table in pairs.chunk_by(|a, b| a.table == b.table) {
        for pair in same_table {
            if let [Some(version), None] = &pair.versions {
                let flow = flow_mod(pair, version, Command::DeleteStrict);
                messages.push(switch.encode(context, &flow)?);
            }
        }
        for pair in same_table {
            if let [before, Some(version)] = &pair.versions
                && (readd || before.as_ref() != Some(version))
            {
                let flow = flow_mod(pair, version, Command::Add);
                messages.push(switch.encode(context, &flow)?);
            }
        }
    }
    change::all(context, &mut switch, messages)
}

fn flow_mod(pair: &Pair, version: &Version, command: Command) -> Message {
    let adds = command == Command::Add;
    Message::FlowMod(Box::new(FlowMod {
        table: pair.table,
        matching: pair.matching.clone(),
        priority: pair.priority,
        new_cookie: version.cookie,
        idle_timeout: version.idle_timeout,
        hard_timeout: version.hard_timeout,
        importance: version.importance,
        instructions: if adds { version.instructions.clone() } else { Instructions::default() },
        ..FlowMod::new(command)
    }))
}

/// Whether the name is a file's and not a switch's.
fn is_file(source: &str) -> bool {
    source.starts_with(['/', '.'])
        || (!source.contains(':') && std::path::Path::new(source).is_file())
}

pub(in super::super) fn diff(context: &mut Context<'_>, args: &[String]) -> End {
    let mut pairs = Pairs::default();
    // The names in files are those of the switch that they are compared with.
    let switch = args.iter().find(|source| !is_file(source)).cloned().unwrap_or_default();
    for (source, side) in args.iter().zip([Side::Left, Side::Right]) {
        if is_file(source) {
            pairs.read_file(context, &switch, source, side)?;
        } else {
            let mut switch = Switch::open(context, source)?;
            switch.set_protocol_for_dump(context, Protocols::ANY)?;
            pairs.read_switch(context, &mut switch, side)?;
        }
    }
    let names = if switch.is_empty() { Rc::default() } else { names::to_show(context, &switch)? };
    let mut differ = false;
    for pair in pairs.in_order() {
        if pair.versions[0] == pair.versions[1] {
            continue;
        }
        differ = true;
        for (sign, version) in ['-', '+'].into_iter().zip(&pair.versions) {
            if let Some(version) = version {
                let line = line(&pair, version, &names);
                context.print(&format!("{sign}{line}\n"));
            }
        }
    }
    if differ { Err(Stop::Differ) } else { Ok(()) }
}

fn line(pair: &Pair, version: &Version, names: &Names) -> String {
    let mut out = String::new();
    let table = names.table(pair.table);
    if pair.table != 0 || table.has_name() {
        let _ = write!(out, "table={table} ");
    }
    let matching = Named(&pair.matching, names).to_string();
    if pair.priority != DEFAULT_PRIORITY {
        let comma = if matching.is_empty() { "" } else { "," };
        let _ = write!(out, "priority={}{comma}", pair.priority);
    }
    out += &matching;
    if version.cookie != 0 {
        let _ = write!(out, " cookie={:#x}", version.cookie);
    }
    for (name, value) in [
        ("idle_timeout", version.idle_timeout),
        ("hard_timeout", version.hard_timeout),
        ("importance", version.importance),
    ] {
        if value != 0 {
            let _ = write!(out, " {name}={value}");
        }
    }
    let _ = write!(out, " actions={}", Named(&version.instructions, names));
    out
}
