//! The queue to the slow path: packets that no flow matched, and packets that flows send there.
//!
//! # Fairness
//! Each input port has a queue of its own, bounded in packets and bytes, and the ports take turns, so that one port's flood
//! of new flows delays nobody else's first packet. When all queues together are full, the newest packet of the longest queue
//! gives way. What does not fit is lost, and counted for its port.
//!
//! # Order
//! A port's packets leave in the order in which they came. Packets of one flow stay in order while the flow is installed:
//!
//! - A worker that installs a flow takes back what the flow answers ([`MissQueue::reclaim`]) before it looks up anything newer.
//! - From the moment the flow is handed to the worker until then, the worker's packets are not given out ([`Hold`]): the slow
//!   path would translate again what is about to be taken back, and the packet would come too late.
//!
//! Packets remember the receive queue that they came from, not the worker ([`Source`]): when a queue moves to another worker,
//! its waiting packets are that worker's from then on.
//!
//! What the slow path holds in its hands at that moment is its own affair: it answers all of it at once
//! ([`crate::Answers`]). Several threads may answer: each [claims](MissQueue::claim) whole ports, and until it has answered,
//! nobody else gets anything of those. Flows match their input port, so no flow that one of them installs answers what
//! another has in its hands.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use flow::{DpPort, FlowKey, SlowReason};
use packet::Packet;

/// Why a packet went to the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissReason {
    /// No flow matches it.
    NoFlow,
    /// Its flow says so.
    Action(SlowReason),
    /// It was dropped, for it did not fit a tunnel. This is its beginning, with the key that packets have which come back
    /// through that tunnel.
    TooBig {
        /// Bytes that would fit, from its IP header on.
        mtu: u16,
        /// Bytes that it has, from its Ethernet header on.
        length: u16,
        /// Its sender is to be told.
        answers: bool,
    },
}

/// A packet for the slow path. Answer it with [`crate::Datapath::resume`], or drop it.
#[derive(Debug)]
pub struct Miss {
    /// The packet, in a buffer of its own size; edited so far as the actions before went ([`MissReason::Action`]).
    pub packet: Packet,
    /// Its key, as it was looked up.
    pub key: FlowKey,
    /// The options that [`flow::TunnelKey::options`] names, as in the header.
    pub options: Box<[u8]>,
    /// Why it is here.
    pub reason: MissReason,
    /// Whose worker [`crate::Datapath::resume`] brings it back to.
    pub(crate) source: Source,
}

/// A receive queue's number in its datapath; none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QueueId(pub(crate) u64);

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A receive queue, whichever worker has it.
    Queue(QueueId),
    /// The switch itself, by this worker.
    Worker(usize),
}

impl Default for Source {
    fn default() -> Self {
        Self::Worker(0)
    }
}

impl Miss {
    /// The port that it came in by.
    pub fn in_port(&self) -> DpPort {
        DpPort(self.key.in_port)
    }
}

/// Bytes that may wait, per port and in total.
const PORT_BYTES: usize = 4 << 20;
const TOTAL_BYTES: usize = 32 << 20;

/// Packets that may wait in total, in multiples of what one port may have.
const TOTAL_PORTS: usize = 8;

/// The receiving end; clones are one queue.
#[derive(Clone, Debug)]
pub struct MissQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    /// Packets that may wait per port.
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    ports: BTreeMap<DpPort, PortQueue>,
    /// Ports with something waiting, next turn first.
    turns: VecDeque<DpPort>,
    packets: usize,
    bytes: usize,
    /// The worker of each receive queue.
    homes: HashMap<QueueId, usize>,
    /// Holds by worker.
    holds: HashMap<usize, usize>,
    /// Ports of which somebody has packets in hand.
    claimed: BTreeSet<DpPort>,
    /// Whoever waits is to look about.
    nudged: bool,
    closed: bool,
}

/// While it exists, [`MissQueue::pop`] gives out no packets of one worker.
#[derive(Debug)]
pub(crate) struct Hold(MissQueue, usize);

impl Hold {
    /// Whether packets of that worker are waiting now.
    pub(crate) fn has_packets(&self) -> bool {
        let state = self.0.lock();
        state.ports.values().any(|q| q.waiting.iter().any(|m| state.home(m.source) == self.1))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let Some(n) = state.holds.get_mut(&self.1) {
            *n -= 1;
            if *n == 0 {
                state.holds.remove(&self.1);
                self.0.0.arrived.notify_all();
            }
        }
    }
}

/// Packets in the hands of one of several who answer. Their ports' next ones are given out when it is dropped, which is to be
/// after the answers to these were handed over.
#[derive(Debug)]
pub struct Claim {
    queue: MissQueue,
    ports: BTreeSet<DpPort>,
    misses: Vec<Miss>,
}

impl Claim {
    /// Whether nothing was waiting.
    pub fn is_empty(&self) -> bool {
        self.misses.is_empty()
    }

    /// The packets, in order; none the second time.
    pub fn take(&mut self) -> Vec<Miss> {
        std::mem::take(&mut self.misses)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.ports.is_empty() {
            let mut state = self.queue.lock();
            state.claimed.retain(|port| !self.ports.contains(port));
            if state.has_turn() {
                self.queue.0.arrived.notify_one();
            }
        }
    }
}

#[derive(Debug, Default)]
struct PortQueue {
    waiting: VecDeque<Miss>,
    bytes: usize,
    lost: u64,
}

impl MissQueue {
    pub(crate) fn new(limit: usize) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { state, arrived: Condvar::new(), limit: limit.max(1) }))
    }

    /// Takes at most `max` packets, ports taking turns packet by packet. Waits at most `timeout` (of the operating system's
    /// time, whatever the datapath's clock does) for the first; empty when none came or the datapath has stopped.
    pub fn pop(&self, max: usize, timeout: Duration) -> Vec<Miss> {
        let state = self.lock();
        let idle = |s: &mut State| !s.has_turn() && !s.closed;
        let (mut state, _) = self
            .0
            .arrived
            .wait_timeout_while(state, timeout, idle)
            .unwrap_or_else(|e| e.into_inner());
        let mut out = Vec::with_capacity(max.min(state.packets));
        while out.len() < max
            && let Some((_, miss)) = state.take_turn(|_| true)
        {
            out.push(miss);
        }
        out
    }

    /// Takes at most `max` packets that wait now, ports taking turns packet by packet, for one of so many `hands`: ports are
    /// left for the others. See [`Claim`].
    pub fn claim(&self, max: usize, hands: usize) -> Claim {
        let mut state = self.lock();
        let most_ports = state.turns.len().div_ceil(hands.max(1));
        let (mut ports, mut misses) = (BTreeSet::new(), Vec::with_capacity(max.min(state.packets)));
        while misses.len() < max {
            let full = ports.len() >= most_ports;
            let Some((port, miss)) = state.take_turn(|port| !full || ports.contains(&port)) else {
                break;
            };
            ports.insert(port);
            misses.push(miss);
        }
        state.claimed.extend(&ports);
        if state.has_turn() {
            self.0.arrived.notify_one();
        }
        Claim { queue: self.clone(), ports, misses }
    }

    /// A claim on the ports of packets that are at hand but not in the queue; `None` if any of these ports' packets wait, or
    /// somebody has some.
    pub(crate) fn claim_all(&self, misses: &[Miss]) -> Option<Claim> {
        let mut state = self.lock();
        let ports: BTreeSet<DpPort> = misses.iter().map(|m| state.port(m)).collect();
        let is_taken = |port: &DpPort| {
            let waits = state.ports.get(port).is_some_and(|queue| !queue.waiting.is_empty());
            waits || state.claimed.contains(port)
        };
        if misses.is_empty() || state.closed || ports.iter().any(is_taken) {
            return None;
        }
        state.claimed.extend(&ports);
        Some(Claim { queue: self.clone(), ports, misses: Vec::new() })
    }

    /// Whether nothing waits, and nobody has anything in hand.
    pub fn is_at_rest(&self) -> bool {
        let state = self.lock();
        state.packets == 0 && state.claimed.is_empty()
    }

    /// Waits at most `timeout` until [`MissQueue::pop`] would give something, the datapath has stopped, or there is news of
    /// tunnels' other ends ([`crate::Datapath::peers`]). False: nothing of that.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.wait_while(timeout, || true)
    }

    /// The same, as long as somebody wishes to wait: he is asked again after [`MissQueue::wake`].
    pub fn wait_while(&self, timeout: Duration, wishes: impl Fn() -> bool) -> bool {
        let idle = |s: &mut State| !s.has_turn() && !s.closed && !s.nudged && wishes();
        let waited = self.0.arrived.wait_timeout_while(self.lock(), timeout, idle);
        let (mut state, waited) = waited.unwrap_or_else(|e| e.into_inner());
        state.nudged = false;
        !waited.timed_out()
    }

    /// Asks everybody who waits whether he still wishes to.
    pub fn wake(&self) {
        let _state = self.lock();
        self.0.arrived.notify_all();
    }

    /// Ends a [`MissQueue::wait`], this one or the next.
    pub(crate) fn nudge(&self) {
        self.lock().nudged = true;
        self.0.arrived.notify_all();
    }

    /// Packets waiting now.
    pub fn len(&self) -> usize {
        self.lock().packets
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the datapath has stopped: nothing will come any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Packets lost because there was no room, per input port.
    pub fn lost(&self) -> Vec<(DpPort, u64)> {
        self.lock().ports.iter().filter(|(_, q)| q.lost > 0).map(|(p, q)| (*p, q.lost)).collect()
    }

    /// Gives out none of this worker's packets for a while.
    pub(crate) fn hold(&self, worker: usize) -> Hold {
        *self.lock().holds.entry(worker).or_default() += 1;
        Hold(self.clone(), worker)
    }

    /// A receive queue is served by this worker from now on.
    pub(crate) fn set_home(&self, queue: QueueId, worker: usize) {
        self.lock().homes.insert(queue, worker);
    }

    /// A receive queue is gone.
    pub(crate) fn forget_home(&self, queue: QueueId) {
        self.lock().homes.remove(&queue);
    }

    /// The worker that packets of this source belong to.
    pub(crate) fn home(&self, source: Source) -> usize {
        self.lock().home(source)
    }

    /// Opens a port's queue. Packets of ports without one share [`DpPort::NONE`]'s.
    pub(crate) fn add_port(&self, port: DpPort) {
        self.lock().ports.entry(port).or_default();
    }

    /// Forgets a port and what waits in its queue.
    pub(crate) fn remove_port(&self, port: DpPort) {
        let mut state = self.lock();
        if let Some(queue) = state.ports.remove(&port) {
            state.packets -= queue.waiting.len();
            state.bytes -= queue.bytes;
            state.turns.retain(|p| *p != port);
        }
    }

    /// Nothing comes any more; what waits is freed.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.turns.clear();
        state.ports.clear();
        (state.packets, state.bytes) = (0, 0);
        self.0.arrived.notify_all();
    }

    /// Queues all of `misses`, in order, leaving it empty; `lost` is told of each packet for which there is no room.
    pub(crate) fn push(&self, misses: &mut Vec<Miss>, mut lost: impl FnMut(MissReason)) {
        if misses.is_empty() {
            return;
        }
        let mut state = self.lock();
        for miss in misses.drain(..) {
            if let Some(victim) = state.push(miss, self.0.limit) {
                lost(victim.reason);
            }
        }
        drop(state);
        self.0.arrived.notify_one();
    }

    /// Takes back the packets of one worker that missed and that `answered` now knows a flow for, in the order in which
    /// they came, port by port.
    pub(crate) fn reclaim(
        &self,
        worker: usize,
        mut answered: impl FnMut(&Miss) -> bool,
    ) -> Vec<Miss> {
        let mut out = Vec::new();
        let mut guard = self.lock();
        let state = &mut *guard;
        let homes = &state.homes;
        for queue in state.ports.values_mut().filter(|q| !q.waiting.is_empty()) {
            let mut kept = VecDeque::with_capacity(queue.waiting.len());
            for miss in queue.waiting.drain(..) {
                let is_ours = home(homes, miss.source) == worker;
                if is_ours && miss.reason == MissReason::NoFlow && answered(&miss) {
                    queue.bytes -= miss.packet.buf.footprint();
                    state.bytes -= miss.packet.buf.footprint();
                    state.packets -= 1;
                    out.push(miss);
                } else {
                    kept.push_back(miss);
                }
            }
            queue.waiting = kept;
        }
        let ports = &state.ports;
        state.turns.retain(|p| ports.get(p).is_some_and(|q| !q.waiting.is_empty()));
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The worker of a source; the first one for queues that are gone.
fn home(homes: &HashMap<QueueId, usize>, source: Source) -> usize {
    match source {
        Source::Queue(queue) => homes.get(&queue).copied().unwrap_or(0),
        Source::Worker(worker) => worker,
    }
}

impl State {
    fn home(&self, source: Source) -> usize {
        home(&self.homes, source)
    }

    /// The port whose queue a packet belongs in.
    fn port(&self, miss: &Miss) -> DpPort {
        let port = miss.in_port();
        if self.ports.contains_key(&port) { port } else { DpPort::NONE }
    }

    /// Whether a port's oldest packet may be given out.
    fn is_free(&self, port: DpPort) -> bool {
        let oldest = self.ports.get(&port).and_then(|q| q.waiting.front());
        let oldest = oldest.filter(|_| !self.claimed.contains(&port));
        oldest.is_some_and(|miss| !self.holds.contains_key(&self.home(miss.source)))
    }

    fn has_turn(&self) -> bool {
        self.turns.iter().any(|port| self.is_free(*port))
    }

    /// The next packet, of a port that is `wanted`, and that port.
    fn take_turn(&mut self, wanted: impl Fn(DpPort) -> bool) -> Option<(DpPort, Miss)> {
        let at = self.turns.iter().position(|port| wanted(*port) && self.is_free(*port))?;
        let port = self.turns.remove(at)?;
        let queue = self.ports.get_mut(&port)?;
        let miss = queue.waiting.pop_front()?;
        if !queue.waiting.is_empty() {
            self.turns.push_back(port);
        }
        queue.bytes -= miss.packet.buf.footprint();
        self.bytes -= miss.packet.buf.footprint();
        self.packets -= 1;
        Some((port, miss))
    }

    /// Queues `miss`. Gives back the packet that has no room: `miss` itself, or one that waited in a longer queue.
    fn push(&mut self, miss: Miss, limit: usize) -> Option<Miss> {
        if self.closed {
            return Some(miss);
        }
        let port = self.port(&miss);
        let size = miss.packet.buf.footprint();
        let full = self.packets >= limit * TOTAL_PORTS || self.bytes + size > TOTAL_BYTES;
        let queue = self.ports.entry(port).or_default();
        if queue.waiting.len() >= limit || queue.bytes + size > PORT_BYTES {
            queue.lost += 1;
            return Some(miss);
        }
        let length = queue.waiting.len();
        let victim = if full { self.evict_longer_than(length) } else { None };
        let queue = self.ports.entry(port).or_default();
        if full && victim.is_none() {
            queue.lost += 1;
            return Some(miss);
        }
        if queue.waiting.is_empty() {
            self.turns.push_back(port);
        }
        queue.bytes += size;
        queue.waiting.push_back(miss);
        self.bytes += size;
        self.packets += 1;
        victim
    }

    /// The newest packet of the longest queue, if that is longer than `length`.
    fn evict_longer_than(&mut self, length: usize) -> Option<Miss> {
        let queue = self
            .ports
            .values_mut()
            .max_by_key(|q| q.waiting.len())
            .filter(|q| q.waiting.len() > length + 1)?;
        let victim = queue.waiting.pop_back()?;
        queue.lost += 1;
        queue.bytes -= victim.packet.buf.footprint();
        self.bytes -= victim.packet.buf.footprint();
        self.packets -= 1;
        Some(victim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss(port: u32, n: u8, worker: usize) -> Miss {
        let key = FlowKey { in_port: port, nw_tos: n, ..FlowKey::default() };
        Miss {
            packet: Packet::from_frame(&[n; 60]),
            key,
            options: Box::default(),
            reason: MissReason::NoFlow,
            source: Source::Worker(worker),
        }
    }

    fn queue(limit: usize, ports: u32) -> MissQueue {
        let q = MissQueue::new(limit);
        (1..=ports).for_each(|p| q.add_port(DpPort(p)));
        q
    }

    fn seen(misses: &[Miss]) -> Vec<(u32, u8)> {
        misses.iter().map(|m| (m.key.in_port, m.key.nw_tos)).collect()
    }

    /// Queues these and counts the lost.
    fn push(q: &MissQueue, mut misses: Vec<Miss>) -> usize {
        let mut lost = 0;
        q.push(&mut misses, |_| lost += 1);
        lost
    }

    #[test]
    fn a_flood_from_one_port_does_not_delay_another() {
        let q = queue(100, 2);
        push(&q, (0..50).map(|n| miss(1, n, 0)).collect());
        push(&q, vec![miss(2, 0, 0)]);
        assert_eq!(seen(&q.pop(3, Duration::ZERO)), [(1, 0), (2, 0), (1, 1)]);
        assert_eq!(q.len(), 48);
    }

    #[test]
    fn overflow_is_lost_and_counted_for_its_port() {
        let q = queue(4, 2);
        assert_eq!(push(&q, (0..7).map(|n| miss(1, n, 0)).collect()), 3);
        assert_eq!(push(&q, vec![miss(2, 0, 0), miss(9, 0, 0)]), 0);
        assert_eq!(q.lost(), [(DpPort(1), 3)]);
        assert_eq!(q.pop(100, Duration::ZERO).len(), 6);
        assert!(q.is_empty() && q.pop(1, Duration::ZERO).is_empty());
    }

    #[test]
    fn when_all_is_full_the_longest_queue_gives_way() {
        let q = queue(4, 20);
        for port in 1..=8 {
            assert_eq!(push(&q, (0..4).map(|n| miss(port, n, 0)).collect()), 0);
        }
        // 32 packets wait: the total. A ninth port still gets in, up to the others' length.
        assert_eq!(push(&q, (0..4).map(|n| miss(9, n, 0)).collect()), 4);
        assert_eq!(q.len(), 32);
        let out = seen(&q.pop(100, Duration::ZERO));
        assert_eq!(
            out.iter().filter(|(p, _)| *p == 9).map(|(_, n)| *n).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!(q.lost().iter().map(|(_, n)| n).sum::<u64>(), 4);
    }

    #[test]
    fn huge_packets_are_bounded_by_bytes() {
        let q = queue(1000, 1);
        let huge = || {
            let mut m = miss(1, 0, 0);
            m.packet = Packet::from_frame(&vec![0; 60_000]);
            m
        };
        assert!(push(&q, (0..100).map(|_| huge()).collect()) > 0);
        assert!(q.len() * 60_000 <= PORT_BYTES);
    }

    #[test]
    fn workers_take_back_what_is_answered_in_order() {
        let q = queue(10, 2);
        push(&q, vec![miss(1, 1, 0), miss(1, 2, 1), miss(1, 3, 0), miss(1, 1, 0), miss(2, 1, 0)]);
        assert_eq!(seen(&q.reclaim(0, |m| m.key.nw_tos == 1)), [(1, 1), (1, 1), (2, 1)]);
        assert_eq!(seen(&q.pop(10, Duration::ZERO)), [(1, 2), (1, 3)]);
        assert_eq!(push(&q, vec![miss(2, 7, 0)]), 0);
        assert_eq!(seen(&q.pop(10, Duration::ZERO)), [(2, 7)]);
    }

    #[test]
    fn held_packets_wait_and_others_pass() {
        let q = queue(10, 3);
        push(&q, vec![miss(1, 1, 0), miss(2, 2, 1), miss(3, 3, 0), miss(3, 4, 1)]);
        let (first, second) = (q.hold(0), q.hold(0));
        assert_eq!(seen(&q.pop(10, Duration::ZERO)), [(2, 2)]);
        drop(first);
        assert!(q.pop(10, Duration::ZERO).is_empty());
        let waiter = {
            let q = q.clone();
            std::thread::spawn(move || q.pop(10, Duration::from_secs(60)))
        };
        drop(second);
        assert_eq!(seen(&waiter.join().unwrap()), [(1, 1), (3, 3), (3, 4)]);
    }

    #[test]
    fn removed_ports_and_closing_free_what_waits() {
        let q = queue(10, 2);
        push(&q, vec![miss(1, 1, 0), miss(2, 2, 0)]);
        q.remove_port(DpPort(1));
        assert_eq!(q.len(), 1);
        let waiter = {
            let q = q.clone();
            std::thread::spawn(move || {
                q.pop(1, Duration::ZERO);
                q.pop(1, Duration::from_secs(60))
            })
        };
        while !q.is_empty() {
            std::thread::yield_now();
        }
        q.close();
        assert!(waiter.join().unwrap().is_empty());
        assert_eq!(push(&q, vec![miss(2, 2, 0)]), 1);
        assert!(q.is_closed() && q.is_empty());
    }

    #[test]
    fn a_port_is_in_one_hand_at_a_time() {
        let q = queue(100, 3);
        push(&q, vec![miss(1, 0, 0), miss(1, 1, 0), miss(2, 0, 0), miss(3, 0, 0), miss(1, 2, 0)]);
        let mut first = q.claim(3, 2);
        assert_eq!(seen(&first.take()), [(1, 0), (2, 0), (1, 1)], "two ports of three");
        let mut second = q.claim(10, 2);
        assert_eq!(seen(&second.take()), [(3, 0)], "what the first has left");
        assert!(q.claim(10, 2).is_empty(), "port 1 waits for its first two");
        drop(first);
        assert_eq!(seen(&q.claim(10, 1).take()), [(1, 2)]);
        assert!(q.is_empty() && !q.is_at_rest(), "one is still in hand");
        drop(second);
        assert!(q.is_at_rest());
    }

    #[test]
    fn whoever_waits_is_asked_whether_he_still_wishes_to() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let (q, stop) = (queue(4, 1), Arc::new(AtomicBool::new(false)));
        let waits = std::thread::spawn({
            let (q, stop) = (q.clone(), stop.clone());
            move || q.wait_while(Duration::from_secs(60), || !stop.load(Ordering::Relaxed))
        });
        stop.store(true, Ordering::Relaxed);
        q.wake();
        assert!(waits.join().unwrap(), "long before the minute is over");
    }
}
