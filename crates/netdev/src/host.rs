//! The control side that system devices and taps share: an interface of the kernel, asked and told by name or index.

mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sys::{ethtool, ifreq};

use crate::rtnl::{self, Link, LinkStats, Query};
use crate::{Accepts, Status};

pub use options::{Options, Queues, TxOffload};

/// One interface of the kernel. Holds a socket in the interface's network namespace, so that any thread may ask.
pub(crate) struct Host {
    pub name: String,
    pub ifindex: u32,
    query: Mutex<Query>,
    driver: ethtool::Driver,
    /// The kernel's count when the device was opened; ours begins at 0.
    carrier_changes: u32,
}

impl Host {
    /// Finds the interface of that name. `ENODEV` when there is none.
    pub(crate) fn find(name: &str) -> io::Result<(Self, Link)> {
        let mut query = Query::open()?;
        let ifindex = ifreq::index(query.as_fd(), name)?;
        let (link, _) = query.link(ifindex)?;
        let driver = ethtool::driver(query.as_fd(), name).unwrap_or_default();
        let host = Self {
            name: name.to_owned(),
            ifindex,
            query: Mutex::new(query),
            driver,
            carrier_changes: link.carrier_changes,
        };
        Ok((host, link))
    }

    fn query(&self) -> MutexGuard<'_, Query> {
        self.query.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks something of the interface by name, with a socket in its network namespace.
    pub(crate) fn ask<T>(
        &self,
        ask: impl FnOnce(BorrowedFd<'_>, &str) -> io::Result<T>,
    ) -> io::Result<T> {
        ask(self.query().as_fd(), &self.name)
    }

    pub(crate) fn link(&self) -> io::Result<(Link, LinkStats)> {
        self.query().link(self.ifindex)
    }

    /// The link of that index in another namespace.
    pub(crate) fn link_in(&self, netns: i32, ifindex: u32) -> io::Result<Link> {
        self.query().link_in(netns, ifindex)
    }

    /// Whether there may be filters before what is sent here.
    pub(crate) fn filters_egress(&self) -> io::Result<bool> {
        self.query().filters_egress(self.ifindex)
    }

    pub(crate) fn status(&self) -> io::Result<Status> {
        let mut query = self.query();
        let (link, _) = query.link(self.ifindex)?;
        let speed = ethtool::link_settings(query.as_fd(), &link.name).unwrap_or_default();
        Ok(Status {
            mac: link.mac,
            mtu: link.mtu,
            ifindex: self.ifindex,
            admin_up: link.admin_up,
            link_up: link.running,
            link_resets: u64::from(link.carrier_changes.wrapping_sub(self.carrier_changes)),
            link_speed: speed.speed.map(|megabits| u64::from(megabits) * 1_000_000),
            full_duplex: speed.full_duplex,
            details: self.details(&link),
        })
    }

    /// The memory node of the card behind it, if there is a card.
    pub(crate) fn numa_node(&self) -> Option<usize> {
        sys::affinity::numa_node_of_interface(&self.name)
    }

    /// The driver's features that are on, as `ethtool -k` names them.
    pub(crate) fn features(&self) -> io::Result<BTreeSet<String>> {
        ethtool::features(self.query().as_fd(), &self.name)
    }

    /// Whether it is an end of a veth pair.
    pub(crate) fn is_veth(&self) -> bool {
        self.driver.name == "veth"
    }

    fn details(&self, link: &Link) -> BTreeMap<String, String> {
        let mut details = BTreeMap::new();
        if !self.driver.name.is_empty() {
            details.insert("driver_name".to_owned(), self.driver.name.clone());
            details.insert("driver_version".to_owned(), self.driver.version.clone());
            details.insert("firmware_version".to_owned(), self.driver.firmware.clone());
        }
        if let (Some("veth"), Some(peer)) = (link.kind.as_deref(), link.peer) {
            details.insert("peer_ifindex".to_owned(), peer.to_string());
        }
        details
    }

    pub(crate) fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        ifreq::set_mac(self.query().as_fd(), &self.name, mac)
    }

    pub(crate) fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        ifreq::set_mtu(self.query().as_fd(), &self.name, mtu)
    }

    pub(crate) fn set_up(&self, up: bool) -> io::Result<()> {
        ifreq::set_up(self.query().as_fd(), &self.name, up)
    }

    /// See [`crate::Device::answer_for_itself`]. What somebody has set stays.
    pub(crate) fn answer_for_itself(&self) -> io::Result<()> {
        let file = format!("/proc/sys/net/ipv4/conf/{}/arp_ignore", self.name);
        match std::fs::read_to_string(&file)?.trim() {
            "0" => std::fs::write(&file, "1"),
            _ => Ok(()),
        }
    }
}

/// What a kernel interface accepts. Checksums and segmentation that its driver lacks are done by the kernel on the way, which
/// costs less than doing it here and entering the kernel once for each segment. Tunnel super-packets cannot be described to
/// a packet socket or a tap with a short header; who has a way around says so. `uso`: UDP super-packets are not refused (kernels before 6.2 do).
pub(crate) fn accepts(link: &rtnl::Link, uso: bool) -> Accepts {
    // The kernel segments in software what is as long as its limit; and no IP packet is longer than its length field can say.
    let gso_max =
        link.gso_max.unwrap_or(u32::from(u16::MAX) + 1).saturating_sub(1).min(u32::from(u16::MAX));
    Accepts {
        csum: true,
        tso: true,
        uso,
        tunnel: false,
        gso_max,
        frame_max: link.mtu.saturating_add(14 + 4),
        finishes: link.kind.as_deref().is_none_or(|kind| !AS_THEY_ARE.contains(&kind)),
    }
}

/// Kinds of links whose other end is on this machine and finds packets as they were sent. (A card has no kind.)
const AS_THEY_ARE: [&str; 8] =
    ["veth", "netkit", "tun", "bridge", "macvlan", "macvtap", "ipvlan", "ifb"];
