//! Names of a switch's ports and tables, asked for when somebody uses one.
//!
//! What people write is read without names first, and again with them if that fails: so nobody asks the switch without need.

use std::io::IsTerminal;
use std::rc::Rc;

use openflow::Version;
use openflow::message::Message;
use openflow::message::flow_mod::Command;
use openflow::port::Port;
use openflow::text::flow::{ParsedFlow, parse_flow_named};
use openflow::text::message::print_named;
use openflow::text::names::Names;
use openflow::wire::decode;

use super::ports;
use super::switch::Switch;
use super::{Context, Stop};

/// What a switch calls its ports and tables.
fn of(context: &mut Context<'_>, switch: &str) -> Result<Rc<Names>, Stop> {
    if let Some((known, names)) = &context.names
        && known == switch
    {
        return Ok(Rc::clone(names));
    }
    let mut connection = Switch::open(context, switch)?;
    let mut names = Names::default();
    for desc in ports::all(context, &mut connection)? {
        // The bridge's own port is called LOCAL, whatever its name.
        if desc.port != Port::LOCAL {
            names.add_port(desc.port, &desc.name);
        }
    }
    for (table, name) in tables(context, &mut connection)? {
        names.add_table(table, &name);
    }
    let names = Rc::new(names);
    context.names = Some((switch.to_owned(), Rc::clone(&names)));
    Ok(names)
}

/// Tables' names: since OpenFlow 1.3 they are among tables' features.
fn tables(context: &mut Context<'_>, switch: &mut Switch) -> Result<Vec<(u8, String)>, Stop> {
    let question = if switch.version() < Version::V13 {
        Message::TableStatsRequest
    } else {
        Message::TableFeaturesRequest { tables: Vec::new(), more: false }
    };
    let mut all = Vec::new();
    switch.each_part(context, &question, |_, part| {
        match decode(part) {
            Ok((_, Message::TableStatsReply { tables, .. })) => {
                all.extend(tables.into_iter().map(|stats| (stats.table, stats.name)));
            }
            Ok((_, Message::TableFeaturesReply { tables, .. })) => {
                all.extend(tables.into_iter().map(|features| (features.table, features.name)));
            }
            // A switch that does not say has tables without names.
            _ => {}
        }
        Ok(())
    })?;
    Ok(all)
}

/// The names to print: none, unless they are wanted; people at terminals want them.
pub(super) fn to_show(context: &mut Context<'_>, switch: &str) -> Result<Rc<Names>, Stop> {
    if shows(context) { of(context, switch) } else { Ok(Rc::default()) }
}

/// Whether names are to be printed.
pub(super) fn shows(context: &Context<'_>) -> bool {
    context.settings.names.unwrap_or_else(|| std::io::stdout().is_terminal())
}

/// Prints a message of a switch, with names if so wanted.
pub(super) fn show(
    context: &mut Context<'_>,
    switch: &str,
    message: &[u8],
    more: u8,
) -> Result<String, Stop> {
    let names = to_show(context, switch)?;
    Ok(context.painted(print_named(message, &names, context.more_verbose(more))))
}

/// Reads what people wrote, by `parse`; names are understood, unless they are not to be.
pub(super) fn read<T>(
    context: &mut Context<'_>,
    switch: &str,
    text: &str,
    parse: impl Fn(&str, &Names) -> Result<T, String>,
) -> Result<T, Stop> {
    match parse(text, Names::none()) {
        Err(_) if context.settings.names != Some(false) && !switch.is_empty() => {
            let names = of(context, switch)?;
            Ok(parse(text, &names)?)
        }
        other => Ok(other?),
    }
}

/// Reads a flow.
pub(super) fn flow(
    context: &mut Context<'_>,
    switch: &str,
    text: &str,
    command: Command,
) -> Result<ParsedFlow, Stop> {
    let parse = |text: &str, names: &Names| parse_flow_named(text, command, names);
    let parsed = read(context, switch, text, parse)?;
    super::parse::report(&parsed);
    Ok(parsed)
}

/// The port that an operator means, by number or by name.
pub(super) fn port(context: &mut Context<'_>, switch: &str, text: &str) -> Result<Port, Stop> {
    read(context, switch, text, |text, names| {
        names.parse_port(text).ok_or_else(|| format!("{switch}: unknown port `{text}'"))
    })
}
