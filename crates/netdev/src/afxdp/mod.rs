//! AF_XDP devices: an interface of the host whose driver hands frames to us by rings in shared memory.
//!
//! # What
//! Types `afxdp` and `afxdp-nonpmd`, which are one here: workers serve both, and sleep when there is nothing to do. While the
//! device is open all frames that the interface receives come here and the host sees none; a program attached to it by a
//! link of ours does that, and is gone with the process, however that ends.
//!
//! # When to choose it
//! For a network card whose driver works in our memory (zero-copy) or at least natively, and many small packets. Where large
//! packets pass (a veth, a tap at default offloads) [`crate::system`] is several times faster, because AF_XDP knows no
//! super-packets: the kernel cuts them before they come here.
//!
//! # Design
//! One socket for each receive queue ([`open`]); its receiving half belongs to the worker that the queue is given to, its
//! sending half is shared, under a lock for the time of one batch, by the workers that were dealt it. The sockets of a switch that
//! are bound alike share memory ([`Umems`]), so that a packet goes from one to another in the chunk that it came in; between
//! those that are not, and from and to other devices, it is copied. XDP says nothing of what is unfinished in a frame, so `repair`
//! finds it out where the sender may be on this machine; and `tags` has drivers leave VLAN tags in the frames. Unfinished checksums
//! may be sent, where the kernel takes metadata with a frame (Linux 6.11).

mod open;
mod options;
mod queue;
mod segments;
mod tags;

use std::io;
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::sockopt;
use sys::xdp::program::Link;
use sys::xdp::{self, Config, Sharing, Umems};
use sys::{ethtool, packet_socket};

pub use options::{Mode, Options};

use segments::Segments;
use tags::Tags;

use crate::common::{Losses, SharedAccepts, Unopened, strerror};
use crate::host::{self, Host};
use crate::rtnl;
use crate::{Accepts, Device, RxQueue, Stats, Status, TxQueue};

/// Bytes that packets on their way out may take in the kernel.
const SEND_BUFFER: usize = 16 << 20;

/// An interface of the host, by AF_XDP.
pub struct Afxdp {
    kind: &'static str,
    shared: Arc<Shared>,
    rx: Mutex<Vec<Box<dyn RxQueue>>>,
    tx: Vec<Arc<Mutex<xdp::Tx>>>,
    /// The next sending half to be dealt.
    dealt: AtomicUsize,
}

/// What the device and its queues share.
struct Shared {
    host: Host,
    accepts: SharedAccepts,
    losses: Losses,
    meters: Vec<xdp::Meter>,
    mode: Mode,
    features: Config,
    /// How many packets a worker has the driver take in at a time, if it does.
    busy_poll: Option<NonZeroU16>,
    /// Whether packets go from its queues to other ports without being copied.
    sharing: Sharing,
    /// Why no better mode is in use.
    fallen: String,
    tags: Tags,
    /// How large super-packets' segments are to be.
    segments: Segments,
    /// Longest frame that a socket can send.
    longest: u32,
    /// Frames may have unfinished checksums.
    repairs: bool,
    /// The kernel's count when the device was opened.
    dropped_before: u64,
    /// Held for what they do: the program stays attached, and a network card listens to all addresses.
    _link: Link,
    _promiscuous: Option<OwnedFd>,
}

impl Afxdp {
    /// Opens the interface of that name as a device of type `kind`.
    pub(crate) fn open(
        kind: &'static str,
        name: &str,
        options: &Options,
        umems: &Umems,
    ) -> Result<Self, Unopened> {
        let (host, link) = Host::find(name)?;
        if !link.ethernet {
            return Err(Unopened::Host(Errno::INVAL.into()));
        }
        let queues = queues(&host, options)?;
        let tags = Tags::keep(&host, &link);
        let wanted = open::Wanted { ifindex: host.ifindex, queues, node: host.numa_node() };
        let opened = open::open(wanted, options, umems).map_err(|failures| {
            tags.restore(&host);
            match failures.first() {
                Some(failure) if failure.is_missing() => Unopened::Host(Errno::NODEV.into()),
                _ => Unopened::Refused(joined(&failures)),
            }
        })?;
        for (_, tx) in &opened.sockets {
            let size = SEND_BUFFER;
            // More than the limit of unprivileged programs; without the right to, the limit will do.
            if sockopt::set_socket_send_buffer_size_force(tx.fd(), size).is_err() {
                let _ = sockopt::set_socket_send_buffer_size(tx.fd(), size);
            }
        }
        let shared = Arc::new(Shared {
            accepts: SharedAccepts::default(),
            losses: Losses::default(),
            meters: opened.sockets.iter().map(|(rx, _)| rx.meter()).collect(),
            mode: opened.mode,
            features: opened.features,
            busy_poll: options.busy_poll,
            // One that could not is worth telling.
            sharing: opened
                .sockets
                .iter()
                .map(|(rx, _)| rx.sharing())
                .find(|sharing| *sharing != Sharing::Shared)
                .unwrap_or(Sharing::Shared),
            fallen: joined(&opened.fallen),
            tags,
            segments: Segments::default(),
            longest: opened.sockets.iter().map(|(_, tx)| tx.longest()).min().unwrap_or(0) as u32,
            // What the network stack has joined in generic mode has no finished checksums either.
            repairs: !host::accepts(&link, false).finishes || opened.mode == Mode::Generic,
            dropped_before: host.link().map_or(0, |(_, stats)| stats.rx_dropped),
            _link: opened.link,
            _promiscuous: promiscuous(host.ifindex),
            host,
        });
        shared.look(&link);
        let mut rx: Vec<Box<dyn RxQueue>> = Vec::new();
        let mut tx = Vec::new();
        for (receiving, sending) in opened.sockets {
            rx.push(Box::new(queue::Rx::new(shared.clone(), receiving)));
            tx.push(Arc::new(Mutex::new(sending)));
        }
        Ok(Self { kind, shared, rx: Mutex::new(rx), tx, dealt: AtomicUsize::new(0) })
    }
}

/// How many queues to serve: as many as asked for, else all that there are.
fn queues(host: &Host, options: &Options) -> Result<u32, Unopened> {
    // A driver that has nothing to say about queues has one.
    let there = host.ask(ethtool::receive_queues).unwrap_or(1).max(1);
    match options.queues {
        Some(wanted) if wanted > there => {
            let (name, s) = (&host.name, if there == 1 { "" } else { "s" });
            Err(Unopened::Refused(format!(
                "options:n_rxq={wanted}, but it has {there} receive queue{s}; \
                 `ethtool -L {name} rx {wanted}` (or combined) may give it more"
            )))
        }
        Some(wanted) => Ok(wanted),
        None => Ok(there),
    }
}

fn joined(failures: &[open::Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A socket that receives nothing and makes the interface promiscuous while it is open. Without it, frames to other addresses
/// are lost on a network card; on a veth it makes no difference.
fn promiscuous(ifindex: u32) -> Option<OwnedFd> {
    let socket = packet_socket::open().ok()?;
    packet_socket::set_promiscuous(socket.as_fd(), ifindex).ok()?;
    Some(socket)
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tags.restore(&self.host);
    }
}

impl Shared {
    /// Notes what the link is like now.
    fn look(&self, link: &rtnl::Link) {
        let Accepts { frame_max, finishes, .. } = host::accepts(link, false);
        self.accepts.set(Accepts {
            csum: self.features.checksums && !self.features.zero_copy,
            frame_max: frame_max.min(self.longest),
            finishes,
            ..Accepts::default()
        });
    }

    fn umem(&self) -> String {
        match self.sharing {
            Sharing::Shared => "shared".to_owned(),
            Sharing::Limited => "own: the limit of locked memory is too low to share".to_owned(),
            Sharing::Refused(error) => {
                format!("own: the driver does not share ({})", strerror(&error.into()))
            }
        }
    }

    fn features(&self) -> String {
        let all = [
            (self.features.multi_buffer, "multi-buffer"),
            (self.features.need_wakeup, "need-wakeup"),
            (self.accepts.get().csum, "tx-checksum"),
        ];
        let there: Vec<&str> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        there.join(", ")
    }
}

impl Device for Afxdp {
    fn name(&self) -> &str {
        &self.shared.host.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        std::mem::take(&mut *self.rx.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        let next = self.dealt.fetch_add(1, Ordering::Relaxed);
        let half = self.tx.get(next % self.tx.len().max(1)).ok_or(Errno::NODEV)?;
        Ok(Box::new(queue::Tx::new(self.shared.clone(), half.clone())))
    }

    fn status(&self) -> io::Result<Status> {
        let mut status = self.shared.host.status()?;
        let mut tell = |key: &str, value: String| status.details.insert(key.to_owned(), value);
        tell("xdp-mode-in-use", self.shared.mode.to_string());
        tell("xdp-features", self.shared.features());
        let busy = self.shared.busy_poll;
        tell("xdp-busy-poll", busy.map_or("off".to_owned(), |budget| budget.to_string()));
        tell("umem", self.shared.umem());
        tell("vlan-tags", self.shared.tags.to_string());
        tell("n_rxq", self.shared.meters.len().to_string());
        if !self.shared.fallen.is_empty() {
            tell("xdp-fallback", self.shared.fallen.clone());
        }
        Ok(status)
    }

    fn stats(&self) -> io::Result<Stats> {
        let (_, kernel) = self.shared.host.link()?;
        let mut stats = self.shared.losses.add_to(&kernel);
        // What the sockets had no room for, some drivers count as well; the larger count is the truth.
        let by_driver = kernel.rx_dropped.saturating_sub(self.shared.dropped_before);
        let mut by_sockets = 0;
        for meter in &self.shared.meters {
            let socket = meter.statistics()?;
            by_sockets += socket.rx_dropped + socket.rx_ring_full;
            stats.tx_errors += socket.tx_invalid;
        }
        stats.rx_dropped += by_sockets.saturating_sub(by_driver);
        Ok(stats)
    }

    fn numa_node(&self) -> Option<usize> {
        self.shared.host.numa_node()
    }

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        self.shared.host.set_mac(mac)
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        self.shared.host.set_mtu(mtu)?;
        self.refresh()
    }

    fn set_up(&self, up: bool) -> io::Result<()> {
        self.shared.host.set_up(up)
    }

    fn refresh(&self) -> io::Result<()> {
        let (link, _) = self.shared.host.link()?;
        self.shared.look(&link);
        Ok(())
    }
}
