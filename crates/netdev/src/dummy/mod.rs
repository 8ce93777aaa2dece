//! The dummy device of tests: a queue to receive from that a test fills, and a transmit side that remembers and records.
//!
//! # What
//! The reference's `dummy` in all that tests use: frames injected by `netdev-dummy/receive`, capture files (`options:pcap`,
//! `tx_pcap`, `rxq_pcap`), addresses that answer ARP requests, an administrative state that does not hold up packets, and wires
//! to other programs' dummies (`options:stream`, `options:pstream`, see [`wire`](self)). Two dummies in one process can be
//! joined directly ([`Dummy::pair`]).
//!
//! # Design
//! One mutex guards all: speed is not the point here. The receive queue's descriptor is an epoll set of an event descriptor
//! (raised while frames wait) and the wire's sockets, so a worker that polls it also drives the wire; there is no thread.

mod capture;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base::Clock;
use packet::Packet;
use packet::wire::Header;
use packet::wire::arp::{ArpFrame, op};
use packet::wire::ethernet::EthernetHeader;
use rustix::event::{EventfdFlags, eventfd};
use stream::{Endpoint, Interest, Poller};
use zerocopy::IntoBytes;

use crate::common::{Losses, SharedAccepts};
use crate::finish::finish;
use crate::vnet;
use crate::{Accepts, Device, Pool, Received, RxQueue, Stats, Status, TxQueue};
use capture::Captures;
use wire::Wire;

pub use capture::Capture;

/// Frames that wait to be received, at most.
const QUEUE: usize = 1024;
const DEFAULT_MTU: u32 = 1500;
/// Receive queues at most.
const QUEUES: usize = 64;
/// Longest frame without a tag, beyond the MTU.
const OVERHEAD: u32 = 14 + 4;

/// What to make a dummy of.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Capture file for both directions.
    pub pcap: Option<PathBuf>,
    /// Capture file for transmitted frames.
    pub tx_pcap: Option<PathBuf>,
    /// Capture file for received frames.
    pub rxq_pcap: Option<PathBuf>,
    /// Connect to another program's dummy.
    pub stream: Option<Endpoint>,
    /// Wait for other programs' dummies.
    pub pstream: Option<Endpoint>,
    /// Receive queues, for a "dummy-pmd"; others have one.
    pub n_rxq: usize,
}

impl Options {
    /// From an Interface row's `options`. Keys that are not a dummy's are ignored. The error says which value is no endpoint.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let path = |key: &str| options.get(key).map(PathBuf::from);
        let endpoint = |key: &str, passive: bool| {
            let Some(text) = options.get(key) else { return Ok(None) };
            match text.parse::<Endpoint>() {
                Ok(endpoint) if endpoint.is_passive() == passive => Ok(Some(endpoint)),
                Ok(_) if passive => Err(format!("{key}={text}: must be punix:PATH or ptcp:PORT")),
                Ok(_) => Err(format!("{key}={text}: must be unix:PATH or tcp:HOST:PORT")),
                Err(error) => Err(format!("{key}={text}: {error}")),
            }
        };
        Ok(Self {
            pcap: path("pcap"),
            tx_pcap: path("tx_pcap"),
            rxq_pcap: path("rxq_pcap"),
            stream: endpoint("stream", false)?,
            pstream: endpoint("pstream", true)?,
            n_rxq: options.get("n_rxq").and_then(|n| n.parse().ok()).unwrap_or(1),
        })
    }
}

/// A device without a kernel interface.
pub struct Dummy {
    shared: Arc<Shared>,
    kind: &'static str,
    rx: Mutex<Vec<Box<dyn RxQueue>>>,
}

struct Shared {
    name: String,
    /// One per receive queue, raised while frames wait there.
    events: Vec<OwnedFd>,
    /// Readable when frames wait in the first queue or the wire has something to do.
    poller: Poller,
    accepts: SharedAccepts,
    losses: Losses,
    state: Mutex<State>,
}

struct State {
    mac: [u8; 6],
    mtu: u32,
    up: bool,
    resets: u64,
    ip4: Vec<(Ipv4Addr, u8)>,
    ip6: Vec<(Ipv6Addr, u8)>,
    queues: Vec<VecDeque<Packet>>,
    stats: Stats,
    /// Packets and bytes that came by each queue.
    received: Vec<(u64, u64)>,
    captures: Captures,
    /// Transmitted packets for a test to look at, and how many are kept.
    sent: VecDeque<Packet>,
    keep: usize,
    wire: Wire,
    peer: Weak<Shared>,
}

const TOKEN_EVENT: u64 = 0;

impl Dummy {
    /// A dummy of that name, up, with an MTU of 1500. `kind` is how it is shown: "dummy" or "dummy-internal".
    pub fn new(
        name: &str,
        kind: &'static str,
        mac: [u8; 6],
        options: &Options,
        clock: &Clock,
    ) -> io::Result<Self> {
        let queues = if kind == "dummy-pmd" { options.n_rxq.clamp(1, QUEUES) } else { 1 };
        let event = |_| Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let events = (0..queues).map(event).collect::<io::Result<Vec<_>>>()?;
        let poller = Poller::new()?;
        poller.register(&events[0], TOKEN_EVENT, Interest::READABLE)?;
        let wire = Wire::open(options.stream.as_ref(), options.pstream.as_ref(), &poller)?;
        let state = State {
            mac,
            mtu: DEFAULT_MTU,
            up: true,
            resets: 0,
            ip4: Vec::new(),
            ip6: Vec::new(),
            queues: vec![VecDeque::new(); queues],
            stats: Stats::default(),
            received: vec![(0, 0); queues],
            captures: Captures::open(options, clock)?,
            sent: VecDeque::new(),
            keep: 0,
            wire,
            peer: Weak::new(),
        };
        let accepts = SharedAccepts::default();
        accepts.set(Accepts { frame_max: DEFAULT_MTU + OVERHEAD, ..Accepts::default() });
        let name = name.to_owned();
        let shared = Arc::new(Shared {
            name,
            events,
            poller,
            accepts,
            losses: Losses::default(),
            state: Mutex::new(state),
        });
        let rx = |queue| Box::new(Rx { shared: shared.clone(), queue }) as Box<dyn RxQueue>;
        let rx = (0..queues).map(rx).collect();
        Ok(Self { shared, kind, rx: Mutex::new(rx) })
    }

    /// Two dummies joined back to back: what one transmits the other receives.
    pub fn pair(names: [&str; 2], macs: [[u8; 6]; 2], clock: &Clock) -> io::Result<[Self; 2]> {
        let make = |i: usize| Self::new(names[i], "dummy", macs[i], &Options::default(), clock);
        let pair = [make(0)?, make(1)?];
        pair[0].shared.state().peer = Arc::downgrade(&pair[1].shared);
        pair[1].shared.state().peer = Arc::downgrade(&pair[0].shared);
        Ok(pair)
    }

    /// Hands a packet in, as if it had come from the wire. Says whether there was room for it.
    pub fn inject(&self, packet: Packet) -> bool {
        self.shared.inject(0, packet)
    }

    /// The same by one of its receive queues. There is no room in a queue that does not exist.
    pub fn inject_into(&self, queue: usize, packet: Packet) -> bool {
        self.shared.inject(queue, packet)
    }

    /// Receive queues.
    pub fn rx_queues(&self) -> usize {
        self.shared.events.len()
    }

    /// Keeps the last `count` transmitted packets for [`Dummy::take_sent`]; 0 (as at first) keeps none.
    pub fn keep_sent(&self, count: usize) {
        self.shared.state().keep = count;
    }

    /// The transmitted packets kept, oldest first; they are kept no longer.
    pub fn take_sent(&self) -> Vec<Packet> {
        self.shared.state().sent.drain(..).collect()
    }

    /// Says what the device claims to accept unfinished (at first: nothing). The frame limit stays the MTU's.
    pub fn set_accepts(&self, accepts: Accepts) {
        let frame_max = self.shared.accepts.get().frame_max;
        self.shared.accepts.set(Accepts { frame_max, ..accepts });
    }

    /// Gives the device an IPv4 address; it answers ARP requests for it. The routing table is the caller's to tell.
    pub fn add_ip4(&self, address: Ipv4Addr, prefix_len: u8) {
        self.shared.state().ip4.push((address, prefix_len));
    }

    /// Gives the device an IPv6 address.
    pub fn add_ip6(&self, address: Ipv6Addr, prefix_len: u8) {
        self.shared.state().ip6.push((address, prefix_len));
    }

    /// The IPv4 addresses given.
    pub fn ip4(&self) -> Vec<(Ipv4Addr, u8)> {
        self.shared.state().ip4.clone()
    }

    /// The IPv6 addresses given.
    pub fn ip6(&self) -> Vec<(Ipv6Addr, u8)> {
        self.shared.state().ip6.clone()
    }

    /// Whether the connection of `options:stream` stands; none for a dummy without that option.
    pub fn connected(&self) -> Option<bool> {
        self.shared.state().wire.connected()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inject(&self, queue: usize, packet: Packet) -> bool {
        self.enqueue(&mut self.state(), queue, packet)
    }

    fn enqueue(&self, state: &mut State, queue: usize, packet: Packet) -> bool {
        let Some(event) = self.events.get(queue) else { return false };
        if packet.buf.len() < EthernetHeader::LEN {
            self.losses.rx_malformed.inc();
            return false;
        }
        if state.queues[queue].len() >= QUEUE {
            self.losses.rx_dropped.inc();
            return false;
        }
        state.captures.received(packet.bytes());
        state.queues[queue].push_back(packet);
        // Cannot fail but by overflow, and then it is raised already.
        let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        true
    }

    fn transmit(&self, state: &mut State, packet: &Packet) {
        if vnet::is_too_long(packet, self.accepts.get().frame_max) {
            self.losses.tx_dropped.inc();
            return;
        }
        if let Some(reply) = state.arp_reply(packet.bytes()) {
            self.enqueue(state, 0, reply);
        }
        state.stats.tx_packets += 1;
        state.stats.tx_bytes += packet.buf.len() as u64;
        state.captures.transmitted(packet.bytes());
        if !state.wire.send(packet.bytes(), &self.poller) {
            self.losses.tx_dropped.inc();
        }
        if state.keep > 0 {
            let excess = (state.sent.len() + 1).saturating_sub(state.keep);
            state.sent.drain(..excess.min(state.sent.len()));
            state.sent.push_back(packet.clone());
        }
    }
}

impl State {
    /// What a host at our addresses would answer.
    fn arp_reply(&self, frame: &[u8]) -> Option<Packet> {
        let request = ArpFrame::view(frame)?;
        let arp = &request.arp;
        if request.ethernet.eth_type.get() != packet::wire::ethernet::eth_type::ARP
            || !arp.is_ipv4_over_ethernet()
            || arp.op.get() != op::REQUEST
        {
            return None;
        }
        let wanted = Ipv4Addr::from_bits(arp.tpa.get());
        self.ip4.iter().find(|(ip, _)| *ip == wanted)?;
        let reply = ArpFrame::reply(self.mac, wanted, arp.sha, Ipv4Addr::from_bits(arp.spa.get()));
        Some(Packet::from_frame(reply.as_bytes()))
    }
}

impl Device for Dummy {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        std::mem::take(&mut *self.rx.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tx_queue(&self) -> io::Result<Box<dyn TxQueue>> {
        Ok(Box::new(Tx { shared: self.shared.clone() }))
    }

    fn status(&self) -> io::Result<Status> {
        let state = self.shared.state();
        Ok(Status {
            mac: state.mac,
            mtu: state.mtu,
            admin_up: state.up,
            link_up: state.up,
            link_resets: state.resets,
            ..Status::default()
        })
    }

    fn stats(&self) -> io::Result<Stats> {
        let state = self.shared.state();
        let losses = &self.shared.losses;
        Ok(Stats {
            rx_dropped: losses.rx_dropped.get(),
            rx_errors: losses.rx_malformed.get(),
            tx_dropped: losses.tx_dropped.get(),
            tx_errors: losses.tx_errors.get(),
            ..state.stats
        })
    }

    /// The reference's dummies have two counters for the sake of having some, and then those of the queues.
    fn custom_stats(&self) -> Vec<(String, u64)> {
        let state = self.shared.state();
        let counter = |name: String, value| (name, value);
        let mut all: Vec<_> = (1..=2)
            .map(|n| counter(format!("rx_custom_packets_{n}"), state.stats.rx_packets))
            .collect();
        for (queue, (packets, bytes)) in state.received.iter().enumerate() {
            all.push(counter(format!("rx_q{queue}_bytes"), *bytes));
            all.push(counter(format!("rx_q{queue}_packets"), *packets));
        }
        all.push(counter("tx_q0_bytes".to_owned(), state.stats.tx_bytes));
        all.push(counter("tx_q0_packets".to_owned(), state.stats.tx_packets));
        all
    }

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        self.shared.state().mac = mac;
        Ok(())
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let frame_max = mtu.saturating_add(OVERHEAD);
        self.shared.state().mtu = mtu;
        self.shared.accepts.set(Accepts { frame_max, ..self.shared.accepts.get() });
        Ok(())
    }

    /// Changes what is shown, as with the reference; packets go on to pass.
    fn set_up(&self, up: bool) -> io::Result<()> {
        let mut state = self.shared.state();
        state.resets += u64::from(state.up != up);
        state.up = up;
        Ok(())
    }

    fn config(&self) -> BTreeMap<String, String> {
        if self.kind != "dummy-pmd" {
            return BTreeMap::new();
        }
        let (rx, tx) = (self.rx_queues().to_string(), "1".to_owned());
        let config = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        BTreeMap::from([
            config("configured_rx_queues", &rx),
            config("configured_tx_queues", &tx),
            config("requested_rx_queues", &rx),
            config("requested_tx_queues", &tx),
        ])
    }

    fn as_dummy(&self) -> Option<&Dummy> {
        Some(self)
    }
}

struct Rx {
    shared: Arc<Shared>,
    queue: usize,
}

impl RxQueue for Rx {
    fn fd(&self) -> BorrowedFd<'_> {
        match self.queue {
            0 => self.shared.poller.as_fd(),
            queue => self.shared.events[queue].as_fd(),
        }
    }

    fn recv(
        &mut self,
        _pool: &mut Pool,
        max: usize,
        out: &mut Vec<Packet>,
    ) -> io::Result<Received> {
        let mut state = self.shared.state();
        if self.queue == 0 {
            for frame in state.wire.service(&self.shared.poller) {
                self.shared.enqueue(&mut state, 0, Packet::from_frame(&frame));
            }
        }
        let count = max.min(state.queues[self.queue].len());
        for packet in state.queues[self.queue].drain(..count).collect::<Vec<_>>() {
            let bytes = packet.buf.len() as u64;
            state.stats.rx_packets += 1;
            state.stats.rx_bytes += bytes;
            state.received[self.queue].0 += 1;
            state.received[self.queue].1 += bytes;
            out.push(packet);
        }
        if !state.queues[self.queue].is_empty() {
            return Ok(Received::More);
        }
        // Nothing waits: lower the event. It is not raised at all when the wire alone woke us.
        let _ = rustix::io::read(&self.shared.events[self.queue], &mut [0u8; 8]);
        Ok(Received::Drained)
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
        let mut passed = Vec::new();
        let mut state = self.shared.state();
        let peer = state.peer.upgrade();
        for packet in batch.drain(..) {
            let unfinished = packet.offload.gso.is_some() && accepts.gso_max == 0
                || !packet.offload.is_complete() && !accepts.csum;
            let packets = if unfinished {
                finish(packet, accepts, pool, &self.shared.losses)
            } else {
                vec![packet]
            };
            for packet in packets {
                self.shared.transmit(&mut state, &packet);
                match peer {
                    Some(_) if !vnet::is_too_long(&packet, accepts.frame_max) => {
                        passed.push(packet)
                    }
                    _ => pool.put(packet.buf),
                }
            }
        }
        // Not with our own lock held: the peer may be sending to us.
        drop(state);
        if let Some(peer) = peer {
            for packet in passed {
                peer.inject(0, packet);
            }
        }
    }
}

#[cfg(test)]
mod tests;
