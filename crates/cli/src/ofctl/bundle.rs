//! Changes that are carried out together or not at all.

use openflow::Protocols;
use openflow::message::Message;
use openflow::message::bundle::{ATOMIC, BundleAdd, BundleControl, BundleStep, ORDERED};
use openflow::text::group::parse_group_line;
use openflow::text::message::{Verbosity, print};
use openflow::wire::header::Header;
use openflow::wire::{decode, encode};

use super::flows::change;
use super::switch::Switch;
use super::{Context, End, Stop, names, packet_out};

/// The bundle's number; there is but one at a time on a connection.
const ID: u32 = 0;

/// Has the switch carry out the messages as one. Errors name the message that they are about.
pub(super) fn carry_out(
    context: &mut Context<'_>,
    switch: &mut Switch,
    messages: &[Vec<u8>],
) -> End {
    step(context, switch, BundleStep::OpenRequest, BundleStep::OpenReply)?;
    let mut additions = Vec::new();
    for message in messages {
        let xid = xid(message);
        let add = BundleAdd { id: ID, flags: ATOMIC | ORDERED, message: message.clone() };
        let bytes = encode(&Message::BundleAdd(add), switch.protocol, xid);
        additions.push(bytes.map_err(|error| error.to_string())?);
    }
    let barrier = switch.encode(context, &Message::BarrierRequest)?;
    let errors =
        switch.client.command(additions, &barrier).map_err(|broken| switch.broken(&broken))?;
    if errors.is_empty() {
        return commit(context, switch, messages);
    }
    complain(context, messages, &errors);
    step(context, switch, BundleStep::DiscardRequest, BundleStep::DiscardReply)?;
    Err(failed(switch))
}

fn xid(message: &[u8]) -> u32 {
    Header::peek(message).map_or(0, |header| header.xid)
}

fn failed(switch: &Switch) -> Stop {
    format!("talking to {} (Protocol error)", switch.target).into()
}

fn control(step: BundleStep) -> Message {
    Message::BundleControl(BundleControl { id: ID, step, flags: ATOMIC | ORDERED })
}

/// Asks for a step that does not fail on any message's account.
fn step(
    context: &mut Context<'_>,
    switch: &mut Switch,
    request: BundleStep,
    reply: BundleStep,
) -> End {
    let request = switch.encode(context, &control(request))?;
    let answer = switch.client.transact(&request).map_err(|broken| switch.broken(&broken))?;
    match decode(&answer) {
        Ok((_, Message::BundleControl(control))) if control.step == reply => Ok(()),
        _ => {
            complain(context, &[request], &[answer]);
            Err(failed(switch))
        }
    }
}

/// The last step: messages that could not be carried out are complained about before the step itself.
fn commit(context: &mut Context<'_>, switch: &mut Switch, messages: &[Vec<u8>]) -> End {
    let request = switch.encode(context, &control(BundleStep::CommitRequest))?;
    switch.client.send(&request).map_err(|broken| switch.broken(&broken))?;
    let mut errors = Vec::new();
    let answer = loop {
        let message = switch.client.recv().map_err(|broken| switch.broken(&broken))?;
        if xid(&message) == xid(&request) {
            break message;
        }
        if matches!(decode(&message), Ok((_, Message::Error(_)))) {
            errors.push(message);
        }
    };
    let done = matches!(decode(&answer), Ok((_, Message::BundleControl(control)))
        if control.step == BundleStep::CommitReply);
    if !done {
        errors.push(answer);
    }
    if errors.is_empty() {
        return Ok(());
    }
    let mut all = messages.to_vec();
    all.push(request);
    complain(context, &all, &errors);
    Err(failed(switch))
}

/// Says which error is about which message.
fn complain(context: &mut Context<'_>, messages: &[Vec<u8>], errors: &[Vec<u8>]) {
    for error in errors {
        let code = match decode(error) {
            Ok((_, Message::Error(error))) => error.code.to_string(),
            _ => "unexpected answer".to_owned(),
        };
        let about = messages.iter().find(|message| xid(message) == xid(error));
        let text = match about {
            Some(message) => {
                format!("Error {code} for: {}", print(message, Verbosity(1)))
            }
            None => format!("Error {code} for unknown message\n"),
        };
        context.complain(&text);
    }
}

/// One line of a bundle's file: a change, and who can say it.
type Line = (Message, Protocols);

pub(super) fn run(context: &mut Context<'_>, args: &[String]) -> End {
    let (switch, file) = (&args[0], &args[1]);
    let mut changes = Vec::new();
    for (number, line) in context.file_lines(file)? {
        let read = read_line(context, switch, &line);
        changes.push(read.map_err(|stop| stop.at(&format!("{file}:{number}: ")))?);
    }
    let usable =
        changes.iter().fold(Protocols::OF14_UP.or(Protocols::OF13_UP), |set, (_, p)| set.and(*p));
    let mut switch = Switch::open_for_flow_mods(context, switch, usable)?;
    let mut messages = Vec::new();
    for (message, _) in &changes {
        messages.push(switch.encode(context, message)?);
    }
    carry_out(context, &mut switch, &messages)
}

fn read_line(context: &mut Context<'_>, switch: &str, line: &str) -> Result<Line, Stop> {
    let end = line.find([' ', '\t', ',']).unwrap_or(line.len());
    let (kind, rest) = line.split_at(end);
    let rest = rest.trim_start();
    match kind {
        "flow" => {
            let (command, text) = change::command_of(rest);
            let parsed = names::flow(context, switch, text, command)?;
            Ok((Message::FlowMod(Box::new(parsed.flow)), parsed.protocols))
        }
        "group" => {
            let parsed = names::read(context, switch, rest, parse_group_line)?;
            Ok((Message::GroupMod(Box::new(parsed.change)), parsed.protocols))
        }
        "packet-out" => {
            let (packet, protocols) = names::read(context, switch, rest, packet_out::read)?;
            Ok((Message::PacketOut(Box::new(packet)), protocols))
        }
        _ => Err(format!("Unsupported bundle message type: {kind}").into()),
    }
}
