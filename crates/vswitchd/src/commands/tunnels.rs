//! Native tunnels: neighbours, listening ports, and how each tunnel stands.

use std::fmt::{self, Write};

use jsonrpc::{Json, Object};
use tunnel::TunnelState;
use tunnel::neighbour::commands as neighbours;
use unixctl::{Args, Registry, Reply};
use xlate::show_listeners;

use super::strings;
use crate::daemon::Daemon;
use crate::report::since_text;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    for family in ["arp", "neigh"] {
        add_neighbours(registry, family);
    }
    registry.add("tnl/ports/show", "-v", 0, 1, ports_show);
    registry.add("tnl/egress_port_range", "min max", 0, 2, egress_port_range);
    registry.add("tunnel/show", "[interface]", 0, 1, show);
}

fn add_neighbours(registry: &mut Registry<Daemon>, family: &str) {
    let name = |verb: &str| -> &'static str {
        // Names live as long as the program: there are eight of them.
        match (family, verb) {
            ("arp", "show") => "tnl/arp/show",
            ("arp", "set") => "tnl/arp/set",
            ("arp", "flush") => "tnl/arp/flush",
            ("arp", _) => "tnl/arp/aging",
            (_, "show") => "tnl/neigh/show",
            (_, "set") => "tnl/neigh/set",
            (_, "flush") => "tnl/neigh/flush",
            _ => "tnl/neigh/aging",
        }
    };
    registry.add(name("show"), "", 0, 0, neighbour_show);
    registry.add(name("set"), "BRIDGE IP MAC", 3, 3, |d: &mut Daemon, a: &Args| {
        on_neighbours(d, |table, now| neighbours::set(table, &strings(a), now))
    });
    registry.add(name("flush"), "", 0, 0, |d: &mut Daemon, _: &Args| {
        on_neighbours(d, |table, _| Ok(neighbours::flush(table)))
    });
    registry.add(name("aging"), "[SECS]", 0, 1, |d: &mut Daemon, a: &Args| {
        on_neighbours(d, |table, now| neighbours::aging(table, &strings(a), now))
    });
}

/// Runs a command on every datapath's neighbours; answers what the last said.
fn on_neighbours(
    daemon: &mut Daemon,
    command: impl Fn(&mut tunnel::Neighbours, base::Instant) -> Result<String, String>,
) -> Result<String, String> {
    let planes = daemon.switch.planes().map(|(_, plane)| plane);
    let answers: Vec<_> = planes
        .map(|plane| plane.slow.with(|state, now| command(&mut state.neighbours, now)))
        .collect();
    match answers.into_iter().last() {
        Some(answer) => answer,
        None => command(&mut tunnel::Neighbours::default(), base::Instant::default()),
    }
}

fn neighbour_show(daemon: &mut Daemon, _: &Args) -> Reply {
    let mut out = neighbours::show(&tunnel::Neighbours::default(), base::Instant::default());
    let head = out.len();
    for (_, plane) in daemon.switch.planes() {
        let text = plane.slow.with(|state, now| neighbours::show(&state.neighbours, now));
        out.push_str(text.get(head..).unwrap_or_default());
    }
    out.into()
}

fn ports_show(daemon: &mut Daemon, args: &Args) -> Reply {
    let verbose = args.arg(0) == Some("-v");
    let head = "Listening ports:\n";
    let mut out = head.to_owned();
    for (_, plane) in daemon.switch.planes() {
        let text =
            plane.slow.with(|state, _| show_listeners(&state.snapshot, &state.routes, verbose));
        out.push_str(text.strip_prefix(head).unwrap_or(&text));
    }
    out.into()
}

fn egress_port_range(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let mut ports = daemon.switch.source_ports();
    let text = ports.command(&strings(args))?;
    if ports != daemon.switch.source_ports() {
        daemon.switch.set_source_ports(ports);
    }
    Ok(text)
}

/// Ours: how each tunnel stands, why, and since when.
fn show(daemon: &mut Daemon, args: &Args) -> Reply {
    let now = daemon.clock.now();
    let Daemon { switch, rows, tunnels, .. } = daemon;
    let changed = crate::report::observe_tunnels(switch, rows, tunnels, |_| true, now);
    // Who looks first does not keep it from the database.
    changed.iter().for_each(|name| daemon.touch(name));
    let mut text = String::new();
    let mut json = Vec::new();
    let wanted = args.arg(0);
    let interfaces = daemon.switch.bridges().values().flat_map(|b| b.interfaces.keys());
    for name in interfaces.filter(|name| wanted.is_none_or(|w| w == name.as_str())) {
        let Some(state) = daemon.tunnels.get(name) else { continue };
        let since = since_text(&daemon.switch, state.since);
        let standing = Standing { state, since };
        let _ = writeln!(text, "{name}: {standing}");
        json.push(standing.json(name));
    }
    match (wanted, text.is_empty()) {
        (Some(name), true) => Reply::Error(format!("{name}: no such tunnel")),
        _ if args.wants_json() => Reply::Json(Json::from(json)),
        _ => Reply::Text(text),
    }
}

/// How a tunnel stands, in words.
struct Standing<'a> {
    state: &'a TunnelState,
    since: String,
}

impl Standing<'_> {
    fn json(&self, name: &str) -> Json {
        let reason = self.state.reason.to_string();
        let texts = [
            ("name", name),
            ("state", self.state.reason.word()),
            ("reason", &reason),
            ("since", &self.since),
        ];
        let texts = texts.into_iter().map(|(k, v)| (k, Json::from(v)));
        let mtu = self.state.mtu.map(|mtu| ("mtu", Json::from(i64::from(mtu))));
        let all = texts.chain(mtu).map(|(k, v)| (k.to_owned(), v));
        Json::Object(all.collect::<Object>())
    }
}

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TunnelState { reason, mtu, .. } = self.state;
        write!(f, "{} ({reason}) since {}", reason.word(), self.since)?;
        match mtu {
            Some(mtu) => write!(f, ", MTU {mtu}"),
            None => Ok(()),
        }
    }
}
