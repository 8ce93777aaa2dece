//! A worker thread: sleeps until there is something to receive or to obey, and moves packets.
//!
//! # A turn of the loop
//! Obey the mailbox; learn which queues have something; serve one batch of each in line (`turns` says whose turn it is), or of
//! small packets several if no other queue waits: flows are mixed in them, and what is of one can be joined. After
//! each batch is received, and before it is looked up, the mailbox is obeyed again. So what was posted before a packet
//! arrived is in force when that packet is handled, and packets that come back from the slow path go before newer ones.
//!
//! # Moving house
//! A receive queue moves to another worker without losing or reordering anything (`Worker::hand_over`): between two batches,
//! everything of the last one sent or in the miss queue, with an empty mailbox, and while nobody can post, the queue's packets
//! in the miss queue change their home, and the queue goes into the other's mailbox. Answers that were posted before have
//! been carried out here; those posted after come behind the queue, there.
//!
//! # Failing
//! A worker that panics does not take its ports along. The panic is logged, packets being acted on are lost, tables are built
//! anew from the datapath's, and the loop goes on with the same queues. A queue on which that happens again and again is given up.

mod absence;
mod commands;
mod engine;
mod openings;
mod queue;
mod rest;
mod turns;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use base::Instant;
use flow::DpPort;
use netdev::Received;
use packet::{BATCH, Packet};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use sys::cycles;

use crate::control::Shared;
use crate::desk::{Desk, Sleep};
use crate::history::{Notes, Span};
use crate::mailbox::{Command, Ticket};
use crate::miss::{QueueId, Source};
use crate::stats::{Perf, Stage};
use crate::usage::window;
use absence::Absence;
use engine::Engine;
use openings::{Drain, Tended};
pub(crate) use queue::Queue;
use turns::Turns;

/// Packets longer than this are worth more than their wake-up, and small ones that travel with them are acknowledgements that
/// somebody waits for: while there are any, nothing is made to wait.
const SMALL: usize = 512;

/// Batches of small packets in one turn, where nobody else waits: enough for several packets of each of a few dozen flows.
const TURN_BATCHES: usize = 8;

/// Batches that a barrier waits for in each queue at most, so that a flood cannot hold it up for ever.
const BARRIER_BATCHES: usize = 4096;

/// How long there must have been no large packets for small ones to be made to wait for others.
const NONE_LARGE: Duration = Duration::from_millis(2);

/// The mailbox's number in the epoll set.
const MAILBOX: u64 = u64::MAX;

/// A thread's state.
pub(crate) struct Worker {
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    engine: Engine,
    epoll: OwnedFd,
    /// By the number that epoll reports.
    queues: Vec<Option<Box<Queue>>>,
    turns: Turns,
    /// The queue being served.
    serving: Option<usize>,
    /// The batch being received, and where it came from.
    batch: Vec<Packet>,
    batch_from: (DpPort, QueueId),
    /// Taken from the mailbox, still to be obeyed.
    commands: VecDeque<Command>,
    /// Queues to be given away.
    leaving: Vec<(QueueId, usize, Ticket)>,
    /// Barriers that were put up, and those that are being passed.
    barriers: Vec<Ticket>,
    passing: Vec<Ticket>,
    /// Gates to be opened.
    tended: Vec<Tended>,
    drain: Drain,
    stopping: bool,
    // -- resting --
    /// Packets since the worker last rested.
    busy: usize,
    /// The last rest's length, where the worker looks by itself.
    nap: Duration,
    /// When the kernel was last asked what has something, in cycles.
    looked: u64,
    /// When the last batch came, and the last that had a large packet in it.
    last: Instant,
    last_large: Instant,
    // -- this turn's cycles --
    began: u64,
    asleep: u64,
    /// Of queues.
    served: u64,
    absence: Absence,
    /// The counts at the end of the last turn, where turns are noted.
    noted: Option<Perf>,
    notes: Notes,
}

/// Closes the mailbox whatever ends the thread, so that nobody waits for a worker that is gone.
struct Closing(Arc<Desk>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.mailbox.close();
    }
}

impl Worker {
    pub(crate) fn new(desk: Arc<Desk>, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, desk.mailbox.fd(), EventData::new_u64(MAILBOX), EventFlags::IN)?;
        Ok(Self {
            engine: Engine::new(desk.clone(), shared.clone()),
            desk,
            shared,
            epoll,
            queues: Vec::new(),
            turns: Turns::default(),
            serving: None,
            batch: Vec::with_capacity(BATCH),
            batch_from: (DpPort::NONE, QueueId(0)),
            commands: VecDeque::new(),
            leaving: Vec::new(),
            barriers: Vec::new(),
            passing: Vec::new(),
            tended: Vec::new(),
            drain: Drain::None,
            stopping: false,
            busy: 0,
            nap: Duration::ZERO,
            looked: 0,
            last: Instant::default(),
            last_large: Instant::default(),
            began: 0,
            asleep: 0,
            served: 0,
            absence: Absence::default(),
            noted: None,
            notes: Notes::default(),
        })
    }

    /// The thread's life. `core`: the processor that it is confined to.
    pub(crate) fn run(mut self, core: Option<usize>) {
        let _closing = Closing(self.desk.clone());
        // Sleeps of tens of microseconds are meant; the default lets them last twice as long. Harmless if refused.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
        if let Some(core) = core
            && let Err(error) = sys::affinity::pin(core)
        {
            log::warn!("worker of core {core}: runs wherever it may, for pinning failed: {error}");
        }
        self.learn_flows();
        self.began = self.engine.meter.start();
        // From here on.
        self.absence.since_last(0, 0);
        while catch_unwind(AssertUnwindSafe(|| self.serve_until_stopped())).is_err() {
            self.recover();
        }
    }

    fn serve_until_stopped(&mut self) {
        if !self.batch.is_empty() {
            // A failure came between receiving and the rest.
            self.obey();
            self.move_batch(false);
        }
        self.engine.send_kept(self.last);
        while !self.stopping {
            if self.desk.mailbox.is_pending() || !self.commands.is_empty() {
                self.obey();
                continue; // it may have been told to stop
            }
            if self.passing.is_empty() {
                if !self.leaving.is_empty() {
                    self.hand_over();
                    continue;
                }
                self.put_up_barriers();
            }
            if !self.turns.is_empty() {
                if self.drain != Drain::None {
                    self.drain_openings();
                }
                self.glance(self.began);
            } else if self.passing.is_empty() {
                if !self.tended.is_empty() {
                    self.try_openings();
                }
                if self.turns.is_empty() && !self.wait_for_drain() {
                    self.rest();
                }
            }
            for _ in 0..self.turns.len() {
                if let Some(queue) = self.turns.pop() {
                    self.serve(queue);
                }
            }
            self.end_turn();
            self.pass_barriers();
        }
    }

    /// The replica is empty: takes over all flows. Whatever is put or removed meanwhile is in the mailbox.
    fn learn_flows(&mut self) {
        let flows = self.shared.table().list();
        flows.into_iter().for_each(|flow| self.engine.cache.put(flow));
    }

    /// After a panic: gives up what was in hand, and begins anew with the queues and ports that there are.
    fn recover(&mut self) {
        let at = self.serving.take();
        let port = at.and_then(|i| self.queues.get(i)?.as_ref()).map(|q| q.port);
        let place = port.map_or_else(String::new, |port| format!(" on packets of port {}", port.0));
        log::error!("datapath worker {} has failed{place}; it starts again", self.desk.slot);
        let ports = std::mem::take(&mut self.engine.exec.ports);
        let perf = self.engine.meter.perf;
        self.engine = Engine::new(self.desk.clone(), self.shared.clone());
        self.engine.exec.ports = ports;
        self.engine.meter.perf = perf;
        self.barriers.clear();
        self.passing.clear();
        self.tended.clear();
        self.drain = Drain::None;
        self.learn_flows();
        if let (Some(index), Some(port)) = (at, port)
            && let Some(Some(queue)) = self.queues.get_mut(index)
            && !queue.has_failed()
        {
            log::error!(
                "datapath port {}: receiving fails again and again, giving the queue up",
                port.0
            );
            self.forget(index);
        }
        self.turns.clear();
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if let Some(queue) = queue {
                queue.is_served();
                queue.make_ready(index, &mut self.turns);
            }
        }
        self.began = self.engine.meter.start();
        (self.asleep, self.served) = (0, 0);
    }

    /// Gives a queue its turn.
    fn serve(&mut self, index: usize) {
        let others_wait = !self.turns.is_empty();
        let mut left = if others_wait { 1 } else { TURN_BATCHES };
        while left > 0 {
            left -= 1;
            if !self.serve_batch(index, others_wait, left > 0) {
                break;
            }
            // Has somebody else come? Then it goes back in line.
            self.set_aside(index, true);
            self.glance(self.engine.meter.last());
            self.set_aside(index, false);
            if !self.turns.is_empty() {
                left = 0;
                if let Some(Some(queue)) = self.queues.get_mut(index) {
                    queue.make_ready(index, &mut self.turns);
                }
            }
        }
        self.engine.send_kept(self.last);
    }

    /// Whether a queue is not to be put in line, should it have something.
    fn set_aside(&mut self, index: usize, aside: bool) {
        if let Some(Some(queue)) = self.queues.get_mut(index) {
            queue.set_aside(aside);
        }
    }

    /// Moves one batch from a queue. Says whether another is to follow at once, if there `may_be_more`.
    fn serve_batch(&mut self, index: usize, others_wait: bool, may_be_more: bool) -> bool {
        let Some(Some(queue)) = self.queues.get_mut(index) else { return false };
        self.serving = Some(index);
        queue.is_served();
        let (port, id) = (queue.port, queue.id);
        self.batch_from = (port, id);
        let most = queue.account.packets(others_wait);
        let began = self.engine.meter.start();
        let received = queue.rx.recv(&mut self.engine.exec.buffers.pool, most, &mut self.batch);
        self.engine.meter.mark(Stage::Receive);
        let received = received.unwrap_or_else(|error| {
            log::warn!("datapath port {}: receiving failed, giving the queue up: {error}", port.0);
            self.forget(index);
            Received::Drained
        });
        if self.desk.mailbox.is_pending() {
            self.obey();
        }
        let (packets, more) = (self.batch.len(), received == Received::More);
        let is_followed = packets > 0 && more && may_be_more && self.is_bulkless();
        if packets > 0 {
            self.move_batch(is_followed);
        }
        // Obeying may have taken the queue away.
        if let Some(Some(queue)) = self.queues.get_mut(index)
            && queue.id == id
        {
            let cycles = self.engine.meter.last().wrapping_sub(began);
            if packets > 0 {
                queue.usage.add(window(self.last), cycles);
                self.served += cycles;
            }
            let cost = if queue.account.is_surprised(cycles, packets) {
                let slept = self.engine.meter.perf.sleep_cycles;
                cycles.saturating_sub(self.absence.since_last(slept, self.shared.cycle_rate.hz()))
            } else {
                cycles
            };
            queue.account.charge(cost, packets);
            queue.paid(more);
            if !is_followed {
                let sleeps = self.desk.sleep() == Sleep::UntilWoken;
                queue.was_served(index, &mut self.turns, (received, packets), sleeps);
            }
        }
        self.serving = None;
        is_followed
    }

    /// Whether there are only small packets, now and for a while.
    fn is_bulkless(&self) -> bool {
        self.batch.iter().all(|p| p.buf.len() <= SMALL)
            && self.last.since(self.last_large) > NONE_LARGE
    }

    /// Sends a received batch on its road; where `more` follow at once, perhaps not to its end.
    fn move_batch(&mut self, more: bool) {
        self.last = self.shared.clock.now();
        self.busy += self.batch.len();
        if self.batch.iter().any(|p| p.buf.len() > SMALL) {
            self.last_large = self.last;
        }
        let (port, id) = self.batch_from;
        self.engine.is_unhurried = self.turns.is_empty();
        self.engine.receive(port, Source::Queue(id), &mut self.batch, self.last, more);
    }

    /// Counts a turn of the loop.
    fn end_turn(&mut self) {
        let now = cycles::now();
        let used = now.wrapping_sub(self.began).saturating_sub(self.asleep);
        let perf = &mut self.engine.meter.perf;
        perf.iterations += 1;
        if self.served > 0 {
            perf.busy_iterations += 1;
            perf.busy_cycles += used;
            self.desk.overhead.add(window(self.last), used.saturating_sub(self.served));
        } else {
            perf.idle_cycles += used;
        }
        if self.desk.shelf.is_wanted() {
            self.note_turn(used);
        } else {
            self.noted = None;
        }
        (self.began, self.asleep, self.served) = (now, 0, 0);
    }

    /// Notes what this turn has cost.
    fn note_turn(&mut self, cycles: u64) {
        let perf = self.engine.meter.perf;
        if let Some(before) = self.noted.replace(perf) {
            let done = perf.since(&before);
            let turn = Span {
                turns: 1,
                cycles,
                busy_cycles: if self.served > 0 { cycles } else { 0 },
                packets: done.received,
                batches: done.batches,
                upcalls: done.missed,
                upcall_cycles: done.stages[Stage::Miss as usize],
            };
            self.notes.note(&self.desk.shelf, perf.iterations, self.shared.clock.now(), turn);
        }
    }

    /// Gives queues away, if nobody is about to post and everything posted has been obeyed; else to be tried again.
    fn hand_over(&mut self) {
        let shared = self.shared.clone();
        let desks = match shared.desks.try_lock() {
            Ok(desks) => desks,
            Err(TryLockError::Poisoned(desks)) => desks.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // Whoever has it may wait for room in this mailbox: back to obeying.
                std::thread::yield_now();
                return;
            }
        };
        if self.desk.mailbox.is_pending() {
            return;
        }
        for (id, to, ticket) in std::mem::take(&mut self.leaving) {
            let index = self.queues.iter().position(|q| q.as_ref().is_some_and(|q| q.id == id));
            if let (Some(index), Some(Some(desk))) = (index, desks.get(to))
                && let Some(queue) = self.forget(index)
            {
                shared.misses.set_home(id, to);
                desk.mailbox.hand_over(queue);
            }
            drop(ticket);
        }
    }

    /// Every receive queue is to be emptied once (at most [`BARRIER_BATCHES`] batches of each). They take turns as ever, so that
    /// whoever is polite does not wait for whoever floods.
    fn put_up_barriers(&mut self) {
        if self.barriers.is_empty() {
            return;
        }
        self.passing.append(&mut self.barriers);
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if let Some(queue) = queue {
                queue.owe(BARRIER_BATCHES);
                queue.make_ready(index, &mut self.turns);
            }
        }
    }

    /// Lets go of the barriers' tickets if all have been emptied.
    fn pass_barriers(&mut self) {
        if !self.passing.is_empty() && self.queues.iter().flatten().all(|q| q.owes_nothing()) {
            self.publish();
            self.passing.clear();
        }
    }

    fn publish(&mut self) {
        self.desk.published.store(&self.engine.meter.perf);
    }
}
