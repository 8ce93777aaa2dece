//! System devices: any Ethernet interface of the host (a NIC, a veth end, a tap that a virtual machine holds), by a packet
//! socket.
//!
//! # Why a packet socket
//! It works on every interface, needs no driver's help, shares the interface with the host, and carries super-packets: a
//! virtio-net header before each frame says what is unfinished, in both directions. A 64 KiB TCP packet crosses as one.
//!
//! # Why no ring
//! A ring that the kernel copies frames into spares a small packet most of the receiver's work, at the expense of the sender's.
//! Tried in this place (TPACKET_V2, with super-packets still by message), TCP lost 6 to 7 %, and small packets gained nothing that
//! could be told from noise.
//!
//! # Design
//! Receiving takes up to a batch of frames by one `recvmmsg` into pooled buffers. A VLAN tag, which the kernel takes off and
//! reports beside the frame, is put back. Sending hands a batch to one `sendmmsg`; when a frame is refused, that frame alone is
//! judged ([`verdict`]) and the rest goes on. What the driver cannot do, the kernel does before it hands the packet to the
//! driver, so the device accepts everything. Tunnel super-packets, which a packet socket has no words for, go by a way of their
//! own ([`relay`]); when that turns out to be closed, they are cut in software and not accepted any more.
//!
//! A port has one socket for each of its receive queues ([`sockets`]). A person may ask for less than all this ([`Options`]).
//!
//! The socket ignores what the host itself sends through the interface, our own frames included. The interface is promiscuous
//! while the socket is open. When the interface goes for good, receiving fails with `ENODEV`, and the owner opens the device
//! anew when there is an interface of that name again. When it merely goes down, receiving waits; of its removal *while* it is
//! down a packet socket hears nothing, so owners listen to [`crate::rtnl::Event::LinkRemoved`] as well.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use packet::{BATCH, Buf, Csum, Packet};
use rustix::io::Errno;
use sys::mmsg::{HEAD, Message, Receiver, Sender};
use sys::packet_socket;

use crate::common::{Losses, SharedAccepts, Unopened, Verdict, offloads, tells_of_no_uso, verdict};
use crate::finish::finish;
use crate::host::{self, Host, Options, Queues, TxOffload};
use crate::rtnl::Link;
use crate::vnet::{self, TUNNEL_HEAD, Unfit};
use crate::{
    Accepts, Bystanders, Device, KernelSide, Pool, Received, RxQueue, Stats, Status, Tally, TxQueue,
};

mod across;
mod relay;
mod sockets;
mod underlay;
use across::Across;
pub use across::FarEnd;
use relay::Relay;
pub use underlay::PORTS_MAX;
use underlay::Sinks;

/// How often one batch is tried again when there is no room for it.
const PATIENCE: usize = 4;

/// An interface of the host.
pub struct System {
    shared: Arc<Shared>,
    rx: Mutex<Vec<Box<dyn RxQueue>>>,
    /// The next socket to send by.
    dealt: AtomicUsize,
    /// Ports of the host that are the tunnels', if the interface stays the host's.
    _sinks: Option<Sinks>,
}

struct Shared {
    host: Host,
    /// One for each receive queue.
    sockets: Vec<OwnedFd>,
    /// Why there are not as many as there might be.
    fewer: Option<String>,
    tx_offload: TxOffload,
    accepts: SharedAccepts,
    losses: Losses,
    /// The other end.
    across: Mutex<Across>,
    /// Who counts what is put at the other end.
    tallies: Mutex<Tallies>,
    /// Made when first needed; why not, if it cannot be had.
    relay: OnceLock<Result<Relay, String>>,
}

impl System {
    /// Opens the interface of that name, with as many receive queues as the options say, else `queues` if that can be had.
    /// `ENODEV`: there is no such interface; `EINVAL`: it is no Ethernet interface; `EPERM`: not without `CAP_NET_RAW`.
    pub(crate) fn open(name: &str, options: &Options, queues: Queues) -> Result<Self, Unopened> {
        let (host, link) = Host::find(name)?;
        if !link.ethernet {
            return Err(Unopened::Host(Errno::INVAL.into()));
        }
        let (sockets, fewer) = open_sockets(host.ifindex, options, queues)?;
        Self::of((host, &link), sockets, fewer, options)
    }

    /// Opens an interface that stays the host's, for tunnels at these UDP ports.
    pub(crate) fn open_underlay(name: &str, ports: &BTreeSet<u16>) -> Result<Self, Unopened> {
        let (host, link) = Host::find(name)?;
        if !link.ethernet {
            return Err(Unopened::Host(Errno::INVAL.into()));
        }
        let (sinks, ports) = Sinks::open(name, ports);
        let socket =
            sockets::filtered(host.ifindex, &underlay::program(&ports)).map_err(Unopened::Host)?;
        let this = Self::of((host, &link), vec![socket], None, &Options::default())?;
        Ok(Self { _sinks: Some(sinks), ..this })
    }

    fn of(
        (host, link): (Host, &Link),
        sockets: Vec<OwnedFd>,
        fewer: Option<String>,
        options: &Options,
    ) -> Result<Self, Unopened> {
        let shared = Shared {
            host,
            sockets,
            fewer,
            tx_offload: options.tx_offload,
            accepts: SharedAccepts::default(),
            losses: Losses::default(),
            across: Mutex::default(),
            tallies: Mutex::default(),
            relay: OnceLock::new(),
        };
        if options.tx_offload == TxOffload::Relay
            && let Err(why) = shared.relay()
        {
            return Err(Unopened::Refused(format!("options:tx-offload=relay: {why}")));
        }
        shared.look(link);
        let shared = Arc::new(shared);
        let queue = |at| -> Box<dyn RxQueue> {
            Box::new(Rx {
                shared: shared.clone(),
                at,
                receiver: Receiver::new(BATCH),
                posted: Vec::with_capacity(BATCH),
                want: WANT_MIN,
            })
        };
        let rx = (0..shared.sockets.len()).map(queue).collect();
        Ok(Self { shared, rx: Mutex::new(rx), dealt: AtomicUsize::new(0), _sinks: None })
    }
}

/// Opens the sockets. Where nobody asked for several queues and they cannot be had, one will do, and why.
fn open_sockets(
    ifindex: u32,
    options: &Options,
    queues: Queues,
) -> Result<(Vec<OwnedFd>, Option<String>), Unopened> {
    let wanted = options.queues.unwrap_or(queues).get();
    match sockets::open(ifindex, wanted) {
        Ok(sockets) => Ok((sockets, None)),
        Err(error) if wanted > 1 && Errno::from_io_error(&error) == Some(Errno::INVAL) => {
            let why = "several queues need Linux 5.16, or 6.13 while the link is down";
            if options.queues.is_some() {
                return Err(Unopened::Refused(format!("options:n_rxq={wanted}: {why}")));
            }
            Ok((sockets::open(ifindex, 1)?, Some(why.to_owned())))
        }
        Err(error) => Err(Unopened::Host(error)),
    }
}

impl Device for System {
    fn name(&self) -> &str {
        &self.shared.host.name
    }

    fn kind(&self) -> &'static str {
        "system"
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        std::mem::take(&mut *self.rx.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        let next = self.dealt.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Tx {
            shared: self.shared.clone(),
            at: next % self.shared.sockets.len(),
            sender: Sender::new(BATCH),
            ready: Vec::with_capacity(BATCH),
        }))
    }

    fn status(&self) -> io::Result<Status> {
        let mut status = self.shared.host.status()?;
        let mut tell = |key: &str, value: String| status.details.insert(key.to_owned(), value);
        tell("io-path", "packet-socket".to_owned());
        tell("n_rxq", self.shared.sockets.len().to_string());
        if let Some(why) = &self.shared.fewer {
            tell("n_rxq-fallback", why.clone());
        }
        let accepts = self.shared.accepts.get();
        let (way, why) = self.shared.tunnel_way(accepts);
        // Until one was tried, it is only hoped for.
        tell("tx-offload-in-use", offloads(Accepts { tunnel: way.is_whole(), ..accepts }));
        tell("tunnel-path", way.to_string());
        if let Some(why) = why {
            tell("tunnel-fallback", why);
        }
        Ok(status)
    }

    fn stats(&self) -> io::Result<Stats> {
        let (_, kernel) = self.shared.host.link()?;
        for socket in &self.shared.sockets {
            self.shared.count_overruns(socket.as_fd())?;
        }
        let mut stats = self.shared.losses.add_to(&kernel);
        let [packets, bytes] = lock(&self.shared.tallies).sent();
        stats.tx_packets += packets;
        stats.tx_bytes += bytes;
        Ok(stats)
    }

    fn refresh(&self) -> io::Result<()> {
        let (link, _) = self.shared.host.link()?;
        self.shared.look(&link);
        Ok(())
    }

    fn kernel_side(&self) -> Option<KernelSide<'_>> {
        let Shared { host, sockets, accepts, .. } = &*self.shared;
        // The kernel would leave unfinished what the switch was told to finish.
        let may_run = self.shared.tx_offload != TxOffload::Off;
        may_run.then(|| KernelSide {
            ifindex: host.ifindex,
            accepts: accepts.get(),
            sockets: sockets.iter().map(AsFd::as_fd).collect(),
            is_veth: host.is_veth(),
            far_end: lock(&self.shared.across).far_end(),
        })
    }

    fn look_across(&self, bystanders: &Bystanders, anew: bool) {
        let Shared { host, sockets, across, .. } = &*self.shared;
        if host.is_veth() {
            let watched = across::is_watched(host, sockets, bystanders);
            // Asking may take its time.
            let found = anew.then(|| across::look(host));
            lock(across).note(watched, found);
        }
    }

    fn add_tally(&self, tally: Arc<dyn Tally>) {
        lock(&self.shared.tallies).add(tally);
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

    fn answer_for_itself(&self) -> io::Result<()> {
        self.shared.host.answer_for_itself()
    }
}

/// What was put at the other end, by everybody who has counted that.
#[derive(Default)]
struct Tallies {
    /// By those before the last.
    past: [u64; 2],
    last: Option<Arc<dyn Tally>>,
}

impl Tallies {
    fn sent(&self) -> [u64; 2] {
        let last = self.last.as_ref().map_or([0; 2], |tally| tally.sent());
        [0, 1].map(|i| self.past[i] + last[i])
    }

    fn add(&mut self, tally: Arc<dyn Tally>) {
        self.past = self.sent();
        self.last = Some(tally);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Rx {
    shared: Arc<Shared>,
    /// Which socket.
    at: usize,
    receiver: Receiver,
    /// Empty buffers for one call; none between calls, so that idle devices hold no memory.
    posted: Vec<Buf>,
    /// How many buffers to offer next: follows what came before.
    want: usize,
}

/// Buffers offered to the kernel when little comes in.
const WANT_MIN: usize = 4;

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.shared.sockets[self.at].as_fd()
    }

    fn overruns(&self) -> u64 {
        // A socket that cannot say so has lost nothing more.
        let _ = self.shared.count_overruns(self.fd());
        self.shared.losses.rx_dropped.get()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let want = self.want.min(max);
        self.posted.extend((0..want).map(|_| pool.take()));
        let buffers = self.posted.iter_mut().map(Buf::spare_mut);
        let result = self.receiver.recv(self.shared.sockets[self.at].as_fd(), buffers);
        let count = *result.as_ref().unwrap_or(&0);
        for (i, buf) in self.posted.drain(..count).enumerate() {
            match accept(&self.receiver.message(i), buf) {
                Ok(packet) => out.push(packet),
                Err(buf) => {
                    self.shared.losses.rx_malformed.inc();
                    pool.put(buf);
                }
            }
        }
        // The last taken first, so that the pool's next is the one that was used most recently.
        self.posted.drain(..).rev().for_each(|buf| pool.put(buf));
        match result {
            Err(error) => self.shared.receive_failed(error),
            Ok(_) if count == want => {
                self.want = (self.want * 2).min(BATCH);
                Ok(Received::More)
            }
            Ok(_) => {
                self.want = (count + 1).next_power_of_two().clamp(WANT_MIN, BATCH);
                Ok(Received::Drained)
            }
        }
    }
}

impl Shared {
    /// Counts what a socket has lost since it was last asked.
    fn count_overruns(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let drops = packet_socket::statistics(socket)?.drops;
        self.losses.rx_dropped.add(u64::from(drops));
        Ok(())
    }
}

/// Makes a packet of a received message; gives the buffer back when none can be made.
fn accept(message: &Message<'_>, mut buf: Buf) -> Result<Packet, Buf> {
    if message.truncated {
        return Err(buf);
    }
    buf.commit(message.len);
    let Ok(mut offload) = vnet::decode(message.head, buf.as_mut_slice()) else { return Err(buf) };
    if offload.csum == Csum::Complete && message.auxiliary.csum_valid {
        offload.csum = Csum::Verified;
    }
    let mut packet = Packet { buf, offload };
    if let Some((tpid, tci)) = message.auxiliary.vlan {
        vnet::insert_vlan(&mut packet, tpid, tci);
    }
    Ok(packet)
}

impl Shared {
    fn receive_failed(&self, error: io::Error) -> io::Result<Received> {
        match Errno::from_io_error(&error) {
            Some(Errno::AGAIN | Errno::INTR) => Ok(Received::Drained),
            // Said once when the interface goes down, perhaps for good. Asking the kernel waits for its configuration lock, and
            // so for the end of a removal under way.
            Some(Errno::NETDOWN) => match self.host.link() {
                Err(gone) if Errno::from_io_error(&gone) == Some(Errno::NODEV) => Err(gone),
                _ => Ok(Received::Drained),
            },
            // The kernel could not describe a frame by a virtio-net header and dropped it; others may wait behind it.
            Some(Errno::INVAL) => {
                self.losses.rx_malformed.inc();
                Ok(Received::More)
            }
            Some(Errno::NOMEM | Errno::NOBUFS) => {
                self.losses.rx_dropped.inc();
                Ok(Received::Drained)
            }
            _ => Err(error),
        }
    }
}

/// A packet with its header, and with it the way it goes.
struct Ready {
    head: Head,
    packet: Packet,
}

enum Head {
    /// By the packet socket.
    Socket([u8; HEAD]),
    /// By the relay.
    Relay([u8; TUNNEL_HEAD]),
}

struct Tx {
    shared: Arc<Shared>,
    /// Which socket.
    at: usize,
    sender: Sender,
    /// The batch in work; empty between calls.
    ready: Vec<Ready>,
}

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        self.shared.accepts.get()
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        let accepts = self.accepts();
        for packet in batch.drain(..) {
            self.prepare(packet, accepts, pool);
        }
        self.flush(pool);
        for ready in self.ready.drain(..) {
            pool.put(ready.packet.buf);
        }
    }
}

impl Tx {
    fn prepare(&mut self, packet: Packet, accepts: Accepts, pool: &mut Pool) {
        match self.shared.head(&packet, accepts) {
            Ok(head) => self.ready.push(Ready { head, packet }),
            Err(Unfit::Finish) => {
                let finished = finish(packet, accepts, pool, &self.shared.losses);
                let frame_max = accepts.frame_max;
                self.ready.extend(
                    finished
                        .into_iter()
                        .filter_map(|p| with_head(p, frame_max, &self.shared.losses)),
                );
            }
            Err(unfit) => {
                self.shared.losses.unfit(unfit);
                pool.put(packet.buf);
            }
        }
    }

    /// Sends all that is ready. Each turn sends something, gives something up, finishes something, or uses up patience.
    fn flush(&mut self, pool: &mut Pool) {
        let mut patience = PATIENCE;
        let mut at = 0;
        while at < self.ready.len() {
            let error = match self.send_from(at) {
                Ok(count) => {
                    at += count.max(1);
                    continue;
                }
                Err(error) => error,
            };
            let verdict = verdict(&error, &self.ready[at].packet, patience > 0);
            self.shared.note_refusal(&error, &self.ready[at].packet, verdict);
            match verdict {
                Verdict::Again => patience -= 1,
                Verdict::Finish => self.finish(at, pool),
                Verdict::Dropped | Verdict::Error => at += 1,
                Verdict::Down => {
                    self.shared.losses.tx_dropped.add((self.ready.len() - at) as u64);
                    at = self.ready.len();
                }
            }
        }
    }

    /// Sends the packet at `at`, and with it those behind that go the same way. Says how many went.
    fn send_from(&mut self, at: usize) -> io::Result<usize> {
        let ready = &mut self.ready[at..];
        if let Some(Ready { head: Head::Relay(head), packet }) = ready.first_mut() {
            let sent = self.shared.relay().map(|relay| relay.send(head, packet));
            if let Ok(Ok(())) = sent {
                return Ok(1);
            }
            // Whatever is the matter with the relay (somebody may have set it down), the packet is not lost for it.
            self.shared.accepts.set(Accepts { tunnel: false, ..self.shared.accepts.get() });
            return Err(Errno::OPNOTSUPP.into());
        }
        let frames = ready.iter().map_while(|ready| match &ready.head {
            Head::Socket(head) => Some((*head, ready.packet.bytes())),
            Head::Relay(_) => None,
        });
        self.sender.send(self.shared.sockets[self.at].as_fd(), frames)
    }

    /// Replaces a refused packet by what software makes of it: complete packets, which are not refused for the same reason.
    fn finish(&mut self, at: usize, pool: &mut Pool) {
        let refused = std::mem::take(&mut self.ready[at].packet);
        let finished = finish(refused, Accepts::default(), pool, &self.shared.losses);
        let ready =
            finished.into_iter().map(|packet| Ready { head: Head::Socket([0; HEAD]), packet });
        self.ready.splice(at..=at, ready).for_each(drop);
    }
}

fn with_head(packet: Packet, frame_max: u32, losses: &Losses) -> Option<Ready> {
    match vnet::encode(packet.bytes(), &packet.offload, frame_max) {
        Ok(head) => Some(Ready { head: Head::Socket(head), packet }),
        Err(unfit) => {
            losses.unfit(unfit);
            None
        }
    }
}

impl Shared {
    /// Sets what is accepted by what the link is like now. Whether tunnel super-packets really are shows with the first.
    fn look(&self, link: &Link) {
        let accepts = host::accepts(link, true);
        let tunnel = match (self.tx_offload, self.relay.get()) {
            (TxOffload::Off, _) => return self.accepts.set(accepts.complete_only()),
            (TxOffload::Udp, _) | (_, Some(Err(_))) => false,
            (_, None) => true,
            (_, Some(Ok(_))) => relay::worth_while(&self.host).unwrap_or(false),
        };
        self.accepts.set(Accepts { tunnel, ..accepts });
    }

    fn relay(&self) -> Result<&Relay, &str> {
        let open = || {
            let relay = Relay::open(&self.host).map_err(|error| relay::why_not(&error));
            if let Err(why) = &relay {
                log::debug!("{}: tunnel super-packets are cut here: {why}", self.host.name);
            }
            relay
        };
        self.relay.get_or_init(open).as_ref().map_err(String::as_str)
    }

    /// How super-packets in tunnels leave, and why not in a better way.
    fn tunnel_way(&self, accepts: Accepts) -> (TunnelWay<'_>, Option<String>) {
        let second = if accepts.uso { TunnelWay::Udp } else { TunnelWay::Segments };
        match (self.tx_offload, self.relay.get()) {
            (TxOffload::Udp | TxOffload::Off, _) => (second, None),
            (_, Some(Ok(relay))) if accepts.tunnel => (TunnelWay::Relay(&relay.name), None),
            (_, Some(Err(why))) => (second, Some(why.clone())),
            (_, None) if relay::worth_while(&self.host).unwrap_or(false) => {
                (TunnelWay::RelayWhenNeeded, None)
            }
            _ => (second, Some(relay::why_not(&Errno::OPNOTSUPP.into()))),
        }
    }

    /// The header for a packet, and the way it is to go.
    fn head(&self, packet: &Packet, accepts: Accepts) -> Result<Head, Unfit> {
        let (frame, offload) = (packet.bytes(), &packet.offload);
        if offload.gso.is_none() || offload.encap.is_none() {
            return vnet::encode(frame, offload, accepts.frame_max).map(Head::Socket);
        }
        let head = vnet::encode_tunnel(frame, offload, accepts.frame_max)?;
        if accepts.tunnel && self.relay().is_ok() {
            return Ok(Head::Relay(head));
        }
        self.accepts.set(Accepts { tunnel: false, ..self.accepts.get() });
        Err(Unfit::Finish)
    }

    fn note_refusal(&self, error: &io::Error, packet: &Packet, verdict: Verdict) {
        match verdict {
            Verdict::Dropped => self.losses.tx_dropped.inc(),
            Verdict::Error => {
                self.losses.tx_errors.inc();
                log::debug!("{}: cannot send {packet:?}: {error}", self.host.name);
            }
            // A kernel without UDP segmentation is not asked again until the link changes.
            Verdict::Finish if tells_of_no_uso(error, packet) => {
                log::info!(
                    "{}: the kernel does not segment UDP here; doing it in software",
                    self.host.name
                );
                self.accepts.set(Accepts { uso: false, ..self.accepts.get() });
            }
            _ => {}
        }
    }
}

/// How super-packets in tunnels leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TunnelWay<'a> {
    /// Whole, by the relay of that name.
    Relay(&'a str),
    /// Whole, by a relay that the first will have made.
    RelayWhenNeeded,
    /// As super-packets of their outer datagrams.
    Udp,
    /// Cut to segments.
    Segments,
}

impl TunnelWay<'_> {
    fn is_whole(self) -> bool {
        matches!(self, Self::Relay(_) | Self::RelayWhenNeeded)
    }
}

impl fmt::Display for TunnelWay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(name) => write!(f, "relay {name}"),
            Self::RelayWhenNeeded => f.write_str("relay, when needed"),
            Self::Udp => f.write_str("udp"),
            Self::Segments => f.write_str("segments"),
        }
    }
}
