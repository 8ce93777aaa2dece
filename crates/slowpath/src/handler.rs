//! Misses: translate, apply what the packet teaches, install the flow, send the packet on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::Instant;
use datapath::{Answers, Miss, MissReason};
use flow::{Action, Mask, MaskedKey, SlowReason, tcp_flag};
use xlate::{Effect, Request, Translation, Use, Wait, translate, translate_tunnel_output};

use crate::flows::Delta;
use crate::state::State;
use crate::{Shared, lock};

/// Misses answered together.
const BATCH: usize = 64;
/// How long to sleep on an empty queue before looking whether the datapath has stopped.
const IDLE: Duration = Duration::from_secs(1);

/// The handler thread: until the datapath stops or the slow path does.
pub(crate) fn run(shared: &Shared) {
    let queue = shared.datapath.misses();
    while !queue.is_closed() && !shared.control.stopped() {
        queue.wait(IDLE);
        let _answering = lock(&shared.answering);
        shared.note_peers();
        let misses = queue.pop(BATCH, Duration::ZERO);
        if !misses.is_empty() {
            shared.answer(misses);
        }
    }
}

/// What came of a miss.
struct Answer {
    miss: Miss,
    actions: Arc<[Action]>,
}

/// A flow that a miss of the batch in hand has brought.
#[derive(Clone)]
struct Installed {
    key: MaskedKey,
    actions: Arc<[Action]>,
    uses: Arc<[Use]>,
}

impl Shared {
    /// Answers misses in order.
    fn answer(&self, misses: Vec<Miss>) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let mut out = self.datapath.answers();
        let mut installed: Vec<Installed> = Vec::new();
        for miss in misses {
            self.count.upcalls.inc();
            let answer = match miss.reason {
                MissReason::NoFlow => {
                    // Earlier misses of this very batch may have brought the flow.
                    let known = installed.iter().find(|flow| flow.key.matches(&miss.key)).cloned();
                    match known {
                        Some(flow) => {
                            // The flow does not count it: it never passes the flow table.
                            let bytes = miss.packet.buf.len() as u64;
                            self.credit(
                                &mut state,
                                &flow.uses,
                                Delta { packets: 1, bytes, tcp_flags: miss.key.tcp_flags },
                                now,
                            );
                            Some(Answer { miss, actions: flow.actions })
                        }
                        None => Some(self.translate_miss(
                            &mut state,
                            &mut out,
                            miss,
                            &mut installed,
                            now,
                        )),
                    }
                }
                MissReason::Action(SlowReason::Neighbour(token)) => {
                    self.wait_or_go(&mut state, miss, token, now)
                }
                MissReason::Action(SlowReason::Controller(message)) => {
                    self.tell_controllers(&state, &miss, message.state);
                    None
                }
                MissReason::Action(_) => None, // nothing asks for these yet
            };
            if let Some(Answer { miss, actions }) = answer {
                out.resume(miss, actions);
            }
        }
        drop(out);
        self.release_ready(&mut state, now);
        self.solicit(&mut state, now);
        self.note_change(&mut state);
    }

    fn translate_miss(
        &self,
        state: &mut State,
        out: &mut Answers<'_>,
        miss: Miss,
        installed: &mut Vec<Installed>,
        now: Instant,
    ) -> Answer {
        let version = state.version();
        let request = Request {
            key: &miss.key,
            packet: Some(miss.packet.bytes()),
            now,
            want_trace: false,
            entered: None,
        };
        let t = translate(&state.snapshot, &state.tables(), &request);
        let Translation { actions, mask, effects, uses, .. } = t;
        let bytes = miss.packet.buf.len() as u64;
        self.credit(state, &uses, Delta { packets: 1, bytes, tcp_flags: miss.key.tcp_flags }, now);
        self.apply(state, effects, now);
        let actions: Arc<[Action]> = actions.into();
        let mask = if self.exact_flows.load(Ordering::Relaxed) { Mask::exact() } else { mask };
        let key = MaskedKey::new(&miss.key, &mask);
        let mut flows = lock(&self.flows);
        if flows.by_ufid.len() >= self.flow_limit.load(Ordering::Relaxed) {
            self.count.flow_refused.inc(); // the packet still goes its way
            state.held.hold(&uses, now);
            return Answer { miss, actions };
        }
        match out.put_flow(key, actions.clone(), version) {
            Ok(flow) => {
                let uses: Arc<[Use]> = uses.into();
                flows.insert(flow, miss.key, uses.clone(), version);
                installed.push(Installed { key, actions: actions.clone(), uses });
            }
            Err(_) => {
                self.count.flow_refused.inc();
                state.held.hold(&uses, now);
            }
        }
        Answer { miss, actions }
    }

    /// A packet at a tunnel output whose next hop was not known when its flow was made: by now it may be. If not, it waits.
    fn wait_or_go(
        &self,
        state: &mut State,
        miss: Miss,
        token: u64,
        now: Instant,
    ) -> Option<Answer> {
        let wait = Wait::from_token(token)?;
        let request = Request {
            key: &miss.key,
            packet: Some(miss.packet.bytes()),
            now,
            want_trace: false,
            entered: None,
        };
        let t = translate_tunnel_output(&state.snapshot, &state.tables(), wait, &request);
        let resolve = t.effects.iter().find_map(|e| match e {
            Effect::Resolve(r) => Some(r.clone()),
            _ => None,
        });
        let bytes = miss.packet.buf.len() as u64;
        let Some(resolve) = resolve else {
            self.credit(
                state,
                &t.uses,
                Delta { packets: 1, bytes, tcp_flags: miss.key.tcp_flags },
                now,
            );
            self.apply(state, t.effects, now);
            return Some(Answer { miss, actions: t.actions.into() });
        };
        let wanted = state.neighbours.want(&resolve.bridge, resolve.ip, resolve.asker, now);
        let kept = wanted && state.waiting.push(&resolve.bridge, resolve.ip, miss, now).is_none();
        if !kept {
            self.count.neighbour_dropped.inc();
        }
        None
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

    /// Credits packets to what they used.
    pub(crate) fn credit(&self, state: &mut State, uses: &[Use], delta: Delta, now: Instant) {
        for used in uses {
            match used {
                Use::Rx(port) => {
                    let t = state.traffic.entry(*port).or_default();
                    t.rx_packets += delta.packets;
                    t.rx_bytes += delta.bytes;
                }
                Use::Tx(port) => {
                    let t = state.traffic.entry(*port).or_default();
                    t.tx_packets += delta.packets;
                    t.tx_bytes += delta.bytes;
                }
                Use::TxDrop(port, _) => {
                    state.traffic.entry(*port).or_default().tx_dropped += delta.packets
                }
                Use::Met(met) => {
                    if let Some(rule) = &met.rule {
                        rule.usage.credit(delta.packets, delta.bytes, now);
                    }
                    let table = state.programs.get(&met.bridge).and_then(|p| p.table(met.table));
                    if let Some(table) = table {
                        table.credit(delta.packets, delta.packets * u64::from(met.rule.is_some()));
                    }
                }
                Use::LearnRule(learn) => self.learn_rule(state, learn, now),
                Use::Shorten(s) => {
                    let ends = delta.tcp_flags & (tcp_flag::FIN | tcp_flag::RST) != 0;
                    if let Some(program) = state.programs.get_mut(&s.bridge).filter(|_| ends) {
                        program.shorten(&s.rule, s.idle, s.hard);
                    }
                }
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
                Use::Frozen(..) => {}
                Use::Learn(learn) => state.refresh(learn, now),
                Use::Neighbour { bridge, ip, asker } => {
                    state.neighbours.used(bridge, *ip, *asker, now)
                }
                Use::NeighbourSeen(seen) => {
                    state.neighbours.observe(seen, now);
                }
            }
        }
    }

    /// Sends the packets on whose neighbour is known by now.
    pub(crate) fn release_ready(&self, state: &mut State, now: Instant) {
        if state.waiting.is_empty() {
            return;
        }
        let ready: Vec<_> = state
            .waiting
            .neighbours()
            .filter(|(bridge, ip)| {
                matches!(state.neighbours.lookup(bridge, *ip, now), tunnel::Lookup::Known(_))
            })
            .map(|(bridge, ip)| (bridge.clone(), ip))
            .collect();
        let mut out = self.datapath.answers();
        for (bridge, ip) in ready {
            for miss in state.waiting.take(&bridge, ip) {
                if let MissReason::Action(SlowReason::Neighbour(token)) = miss.reason
                    && let Some(Answer { miss, actions }) = self.wait_or_go(state, miss, token, now)
                {
                    out.resume(miss, actions);
                }
            }
        }
    }
}
