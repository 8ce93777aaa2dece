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
    registry.add("dpctl/show", "[-s] [dp...]", 0, usize::MAX, dpctl_show);
    registry.add("dpctl/dump-dps", "", 0, 0, dpctl_dump_dps);
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
                .ok_or_else(|| "opening datapath failed (No such device)".to_owned())
        }
        None => match daemon.switch.planes().collect::<Vec<_>>().as_slice() {
            [(_, only)] => Ok(only),
            [] => Err("no datapaths exist".to_owned()),
            _ => Err("multiple datapaths, specify one".to_owned()),
        },
    }
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
    let names: Vec<&str> = args.iter().map(|a| &**a).filter(|a| *a != "-s").collect();
    let planes = match names.as_slice() {
        [] => daemon.switch.planes().map(|(_, p)| p).collect(),
        named => named.iter().map(|n| find(daemon, Some(n))).collect::<Result<Vec<_>, _>>()?,
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
                datapath::PortKind::Tunnel(datapath::TunnelKind::Vxlan { .. }) => {
                    "vxlan: packet_type=ptap".to_owned()
                }
            };
            let _ = writeln!(out, "  port {}: {} ({kind})", port.port.0, port.name());
        }
    }
    Ok(out)
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
