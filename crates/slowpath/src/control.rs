//! How the rest of the daemon steers the revalidator thread: kick it, wait for it, pause it, end it.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// What the revalidator should do when it wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody wants a pass.
    Kicked,
    /// The time is up.
    Timer,
    /// End.
    Stop,
}

#[derive(Debug, Default)]
struct State {
    /// A pass is wanted now.
    kicked: bool,
    paused: bool,
    stop: bool,
    /// Who waits for a pass.
    waiters: usize,
    /// Passes begun and ended.
    begun: u64,
    ended: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Asks for a pass as soon as may be.
    pub(crate) fn kick(&self) {
        // Whoever kicked before has woken it; of many changes in a row the first alone does.
        if !std::mem::replace(&mut self.lock().kicked, true) {
            self.changed.notify_all();
        }
    }

    /// No passes until resumed; then one at once, for there may be much to catch up with.
    pub(crate) fn pause(&self, paused: bool) {
        let mut state = self.lock();
        state.paused = paused;
        state.kicked |= !paused;
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits until a pass that began after this call has ended; false when that takes longer than `timeout`, or the
    /// revalidator is paused or has ended.
    pub(crate) fn wait_for_pass(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        state.kicked = true;
        state.waiters += 1;
        self.changed.notify_all();
        let target = state.begun + 1;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |s| s.ended < target && !s.paused && !s.stop)
            .unwrap_or_else(|e| e.into_inner());
        state.waiters -= 1;
        state.ended >= target
    }

    /// Whether the end was asked for.
    pub(crate) fn stopped(&self) -> bool {
        self.lock().stop
    }

    /// Keeps the revalidator from running again at once; not while somebody waits for it.
    pub(crate) fn rest(&self, time: Duration) {
        let state = self.lock();
        let _ = self.changed.wait_timeout_while(state, time, |s| !s.stop && s.waiters == 0);
    }

    /// The revalidator's sleep: until kicked, or for `timeout` (`None`: until kicked). Marks a pass begun.
    pub(crate) fn sleep(&self, timeout: Option<Duration>) -> Wake {
        let mut state = self.lock();
        let idle = |s: &mut State| !s.stop && (s.paused || !s.kicked);
        if let Some(timeout) = timeout.filter(|_| !state.paused) {
            let slept = self.changed.wait_timeout_while(state, timeout, idle);
            state = slept.unwrap_or_else(|e| e.into_inner()).0;
        }
        if timeout.is_none() || state.paused {
            state = self.changed.wait_while(state, idle).unwrap_or_else(|e| e.into_inner());
        }
        if state.stop {
            return Wake::Stop;
        }
        state.begun += 1;
        if std::mem::take(&mut state.kicked) { Wake::Kicked } else { Wake::Timer }
    }

    /// Marks the pass ended.
    pub(crate) fn ended(&self) {
        let mut state = self.lock();
        state.ended = state.begun;
        self.changed.notify_all();
    }
}
