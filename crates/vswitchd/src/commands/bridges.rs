//! Bridges: what there is, and what they have learned.

use pipeline::OfPort;
use unixctl::{Args, Registry, Reply};

use crate::daemon::Daemon;
use crate::desired::parse_mac;
use crate::switch::{LiveBridge, Plane};

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add("ofproto/list", "", 0, 0, list);
    registry.add("fdb/show", "[bridge]...", 0, usize::MAX, show);
    registry.add("fdb/flush", "[bridge]", 0, 1, flush);
    registry.add("fdb/stats-show", "bridge", 1, 1, stats_show);
    registry.add("fdb/stats-clear", "[bridge]", 0, 1, stats_clear);
    registry.add("fdb/add", "bridge port vlan mac", 4, 4, add_static);
    registry.add("mdb/show", "bridge", 1, 1, |d: &mut Daemon, args: &Args| {
        find(d, args.arg(0).unwrap_or_default())
            .and_then(|_| Err::<String, _>(NOT_SNOOPED.to_owned()))
    });
    registry.add("mdb/flush", "[bridge]", 0, 1, |d: &mut Daemon, args: &Args| match args.arg(0) {
        Some(name) => find(d, name).and_then(|_| Err(NOT_SNOOPED.to_owned())),
        None => Ok("table successfully flushed\n".to_owned()),
    });
    registry.add("fdb/del", "bridge vlan mac", 3, 3, delete_static);
}

/// Multicast goes wherever broadcast goes; nobody listens to who wants it.
const NOT_SNOOPED: &str = "multicast snooping is disabled";

fn list(daemon: &mut Daemon, _: &Args) -> Reply {
    daemon.switch.bridges().keys().map(|name| format!("{name}\n")).collect::<String>().into()
}

/// A bridge with its datapath, or the reference's complaint.
fn find<'a>(daemon: &'a Daemon, name: &str) -> Result<(&'a LiveBridge, &'a Plane), String> {
    daemon.switch.bridge(name).ok_or_else(|| "no such bridge".to_owned())
}

fn show(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let all: Vec<String> = daemon.switch.bridges().keys().cloned().collect();
    let named: Vec<String> = args.iter().map(ToString::to_string).collect();
    let bridges = if named.is_empty() { all } else { named };
    let mut out = String::new();
    for name in &bridges {
        let (bridge, plane) = find(daemon, name)?;
        if bridges.len() > 1 {
            out.push_str(&format!("{name}:\n"));
        }
        out.push_str(&plane.slow.with(|state, now| state.mac_table(bridge.id).show(now)));
    }
    Ok(out)
}

fn flush(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    for (bridge, plane) in chosen(daemon, args)? {
        plane.slow.with(|state, _| state.mac_table(bridge.id).flush());
    }
    Ok("table successfully flushed\n".into())
}

/// The named bridge, or all.
fn chosen<'a>(daemon: &'a Daemon, args: &Args) -> Result<Vec<(&'a LiveBridge, &'a Plane)>, String> {
    match args.arg(0) {
        Some(name) => Ok(vec![find(daemon, name)?]),
        None => Ok(daemon
            .switch
            .bridges()
            .keys()
            .filter_map(|name| daemon.switch.bridge(name))
            .collect()),
    }
}

fn stats_show(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let name = args.arg(0).unwrap_or_default();
    let (bridge, plane) = find(daemon, name)?;
    Ok(plane.slow.with(|state, _| state.mac_table(bridge.id).show_stats(name)))
}

fn stats_clear(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    for (bridge, plane) in chosen(daemon, args)? {
        plane.slow.with(|state, _| state.mac_table(bridge.id).clear_stats());
    }
    Ok("statistics successfully cleared\n".into())
}

fn vlan(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|v| *v < 4096).ok_or_else(|| format!("{text}: invalid VLAN"))
}

fn add_static(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let [name, port, vid, mac] = [0, 1, 2, 3].map(|i| args.arg(i).unwrap_or_default());
    let (bridge, plane) = find(daemon, name)?;
    let by_name = || bridge.interfaces.get(port).and_then(|l| l.as_ref().ok()).map(|l| l.ofport);
    let by_number = || {
        port.parse()
            .ok()
            .map(OfPort)
            .filter(|n| bridge.interfaces.values().flatten().any(|l| l.ofport == *n))
    };
    let ofport = by_name().or_else(by_number).ok_or_else(|| format!("{port}: no such port"))?;
    let vid = vlan(vid)?;
    let mac = parse_mac(mac).ok_or("bad MAC address")?;
    plane.slow.with(|state, _| state.mac_table(bridge.id).set_static(vid, mac, ofport));
    Ok(String::new())
}

fn delete_static(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let [name, vid, mac] = [0, 1, 2].map(|i| args.arg(i).unwrap_or_default());
    let (bridge, plane) = find(daemon, name)?;
    let mac = parse_mac(mac).ok_or("bad MAC address")?;
    let vid = vlan(vid)?;
    let found = plane.slow.with(|state, _| state.mac_table(bridge.id).remove_static(vid, mac));
    if found { Ok(String::new()) } else { Err("no such static entry".into()) }
}
