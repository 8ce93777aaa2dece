//! A rule: what it matches, what it does, and what has passed by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Instant;
use classifier::{Clause, Entry, Sparse};
use openflow::action::Action;
use openflow::message::FlowStats;
use openflow::message::flow_mod::Flags;
use openflow::{Instructions, Match};

use crate::options::Options;
use crate::pattern::matching;
use crate::program::for_each_action;

/// A rule of a table. Immutable: a modification makes another that shares its [`Usage`].
#[derive(Clone, Debug)]
pub struct Rule {
    /// Rules are numbered as they come; a modification keeps the number.
    pub id: u64,
    /// The table that it is in.
    pub table: u8,
    /// 0 to 65535 for controllers' rules; higher ones are the switch's own and nobody sees them.
    pub priority: i32,
    /// What it matches.
    pub pattern: Sparse,
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
    /// Whether what it does names nothing that the program keeps count of: see [`is_plain`].
    pub(crate) is_plain: bool,
    /// Which clauses of conjunctions it is: for rules that do nothing else.
    pub(crate) clauses: Box<[Clause]>,
    /// When it was added.
    pub created: Instant,
    /// When it was added or last modified.
    pub modified: Instant,
    /// What has passed by it.
    pub usage: Arc<Usage>,
}

impl Entry for Rule {
    fn pattern(&self) -> &Sparse {
        &self.pattern
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn clauses(&self) -> &[Clause] {
        &self.clauses
    }
}

impl Rule {
    /// Whether it is the switch's own, which no controller sees or changes.
    pub fn is_hidden(&self) -> bool {
        self.priority > i32::from(u16::MAX)
    }

    /// What it matches, in the controller's language.
    pub fn matching(&self, options: &Options) -> Match {
        matching(&self.pattern, options)
    }

    /// Whether that is everything.
    pub fn matches_all(&self) -> bool {
        self.pattern.terms().next().is_none()
    }

    /// Whether time alone can remove it.
    pub fn has_timeout(&self) -> bool {
        self.idle_timeout != 0 || self.hard_timeout != 0
    }

    /// When it was last used; having been added counts as a use.
    pub fn used(&self) -> Instant {
        self.usage.used().max(self.created)
    }

    /// When it goes if no packet comes any more, and why.
    pub fn expiry(&self) -> Option<(Instant, crate::Removed)> {
        let after = |start: Instant, seconds: u16| {
            (seconds != 0).then(|| start + Duration::from_secs(seconds.into()))
        };
        let hard = after(self.modified, self.hard_timeout).map(|t| (t, crate::Removed::Hard));
        let idle = after(self.used(), self.idle_timeout).map(|t| (t, crate::Removed::Idle));
        hard.into_iter().chain(idle).min_by_key(|(at, _)| *at)
    }

    /// What a controller is told of it.
    pub fn stats(&self, now: Instant, options: &Options) -> FlowStats {
        FlowStats {
            matching: self.matching(options),
            instructions: (*self.instructions).clone(),
            ..self.counts(now)
        }
    }

    /// The same, but for what it matches and does.
    pub fn counts(&self, now: Instant) -> FlowStats {
        let (packets, bytes) = self.usage.counts();
        let seconds =
            |since: Instant| Some(u16::try_from(now.since(since).as_secs()).unwrap_or(u16::MAX));
        FlowStats {
            table: self.table,
            duration: Some(duration(now.since(self.created))),
            priority: u16::try_from(self.priority).unwrap_or(u16::MAX),
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            importance: self.importance,
            idle_age: seconds(self.used()),
            hard_age: seconds(self.modified),
            flags: self.flags,
            cookie: self.cookie,
            packets: Some(packets),
            bytes: Some(bytes),
            matching: Match::any(),
            instructions: Instructions::default(),
        }
    }
}

/// Time as messages have it.
pub(crate) fn duration(time: Duration) -> openflow::message::stats::Duration {
    openflow::message::stats::Duration {
        seconds: u32::try_from(time.as_secs()).unwrap_or(u32::MAX),
        nanoseconds: time.subsec_nanos(),
    }
}

/// Whether no rule, group or meter depends on whether a rule is there that does this: it teaches nothing, and uses no group and
/// no meter. Nearly all are so, and whoever keeps count need not look at what they do.
pub(crate) fn is_plain(instructions: &Instructions) -> bool {
    let mut is_plain = instructions.meter.is_none();
    for_each_action(instructions, |action| {
        is_plain &= !matches!(action, Action::Learn(_) | Action::Group(_) | Action::Meter(_));
    });
    is_plain
}

/// The clauses that a rule is that does this: none unless it is nothing else.
pub(crate) fn clauses(instructions: &Instructions) -> Box<[Clause]> {
    let clause = |action: &Action| match *action {
        // They are counted from 1 there, and from 0 here.
        Action::Conjunction { id, clause, clauses } => {
            Some(Clause { id, clause: clause.saturating_sub(1), clauses })
        }
        _ => None,
    };
    instructions.apply.iter().filter_map(clause).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_counted_from_one_by_controllers_and_from_zero_by_searches() {
        let apply = vec![Action::Conjunction { id: 7, clause: 2, clauses: 2 }];
        let instructions = Instructions { apply, ..Instructions::default() };
        assert_eq!(*clauses(&instructions), [Clause { id: 7, clause: 1, clauses: 2 }]);
    }
}
