//! Rules: changing them, and what they have counted.

use std::time::Duration;

use base::Instant;
use openflow::error::Code;
use openflow::message::flow_mod::{ALL_TABLES, FlowMod};
use openflow::message::{AggregateReply, FlowStats, FlowStatsRequest, Message, stats};
use openflow::{Protocol, Version};
use pipeline::{Changes, Rule};

use super::select::select;
use super::{Outcome, answer, list};
use crate::bridge::{Bridge, Request, Step};
use crate::switch::with_program;

pub(super) fn change(bridge: &mut Bridge, request: &Request, flow_mod: FlowMod) -> Outcome {
    let protocol = bridge.peers.get(&request.from).map(|p| p.protocol).ok_or(Code::OFPBRC_EPERM)?;
    let flow_mod = in_protocol(flow_mod, protocol)?;
    let changes = apply(bridge, &flow_mod)?;
    bridge.tell_changes(&changes, Some((request.from, request.xid)));
    if flow_mod.buffer.is_some() {
        // No packets are kept, so none has that number. The rule stands all the same.
        return Err(Code::OFPBRC_BUFFER_UNKNOWN);
    }
    Ok(Step::Done)
}

fn apply(bridge: &Bridge, flow_mod: &FlowMod) -> Result<Changes, Code> {
    with_program(&*bridge.switch, |program, now| program.flow_mod(flow_mod, now))
        .unwrap_or(Ok(Changes::new()))
        .map_err(|error| error.code)
}

/// What a flow-mod means in the peer's protocol: OpenFlow 1.0 has tables in it only once that is agreed on.
pub(super) fn in_protocol(mut flow_mod: FlowMod, protocol: Protocol) -> Result<FlowMod, Code> {
    if protocol.version() == Version::V10 && !protocol.has_table() {
        if flow_mod.table != 0 {
            return Err(Code::OFPFMFC_BAD_COMMAND);
        }
        flow_mod.table = ALL_TABLES;
    }
    Ok(flow_mod)
}

pub(super) fn statistics(
    bridge: &mut Bridge,
    request: &Request,
    asked: &FlowStatsRequest,
) -> Outcome {
    bridge.switch.collect();
    let found = with_program(&*bridge.switch, |program, now| Ok((select(program, asked)?, now)));
    let (rules, now) = found.unwrap_or(Ok((Vec::new(), request.now)))?;
    let empty = Message::FlowStatsReply { flows: Vec::new(), more: false };
    let entries = rules.into_iter().map(move |rule| Message::FlowStatsReply {
        flows: vec![describe(&rule, now)],
        more: false,
    });
    let mut step = list(bridge, request, empty, entries)?;
    if let Step::Stream(multipart) = &mut step {
        multipart.speak(form(multipart.protocol(), asked.nicira));
    }
    Ok(step)
}

/// In OpenFlow 1.0 the answer has the question's form.
fn form(protocol: Protocol, nicira: bool) -> Protocol {
    match (protocol.version(), nicira) {
        (Version::V10, true) => Protocol::NxmTable,
        (Version::V10, false) => Protocol::Of10Table,
        _ => protocol,
    }
}

/// What is to be said of a rule.
pub(crate) fn describe(rule: &Rule, now: Instant) -> FlowStats {
    let (packets, bytes) = rule.usage.counts();
    let seconds = |since: Instant| u16::try_from(now.since(since).as_secs()).unwrap_or(u16::MAX);
    FlowStats {
        table: rule.table,
        duration: Some(duration(now.since(rule.created))),
        priority: priority(rule),
        idle_timeout: rule.idle_timeout,
        hard_timeout: rule.hard_timeout,
        importance: rule.importance,
        idle_age: Some(seconds(rule.usage.used())),
        hard_age: Some(seconds(rule.modified)),
        flags: rule.flags,
        cookie: rule.cookie,
        packets: Some(packets),
        bytes: Some(bytes),
        matching: rule.matching.clone(),
        instructions: (*rule.instructions).clone(),
    }
}

/// The priority as messages have it; hidden rules, which have higher ones, are not told of.
pub(crate) fn priority(rule: &Rule) -> u16 {
    u16::try_from(rule.priority).unwrap_or(u16::MAX)
}

/// A time as messages have it, to the millisecond: nobody keeps the time of rules more exactly.
pub(crate) fn duration(time: Duration) -> stats::Duration {
    stats::Duration {
        seconds: u32::try_from(time.as_secs()).unwrap_or(u32::MAX),
        nanoseconds: time.subsec_millis() * 1_000_000,
    }
}

pub(super) fn aggregate(
    bridge: &mut Bridge,
    request: &Request,
    asked: &FlowStatsRequest,
) -> Outcome {
    bridge.switch.collect();
    let found = with_program(&*bridge.switch, |program, _| select(program, asked));
    let rules = found.unwrap_or(Ok(Vec::new()))?;
    let (packets, bytes) = rules.iter().map(|rule| rule.usage.counts()).fold(
        (0u64, 0u64),
        |(packets, bytes), (p, b)| (packets.saturating_add(p), bytes.saturating_add(b)),
    );
    let reply = AggregateReply {
        packets: Some(packets),
        bytes: Some(bytes),
        flows: u32::try_from(rules.len()).unwrap_or(u32::MAX),
        nicira: asked.nicira,
    };
    answer(bridge, request, &Message::AggregateReply(reply))
}
