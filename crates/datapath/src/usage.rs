//! How many cycles a receive queue, or a worker, has used lately: twelve windows of five seconds, as in the reference.
//!
//! A window is numbered by the clock's time, so a worker that sleeps through several need not wake to close them, and a queue
//! that moves to another worker takes its history along. One worker at a time writes; readers add up windows that are over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Instant;

/// Length of a window.
pub(crate) const WINDOW: Duration = Duration::from_secs(5);

/// Windows that can be asked for: the last minute.
pub(crate) const WINDOWS: u64 = 12;

/// Windows kept: those, the one that is open, and room for a reader that comes late.
const KEPT: usize = 16;

/// The number of the window that is open at `now`; never 0.
#[inline]
pub(crate) fn window(now: Instant) -> u64 {
    now.as_nanos() / (WINDOW.as_nanos() as u64) + 1
}

/// See the module's essay.
#[derive(Debug, Default)]
pub(crate) struct Usage([Slot; KEPT]);

#[derive(Debug, Default)]
struct Slot {
    window: AtomicU64,
    cycles: AtomicU64,
}

impl Usage {
    /// Adds cycles to a window. By the worker that has the queue alone.
    #[inline]
    pub(crate) fn add(&self, window: u64, cycles: u64) {
        let slot = &self.0[window as usize % KEPT];
        let before = if slot.window.load(Ordering::Relaxed) == window {
            slot.cycles.load(Ordering::Relaxed)
        } else {
            slot.cycles.store(0, Ordering::Relaxed);
            slot.window.store(window, Ordering::Release);
            0
        };
        slot.cycles.store(before + cycles, Ordering::Relaxed);
    }

    /// Cycles of the last `windows` windows that were over when `open` began.
    pub(crate) fn recent(&self, open: u64, windows: u64) -> u64 {
        let wanted = open.saturating_sub(windows)..open;
        let over = self.0.iter().filter(|s| wanted.contains(&s.window.load(Ordering::Acquire)));
        over.map(|s| s.cycles.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_open_with_time_and_old_ones_are_forgotten() {
        let at = |s: u64| window(Instant::from_millis(s * 1000));
        let usage = Usage::default();
        usage.add(at(0), 10);
        usage.add(at(4), 5);
        assert_eq!(usage.recent(at(4), WINDOWS), 0, "the window is still open");
        assert_eq!(usage.recent(at(5), WINDOWS), 15);
        usage.add(at(33), 100);
        assert_eq!(usage.recent(at(35), WINDOWS), 115);
        assert_eq!(usage.recent(at(35), 1), 100);
        assert_eq!(usage.recent(at(65), WINDOWS), 100, "a minute later");
        for s in (100..400u64).step_by(5) {
            usage.add(at(s), 1);
        }
        assert_eq!(usage.recent(at(400), WINDOWS), WINDOWS);
        assert_eq!(usage.recent(at(10_000), WINDOWS), 0);
    }
}
