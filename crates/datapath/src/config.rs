//! How to start a datapath.

use std::time::Duration;

use base::{Clock, Counters};

/// What a [`crate::Datapath`] needs to know when it starts. [`Config::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The time that flow statistics are stamped with.
    pub clock: Clock,
    /// Where drop reasons are published by name.
    pub counters: Counters,
    /// Threads that move packets; 0 chooses: half of the processors that this process may use, at least one, at most
    /// [`Config::WORKERS_MAX`]. The other half runs the stacks that the packets come from and go to.
    pub workers: usize,
    /// Missed packets that may wait for the slow path, per port.
    pub miss_queue: usize,
    /// Megaflows at most; a flow beyond is refused.
    pub flow_limit: usize,
    /// Different masks at most: each costs a lookup that misses the exact-match cache a probe.
    pub mask_limit: usize,
    /// How long a worker lets packets gather before it looks again, once a busy period has shown at least
    /// [`Config::MODERATE_AFTER`] packets and none of them large; zero turns it off.
    pub moderation: Duration,
}

impl Config {
    /// More threads than this need somebody to ask for them.
    pub const WORKERS_MAX: usize = 4;

    /// A busy period with fewer packets than this is answered at once: it may be a ping.
    pub const MODERATE_AFTER: usize = 4;

    /// Defaults for everything but time and counters.
    pub fn new(clock: Clock, counters: Counters) -> Self {
        Self {
            clock,
            counters,
            workers: 0,
            miss_queue: 512,
            flow_limit: 200_000,
            mask_limit: 512,
            moderation: Duration::from_micros(50),
        }
    }

    /// The number of threads to start.
    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            // Knows about affinity masks and control groups.
            0 => std::thread::available_parallelism()
                .map_or(1, |n| n.get() / 2)
                .clamp(1, Self::WORKERS_MAX),
            n => n.min(32),
        }
    }
}
