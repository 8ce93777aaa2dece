//! System devices: any Ethernet interface of the host (a NIC, a veth end, a tap that a virtual machine holds), by a packet
//! socket.
//!
//! # Why a packet socket
//! It works on every interface, needs no driver's help, shares the interface with the host, and carries super-packets: a
//! virtio-net header before each frame says what is unfinished, in both directions. A 64 KiB TCP packet crosses as one.
//!
//! # Design
//! Receiving takes up to a batch of frames by one `recvmmsg` into pooled buffers. A VLAN tag, which the kernel takes off and
//! reports beside the frame, is put back. Sending hands a batch to one `sendmmsg`; when a frame is refused, that frame alone is
//! judged ([`verdict`]) and the rest goes on. What the driver cannot do, the kernel does before it hands the packet to the
//! driver, so the device accepts everything. Tunnel super-packets, which a packet socket has no words for, go by a way of their
//! own ([`relay`]); when that turns out to be closed, they are cut in software and not accepted any more.
//!
//! The socket ignores what the host itself sends through the interface, our own frames included. The interface is promiscuous
//! while the socket is open. When the interface goes for good, receiving fails with `ENODEV`, and the owner opens the device
//! anew when there is an interface of that name again. When it merely goes down, receiving waits; of its removal *while* it is
//! down a packet socket hears nothing, so owners listen to [`crate::rtnl::Event::LinkRemoved`] as well.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use packet::{BATCH, Buf, Csum, Packet};
use rustix::io::Errno;
use rustix::net::sockopt;
use sys::mmsg::{HEAD, Message, Receiver, Sender};
use sys::packet_socket;

use crate::common::{Losses, SharedAccepts, Verdict, tells_of_no_uso, verdict};
use crate::finish::finish;
use crate::host::{self, Host};
use crate::rtnl::Link;
use crate::vnet::{self, TUNNEL_HEAD, Unfit};
use crate::{Accepts, Device, KernelSide, Pool, Received, RxQueue, Stats, Status, TxQueue};

mod relay;
use relay::Relay;

/// Socket buffers in bytes, each way. A super-packet takes about 70 KiB of it: room for the windows of a few fast TCP flows.
const SOCKET_BUFFER: usize = 16 << 20;
/// How often one batch is tried again when there is no room for it.
const PATIENCE: usize = 4;

/// An interface of the host.
pub struct System {
    shared: Arc<Shared>,
    rx: Mutex<Option<Box<dyn RxQueue>>>,
}

struct Shared {
    host: Host,
    socket: OwnedFd,
    accepts: SharedAccepts,
    losses: Losses,
    /// Made when first needed; nothing if it cannot be had.
    relay: OnceLock<Option<Relay>>,
}

impl System {
    /// Opens the interface of that name. `ENODEV`: there is none; `EINVAL`: it is no Ethernet interface; `EPERM`: not without
    /// `CAP_NET_RAW`.
    pub fn open(name: &str) -> io::Result<Self> {
        let (host, link) = Host::find(name)?;
        if !link.ethernet {
            return Err(Errno::INVAL.into());
        }
        let socket = open_socket(host.ifindex)?;
        let shared = Shared {
            host,
            socket,
            accepts: SharedAccepts::default(),
            losses: Losses::default(),
            relay: OnceLock::new(),
        };
        shared.look(&link);
        let shared = Arc::new(shared);
        let rx: Box<dyn RxQueue> = Box::new(Rx {
            shared: shared.clone(),
            receiver: Receiver::new(BATCH),
            posted: Vec::with_capacity(BATCH),
            want: WANT_MIN,
        });
        Ok(Self { shared, rx: Mutex::new(Some(rx)) })
    }
}

fn open_socket(ifindex: u32) -> io::Result<OwnedFd> {
    let socket = packet_socket::open()?;
    let s = socket.as_fd();
    packet_socket::set_vnet_header(s)?;
    packet_socket::set_auxiliary_data(s)?;
    packet_socket::ignore_outgoing(s)?;
    // More than the limit of unprivileged programs; without the right to, the limit will do.
    if sockopt::set_socket_recv_buffer_size_force(s, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(s, SOCKET_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(s, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(s, SOCKET_BUFFER)?;
    }
    packet_socket::bind(s, ifindex)?;
    packet_socket::set_promiscuous(s, ifindex)?;
    Ok(socket)
}

impl Device for System {
    fn name(&self) -> &str {
        &self.shared.host.name
    }

    fn kind(&self) -> &'static str {
        "system"
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        self.rx.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().collect()
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(Tx {
            shared: self.shared.clone(),
            sender: Sender::new(BATCH),
            ready: Vec::with_capacity(BATCH),
        }))
    }

    fn status(&self) -> io::Result<Status> {
        self.shared.host.status()
    }

    fn stats(&self) -> io::Result<Stats> {
        let (_, kernel) = self.shared.host.link()?;
        let socket = packet_socket::statistics(self.shared.socket.as_fd())?;
        self.shared.losses.rx_dropped.add(u64::from(socket.drops));
        Ok(self.shared.losses.add_to(&kernel))
    }

    fn refresh(&self) -> io::Result<()> {
        let (link, _) = self.shared.host.link()?;
        self.shared.look(&link);
        Ok(())
    }

    fn kernel_side(&self) -> Option<KernelSide<'_>> {
        let Shared { host, socket, accepts, .. } = &*self.shared;
        Some(KernelSide {
            ifindex: host.ifindex,
            accepts: accepts.get(),
            sockets: vec![socket.as_fd()],
            is_veth: host.is_veth(),
        })
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
}

struct Rx {
    shared: Arc<Shared>,
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
        self.shared.socket.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let want = self.want.min(max);
        self.posted.extend((0..want).map(|_| pool.take()));
        let buffers = self.posted.iter_mut().map(Buf::spare_mut);
        let result = self.receiver.recv(self.shared.socket.as_fd(), buffers);
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
            if let Some(Ok(())) = sent {
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
        self.sender.send(self.shared.socket.as_fd(), frames)
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
        let tunnel = match self.relay.get() {
            None => true,
            Some(None) => false,
            Some(Some(_)) => relay::worth_while(&self.host).unwrap_or(false),
        };
        self.accepts.set(Accepts { tunnel, ..host::accepts(link, true) });
    }

    fn relay(&self) -> Option<&Relay> {
        let open = || match Relay::open(&self.host) {
            Ok(relay) => Some(relay),
            Err(error) => {
                log::debug!("{}: tunnel super-packets are cut here: {error}", self.host.name);
                None
            }
        };
        self.relay.get_or_init(open).as_ref()
    }

    /// The header for a packet, and the way it is to go.
    fn head(&self, packet: &Packet, accepts: Accepts) -> Result<Head, Unfit> {
        let (frame, offload) = (packet.bytes(), &packet.offload);
        if offload.gso.is_none() || offload.encap.is_none() {
            return vnet::encode(frame, offload, accepts.frame_max).map(Head::Socket);
        }
        let head = vnet::encode_tunnel(frame, offload, accepts.frame_max)?;
        if accepts.tunnel && self.relay().is_some() {
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
