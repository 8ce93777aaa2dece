//! Datapaths: ports, lookups, upcalls, revalidation.

use std::fmt::Write;
use std::time::Duration;

use unixctl::{Args, Registry, Reply};

use crate::daemon::Daemon;
use crate::desired::InterfaceKind;
use crate::switch::{Live, Plane};

/// How long a command waits for the revalidator or the datapath.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("dpif/show", "", 0, 0, dpif_show);
    registry.add("dpif/dump-dps", "", 0, 0, dpif_dump_dps);
    registry.add("dpif/show-dp-features", "bridge", 1, 1, features);
    super::add_dpctl(registry, "show", dpctl_show);
    super::add_dpctl(registry, "dump-dps", dpctl_dump_dps);
    super::add_dpctl(registry, "list-commands", |_, _| flow::dpctl::list_of_appctl());
    super::add_dpctl(registry, "parse-actions", |_, args| {
        let (text, why) = flow::dpctl::again(&super::operands(args));
        why.map_or(Ok(text.clone()), |why| Err(format!("{text}ovs-vswitchd: {why}")))
    });
    super::add_dpctl(registry, "normalize-actions", |_, args| {
        let words = super::operands(args);
        let [flow, actions] = [0, 1].map(|i| words.get(i).copied().unwrap_or_default());
        match flow::dpctl::normalized(flow, actions) {
            (text, None) => Ok(text),
            (text, Some(why)) => Err(format!("{text}ovs-vswitchd: {why}")),
        }
    });
    super::add_dpctl(registry, "add-dp", |d, args| whole(d, args, "add_dp"));
    super::add_dpctl(registry, "del-dp", |d, args| whole(d, args, "del_dp"));
    super::add_dpctl(registry, "add-if", |d, args| interfaces(d, args, Change::Add));
    super::add_dpctl(registry, "del-if", |d, args| interfaces(d, args, Change::Delete));
    super::add_dpctl(registry, "set-if", |d, args| interfaces(d, args, Change::Set));
    super::add_dpctl(registry, "cache-get-size", |d, args| {
        opened(d, args.arg(0)).map(|plane| format!("{}:\n", plane.name))
    });
    super::add_dpctl(registry, "cache-set-size", |d, args| {
        if args.arg(2).is_none_or(|size| size.parse::<u32>().is_err()) {
            let text = "ovs-vswitchd: size is malformed (Invalid argument)";
            return Err::<String, _>(text.to_owned());
        }
        opened(d, args.arg(0))?;
        Err("ovs-vswitchd: Setting caches not supported (Operation not supported)".to_owned())
    });
    super::add_dpctl(registry, "offload-stats-show", |d, args| {
        find(d, args.arg(0))?;
        let text = "ovs-vswitchd: retrieving offload statistics (Invalid argument)";
        Err::<String, _>(text.to_owned())
    });
    registry.add("upcall/enable-ufid", "", 0, 0, |_: &mut Daemon, _: &Args| {
        "Datapath dumping tersely using UFID enabled for supported datapaths\n"
    });
    registry.add(
        "upcall/disable-ufid",
        "",
        0,
        0,
        |_: &mut Daemon, _: &Args| "Datapath dumping tersely using UFID disabled\n",
    );
    registry.add("upcall/show", "", 0, 0, upcall_show);
    registry
        .add("upcall/enable-megaflows", "", 0, 0, |d: &mut Daemon, _: &Args| megaflows(d, true));
    registry
        .add("upcall/disable-megaflows", "", 0, 0, |d: &mut Daemon, _: &Args| megaflows(d, false));
    registry.add("upcall/set-flow-limit", "flow-limit-number", 1, 1, set_flow_limit);
    registry.add("revalidator/wait", "", 0, 0, wait);
    registry.add("revalidator/purge", "", 0, 0, |d: &mut Daemon, _: &Args| {
        d.switch.planes().for_each(|(_, p)| p.slow.purge());
    });
    registry.add("revalidator/pause", "", 0, 0, |d: &mut Daemon, _: &Args| pause(d, true));
    registry.add("revalidator/resume", "", 0, 0, |d: &mut Daemon, _: &Args| pause(d, false));
}

/// A datapath by the name that `dump-dps` gives it (or the part behind the `@`); the only one when there is no name.
pub(super) fn find<'a>(daemon: &'a Daemon, name: Option<&str>) -> Result<&'a Plane, String> {
    match name {
        Some(name) => {
            let found = daemon
                .switch
                .planes()
                .find(|(_, p)| p.name == name || p.name.split('@').nth(1) == Some(name));
            found
                .map(|(_, p)| p)
                .ok_or_else(|| "ovs-vswitchd: datapath not found (Invalid argument)".to_owned())
        }
        None => match daemon.switch.planes().collect::<Vec<_>>().as_slice() {
            [(_, only)] => Ok(only),
            [] => Err("ovs-vswitchd: no datapaths exist\n\
                 ovs-vswitchd: datapath not found (Invalid argument)"
                .to_owned()),
            _ => Err("ovs-vswitchd: multiple datapaths, specify one\n\
                 ovs-vswitchd: datapath not found (Invalid argument)"
                .to_owned()),
        },
    }
}

/// The same, in the words of commands for caches.
fn opened<'a>(daemon: &'a Daemon, name: Option<&str>) -> Result<&'a Plane, String> {
    find(daemon, name).map_err(|why| match name {
        Some(name) => format!("ovs-vswitchd: Opening datapath {name} failed (No such device)"),
        None => why,
    })
}

fn dpif_show(daemon: &mut Daemon, _: &Args) -> Reply {
    let mut out = String::new();
    for (kind, plane) in daemon.switch.planes() {
        let stats = plane.datapath.stats();
        let _ = writeln!(out, "{}: hit:{} missed:{}", plane.name, stats.hit, stats.missed);
        for (name, bridge) in daemon.switch.bridges().iter().filter(|(_, b)| b.kind == kind) {
            let _ = writeln!(out, "  {name}:");
            for (interface, live) in &bridge.interfaces {
                if let Ok(live) = live
                    && live.excluded.is_none()
                {
                    let _ = writeln!(
                        out,
                        "    {interface} {}",
                        port_text(daemon, name, interface, live)
                    );
                }
            }
        }
    }
    out.into()
}

/// `1/2: (system)`, `2/3: (vxlan: remote_ip=10.0.0.1)`.
fn port_text(daemon: &Daemon, bridge: &str, interface: &str, live: &Live) -> String {
    let dp = live.dp.map_or_else(|| "none".to_owned(), |dp| dp.0.to_string());
    let wanted = daemon.switch.applied().bridges.get(bridge).and_then(|b| b.interface(interface));
    let kind = match (wanted.map(|i| &i.kind), &live.device) {
        (Some(InterfaceKind::Tunnel(e)), _) => format!("{}: {e}", e.kind.name()),
        (Some(InterfaceKind::Dummy { poses_as: Some(name), .. }), _) => name.clone(),
        (Some(InterfaceKind::Afxdp { options, .. }), Some(device)) => {
            format!("{}: {options}", device.kind())
        }
        (Some(InterfaceKind::Patch { peer }), _) => format!("patch: peer={peer}"),
        (_, Some(device)) => device.kind().to_owned(),
        _ => "unknown".to_owned(),
    };
    format!("{}/{dp}: ({kind})", live.ofport.0)
}

fn dpif_dump_dps(daemon: &mut Daemon, _: &Args) -> Reply {
    let line =
        |(name, b): (&String, &crate::switch::LiveBridge)| format!("{}@{name}\n", b.kind.as_str());
    daemon.switch.bridges().iter().map(line).collect::<String>().into()
}

fn dpctl_dump_dps(daemon: &mut Daemon, _: &Args) -> Reply {
    daemon.switch.planes().map(|(_, p)| format!("{}\n", p.name)).collect::<String>().into()
}

fn dpctl_show(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let names = super::operands(args);
    let is_counted = |arg: &&str| arg.starts_with("-s") || *arg == "--statistics";
    let counters = args.iter().map(|arg| &**arg).any(|arg| is_counted(&arg));
    let named = |name: &&str| {
        find(daemon, Some(name))
            .map_err(|_| format!("ovs-vswitchd: opening datapath {name} failed (No such device)"))
    };
    let planes = match names.as_slice() {
        [] => daemon.switch.planes().map(|(_, p)| p).collect(),
        names => names.iter().map(named).collect::<Result<Vec<_>, _>>()?,
    };
    let mut out = String::new();
    for plane in planes {
        let stats = plane.datapath.stats();
        let _ = writeln!(out, "{}:", plane.name);
        let _ = writeln!(
            out,
            "  lookups: hit:{} missed:{} lost:{}",
            stats.hit, stats.missed, stats.lost
        );
        let _ = writeln!(out, "  flows: {}", stats.flows);
        for port in plane.datapath.ports() {
            let kind = match &port.kind {
                datapath::PortKind::Device(device) => device_text(&**device),
                datapath::PortKind::Tunnel(tunnel) => {
                    // So the reference says of those that ERSPAN shares.
                    let erspan = tunnel.protocol == flow::TunnelProtocol::Erspan;
                    let more = if erspan { "erspan_ver=0, " } else { "" };
                    format!("{}: {more}packet_type=ptap", tunnel.kind)
                }
            };
            let _ = writeln!(out, "  port {}: {} ({kind})", port.port.0, port.name());
            if counters {
                write_counters(&mut out, &port);
            }
        }
    }
    Ok(out)
}

/// Datapaths come and go with bridges, as the database has them.
fn whole(daemon: &mut Daemon, args: &Args, what: &str) -> Result<String, String> {
    let is_there = find(daemon, args.arg(0)).is_ok();
    Err(match (what, is_there) {
        ("add_dp", true) => "ovs-vswitchd: add_dp (File exists)",
        ("add_dp", false) => "ovs-vswitchd: add_dp (Operation not supported)",
        (_, true) => "ovs-vswitchd: del_dp (Device or resource busy)",
        (_, false) => "ovs-vswitchd: opening datapath (No such device)",
    }
    .to_owned())
}

/// What is to be done with interfaces.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Delete,
    Set,
}

/// Ports are the database's, too. They can be looked at: one that is already as it is to be, is so.
fn interfaces(daemon: &mut Daemon, args: &Args, change: Change) -> Result<String, String> {
    let words = super::strings(args);
    let (name, interfaces) = words.split_first().ok_or("a datapath is needed")?;
    let plane = find(daemon, Some(name))
        .map_err(|_| "ovs-vswitchd: opening datapath (No such device)".to_owned())?;
    let ports = plane.datapath.ports();
    for interface in interfaces {
        let mut parts = interface.split(',');
        let device = parts.next().unwrap_or_default();
        let port = ports.iter().find(|port| port.name() == device);
        let refused = match (change, port) {
            (Change::Add, Some(_)) => {
                format!("adding {device} to {name} failed (File exists)")
            }
            (Change::Add, None) => {
                format!("adding {device} to {name} failed (Operation not supported)")
            }
            (Change::Delete, None) => format!("no port named {device}"),
            (Change::Delete, Some(_)) => {
                format!("deleting port {device} from {name} failed (Device or resource busy)")
            }
            (Change::Set, None) => {
                format!("{device}: failed to query port in {name} (No such device)")
            }
            (Change::Set, Some(port)) => match parts.find_map(|part| differs(port, part)) {
                Some(why) => format!("{device}: {why}"),
                None => continue,
            },
        };
        return Err(format!("ovs-vswitchd: {refused}"));
    }
    Ok(String::new())
}

/// Why a port cannot become so.
fn differs(port: &datapath::PortInfo, setting: &str) -> Option<String> {
    let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
    let kind = match &port.kind {
        datapath::PortKind::Device(device) => device.kind(),
        datapath::PortKind::Tunnel(tunnel) => tunnel.kind,
    };
    match key {
        "type" if value == kind => None,
        "type" => Some(format!("can't change type from {kind} to {value}")),
        "port_no" if value == port.port.0.to_string() => None,
        "port_no" => Some(format!("can't change port number from {} to {value}", port.port.0)),
        _ => Some(format!("{key}: set it with ovs-vsctl (Operation not supported)")),
    }
}

/// What a port has counted, as the reference prints it: a question mark for what nobody counts.
fn write_counters(out: &mut String, port: &datapath::PortInfo) {
    let stats = match &port.kind {
        datapath::PortKind::Device(device) => device.stats().unwrap_or_default(),
        datapath::PortKind::Tunnel(_) => netdev::Stats::default(),
    };
    let _ = writeln!(
        out,
        "    RX packets:{} errors:{} dropped:{} overruns:{} frame:{}\n    \
         TX packets:{} errors:{} dropped:{} aborted:? carrier:?\n    \
         collisions:{}\n    RX bytes:{}{}  TX bytes:{}{}",
        stats.rx_packets,
        stats.rx_errors,
        stats.rx_dropped,
        stats.rx_over_err,
        stats.rx_frame_err,
        stats.tx_packets,
        stats.tx_errors,
        stats.tx_dropped,
        stats.collisions,
        stats.rx_bytes,
        human(stats.rx_bytes),
        stats.tx_bytes,
        human(stats.tx_bytes),
    );
}

/// A number of bytes in larger units, behind a blank, if it is large.
fn human(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes >= 1 << shift);
    unit.map_or_else(String::new, |(shift, name)| {
        format!(" ({:.1} {name})", bytes as f64 / (1u64 << shift) as f64)
    })
}

/// A device's type, and how its queues are set up.
fn device_text(device: &dyn netdev::Device) -> String {
    let config: Vec<_> = device.config().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    if config.is_empty() {
        return device.kind().to_owned();
    }
    format!("{}: {}", device.kind(), config.join(", "))
}

/// What the datapath can do, in the reference's words. Only what is there: a controller may rely on it.
fn features(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let name = args.arg(0).unwrap_or_default();
    daemon.switch.bridge(name).ok_or("no such bridge")?;
    let yes = [
        "Masked set action",
        "Tunnel push pop",
        "Ufid",
        "Truncate action",
        "Clone action",
        "Explicit Drop action",
    ];
    let no = [
        "Conntrack eventmask",
        "Conntrack clear",
        "Check pkt length action",
        "Conntrack timeout policy",
    ];
    let lines =
        yes.iter().map(|f| format!("{f}: Yes\n")).chain(no.iter().map(|f| format!("{f}: No\n")));
    Ok(lines
        .chain(["Max VLAN headers: 2\n".to_owned(), "Max MPLS depth: 3\n".to_owned()])
        .collect())
}

fn upcall_show(daemon: &mut Daemon, _: &Args) -> Reply {
    let mut out = String::new();
    for (_, plane) in daemon.switch.planes() {
        let report = plane.slow.report();
        let flows = plane.datapath.flow_count();
        let _ = writeln!(out, "{}:", plane.name);
        let _ = writeln!(
            out,
            "  flows         : (current {flows}) (avg {}) (max {}) (limit {})",
            report.flows_average,
            report.flows_max,
            plane.slow.flow_limit()
        );
        let _ = writeln!(out, "  dump duration : {}ms", report.duration.as_millis().max(1));
        let _ = writeln!(out, "  ufid enabled : true\n");
        let _ = writeln!(out, "  1: (keys {flows})");
    }
    out.into()
}

fn set_flow_limit(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let limit = args
        .arg(0)
        .and_then(|n| n.parse::<usize>().ok())
        .ok_or("the flow limit must be a number")?;
    daemon.switch.planes().for_each(|(_, plane)| plane.slow.set_flow_limit(limit));
    Ok(format!("set flow_limit to {limit}\n"))
}

fn megaflows(daemon: &mut Daemon, enabled: bool) -> Reply {
    for (_, plane) in daemon.switch.planes() {
        plane.slow.set_megaflows(enabled);
    }
    Reply::Text(format!("megaflows {}\n", if enabled { "enabled" } else { "disabled" }))
}

fn pause(daemon: &mut Daemon, paused: bool) {
    daemon.switch.planes().for_each(|(_, p)| p.slow.pause(paused));
}

fn wait(daemon: &mut Daemon, _: &Args) -> Reply {
    for (_, plane) in daemon.switch.planes() {
        plane.slow.quiesce(PATIENCE);
        plane.slow.revalidate(PATIENCE);
    }
    Reply::ok()
}
