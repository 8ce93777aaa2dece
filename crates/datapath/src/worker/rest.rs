//! What a worker does when it has nothing to do.
//!
//! # Sleeping
//! All of a worker's receive queues, and its mailbox, are in one epoll set (level-triggered). After a busy period with several
//! packets, all small, the worker does not sleep in epoll but lets packets gather for a moment ([`Config::moderation`]),
//! because being woken costs more than a small packet. A lone packet, such as a ping, is never made to wait, nor is anything
//! while bulk transfers run.
//!
//! # Polled queues
//! A queue may ask to be *polled* ([`netdev::RxQueue::polled`]): its sender (a guest in shared memory) is spared wake-ups while
//! the worker is awake anyway. Every look counts such a queue as ready, and all of them are armed before the worker really
//! sleeps. One that has been found empty very often is armed before, so that a worker with one busy guest does not spend its time
//! on asking a hundred silent ones. One that nobody uses says so ([`Received::Dormant`]) and is left alone at once.
//!
//! # Between batches
//! While it is busy, a worker asks the kernel only every [`LOOK_EVERY`] cycles what else has something, for the question costs
//! as much as several packets through shared memory. Polled queues are ready between any two batches.
//!
//! # Looking by itself
//! Told so ([`Sleep::AtMost`]), a worker never sleeps until woken: it rests for twice as long as the last time, up to the bound,
//! until packets come, and with a bound of zero not at all.

use std::time::Duration;

use netdev::Received;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use sys::cycles;

use super::{MAILBOX, NONE_LARGE, Queue, Turns, Worker};
use crate::config::Config;
use crate::desk::Sleep;

/// The first rest after packets, where the worker looks by itself.
const FIRST_NAP: Duration = Duration::from_micros(1);

/// Cycles for which a busy worker leaves the kernel in peace: as many as a turn may cost.
const LOOK_EVERY: u64 = 100_000;

impl Worker {
    /// Something is waiting: learns what else is, without ever sleeping. `now`: the cycle counter.
    pub(super) fn glance(&mut self, now: u64) {
        if now.wrapping_sub(self.looked) < LOOK_EVERY {
            self.ready_polled();
        } else {
            self.look(Some(Duration::ZERO));
        }
    }

    /// Nothing is waiting: let some gather, or sleep.
    pub(super) fn rest(&mut self) {
        self.publish();
        match self.desk.sleep() {
            Sleep::UntilWoken => self.rest_until_woken(),
            Sleep::AtMost(most) => self.nap(most),
        }
    }

    fn rest_until_woken(&mut self) {
        let Config { moderation, .. } = self.shared.config;
        let busy = std::mem::take(&mut self.busy) >= Config::MODERATE_AFTER;
        if busy && !moderation.is_zero() && self.last.since(self.last_large) > NONE_LARGE {
            if !self.doze(moderation) {
                return;
            }
            self.look(Some(Duration::ZERO));
            if !self.turns.is_empty() {
                // Go on dozing between batches as long as small packets come.
                self.busy = Config::MODERATE_AFTER - 1;
                return;
            }
        }
        self.look(None);
    }

    fn nap(&mut self, most: Duration) {
        if std::mem::take(&mut self.busy) > 0 {
            self.nap = Duration::ZERO;
        } else if !most.is_zero() {
            self.nap = (self.nap * 2).clamp(FIRST_NAP, most);
            if self.doze(self.nap) {
                self.look(Some(Duration::ZERO));
            }
            return;
        }
        self.glance(self.began);
    }

    /// Sleeps for a moment whatever arrives, but for commands. False: commands came.
    fn doze(&mut self, time: Duration) -> bool {
        let mailbox = &self.desk.mailbox;
        if !mailbox.prepare_to_sleep() {
            mailbox.woke_up(false);
            return false;
        }
        let mut fds = [PollFd::from_borrowed_fd(mailbox.fd(), PollFlags::IN)];
        let since = cycles::now();
        let woken = poll(&mut fds, Timespec::try_from(time).ok().as_ref());
        let signalled = woken.is_ok_and(|n| n > 0);
        mailbox.woke_up(signalled);
        self.has_slept(since);
        !signalled
    }

    /// Learns which queues have something, waiting at most `timeout` for the first (`None`: until there is, or commands
    /// come). Polled queues may always have.
    pub(super) fn look(&mut self, timeout: Option<Duration>) {
        let mailbox = &self.desk.mailbox;
        if timeout.is_none() {
            if arm(&mut self.queues, &mut self.turns) == Received::More {
                return;
            }
            if !mailbox.prepare_to_sleep() {
                mailbox.woke_up(false);
                return;
            }
        }
        let mut space = [const { std::mem::MaybeUninit::uninit() }; 64];
        let since = timeout.is_none().then(cycles::now);
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        let (events, _) =
            epoll::wait(&self.epoll, &mut space, timeout.as_ref()).unwrap_or_default();
        let mut signalled = false;
        for event in &*events {
            let index = event.data.u64();
            if index == MAILBOX {
                signalled = true;
            } else if let Some(Some(queue)) = self.queues.get_mut(index as usize) {
                queue.make_ready(index as usize, &mut self.turns);
            }
        }
        mailbox.woke_up(signalled);
        self.ready_polled();
        if let Some(since) = since {
            self.has_slept(since);
        }
        self.looked = cycles::now();
    }

    /// Polled queues may have something at any time.
    fn ready_polled(&mut self) {
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if let Some(queue) = queue.as_mut().filter(|q| q.is_polled()) {
                queue.make_ready(index, &mut self.turns);
            }
        }
    }

    fn has_slept(&mut self, since: u64) {
        let cycles = cycles::now().wrapping_sub(since);
        self.asleep += cycles;
        self.engine.meter.perf.sleeps += 1;
        self.engine.meter.perf.sleep_cycles += cycles;
    }
}

/// Asks the senders of polled queues for a wake-up. `More`: some have sent meanwhile, and are ready.
fn arm(queues: &mut [Option<Box<Queue>>], turns: &mut Turns) -> Received {
    let mut answer = Received::Drained;
    for (index, queue) in queues.iter_mut().enumerate() {
        if let Some(queue) = queue.as_mut().filter(|q| q.is_polled())
            && queue.arm(index, turns) == Received::More
        {
            answer = Received::More;
        }
    }
    answer
}
