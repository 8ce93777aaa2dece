//! Who is compared: switches on the guide's two hosts, with the guests' offloads as they come or switched off, behind veths or
//! taps, with ports by packet socket or AF_XDP; and Open vSwitch with DPDK, from memory to memory and between guests by vhost-user.

use std::path::{Path, PathBuf};

use testbed::guest::Wire;
use testbed::guide::{Flavor, GUEST_PORT, Plan, TwoSites};
use testbed::{Programs, Result};

/// One line under a measure.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its short name, for the command line and the raw figures.
    pub(crate) key: String,
    /// Its name for people.
    pub(crate) name: String,
    /// What it is measured in.
    pub(crate) scope: Scope,
    /// What switches.
    pub(crate) flavor: Flavor,
    /// How to build and set it.
    setup: Setup,
}

/// What differs from the guide at the kernel's defaults.
#[derive(Clone, Debug)]
struct Setup {
    /// Whether the guests' offloads stay at the kernel's defaults.
    offloads: bool,
    /// What connects guests.
    wire: Wire,
    /// The Interface type to give the ports that carry bytes, when not the default.
    port_type: Option<&'static str>,
    /// Columns of the Open_vSwitch table to set, as `ovs-vsctl set` takes them.
    settings: Option<String>,
}

const DEFAULTS: Setup = Setup { offloads: true, wire: Wire::Veth, port_type: None, settings: None };

/// Has our workers carry every packet.
const NO_KERNEL: &str = "other_config:kernel-offload=false";

/// What a contender is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In everything.
    Everything,
    /// In TCP throughput.
    Tcp,
    /// In TCP throughput, when asked for: the speed table does without.
    TcpOnRequest,
    /// From memory to memory and with guests by vhost-user; it does not do the guide.
    Memory,
}

/// Ours.
pub(crate) const OURS: &str = "ferro";
/// Ours by AF_XDP.
pub(crate) const OURS_XDP: &str = "ferro-xdp";
/// Ours with workers that never sleep.
pub(crate) const OURS_AWAKE: &str = "ferro-awake";
/// The peer by packet sockets: without the guests' offloads, with which TCP does not connect through it.
pub(crate) const PEER: &str = "ovs-off";
/// The peer by AF_XDP.
pub(crate) const PEER_XDP: &str = "ovs-xdp";
/// The peer with DPDK.
pub(crate) const PEER_DPDK: &str = "ovs-dpdk";
/// The kernel's own path.
pub(crate) const KERNEL: &str = "kernel";
/// Ours and the kernel's with guests behind taps.
pub(crate) const TAPS: [&str; 2] = ["ferro-tap", "kernel-tap"];

/// A contender of ours with other settings, as the command line names it: `NAME=SETTINGS`.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    name: String,
    settings: String,
}

impl std::str::FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let usable = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        match text.split_once('=') {
            Some((name, settings)) if usable(name) && settings.contains('=') => {
                Ok(Self { name: name.to_owned(), settings: settings.to_owned() })
            }
            _ => Err(format!("{text}: a variant is NAME=COLUMN:KEY=VALUE[ COLUMN:KEY=VALUE]...")),
        }
    }
}

/// Everybody who can be compared here, and who cannot: short name and why.
#[derive(Debug)]
pub(crate) struct Field {
    /// In the order of the report.
    pub(crate) contenders: Vec<Contender>,
    /// Who is missing.
    pub(crate) missing: Vec<(String, String)>,
}

/// Looks for everybody. Ours are those of the folder `bin`, else those beside this program.
pub(crate) fn field(bin: Option<&str>, variants: &[Variant]) -> Field {
    let ours = match bin {
        Some(dir) => Programs::ours(PathBuf::from(dir)),
        None => Programs::beside_this(),
    };
    let reference = Programs::reference();
    let mut field = Field { contenders: Vec::new(), missing: Vec::new() };
    let mut add =
        |programs: &Result<Flavor>, key: &str, name: &str, scope, setup: Setup| match programs {
            Ok(flavor) => field.contenders.push(Contender {
                key: key.to_owned(),
                name: name.to_owned(),
                scope,
                flavor: flavor.clone(),
                setup,
            }),
            Err(why) => field.missing.push((key.to_owned(), why.to_string())),
        };
    use Scope::{Everything, Memory, Tcp, TcpOnRequest};
    let off = || Setup { offloads: false, ..DEFAULTS };
    let tap = || Setup { wire: Wire::Virtio, ..DEFAULTS };
    let xdp = |offloads| Setup { port_type: Some("afxdp-nonpmd"), offloads, ..DEFAULTS };
    let ferro = ours.map(Flavor::Switch);
    add(&ferro, OURS, "ferroswitch", Everything, DEFAULTS);
    let workers = Setup { settings: Some(NO_KERNEL.to_owned()), ..DEFAULTS };
    add(&ferro, "ferro-workers", "ferroswitch, no kernel offload", Everything, workers);
    for variant in variants {
        let setup = Setup { settings: Some(variant.settings.clone()), ..DEFAULTS };
        let name = &variant.name;
        add(&ferro, &format!("{OURS}-{name}"), &format!("ferroswitch, {name}"), Everything, setup);
    }
    let awake = Some("other_config:pmd-sleep-max=0".to_owned());
    let awake = Setup { settings: awake, ..DEFAULTS };
    add(&ferro, OURS_AWAKE, "ferroswitch, always awake", Memory, awake);
    add(&ferro, TAPS[0], "ferroswitch, guests on taps", Tcp, tap());
    add(&ferro, "ferro-off", "ferroswitch, offloads off", TcpOnRequest, off());
    add(&ferro, OURS_XDP, "ferroswitch, AF_XDP", Everything, xdp(true));
    let ovs = reference.map(Flavor::Switch);
    add(&ovs, PEER, "Open vSwitch, offloads off", Everything, off());
    add(&ovs, "ovs", "Open vSwitch", TcpOnRequest, DEFAULTS);
    add(&ovs, PEER_XDP, "Open vSwitch, AF_XDP", Everything, xdp(false));
    add(&ovs, PEER_DPDK, "Open vSwitch, DPDK", Memory, DEFAULTS);
    let kernel = Ok(Flavor::kernel());
    add(&kernel, KERNEL, "kernel", Everything, DEFAULTS);
    add(&kernel, TAPS[1], "kernel, guests on taps", Tcp, tap());
    add(&kernel, "kernel-off", "kernel, offloads off", TcpOnRequest, off());
    field
}

impl Contender {
    /// Whether these are our programs.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(&self.flavor, Flavor::Switch(programs) if programs.are_ours())
    }

    /// Whether it is measured with guests by vhost-user.
    pub(crate) fn has_guests(&self) -> bool {
        [OURS, OURS_AWAKE, PEER_DPDK].contains(&self.key.as_str())
    }

    /// Its programs, where it runs on a host of its own; `links` is a folder for links to them.
    pub(crate) fn programs(&self, links: &Path) -> Result<Programs> {
        match &self.flavor {
            _ if self.key == PEER_DPDK => Programs::reference_with_dpdk(links),
            Flavor::Switch(programs) => Ok(programs.clone()),
            _ => Ok(Programs::none()),
        }
    }

    /// Columns of the Open_vSwitch table to set.
    pub(crate) fn settings(&self) -> &str {
        self.setup.settings.as_deref().unwrap_or_default()
    }

    /// How to build its two hosts.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            offloads: [self.setup.offloads; 2],
            wire: self.setup.wire,
            ipv6: false,
            sharing: testbed::bed::Sharing::Alone,
            ..Plan::alike(self.flavor.clone())
        }
    }

    /// What it needs beyond the guide.
    pub(crate) fn finish(&self, two: &TwoSites) -> Result<()> {
        for site in &two.sites {
            if let Some(settings) = &self.setup.settings {
                site.host.vsctl(&format!("set Open_vSwitch . {settings}"))?;
            }
            if let Some(port_type) = self.setup.port_type {
                for port in [GUEST_PORT, testbed::guide::CABLE] {
                    site.host.vsctl(&format!("set interface {port} type={port_type}"))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_and_settings() {
        let variant: Variant = "plain=other_config:a=b other_config:c=d".parse().unwrap();
        assert_eq!(variant.name, "plain");
        assert_eq!(variant.settings, "other_config:a=b other_config:c=d");
        for wrong in ["", "plain", "=a=b", "a b=c:d=e", "plain=nothing"] {
            assert!(wrong.parse::<Variant>().is_err(), "{wrong}");
        }
    }
}
