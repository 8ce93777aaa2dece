//! Rules: changes, statistics, removals.

use std::fmt::Write;

use super::super::names::{Named, Names};
use super::super::number::Hex;
use crate::matching::Match;
use crate::message::flow_mod::{Command, DEFAULT_PRIORITY, Flags, FlowMod};
use crate::message::stats::{
    AggregateReply, CountersReason, Duration, FlowCounters, FlowRemoved, FlowStats,
    FlowStatsRequest, REMOVED,
};
use crate::port::Port;

/// `5.000000007s`, with no more digits than needed, but milliseconds always have three.
pub(super) fn seconds(duration: Duration) -> String {
    let Duration { seconds, nanoseconds } = duration;
    if nanoseconds == 0 {
        return format!("{seconds}s");
    }
    if nanoseconds.is_multiple_of(1_000_000) {
        return format!("{seconds}.{:03}s", nanoseconds / 1_000_000);
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// Priority, if it is not the usual one, and match; with a space behind if there is anything.
fn priority_and_match(out: &mut String, priority: u16, m: &Match, names: &Names) {
    let m = Named(m, names).to_string();
    if priority != DEFAULT_PRIORITY {
        let comma = if m.is_empty() { "" } else { "," };
        let _ = write!(out, "priority={priority}{comma}");
    }
    out.push_str(&m);
    if !out.ends_with(' ') {
        out.push(' ');
    }
}

fn flags(out: &mut String, flags: Flags) {
    for (set, name) in [
        (flags.send_flow_rem, "send_flow_rem"),
        (flags.check_overlap, "check_overlap"),
        (flags.emergency, "emerg"),
        (flags.reset_counts, "reset_counts"),
        (flags.no_packet_counts, "no_packet_counts"),
        (flags.no_byte_counts, "no_byte_counts"),
    ] {
        if set {
            let _ = write!(out, "{name} ");
        }
    }
}

pub(super) fn flow_mod(out: &mut String, flow: &FlowMod, names: &Names) {
    out.push_str(match flow.command {
        Command::Add => " ADD ",
        Command::Modify => " MOD ",
        Command::ModifyStrict => " MOD_STRICT ",
        Command::Delete => " DEL ",
        Command::DeleteStrict => " DEL_STRICT ",
    });
    if flow.table != 0 {
        let _ = write!(out, "table:{} ", names.table(flow.table));
    }
    priority_and_match(out, flow.priority, &flow.matching, names);
    if flow.new_cookie != 0 && flow.new_cookie != u64::MAX {
        let _ = write!(out, "cookie:{} ", Hex(flow.new_cookie));
    }
    if flow.cookie.1 != 0 {
        let _ = write!(out, "cookie:{:#x}/{:#x} ", flow.cookie.0, flow.cookie.1);
    }
    for (name, value) in
        [("idle", flow.idle_timeout), ("hard", flow.hard_timeout), ("importance", flow.importance)]
    {
        if value != 0 {
            let _ = write!(out, "{name}:{value} ");
        }
    }
    if let Some(buffer) = flow.buffer {
        let _ = write!(out, "buf:{} ", Hex(buffer));
    }
    if flow.out_port != Port::NONE {
        let _ = write!(out, "out_port:{} ", names.port(flow.out_port));
    }
    flags(out, flow.flags);
    let _ = write!(out, "actions={}", Named(&flow.instructions, names));
}

pub(super) fn stats(out: &mut String, flow: &FlowStats, names: &Names) {
    out.push('\n');
    write_line(out, flow, true, names);
}

/// One flow on a line of its own, as sorted dumps have it; without what was counted, if so asked.
pub fn flow_line(flow: &FlowStats, with_stats: bool, names: &Names) -> String {
    let mut out = String::new();
    write_line(&mut out, flow, with_stats, names);
    out
}

fn write_line(out: &mut String, flow: &FlowStats, with_stats: bool, names: &Names) {
    out.push(' ');
    if with_stats || flow.cookie != 0 {
        let _ = write!(out, "cookie={:#x}, ", flow.cookie);
    }
    if let Some(duration) = flow.duration.filter(|_| with_stats) {
        let _ = write!(out, "duration={}, ", seconds(duration));
    }
    let table = names.table(flow.table);
    if with_stats || flow.table != 0 || table.has_name() {
        let _ = write!(out, "table={table}, ");
    }
    for (name, count) in [("n_packets", flow.packets), ("n_bytes", flow.bytes)] {
        if with_stats {
            let _ = match count {
                Some(count) => write!(out, "{name}={count}, "),
                None => write!(out, "{name}=?, "),
            };
        }
    }
    for (name, value) in [("idle_timeout", flow.idle_timeout), ("hard_timeout", flow.hard_timeout)]
    {
        if value != 0 {
            let _ = write!(out, "{name}={value}, ");
        }
    }
    flags(out, flow.flags);
    if flow.importance != 0 {
        let _ = write!(out, "importance={}, ", flow.importance);
    }
    // Of a rule that was never modified its duration says the same.
    let duration = flow.duration.map(|duration| duration.seconds);
    let hard_age = flow.hard_age.filter(|age| duration != Some(u32::from(*age)));
    for (name, age) in [("idle_age", flow.idle_age), ("hard_age", hard_age)] {
        if let Some(age) = age.filter(|_| with_stats) {
            let _ = write!(out, "{name}={age}, ");
        }
    }
    priority_and_match(out, flow.priority, &flow.matching, names);
    let _ = write!(out, "actions={}", Named(&flow.instructions, names));
}

/// What one rule has counted, in the words of [`stats`].
pub(super) fn counters(out: &mut String, flow: &FlowCounters, names: &Names) {
    out.push_str("\n ");
    if flow.reason == CountersReason::Trigger {
        out.push_str("reason=trigger, ");
    }
    if let Some(duration) = flow.duration {
        let _ = write!(out, "duration={}, ", seconds(duration));
    }
    let _ = write!(out, "table={}, ", names.table(flow.table));
    for (name, number) in [("n_packets", flow.packets), ("n_bytes", flow.bytes)] {
        let _ = match number {
            Some(number) => write!(out, "{name}={number}, "),
            None => write!(out, "{name}=?, "),
        };
    }
    if let Some(age) = flow.idle_age {
        let _ = write!(out, "idle_age={age}, ");
    }
    priority_and_match(out, flow.priority, &flow.matching, names);
    let shown = out.trim_end().trim_end_matches(',').len();
    out.truncate(shown);
}

pub(super) fn request(out: &mut String, asked: &FlowStatsRequest, names: &Names) {
    if asked.table != crate::message::flow_mod::ALL_TABLES {
        let _ = write!(out, " table={}", names.table(asked.table));
    }
    if asked.out_port != Port::NONE {
        let _ = write!(out, " out_port={}", names.port(asked.out_port));
    }
    let m = Named(&asked.matching, names).to_string();
    if !m.is_empty() {
        let _ = write!(out, " {m}");
    }
}

fn count(number: Option<u64>) -> String {
    number.unwrap_or(u64::MAX).to_string()
}

pub(super) fn aggregate(out: &mut String, sums: &AggregateReply) {
    let _ = write!(
        out,
        " packet_count={} byte_count={} flow_count={}",
        count(sums.packets),
        count(sums.bytes),
        sums.flows
    );
}

pub(super) fn removed(out: &mut String, removed: &FlowRemoved, names: &Names) {
    out.push(' ');
    let m = Named(&removed.matching, names).to_string();
    if removed.priority != DEFAULT_PRIORITY {
        let comma = if m.is_empty() { "" } else { "," };
        let _ = write!(out, "priority={}{comma}", removed.priority);
    }
    let _ = write!(out, "{m} ");
    let reason = REMOVED.get(usize::from(removed.reason));
    let _ = match reason {
        Some(reason) => write!(out, "reason={reason}"),
        None => write!(out, "reason={}", removed.reason),
    };
    if let Some(table) = removed.table.filter(|table| *table != 255) {
        let _ = write!(out, " table_id={}", names.table(table));
    }
    if removed.cookie != 0 {
        let _ = write!(out, " cookie:{}", Hex(removed.cookie));
    }
    let _ = write!(out, " duration{}", seconds(removed.duration));
    let _ = write!(out, " idle{}", removed.idle_timeout);
    if removed.hard_timeout != 0 {
        let _ = write!(out, " hard{}", removed.hard_timeout);
    }
    let _ = writeln!(out, " pkts{} bytes{}", count(removed.packets), count(removed.bytes));
}
