//! Setting devices up and down by hand: dummies, and those that the reference has by DPDK. Other devices are the host's, and `ip link`
//! does it.

use std::sync::Arc;

use netdev::Device;
use unixctl::{Args, Registry};

use crate::daemon::Daemon;

/// The devices that such a command is for.
struct Family {
    holds: fn(&dyn Device) -> bool,
    /// The answer when another device is named.
    other: &'static str,
}

const DUMMIES: Family =
    Family { holds: |device| device.as_dummy().is_some(), other: "Unknown Dummy Interface" };

const DPDK: Family =
    Family { holds: |device| device.kind().starts_with("dpdk"), other: "Not a DPDK Interface" };

pub(super) fn add(registry: &mut Registry<Daemon>) {
    let usage = "[netdev] up|down";
    registry.add("netdev-dummy/set-admin-state", usage, 1, 2, |d: &mut Daemon, args: &Args| {
        set_state(d, args, &DUMMIES)
    });
    registry.add("netdev-dpdk/set-admin-state", usage, 1, 2, |d: &mut Daemon, args: &Args| {
        set_state(d, args, &DPDK)
    });
}

fn set_state(daemon: &mut Daemon, args: &Args, family: &Family) -> Result<String, String> {
    let up = match args.last().map(|state| &**state) {
        Some("up") => true,
        Some("down") => false,
        _ => return Err("Invalid Admin State".into()),
    };
    let is_one = |device: &Arc<dyn Device>| (family.holds)(device.as_ref());
    let devices = match args.arg(0).filter(|_| args.len() == 2) {
        Some(name) => {
            let live = daemon.switch.interface(name).and_then(|(_, live)| live.as_ref().ok());
            let device = live.and_then(|live| live.device.clone()).filter(is_one);
            vec![device.ok_or(family.other)?]
        }
        None => {
            let bridges = daemon.switch.bridges().values();
            let live = bridges.flat_map(|bridge| bridge.interfaces.values()).flatten();
            let devices = live.filter_map(|live| live.device.clone()).filter(is_one);
            devices.collect()
        }
    };
    for device in devices {
        device.set_up(up).map_err(|e| e.to_string())?;
        daemon.touch(device.name());
    }
    Ok("OK".into())
}
