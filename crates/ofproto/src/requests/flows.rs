//! Rules: changing them, and what they have counted.

use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use openflow::error::Code;
use openflow::message::flow_mod::{ALL_TABLES, Command, Head};
use openflow::message::stats::CountersReason;
use openflow::message::{FlowCounters, FlowStats, FlowStatsRequest, Message, stats};
use openflow::wire::Writer;
use openflow::{Protocol, Version};
use pipeline::{Request as Asked, Rule};

use super::listing::{Listing, describe};
use super::{Outcome, answer, list};
use crate::bridge::{Bridge, Request, Step};
use crate::multipart::Multipart;
use crate::peer::PeerId;
use crate::switch::with_program;

/// A flow-mod that waits to be carried out with those behind it: a controller that has one to send has many, and what is to be
/// done around each (locks, looking whether anything has changed) is then done once.
pub(crate) struct Held {
    pub(crate) request: Request,
    pub(crate) asked: Asked,
    /// As it came, to be sent back if it fails.
    pub(crate) bytes: Vec<u8>,
}

/// So many flow-mods are carried out at once at most: packets that need the program wait for them.
pub(crate) const MOST_HELD: usize = 64;

/// Whether a peer may send this at all; gives it the meaning that it has in the peer's protocol.
pub(crate) fn admit(bridge: &Bridge, from: PeerId, asked: &mut Asked) -> Result<(), Code> {
    let peer = bridge.peers.get(&from).ok_or(Code::OFPBRC_EPERM)?;
    if peer.is_secondary() {
        return Err(Code::OFPBRC_IS_SECONDARY);
    }
    put_in_protocol(&mut asked.head, peer.protocol)
}

/// Carries these out, each by itself and in order.
pub(crate) fn carry_out(bridge: &mut Bridge, held: &[Held]) {
    let done: Option<Vec<_>> = with_program(&*bridge.switch, |program, now| {
        held.iter().map(|held| program.change(&held.asked, now)).collect()
    });
    for (Held { request, asked, bytes }, done) in held.iter().zip(done.unwrap_or_default()) {
        match done {
            Ok(changes) => {
                bridge.tell_changes(&changes, Some((request.from, request.xid)));
                if asked.head.buffer.is_some() {
                    // No packets are kept, so none has that number. The rule stands all the same.
                    bridge.refuse(request.from, Code::OFPBRC_BUFFER_UNKNOWN, bytes);
                }
            }
            Err(error) => bridge.refuse(request.from, error.code, bytes),
        }
    }
}

/// Gives a flow-mod the meaning that it has in the peer's protocol: OpenFlow 1.0 has tables in it only once that is agreed on.
pub(super) fn put_in_protocol(head: &mut Head, protocol: Protocol) -> Result<(), Code> {
    if protocol.version() < Version::V12 && head.command == Command::Add {
        // Later versions ask for it.
        head.flags.reset_counts = true;
    }
    if protocol.version() == Version::V10 && !protocol.has_table() {
        if head.table != 0 {
            return Err(Code::OFPFMFC_BAD_COMMAND);
        }
        head.table = ALL_TABLES;
    }
    Ok(())
}

/// The rules that are asked for, with all that they have counted until now, which is told as well.
fn select(
    bridge: &Bridge,
    request: &Request,
    asked: &FlowStatsRequest,
) -> Result<(Vec<Arc<Rule>>, Instant), Code> {
    bridge.switch.collect();
    let found = with_program(&*bridge.switch, |program, now| {
        Ok((program.select(asked).map_err(|error| error.code)?, now))
    });
    found.unwrap_or(Ok((Vec::new(), request.now)))
}

pub(super) fn statistics(
    bridge: &mut Bridge,
    request: &Request,
    asked: &FlowStatsRequest,
) -> Outcome {
    let (rules, now) = select(bridge, request, asked)?;
    let empty = Message::FlowStatsReply { flows: Vec::new(), more: false };
    let protocol = bridge.peers.get(&request.from).map(|p| p.protocol).ok_or(Code::OFPBRC_EPERM)?;
    let protocol = form(protocol, asked.nicira);
    let mut listing = Listing::new(rules, bridge.options.clone(), now, protocol);
    let append = move |w: &mut Writer, _| listing.append(w);
    Ok(Step::Stream(Multipart::of(request.xid, protocol, empty, Box::new(append))))
}

/// What rules have counted, without what they do.
pub(super) fn counters(
    bridge: &mut Bridge,
    request: &Request,
    asked: &FlowStatsRequest,
) -> Outcome {
    let (rules, now) = select(bridge, request, asked)?;
    let empty = Message::FlowCountersReply { flows: Vec::new(), more: false };
    let options = bridge.options.clone();
    let entries = rules.into_iter().map(move |rule| {
        let FlowStats { table, duration, priority, idle_age, packets, bytes, .. } =
            describe(&rule, now);
        let reason = CountersReason::Request;
        let matching = rule.matching(&options);
        let counters =
            FlowCounters { table, reason, priority, duration, idle_age, packets, bytes, matching };
        Message::FlowCountersReply { flows: vec![counters], more: false }
    });
    list(bridge, request, empty, entries)
}

/// In OpenFlow 1.0 the answer has the question's form.
fn form(protocol: Protocol, nicira: bool) -> Protocol {
    match (protocol.version(), nicira) {
        (Version::V10, true) => Protocol::NxmTable,
        (Version::V10, false) => Protocol::Of10Table,
        _ => protocol,
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
    let sums = with_program(&*bridge.switch, |program, _| program.aggregate(asked));
    let reply = sums.ok_or(Code::OFPBRC_EPERM)?.map_err(|error| error.code)?;
    answer(bridge, request, &Message::AggregateReply(reply))
}
