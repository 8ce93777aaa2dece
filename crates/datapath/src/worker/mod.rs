//! A worker thread: sleeps until there is something to receive or to obey, and moves packets.
//!
//! # Sleeping
//! All of a worker's receive queues, and its mailbox, are in one epoll set (level-triggered). After a busy period with several
//! packets, all small, the worker does not sleep in epoll but lets packets gather for a moment ([`Config::moderation`]),
//! because being woken costs more than a small packet. A lone packet, such as a ping, is never made to wait, nor is anything
//! while bulk transfers run.
//!
//! A queue may ask to be *polled* ([`RxQueue::polled`]): its sender (a guest in shared memory) is spared wake-ups while the
//! worker is awake anyway. Then every look at the descriptors counts such a queue as ready, and all of them are armed before
//! the worker really sleeps.
//!
//! # Commands
//! After each batch is received, and before it is looked up, the mailbox is obeyed. So what was posted before a packet arrived
//! is in force when that packet is handled, and packets that come back from the slow path go before newer ones.
//!
//! [`Config::moderation`]: crate::Config::moderation

mod engine;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use flow::DpPort;
use netdev::{Received, RxQueue};
use packet::{BATCH, Packet};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::Config;
use crate::control::Shared;
use crate::mailbox::{Command, NewPort, Ticket};
use engine::Engine;

/// Packets longer than this are worth more than their wake-up, and small ones that travel with them are acknowledgements that
/// somebody waits for: while there are any, nothing is made to wait.
const SMALL: usize = 512;

/// How long there must have been none.
const NONE_LARGE: Duration = Duration::from_millis(2);

/// Batches that a barrier waits for in each queue at most, so that a flood cannot hold it up for ever.
const BARRIER_BATCHES: usize = 4096;

/// The mailbox's number in the epoll set.
const MAILBOX: u64 = u64::MAX;

/// A thread's state.
pub(crate) struct Worker {
    id: usize,
    shared: Arc<Shared>,
    engine: Engine,
    epoll: OwnedFd,
    /// By the number that epoll reports.
    queues: Vec<Option<Queue>>,
    /// Queues that had more when last asked, in the order of service.
    ready: VecDeque<usize>,
    /// The batch being received.
    batch: Vec<Packet>,
    /// Packets since the worker last rested.
    busy: usize,
    /// When the last batch came, and the last that had a large packet in it.
    last: Instant,
    last_large: Instant,
    /// Barriers to be passed before the next batch.
    barriers: Vec<Ticket>,
    stopping: bool,
}

/// A receive queue that this worker owns.
struct Queue {
    port: DpPort,
    rx: Box<dyn RxQueue>,
    is_ready: bool,
    /// [`RxQueue::polled`].
    is_polled: bool,
}

impl Queue {
    /// Puts the queue, whose number is `index`, at the end of those to be served.
    fn make_ready(&mut self, index: usize, ready: &mut VecDeque<usize>) {
        if !self.is_ready {
            self.is_ready = true;
            ready.push_back(index);
        }
    }
}

/// Asks the senders of polled queues for a wake-up. `More`: some have sent meanwhile, and are ready.
fn arm(queues: &mut [Option<Queue>], ready: &mut VecDeque<usize>) -> Received {
    let mut answer = Received::Drained;
    for (index, queue) in queues.iter_mut().enumerate() {
        if let Some(queue) = queue.as_mut().filter(|q| q.is_polled)
            && queue.rx.arm() == Received::More
        {
            queue.make_ready(index, ready);
            answer = Received::More;
        }
    }
    answer
}

/// Closes the mailbox whatever ends the thread, so that nobody waits for a worker that is gone.
struct Closing(usize, Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!(
                "datapath worker {} has failed; its ports receive nothing any more",
                self.0
            );
        }
        self.1.mailboxes[self.0].close();
    }
}

impl Worker {
    pub(crate) fn new(id: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, shared.mailboxes[id].fd(), EventData::new_u64(MAILBOX), EventFlags::IN)?;
        Ok(Self {
            id,
            engine: Engine::new(id, shared.clone()),
            shared,
            epoll,
            queues: Vec::new(),
            ready: VecDeque::new(),
            batch: Vec::with_capacity(BATCH),
            busy: 0,
            last: Instant::default(),
            last_large: Instant::default(),
            barriers: Vec::new(),
            stopping: false,
        })
    }

    /// The thread's life.
    pub(crate) fn run(mut self) {
        let _closing = Closing(self.id, self.shared.clone());
        // Sleeps of tens of microseconds are meant; the default lets them last twice as long. Harmless if refused.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
        while !self.stopping {
            if self.shared.mailboxes[self.id].is_pending() {
                self.obey();
                continue; // it may have been told to stop
            }
            if !self.barriers.is_empty() {
                self.pass_barriers();
            } else if self.ready.is_empty() {
                self.rest();
            } else {
                self.look(Some(Duration::ZERO));
            }
            for _ in 0..self.ready.len() {
                if let Some(queue) = self.ready.pop_front()
                    && self.serve(queue)
                {
                    self.ready.push_back(queue);
                }
            }
        }
    }

    // -- packets --

    /// Moves one batch from a queue. Says whether there may be more.
    fn serve(&mut self, index: usize) -> bool {
        let Some(Some(queue)) = self.queues.get_mut(index) else { return false };
        let port = queue.port;
        let received = queue.rx.recv(&mut self.engine.exec.buffers.pool, BATCH, &mut self.batch);
        let more = matches!(received, Ok(Received::More));
        queue.is_ready = more;
        if let Err(error) = received {
            log::warn!("datapath port {}: receiving failed, giving the queue up: {error}", port.0);
            self.forget(index);
        }
        if self.shared.mailboxes[self.id].is_pending() {
            self.obey();
        }
        if !self.batch.is_empty() {
            self.last = self.shared.clock.now();
            self.busy += self.batch.len();
            if self.batch.iter().any(|p| p.buf.len() > SMALL) {
                self.last_large = self.last;
            }
            self.engine.receive(port, &mut self.batch, self.last);
        }
        more
    }

    /// Nothing is waiting: let some gather, or sleep.
    fn rest(&mut self) {
        let Config { moderation, .. } = self.shared.config;
        let busy = std::mem::take(&mut self.busy) >= Config::MODERATE_AFTER;
        if busy && !moderation.is_zero() && self.last.since(self.last_large) > NONE_LARGE {
            if !self.doze(moderation) {
                return;
            }
            self.look(Some(Duration::ZERO));
            if !self.ready.is_empty() {
                // Go on dozing between batches as long as small packets come.
                self.busy = Config::MODERATE_AFTER - 1;
                return;
            }
        }
        self.look(None);
    }

    /// Sleeps for a moment whatever arrives, but for commands. False: commands came.
    fn doze(&self, time: Duration) -> bool {
        let mailbox = &self.shared.mailboxes[self.id];
        if !mailbox.prepare_to_sleep() {
            mailbox.woke_up(false);
            return false;
        }
        let mut fds = [PollFd::from_borrowed_fd(mailbox.fd(), PollFlags::IN)];
        let woken = poll(&mut fds, Timespec::try_from(time).ok().as_ref());
        let signalled = woken.is_ok_and(|n| n > 0);
        mailbox.woke_up(signalled);
        !signalled
    }

    /// Learns which queues have something, waiting at most `timeout` for the first (`None`: until there is, or commands
    /// come). Polled queues may always have.
    fn look(&mut self, timeout: Option<Duration>) {
        let mailbox = &self.shared.mailboxes[self.id];
        if timeout.is_none() {
            if arm(&mut self.queues, &mut self.ready) == Received::More {
                return;
            }
            if !mailbox.prepare_to_sleep() {
                mailbox.woke_up(false);
                return;
            }
        }
        let mut space = [const { std::mem::MaybeUninit::uninit() }; 64];
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let (events, _) =
            epoll::wait(&self.epoll, &mut space, timeout.as_ref()).unwrap_or_default();
        let mut signalled = false;
        for event in &*events {
            let index = event.data.u64();
            if index == MAILBOX {
                signalled = true;
            } else if let Some(Some(queue)) = self.queues.get_mut(index as usize) {
                queue.make_ready(index as usize, &mut self.ready);
            }
        }
        mailbox.woke_up(signalled);
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if let Some(queue) = queue.as_mut().filter(|q| q.is_polled) {
                queue.make_ready(index, &mut self.ready);
            }
        }
    }

    // -- commands --

    /// Carries out everything in the mailbox, in order.
    fn obey(&mut self) {
        let mut commands = VecDeque::new();
        self.shared.mailboxes[self.id].take(&mut commands);
        let mut holds = Vec::new();
        for command in commands {
            match command {
                Command::Put(flow) => self.engine.cache.put(flow),
                Command::Reclaim(hold) => holds.push(hold),
                Command::Remove(flow) => self.engine.cache.remove(&flow),
                Command::Sweep => self.engine.cache.sweep(),
                Command::AddPort(new) => self.add_port(*new),
                Command::AddTunnel(port, kind) => self.engine.exec.ports.add_tunnel(port, kind),
                Command::RemovePort(port, ticket) => {
                    self.remove_port(port);
                    drop(ticket);
                }
                Command::Run(run) => match run.actions {
                    Some(actions) => self.engine.run(run.packet, run.key, &actions),
                    None => self.engine.enter(run.packet, run.key),
                },
                Command::Barrier(ticket) => self.barriers.push(ticket),
                Command::Stop => self.stopping = true,
            }
        }
        if !holds.is_empty() {
            self.engine.reclaim();
        }
        self.engine.finish(self.shared.clock.now());
    }

    fn add_port(&mut self, new: NewPort) {
        self.engine.exec.ports.add_device(new.port, new.tx);
        for rx in new.rx {
            let free = self.queues.iter().position(Option::is_none);
            let index = free.unwrap_or_else(|| {
                self.queues.push(None);
                self.queues.len() - 1
            });
            let data = EventData::new_u64(index as u64);
            if let Err(error) = epoll::add(&self.epoll, rx.fd(), data, EventFlags::IN) {
                log::error!("datapath port {}: cannot wait for packets: {error}", new.port.0);
                continue;
            }
            let mut queue = Queue { port: new.port, is_polled: rx.polled(), rx, is_ready: false };
            if queue.is_polled {
                // Nobody has asked its sender for anything yet.
                queue.make_ready(index, &mut self.ready);
            }
            self.queues[index] = Some(queue);
        }
    }

    fn remove_port(&mut self, port: DpPort) {
        self.engine.finish(self.shared.clock.now());
        self.engine.exec.ports.remove(port);
        for index in 0..self.queues.len() {
            if self.queues[index].as_ref().is_some_and(|q| q.port == port) {
                self.forget(index);
            }
        }
    }

    /// Lets go of a receive queue.
    fn forget(&mut self, index: usize) {
        if let Some(queue) = self.queues.get_mut(index).and_then(Option::take) {
            // The descriptor may be dead already; then it is not in the set either.
            let _ = epoll::delete(&self.epoll, queue.rx.fd());
            self.ready.retain(|i| *i != index);
        }
    }

    /// Empties every receive queue (at most [`BARRIER_BATCHES`] batches of each), then lets go of the barriers' tickets.
    fn pass_barriers(&mut self) {
        let tickets = std::mem::take(&mut self.barriers);
        self.ready.clear();
        for index in 0..self.queues.len() {
            if (0..BARRIER_BATCHES).all(|_| self.serve(index)) {
                self.ready.push_back(index);
            }
        }
        drop(tickets);
    }
}
