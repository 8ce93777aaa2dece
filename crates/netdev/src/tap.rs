//! Taps of our own: interfaces of the host whose other end is this process. `type=tap`, and `internal` ports, which are taps
//! that the host uses to talk through a bridge.
//!
//! # Design
//! A frame travels behind a virtio-net header, read and written with it in one piece: the header takes a few bytes of the
//! buffer's headroom. All offloads that the kernel offers are on, so the host's stack hands out and takes super-packets.
//!
//! One frame is one system call: a tap has no batches. On the other hand nothing is woken or queued beneath: a write runs the
//! host's receive path to its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use packet::buf::HEADROOM;
use packet::{Buf, Packet};
use rustix::io::Errno;
use sys::mmsg::HEAD;
use sys::tun;

use crate::common::{Losses, SharedAccepts, Verdict, tells_of_no_uso, verdict};
use crate::finish::finish;
use crate::host::{self, Host};
use crate::rtnl::LinkStats;
use crate::vnet::{self, TAP_HEAD, Unfit};
use crate::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};

const TSO: u32 = tun::CSUM | tun::TSO4 | tun::TSO6 | tun::TSO_ECN;
const USO: u32 = tun::USO4 | tun::USO6;
/// How often one frame is tried again when there is no room for it.
const PATIENCE: usize = 2;

/// A tap of ours.
pub struct Tap {
    shared: Arc<Shared>,
    rx: Mutex<Option<Box<dyn RxQueue>>>,
    persistent: AtomicBool,
}

struct Shared {
    host: Host,
    tun: OwnedFd,
    /// The kernel segments UDP.
    uso: bool,
    accepts: SharedAccepts,
    losses: Losses,
}

impl Tap {
    /// Creates the tap of that name, or adopts a persistent one that nobody holds. `persistent`: it stays when the process
    /// ends (and is adopted by the next), until [`Device::release`]. A tap that was there already stays as it was.
    pub fn open(name: &str, persistent: bool) -> io::Result<Self> {
        let tun = tun::open_tap(name, false)?;
        tun::set_vnet_header(tun.as_fd(), TAP_HEAD)?;
        let uso = tun::set_offload(tun.as_fd(), TSO | USO).is_ok();
        if !uso {
            tun::set_offload(tun.as_fd(), TSO)?;
        }
        let (host, link) = Host::find(name)?;
        if persistent {
            tun::set_persistent(tun.as_fd(), true)?;
        }
        let shared =
            Shared { host, tun, uso, accepts: SharedAccepts::default(), losses: Losses::default() };
        shared.accepts.set(host::accepts(&link, uso));
        let shared = Arc::new(shared);
        let rx: Box<dyn RxQueue> = Box::new(Rx { shared: shared.clone() });
        Ok(Self { shared, rx: Mutex::new(Some(rx)), persistent: AtomicBool::new(persistent) })
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
        self.rx.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().collect()
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(Tx { shared: self.shared.clone() }))
    }

    fn status(&self) -> io::Result<Status> {
        self.shared.host.status()
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
        self.shared.accepts.set(host::accepts(&link, self.shared.uso));
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
            tun::set_persistent(self.shared.tun.as_fd(), false)?;
        }
        Ok(())
    }
}

struct Rx {
    shared: Arc<Shared>,
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.shared.tun.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        for _ in 0..max {
            let mut buf = pool.take();
            buf.reset(HEADROOM - TAP_HEAD);
            match rustix::io::read(&self.shared.tun, buf.spare_mut()) {
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
            let Err(errno) = rustix::io::write(&self.shared.tun, packet.bytes()) else {
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
