//! Flows of the datapath, as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use base::Instant;
use datapath::FlowStats;
use flow::text::{ActionsText, FlowText, Numbers, PortNames};
use flow::{DpPort, OptionMask, tcp_flag};
use openflow::Field;
use openflow::text::exact::parse_exact;
use openflow::text::names::Names;
use pipeline::{BridgeId, MatchKey};
use slowpath::Listed;
use unixctl::{Args, Registry};

use super::datapaths;
use crate::daemon::Daemon;
use crate::switch::Plane;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 4, dump_bridge);
    super::add_dpctl(registry, "dump-flows", dump_datapath);
}

/// The words that `type=` takes: where a flow is carried out.
const TYPES: [&str; 7] =
    ["all", "ovs", "tc", "dpdk", "offloaded", "non-offloaded", "partially-offloaded"];
/// Those that mean flows that workers carry out, and flows that the kernel does.
const HERE: [&str; 3] = ["all", "ovs", "non-offloaded"];
const OFFLOADED: [&str; 2] = ["all", "offloaded"];

/// How to print.
#[derive(Clone, Copy)]
pub(super) struct Style {
    verbose: bool,
    names: Option<bool>,
    /// Whether the id is said where all is.
    pub(super) ufid: bool,
}

impl Style {
    /// `-m` shows names unless told otherwise, as in the reference.
    fn with_names(self) -> bool {
        self.names.unwrap_or(self.verbose)
    }
}

/// Takes the options off the arguments.
pub(super) fn style(args: &Args) -> (Style, Vec<&str>) {
    let mut style = Style { verbose: false, names: None, ufid: true };
    let mut rest = Vec::new();
    for arg in args.iter() {
        match &**arg {
            "-m" | "--more" => style.verbose = true,
            "--names" => style.names = Some(true),
            "--no-names" => style.names = Some(false),
            other => rest.push(other),
        }
    }
    (style, rest)
}

fn dump_bridge(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let (style, rest) = style(args);
    let [name] = rest.as_slice() else { return Err("no such bridge".into()) };
    let (bridge, plane) = daemon.switch.bridge(name).ok_or("no such bridge")?;
    let id = bridge.id;
    let wanted = |flow: &Listed| bridge_of(plane, flow) == Some(id);
    Ok(listing(plane, style, daemon.clock.now(), wanted))
}

fn dump_datapath(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let (style, rest) = style(args);
    if let Some(word) = rest.iter().find_map(|a| a.strip_prefix("pmd=")) {
        // All workers have all flows: which one is asked for makes no difference.
        word.parse::<i64>().map_err(|_| {
            format!("ovs-vswitchd: Failed to parse pmd ({word}) (Invalid argument)")
        })?;
    }
    let name = rest.iter().copied().find(|a| !a.contains('='));
    let filter = rest.iter().find_map(|a| a.strip_prefix("filter="));
    let names = names(daemon);
    let filter = filter.map(|text| Filter::parse(text, &names)).transpose()?;
    let kinds = rest.iter().find_map(|a| a.strip_prefix("type=")).unwrap_or("all");
    if let Some(unknown) = kinds.split(',').find(|k| !TYPES.contains(k)) {
        return Err(format!("ovs-vswitchd: Failed to parse type ({unknown}) (Invalid argument)"));
    }
    let any_of = |words: &[&str]| kinds.split(',').any(|k| words.contains(&k));
    let (here, offloaded) = (any_of(&HERE), any_of(&OFFLOADED));
    let plane = datapaths::find(daemon, name)?;
    let wanted = |listed: &Listed| {
        if filter.as_ref().is_some_and(|filter| !filter.takes(plane, listed)) {
            return false;
        }
        if plane.datapath.is_offloaded(listed.flow.ufid()) { offloaded } else { here }
    };
    let flows = listing(plane, style, daemon.clock.now(), wanted);
    // The reference names the thread that a flow belongs to; here all workers have all flows.
    let head = if flows.is_empty() { "" } else { "flow-dump from the main thread:\n" };
    Ok(format!("{head}{flows}"))
}

/// What OpenFlow's ports are called, of all bridges.
fn names(daemon: &Daemon) -> Names {
    let mut names = Names::default();
    for (name, live) in daemon.switch.bridges().values().flat_map(|bridge| &bridge.interfaces) {
        if let Ok(live) = live {
            names.add_port(openflow::Port(live.ofport.0), name);
        }
    }
    names
}

/// Which flows are listed: those that packets could meet of which OpenFlow's words say this.
struct Filter(pipeline::Key, pipeline::KeyMask);

impl Filter {
    fn parse(text: &str, names: &Names) -> Result<Filter, String> {
        let bad = |why: &str| format!("ovs-vswitchd: Failed to parse filter ({why})");
        let mut matching = parse_exact(text, names).map_err(|why| bad(&why))?;
        if matching.is_ethernet() {
            matching.clear(Field::PacketType);
        }
        let pattern = MatchKey::new(&matching, &pipeline::Options::NONE)
            .ok_or_else(|| bad("options of tunnels cannot be looked for"))?;
        Ok(Filter(pattern.key, pattern.mask))
    }

    /// Where both the filter and the flow look, they see the same. A port of OpenFlow's is the datapath's that is it.
    fn takes(&self, plane: &Plane, listed: &Listed) -> bool {
        let Filter(key, mask) = self;
        let flow = listed.flow.key();
        let words = key.flow.words().iter().zip(mask.0.flow.words());
        let theirs = flow.key().words().iter().zip(flow.mask().0.words());
        let same = words.zip(theirs).all(|((a, m), (b, n))| (a ^ b) & m & n == 0);
        let port = DpPort(listed.first.in_port);
        same && (mask.0.registers.in_port == 0
            || plane
                .slow
                .with(|state, _| state.snapshot.port_of_dp(port))
                .is_some_and(|at| at.port.0 == key.registers.in_port))
    }
}

/// The bridge that a flow's packets come in by.
fn bridge_of(plane: &Plane, listed: &Listed) -> Option<BridgeId> {
    let port = DpPort(listed.first.in_port);
    listed
        .entered
        .or_else(|| plane.slow.with(|state, _| state.snapshot.port_of_dp(port)))
        .map(|at| at.bridge)
}

fn listing(plane: &Plane, style: Style, now: Instant, wanted: impl Fn(&Listed) -> bool) -> String {
    let mut out = String::new();
    for listed in plane.slow.list().iter().filter(|l| wanted(l)) {
        write_flow(&mut out, plane, style, now, listed);
    }
    out
}

/// One flow, and the end of its line.
pub(super) fn write_flow(
    out: &mut String,
    plane: &Plane,
    style: Style,
    now: Instant,
    listed: &Listed,
) {
    let all: BTreeMap<DpPort, String>;
    let names: &dyn PortNames = if style.with_names() {
        all = plane.ports.iter().map(|(port, name)| (port, name.to_owned())).collect();
        &all
    } else {
        &Numbers
    };
    {
        let flow = &listed.flow;
        if style.verbose && style.ufid {
            let _ = write!(out, "ufid:{}, ", flow.ufid());
        }
        let key = flow.key();
        let text = FlowText {
            key: &listed.first,
            mask: key.mask(),
            verbose: style.verbose,
            names,
            options: &listed.options,
            looked: flow.options().unwrap_or(OptionMask::none()),
        };
        let _ = write!(out, "{text}, {}, ", stats_text(&flow.stats(), now));
        if style.verbose {
            let offloaded = plane.datapath.is_offloaded(flow.ufid());
            out.push_str(if offloaded { "offloaded:yes, dp:ebpf, " } else { "dp:ovs, " });
        }
        let _ = writeln!(out, "actions:{}", ActionsText { actions: flow.actions(), names });
    }
}

/// `packets:2, bytes:140, used:8.707s, flags:SP.`
pub(super) fn stats_text(stats: &FlowStats, now: Instant) -> String {
    let mut text = format!("packets:{}, bytes:{}, used:", stats.packets, stats.bytes);
    let _ = match stats.used {
        Some(used) => write!(text, "{:.3}s", now.since(used).as_secs_f64()),
        None => write!(text, "never"),
    };
    if stats.tcp_flags != 0 {
        let letters = [
            (tcp_flag::FIN, 'F'),
            (tcp_flag::SYN, 'S'),
            (tcp_flag::RST, 'R'),
            (tcp_flag::PSH, 'P'),
            (tcp_flag::ACK, '.'),
            (tcp_flag::URG, 'U'),
            (tcp_flag::ECE, 'E'),
            (tcp_flag::CWR, 'C'),
        ];
        text.push_str(", flags:");
        text.extend(
            letters.iter().filter(|(bit, _)| stats.tcp_flags & bit != 0).map(|(_, letter)| letter),
        );
    }
    text
}
