//! Changing flows.

use openflow::Protocols;
use openflow::message::flow_mod::Command;
use openflow::message::{FlowMod, Message};
use openflow::text::flow::ParsedFlow;

use super::super::bundle;
use super::super::names;
use super::super::switch::Switch;
use super::super::{Context, End, Stop};

pub(in super::super) fn add(context: &mut Context<'_>, args: &[String]) -> End {
    change(context, args, Command::Add)
}

pub(in super::super) fn modify(context: &mut Context<'_>, args: &[String]) -> End {
    let strict = context.settings.strict;
    change(context, args, if strict { Command::ModifyStrict } else { Command::Modify })
}

pub(in super::super) fn delete(context: &mut Context<'_>, args: &[String]) -> End {
    let strict = context.settings.strict;
    change(context, args, if strict { Command::DeleteStrict } else { Command::Delete })
}

/// One flow from the command line; `-` is a file of flows that comes in.
fn change(context: &mut Context<'_>, args: &[String], command: Command) -> End {
    let text = args.get(1).map_or("", String::as_str);
    if text == "-" {
        return change_all(context, args, command);
    }
    let parsed = names::flow(context, &args[0], text, command)?;
    carry_out(context, &args[0], vec![parsed])
}

pub(in super::super) fn add_all(context: &mut Context<'_>, args: &[String]) -> End {
    change_all(context, args, Command::Add)
}

fn change_all(context: &mut Context<'_>, args: &[String], command: Command) -> End {
    let flows = read(context, &args[0], &args[1], command)?;
    carry_out(context, &args[0], flows)
}

/// The command that a line of a file of additions may begin with.
pub(in super::super) fn command_of(line: &str) -> (Command, &str) {
    const WORDS: [(&str, Command); 5] = [
        ("add", Command::Add),
        ("modify", Command::Modify),
        ("modify_strict", Command::ModifyStrict),
        ("delete", Command::Delete),
        ("delete_strict", Command::DeleteStrict),
    ];
    let word_end = line.find([' ', '\t']).unwrap_or(line.len());
    let (word, rest) = line.split_at(word_end);
    match WORDS.iter().find(|(known, _)| *known == word) {
        Some((_, command)) => (*command, rest.trim_start()),
        None => (Command::Add, line),
    }
}

/// The flows in a file. In one of additions, a line may begin with another command.
pub(super) fn read(
    context: &mut Context<'_>,
    switch: &str,
    file: &str,
    command: Command,
) -> Result<Vec<ParsedFlow>, Stop> {
    let mut flows = Vec::new();
    for (number, line) in context.file_lines(file)? {
        let (command, text) =
            if command == Command::Add { command_of(&line) } else { (command, &line[..]) };
        let parsed = names::flow(context, switch, text, command);
        flows.push(parsed.map_err(|stop| stop.at(&format!("{file}:{number}: ")))?);
    }
    Ok(flows)
}

/// Has the switch change all of them.
fn carry_out(context: &mut Context<'_>, switch: &str, flows: Vec<ParsedFlow>) -> End {
    let usable = flows.iter().fold(Protocols::ANY, |set, flow| set.and(flow.protocols));
    let flows = flows.into_iter().map(|parsed| parsed.flow).collect();
    send(context, switch, flows, usable)
}

fn send(context: &mut Context<'_>, name: &str, flows: Vec<FlowMod>, usable: Protocols) -> End {
    let usable = if context.settings.bundle { usable.and(Protocols::OF13_UP) } else { usable };
    let mut switch = Switch::open_for_flow_mods(context, name, usable)?;
    let mut messages = Vec::new();
    for flow in flows {
        messages.push(switch.encode(context, &Message::FlowMod(Box::new(flow)))?);
    }
    all(context, &mut switch, messages)
}

/// Sends changes: as a bundle if so asked, else one after another until one fails.
pub(in super::super) fn all(
    context: &mut Context<'_>,
    switch: &mut Switch,
    messages: Vec<Vec<u8>>,
) -> End {
    if context.settings.bundle {
        return bundle::carry_out(context, switch, &messages);
    }
    messages.into_iter().try_for_each(|message| switch.order_bytes(context, message))
}
