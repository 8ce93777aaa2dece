//! Rules that go when their time has come.
//!
//! A heap holds one entry for each rule with a timeout, at a time not later than its expiry. Packets do not touch it: they move
//! a rule's expiry, and the entry finds out when its own time comes. Rules that went otherwise leave their entry behind; when
//! such are the greater part, the heap is swept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use base::Instant;

use super::{Changes, Program};
use crate::rule::Rule;

/// Entries that are worth no sweep.
const FEW: usize = 1024;

#[derive(Debug)]
struct Entry {
    at: Instant,
    rule: Weak<Rule>,
}

/// Earliest last, as a heap of greatest first needs it.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Reverse(self.at).cmp(&Reverse(other.at))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Entry>,
    /// How many entries are of rules that are gone, at least.
    stale: usize,
}

impl Timers {
    /// A rule has come, or came in the place of another.
    pub(super) fn watch(&mut self, rule: &Arc<Rule>) {
        if let Some((at, _)) = rule.expiry() {
            self.heap.push(Entry { at, rule: Arc::downgrade(rule) });
        }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// A rule has gone.
    pub(super) fn forget(&mut self, rule: &Rule) {
        if rule.has_timeout() {
            self.stale += 1;
        }
    }
}

impl Program {
    /// When [`Program::expire`] has something to do next, or to look at.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.timers.heap.peek().map(|entry| entry.at)
    }

    /// Removes rules whose time has come. What rules have counted should be up to date.
    pub fn expire(&mut self, now: Instant) -> Changes {
        let done: Result<Changes, std::convert::Infallible> = self.whole(|this, changes| {
            while let Some(entry) = this.timers.heap.peek()
                && entry.at <= now
            {
                let rule = this.timers.heap.pop().and_then(|entry| entry.rule.upgrade());
                let Some(rule) = rule.filter(|rule| this.holds(rule)) else {
                    this.timers.stale = this.timers.stale.saturating_sub(1);
                    continue;
                };
                match rule.expiry() {
                    Some((at, why)) if at <= now => {
                        this.take(&rule, why, changes);
                        // Its entry went before it.
                        this.timers.stale = this.timers.stale.saturating_sub(1);
                    }
                    _ => this.timers.watch(&rule),
                }
            }
            this.sweep();
            Ok(())
        });
        done.unwrap_or_default()
    }

    /// Whether this very rule is in its table.
    fn holds(&self, rule: &Arc<Rule>) -> bool {
        let place = self.table(rule.table);
        let current = place.and_then(|t| t.exactly(&rule.pattern, rule.priority));
        current.is_some_and(|current| Arc::ptr_eq(current, rule))
    }

    pub(super) fn sweep(&mut self) {
        if self.timers.stale <= FEW.max(self.timers.heap.len() / 2) {
            return;
        }
        let entries = std::mem::take(&mut self.timers.heap).into_vec();
        let live = |entry: &Entry| entry.rule.upgrade().is_some_and(|rule| self.holds(&rule));
        let kept: BinaryHeap<Entry> = entries.into_iter().filter(live).collect();
        self.timers = Timers { heap: kept, stale: 0 };
    }
}
