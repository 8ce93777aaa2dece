//! Log lines that cannot flood: a token bucket per call site, as the reference has it.
//!
//! ```
//! static LIMIT: observe::RateLimit = observe::RateLimit::new(5, 20);
//! let name = "eth1";
//! observe::limited!(LIMIT, log::Level::Warn, target: "netdev", "{name}: cannot be opened");
//! ```

use base::Instant;
use std::sync::Mutex;
use std::time::Duration;

/// A limit of log lines: `burst` at once, `per_minute` in the long run. What is dropped is counted and told with the next line
/// that passes.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: u32,
    burst: u32,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    /// In units of which [`TOKEN`] make a token, so that slow rates lose nothing to rounding.
    level: u64,
    filled: Instant,
    dropped: Dropped,
}

/// A token, in the unit that a millisecond adds `per_minute` of.
const TOKEN: u64 = 60_000;

/// Lines that were not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub count: u32,
    first: Instant,
    last: Instant,
}

impl Dropped {
    /// The line that tells of them.
    pub fn text(&self, now: Instant) -> String {
        let seconds = |since: Instant| now.since(since).as_secs();
        format!(
            "Dropped {} log messages in last {} seconds (most recently, {} seconds ago) due to excessive rate",
            self.count,
            seconds(self.first),
            seconds(self.last)
        )
    }
}

impl RateLimit {
    /// A limit that lets `burst` lines through at once and `per_minute` in the long run.
    pub const fn new(per_minute: u32, burst: u32) -> RateLimit {
        RateLimit { per_minute, burst, state: Mutex::new(None) }
    }

    /// Whether a line may be logged now; `Some` also tells what was dropped since the last that could.
    pub fn admit(&self, now: Instant) -> Option<Dropped> {
        let full = u64::from(self.burst) * TOKEN;
        let mut guard = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let state = guard.get_or_insert_with(|| State {
            level: full,
            filled: now,
            dropped: Dropped::default(),
        });
        let elapsed = u64::try_from(now.since(state.filled).as_millis()).unwrap_or(u64::MAX);
        state.level = elapsed
            .saturating_mul(u64::from(self.per_minute))
            .saturating_add(state.level)
            .min(full);
        state.filled = state.filled + Duration::from_millis(elapsed);
        if state.level < TOKEN {
            if state.dropped.count == 0 {
                state.dropped.first = now;
            }
            state.dropped.last = now;
            state.dropped.count = state.dropped.count.saturating_add(1);
            return None;
        }
        state.level -= TOKEN;
        Some(std::mem::take(&mut state.dropped))
    }
}

/// Logs unless the limit is exceeded: `limited!(LIMIT, Level::Warn, target: "module", "format", args)`. Time is the log's clock.
#[macro_export]
macro_rules! limited {
    ($limit:expr, $level:expr, target: $target:expr, $($arg:tt)+) => {
        if $crate::vlog::would_log($level, $target)
            && let Some(dropped) = $crate::vlog::admit(&$limit, $target)
        {
            if dropped.count > 0 {
                $crate::vlog::log!(target: $target, $level, "{}", dropped.text($crate::vlog::now()));
            }
            $crate::vlog::log!(target: $target, $level, $($arg)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_then_trickles_and_counts_the_dropped() {
        let limit = RateLimit::new(6, 2); // one line in ten seconds
        let at = Instant::from_millis;
        assert_eq!(limit.admit(at(0)), Some(Dropped::default()));
        assert!(limit.admit(at(0)).is_some());
        assert_eq!(limit.admit(at(1_000)), None);
        assert_eq!(limit.admit(at(9_999)), None);
        let dropped = limit.admit(at(10_000)).unwrap();
        assert_eq!(
            dropped.text(at(10_000)),
            "Dropped 2 log messages in last 9 seconds (most recently, 0 seconds ago) due to excessive rate"
        );
        assert_eq!(limit.admit(at(20_000)), Some(Dropped::default()));
        assert_eq!(limit.admit(at(20_001)), None);
        assert_eq!(limit.admit(at(0)), None, "time that goes backwards gives nothing");
    }
}
