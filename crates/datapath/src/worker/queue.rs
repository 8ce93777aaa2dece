//! A receive queue in the hands of a worker.

use std::sync::Arc;

use flow::DpPort;
use netdev::{Received, RxQueue};

use super::turns::{Account, Turns};
use crate::miss::QueueId;
use crate::usage::Usage;

/// How often serving a queue may end in a panic before it is given up.
const FAILURES_MAX: u32 = 8;

/// How often a polled queue may be found empty in a row before it is left alone until its sender speaks.
const PATIENCE: u32 = 1024;

/// A receive queue, with all that goes along when it moves to another worker.
pub(crate) struct Queue {
    pub(crate) id: QueueId,
    pub(crate) port: DpPort,
    pub(crate) rx: Box<dyn RxQueue>,
    /// Cycles that it has used lately.
    pub(crate) usage: Arc<Usage>,
    is_ready: bool,
    /// Batches that a barrier still waits for.
    owed: usize,
    /// [`RxQueue::polled`].
    is_polled: bool,
    /// How often in a row it was found empty. At [`PATIENCE`] it is armed, or dormant.
    empties: u32,
    pub(super) account: Account,
    failures: u32,
}

impl Queue {
    pub(crate) fn new(id: QueueId, port: DpPort, rx: Box<dyn RxQueue>, usage: Arc<Usage>) -> Self {
        Self {
            id,
            port,
            is_polled: rx.polled(),
            rx,
            usage,
            empties: 0,
            is_ready: false,
            owed: 0,
            account: Account::default(),
            failures: 0,
        }
    }

    /// The queue's number is `index`: it waits for its turn, unless it does already.
    pub(super) fn make_ready(&mut self, index: usize, turns: &mut Turns) {
        if !self.is_ready {
            self.is_ready = true;
            turns.push(index, &mut self.account);
        }
    }

    /// It is no longer in line, but about to be served.
    pub(super) fn is_served(&mut self) {
        self.is_ready = false;
        if self.empties >= PATIENCE {
            // Whoever is served is no longer armed.
            self.empties = 0;
        }
    }

    /// Not in line now, nor to be put there while `aside`.
    pub(super) fn set_aside(&mut self, aside: bool) {
        self.is_ready = aside;
    }

    /// It was served, and gave so many packets. `sleeps`: the worker sleeps until woken, so that senders may be asked to do so.
    pub(super) fn was_served(
        &mut self,
        index: usize,
        turns: &mut Turns,
        (received, packets): (Received, usize),
        sleeps: bool,
    ) {
        self.empties = match received {
            Received::Dormant => PATIENCE,
            Received::Drained if packets == 0 && self.is_polled && sleeps => self.empties + 1,
            Received::Drained | Received::More => 0,
        };
        let is_enough = received == Received::Drained && self.empties == PATIENCE;
        if received == Received::More || is_enough && self.rx.arm() == Received::More {
            self.empties = 0;
            self.make_ready(index, turns);
        }
    }

    /// A barrier waits until it is empty, or for so many batches.
    pub(super) fn owe(&mut self, batches: usize) {
        self.owed = batches;
    }

    /// A batch was taken.
    pub(super) fn paid(&mut self, more: bool) {
        self.owed = if more { self.owed.saturating_sub(1) } else { 0 };
    }

    /// No barrier waits for it.
    pub(super) fn owes_nothing(&self) -> bool {
        self.owed == 0
    }

    /// Its sender says nothing, so that it is to be asked again and again.
    pub(super) fn is_polled(&self) -> bool {
        self.is_polled && self.empties < PATIENCE
    }

    /// Asks the sender for a wake-up; `More`: something has come meanwhile, and the queue is in line.
    pub(super) fn arm(&mut self, index: usize, turns: &mut Turns) -> Received {
        let answer = self.rx.arm();
        if answer == Received::More {
            self.make_ready(index, turns);
        }
        answer
    }

    /// Serving it has panicked. Says whether it may try again.
    pub(super) fn has_failed(&mut self) -> bool {
        self.failures += 1;
        self.failures < FAILURES_MAX
    }
}
