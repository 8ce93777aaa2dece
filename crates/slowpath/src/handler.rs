//! Misses: translate, apply what the packet teaches, install the flow, send the packet on.
//!
//! # Several at once
//! There may be several handlers ([`crate::SlowPath::set_handlers`]). Each takes packets of ports that no other has in hand
//! ([`datapath::Claim`]), so those of one flow stay in order; and reads the state while others do. What it has
//! made, workers are told of before it lets go of the state, so that who changes the state next finds no flow on its way.
//!
//! # In the worker
//! A worker whom nobody waits for answers its misses itself ([`AtOnce`]), if a reader can and need not wait. To hand them to
//! a handler, and have it hand the answer back, would cost more than the answer.
//!
//! # Readers first
//! A batch is translated by a reader. If one of its packets teaches something, nothing has been done yet: the batch is begun
//! again by a writer, so that what the first packet teaches holds for the second.

use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use base::Instant;
use datapath::{Answers, Matching, Miss, MissReason, Resolver};
use flow::{Action, DpPort, FlowKey, Mask, OptionMask, Protocol, RecircId, SlowReason};
use xlate::{
    Effect, Memory, Request, Translation, Use, Wait, translate, translate_tunnel_output,
    translate_with,
};

use crate::flows::{Delta, Flows};
use crate::path_mtu::News;
use crate::state::State;
use crate::tally::Tally;
use crate::{Shared, lock};

/// Misses answered together.
const BATCH: usize = 64;
/// How long to sleep on an empty queue before looking whether the datapath has stopped.
const IDLE: Duration = Duration::from_secs(1);

/// A handler thread, one of several: until the datapath or the slow path stops, or there are to be fewer.
pub(crate) fn run(shared: &Shared, number: usize) {
    let queue = shared.datapath.misses();
    let wanted = || number < shared.handlers.load(Ordering::Relaxed) && !shared.control.stopped();
    while !queue.is_closed() && wanted() {
        queue.wait_while(IDLE, wanted);
        shared.note_peers();
        let mut claim = queue.claim(BATCH, shared.handlers.load(Ordering::Relaxed));
        if !claim.is_empty() {
            shared.answer(claim.take());
        }
    }
}

/// Answers misses in the workers where they come up.
pub(crate) struct AtOnce(pub(crate) Weak<Shared>);

impl Resolver for AtOnce {
    fn resolve(&self, misses: Vec<Miss>, answers: Answers<'_>) -> Result<(), Vec<Miss>> {
        match self.0.upgrade() {
            Some(shared) => shared.answer_at_once(misses, answers),
            None => Err(misses),
        }
    }
}

/// The state, as a handler has it.
enum Access<'a> {
    Read(RwLockReadGuard<'a, State>),
    Write(RwLockWriteGuard<'a, State>),
}

impl Access<'_> {
    fn state(&self) -> &State {
        match self {
            Access::Read(state) => state,
            Access::Write(state) => state,
        }
    }

    fn role(&mut self) -> Role<'_> {
        match self {
            Access::Read(state) => Role::Reader(state),
            Access::Write(state) => Role::Writer(state),
        }
    }
}

/// The same, while a batch is planned.
enum Role<'a> {
    Reader(&'a State),
    Writer(&'a mut State),
}

/// A flow that a batch brings.
struct Brought {
    actions: Arc<[Action]>,
    uses: Arc<[Use]>,
    /// An attempt was made to install it.
    tried: bool,
}

/// What is to become of a miss.
enum Fate {
    /// What this flow of its batch does.
    Flow(usize),
    /// It goes on, or waits for its neighbour.
    Neighbour(u64),
    /// Controllers are told.
    Controller(RecircId),
    /// Its sender is told that it is too long for a tunnel.
    TooBig,
    /// It tells how long packets of a tunnel may be.
    PathMtu,
    /// It is a part of a packet that may be a tunnel's.
    Fragment(DpPort),
    /// It is for the aggregate that it came in by.
    Aggregate,
    /// Nothing.
    Nothing,
}

/// What is to be done about a batch.
#[derive(Default)]
struct Plan {
    fates: Vec<Fate>,
    flows: NewFlows,
}

/// The flows that a batch brings.
#[derive(Default)]
struct NewFlows {
    brought: Vec<Brought>,
    /// What they match: apart, for each packet is compared with all of them.
    matchings: Vec<Matching>,
}

/// What came of a miss.
struct Answer {
    miss: Miss,
    actions: Arc<[Action]>,
}

impl Shared {
    /// Answers misses in order, if it takes no more than reading, and nobody changes anything at the moment.
    fn answer_at_once(&self, misses: Vec<Miss>, answers: Answers<'_>) -> Result<(), Vec<Miss>> {
        let Some(state) = self.try_read() else { return Err(misses) };
        if state.peers.version() != self.datapath.peers_version() {
            return Err(misses);
        }
        let now = self.clock.now();
        let mut access = Access::Read(state);
        let Some(plan) = self.plan(&mut access, &misses, now) else { return Err(misses) };
        self.count.upcalls.add(misses.len() as u64);
        self.carry_out(&mut access, misses, plan, answers, now);
        Ok(())
    }

    /// Answers misses in order.
    fn answer(&self, misses: Vec<Miss>) {
        let now = self.clock.now();
        self.count.upcalls.add(misses.len() as u64);
        let mut access = Access::Read(self.read());
        let plan = match self.plan(&mut access, &misses, now) {
            Some(plan) => plan,
            None => {
                drop(access);
                access = Access::Write(self.write());
                // A writer does not give up.
                self.plan(&mut access, &misses, now).unwrap_or_default()
            }
        };
        self.carry_out(&mut access, misses, plan, self.datapath.answers(), now);
        if let Access::Write(state) = &mut access {
            self.release_ready(state, now);
            self.solicit(state, now);
            self.note_change(state);
        }
    }

    /// What is to become of each; `None` if that takes a writer, for there is something to learn.
    fn plan(&self, access: &mut Access<'_>, misses: &[Miss], now: Instant) -> Option<Plan> {
        match access.role() {
            Role::Reader(state) => {
                let (tables, mut memory) = (state.tables(), Memory::default());
                self.plan_by(Role::Reader(state), misses, now, |_, request| {
                    translate_with(&state.snapshot, &tables, request, &mut memory)
                })
            }
            // What it learns may change what tables say.
            writer => self.plan_by(writer, misses, now, |state, request| {
                translate(&state.snapshot, &state.tables(), request)
            }),
        }
    }

    fn plan_by<'m>(
        &self,
        mut role: Role<'_>,
        misses: &'m [Miss],
        now: Instant,
        mut translate: impl FnMut(&State, &Request<'m>) -> Translation,
    ) -> Option<Plan> {
        let count = misses.len();
        let flows =
            NewFlows { brought: Vec::with_capacity(count), matchings: Vec::with_capacity(count) };
        let mut plan = Plan { fates: Vec::with_capacity(count), flows };
        for miss in misses {
            let fate = match miss.reason {
                MissReason::NoFlow => {
                    self.find_flow(&mut role, miss, &mut plan.flows, now, &mut translate)?
                }
                MissReason::Action(SlowReason::Neighbour(token)) => match role {
                    Role::Reader(_) => return None,
                    Role::Writer(_) => Fate::Neighbour(token),
                },
                MissReason::Action(SlowReason::Controller(message)) => {
                    Fate::Controller(message.state)
                }
                MissReason::Action(SlowReason::PathMtu) => match &role {
                    Role::Reader(state) if matches!(state.path_news(miss), News::Narrower(..)) => {
                        return None;
                    }
                    Role::Reader(_) | Role::Writer(_) => Fate::PathMtu,
                },
                MissReason::Action(SlowReason::Fragment(host)) => Fate::Fragment(host),
                MissReason::Action(SlowReason::Protocol(Protocol::Lacp)) => match role {
                    Role::Reader(_) => return None,
                    Role::Writer(_) => Fate::Aggregate,
                },
                MissReason::TooBig { .. } => Fate::TooBig,
                MissReason::Action(_) => Fate::Nothing, // nothing asks for these yet
            };
            plan.fates.push(fate);
        }
        Some(plan)
    }

    /// The flow that a miss brings, or that an earlier one of its batch has brought.
    fn find_flow<'m>(
        &self,
        role: &mut Role<'_>,
        miss: &'m Miss,
        flows: &mut NewFlows,
        now: Instant,
        translate: impl FnOnce(&State, &Request<'m>) -> Translation,
    ) -> Option<Fate> {
        let delta = delta(miss);
        let is_for = |matching| self.datapath.is_for(matching, miss);
        if let Some(at) = flows.matchings.iter().position(is_for) {
            self.learn_from(role, &flows.brought[at].uses, Vec::new(), delta, now)?;
            return Some(Fate::Flow(at));
        }
        let state = match role {
            Role::Reader(state) => state,
            Role::Writer(state) => &**state,
        };
        let t = translate(state, &request(miss, now));
        let Translation { actions, mut mask, mut options, effects, uses, .. } = t;
        self.learn_from(role, &uses, effects, delta, now)?;
        if self.exact_flows.load(Ordering::Relaxed) {
            (mask, options) = (whole(&miss.key, &mask), OptionMask::default());
        }
        let matching = self.datapath.matching((&miss.key, &miss.options), (&mask, &options));
        flows.matchings.push(matching);
        // Mostly all of a batch do the same.
        let last = flows.brought.last().filter(|last| *last.actions == *actions);
        let actions = last.map_or_else(|| actions.into(), |last| last.actions.clone());
        let uses = uses.into();
        flows.brought.push(Brought { actions, uses, tried: false });
        Some(Fate::Flow(flows.brought.len() - 1))
    }

    /// Learns what a packet teaches; `None` if there is something, and who wants to is a reader.
    fn learn_from(
        &self,
        role: &mut Role<'_>,
        uses: &[Use],
        effects: Vec<Effect>,
        delta: Delta,
        now: Instant,
    ) -> Option<()> {
        match role {
            Role::Reader(state) => {
                let is_known =
                    !state.has_news(uses, delta, now) && !state.has_effect(&effects, now);
                is_known.then_some(())
            }
            Role::Writer(state) => {
                self.teach(state, uses, delta, now);
                self.apply(state, effects, now);
                Some(())
            }
        }
    }

    /// Installs flows, and sends packets on.
    fn carry_out(
        &self,
        access: &mut Access<'_>,
        misses: Vec<Miss>,
        mut plan: Plan,
        mut out: Answers<'_>,
        now: Instant,
    ) {
        let mut tally = Tally::default();
        self.install_all(access.state(), &misses, &mut plan, &mut out, now);
        for (miss, fate) in misses.into_iter().zip(plan.fates) {
            match (fate, &mut *access) {
                (Fate::Flow(at), access) => {
                    let (flow, state) = (&plan.flows.brought[at], access.state());
                    // The flow does not count it: it never passes the flow table.
                    self.count((state, &mut tally), &flow.uses, delta(&miss), now);
                    out.resume(miss, flow.actions.clone());
                }
                (Fate::Neighbour(token), Access::Write(state)) => {
                    if let Some(Answer { miss, actions }) = self.wait_or_go(state, miss, token, now)
                    {
                        out.resume(miss, actions);
                    }
                }
                (Fate::Controller(id), access) => self.tell_controllers(access.state(), &miss, id),
                (Fate::TooBig, access) => self.too_big(access.state(), &miss, now),
                (Fate::Fragment(host), access) => {
                    self.reassemble(access.state(), &miss, host, now);
                }
                (Fate::PathMtu, Access::Write(state)) => self.learn_path(state, &miss, now),
                (Fate::PathMtu, Access::Read(state)) => self.hear_path(state, &miss),
                (Fate::Aggregate, Access::Write(state)) => self.tell_aggregate(state, &miss, now),
                (Fate::Neighbour(_) | Fate::Aggregate | Fate::Nothing, _) => {}
            }
        }
        tally.write(access.state());
    }

    /// Installs the flows that a batch brings.
    fn install_all(
        &self,
        state: &State,
        misses: &[Miss],
        plan: &mut Plan,
        out: &mut Answers<'_>,
        now: Instant,
    ) {
        let NewFlows { brought, matchings } = &mut plan.flows;
        if brought.is_empty() {
            return;
        }
        // Once for all of them: the revalidator wants it, too, all the time.
        let mut tracked = lock(&self.flows);
        for (miss, fate) in misses.iter().zip(&plan.fates) {
            let Fate::Flow(at) = *fate else { continue };
            if !std::mem::replace(&mut brought[at].tried, true) {
                let flow = (&matchings[at], &brought[at]);
                self.install((state, &mut tracked), flow, miss, out, now);
            }
        }
    }

    /// Installs the flow that a packet brings if there is room. The packet goes its way in any case.
    fn install(
        &self,
        (state, flows): (&State, &mut Flows),
        (matching, brought): (&Matching, &Brought),
        miss: &Miss,
        out: &mut Answers<'_>,
        now: Instant,
    ) {
        let version = state.version();
        let has_room = flows.by_ufid.len() < self.flow_limit.load(Ordering::Relaxed);
        let flow = has_room
            .then(|| out.put(matching, brought.actions.clone(), version))
            .and_then(Result::ok);
        match flow {
            Some(flow) => {
                let first = (&miss.key, miss.options.clone());
                flows.insert(flow, first, brought.uses.clone(), version);
            }
            None => {
                self.count.flow_refused.inc();
                lock(&state.held).hold(&brought.uses, now);
            }
        }
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
        let asked = request(&miss, now);
        let t = translate_tunnel_output(&state.snapshot, &state.tables(), wait, &asked);
        let resolve = t.effects.iter().find_map(|e| match e {
            Effect::Resolve(r) if r.wait.is_some() => Some(r.clone()),
            _ => None,
        });
        let Some(resolve) = resolve else {
            self.credit(state, &t.uses, delta(&miss), now);
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

/// What a packet counts for.
fn delta(miss: &Miss) -> Delta {
    Delta { packets: 1, bytes: miss.packet.buf.len() as u64, tcp_flags: miss.key.tcp_flags }
}

fn request(miss: &Miss, now: Instant) -> Request<'_> {
    let packet = Some(miss.packet.bytes());
    Request {
        key: &miss.key,
        options: &miss.options,
        packet,
        now,
        want_trace: false,
        entered: None,
    }
}

/// All that can be known of a packet. That it has no extension headers nobody else says of packets, so it is said only of those
/// for which it was asked.
fn whole(key: &FlowKey, looked: &Mask) -> Mask {
    let mut all = Mask::exact();
    if key.ipv6_exthdr == 0 {
        all.0.ipv6_exthdr = looked.0.ipv6_exthdr;
    }
    all
}
