//! How the control side speaks to a worker: a queue of commands, read between two batches of packets.
//!
//! A worker looks at one flag per batch; only when that is set does it take the lock. Posting wakes the worker only if it
//! sleeps. A poster whose worker is far behind waits: the queue is bounded.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use flow::{Action, DpPort, FlowKey};
use netdev::{RxQueue, TxQueue};
use packet::Packet;
use rustix::event::{EventfdFlags, eventfd};

use crate::entry::Flow;
use crate::miss::Hold;
use crate::ports::TunnelKind;

/// What a worker can be told.
pub(crate) enum Command {
    /// Install, or replace the flow with the same key.
    Put(Arc<Flow>),
    /// Flows were put: take back what they answer, then end the hold.
    Reclaim(Hold),
    /// Take out.
    Remove(Arc<Flow>),
    /// Take out all flows that are not live any more.
    Sweep,
    /// Serve a port.
    AddPort(Box<NewPort>),
    /// Decapsulate for a tunnel port.
    AddTunnel(DpPort, TunnelKind),
    /// Let go of a port's queues.
    RemovePort(DpPort, Ticket),
    /// Run a packet.
    Run(Box<Run>),
    /// Empty all receive queues, then let go of the ticket.
    Barrier(Ticket),
    /// End.
    Stop,
}

/// A port and this worker's share of its queues.
pub(crate) struct NewPort {
    pub(crate) port: DpPort,
    pub(crate) tx: Box<dyn TxQueue>,
    pub(crate) rx: Vec<Box<dyn RxQueue>>,
}

/// A packet from the control side.
pub(crate) struct Run {
    pub(crate) packet: Packet,
    /// With actions: the packet's key. Without: its metadata.
    pub(crate) key: FlowKey,
    /// `None`: enter as if received.
    pub(crate) actions: Option<Arc<[Action]>>,
}

/// Commands that may wait before posters do.
const COMMANDS_MAX: usize = 65_536;

/// Packets among them.
const RUNS_MAX: usize = 8_192;

/// One worker's queue of commands.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    room: Condvar,
    /// Whether the queue has something in it.
    pending: AtomicBool,
    /// Whether the worker sleeps, or is about to.
    sleeping: AtomicBool,
    wake: OwnedFd,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Command>,
    runs: usize,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            room: Condvar::new(),
            pending: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }

    /// Posts commands; the worker finds all of them at once, in this order. Gives back how many packets were refused.
    pub(crate) fn post(&self, commands: impl IntoIterator<Item = Command>) -> u64 {
        let full = |s: &mut State| s.commands.len() >= COMMANDS_MAX && !s.closed;
        let mut state = self.room.wait_while(self.lock(), full).unwrap_or_else(|e| e.into_inner());
        let mut refused = 0;
        for command in commands {
            if let Command::Run(_) = command {
                if state.runs >= RUNS_MAX || state.closed {
                    refused += 1;
                    continue;
                }
                state.runs += 1;
            }
            // A stopped worker's commands are forgotten, and tickets in them given up.
            if !state.closed {
                state.commands.push_back(command);
            }
        }
        self.pending.store(!state.commands.is_empty(), Ordering::SeqCst);
        drop(state);
        if self.sleeping.swap(false, Ordering::SeqCst) {
            // Fails only when the counter is full, and then the worker wakes anyway.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
        refused
    }

    /// Whether there are commands. The worker asks after it has received and before it looks up: what was posted before a
    /// packet arrived is obeyed before that packet is handled.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst)
    }

    /// Moves all commands to the end of `out`.
    pub(crate) fn take(&self, out: &mut VecDeque<Command>) {
        let mut state = self.lock();
        out.append(&mut state.commands);
        state.runs = 0;
        self.pending.store(false, Ordering::SeqCst);
        drop(state);
        self.room.notify_all();
    }

    /// Announces that the worker is about to sleep on [`Mailbox::fd`]. False: there are commands, do not.
    pub(crate) fn prepare_to_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        !self.is_pending()
    }

    /// The worker is awake again; `signalled` when [`Mailbox::fd`] was readable.
    pub(crate) fn woke_up(&self, signalled: bool) {
        self.sleeping.store(false, Ordering::SeqCst);
        if signalled {
            // Never blocks; a failure means that somebody else emptied it, and there is nobody else.
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
    }

    /// Readable when the worker is to wake up.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The worker has ended: nothing is accepted any more, nobody waits.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.commands);
        drop(state);
        drop(dropped);
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Waits until every ticket is gone: handed in by a worker, or lost with a worker that ended.
#[derive(Default)]
pub(crate) struct Latch {
    tickets: Mutex<usize>,
    zero: Condvar,
}

impl Latch {
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        *self.tickets.lock().unwrap_or_else(|e| e.into_inner()) += 1;
        Ticket(self.clone())
    }

    /// Whether all tickets came back within `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let tickets = self.tickets.lock().unwrap_or_else(|e| e.into_inner());
        let (left, _) = self
            .zero
            .wait_timeout_while(tickets, timeout, |left| *left > 0)
            .unwrap_or_else(|e| e.into_inner());
        *left == 0
    }
}

/// Dropping it tells its [`Latch`].
pub(crate) struct Ticket(Arc<Latch>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut left = self.0.tickets.lock().unwrap_or_else(|e| e.into_inner());
        *left -= 1;
        if *left == 0 {
            self.0.zero.notify_all();
        }
    }
}
