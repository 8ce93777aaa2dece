//! Guests by vhost-user: `dpdkvhostuser` (the switch listens, hypervisors connect) and `dpdkvhostuserclient` (the other way
//! round; the switch goes on trying).
//!
//! # What
//! The port is there whether or not a guest is. A thread of its own (`control`) follows the protocol; workers move frames through
//! queues that exist from the start, [`PAIRS`] pairs of them if nobody wants fewer, of which the guest uses as many as it likes.
//!
//! # Which queue
//! What a guest receives comes through as many queues as it has set up. A worker spreads what it sends over them by the frame's
//! addresses and ports, so that a connection stays in one queue, and in order.
//!
//! # Full rings
//! A guest that is slower than its senders has no room for the rest of a batch. It is given a few chances to make some
//! (`options:tx-retries-max`), as long as it does make some; then the rest is dropped and counted.
//!
//! # Down
//! A port that is set down (`ovs-ofctl mod-port`) passes nothing: what the guest sends is taken and dropped, as a network card would.

mod control;
mod queues;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use base::{Clock, Counter};
use rustix::event::{EventfdFlags, eventfd};
use vhost::port::{Guest, PAIRS, Port};
use vhost::{Features, bit};

use crate::common::{Losses, SharedAccepts};
use crate::vnet::Unfit;
use crate::{Accepts, Device, RxQueue, RxState, Stats, Status, TxQueue};
use queues::{Rx, Tx};

/// Who listens on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The switch: `dpdkvhostuser`.
    Server,
    /// The hypervisor: `dpdkvhostuserclient`.
    Client,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What a port needs to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who listens.
    pub mode: Mode,
    /// Where.
    pub path: PathBuf,
    /// How often a batch for a guest that makes room is tried again: `options:tx-retries-max`, see [`read_retries`].
    pub retries: u32,
    /// Queue pairs that a guest may use: `options:vhost-max-queue-pairs`, see [`read_pairs`].
    pub pairs: usize,
    /// Whether guest memory that packets pass through is put on huge pages: `options:huge-pages`, see [`read_huge_pages`].
    pub huge_pages: bool,
}

/// Tries again, when nothing is said.
const RETRIES: u32 = 8;
/// And the most that can be said.
const RETRIES_MAX: u32 = 32;

/// Reads `options:tx-retries-max` of an Interface row.
pub fn read_retries(options: &BTreeMap<String, String>) -> Result<u32, String> {
    let Some(text) = options.get("tx-retries-max") else { return Ok(RETRIES) };
    let number = text.parse().ok().filter(|n| *n <= RETRIES_MAX);
    number.ok_or_else(|| format!("tx-retries-max={text}: must be a number from 0 to {RETRIES_MAX}"))
}

/// Reads `options:vhost-max-queue-pairs` of an Interface row. More than there can be are as many as there can be.
pub fn read_pairs(options: &BTreeMap<String, String>) -> Result<usize, String> {
    let Some(text) = options.get("vhost-max-queue-pairs") else { return Ok(PAIRS) };
    let number = text.parse().ok().filter(|n| (1..=1024).contains(n));
    let number = number
        .ok_or_else(|| format!("vhost-max-queue-pairs={text}: must be a number from 1 to 1024"))?;
    Ok(PAIRS.min(number))
}

/// Reads `options:huge-pages` of an Interface row.
pub fn read_huge_pages(options: &BTreeMap<String, String>) -> Result<bool, String> {
    match options.get("huge-pages").map(String::as_str) {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(text) => Err(format!("huge-pages={text}: must be true or false")),
    }
}

const DEFAULT_MTU: u32 = 1500;
/// The longest frame beyond the MTU: Ethernet header and one tag.
const OVERHEAD: u32 = 14 + 4;
/// The longest super-packet.
const GSO_MAX: u32 = 65_535;

/// Told of a device, by name, when its state has changed.
pub type Notify = Arc<dyn Fn(&str) + Send + Sync>;

/// A port for a guest.
pub struct VhostUser {
    shared: Arc<Shared>,
    rx: Mutex<Option<Vec<Box<dyn RxQueue>>>>,
    stop: Arc<OwnedFd>,
    control: Option<JoinHandle<()>>,
    /// Handles given out, so that the next worker begins elsewhere.
    handles: AtomicU64,
}

struct Shared {
    name: String,
    config: Config,
    port: Arc<Port>,
    accepts: SharedAccepts,
    losses: Losses,
    /// Of what was not sent: what was too long.
    too_long: Counter,
    /// How often a batch is tried again. Read with each batch.
    retries_max: AtomicU32,
    /// Whether guest memory is put on huge pages from now on. What is there already stays.
    huge_pages: AtomicBool,
    /// Batches that were tried again because the guest had made room.
    retries: Counter,
    /// Whether anybody wants it to be down. Read with each batch.
    down: AtomicBool,
    /// Bit N: pair N receives, and is to. Read with each batch.
    receiving: AtomicU64,
    resets: AtomicU64,
    settings: Mutex<Settings>,
}

struct Settings {
    mac: [u8; 6],
    mtu: u32,
}

impl VhostUser {
    /// A port of that name. It listens, or begins to try to connect, at once.
    pub fn open(
        name: &str,
        config: Config,
        mac: [u8; 6],
        clock: &Clock,
        notify: Notify,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            port: Arc::new(Port::with_pairs(config.pairs)?),
            accepts: SharedAccepts::default(),
            losses: Losses::default(),
            too_long: Counter::default(),
            retries: Counter::default(),
            retries_max: AtomicU32::new(config.retries),
            huge_pages: AtomicBool::new(config.huge_pages),
            down: AtomicBool::new(false),
            receiving: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            settings: Mutex::new(Settings { mac, mtu: DEFAULT_MTU }),
            config,
        });
        shared.follow(&Guest::default());
        let rx = |n: usize| Box::new(Rx::new(shared.clone(), n)) as Box<dyn RxQueue>;
        let rx = (0..shared.port.pairs().len()).map(rx).collect();
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let control = control::start(shared.clone(), stop.clone(), clock.clone(), notify)?;
        Ok(Self {
            shared,
            rx: Mutex::new(Some(rx)),
            stop,
            control: Some(control),
            handles: AtomicU64::new(0),
        })
    }
}

impl Drop for VhostUser {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes()); // it is at 0: there is room
        if let Some(control) = self.control.take()
            && control.join().is_err()
        {
            log::error!("{}: its vhost-user thread has failed", self.shared.name);
        }
    }
}

impl Shared {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Counts a packet that could not be described to the guest.
    fn unfit(&self, unfit: Unfit) {
        if unfit == Unfit::TooLong {
            self.too_long.inc();
        }
        self.losses.unfit(unfit);
    }

    /// Takes over what is known of the guest. Says whether the link went up or down.
    fn follow(&self, guest: &Guest) -> bool {
        let pairs: &[usize] = if self.is_down() { &[] } else { &guest.receiving };
        let receiving = pairs.iter().fold(0, |set, pair| set | 1 << pair);
        self.accepts.set(self.accepts_of(guest));
        let was = self.receiving.swap(receiving, Ordering::Relaxed);
        let changed = (was == 0) != (receiving == 0);
        self.resets.fetch_add(u64::from(changed), Ordering::Relaxed);
        changed
    }

    /// What can be handed to a guest unfinished: what its driver said it understands.
    fn accepts_of(&self, guest: &Guest) -> Accepts {
        let has = |bits: &[u32]| guest.features.contains(Features::of(bits));
        let mtu = self.settings().mtu;
        let mtu = guest.mtu.map_or(mtu, |limit| mtu.min(limit.into()));
        let csum = has(&[bit::GUEST_CSUM]);
        let tso = csum && has(&[bit::GUEST_TSO4, bit::GUEST_TSO6]);
        let uso = csum && has(&[bit::GUEST_USO4, bit::GUEST_USO6]);
        Accepts {
            csum,
            tso,
            uso,
            tunnel: false,
            gso_max: if tso || uso { GSO_MAX } else { 0 },
            frame_max: mtu.saturating_add(OVERHEAD),
            finishes: false,
        }
    }

    fn details(&self, guest: &Guest) -> BTreeMap<String, String> {
        let mut details = BTreeMap::new();
        let mut put = |key: &str, value: String| details.insert(key.to_owned(), value);
        put("mode", self.config.mode.as_str().to_owned());
        if !guest.connected || guest.rings.is_empty() {
            put("status", "disconnected".to_owned());
            return details;
        }
        put("status", "connected".to_owned());
        put("socket", self.config.path.display().to_string());
        put("features", format!("{:#018x}", guest.features.0));
        put("num_of_vrings", guest.rings.len().to_string());
        put("numa", guest.node.unwrap_or(0).to_string());
        for (n, size) in guest.rings.iter().enumerate() {
            put(&format!("vring_{n}_size"), size.to_string());
        }
        details
    }
}

impl Device for VhostUser {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn kind(&self) -> &'static str {
        match self.shared.config.mode {
            Mode::Server => "dpdkvhostuser",
            Mode::Client => "dpdkvhostuserclient",
        }
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        self.rx.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        let first = self.handles.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Tx::new(self.shared.clone(), first as usize)))
    }

    fn status(&self) -> io::Result<Status> {
        let guest = self.shared.port.guest();
        let settings = self.shared.settings();
        Ok(Status {
            mac: settings.mac,
            mtu: settings.mtu,
            ifindex: 0,
            admin_up: !self.shared.is_down(),
            link_up: guest.is_up() && !self.shared.is_down(),
            link_resets: self.shared.resets.load(Ordering::Relaxed),
            link_speed: None,
            full_duplex: None,
            details: self.shared.details(&guest),
        })
    }

    fn stats(&self) -> io::Result<Stats> {
        let losses = &self.shared.losses;
        let [to, from] = self.shared.port.tallies();
        let (malformed, rx_dropped) = (losses.rx_malformed.get(), losses.rx_dropped.get());
        // The queue has counted as received, too, frames whose header made no sense or that came while the port was down.
        Ok(Stats {
            rx_packets: from.packets.saturating_sub(malformed + rx_dropped),
            rx_bytes: from.bytes,
            tx_packets: to.packets,
            tx_bytes: to.bytes,
            rx_dropped,
            rx_errors: from.malformed + from.too_long + malformed,
            rx_frame_err: from.malformed + malformed,
            rx_over_err: from.too_long,
            tx_dropped: losses.tx_dropped.get() + to.too_long,
            tx_errors: losses.tx_errors.get() + to.malformed,
            ..Stats::default()
        })
    }

    /// That of the guest's memory, while there is a guest.
    fn numa_node(&self) -> Option<usize> {
        self.shared.port.guest().node
    }

    /// A guest sets up as many pairs of rings as it likes, and enables some of them.
    fn rx_state(&self, queue: usize) -> RxState {
        let Shared { port, .. } = &*self.shared;
        let pairs = port.guest().rings.len().div_ceil(2).max(1);
        match port.pairs().get(queue).filter(|_| queue < pairs) {
            None => RxState::Spare,
            Some(pair) if pair.from_guest.is_live() && !self.shared.is_down() => RxState::Enabled,
            Some(_) => RxState::Disabled,
        }
    }

    fn retune(&self, options: &BTreeMap<String, String>) {
        if let Ok(retries) = read_retries(options) {
            self.shared.retries_max.store(retries, Ordering::Relaxed);
        }
        if let Ok(huge_pages) = read_huge_pages(options) {
            self.shared.huge_pages.store(huge_pages, Ordering::Relaxed);
        }
    }

    /// By the reference's names. What it counts of policing is not there yet.
    fn custom_stats(&self) -> Vec<(String, u64)> {
        let Shared { losses, too_long, retries, port, .. } = &*self.shared;
        let [to, _] = port.tallies();
        let dropped = losses.tx_dropped.get() + to.too_long;
        let all = [
            ("ovs_rx_qos_drops", 0),
            ("ovs_tx_failure_drops", dropped.saturating_sub(too_long.get())),
            ("ovs_tx_invalid_hwol_drops", losses.tx_errors.get()),
            ("ovs_tx_mtu_exceeded_drops", too_long.get()),
            ("ovs_tx_qos_drops", 0),
            ("ovs_tx_retries", retries.get()),
        ];
        all.map(|(name, n)| (name.to_owned(), n)).into()
    }

    /// Changes what is shown; the guest has an address of its own.
    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        self.shared.settings().mac = mac;
        Ok(())
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        self.shared.settings().mtu = mtu;
        self.shared.accepts.set(self.shared.accepts_of(&self.shared.port.guest()));
        Ok(())
    }

    fn set_up(&self, up: bool) -> io::Result<()> {
        self.shared.down.store(!up, Ordering::Relaxed);
        self.shared.follow(&self.shared.port.guest());
        Ok(())
    }
}
