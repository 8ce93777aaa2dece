//! A rule: what it matches, what it does, and what has passed by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Instant;
use openflow::message::flow_mod::Flags;
use openflow::{Instructions, Match};

use crate::key::MatchKey;

/// A rule of a table. Immutable: a modification makes another that shares its [`Usage`].
#[derive(Clone, Debug)]
pub struct Rule {
    /// The table that it is in.
    pub table: u8,
    /// 0 to 65535 for controllers' rules; higher ones are the switch's own and nobody sees them.
    pub priority: i32,
    /// What it matches, as its author wrote it.
    pub matching: Match,
    /// The same, for lookups.
    pub pattern: MatchKey,
    /// Its author's mark.
    pub cookie: u64,
    /// Removed after so many seconds without packets, 0: never.
    pub idle_timeout: u16,
    /// Removed after so many seconds, 0: never.
    pub hard_timeout: u16,
    /// Rules of less importance are evicted first (OpenFlow 1.4, 6.5).
    pub importance: u16,
    /// What its author asked for beside.
    pub flags: Flags,
    /// What it does.
    pub instructions: Arc<Instructions>,
    /// When it was added.
    pub created: Instant,
    /// When it was added or last modified.
    pub modified: Instant,
    /// What has passed by it.
    pub usage: Arc<Usage>,
}

impl Rule {
    /// Whether a packet's passing keeps it alive or anybody would see it counted.
    pub fn is_hidden(&self) -> bool {
        self.priority > i32::from(u16::MAX)
    }
}

/// What a rule has counted. Shared by whoever holds the rule.
#[derive(Debug, Default)]
pub struct Usage {
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Nanoseconds on the switch's clock.
    used: AtomicU64,
}

impl Usage {
    /// Nothing yet; `now` counts as the last use.
    pub fn new(now: Instant) -> Self {
        let this = Self::default();
        this.touch(now);
        this
    }

    /// So much has passed, the last of it at `at`.
    pub fn credit(&self, packets: u64, bytes: u64, at: Instant) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.touch(at);
    }

    /// It was used at `at`, if that is later than what is known.
    pub fn touch(&self, at: Instant) {
        let nanos = u64::try_from(at.since(Instant::default()).as_nanos()).unwrap_or(u64::MAX);
        self.used.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Starts counting anew (OpenFlow 1.3, `OFPFF_RESET_COUNTS`).
    pub fn reset(&self) {
        self.packets.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Packets and bytes so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.packets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// When it was last used.
    pub fn used(&self) -> Instant {
        Instant::default() + Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }
}
