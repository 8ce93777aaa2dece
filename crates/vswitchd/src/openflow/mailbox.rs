//! What other threads ask the daemon's loop to do, and wait for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::{BridgeId, OfPort};

/// Nobody waits longer than this: the loop is busy then, and does it later.
const PATIENCE: Duration = Duration::from_secs(5);

/// A port's configuration is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortChange {
    /// The port's bridge.
    pub bridge: BridgeId,
    /// The port.
    pub port: OfPort,
    /// Bits of OpenFlow's port configuration, as they shall be.
    pub config: u32,
    /// The bits that are meant.
    pub mask: u32,
}

/// See the module. Clones are one.
#[derive(Clone)]
pub struct Mailbox(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    done: Condvar,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    waiting: Vec<PortChange>,
    asked: u64,
    taken: u64,
    finished: u64,
}

impl Mailbox {
    /// `wake` makes the loop look here.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (state, done) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Inner { state, done, wake: Box::new(wake) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a change, and waits until it is done.
    pub fn ask(&self, change: PortChange) {
        let mut state = self.lock();
        state.waiting.push(change);
        state.asked += 1;
        let mine = state.asked;
        (self.0.wake)();
        let waited = self.0.done.wait_timeout_while(state, PATIENCE, |state| state.finished < mine);
        drop(waited);
    }

    /// What is asked for, for the loop. [`Mailbox::finish`] must follow.
    pub fn take(&self) -> Vec<PortChange> {
        let mut state = self.lock();
        state.taken = state.asked;
        std::mem::take(&mut state.waiting)
    }

    /// All that was taken is done.
    pub fn finish(&self) {
        let mut state = self.lock();
        state.finished = state.taken;
        self.0.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_waits_until_it_is_done() {
        let (wake, woken) = std::sync::mpsc::channel();
        let mailbox = Mailbox::new(move || wake.send(()).unwrap_or_default());
        let asked = PortChange { bridge: BridgeId(1), port: OfPort(2), config: 1, mask: 1 };
        let other = mailbox.clone();
        let thread = std::thread::spawn(move || {
            other.ask(asked);
            other.lock().finished
        });
        woken.recv().unwrap();
        assert_eq!(mailbox.take(), [asked]);
        assert!(mailbox.take().is_empty());
        mailbox.finish();
        assert_eq!(thread.join().unwrap(), 1);
    }
}
