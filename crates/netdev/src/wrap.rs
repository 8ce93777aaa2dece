//! Devices around devices: a [`Hook`] sees, and may change, all packets that pass between a device and its user.
//!
//! Made for tests: [`Recorder`] writes a capture file, [`Faults`] loses, damages and reorders packets. Faults come by count,
//! not by chance, so that a test that fails once fails always.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use packet::Packet;

pub use crate::dummy::Capture;
use crate::{Accepts, Device, Pool, Received, RxQueue, RxState, Stats, Status, TxQueue};

/// Sees packets pass. Called by all of a device's queues, from their threads.
pub trait Hook: Send + Sync {
    /// Packets that were received, before the user gets them.
    fn received(&self, packets: &mut Vec<Packet>);
    /// Packets that the user sends, before the device gets them.
    fn sending(&self, packets: &mut Vec<Packet>);
}

/// Puts a hook around a device.
pub fn wrap(device: Arc<dyn Device>, hook: Arc<dyn Hook>) -> Arc<dyn Device> {
    Arc::new(Wrapped { device, hook })
}

struct Wrapped {
    device: Arc<dyn Device>,
    hook: Arc<dyn Hook>,
}

impl Device for Wrapped {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn kind(&self) -> &'static str {
        self.device.kind()
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        let wrap = |inner| {
            Box::new(WrappedRx { inner, hook: self.hook.clone(), passing: Vec::new() })
                as Box<dyn RxQueue>
        };
        self.device.take_rx_queues().into_iter().map(wrap).collect()
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(WrappedTx { inner: self.device.tx_queue()?, hook: self.hook.clone() }))
    }

    fn status(&self) -> io::Result<Status> {
        self.device.status()
    }

    fn stats(&self) -> io::Result<Stats> {
        self.device.stats()
    }

    fn numa_node(&self) -> Option<usize> {
        self.device.numa_node()
    }

    fn custom_stats(&self) -> Vec<(String, u64)> {
        self.device.custom_stats()
    }

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        self.device.set_mac(mac)
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        self.device.set_mtu(mtu)
    }

    fn set_up(&self, up: bool) -> io::Result<()> {
        self.device.set_up(up)
    }

    fn rx_state(&self, queue: usize) -> RxState {
        self.device.rx_state(queue)
    }

    fn retune(&self, options: &BTreeMap<String, String>) {
        self.device.retune(options);
    }

    fn answer_for_itself(&self) -> io::Result<()> {
        self.device.answer_for_itself()
    }

    fn refresh(&self) -> io::Result<()> {
        self.device.refresh()
    }

    fn release(&self) -> io::Result<()> {
        self.device.release()
    }

    fn config(&self) -> BTreeMap<String, String> {
        self.device.config()
    }

    fn as_dummy(&self) -> Option<&crate::dummy::Dummy> {
        self.device.as_dummy()
    }
}

struct WrappedRx {
    inner: Box<dyn RxQueue>,
    hook: Arc<dyn Hook>,
    passing: Vec<Packet>,
}

impl RxQueue for WrappedRx {
    fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    fn recv(&mut self, pool: &mut Pool, max: usize, out: &mut Vec<Packet>) -> io::Result<Received> {
        let result = self.inner.recv(pool, max, &mut self.passing);
        self.hook.received(&mut self.passing);
        out.append(&mut self.passing);
        result
    }

    fn arm(&mut self) -> Received {
        self.inner.arm()
    }

    fn keeps_unread(&self) -> bool {
        self.inner.keeps_unread()
    }

    fn polled(&self) -> bool {
        self.inner.polled()
    }
}

struct WrappedTx {
    inner: Box<dyn TxQueue>,
    hook: Arc<dyn Hook>,
}

impl TxQueue for WrappedTx {
    fn accepts(&self) -> Accepts {
        self.inner.accepts()
    }

    fn send(&mut self, pool: &mut Pool, batch: &mut Vec<Packet>) {
        self.hook.sending(batch);
        self.inner.send(pool, batch);
    }
}

/// Writes all packets, both directions, to a capture file.
pub struct Recorder(Mutex<Capture>);

impl Recorder {
    /// A recorder into that file.
    pub fn new(capture: Capture) -> Self {
        Self(Mutex::new(capture))
    }

    fn record(&self, packets: &[Packet]) {
        let mut capture = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        packets.iter().for_each(|packet| capture.record(packet.bytes()));
    }
}

impl Hook for Recorder {
    fn received(&self, packets: &mut Vec<Packet>) {
        self.record(packets);
    }

    fn sending(&self, packets: &mut Vec<Packet>) {
        self.record(packets);
    }
}

/// Does harm to received packets, each kind to every nth of them.
#[derive(Debug, Default)]
pub struct Faults {
    /// Every nth packet is lost.
    pub lose: Option<NonZeroU64>,
    /// One bit in the middle of every nth packet is turned.
    pub corrupt: Option<NonZeroU64>,
    /// Every nth packet is held back until the next one has passed.
    pub delay: Option<NonZeroU64>,
    count: AtomicU64,
    held: Mutex<Option<Packet>>,
}

impl Hook for Faults {
    fn received(&self, packets: &mut Vec<Packet>) {
        let hits = |every: Option<NonZeroU64>, n: u64| every.is_some_and(|every| n % every == 0);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for mut packet in std::mem::take(packets) {
            let n = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            if hits(self.lose, n) {
                continue;
            }
            let middle = packet.buf.len() / 2;
            if hits(self.corrupt, n)
                && let Some(byte) = packet.buf.as_mut_slice().get_mut(middle)
            {
                *byte ^= 1;
            }
            if hits(self.delay, n) && held.is_none() {
                *held = Some(packet);
            } else {
                packets.push(packet);
                packets.extend(held.take());
            }
        }
    }

    fn sending(&self, _packets: &mut Vec<Packet>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dummy::{Dummy, Options};
    use base::Clock;

    fn through(faults: Faults) -> Vec<[u8; 2]> {
        let dummy = Arc::new(
            Dummy::new("d", "dummy", [2; 6], &Options::default(), &Clock::real()).unwrap(),
        );
        let wrapped = wrap(dummy, Arc::new(faults));
        for n in 1..=6 {
            wrapped.as_dummy().unwrap().inject(Packet::from_frame(&[n; 20]));
        }
        let mut out = Vec::new();
        wrapped.take_rx_queues()[0].recv(&mut Pool::default(), 32, &mut out).unwrap();
        out.iter().map(|p| [p.bytes()[0], p.bytes()[10]]).collect()
    }

    #[test]
    fn faults_come_by_count() {
        let every = NonZeroU64::new;
        let firsts = |faults| through(faults).into_iter().map(|b| b[0]).collect::<Vec<_>>();
        assert_eq!(firsts(Faults::default()), [1, 2, 3, 4, 5, 6]);
        assert_eq!(firsts(Faults { lose: every(3), ..Faults::default() }), [1, 2, 4, 5]);
        assert_eq!(
            firsts(Faults { delay: every(2), ..Faults::default() }),
            [1, 3, 2, 5, 4],
            "the last waits for another"
        );
        let corrupted = through(Faults { corrupt: every(2), ..Faults::default() });
        assert_eq!(corrupted, [[1, 1], [2, 3], [3, 3], [4, 5], [5, 5], [6, 7]]);
    }

    #[test]
    fn a_recorder_sees_both_directions() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let dummy = Arc::new(
            Dummy::new("d", "dummy", [2; 6], &Options::default(), &Clock::real()).unwrap(),
        );
        let capture = Capture::create(file.path(), &Clock::real()).unwrap();
        let wrapped = wrap(dummy, Arc::new(Recorder::new(capture)));
        wrapped.as_dummy().unwrap().inject(Packet::from_frame(&[1; 20]));
        wrapped.take_rx_queues()[0].recv(&mut Pool::default(), 32, &mut Vec::new()).unwrap();
        wrapped
            .tx_queue()
            .unwrap()
            .send(&mut Pool::default(), &mut vec![Packet::from_frame(&[2; 30])]);
        assert_eq!(std::fs::metadata(file.path()).unwrap().len(), 24 + 16 + 20 + 16 + 30);
    }
}
