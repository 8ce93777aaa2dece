//! Taps of our own: interfaces of the host whose other end is this process. `type=tap`, and `internal` ports, which are taps
//! that the host uses to talk through a bridge.
//!
//! # Design
//! A frame travels behind a virtio-net header, read and written with it in one piece: the header takes a few bytes of the
//! buffer's headroom. All offloads that the kernel offers are on, so the host's stack hands out and takes super-packets.
//!
//! # Several queues
//! A tap with several receive queues has a descriptor for each. The kernel deals packets out by the hash of their flow, which it
//! is told to do: else it follows the descriptor that the flow's other direction was last written to, and packets would
//! overtake each other when that changes.
//!
//! # System calls
//! One frame is one system call: a tap has no batches. On the other hand nothing is woken or queued beneath: a write runs the
//! host's receive path to its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use packet::buf::HEADROOM;
use packet::{Buf, Packet};
use rustix::io::Errno;
use sys::mmsg::HEAD;
use sys::tun;

use crate::common::{
    Losses, SharedAccepts, Unopened, Verdict, offloads, strerror, tells_of_no_uso, verdict,
};
use crate::finish::finish;
use crate::host::{self, Host, Options, Queues, TxOffload};
use crate::rtnl::{Link, LinkStats};
use crate::vnet::{self, TAP_HEAD, Unfit};
use crate::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};

const TSO: u32 = tun::CSUM | tun::TSO4 | tun::TSO6 | tun::TSO_ECN;
const USO: u32 = tun::USO4 | tun::USO6;
/// How often one frame is tried again when there is no room for it.
const PATIENCE: usize = 2;

/// A tap of ours.
pub struct Tap {
    shared: Arc<Shared>,
    rx: Mutex<Vec<Box<dyn RxQueue>>>,
    persistent: AtomicBool,
    /// The next descriptor to write to.
    dealt: AtomicUsize,
}

struct Shared {
    host: Host,
    /// One for each receive queue.
    tuns: Vec<OwnedFd>,
    /// The kernel segments UDP.
    uso: bool,
    /// Nothing may leave unfinished.
    finishes_all: bool,
    accepts: SharedAccepts,
    losses: Losses,
}

impl Tap {
    /// Creates the tap of that name, or adopts a persistent one that nobody holds. `persistent`: it stays when the process
    /// ends (and is adopted by the next), until [`Device::release`]. A tap that was there already stays as it was.
    pub(crate) fn open(name: &str, options: &Options, persistent: bool) -> Result<Self, Unopened> {
        let queues = options.queues.unwrap_or(Queues::ONE).get();
        let tuns = open_queues(name, queues)?;
        let first = tuns[0].as_fd();
        tun::set_vnet_header(first, TAP_HEAD)?;
        let finishes_all = options.tx_offload == TxOffload::Off;
        let uso = tun::set_offload(first, TSO | USO).is_ok();
        if !uso {
            tun::set_offload(first, TSO)?;
        }
        let (host, link) = Host::find(name)?;
        if persistent {
            tun::set_persistent(first, true)?;
        }
        let (accepts, losses) = (SharedAccepts::default(), Losses::default());
        let shared = Arc::new(Shared { host, tuns, uso, finishes_all, accepts, losses });
        shared.look(&link);
        let queue = |at| -> Box<dyn RxQueue> { Box::new(Rx { shared: shared.clone(), at }) };
        let rx = Mutex::new((0..queues).map(queue).collect());
        let persistent = AtomicBool::new(persistent);
        Ok(Self { shared, rx, persistent, dealt: AtomicUsize::new(0) })
    }
}

/// As many descriptors of the tap of that name, 1 at least.
fn open_queues(name: &str, queues: usize) -> Result<Vec<OwnedFd>, Unopened> {
    let is_invalid = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::INVAL);
    if queues <= 1 {
        // One that was left behind may have had several.
        let tun = tun::open_tap(name, false);
        return match tun {
            Err(error) if is_invalid(&error) => {
                Ok(vec![tun::open_tap(name, true).map_err(|_| error)?])
            }
            tun => Ok(vec![tun?]),
        };
    }
    let refuse = |what: String| Unopened::Refused(format!("options:n_rxq={queues}: {what}"));
    let first = match tun::open_tap(name, true) {
        // As wide as a tap is made, it stays.
        Err(error) if is_invalid(&error) && tun::open_tap(name, false).is_ok() => {
            let what =
                format!("it exists with one queue; `ip link del {name}` lets it be made anew");
            return Err(refuse(what));
        }
        first => first?,
    };
    tun::steer_by_hash(first.as_fd()).map_err(|error| {
        refuse(format!("flows would not stay in order: {} (it needs CAP_BPF)", strerror(&error)))
    })?;
    let others = (1..queues).map(|_| tun::open_tap(name, true).map_err(Into::into));
    std::iter::once(Ok(first)).chain(others).collect()
}

impl Shared {
    /// Sets what is accepted by what the link is like now.
    fn look(&self, link: &Link) {
        let accepts = host::accepts(link, self.uso);
        self.accepts.set(if self.finishes_all { accepts.complete_only() } else { accepts });
    }
}

impl Device for Tap {
    fn name(&self) -> &str {
        &self.shared.host.name
    }

    fn kind(&self) -> &'static str {
        "tap"
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        std::mem::take(&mut *self.rx.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        let next = self.dealt.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Tx { shared: self.shared.clone(), at: next % self.shared.tuns.len() }))
    }

    fn status(&self) -> io::Result<Status> {
        let mut status = self.shared.host.status()?;
        let mut tell = |key: &str, value: String| status.details.insert(key.to_owned(), value);
        tell("io-path", "tap".to_owned());
        tell("n_rxq", self.shared.tuns.len().to_string());
        tell("tx-offload-in-use", offloads(self.shared.accepts.get()));
        Ok(status)
    }

    /// What the host receives from a tap is what we sent: the kernel's counters are seen from the other side.
    fn stats(&self) -> io::Result<Stats> {
        let (_, k) = self.shared.host.link()?;
        let ours = LinkStats {
            rx_packets: k.tx_packets,
            rx_bytes: k.tx_bytes,
            rx_errors: k.tx_errors,
            rx_dropped: k.tx_dropped,
            tx_packets: k.rx_packets,
            tx_bytes: k.rx_bytes,
            tx_errors: k.rx_errors,
            tx_dropped: k.rx_dropped,
            collisions: k.collisions,
            ..LinkStats::default()
        };
        Ok(self.shared.losses.add_to(&ours))
    }

    fn refresh(&self) -> io::Result<()> {
        let (link, _) = self.shared.host.link()?;
        self.shared.look(&link);
        Ok(())
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

    fn release(&self) -> io::Result<()> {
        if self.persistent.swap(false, Ordering::Relaxed) {
            tun::set_persistent(self.shared.tuns[0].as_fd(), false)?;
        }
        Ok(())
    }
}

struct Rx {
    shared: Arc<Shared>,
    /// Which descriptor.
    at: usize,
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.shared.tuns[self.at].as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        for _ in 0..max {
            let mut buf = pool.take();
            buf.reset(HEADROOM - TAP_HEAD);
            match rustix::io::read(&self.shared.tuns[self.at], buf.spare_mut()) {
                Ok(len) => {
                    buf.commit(len);
                    match accept(buf) {
                        Ok(packet) => out.push(packet),
                        Err(buf) => {
                            self.shared.losses.rx_malformed.inc();
                            pool.put(buf);
                        }
                    }
                }
                Err(errno) => {
                    pool.put(buf);
                    return receive_failed(errno);
                }
            }
        }
        Ok(Received::More)
    }
}

/// Makes a packet of a header and frame as read; gives the buffer back when none can be made.
fn accept(mut buf: Buf) -> Result<Packet, Buf> {
    let Some(head) = buf.as_slice().first_chunk::<HEAD>().copied() else { return Err(buf) };
    buf.pull_front(TAP_HEAD);
    match vnet::decode(&head, buf.as_mut_slice()) {
        Ok(offload) => Ok(Packet { buf, offload }),
        Err(_) => Err(buf),
    }
}

fn receive_failed(errno: Errno) -> io::Result<Received> {
    match errno {
        Errno::AGAIN | Errno::INTR => Ok(Received::Drained),
        // What a descriptor answers whose interface has been deleted.
        Errno::BADFD => Err(Errno::NODEV.into()),
        errno => Err(errno.into()),
    }
}

struct Tx {
    shared: Arc<Shared>,
    /// Which descriptor.
    at: usize,
}

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        self.shared.accepts.get()
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        let accepts = self.accepts();
        let mut down = false;
        for mut packet in batch.drain(..) {
            if down {
                self.shared.losses.tx_dropped.inc();
            } else {
                match self.send_one(&mut packet, accepts.frame_max) {
                    Err(Verdict::Down) => down = true,
                    Err(Verdict::Finish) => {
                        self.send_finished(packet, accepts, pool);
                        continue;
                    }
                    _ => {}
                }
            }
            pool.put(packet.buf);
        }
    }
}

impl Tx {
    /// Sends what software makes of a packet that the kernel will not have as it is.
    fn send_finished(&self, packet: Packet, accepts: Accepts, pool: &mut Pool) {
        for mut packet in finish(packet, Accepts::default(), pool, &self.shared.losses) {
            if self.send_one(&mut packet, accepts.frame_max) == Err(Verdict::Finish) {
                self.shared.losses.tx_errors.inc();
            }
            pool.put(packet.buf);
        }
    }

    /// Tries to send one packet. When it is lost, it is counted; [`Verdict::Finish`] means that it is not lost yet.
    fn send_one(&self, packet: &mut Packet, frame_max: u32) -> Result<(), Verdict> {
        let losses = &self.shared.losses;
        let head = match vnet::encode(packet.bytes(), &packet.offload, frame_max) {
            // The kernel would hand it to a stack that was promised shorter frames.
            Ok(_) if vnet::is_too_long(packet, frame_max) => {
                losses.tx_dropped.inc();
                return Err(Verdict::Dropped);
            }
            Ok(head) => head,
            Err(Unfit::Finish) => return Err(Verdict::Finish),
            Err(unfit) => {
                losses.unfit(unfit);
                return Err(Verdict::Error);
            }
        };
        let room = packet.buf.push_front(TAP_HEAD);
        room[..HEAD].copy_from_slice(&head);
        room[HEAD..].fill(0);
        let result = self.write(packet);
        packet.buf.pull_front(TAP_HEAD);
        result
    }

    fn write(&self, packet: &Packet) -> Result<(), Verdict> {
        let mut patience = PATIENCE;
        loop {
            let Err(errno) = rustix::io::write(&self.shared.tuns[self.at], packet.bytes()) else {
                return Ok(());
            };
            let error = io::Error::from(errno);
            let verdict = verdict(&error, packet, patience > 0);
            match verdict {
                Verdict::Again => {
                    patience -= 1;
                    continue;
                }
                Verdict::Dropped | Verdict::Down => self.shared.losses.tx_dropped.inc(),
                Verdict::Error => self.shared.losses.tx_errors.inc(),
                Verdict::Finish if tells_of_no_uso(&error, packet) => {
                    self.shared.accepts.set(Accepts { uso: false, ..self.shared.accepts.get() });
                }
                Verdict::Finish => {}
            }
            return Err(verdict);
        }
    }
}
