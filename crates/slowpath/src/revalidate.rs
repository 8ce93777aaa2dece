//! The revalidator: looks at every flow twice a second and whenever something changed.
//!
//! One pass: collect statistics and credit them, remove idle flows, and translate again what is older than the state, unless it
//! has not looked at what has changed since. A flow whose translation has not changed is only marked; one with other actions
//! gets them; one that would look at other header fields is removed, and its next packet brings the right one.
//!
//! All that is done as a reader of the state, so misses are answered meanwhile. What the statistics teach is written down
//! ([`Lesson`]) and learned between two lots of flows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base::{Clock, Instant};
use datapath::{Active, Ufid};
use flow::Mask;
use pipeline::Event;
use xlate::{Request, translate};

use crate::ages::Since;
use crate::control::Wake;
use crate::flows::{Flows, Removed, Tracked};
use crate::lessons::Lesson;
use crate::state::State;
use crate::tally::Tally;
use crate::{Shared, lock};

/// Time between passes when nothing changes (`max-revalidator`).
const INTERVAL: Duration = Duration::from_millis(500);
/// The least time between two passes for which nobody waits: passes over few flows are short, but each takes the locks.
const REST: Duration = Duration::from_millis(2);
/// Flows looked at while holding the locks: bounds how long a miss waits.
const CHUNK: usize = 64;

/// What flows have told.
#[derive(Default)]
struct Told {
    tally: Tally,
    lessons: Vec<Lesson>,
}

/// What the revalidator has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Flows now.
    pub flows: usize,
    /// A moving average.
    pub flows_average: usize,
    /// The most there ever were.
    pub flows_max: usize,
    /// How long the last pass took.
    pub duration: Duration,
}

/// The revalidator thread.
pub(crate) fn run(shared: &Shared) {
    let stopwatch = Clock::real();
    let mut next_pass = shared.clock.now() + INTERVAL;
    loop {
        let expires;
        let deadline = {
            let state = shared.read();
            let rules = shared.rule_deadline(&state);
            expires = rules;
            let aggregates = shared.aggregate_deadline(&state);
            let sooner = [shared.neighbour_deadline(&state), rules, aggregates];
            sooner.into_iter().flatten().fold(next_pass, Instant::min)
        };
        let kicked = match shared.control.sleep(shared.clock.sleep_until(deadline)) {
            Wake::Stop => return,
            Wake::Kicked => true,
            Wake::Timer => false,
        };
        let now = shared.clock.now();
        {
            let mut state = shared.write();
            shared.solicit(&mut state, now);
            shared.run_aggregates(&mut state, now);
            shared.note_change(&mut state);
        }
        if kicked || now >= next_pass || expires.is_some_and(|at| at <= now) {
            let began = stopwatch.now();
            let active = shared.pass(now);
            let took = stopwatch.now().since(began);
            shared.account(took);
            next_pass = now + INTERVAL;
            shared.control.ended();
            // What flows are now right; who runs them can wait.
            shared.datapath.offload_pass(&active, now);
            // A stream of changes must not keep a core busy, nor whoever makes them waiting: rest four times as long as the work
            // took.
            shared.control.rest((took * 4).max(REST));
        }
    }
}

impl Shared {
    /// Looks at all flows. Those that the kernel might run are the answer, if it is time to think about that.
    fn pass(&self, now: Instant) -> Vec<Active> {
        self.count.revalidations.inc();
        self.datapath.collect_offloaded(now);
        self.datapath.expire_peers(now);
        self.note_peers();
        {
            let mut state = self.write();
            for table in state.macs.values_mut() {
                table.expire(now);
            }
            self.note_change(&mut state);
            lock(&state.held).expire(now);
            state.frozens.sweep();
        }
        let removed = std::mem::take(&mut lock(&self.flows).removed);
        self.credit_all(removed, now);
        let version = self.read().version();
        let ids: Vec<Ufid> = lock(&self.flows).by_ufid.keys().copied().collect();
        self.expire_rules(&ids, now);
        let mut active = Vec::new();
        let mut offer = self.datapath.wants_offload_pass(now).then_some(&mut active);
        for chunk in ids.chunks(CHUNK) {
            self.look_again(chunk, now, offer.as_deref_mut());
        }
        self.obeyed.fetch_max(version.0, Ordering::AcqRel);
        // Statistics may have told of a neighbour that packets wait for.
        let mut state = self.write();
        self.release_ready(&mut state, now);
        self.note_change(&mut state);
        active
    }

    /// Credits what all flows have counted.
    pub(crate) fn collect_all(&self) {
        let now = self.clock.now();
        self.datapath.collect_offloaded(now);
        let ids: Vec<Ufid> = lock(&self.flows).by_ufid.keys().copied().collect();
        self.collect_these(&ids, now);
    }

    fn collect_these(&self, ids: &[Ufid], now: Instant) {
        for chunk in ids.chunks(CHUNK) {
            let mut told = Told::default();
            {
                let state = self.read();
                let mut flows = lock(&self.flows);
                for id in chunk {
                    if let Some(tracked) = flows.by_ufid.get_mut(id) {
                        self.collect(&state, tracked, now, &mut told);
                    }
                }
                told.tally.write(&state);
            }
            self.learn(told.lessons);
        }
        let removed = std::mem::take(&mut lock(&self.flows).removed);
        let mut removed = self.credit_all(removed, now);
        // They may still count a packet; the next pass lets them go.
        lock(&self.flows).removed.append(&mut removed);
    }

    /// Credits what flows have counted that are no longer installed.
    fn credit_all(&self, mut removed: Removed, now: Instant) -> Removed {
        let mut told = Told::default();
        {
            let state = self.read();
            for tracked in &mut removed {
                self.collect(&state, tracked, now, &mut told);
            }
            told.tally.write(&state);
        }
        self.learn(told.lessons);
        removed
    }

    /// Looks at flows; those that may not stay, go. Into `offer` come those that have had packets since it was last there.
    pub(crate) fn look_again(
        &self,
        ids: &[Ufid],
        now: Instant,
        mut offer: Option<&mut Vec<Active>>,
    ) {
        let mut told = Told::default();
        {
            let state = self.read();
            let since = state.ages.since(self.obeyed());
            let mut flows = lock(&self.flows);
            for id in ids {
                if !self.revalidate((&state, &since), &mut flows, *id, now, &mut told)
                    && let Some(flow) = flows.remove(*id)
                {
                    self.datapath.remove_flow(&flow);
                } else if let Some(active) = &mut offer
                    && let Some(tracked) = flows.by_ufid.get_mut(id)
                {
                    active.extend(tracked.offer());
                }
            }
            told.tally.write(&state);
        }
        self.learn(told.lessons);
    }

    /// Removes rules whose time has come, once what they have counted is known.
    fn expire_rules(&self, ids: &[Ufid], now: Instant) {
        let due = |state: &State| {
            state.programs.values().filter_map(|p| p.next_expiry()).any(|at| at <= now)
        };
        if !due(&self.read()) {
            return;
        }
        self.collect_these(ids, now);
        let mut state = self.write();
        for (bridge, program) in &mut state.programs {
            let changes = program.expire(now);
            if !changes.is_empty() {
                self.events.push(*bridge, Event::Changes(changes));
            }
        }
        self.note_change(&mut state);
    }

    /// When the next rule may have to go.
    fn rule_deadline(&self, state: &State) -> Option<Instant> {
        state.programs.values().filter_map(|p| p.next_expiry()).min()
    }

    /// Credits what a flow has counted. Says when it was last used.
    fn collect(
        &self,
        state: &State,
        tracked: &mut Tracked,
        now: Instant,
        told: &mut Told,
    ) -> Instant {
        let (delta, stats) = tracked.delta();
        if delta.packets > 0 {
            let at = stats.used.unwrap_or(now);
            self.count((state, &mut told.tally), &tracked.uses, delta, at);
            if state.has_news(&tracked.uses, delta, at) {
                told.lessons.push(Lesson { uses: tracked.uses.clone(), delta, at });
            }
        }
        stats.used.unwrap_or_else(|| tracked.flow.created())
    }

    /// Looks at one flow; says whether it may stay.
    fn revalidate(
        &self,
        (state, since): (&State, &Since<'_>),
        flows: &mut Flows,
        id: Ufid,
        now: Instant,
        told: &mut Told,
    ) -> bool {
        let Some(tracked) = flows.by_ufid.get_mut(&id) else { return true };
        let last = self.collect(state, tracked, now, told);
        let max_idle = Duration::from_millis(self.max_idle_ms.load(Ordering::Relaxed));
        if now.since(last) >= max_idle {
            return false;
        }
        let version = state.version();
        if tracked.valid_at >= version {
            return true;
        }
        if !tracked.is_concerned(since) {
            tracked.valid_at = version;
            return true;
        }
        let key = tracked.flow.key();
        let request = Request {
            key: key.key(),
            options: &tracked.options,
            packet: None,
            now,
            want_trace: false,
            entered: None,
        };
        let fresh = translate(&state.snapshot, &state.tables(), &request);
        let installed = tracked.flow.options();
        let looks_further = installed.is_some_and(|options| !options.covers(&fresh.options));
        if looks_further || !looks_no_further(&fresh.mask, key.mask()) {
            return false;
        }
        if **tracked.flow.actions() != *fresh.actions {
            let Ok(flow) =
                self.datapath.put(&tracked.flow.matching(), fresh.actions.into(), version)
            else {
                return false;
            };
            tracked.set_flow(flow);
        }
        flows.renew(id, fresh.uses.into(), version);
        true
    }

    fn account(&self, took: Duration) {
        let flows = lock(&self.flows).by_ufid.len();
        let mut report = lock(&self.report);
        report.flows = flows;
        report.flows_average = (report.flows_average * 3 + flows) / 4;
        report.flows_max = report.flows_max.max(flows);
        report.duration = took;
    }
}

/// Whether a translation looked only at fields' bits that the flow already matches.
fn looks_no_further(fresh: &Mask, installed: &Mask) -> bool {
    fresh.0.words().iter().zip(installed.0.words()).all(|(f, i)| f & !i == 0)
}
