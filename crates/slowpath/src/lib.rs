//! The slow path: the one place that sees both the pipeline and the datapath.
//!
//! # What
//! A packet that no flow matches arrives here by the datapath's miss queue, or in the arms of the worker that received it, if
//! that has time. The *handler* thread, or the worker, translates it
//! ([`xlate::translate`]), applies what it teaches (a station, a neighbour), installs the flow, and sends the packet back to its
//! worker to run the same actions. There may be several handlers. The *revalidator* thread looks at installed flows again: it collects their statistics,
//! removes idle ones, and corrects those whose translation would differ today.
//!
//! # Why versions
//! Everything that a translation reads (snapshot, MAC tables, routes, neighbours, tunnels' other ends) lives in one [`State`] with one version that
//! grows when an answer may differ. A flow remembers the version at which its translation *began*; the revalidator looks
//! again at flows older than the state, if what they were made from has changed since (`ages`): of rules, if they may match packets
//! of the flow where these are looked up.
//!
//! # Who waits for whom
//! Translating is reading: handlers and the revalidator hold the state as readers, all at once, and install what they have made
//! before they let go. Who changes something (a controller's message, the configuration, a packet that teaches something)
//! is a writer, for as long as that one change takes. So a flow is never older than a change that was made after it. A bundle
//! that changes very much is prepared beside the program in force, and then takes its place (`editing`): nobody waits for it.
//!
//! # Controllers
//! What they are told (packets, rules that have come and gone by themselves) waits in a queue ([`SlowPath::take_events`]). Packets
//! that they send go through [`SlowPath::packet_out`], those that they held go on by [`SlowPath::resume`], and after
//! [`SlowPath::barrier`] no packet meets a flow older than what they changed before.
//!
//! # Waiting for neighbours
//! A packet for a tunnel whose next hop is unknown is kept (bounded, see [`tunnel::waiting`]) and a request is sent through the
//! underlay bridge. When the answer passes by, the packets that waited are translated from that point on, and go.
//!
//! Lock order: editing, state, then flows. None is ever held while waiting for the datapath.

mod ages;
mod aggregates;
mod aside;
mod barrier;
mod by_hand;
mod control;
mod controller;
mod events;
mod flows;
mod handler;
mod lessons;
mod neighbours;
mod path_mtu;
mod program;
mod reassemble;
mod revalidate;
mod state;
mod tally;
mod too_big;
mod under_way;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Counter, Counters, Instant, TokenBucket};
use datapath::Datapath;
use l2::MacConfig;
use openflow::message::PacketOut;
use openflow::message::continuation::Continuation;
use openflow::{Code, Match};
use pipeline::{BridgeId, Changes, Edit, Event, Failed, PortRef, Snapshot};

pub use by_hand::{NotPut, Put};
use control::Control;
pub use events::Bell;
use events::Events;
use flows::Flows;
pub use flows::Listed;
pub use revalidate::Report;
use state::Change;
pub use state::{State, Traffic};
pub use too_big::{TooBig, TunnelNews};

/// A running slow path. Clones are one; it stops when told to, or with its last handle.
#[derive(Clone)]
pub struct SlowPath(Arc<Owner>);

/// Ends the threads when the last handle goes: threads hold `Shared`, handles hold this.
struct Owner {
    shared: Arc<Shared>,
    revalidator: Mutex<Option<JoinHandle<()>>>,
    handlers: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads share.
struct Shared {
    datapath: Datapath,
    clock: Clock,
    state: RwLock<State>,
    /// Held while the state is changed by hand, and while a program is changed beside it.
    editing: Mutex<()>,
    flows: Mutex<Flows>,
    control: Control,
    events: Events,
    /// How many handlers there are to be.
    handlers: AtomicUsize,
    max_idle_ms: AtomicU64,
    exact_flows: AtomicBool,
    flow_limit: AtomicUsize,
    report: Mutex<Report>,
    /// How many answers to packets that are too long may be sent.
    answers: Mutex<TokenBucket>,
    /// Parts of packets that may be tunnels'.
    fragments: Mutex<tunnel::Reassembly>,
    /// The version of the tables that flows were last known to obey.
    obeyed: AtomicU64,
    count: Counts,
}

/// The counters that the slow path itself moves.
struct Counts {
    upcalls: Arc<Counter>,
    flow_refused: Arc<Counter>,
    neighbour_dropped: Arc<Counter>,
    too_big_answered: Arc<Counter>,
    path_mtu_learned: Arc<Counter>,
    path_mtu_refused: Arc<Counter>,
    reassembled: Arc<Counter>,
    fragments_dropped: Arc<Counter>,
    revalidations: Arc<Counter>,
    lessons_lost: Arc<Counter>,
}

/// Flows installed at most unless told otherwise (`flow-limit`).
const FLOW_LIMIT: usize = 200_000;

/// More threads than this would only wait for each other.
const MOST_HANDLERS: usize = 32;

impl SlowPath {
    /// Starts the threads. `snapshot` names the datapath and may be empty.
    pub fn start(
        datapath: Datapath,
        clock: Clock,
        counters: &Counters,
        snapshot: Snapshot,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            datapath,
            state: RwLock::new(State::new(snapshot)),
            editing: Mutex::default(),
            flows: Mutex::default(),
            control: Control::default(),
            events: Events::new(
                counters.counter("drop_controller_queue_full"),
                counters.counter("drop_controller_changes_full"),
            ),
            handlers: AtomicUsize::new(0),
            max_idle_ms: AtomicU64::new(10_000),
            exact_flows: AtomicBool::new(false),
            flow_limit: AtomicUsize::new(FLOW_LIMIT),
            report: Mutex::default(),
            answers: Mutex::new(too_big::budget(clock.now())),
            fragments: Mutex::default(),
            obeyed: AtomicU64::new(0),
            count: Counts {
                upcalls: counters.counter("upcall_handled"),
                flow_refused: counters.counter("upcall_flow_limit_hit"),
                neighbour_dropped: counters.counter("drop_action_tunnel_neigh_cache_miss"),
                too_big_answered: counters.counter("tunnel_too_big_answered"),
                path_mtu_learned: counters.counter("tunnel_path_mtu_learned"),
                path_mtu_refused: counters.counter("tunnel_path_mtu_refused"),
                reassembled: counters.counter("tunnel_reassembled"),
                fragments_dropped: counters.counter("tunnel_fragments_dropped"),
                revalidations: counters.counter("revalidate_pass"),
                lessons_lost: counters.counter("upcall_learn_lost"),
            },
            clock,
        });
        let weak = Arc::downgrade(&shared);
        shared.clock.on_warp(move || {
            if let Some(shared) = weak.upgrade() {
                shared.control.kick();
            }
        });
        let (revalidator, handlers) = (Mutex::default(), Mutex::default());
        let slow = Self(Arc::new(Owner { shared, revalidator, handlers }));
        *lock(&slow.0.revalidator) = Some(slow.spawn("revalidator".into(), revalidate::run)?);
        slow.set_handlers(None)?;
        let at_once = handler::AtOnce(Arc::downgrade(&slow.0.shared));
        slow.0.shared.datapath.set_resolver(Some(Arc::new(at_once)));
        Ok(slow)
    }

    fn spawn(
        &self,
        name: String,
        run: impl FnOnce(&Shared) + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let shared = self.0.shared.clone();
        std::thread::Builder::new().name(name).spawn(move || run(&shared))
    }

    /// So many threads answer misses (`other_config:n-handler-threads`), one at least. Those of one input port are answered by
    /// one at a time. `None`: as many as suit the processors that there are. An error means that there are fewer than wanted.
    pub fn set_handlers(&self, count: Option<usize>) -> io::Result<()> {
        let mut handlers = lock(&self.0.handlers);
        let count = count.unwrap_or_else(default_handlers).clamp(1, MOST_HANDLERS);
        self.0.shared.handlers.store(count, Ordering::Relaxed);
        self.0.shared.datapath.misses().wake();
        let kept = count.min(handlers.len());
        handlers.drain(kept..).for_each(join);
        while handlers.len() < count {
            let number = handlers.len();
            handlers
                .push(self.spawn(format!("handler{number}"), move |s| handler::run(s, number))?);
        }
        Ok(())
    }

    /// The datapath that it serves.
    pub fn datapath(&self) -> &Datapath {
        &self.0.shared.datapath
    }

    /// A new configuration takes effect: translations from now on use it, and flows made from the last one are checked. Where
    /// these are few, that is done when this returns.
    pub fn publish(&self, snapshot: Snapshot, macs: &BTreeMap<BridgeId, MacConfig>) {
        self.with(|state, now| {
            state.publish(snapshot, macs, now);
            self.0.shared.run_aggregates(state, now);
        });
        self.0.shared.settle_all();
    }

    /// Reads or changes the tables (for control commands and kernel events). Whatever changes is noticed.
    pub fn with<R>(&self, use_state: impl FnOnce(&mut State, Instant) -> R) -> R {
        let shared = &self.0.shared;
        let now = shared.clock.now();
        let _editing = lock(&shared.editing);
        let mut state = shared.write();
        let result = use_state(&mut state, now);
        shared.release_ready(&mut state, now);
        shared.release(state);
        result
    }

    /// Does something to aggregates, and what follows from it.
    pub fn with_aggregates<R>(&self, use_state: impl FnOnce(&mut State, Instant) -> R) -> R {
        self.with(|state, now| {
            let result = use_state(state, now);
            self.0.shared.run_aggregates(state, now);
            result
        })
    }

    /// Does all that these messages ask, or nothing; `None` if there is no such bridge. Packets are answered meanwhile.
    pub fn bundle(&self, bridge: BridgeId, edits: &[Edit]) -> Option<Result<Changes, Failed>> {
        self.0.shared.bundle(bridge, edits)
    }

    /// Whom to wake when there is something to tell controllers.
    pub fn set_bell(&self, bell: Bell) {
        self.0.shared.events.set_bell(bell);
    }

    /// What there is to tell controllers, in order.
    pub fn take_events(&self) -> Vec<(BridgeId, Event)> {
        self.0.shared.events.take()
    }

    /// Learns what a traced packet teaches, as if it had come; nothing is counted, and nobody is asked for anything.
    pub fn teach(&self, taught: xlate::Taught) {
        let nothing = flows::Delta { packets: 0, bytes: 0, tcp_flags: 0 };
        let shared = &self.0.shared;
        let now = shared.clock.now();
        let _editing = lock(&shared.editing);
        let mut state = shared.write();
        shared.teach(&mut state, &taught.uses, nothing, now);
        let effects = taught.effects.into_iter();
        let lessons = effects.filter(|effect| !matches!(effect, xlate::Effect::Resolve(_)));
        shared.apply(&mut state, lessons.collect(), now);
        shared.note_change(&mut state);
    }

    /// Tells controllers something.
    pub fn tell(&self, bridge: BridgeId, event: Event) {
        self.0.shared.events.push(bridge, event);
    }

    /// Does what a controller wants done with a packet, now.
    pub fn packet_out(&self, bridge: BridgeId, request: &PacketOut) -> Result<(), Code> {
        self.0.shared.packet_out(bridge, request)
    }

    /// Lets a packet go on that was paused ([`pipeline::PacketIn::continuation`]), with these bytes and this beside it.
    ///
    /// # Errors
    /// `NXR_STALE` if the bridge that it names is not here.
    pub fn resume(
        &self,
        continuation: &Continuation,
        packet: &[u8],
        metadata: &Match,
    ) -> Result<(), Code> {
        self.0.shared.resume(continuation, packet, metadata)
    }

    /// What a meter of a bridge has counted; `None` if there is no such meter.
    pub fn meter_stats(&self, bridge: BridgeId, id: u32) -> Option<datapath::MeterStats> {
        let shared = &self.0.shared;
        shared.meter_stats(&shared.read(), bridge, id)
    }

    /// Brings all statistics up to date: whatever a packet that has been answered counts for has been counted.
    pub fn collect(&self) {
        self.0.shared.collect_all();
    }

    /// When this returns, no packet that is received from now on can meet a flow that was made before the changes up to now.
    pub fn barrier(&self) {
        self.0.shared.barrier();
    }

    /// Does what [`SlowPath::barrier`] does, if that is done in no time; if not, says so.
    pub fn settle(&self) -> bool {
        self.0.shared.settle()
    }

    /// What went through a tunnel or patch port, as far as collected.
    pub fn traffic(&self, port: PortRef) -> Traffic {
        self.0.shared.read().traffic(port)
    }

    /// After how much time without packets a flow is removed (`other_config:max-idle`).
    pub fn set_max_idle(&self, idle: Duration) {
        let ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX).max(1);
        self.0.shared.max_idle_ms.store(ms, Ordering::Relaxed);
        self.0.shared.control.kick();
    }

    /// With `false`, every flow matches one packet's header exactly (`upcall/disable-megaflows`). Removes all flows.
    pub fn set_megaflows(&self, enabled: bool) {
        self.0.shared.exact_flows.store(!enabled, Ordering::Relaxed);
        self.purge();
    }

    /// All flows, the oldest first.
    pub fn list(&self) -> Vec<Listed> {
        self.0.shared.datapath.collect_offloaded(self.0.shared.clock.now());
        lock(&self.0.shared.flows).list()
    }

    /// Installs no more flows than this (`upcall/set-flow-limit`); packets beyond go one by one through the slow path.
    pub fn set_flow_limit(&self, limit: usize) {
        self.0.shared.flow_limit.store(limit, Ordering::Relaxed);
    }

    /// How many flows may be installed.
    pub fn flow_limit(&self) -> usize {
        self.0.shared.flow_limit.load(Ordering::Relaxed)
    }

    /// What the last passes of the revalidator found, for `upcall/show`.
    pub fn report(&self) -> Report {
        *lock(&self.0.shared.report)
    }

    /// Waits until every flow has been looked at once after this call (`revalidator/wait`). False if that takes too long or
    /// the revalidator is paused.
    pub fn revalidate(&self, timeout: Duration) -> bool {
        self.0.shared.control.wait_for_pass(timeout)
    }

    /// Stops or restarts revalidation (`revalidator/pause`, `revalidator/resume`).
    pub fn pause(&self, paused: bool) {
        self.0.shared.control.pause(paused);
    }

    /// Removes all flows (`revalidator/purge`).
    pub fn purge(&self) {
        self.0.shared.purge();
    }

    /// Waits until everything received so far has been looked up, translated, acted on and sent, however often it went
    /// around. False when that takes longer than `timeout` of the operating system's time.
    pub fn quiesce(&self, timeout: Duration) -> bool {
        self.0.shared.quiesce(timeout)
    }

    /// Ends the threads and waits for them. The datapath goes on with the flows that it has.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Owner {
    fn stop(&self) {
        self.shared.datapath.set_resolver(None);
        self.shared.control.stop();
        self.shared.datapath.misses().wake();
        lock(&self.handlers).drain(..).for_each(join);
        lock(&self.revalidator).take().into_iter().for_each(join);
    }
}

/// Waits for a thread's end, unless it is this very one.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
        log::error!("a slow path thread has panicked");
    }
}

/// As many as there are processors beside those that check flows, as the reference has it.
fn default_handlers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors - (processors / 4 + 1).min(processors)
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// The state, to be read.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, if that is possible without waiting.
    fn try_read(&self) -> Option<RwLockReadGuard<'_, State>> {
        match self.state.try_read() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The state, to be changed.
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the revalidator look at flows again if anything they were made from has changed.
    fn note_change(&self, state: &mut State) {
        if self.noted(state) != Change::Nothing {
            self.control.kick();
        }
    }

    /// Raises the version of the state if anything has changed. Whoever calls sees to flows.
    fn noted(&self, state: &mut State) -> Change {
        let change = state.note_change();
        if change != Change::Nothing {
            self.settle_meters(state);
        }
        change
    }

    /// Lets go of the state after changes that somebody asked for, and sees to flows: on the spot, where rules alone have changed
    /// and that is done in no time. To wake the revalidator would cost more, and a barrier may be next.
    fn release(&self, mut state: RwLockWriteGuard<'_, State>) {
        let change = self.noted(&mut state);
        drop(state);
        let is_done = match change {
            Change::Nothing => true,
            Change::Rules => self.settle(),
            Change::Anything => false,
        };
        if !is_done {
            self.control.kick();
        }
    }

    /// Has translations know what the datapath has learned of tunnels' other ends.
    fn note_peers(&self) {
        if self.read().peers.version() != self.datapath.peers_version() {
            let mut state = self.write();
            let (version, known) = self.datapath.peers();
            state.peers.set(known, version);
            self.note_change(&mut state);
        }
    }

    fn purge(&self) {
        let mut flows = lock(&self.flows);
        let ids: Vec<_> = flows.by_ufid.keys().copied().collect();
        for id in ids {
            if let Some(flow) = flows.remove(id) {
                self.datapath.remove_flow(&flow);
            }
        }
        // Still locked: a flow that came in between would be known here and gone there.
        self.datapath.flush();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
