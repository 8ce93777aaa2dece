//! What controllers want to hear, their roles, and what one of them did; exporters; flushed connections.

use std::fmt::Write;

use super::super::names::Names;
use super::{group, meter};
use crate::message::controller::{
    ASYNC_KINDS, AsyncConfig, AsyncMasks, CONTROLLER_REASONS, ControllerStatus, Forwarded,
    ROLE_REASONS, RequestForward, RoleStatus, UNASKED,
};
use crate::message::ct_flush::{CtFlush, CtTuple};
use crate::message::ipfix::IpfixStats;
use crate::message::stats::REMOVED;
use crate::version::Version;
use crate::wire::ct_flush::is_icmp;

/// The names of reasons, by bit, of each kind of message.
const REASONS: [&[&str]; UNASKED] = [
    &["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"],
    &["add", "delete", "modify"],
    &REMOVED,
    &ROLE_REASONS,
    &["", "", "", "vacancy_down", "vacancy_up"],
    &["group_mod_request", "meter_mod_request"],
    &CONTROLLER_REASONS,
];

fn masks(out: &mut String, masks: &AsyncMasks) {
    for (i, (kind, reasons)) in ASYNC_KINDS.iter().zip(REASONS).enumerate() {
        let mask = masks[i].unwrap_or(0);
        // Open vSwitch has no such kind; where nobody wants it, there is no word of it either.
        if i == UNASKED - 1 && mask == 0 {
            continue;
        }
        let _ = write!(out, "{kind:>16}:");
        if mask == 0 {
            out.push_str(" (off)");
        }
        for (_, reason) in (0..).zip(reasons).filter(|(bit, _)| mask >> bit & 1 == 1) {
            let _ = write!(out, " {reason}");
        }
        out.push('\n');
    }
}

pub(super) fn async_config(out: &mut String, config: &AsyncConfig) {
    out.push_str("\n primary:\n");
    masks(out, &config.primary);
    out.push_str("\n secondary:\n");
    masks(out, &config.secondary);
}

pub(super) fn role_status(out: &mut String, status: &RoleStatus) {
    let _ = write!(out, " role={}", status.role.name());
    if let Some(generation) = status.generation {
        let _ = write!(out, " generation_id={generation}");
    }
    let reason = ROLE_REASONS.get(usize::from(status.reason)).copied().unwrap_or("(unknown)");
    let _ = write!(out, " reason={reason}");
}

pub(super) fn status(out: &mut String, status: &ControllerStatus) {
    let _ = write!(out, " short_id={} role={}", status.short_id, status.role.name());
    let channel = if status.connected { "up" } else { "down" };
    let _ = write!(out, " reason={} channel={channel}", status.reason.name());
    if let Some(uri) = &status.uri {
        let _ = write!(out, " uri={uri}");
    }
}

pub(super) fn forwarded(
    out: &mut String,
    forward: &RequestForward,
    version: Version,
    names: &Names,
) {
    match &forward.change {
        Forwarded::Group(change) => {
            out.push_str(" reason=group_mod");
            group::group_mod(out, change, version, names);
        }
        Forwarded::Meter(change) => {
            out.push_str(" reason=meter_mod");
            meter::meter_mod(out, change);
        }
    }
}

/// Two lines, the second below the first.
fn exporter(out: &mut String, head: &str, s: &IpfixStats) {
    let _ = write!(
        out,
        "{head} flows={}, current flows={}, sampled pkts={}, ipv4 ok={}, ipv6 ok={}, tx pkts={}\n{:width$} \
         pkts errs={}, ipv4 errs={}, ipv6 errs={}, tx errs={}\n",
        s.flows,
        s.current_flows,
        s.packets,
        s.ipv4_packets,
        s.ipv6_packets,
        s.sent,
        "",
        s.errors,
        s.ipv4_errors,
        s.ipv6_errors,
        s.sent_errors,
        width = head.len()
    );
}

pub(super) fn ipfix_bridge(out: &mut String, stats: &IpfixStats) {
    out.push('\n');
    exporter(out, "  bridge ipfix:", stats);
}

pub(super) fn ipfix_flows(out: &mut String, exporters: &[IpfixStats]) {
    let _ = writeln!(out, " {} ids", exporters.len());
    for stats in exporters {
        exporter(out, &format!("  id {:>3}:", stats.collector_set), stats);
    }
}

fn tuple(out: &mut String, tuple: &CtTuple, protocol: u8, ipv4: bool) {
    let family = if ipv4 { "nw" } else { "ipv6" };
    let address = |address: Option<std::net::IpAddr>| {
        address.map_or_else(|| "::".to_owned(), |address| address.to_string())
    };
    let (source, destination) = (address(tuple.source), address(tuple.destination));
    let _ = write!(out, "ct_{family}_src={source},ct_{family}_dst={destination}");
    let _ = if is_icmp(protocol) {
        let CtTuple { icmp_id, icmp_type, icmp_code, .. } = tuple;
        write!(out, ",icmp_id={icmp_id},icmp_type={icmp_type},icmp_code={icmp_code}")
    } else {
        write!(out, ",ct_tp_src={},ct_tp_dst={}", tuple.source_port, tuple.destination_port)
    };
}

pub(super) fn ct_flush(out: &mut String, flush: &CtFlush) {
    let CtFlush { protocol, zone, original, reply } = flush;
    let addresses = [original.source, original.destination, reply.source, reply.destination];
    let ipv4 = addresses.into_iter().flatten().any(|address| address.is_ipv4());
    let _ = write!(out, " zone={} '", zone.unwrap_or(0));
    tuple(out, original, *protocol, ipv4);
    let _ = write!(out, ",ct_nw_proto={protocol}' '");
    tuple(out, reply, *protocol, ipv4);
    out.push('\'');
}
