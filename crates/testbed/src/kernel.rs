//! The third flavour: a host that uses the Linux kernel's own bridge and vxlan device, at their defaults.

use std::net::Ipv4Addr;

use crate::guide::{CABLE, VXLAN_PORT};
use crate::{Netns, Result};

/// What can be set there.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether tunnel packets carry a UDP checksum. Over veth the kernel leaves it to the receiver's side to complete.
    pub udp_checksum: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { udp_checksum: true }
    }
}

/// Connects `port` with the tunnel to `remote`, the way the guide does it with a switch.
pub fn bridge_with_tunnel(
    ns: &Netns,
    port: &str,
    local: Ipv4Addr,
    remote: Ipv4Addr,
    options: Options,
) -> Result<()> {
    let checksum = if options.udp_checksum { "" } else { "noudpcsum" };
    let link = format!(
        "link add vxlan0 type vxlan id 0 remote {remote} dstport {VXLAN_PORT} dev {CABLE} {checksum}"
    );
    ns.ip(&link)?;
    ns.ip("link add br0 type bridge")?;
    for member in [port, "vxlan0"] {
        ns.ip(&format!("link set {member} master br0"))?;
    }
    for device in [port, "vxlan0", "br0"] {
        ns.ip(&format!("link set {device} up"))?;
    }
    // Last: whoever waits for this host to answer sends as soon as it does.
    ns.configure(CABLE, local, 24)
}
