//! Packets that are too long for a tunnel: noted for the tunnel's state, and their senders told.
//!
//! The answer comes in by the tunnel port, as if a router on the way had sent it, and finds its way by the same rules as the
//! other end's packets. There is a bound on how many are sent, as in the kernel: who does not listen is not told for ever.

use base::{Instant, TokenBucket, Version};
use datapath::{Miss, MissReason};
use flow::{DpPort, FlowKey};
use packet::{Packet, fit};
use pipeline::PortRef;
use tunnel::state::TOO_BIG_LATELY;

use crate::state::State;
use crate::{Shared, lock};

/// Answers a second, and at once; the kernel's own numbers.
const ANSWERS: u64 = 1000;
const BURST: u64 = 50;

/// A packet that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// When the last one came.
    pub at: Instant,
    /// How many so far.
    pub packets: u64,
    /// Bytes of the last one's IP packet that would have fitted.
    pub mtu: u16,
}

/// All that the states of tunnels depend on: they are as they were while it is equal and nothing in it `ages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelNews {
    snapshot: Version,
    routes: Version,
    neighbours: [Version; 2],
    /// Time alone changes something: a packet that was too long is forgotten, an answer is waited for.
    pub ages: bool,
}

/// What may be sent from now on.
pub(crate) fn budget(now: Instant) -> TokenBucket {
    TokenBucket::new(ANSWERS, BURST, now)
}

impl Shared {
    /// A packet was dropped because it is too long.
    pub(crate) fn too_big(&self, state: &State, miss: &Miss, now: Instant) {
        let MissReason::TooBig { mtu, answers, .. } = miss.reason else { return };
        let metadata =
            FlowKey { in_port: miss.key.in_port, tunnel: miss.key.tunnel, ..FlowKey::default() };
        if let Some(port) = state.tunnel_of(&metadata, miss.key.packet_type == 0) {
            state.note_too_big(port, mtu, now);
            state.count_traffic(port, |traffic| traffic.tx_dropped += 1);
        }
        if !answers || !lock(&self.answers).take(1, now) {
            return;
        }
        // It comes in as what was too long would have: with an Ethernet header or without.
        let metadata = FlowKey { packet_type: miss.key.packet_type, ..metadata };
        let answer = match miss.key.packet_type {
            0 => fit::answer(miss.packet.bytes(), mtu),
            _ => fit::answer_bare(miss.packet.bytes(), mtu),
        };
        if let Some(packet) = answer {
            self.count.too_big_answered.inc();
            self.datapath.inject(Packet::from_frame(&packet), metadata, None);
        }
    }
}

impl State {
    /// The tunnel port that packets with this key come in by, frames or others.
    fn tunnel_of(&self, key: &FlowKey, is_frame: bool) -> Option<PortRef> {
        let endpoints = self.snapshot.endpoints();
        let endpoint = endpoints.find(DpPort(key.in_port), &key.tunnel, is_frame)?;
        self.snapshot.endpoint_port(endpoint)
    }

    fn note_too_big(&self, port: PortRef, mtu: u16, now: Instant) {
        let mut all = lock(&self.too_big);
        let noted = all.entry(port).or_insert(TooBig { at: now, packets: 0, mtu });
        *noted = TooBig { at: now, packets: noted.packets + 1, mtu };
    }

    /// What the states of tunnels depend on.
    pub fn tunnel_news(&self, now: Instant) -> TunnelNews {
        let is_late = |seen: &TooBig| now.since(seen.at) < TOO_BIG_LATELY;
        TunnelNews {
            snapshot: self.snapshot.version(),
            routes: self.routes.version(),
            neighbours: self.neighbours.state_version(),
            ages: self.neighbours.waits() || lock(&self.too_big).values().any(is_late),
        }
    }

    /// What was too long for a tunnel port, if anything was.
    pub fn too_big_for(&self, port: PortRef) -> Option<TooBig> {
        lock(&self.too_big).get(&port).copied()
    }
}
