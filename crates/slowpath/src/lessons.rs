//! What packets count for, and what they teach.
//!
//! Counting needs no more than to read the state: every count is an atomic of its own, or has a lock of its own. Learning (a
//! station, a neighbour, a rule) writes. Most packets teach nothing: the station is known, and was heard a moment ago. So
//! whoever answers packets first asks, as a reader, whether there is news ([`State::has_news`]).

use std::sync::Arc;

use base::Instant;
use flow::tcp_flag;
use xlate::{Effect, Use};

use crate::Shared;
use crate::flows::Delta;
use crate::state::State;
use crate::tally::Tally;

/// What a flow's packets teach, to be learned by a writer.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// What they use.
    pub(crate) uses: Arc<[Use]>,
    /// What they were.
    pub(crate) delta: Delta,
    /// When the last of them came.
    pub(crate) at: Instant,
}

/// Whether packets like these end a connection.
fn ends(delta: Delta) -> bool {
    delta.tcp_flags & (tcp_flag::FIN | tcp_flag::RST) != 0
}

impl State {
    /// Whether [`Shared::teach`] would write.
    pub(crate) fn has_news(&self, uses: &[Use], delta: Delta, now: Instant) -> bool {
        uses.iter().any(|used| match used {
            Use::LearnRule(learn) => self.wants_rule(learn, now),
            Use::Shorten(_) => ends(delta),
            Use::Learn(learn) => self.macs.get(&learn.bridge).is_none_or(|table| {
                learn.announces || table.has_news(learn.vlan, learn.mac, learn.port, now)
            }),
            Use::Neighbour(n) => self.neighbours.has_use(&n.bridge, n.ip, n.asker, now),
            Use::NeighbourSeen(seen) => self.neighbours.has_news(seen, now),
            Use::Rx(_)
            | Use::Tx(_)
            | Use::TxDrop(..)
            | Use::Met(_)
            | Use::Table(..)
            | Use::Group(_)
            | Use::Grown(_)
            | Use::Bucket(..)
            | Use::Frozen(..) => false,
        })
    }

    /// Whether [`Shared::apply`] would write.
    pub(crate) fn has_effect(&self, effects: &[Effect], now: Instant) -> bool {
        effects.iter().any(|effect| match effect {
            Effect::Learn(learn) => self.macs.get(&learn.bridge).is_none_or(|table| {
                learn.announces || table.has_news(learn.vlan, learn.mac, learn.port, now)
            }),
            Effect::NeighbourSeen(seen) => self.neighbours.has_news(seen, now),
            Effect::Resolve(_) => true,
        })
    }
}

impl Shared {
    /// Counts packets for what they used; for rules, in a tally.
    pub(crate) fn count(
        &self,
        (state, tally): (&State, &mut Tally),
        uses: &[Use],
        mut delta: Delta,
        at: Instant,
    ) {
        for used in uses {
            match used {
                Use::Grown(by) => {
                    let packets = i64::try_from(delta.packets).unwrap_or(i64::MAX);
                    let all = packets.saturating_mul(i64::from(*by));
                    delta.bytes = delta.bytes.saturating_add_signed(all);
                }
                Use::Rx(port) => state.count_traffic(*port, |t| {
                    t.rx_packets += delta.packets;
                    t.rx_bytes += delta.bytes;
                }),
                Use::Tx(port) => state.count_traffic(*port, |t| {
                    t.tx_packets += delta.packets;
                    t.tx_bytes += delta.bytes;
                }),
                Use::TxDrop(port, _) => {
                    state.count_traffic(*port, |t| t.tx_dropped += delta.packets);
                }
                Use::Bucket(at, bucket) => state.aggregates.count(*at, *bucket, delta.bytes),
                Use::Met(met) => tally.add(state, met, delta, at),
                Use::Group(grouped) => {
                    let usage = &grouped.group.usage;
                    match grouped.bucket {
                        Some((bucket, false)) => {
                            usage.credit_bucket(Some(bucket), delta.packets, delta.bytes);
                        }
                        alone => {
                            let bucket = alone.map(|(bucket, _)| bucket);
                            usage.credit(bucket, delta.packets, delta.bytes);
                        }
                    }
                }
                Use::Table(..)
                | Use::LearnRule(_)
                | Use::Shorten(_)
                | Use::Frozen(..)
                | Use::Learn(_)
                | Use::Neighbour(_)
                | Use::NeighbourSeen(_) => {}
            }
        }
    }

    /// Learns from packets that used these.
    pub(crate) fn teach(&self, state: &mut State, uses: &[Use], delta: Delta, now: Instant) {
        for used in uses {
            match used {
                Use::LearnRule(learn) => self.learn_rule(state, learn, now),
                Use::Shorten(s) if ends(delta) => self.shorten(state, s),
                Use::Learn(learn) => state.refresh(learn, now),
                Use::Neighbour(n) => state.neighbours.used(&n.bridge, n.ip, n.asker, now),
                Use::NeighbourSeen(seen) => {
                    state.neighbours.observe(seen, now);
                }
                Use::Rx(_)
                | Use::Tx(_)
                | Use::TxDrop(..)
                | Use::Met(_)
                | Use::Table(..)
                | Use::Group(_)
                | Use::Shorten(_)
                | Use::Grown(_)
                | Use::Bucket(..)
                | Use::Frozen(..) => {}
            }
        }
    }

    /// Both.
    pub(crate) fn credit(&self, state: &mut State, uses: &[Use], delta: Delta, now: Instant) {
        let mut tally = Tally::default();
        self.count((state, &mut tally), uses, delta, now);
        tally.write(state);
        self.teach(state, uses, delta, now);
    }

    /// Learns what flows have told.
    pub(crate) fn learn(&self, lessons: Vec<Lesson>) {
        if lessons.is_empty() {
            return;
        }
        let mut state = self.write();
        for Lesson { uses, delta, at } in lessons {
            self.teach(&mut state, &uses, delta, at);
        }
        self.note_change(&mut state);
    }

    /// Applies what a packet taught.
    pub(crate) fn apply(&self, state: &mut State, effects: Vec<Effect>, now: Instant) {
        for effect in effects {
            match effect {
                Effect::Learn(learn) => state.learn(&learn, now),
                Effect::NeighbourSeen(seen) => {
                    state.neighbours.observe(&seen, now);
                }
                Effect::Resolve(r) => {
                    state.neighbours.want(&r.bridge, r.ip, r.asker, now);
                }
            }
        }
    }
}
