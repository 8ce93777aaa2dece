//! How the control side speaks to a worker: a queue of commands, read between two batches of packets.
//!
//! A worker looks at one flag per batch; only when that is set does it take the lock. Posting wakes a sleeping worker only
//! for what cannot wait until it wakes by itself: installing a flow can, for the worker reads its mailbox before it looks any
//! packet up. A poster whose worker is far behind waits: the queue is bounded.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use flow::{Action, DpPort, FlowKey, TunnelProtocol};
use netdev::TxQueue;
use packet::Packet;
use rustix::event::{EventfdFlags, eventfd};

use crate::entry::Flow;
use crate::miss::{Hold, QueueId, Source};
use crate::opening::Opening;
use crate::worker::Queue;

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
    AddTunnel(DpPort, TunnelProtocol),
    /// Let go of a port's queues.
    RemovePort(DpPort, Ticket),
    /// Give a receive queue to another worker, then let go of the ticket. Not ours: nothing.
    Release { queue: QueueId, to: usize, ticket: Ticket },
    /// Serve a receive queue that another worker has given up.
    Adopt(Box<Queue>),
    /// For tests: fail.
    #[cfg(test)]
    Panic,
    /// Run a packet.
    Run(Box<Run>),
    /// See that these gates are opened.
    Open(Vec<Arc<Opening>>),
    /// Empty all receive queues, then let go of the ticket.
    Barrier(Ticket),
    /// Look about: how to rest has changed.
    Look,
    /// End.
    Stop,
}

impl Command {
    /// Whether a sleeping worker is to be woken for it.
    fn is_urgent(&self) -> bool {
        match self {
            Command::Put(_) | Command::Remove(_) | Command::Sweep | Command::AddTunnel(..) => false,
            Command::Reclaim(hold) => hold.has_packets(),
            // Whose queues are all its own sees to it with the next packet.
            Command::Open(openings) => openings.iter().any(|opening| opening.is_shared()),
            #[cfg(test)]
            Command::Panic => true,
            Command::AddPort(_)
            | Command::RemovePort(..)
            | Command::Release { .. }
            | Command::Adopt(_)
            | Command::Run(_)
            | Command::Barrier(_)
            | Command::Look
            | Command::Stop => true,
        }
    }
}

/// A port and this worker's share of its queues.
pub(crate) struct NewPort {
    pub(crate) port: DpPort,
    pub(crate) tx: Box<dyn TxQueue>,
    pub(crate) rx: Vec<Queue>,
}

/// A packet from the control side.
pub(crate) struct Run {
    pub(crate) packet: Packet,
    /// Where it came from.
    pub(crate) source: Source,
    /// With actions: the packet's key. Without: its metadata.
    pub(crate) key: FlowKey,
    /// The options that it names.
    pub(crate) options: Box<[u8]>,
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
    /// Nobody waits for room.
    is_roomy: bool,
    closed: bool,
}

/// While it exists, nobody waits for room in a mailbox.
pub(crate) struct Room<'a>(&'a Mailbox);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.lock().is_roomy = false;
    }
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
        let full = |s: &mut State| s.commands.len() >= COMMANDS_MAX && !s.closed && !s.is_roomy;
        let state = self.room.wait_while(self.lock(), full).unwrap_or_else(|e| e.into_inner());
        self.put(state, commands)
    }

    /// The worker is about to wait for locks that posters may hold: nobody waits for it meanwhile.
    pub(crate) fn make_room(&self) -> Room<'_> {
        self.lock().is_roomy = true;
        self.room.notify_all();
        Room(self)
    }

    /// Hands a queue over. Never waits: workers do that, and two might wait for each other. There are only so many queues.
    pub(crate) fn hand_over(&self, queue: Box<Queue>) {
        self.put(self.lock(), [Command::Adopt(queue)]);
    }

    fn put(
        &self,
        mut state: MutexGuard<'_, State>,
        commands: impl IntoIterator<Item = Command>,
    ) -> u64 {
        let (mut refused, mut urgent) = (0, false);
        for command in commands {
            urgent |= command.is_urgent();
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
        urgent |= state.commands.len() >= COMMANDS_MAX / 2;
        self.pending.store(!state.commands.is_empty(), Ordering::SeqCst);
        drop(state);
        if urgent && self.sleeping.swap(false, Ordering::SeqCst) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miss::MissQueue;

    fn is_signalled(mailbox: &Mailbox) -> bool {
        rustix::io::read(&mailbox.wake, &mut [0u8; 8]).is_ok()
    }

    #[test]
    fn only_what_cannot_wait_wakes_a_sleeper() {
        let mailbox = Mailbox::new().unwrap();
        assert!(mailbox.prepare_to_sleep());
        mailbox.post([Command::Sweep, Command::Reclaim(MissQueue::new(1).hold(0))]);
        assert!(!is_signalled(&mailbox) && mailbox.is_pending());
        mailbox.post([Command::Stop]);
        assert!(is_signalled(&mailbox));
        mailbox.woke_up(true);
        let mut commands = VecDeque::new();
        mailbox.take(&mut commands);
        assert_eq!(commands.len(), 3);
        assert!(!mailbox.is_pending());
        mailbox.post([Command::Stop]);
        assert!(!is_signalled(&mailbox), "awake: it looks by itself");
        assert!(!mailbox.prepare_to_sleep(), "not without reading");
    }

    #[test]
    fn tickets_come_back_from_a_closed_mailbox_too() {
        let (mailbox, latch) = (Mailbox::new().unwrap(), Arc::new(Latch::default()));
        mailbox.post([Command::Barrier(latch.ticket())]);
        assert!(!latch.wait(Duration::ZERO));
        mailbox.close();
        assert!(latch.wait(Duration::ZERO));
        mailbox.post([Command::Barrier(latch.ticket())]);
        assert!(latch.wait(Duration::ZERO));
    }

    #[test]
    fn nobody_waits_for_a_worker_that_waits() {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        mailbox.post((0..COMMANDS_MAX).map(|_| Command::Sweep));
        let poster = {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || mailbox.post([Command::Sweep]))
        };
        let room = mailbox.make_room();
        assert_eq!(poster.join().unwrap(), 0);
        assert_eq!(mailbox.post([Command::Sweep]), 0);
        drop(room);
        let full = |s: &State| s.commands.len() == COMMANDS_MAX + 2 && !s.is_roomy;
        assert!(full(&mailbox.lock()));
    }

    #[test]
    fn posters_wait_for_a_worker_that_is_far_behind() {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        mailbox.post((0..COMMANDS_MAX).map(|_| Command::Sweep));
        let poster = {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || mailbox.post([Command::Stop]))
        };
        let mut commands = VecDeque::new();
        while !matches!(commands.back(), Some(Command::Stop)) {
            mailbox.take(&mut commands);
            std::thread::yield_now();
        }
        assert_eq!((poster.join().unwrap(), commands.len()), (0, COMMANDS_MAX + 1));
    }
}
