//! Network namespaces: making, entering, looking around.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
pub use sys::bpf::Tagging;
use sys::ifreq;

use crate::{Cmd, Error, Result};

/// Where iproute2 keeps named network namespaces.
pub const NETNS_DIR: &str = "/run/netns";

/// A named network namespace. A handle: its testbed removes the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace, with its loopback up.
    pub(crate) fn create(name: String) -> Result<Self> {
        Cmd::new(["ip", "netns", "add", &name]).ok()?;
        let ns = Self { name };
        ns.ip("link set lo up")?;
        Ok(ns)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.name)
    }

    /// A command in this namespace.
    pub fn cmd<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Cmd {
        Cmd::new(argv).netns(&self.name)
    }

    /// `ip -n NAME ...` with the words of `line`.
    pub fn ip(&self, line: &str) -> Result<String> {
        Cmd::new(["ip", "-n", &self.name]).args(line.split_whitespace()).ok()
    }

    /// Runs `f` on a thread that lives in this namespace: sockets and devices it opens belong here for ever after.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|s| {
            let thread = s.spawn(|| self.join().map(|()| f()));
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into this namespace. For threads made for that: there is no way back.
    pub fn join(&self) -> Result<()> {
        let what = format!("cannot enter network namespace {}", self.name);
        let file = File::open(self.path()).map_err(Error::io(what.clone()))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(Error::io(what))
    }

    /// Writes a file below `/proc/sys/net`, for instance `ipv6/conf/all/disable_ipv6`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let what = format!("cannot set net/{path} to {value}");
        self.enter(|| std::fs::write(Path::new("/proc/sys/net").join(path), value))?
            .map_err(Error::io(what))
    }

    /// The MAC address of a device.
    pub fn mac(&self, device: &str) -> Result<String> {
        let shown = self.ip(&format!("-o link show dev {device}"))?;
        let mac = shown.split_whitespace().skip_while(|w| *w != "link/ether").nth(1);
        mac.map(str::to_owned).ok_or_else(|| Error::Missing(format!("{device} has no MAC address")))
    }

    /// Whether the device exists.
    pub fn has(&self, device: &str) -> bool {
        self.counters(device).is_some()
    }

    /// A device's counters as the kernel keeps them; `None` when there is no such device.
    pub fn counters(&self, device: &str) -> Option<DeviceCounters> {
        let table =
            self.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev")).ok()?.ok()?;
        let row =
            table.lines().find_map(|l| l.trim_start().strip_prefix(device)?.strip_prefix(':'))?;
        let n: Vec<u64> = row.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        let at = |i: usize| n.get(i).copied().unwrap_or(0);
        Some(DeviceCounters {
            rx_bytes: at(0),
            rx_packets: at(1),
            tx_bytes: at(8),
            tx_packets: at(9),
        })
    }

    /// Datagrams that sockets here had no room for, since the namespace was made.
    pub fn udp_refused(&self) -> u64 {
        // proc_net_snmp: a line of names and a line of values, both beginning with "Udp:".
        let text = self.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
        let text = text.ok().and_then(|text| text.ok()).unwrap_or_default();
        let mut rows = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
        let (names, values) = (rows.next().unwrap_or(""), rows.next().unwrap_or(""));
        let columns = names.split_whitespace().zip(values.split_whitespace());
        let wanted = columns.filter(|(name, _)| ["RcvbufErrors", "MemErrors"].contains(name));
        wanted.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    }

    /// Whether somebody listens on this TCP port here.
    pub fn listens(&self, port: u16) -> bool {
        // proc_net_tcp: local address in hex as ADDRESS:PORT in column 2, state 0A is LISTEN.
        let wanted = format!(":{port:04X}");
        let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
        let text =
            self.enter(|| tables.map(|t| std::fs::read_to_string(t).unwrap_or_default()).concat());
        text.is_ok_and(|text| {
            text.lines().any(|line| {
                let mut words = line.split_whitespace().skip(1);
                let local = words.next().unwrap_or("");
                local.ends_with(&wanted) && words.nth(1) == Some("0A")
            })
        })
    }

    /// Gives a device an address with its prefix length and sets it up.
    pub fn configure(&self, device: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
        self.ip(&format!("addr add {address}/{prefix} dev {device}"))?;
        self.ip(&format!("link set {device} up")).map(drop)
    }
}

/// Packets and bytes through a device since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
}

/// The index of a device in this thread's namespace.
fn index(device: &str) -> std::io::Result<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    ifreq::index(socket.as_fd(), device)
}

/// Has a device send and receive all that it does with the tag of a VLAN, until what this returns is dropped.
pub fn tag(ns: &Netns, device: &str, vid: u16) -> Result<Tagging> {
    let what = format!("cannot tag what {device} sends");
    ns.enter(|| Tagging::new(index(device)?, vid))?.map_err(Error::io(what))
}

/// Joins two namespaces by a veth cable.
pub fn cable(a: (&Netns, &str), b: (&Netns, &str)) -> Result<()> {
    let (a_ns, a_dev, b_ns, b_dev) = (a.0.name(), a.1, b.0.name(), b.1);
    let line = format!("ip link add {a_dev} netns {a_ns} type veth peer name {b_dev} netns {b_ns}");
    Cmd::line(&line).ok().map(drop)
}
