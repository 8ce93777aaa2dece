//! A guest: a namespace with a stack of its own that plays a virtual machine.

use std::net::Ipv4Addr;

use crate::monitor::Monitor;
use crate::netns::cable;
#[cfg(feature = "vhost-user")]
use crate::nic::{Card, Layout, Nic, Socket};
use crate::{Cmd, Netns, Result, Testbed};

/// Inner packets must fit the underlay's 1500 bytes with 50 bytes of outer headers around them.
pub const MTU: u32 = 1450;

/// The guest's own device.
pub const DEVICE: &str = "eth0";

/// What connects a guest with its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A veth pair, as containers have it. Its offloads are whatever the kernel's defaults are.
    Veth,
    /// A tap that a process holds open, as a virtual machine's monitor does, with the offloads that virtio has by default.
    Virtio,
    /// The same for a network card that knows no offloads.
    PlainTap,
}

/// A virtual machine in miniature.
#[derive(Debug)]
pub struct Guest {
    /// Its namespace.
    pub ns: Netns,
    /// The device on the host's side, the one to add to a bridge.
    pub port: String,
    /// Its address.
    pub address: Ipv4Addr,
    _monitor: Option<Monitor>,
    #[cfg(feature = "vhost-user")]
    _nic: Option<Nic>,
}

impl Guest {
    /// A guest on `host`, reachable there by a device called `port`.
    pub fn new(
        bed: &Testbed,
        host: &Netns,
        name: &str,
        port: &str,
        address: Ipv4Addr,
        wire: Wire,
    ) -> Result<Self> {
        let ns = bed.netns(name)?;
        let ends = ((host, port), (&ns, DEVICE));
        let monitor = match wire {
            Wire::Veth => cable(ends.0, ends.1).map(|()| None)?,
            Wire::Virtio => Some(Monitor::start(ends.0, ends.1, true)?),
            Wire::PlainTap => Some(Monitor::start(ends.0, ends.1, false)?),
        };
        ns.ip(&format!("link set {DEVICE} mtu {MTU}"))?;
        ns.configure(DEVICE, address, 24)?;
        host.ip(&format!("link set {port} up"))?;
        Ok(Self {
            ns,
            port: port.to_owned(),
            address,
            _monitor: monitor,
            #[cfg(feature = "vhost-user")]
            _nic: None,
        })
    }

    #[cfg(feature = "vhost-user")]
    /// A guest whose network card is plugged into the vhost-user port at `socket`.
    pub fn plugged(
        bed: &Testbed,
        name: &str,
        socket: Socket<'_>,
        address: Ipv4Addr,
    ) -> Result<Self> {
        let ns = bed.netns(name)?;
        let card = Card { layout: Layout::Split, offloads: true };
        let nic = Nic::plug(socket, (&ns, DEVICE), card)?;
        ns.ip(&format!("link set {DEVICE} mtu {MTU}"))?;
        ns.configure(DEVICE, address, 24)?;
        let port = socket.path().file_name().map(|name| name.to_string_lossy().into_owned());
        let port = port.unwrap_or_default();
        Ok(Self { ns, port, address, _monitor: None, _nic: Some(nic) })
    }

    /// Switches the guest's checksum and segmentation offloads off, which costs it speed and is how other userspace
    /// switches have to be used.
    pub fn offloads_off(&self) -> Result<()> {
        // `tx` takes scatter-gather and segmentation with it.
        Cmd::line(&format!("ethtool -K {DEVICE} tx off")).netns(self.ns.name()).ok().map(drop)
    }

    /// Stops IPv6 here, whose solicitations would warm up a path that is to be measured cold.
    pub fn without_ipv6(&self) -> Result<()> {
        self.ns.sysctl("ipv6/conf/all/disable_ipv6", "1")
    }
}
