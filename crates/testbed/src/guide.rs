//! The guide "Connecting VMs Using Tunnels (Userspace)", as data: its topology and the lines that a person types.

use std::net::Ipv4Addr;

use crate::bed::Sharing;
use crate::guest::Wire;
use crate::netns::cable;
use crate::{Guest, Host, Programs, Result, Testbed, kernel};

/// The hosts' end of the cable between them.
pub const CABLE: &str = "eth1";
/// The guest's port on its host.
pub const GUEST_PORT: &str = "tap0";
/// VXLAN's UDP port (RFC 7348).
pub const VXLAN_PORT: u16 = 4789;

/// The underlay addresses of the two hosts.
pub const HOSTS: [Ipv4Addr; 2] = [Ipv4Addr::new(172, 168, 1, 1), Ipv4Addr::new(172, 168, 1, 2)];
/// The addresses of the two guests.
pub const GUESTS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(192, 168, 1, 2)];

/// One thing to type, and what it is for.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it does, in a few words.
    pub why: &'static str,
    /// The line for the shell.
    pub text: String,
}

/// The guide's lines for the host at `local`, whose `eth1` has this MAC address.
pub fn lines(local: Ipv4Addr, remote: Ipv4Addr, mac: &str) -> Vec<Line> {
    let line = |why, text| Line { why, text };
    vec![
        line(
            "the bridge that guests plug into",
            "ovs-vsctl --may-exist add-br br-int -- set Bridge br-int datapath_type=netdev -- br-set-external-id br-int \
             bridge-id br-int -- set bridge br-int fail-mode=standalone"
                .to_owned(),
        ),
        line("the guest's port", format!("ovs-vsctl add-port br-int {GUEST_PORT}")),
        line(
            "the tunnel to the other host",
            format!("ovs-vsctl add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={remote}"),
        ),
        line(
            "the bridge towards the network",
            format!(
                "ovs-vsctl --may-exist add-br br-phy -- set Bridge br-phy datapath_type=netdev -- br-set-external-id \
                 br-phy bridge-id br-phy -- set bridge br-phy fail-mode=standalone other_config:hwaddr={mac}"
            ),
        ),
        line("the network card", format!("ovs-vsctl --timeout 10 add-port br-phy {CABLE}")),
        line("the host's address moves to the bridge", format!("ip addr add {local}/24 dev br-phy")),
        line("", "ip link set br-phy up".to_owned()),
        line("", format!("ip addr flush dev {CABLE}")),
        line("", format!("ip link set {CABLE} up")),
        // A host without iptables has nothing to flush.
        line("", "if command -v iptables >/dev/null; then iptables -F; fi".to_owned()),
    ]
}

/// What switches packets on a host.
#[derive(Clone, Debug)]
pub enum Flavor {
    /// A userspace switch: ours or the reference's.
    Switch(Programs),
    /// The kernel's bridge and vxlan device.
    Kernel(kernel::Options),
}

impl Flavor {
    /// The kernel's bridge and vxlan device at their defaults.
    pub fn kernel() -> Self {
        Self::Kernel(kernel::Options::default())
    }
}

/// How to build [`TwoSites`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// What switches on each host.
    pub flavors: [Flavor; 2],
    /// What connects guests.
    pub wire: Wire,
    /// Whether each host's guest keeps its offloads at the kernel's defaults.
    pub offloads: [bool; 2],
    /// Whether the guests speak IPv6 (as they do by default), and so warm up the path before anybody pings.
    pub ipv6: bool,
    /// Whether others may use the machine meanwhile.
    pub sharing: Sharing,
}

impl Plan {
    /// Both hosts alike, everything else at its defaults.
    pub fn alike(flavor: Flavor) -> Self {
        Self::between(flavor.clone(), flavor)
    }

    /// Two hosts of these flavours, everything else at its defaults.
    pub fn between(a: Flavor, b: Flavor) -> Self {
        Self {
            flavors: [a, b],
            wire: Wire::Veth,
            offloads: [true; 2],
            ipv6: true,
            sharing: Sharing::Shared,
        }
    }
}

/// One host of the guide with its guest.
#[derive(Debug)]
pub struct Site {
    /// The virtual machine.
    pub guest: Guest,
    /// The host. One that the kernel switches on has no daemons running.
    pub host: Host,
    /// The kernel's settings, if it switches here.
    pub by_kernel: Option<kernel::Options>,
    local: Ipv4Addr,
    remote: Ipv4Addr,
}

/// The guide's picture. Fields drop in order: the testbed last.
#[derive(Debug)]
pub struct TwoSites {
    /// The two hosts.
    pub sites: [Site; 2],
    /// What everything belongs to.
    pub bed: Testbed,
}

impl TwoSites {
    /// Builds the picture and types the guide on both hosts. Returns as soon as the last line has been typed.
    pub fn build(plan: &Plan) -> Result<Self> {
        let mut two = Self::before_guide(plan)?;
        for site in &mut two.sites {
            site.start()?;
            site.type_guide(|_| ())?;
        }
        Ok(two)
    }

    /// Hosts, cable and guests; no daemon runs yet, nothing is configured.
    pub fn before_guide(plan: &Plan) -> Result<Self> {
        let bed = Testbed::new(plan.sharing)?;
        let hosts = [0, 1].map(|i| {
            let programs = match &plan.flavors[i] {
                Flavor::Switch(programs) => programs.clone(),
                Flavor::Kernel(_) => Programs::none(),
            };
            bed.host(["host1", "host2"][i], &programs)
        });
        let [first, second] = hosts;
        let hosts = [first?, second?];
        cable((&hosts[0].ns, CABLE), (&hosts[1].ns, CABLE))?;
        for host in &hosts {
            host.ns.ip(&format!("link set {CABLE} up"))?;
        }
        let mut sites = Vec::new();
        for (i, host) in hosts.into_iter().enumerate() {
            let guest =
                Guest::new(&bed, &host.ns, ["vm1", "vm2"][i], GUEST_PORT, GUESTS[i], plan.wire)?;
            if !plan.offloads[i] {
                guest.offloads_off()?;
            }
            if !plan.ipv6 {
                guest.without_ipv6()?;
            }
            let by_kernel = match plan.flavors[i] {
                Flavor::Kernel(options) => Some(options),
                Flavor::Switch(_) => None,
            };
            sites.push(Site { guest, host, by_kernel, local: HOSTS[i], remote: HOSTS[1 - i] });
        }
        let sites = sites.try_into().map_err(|_| crate::Error::Missing("two sites".to_owned()))?;
        Ok(Self { sites, bed })
    }

    /// Both sites, each the first once.
    pub fn directions(&self) -> [(&Site, &Site); 2] {
        let [a, b] = &self.sites;
        [(a, b), (b, a)]
    }
}

impl Site {
    /// Starts the daemons, if this host has any.
    pub fn start(&mut self) -> Result<()> {
        if self.by_kernel.is_some() { Ok(()) } else { self.host.start() }
    }

    /// Types the guide, after telling `before` about each line. On a host where the kernel switches, its equivalent.
    pub fn type_guide(&self, mut before: impl FnMut(&Line)) -> Result<()> {
        if let Some(options) = self.by_kernel {
            return kernel::bridge_with_tunnel(
                &self.host.ns,
                &self.guest.port,
                self.local,
                self.remote,
                options,
            );
        }
        for line in lines(self.local, self.remote, &self.host.ns.mac(CABLE)?) {
            before(&line);
            self.host.shell(&line.text).ok()?;
        }
        Ok(())
    }

    /// The host's address on the cable.
    pub fn local(&self) -> Ipv4Addr {
        self.local
    }

    /// The other host's address on the cable.
    pub fn remote(&self) -> Ipv4Addr {
        self.remote
    }
}
