//! For tests: dummy devices and the virtual clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netdev::Device;
use packet::Packet;
use tunnel::Prefix;
use unixctl::{Args, Registry, Reply};

use super::datapaths::PATIENCE;
use crate::daemon::Daemon;

pub(super) fn add(registry: &mut Registry<Daemon>) {
    registry.add(
        "netdev-dummy/receive",
        "name [--qid queue_id] packet|flow [--len packet_len]",
        2,
        usize::MAX,
        receive,
    );
    registry.add("netdev-dummy/conn-state", "[netdev]", 0, 1, conn_state);
    registry.add(
        "netdev-dummy/ip4addr",
        "[netdev] ipaddr/mask-prefix-len",
        2,
        2,
        |d: &mut Daemon, args: &Args| add_address(d, args, "IP address"),
    );
    registry.add(
        "netdev-dummy/ip6addr",
        "[netdev] ip6addr",
        2,
        2,
        |d: &mut Daemon, args: &Args| add_address(d, args, "IPv6 address"),
    );
    registry.add("time/stop", "", 0, 0, |d: &mut Daemon, _: &Args| d.clock.stop());
    registry.add("time/warp", "[large_msecs] msecs", 1, 2, warp);
}

/// The dummy of that name.
fn find(daemon: &Daemon, name: &str) -> Result<Arc<dyn Device>, String> {
    let live = daemon.switch.interface(name).and_then(|(_, live)| live.as_ref().ok());
    let device = live.and_then(|l| l.device.clone()).filter(|d| d.as_dummy().is_some());
    device.ok_or_else(|| "no such dummy netdev".to_owned())
}

fn all(daemon: &Daemon) -> Vec<Arc<dyn Device>> {
    let live = daemon.switch.bridges().values().flat_map(|b| b.interfaces.values()).flatten();
    live.filter_map(|l| l.device.clone()).filter(|d| d.as_dummy().is_some()).collect()
}

fn receive(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let name = args.arg(0).unwrap_or_default();
    let device = find(daemon, name)?;
    let dummy = device.as_dummy().ok_or("no such dummy netdev")?;
    let mut rest = args.iter().skip(1).map(|a| &**a);
    let (mut length, mut queue) = (None, 0);
    let mut packets = Vec::new();
    while let Some(arg) = rest.next() {
        match arg {
            "--qid" => {
                let qid = rest
                    .next()
                    .and_then(|n| n.parse::<usize>().ok())
                    .ok_or("qid must be a number")?;
                if qid >= dummy.rx_queues() {
                    return Err(match dummy.rx_queues() {
                        1 => format!("Queue id must be 0 as {name} has 1 receive queue"),
                        n => format!("Queue id must be below {n}, the receive queues of {name}"),
                    });
                }
                queue = qid;
            }
            "--len" => {
                let text = rest.next().unwrap_or_default();
                length =
                    Some(text.parse::<usize>().map_err(|_| format!("bad packet length '{text}'"))?);
            }
            text => packets.push(text),
        }
    }
    for text in packets {
        let frame = flow::compose::frame_from_text(text, length).map_err(|e| e.to_string())?;
        dummy.inject_into(queue, Packet::from_frame(&frame));
    }
    // What a test does next may rely on the packet having gone its way.
    for (_, plane) in daemon.switch.planes() {
        plane.slow.quiesce(PATIENCE);
    }
    Ok(String::new())
}

fn conn_state(daemon: &mut Daemon, args: &Args) -> Reply {
    let word = |connected: bool| if connected { "connected" } else { "disconnected" };
    match args.arg(0) {
        Some(name) => {
            let connected = find(daemon, name).ok().and_then(|d| d.as_dummy()?.connected());
            format!("{name}: {}\n", connected.map_or("unknown", word)).into()
        }
        // Of all, only those that connect to somebody have a state.
        None => {
            let line = |d: &Arc<dyn Device>| {
                Some(format!("{}: {}\n", d.name(), word(d.as_dummy()?.connected()?)))
            };
            all(daemon).iter().filter_map(line).collect::<String>().into()
        }
    }
}

fn add_address(daemon: &mut Daemon, args: &Args, kind: &str) -> Result<String, String> {
    let [name, text] = [0, 1].map(|i| args.arg(i).unwrap_or_default());
    let device = find(daemon, name).map_err(|_| "Unknown Dummy Interface")?;
    let prefix: Prefix = text.parse().map_err(|_| format!("{text}: invalid {kind}"))?;
    let dummy = device.as_dummy().ok_or("Unknown Dummy Interface")?;
    match prefix.addr() {
        IpAddr::V4(ip) => dummy.add_ip4(ip, prefix.len()),
        IpAddr::V6(ip) => dummy.add_ip6(ip, prefix.len()),
    }
    daemon.switch.routes(|table| table.add_address(name, prefix));
    Ok("OK".into())
}

/// Moves time on in steps, letting everybody do what is due at each.
fn warp(daemon: &mut Daemon, args: &Args) -> Result<String, String> {
    let number = |i: usize| args.arg(i).and_then(|s| s.parse::<u64>().ok()).filter(|n| *n > 0);
    let total = number(0).ok_or("invalid MSECS")?;
    let step = if args.len() > 1 { number(1).ok_or("invalid MSECS")? } else { total };
    let mut left = total;
    while left > 0 {
        let now = step.min(left);
        daemon.clock.warp(Duration::from_millis(now));
        left -= now;
        for (_, plane) in daemon.switch.planes() {
            plane.slow.quiesce(PATIENCE);
            plane.slow.revalidate(PATIENCE);
        }
    }
    Ok("warped\n".into())
}
