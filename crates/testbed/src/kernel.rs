//! The third flavour: a host that uses the Linux kernel's own bridge and vxlan device, at their defaults.

use std::net::Ipv4Addr;

use crate::guide::{CABLE, VXLAN_PORT};
use crate::{Netns, Result};

/// Connects `port` with the tunnel to `remote`, the way the guide does it with a switch.
pub fn bridge_with_tunnel(ns: &Netns, port: &str, local: Ipv4Addr, remote: Ipv4Addr) -> Result<()> {
    ns.configure(CABLE, local, 24)?;
    ns.ip(&format!(
        "link add vxlan0 type vxlan id 0 remote {remote} dstport {VXLAN_PORT} dev {CABLE}"
    ))?;
    ns.ip("link add br0 type bridge")?;
    for member in [port, "vxlan0"] {
        ns.ip(&format!("link set {member} master br0"))?;
    }
    for device in [port, "vxlan0", "br0"] {
        ns.ip(&format!("link set {device} up"))?;
    }
    Ok(())
}
