//! One table of rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use classifier::Rules;

use crate::key::{Key, KeyMask, MatchKey, WORDS};
use crate::rule::Rule;

/// Rules of which a packet meets one: that of the highest priority.
#[derive(Debug)]
pub struct Table {
    rules: Rules<WORDS, Arc<Rule>>,
    lookups: AtomicU64,
    matched: AtomicU64,
}

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Rules::new(seed), lookups: AtomicU64::new(0), matched: AtomicU64::new(0) }
    }

    /// The rule that a packet with this key meets. Adds to `looked` what the answer depends on.
    pub fn lookup(&self, key: &Key, looked: &mut KeyMask) -> Option<&Arc<Rule>> {
        self.rules.lookup(key.words(), looked.0.words_mut())
    }

    /// So many packets have been looked up here, and so many of them met a rule.
    pub fn credit(&self, lookups: u64, matched: u64) {
        self.lookups.fetch_add(lookups, Ordering::Relaxed);
        self.matched.fetch_add(matched, Ordering::Relaxed);
    }

    /// How many packets were looked up, and how many of them met a rule.
    pub fn counts(&self) -> (u64, u64) {
        (self.lookups.load(Ordering::Relaxed), self.matched.load(Ordering::Relaxed))
    }

    /// All rules, hidden ones too, in no order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().map(|(_, rule)| rule)
    }

    /// The rule of exactly this match and priority.
    pub fn get(&self, pattern: &MatchKey, priority: i32) -> Option<&Arc<Rule>> {
        self.rules.get(pattern.key.words(), pattern.mask.words(), priority)
    }

    pub(crate) fn insert(&mut self, rule: Arc<Rule>) -> Option<Arc<Rule>> {
        let pattern = rule.pattern;
        self.rules.insert(pattern.key.words(), pattern.mask.words(), rule.priority, rule)
    }

    pub(crate) fn remove(&mut self, rule: &Rule) -> Option<Arc<Rule>> {
        self.rules.remove(rule.pattern.key.words(), rule.pattern.mask.words(), rule.priority)
    }
}
