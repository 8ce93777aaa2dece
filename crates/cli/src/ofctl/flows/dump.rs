//! Looking at flows.

use std::cmp::Ordering;

use openflow::field::Field;
use openflow::message::Message;
use openflow::message::flow_mod::Command;
use openflow::message::stats::{FlowStats, FlowStatsRequest};
use openflow::text::message::{flow_line, print};
use openflow::wire::decode;
use openflow::{Match, Protocol, Protocols, Value};

use super::super::names;
use super::super::options::Criterion;
use super::super::switch::Switch;
use super::super::{Context, End, Stop};

/// Which flows are wanted, and who can say so.
fn wanted(
    context: &mut Context<'_>,
    args: &[String],
) -> Result<(FlowStatsRequest, Protocols), Stop> {
    let text = args.get(1).map_or("", String::as_str);
    let parsed = names::flow(context, &args[0], text, Command::Delete)?;
    let asked = FlowStatsRequest {
        table: parsed.flow.table,
        out_port: parsed.flow.out_port,
        out_group: parsed.flow.out_group,
        cookie: parsed.flow.cookie,
        matching: parsed.flow.matching,
        nicira: false,
    };
    Ok((asked, for_questions(parsed.protocols)))
}

/// Unlike flow-mods, questions of OpenFlow 1.0 always have a table: what needs one can be asked without an extension.
fn for_questions(mut usable: Protocols) -> Protocols {
    for (with, without) in
        [(Protocol::Of10Table, Protocol::Of10), (Protocol::NxmTable, Protocol::Nxm)]
    {
        if usable.has(with) {
            usable = usable.or(Protocols::only(without));
        }
    }
    usable
}

/// Connects to a switch, ready to be asked for flows.
fn ready(context: &mut Context<'_>, args: &[String]) -> Result<(Switch, FlowStatsRequest), Stop> {
    let (mut asked, usable) = wanted(context, args)?;
    let mut switch = Switch::open(context, &args[0])?;
    switch.set_protocol_for_dump(context, usable)?;
    asked.nicira = switch.protocol.is_nxm();
    Ok((switch, asked))
}

pub(in super::super) fn flows(context: &mut Context<'_>, args: &[String]) -> End {
    let (mut switch, asked) = ready(context, args)?;
    let question = Message::FlowStatsRequest(Box::new(asked));
    if context.settings.sort.is_empty() && context.settings.stats && !names::shows(context) {
        return switch.dump(context, &question);
    }
    let names = names::to_show(context, &args[0])?;
    let mut flows = collect(context, &mut switch, &question)?;
    let criteria = context.settings.sort.clone();
    flows.sort_by(|a, b| compare(&criteria, a, b));
    for flow in &flows {
        let line = flow_line(flow, context.settings.stats, &names);
        context.show(&format!("{line}\n"));
    }
    Ok(())
}

/// All flows that are asked for.
pub(super) fn collect(
    context: &mut Context<'_>,
    switch: &mut Switch,
    question: &Message,
) -> Result<Vec<FlowStats>, Stop> {
    let mut all = Vec::new();
    switch.each_part(context, question, |context, part| match decode(part) {
        Ok((_, Message::FlowStatsReply { flows, .. })) => {
            all.extend(flows);
            Ok(())
        }
        Ok((_, Message::Error(error))) => {
            let text = print(part, context.more_verbose(2));
            context.complain(&text);
            Err(format!("dump failed ({})", error.code).into())
        }
        _ => Err(format!("received bad reply: {}", print(part, context.more_verbose(1))).into()),
    })?;
    Ok(all)
}

/// Which of two flows comes first. One that has no such field comes last, whichever the direction.
fn compare(criteria: &[Criterion], a: &FlowStats, b: &FlowStats) -> Ordering {
    for criterion in criteria {
        let order = match criterion.field {
            None => a.priority.cmp(&b.priority),
            Some(field) => match (value(&a.matching, field), value(&b.matching, field)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(_), None) => return Ordering::Less,
                (None, Some(_)) => return Ordering::Greater,
                (None, None) => Ordering::Equal,
            },
        };
        if order != Ordering::Equal {
            return if criterion.descending { order.reverse() } else { order };
        }
    }
    Ordering::Equal
}

/// A field's value, in an order: what is in the mask, by number.
fn value(m: &Match, field: Field) -> Option<(u128, Vec<u8>)> {
    m.get(field).map(|(value, _)| match value {
        Value::Int(number) => (number, Vec::new()),
        Value::Bytes(bytes) => (0, bytes.to_vec()),
    })
}

pub(in super::super) fn aggregate(context: &mut Context<'_>, args: &[String]) -> End {
    let (mut switch, asked) = ready(context, args)?;
    switch.dump(context, &Message::AggregateRequest(Box::new(asked)))
}
