//! Rules: changing them, and what they have counted.

use std::time::Duration;

use base::Instant;
use openflow::error::Code;
use openflow::message::flow_mod::{ALL_TABLES, Command, FlowMod};
use openflow::message::{FlowStats, FlowStatsRequest, Message, stats};
use openflow::wire::Writer;
use openflow::{Field, Protocol, Version};
use pipeline::{INTERNAL_TABLE, Rule};

use super::listing::Listing;
use super::{Outcome, answer};
use crate::bridge::{Bridge, Request, Step};
use crate::multipart::Multipart;
use crate::peer::PeerId;
use crate::switch::with_program;

/// A flow-mod that waits to be carried out with those behind it: a controller that has one to send has many, and what is to be
/// done around each (locks, looking whether anything has changed) is then done once.
pub(crate) struct Held {
    pub(crate) request: Request,
    pub(crate) flow_mod: Box<FlowMod>,
    /// As it came, to be sent back if it fails.
    pub(crate) bytes: Vec<u8>,
}

/// So many flow-mods are carried out at once at most: packets that need the program wait for them.
pub(crate) const MOST_HELD: usize = 64;

/// Whether a peer may send this at all; gives it the meaning that it has in the peer's protocol.
pub(crate) fn admit(bridge: &Bridge, from: PeerId, flow_mod: &mut FlowMod) -> Result<(), Code> {
    bridge.must_not_be_secondary(from)?;
    let protocol = bridge.peers.get(&from).map(|p| p.protocol).ok_or(Code::OFPBRC_EPERM)?;
    put_in_protocol(flow_mod, protocol)
}

/// Carries these out, each by itself and in order.
pub(crate) fn carry_out(bridge: &mut Bridge, held: &[Held]) {
    let done: Option<Vec<_>> = with_program(&*bridge.switch, |program, now| {
        held.iter().map(|held| program.flow_mod(&held.flow_mod, now)).collect()
    });
    for (Held { request, flow_mod, bytes }, done) in held.iter().zip(done.unwrap_or_default()) {
        match done {
            Ok(changes) => {
                bridge.tell_changes(&changes, Some((request.from, request.xid)));
                if flow_mod.buffer.is_some() {
                    // No packets are kept, so none has that number. The rule stands all the same.
                    bridge.refuse(request.from, Code::OFPBRC_BUFFER_UNKNOWN, bytes);
                }
            }
            Err(error) => bridge.refuse(request.from, error.code, bytes),
        }
    }
}

/// Gives a flow-mod the meaning that it has in the peer's protocol: OpenFlow 1.0 has tables in it only once that is agreed on.
pub(super) fn put_in_protocol(flow_mod: &mut FlowMod, protocol: Protocol) -> Result<(), Code> {
    if protocol.version() < Version::V12 && flow_mod.command == Command::Add {
        // Later versions ask for it.
        flow_mod.flags.reset_counts = true;
    }
    if protocol.version() == Version::V10 && !protocol.has_table() {
        if flow_mod.table != 0 {
            return Err(Code::OFPFMFC_BAD_COMMAND);
        }
        flow_mod.table = ALL_TABLES;
    }
    Ok(())
}

/// Whether controllers may add such a rule at all, whatever rules there are: what a bundle refuses to keep.
pub(super) fn permitted(flow_mod: &FlowMod) -> Result<(), Code> {
    if flow_mod.command != Command::Add {
        return Ok(());
    }
    let foreign = [Field::RecircId, Field::DpHash];
    match flow_mod.table {
        INTERNAL_TABLE => Err(Code::OFPBRC_EPERM),
        _ if foreign.iter().any(|field| flow_mod.matching.has(*field)) => Err(Code::OFPBRC_EPERM),
        _ => Ok(()),
    }
}

pub(super) fn statistics(
    bridge: &mut Bridge,
    request: &Request,
    asked: &FlowStatsRequest,
) -> Outcome {
    bridge.switch.collect();
    let found = with_program(&*bridge.switch, |program, now| {
        Ok((program.select(asked).map_err(|error| error.code)?, now))
    });
    let (rules, now) = found.unwrap_or(Ok((Vec::new(), request.now)))?;
    let empty = Message::FlowStatsReply { flows: Vec::new(), more: false };
    let protocol = bridge.peers.get(&request.from).map(|p| p.protocol).ok_or(Code::OFPBRC_EPERM)?;
    let protocol = form(protocol, asked.nicira);
    let mut rules = rules.into_iter();
    let mut listing = Listing::new(protocol);
    let options = bridge.options.clone();
    let append = move |w: &mut Writer, _| {
        let Some(rule) = rules.next() else { return false };
        listing.append(w, &rule, describe(&rule, now), &options);
        true
    };
    Ok(Step::Stream(Multipart::of(request.xid, protocol, empty, Box::new(append))))
}

/// In OpenFlow 1.0 the answer has the question's form.
fn form(protocol: Protocol, nicira: bool) -> Protocol {
    match (protocol.version(), nicira) {
        (Version::V10, true) => Protocol::NxmTable,
        (Version::V10, false) => Protocol::Of10Table,
        _ => protocol,
    }
}

/// What is to be said of a rule, but for what it matches and does.
fn describe(rule: &Rule, now: Instant) -> FlowStats {
    FlowStats { duration: Some(duration(now.since(rule.created))), ..rule.counts(now) }
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
