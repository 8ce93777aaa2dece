//! Time as a value. A [`Clock`] is real until somebody stops it; from then on it moves only when warped, which is how the
//! daemon's `time/stop` and `time/warp` work and how the lab runs hours of protocol time in milliseconds.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, in nanoseconds since an arbitrary origin (the clock's creation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// From nanoseconds since the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the origin.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time elapsed from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, d: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A source of time, cheap to clone and safe to share; all clones are one clock.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

type OnWarp = Box<dyn Fn() + Send + Sync>;

struct Inner {
    origin: std::time::Instant,
    /// Whether time stands still but for [`Clock::warp`].
    stopped: AtomicBool,
    /// While stopped: the time. While running: unused.
    frozen: AtomicU64,
    /// Whoever sleeps on this clock's time must be woken when it jumps.
    on_warp: Mutex<Vec<OnWarp>>,
}

impl Clock {
    /// A clock that follows the operating system's monotonic time.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn real() -> Self {
        Self(Arc::new(Inner {
            origin: std::time::Instant::now(),
            stopped: AtomicBool::new(false),
            frozen: AtomicU64::new(0),
            on_warp: Mutex::new(Vec::new()),
        }))
    }

    /// A clock that stands still at `start` until warped.
    pub fn manual(start: Instant) -> Self {
        let clock = Self::real();
        clock.0.frozen.store(start.0, Ordering::SeqCst);
        clock.0.stopped.store(true, Ordering::SeqCst);
        clock
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        if self.0.stopped.load(Ordering::Relaxed) {
            Instant(self.0.frozen.load(Ordering::SeqCst))
        } else {
            self.os_now()
        }
    }

    fn os_now(&self) -> Instant {
        Instant(u64::try_from(self.0.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time of day, for file records and log lines. Stands still with a stopped clock's offset left out: it is for people.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Whether time moves by [`Clock::warp`] only.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Stops the clock at the present time. Stopping twice is harmless.
    pub fn stop(&self) {
        if !self.is_stopped() {
            self.0.frozen.store(self.os_now().0, Ordering::SeqCst);
            self.0.stopped.store(true, Ordering::SeqCst);
        }
    }

    /// Moves a stopped clock forward and wakes whoever sleeps on it. Does nothing on a running clock.
    pub fn warp(&self, by: Duration) {
        if self.is_stopped() {
            let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            let now = self.0.frozen.load(Ordering::SeqCst);
            self.0.frozen.store(now.saturating_add(nanos), Ordering::SeqCst);
            for wake in self.0.on_warp.lock().unwrap_or_else(|e| e.into_inner()).iter() {
                wake();
            }
        }
    }

    /// Registers a function to call after each warp (to interrupt a sleep whose deadline may have come).
    pub fn on_warp(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.0.on_warp.lock().unwrap_or_else(|e| e.into_inner()).push(Box::new(wake));
    }

    /// How long an operating-system sleep until `deadline` may last: `None` (until woken) on a stopped clock that has not
    /// reached it yet, for such a clock moves by warps alone.
    pub fn sleep_until(&self, deadline: Instant) -> Option<Duration> {
        let left = deadline.since(self.now());
        if left.is_zero() {
            Some(Duration::ZERO)
        } else if self.is_stopped() {
            None
        } else {
            Some(left)
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("now", &self.now())
            .field("stopped", &self.is_stopped())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_by_warps_alone_and_wakes_sleepers() {
        let clock = Clock::manual(Instant::from_millis(5));
        let woken = Arc::new(AtomicU64::new(0));
        let count = woken.clone();
        clock.on_warp(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(clock.sleep_until(Instant::from_millis(6)), None);
        clock.warp(Duration::from_millis(10));
        assert_eq!(clock.now(), Instant::from_millis(15));
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert_eq!(clock.sleep_until(Instant::from_millis(6)), Some(Duration::ZERO));
    }

    #[test]
    fn stopping_freezes_the_present() {
        let clock = Clock::real();
        clock.warp(Duration::from_secs(100)); // no effect on a running clock
        clock.stop();
        let t = clock.now();
        assert_eq!(t, clock.now());
        assert!(t < Instant::from_millis(50_000));
    }
}
