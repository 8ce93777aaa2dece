//! The device itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dpdk::{Port, Queues};
use packet::{BATCH, Buf, Csum, Offload, Packet};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::{Options, PAUSE_MAX, PAUSE_MIN};
use crate::common::Losses;
use crate::finish::finish;
use crate::repair::repair;
use crate::rtnl::LinkStats;
use crate::vnet::is_too_long;
use crate::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};

/// Drivers whose packets may come from a sender on this machine, with unfinished checksums.
const LOCAL: [&str; 5] = ["net_af_packet", "net_af_xdp", "net_tap", "net_pcap", "net_virtio_user"];

/// A device that DPDK drives.
pub(crate) struct Dpdk {
    name: String,
    shared: Arc<Shared>,
    rx: Mutex<Vec<Box<dyn RxQueue>>>,
    tx: Vec<Arc<Mutex<dpdk::Tx>>>,
    /// The next transmit queue to be dealt.
    dealt: AtomicUsize,
}

struct Shared {
    port: Port,
    driver: String,
    losses: Losses,
    /// So that no batch asks the device.
    mtu: AtomicU32,
}

impl Dpdk {
    /// Opens the device that the options name. DPDK must have been started.
    pub(crate) fn open(name: &str, options: &Options) -> io::Result<Self> {
        let queues = Queues {
            rx: options.rx_queues,
            tx: options.tx_queues,
            rx_slots: options.rx_slots,
            tx_slots: options.tx_slots,
        };
        let (port, rx, tx) = Port::open(&options.devargs, queues)?;
        let mtu = AtomicU32::new(port.mtu()?.into());
        let shared =
            Arc::new(Shared { driver: port.driver(), port, losses: Losses::default(), mtu });
        let mut queues: Vec<Box<dyn RxQueue>> = Vec::new();
        for half in rx {
            queues.push(Box::new(Rx::new(shared.clone(), half)?));
        }
        Ok(Self {
            name: name.to_owned(),
            shared,
            rx: Mutex::new(queues),
            tx: tx.into_iter().map(|half| Arc::new(Mutex::new(half))).collect(),
            dealt: AtomicUsize::new(0),
        })
    }
}

impl Device for Dpdk {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "dpdk"
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        std::mem::take(&mut *self.rx.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        let next = self.dealt.fetch_add(1, Ordering::Relaxed);
        let half = self.tx.get(next % self.tx.len().max(1)).ok_or(Errno::NODEV)?.clone();
        Ok(Box::new(Tx { shared: self.shared.clone(), half, ready: Vec::with_capacity(BATCH) }))
    }

    fn status(&self) -> io::Result<Status> {
        let port = &self.shared.port;
        let link = port.link()?;
        let known = link.megabits != 0 && link.megabits != u32::MAX;
        Ok(Status {
            mac: port.mac()?,
            mtu: self.shared.mtu.load(Ordering::Relaxed),
            admin_up: true,
            link_up: link.is_up(),
            link_speed: known.then(|| u64::from(link.megabits) * 1_000_000),
            full_duplex: known.then_some(link.is_full_duplex()),
            details: [("driver_name".to_owned(), self.shared.driver.clone())].into(),
            ..Status::default()
        })
    }

    fn stats(&self) -> io::Result<Stats> {
        let now = self.shared.port.stats()?;
        Ok(self.shared.losses.add_to(&LinkStats {
            rx_packets: now.rx_packets,
            rx_bytes: now.rx_bytes,
            tx_packets: now.tx_packets,
            tx_bytes: now.tx_bytes,
            rx_dropped: now.rx_missed + now.rx_no_buffer,
            rx_errors: now.rx_errors,
            tx_errors: now.tx_errors,
            rx_missed_errors: now.rx_missed,
            ..LinkStats::default()
        }))
    }

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        self.shared.port.set_mac(mac)
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let mtu = u16::try_from(mtu).map_err(|_| Errno::RANGE)?;
        self.shared.port.set_mtu(mtu)?;
        self.shared.mtu.store(mtu.into(), Ordering::Relaxed);
        Ok(())
    }

    fn set_up(&self, up: bool) -> io::Result<()> {
        self.shared.port.set_up(up)
    }
}

/// A receive queue with the timer that wakes its worker.
struct Rx {
    shared: Arc<Shared>,
    half: dpdk::Rx,
    timer: OwnedFd,
    pause: Duration,
    repairs: bool,
    /// A packet of which more pieces are to come.
    part: Option<Buf>,
    /// The rest of a packet that was too long.
    skipping: bool,
}

impl Rx {
    fn new(shared: Arc<Shared>, half: dpdk::Rx) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let repairs = LOCAL.contains(&shared.driver.as_str());
        let pause = PAUSE_MIN;
        let rx = Self { shared, half, timer, pause, repairs, part: None, skipping: false };
        rx.wait()?;
        Ok(rx)
    }

    /// The descriptor becomes readable after the pause, and not before.
    fn wait(&self) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let pause = Timespec { tv_sec: 0, tv_nsec: self.pause.subsec_nanos().into() };
        let once = Itimerspec { it_interval: never, it_value: pause };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let Self { shared, half, part, skipping, repairs, .. } = self;
        let count = half.recv(max, |bytes, more| {
            let mut buf = part.take().unwrap_or_else(|| pool.take());
            if *skipping || bytes.len() > buf.tailroom() {
                pool.put(buf);
                if !more {
                    shared.losses.rx_malformed.inc();
                }
                *skipping = more;
                return;
            }
            buf.extend(bytes);
            if more {
                *part = Some(buf);
                return;
            }
            let csum = if *repairs { repair(buf.as_mut_slice()) } else { Csum::Complete };
            out.push(Packet { buf, offload: Offload { csum, ..Offload::default() } });
        });
        if count > 0 {
            self.pause = PAUSE_MIN;
            return Ok(Received::More);
        }
        self.wait()?;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(Received::Drained)
    }
}

struct Tx {
    shared: Arc<Shared>,
    half: Arc<Mutex<dpdk::Tx>>,
    /// The batch in work; empty between calls.
    ready: Vec<Packet>,
}

impl TxQueue for Tx {
    fn accepts(&self) -> Accepts {
        let frame_max = self.shared.mtu.load(Ordering::Relaxed).saturating_add(14 + 4);
        Accepts { frame_max, finishes: true, ..Accepts::default() }
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        let (accepts, losses) = (self.accepts(), &self.shared.losses);
        for packet in batch.drain(..) {
            if packet.offload.is_complete() {
                self.ready.push(packet);
            } else {
                self.ready.extend(finish(packet, accepts, pool, losses));
            }
        }
        self.ready.retain(|packet| {
            let fits = !is_too_long(packet, accepts.frame_max) && !packet.buf.is_empty();
            if !fits {
                losses.tx_dropped.inc();
            }
            fits
        });
        let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
        for burst in self.ready.chunks(dpdk::Tx::BURST) {
            let sent = half.send(burst.iter().map(Packet::bytes));
            losses.tx_dropped.add((burst.len() - sent) as u64);
        }
        drop(half);
        self.ready.drain(..).for_each(|packet| pool.put(packet.buf));
    }
}
