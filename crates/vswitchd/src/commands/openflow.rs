//! OpenFlow: what controllers have programmed, and their connections.

use std::fmt::Write;
use std::sync::Arc;

use pipeline::{Options, Rule};
use tunnel::endpoint::Listed;
use unixctl::{Args, Registry};

use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, dump_flows);
    registry.add("bridge/reconnect", "[bridge]", 0, 1, reconnect);
    registry.add("ofproto/list-tunnels", "", 0, 0, list_tunnels);
}

fn unknown() -> String {
    "Unknown bridge".to_owned()
}

/// All rules, also those that controllers do not see.
fn dump_flows(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let offload = args.iter().rev().skip(1).any(|arg| arg == "--offload-stats");
    let name = args.last().map(|name| &**name).unwrap_or_default();
    let (bridge, plane) = daemon.switch.bridge(name).ok_or_else(unknown)?;
    let id = bridge.id;
    let (mut rules, options, now) = plane.slow.with(|state, now| {
        let program = state.programs.get(&id);
        let tables = program.into_iter().flat_map(|program| program.tables());
        let rules: Vec<_> = tables.flat_map(|(_, table)| table.rules().cloned()).collect();
        let options = program.map_or_else(Arc::default, |program| program.options().clone());
        (rules, options, now)
    });
    rules.sort_by_cached_key(|rule| (rule.table, std::cmp::Reverse(rule.priority), rule.id));
    let mut out = String::new();
    for rule in &rules {
        write_rule(&mut out, rule, now, offload, &options);
    }
    Ok(out)
}

/// The priority that is not mentioned.
const DEFAULT: i32 = openflow::message::flow_mod::DEFAULT_PRIORITY as i32;

fn write_rule(out: &mut String, rule: &Rule, now: base::Instant, offload: bool, options: &Options) {
    let (packets, bytes) = rule.usage.counts();
    let age = now.since(rule.created).as_secs();
    if rule.table != 0 {
        let _ = write!(out, "table_id={}, ", rule.table);
    }
    let _ = write!(out, "duration={age}s, n_packets={packets}, n_bytes={bytes}, ");
    if offload {
        out.push_str("n_offload_packets=0, n_offload_bytes=0, ");
    }
    let matching = options.match_text(&rule.matching(options));
    if rule.priority != DEFAULT {
        let comma = if matching.is_empty() { "" } else { "," };
        let _ = write!(out, "priority={}{comma}", rule.priority);
    }
    let actions = rule.instructions.to_string();
    let actions = if actions.is_empty() { "drop" } else { &actions };
    let _ = writeln!(out, "{matching},actions={actions}");
}

fn reconnect(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    if let Some(name) = args.arg(0) {
        daemon.switch.bridge(name).ok_or_else(unknown)?;
    }
    daemon.openflow.reconnect(args.arg(0));
    Ok(String::new())
}

/// The tunnel ports that packets can belong to, by their datapath's port.
fn list_tunnels(daemon: &mut Daemon, _: &Args) -> Result<String, String> {
    let mut out = String::new();
    for (_, plane) in daemon.switch.planes() {
        plane.slow.with(|state, _| {
            let mut all: Vec<_> = state.snapshot.endpoints().iter().collect();
            all.sort_by_key(|(_, endpoint, dp)| (*dp, endpoint.name.clone()));
            for (_, endpoint, dp) in all {
                let _ = writeln!(out, "{}", Listed(endpoint, dp));
            }
        });
    }
    Ok(out)
}
