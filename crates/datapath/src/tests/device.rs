//! A device in memory: tests put packets in and see what came out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use netdev::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};
use packet::Packet;
use rustix::event::{EventfdFlags, eventfd};

/// Takes anything.
pub(crate) const EVERYTHING: Accepts = Accepts {
    csum: true,
    tso: true,
    uso: true,
    tunnel: true,
    gso_max: 70_000,
    frame_max: 1518,
    finishes: true,
};

/// Takes complete packets only.
pub(crate) const NOTHING: Accepts = Accepts {
    csum: false,
    tso: false,
    uso: false,
    tunnel: false,
    gso_max: 0,
    frame_max: 1518,
    finishes: true,
};

pub(crate) struct MemDevice(Arc<Shared>);

struct Shared {
    name: String,
    accepts: Accepts,
    /// Signals only when asked to ([`RxQueue::polled`]).
    polled: bool,
    readable: OwnedFd,
    state: Mutex<State>,
    sent: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Packet>,
    out: Vec<Packet>,
    taken: bool,
    /// Queues that exist.
    queues: usize,
    broken: bool,
    /// The next so many receptions panic.
    panics: usize,
    /// A polled device is to signal the next arrival.
    armed: bool,
    flood: Option<Flood>,
    signals: usize,
    /// How often somebody asked for packets.
    looks: usize,
    /// Whoever finds nothing is told not to ask again.
    dormant: bool,
}

/// As many copies of a packet as are asked for, in so many batches.
struct Flood {
    packet: Packet,
    batches: usize,
    /// Called when a batch was taken.
    meanwhile: Box<dyn FnMut() + Send>,
}

impl MemDevice {
    pub(crate) fn new(name: &str, accepts: Accepts) -> Arc<Self> {
        Self::open(name, accepts, false)
    }

    /// A device whose receive queue speaks only when asked to.
    pub(crate) fn polled(name: &str) -> Arc<Self> {
        Self::open(name, NOTHING, true)
    }

    fn open(name: &str, accepts: Accepts, polled: bool) -> Arc<Self> {
        let name = name.to_owned();
        let readable = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let (state, sent) = (Mutex::default(), Condvar::new());
        Arc::new(Self(Arc::new(Shared { name, accepts, polled, readable, state, sent })))
    }

    /// Lets a packet arrive.
    pub(crate) fn arrive(&self, packet: Packet) {
        self.arrive_all([packet]);
    }

    /// Lets packets arrive together.
    pub(crate) fn arrive_all(&self, packets: impl IntoIterator<Item = Packet>) {
        let mut state = self.0.lock();
        state.waiting.extend(packets);
        if !self.0.polled || std::mem::take(&mut state.armed) {
            state.signals += 1;
            rustix::io::write(&self.0.readable, &1u64.to_ne_bytes()).unwrap();
        }
    }

    /// Lets so many full batches of a packet arrive, without a pause. `meanwhile` is called when each was taken.
    pub(crate) fn flood(
        &self,
        packet: Packet,
        batches: usize,
        meanwhile: impl FnMut() + Send + 'static,
    ) {
        self.0.lock().flood = Some(Flood { packet, batches, meanwhile: Box::new(meanwhile) });
        rustix::io::write(&self.0.readable, &1u64.to_ne_bytes()).unwrap();
    }

    /// How often the receiver was signalled.
    pub(crate) fn signals(&self) -> usize {
        self.0.lock().signals
    }

    /// How often the receiver asked.
    pub(crate) fn looks(&self) -> usize {
        self.0.lock().looks
    }

    /// Nobody sends by it for the time being.
    pub(crate) fn lie_dormant(&self) {
        let mut state = self.0.lock();
        (state.dormant, state.armed) = (true, true);
    }

    /// Receiving fails from now on.
    pub(crate) fn break_down(&self) {
        self.0.lock().broken = true;
        rustix::io::write(&self.0.readable, &1u64.to_ne_bytes()).unwrap();
    }

    /// The next receptions, so many of them, panic.
    pub(crate) fn panic(&self, receptions: usize) {
        self.0.lock().panics = receptions;
        rustix::io::write(&self.0.readable, &1u64.to_ne_bytes()).unwrap();
    }

    /// Packets that wait to be received.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// What was sent so far; waits for at least `n` packets.
    #[track_caller]
    pub(crate) fn sent(&self, n: usize) -> Vec<Packet> {
        let state = self.0.lock();
        let few = |s: &mut State| s.out.len() < n;
        let (mut state, timeout) =
            self.0.sent.wait_timeout_while(state, Duration::from_secs(10), few).unwrap();
        assert!(
            !timeout.timed_out(),
            "{} of {n} packets came out of {}",
            state.out.len(),
            self.0.name
        );
        std::mem::take(&mut state.out)
    }

    /// Queues that somebody still holds.
    pub(crate) fn queues(&self) -> usize {
        self.0.lock().queues
    }
}

impl Shared {
    /// A failed test does not fail others.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn open(self: &Arc<Self>) -> Queue {
        self.lock().queues += 1;
        Queue(self.clone())
    }
}

struct Queue(Arc<Shared>);

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.lock().queues -= 1;
    }
}

impl RxQueue for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.readable.as_fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let mut state = self.0.lock();
        state.looks += 1;
        if state.broken {
            return Err(io::Error::from_raw_os_error(19));
        }
        if state.panics > 0 {
            state.panics -= 1;
            drop(state);
            panic!("as the test asked");
        }
        if let Some(flood) = &mut state.flood {
            for _ in 0..max {
                let mut buf = pool.take();
                buf.extend(flood.packet.bytes());
                out.push(Packet { buf, offload: flood.packet.offload });
            }
            (flood.meanwhile)();
            flood.batches -= 1;
            if flood.batches > 0 {
                return Ok(Received::More);
            }
            state.flood = None;
        }
        let n = max.min(state.waiting.len());
        for packet in state.waiting.drain(..n) {
            let mut buf = pool.take();
            buf.extend(packet.bytes());
            out.push(Packet { buf, ..packet });
        }
        if state.waiting.is_empty() {
            let _ = rustix::io::read(&self.0.readable, &mut [0; 8]);
            return Ok(if state.dormant { Received::Dormant } else { Received::Drained });
        }
        Ok(Received::More)
    }

    fn arm(&mut self) -> Received {
        let mut state = self.0.lock();
        state.armed = state.waiting.is_empty();
        if state.armed { Received::Drained } else { Received::More }
    }

    fn polled(&self) -> bool {
        self.0.polled
    }
}

impl TxQueue for Queue {
    fn accepts(&self) -> Accepts {
        self.0.accepts
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        let mut state = self.0.lock();
        for packet in batch.drain(..) {
            state.out.push(Packet { buf: packet::Buf::from_slice(packet.bytes()), ..packet });
            pool.put(packet.buf);
        }
        self.0.sent.notify_all();
    }
}

impl Device for MemDevice {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if std::mem::replace(&mut self.0.lock().taken, true) {
            return Vec::new();
        }
        vec![Box::new(self.0.open())]
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(self.0.open()))
    }

    fn status(&self) -> io::Result<Status> {
        Ok(Status::default())
    }

    fn stats(&self) -> io::Result<Stats> {
        Ok(Stats::default())
    }

    fn set_mac(&self, _: [u8; 6]) -> io::Result<()> {
        Ok(())
    }

    fn set_mtu(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn set_up(&self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// A device with a receive queue for each of several others; what is sent goes to the first.
pub(crate) struct Many(pub(crate) Vec<Arc<MemDevice>>);

impl Device for Many {
    fn name(&self) -> &str {
        self.0[0].name()
    }

    fn kind(&self) -> &'static str {
        self.0[0].kind()
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        self.0.iter().flat_map(|d| d.take_rx_queues()).collect()
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        self.0[0].tx_queue()
    }

    fn status(&self) -> io::Result<Status> {
        self.0[0].status()
    }

    fn stats(&self) -> io::Result<Stats> {
        self.0[0].stats()
    }

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        self.0[0].set_mac(mac)
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        self.0[0].set_mtu(mtu)
    }

    fn set_up(&self, up: bool) -> io::Result<()> {
        self.0[0].set_up(up)
    }
}
