//! Tables: what they can do, and how they are set up.

use openflow::message::Message;
use openflow::message::flow_mod::ALL_TABLES;
use openflow::message::table::{TableDesc, TableMod};
use openflow::text::message::{print, table_features};
use openflow::text::names::Names;
use openflow::text::table::parse_table_mod;
use openflow::wire::decode;
use openflow::{Protocols, Version};

use super::switch::Switch;
use super::{Context, End, Stop, names};

pub(super) fn stats(context: &mut Context<'_>, args: &[String]) -> End {
    Switch::open(context, &args[0])?.dump(context, &Message::TableStatsRequest)
}

/// Connects to a switch that must speak a version that has what the command asks for.
fn open(
    context: &mut Context<'_>,
    args: &[String],
    command: &str,
    since: Version,
) -> Result<Switch, Stop> {
    let switch = Switch::open(context, &args[0])?;
    if switch.version() < since {
        return Err(
            format!("{command} needs OpenFlow {} or later ('-O {since}')", since.dotted()).into()
        );
    }
    Ok(switch)
}

pub(super) fn desc(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = open(context, args, "dump-table-desc", Version::V14)?;
    switch.dump(context, &Message::TableDescRequest)
}

/// All parts of the answer, as one list: what tables have in common is said once.
pub(super) fn features(context: &mut Context<'_>, args: &[String]) -> End {
    let mut switch = open(context, args, "dump-table-features", Version::V13)?;
    let question = Message::TableFeaturesRequest { tables: Vec::new(), more: false };
    let mut all = Vec::new();
    switch.each_part(context, &question, |context, part| match decode(part) {
        Ok((_, Message::TableFeaturesReply { tables, .. })) => {
            all.extend(tables);
            Ok(())
        }
        _ => {
            let text = print(part, context.more_verbose(1));
            Err(format!("received bad reply: {}", text.trim_end()).into())
        }
    })?;
    context.print(&table_features(&all));
    Ok(())
}

pub(super) fn change(context: &mut Context<'_>, args: &[String]) -> End {
    let parse = |table: &str, names: &Names| parse_table_mod(table, &args[2], names);
    let (change, usable) = names::read(context, &args[0], &args[1], parse)?;
    let table = change.table;
    let usable_here = context.settings.protocols.and(usable);
    if usable_here.is_empty() {
        let names: Vec<String> = Version::ALL
            .into_iter()
            .filter(|v| !usable.and(Protocols::of_version(*v)).is_empty())
            .map(|v| v.to_string())
            .collect();
        let text = "requires one of the OpenFlow versions";
        return Err(format!("table_mod '{}' {text} {}", args[2], names.join(", ")).into());
    }
    context.settings.protocols = usable_here;
    let mut switch = Switch::open(context, &args[0])?;
    if switch.version() < Version::V14 {
        return switch.order(context, &Message::TableMod(change));
    }
    // A change says all of a table's set-up: what nobody spoke of is to stay.
    for desc in descs(context, &mut switch)? {
        if table == ALL_TABLES || table == desc.table {
            switch.order(context, &Message::TableMod(changed(change, desc)))?;
        }
    }
    Ok(())
}

fn changed(change: TableMod, now: TableDesc) -> TableMod {
    TableMod {
        table: now.table,
        miss: None,
        eviction: change.eviction.or(Some(now.eviction)),
        eviction_flags: now.eviction_flags,
        vacancy_events: change.vacancy_events.or(Some(now.vacancy_events)),
        vacancy: change.vacancy.or(now.vacancy),
    }
}

fn descs(context: &mut Context<'_>, switch: &mut Switch) -> Result<Vec<TableDesc>, Stop> {
    let mut all = Vec::new();
    switch.each_part(context, &Message::TableDescRequest, |_, part| {
        if let Ok((_, Message::TableDescReply { tables, .. })) = decode(part) {
            all.extend(tables);
        }
        Ok(())
    })?;
    Ok(all)
}
