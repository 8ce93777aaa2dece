//! The slow path: the one place that sees both the pipeline and the datapath.
//!
//! # What
//! A packet that no flow matches arrives here by the datapath's miss queue. The *handler* thread translates it
//! ([`xlate::translate`]), applies what it teaches (a station, a neighbour), installs the flow, and sends the packet back to its
//! worker to run the same actions. The *revalidator* thread looks at installed flows again: it collects their statistics,
//! removes idle ones, and corrects those whose translation would differ today.
//!
//! # Why versions
//! Everything that a translation reads (snapshot, MAC tables, routes, neighbours, tunnels' other ends) lives in one [`State`] with one version that
//! grows when an answer may differ. A flow remembers the version at which its translation *began*; the revalidator looks
//! again at flows older than the state. A change that happens while a packet is being translated cannot be missed.
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
//! Lock order: state, then flows. Neither is ever held while waiting for the datapath.

mod control;
mod controller;
mod events;
mod flows;
mod handler;
mod neighbours;
mod paused;
mod program;
mod revalidate;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Counter, Counters, Instant};
use datapath::Datapath;
use l2::MacConfig;
use openflow::message::PacketOut;
use openflow::{Code, Match};
use pipeline::{BridgeId, PortRef, Snapshot};

use control::Control;
use events::Events;
pub use events::{Bell, Event, PacketIn};
use flows::Flows;
pub use flows::Listed;
pub use revalidate::Report;
pub use state::{State, Traffic};

/// A running slow path. Clones are one; it stops when told to, or with its last handle.
#[derive(Clone)]
pub struct SlowPath(Arc<Owner>);

/// Ends the threads when the last handle goes: threads hold `Shared`, handles hold this.
struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads share.
struct Shared {
    datapath: Datapath,
    clock: Clock,
    state: Mutex<State>,
    flows: Mutex<Flows>,
    control: Control,
    events: Events,
    /// Held while misses are being answered.
    answering: Mutex<()>,
    max_idle_ms: AtomicU64,
    exact_flows: AtomicBool,
    flow_limit: AtomicUsize,
    report: Mutex<Report>,
    /// The version of the tables that flows were last known to obey.
    obeyed: AtomicU64,
    count: Counts,
}

/// The counters that the slow path itself moves.
struct Counts {
    upcalls: Arc<Counter>,
    flow_refused: Arc<Counter>,
    neighbour_dropped: Arc<Counter>,
    revalidations: Arc<Counter>,
}

/// Flows installed at most unless told otherwise (`flow-limit`).
const FLOW_LIMIT: usize = 200_000;

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
            state: Mutex::new(State::new(snapshot)),
            flows: Mutex::default(),
            control: Control::default(),
            events: Events::new(counters.counter("drop_controller_queue_full")),
            answering: Mutex::default(),
            max_idle_ms: AtomicU64::new(10_000),
            exact_flows: AtomicBool::new(false),
            flow_limit: AtomicUsize::new(FLOW_LIMIT),
            report: Mutex::default(),
            obeyed: AtomicU64::new(0),
            count: Counts {
                upcalls: counters.counter("upcall_handled"),
                flow_refused: counters.counter("upcall_flow_limit_hit"),
                neighbour_dropped: counters.counter("drop_action_tunnel_neigh_cache_miss"),
                revalidations: counters.counter("revalidate_pass"),
            },
            clock,
        });
        let weak = Arc::downgrade(&shared);
        shared.clock.on_warp(move || {
            if let Some(shared) = weak.upgrade() {
                shared.control.kick();
            }
        });
        let slow = Self(Arc::new(Owner { shared, threads: Mutex::default() }));
        slow.spawn("handler", handler::run)?;
        slow.spawn("revalidator", revalidate::run)?;
        Ok(slow)
    }

    fn spawn(&self, name: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = self.0.shared.clone();
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared))?;
        lock(&self.0.threads).push(thread);
        Ok(())
    }

    /// The datapath that it serves.
    pub fn datapath(&self) -> &Datapath {
        &self.0.shared.datapath
    }

    /// A new configuration takes effect: translations from now on use it, and flows made from the last one are checked.
    pub fn publish(&self, snapshot: Snapshot, macs: &BTreeMap<BridgeId, MacConfig>) {
        self.with(|state, now| state.publish(snapshot, macs, now));
    }

    /// Reads or changes the tables (for control commands and kernel events). Whatever changes is noticed.
    pub fn with<R>(&self, use_state: impl FnOnce(&mut State, Instant) -> R) -> R {
        let shared = &self.0.shared;
        let now = shared.clock.now();
        let mut state = lock(&shared.state);
        let result = use_state(&mut state, now);
        shared.release_ready(&mut state, now);
        shared.note_change(&mut state);
        result
    }

    /// Whom to wake when there is something to tell controllers.
    pub fn set_bell(&self, bell: Bell) {
        self.0.shared.events.set_bell(bell);
    }

    /// What there is to tell controllers, in order.
    pub fn take_events(&self) -> Vec<Event> {
        self.0.shared.events.take()
    }

    /// Tells controllers something.
    pub fn tell(&self, event: Event) {
        self.0.shared.events.push(event);
    }

    /// Does what a controller wants done with a packet, now.
    pub fn packet_out(&self, bridge: BridgeId, request: &PacketOut) -> Result<(), Code> {
        self.0.shared.packet_out(bridge, request)
    }

    /// Lets a packet go on that was paused ([`PacketIn::continuation`]), with these bytes and this beside it.
    pub fn resume(&self, continuation: &[u8], packet: &[u8], metadata: &Match) -> Result<(), Code> {
        self.0.shared.resume(continuation, packet, metadata)
    }

    /// What a meter of a bridge has counted; `None` if there is no such meter.
    pub fn meter_stats(&self, bridge: BridgeId, id: u32) -> Option<datapath::MeterStats> {
        let shared = &self.0.shared;
        shared.meter_stats(&lock(&shared.state), bridge, id)
    }

    /// Brings all statistics up to date: whatever a packet that has been answered counts for has been counted.
    pub fn collect(&self) {
        self.0.shared.collect_all();
    }

    /// Waits until no packet that is received from now on can meet a flow that was made before the changes up to now. At once,
    /// if nothing has changed since the last time. False if that takes too long.
    pub fn barrier(&self, timeout: Duration) -> bool {
        self.0.shared.barrier(timeout)
    }

    /// Whether [`SlowPath::barrier`] would return at once.
    pub fn is_settled(&self) -> bool {
        self.0.shared.is_settled(&lock(&self.0.shared.state))
    }

    /// What went through a tunnel or patch port, as far as collected.
    pub fn traffic(&self, port: PortRef) -> Traffic {
        lock(&self.0.shared.state).traffic.get(&port).copied().unwrap_or_default()
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
        self.shared.control.stop();
        for thread in lock(&self.threads).drain(..) {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                log::error!("a slow path thread has panicked");
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Has the revalidator look at flows again if anything they were made from has changed.
    fn note_change(&self, state: &mut State) {
        if state.note_change() {
            self.settle_meters(state);
            self.control.kick();
        }
    }

    /// Has translations know what the datapath has learned of tunnels' other ends.
    fn note_peers(&self) {
        let mut state = lock(&self.state);
        if state.peers.version() != self.datapath.peers_version() {
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

    fn barrier(&self, timeout: Duration) -> bool {
        let version = {
            let state = lock(&self.state);
            if self.is_settled(&state) {
                return true;
            }
            state.version().0
        };
        // The flows are right after a pass, and workers have heard of it when they have done what they were told.
        if !self.control.wait_for_pass(timeout) {
            return false;
        }
        let passed = {
            let flows = lock(&self.flows);
            flows.is_empty().then_some(flows.inserted)
        };
        let obeyed = self.datapath.quiesce(timeout);
        if obeyed {
            self.obeyed.fetch_max(version, Ordering::AcqRel);
            // What had gone by then, workers have forgotten.
            lock(&self.flows).forgotten = passed;
        }
        obeyed
    }

    /// Whether no packet that is received from now on can meet a flow that was made before the changes up to now: because the
    /// flows were looked at since, or because there are none. (Flows are made under the lock of the state.)
    fn is_settled(&self, state: &State) -> bool {
        let flows = || lock(&self.flows);
        self.obeyed.load(Ordering::Acquire) >= state.version().0 || flows().has_nothing()
    }

    fn quiesce(&self, timeout: Duration) -> bool {
        // At rest is what two looks find with nothing waiting, if nothing has been answered between them: whatever the answers
        // to the first look's packets have caused was done, or would wait, by the second. (That nothing waits is not enough:
        // a packet may go up and down again between two looks, and be on its way down at each.)
        let each = timeout / 4;
        let mut at_rest = None;
        let start = Clock::real();
        loop {
            if !self.datapath.quiesce(each) || start.now().since(Instant::default()) > timeout {
                return false;
            }
            let answering = lock(&self.answering);
            self.note_peers();
            let waiting = !self.datapath.misses().is_empty();
            let answered = self.count.upcalls.get();
            drop(answering);
            if waiting {
                at_rest = None;
                std::thread::yield_now();
            } else if at_rest.replace(answered) == Some(answered) {
                return true;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests;
