//! Who is compared: three switches, with the guests' offloads as they come and switched off, and with ports by AF_XDP.

use std::path::PathBuf;

use testbed::guide::{Flavor, GUEST_PORT, Plan, TwoSites};
use testbed::{Programs, Result};

/// One column of the comparison.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its short name, for the JSON report and for ratios.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) name: &'static str,
    /// What switches.
    pub(crate) flavor: Flavor,
    /// Whether the guests' offloads stay at the kernel's defaults.
    pub(crate) offloads: bool,
    /// Whether it is measured in everything, or in TCP throughput alone.
    pub(crate) everything: bool,
    /// Whether established flows may go to the kernel (ours alone knows that).
    kernel_offload: bool,
    /// The Interface type to give the ports that carry bytes, when not the default.
    port_type: Option<&'static str>,
}

/// The peer's best: what ratios are taken against.
pub(crate) const PEER: &str = "ovs-off";
/// The kernel's own path.
pub(crate) const KERNEL: &str = "kernel";
/// Ours.
pub(crate) const OURS: &str = "ferro";

/// Every contender, in the order of the report. Ours are left out (with a word on standard error) when not built.
pub(crate) fn all(bin: Option<&str>) -> Result<Vec<Contender>> {
    let reference = Flavor::Switch(Programs::reference()?);
    let ours = match bin {
        Some(dir) => Programs::ours(PathBuf::from(dir)),
        None => Programs::beside_this(),
    };
    let row = |key, name, flavor: &Flavor, offloads, everything| Contender {
        key,
        name,
        flavor: flavor.clone(),
        offloads,
        everything,
        port_type: None,
        kernel_offload: true,
    };
    let mut all = vec![
        row(PEER, "Open vSwitch, offloads off", &reference, false, true),
        row("ovs", "Open vSwitch", &reference, true, false),
        Contender {
            port_type: Some("afxdp-nonpmd"),
            ..row("ovs-xdp", "Open vSwitch, AF_XDP", &reference, false, true)
        },
        row(KERNEL, "kernel", &Flavor::kernel(), true, true),
        row("kernel-off", "kernel, offloads off", &Flavor::kernel(), false, false),
    ];
    match ours {
        Ok(programs) => {
            let ours = Flavor::Switch(programs);
            let by_xdp = row("ferro-xdp", "ferroswitch, AF_XDP", &ours, true, true);
            all.insert(0, Contender { port_type: Some("afxdp-nonpmd"), ..by_xdp });
            let workers = row("ferro-workers", "ferroswitch, no kernel offload", &ours, true, true);
            all.insert(0, Contender { kernel_offload: false, ..workers });
            all.insert(0, row("ferro-off", "ferroswitch, offloads off", &ours, false, false));
            all.insert(0, row(OURS, "ferroswitch", &ours, true, true));
        }
        Err(e) => eprintln!("bench: without ferroswitch: {e}"),
    }
    Ok(all)
}

impl Contender {
    /// How to build its two hosts.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            offloads: [self.offloads; 2],
            ipv6: false,
            sharing: testbed::bed::Sharing::Alone,
            ..Plan::alike(self.flavor.clone())
        }
    }

    /// What it needs beyond the guide.
    pub(crate) fn finish(&self, two: &TwoSites) -> Result<()> {
        if !self.kernel_offload {
            for site in &two.sites {
                site.host.vsctl("set open . other_config:kernel-offload=false")?;
            }
        }
        let Some(port_type) = self.port_type else { return Ok(()) };
        for site in &two.sites {
            for port in [GUEST_PORT, testbed::guide::CABLE] {
                site.host.vsctl(&format!("set interface {port} type={port_type}"))?;
            }
        }
        Ok(())
    }
}
