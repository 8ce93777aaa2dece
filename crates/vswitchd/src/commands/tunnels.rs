//! Native tunnels: neighbours, listening ports, and how each tunnel stands.

use std::fmt::{self, Write};

use jsonrpc::{Json, Object};
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
    crate::report::observe_tunnels(&daemon.switch, &mut daemon.tunnels, |_| true, now);
    let mut text = String::new();
    let mut json = Vec::new();
    let wanted = args.arg(0);
    let interfaces = daemon.switch.bridges().values().flat_map(|b| &b.interfaces);
    for (name, live) in interfaces.filter(|(name, _)| wanted.is_none_or(|w| w == name.as_str())) {
        let Some(standing) = Standing::of(daemon, name, live.as_ref().err()) else { continue };
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
struct Standing {
    word: &'static str,
    reason: String,
    since: Option<String>,
    mtu: Option<u32>,
}

impl Standing {
    /// `None`: it is no tunnel. `refused`: why it is not there at all.
    fn of(daemon: &Daemon, name: &str, refused: Option<&String>) -> Option<Self> {
        let switch = &daemon.switch;
        if let Some(why) = refused {
            let is_tunnel = daemon
                .rows
                .interfaces
                .values()
                .any(|row| row.name == name && tunnel::Kind::from_name(&row.kind).is_some());
            let reason = why.clone();
            return is_tunnel.then_some(Self {
                word: "misconfigured",
                reason,
                since: None,
                mtu: None,
            });
        }
        let state = daemon.tunnels.get(name)?;
        Some(Self {
            word: state.reason.word(),
            reason: state.reason.to_string(),
            since: Some(since_text(switch, state.since)),
            mtu: state.mtu,
        })
    }

    fn json(&self, name: &str) -> Json {
        let fields = [
            ("name", Some(name.to_owned())),
            ("state", Some(self.word.to_owned())),
            ("reason", Some(self.reason.clone())),
            ("since", self.since.clone()),
        ];
        let texts = fields.into_iter().filter_map(|(k, v)| Some((k, Json::from(v?.as_str()))));
        let mtu = self.mtu.map(|mtu| ("mtu", Json::from(i64::from(mtu))));
        let all = texts.chain(mtu).map(|(k, v)| (k.to_owned(), v));
        Json::Object(all.collect::<Object>())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.word, self.reason)?;
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        match self.mtu {
            Some(mtu) => write!(f, ", MTU {mtu}"),
            None => Ok(()),
        }
    }
}
