//! One table of rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use classifier::{Part, Rules, Sparse};

use crate::eviction::Evictor;
use crate::key::{Key, KeyMask, WORDS};
use crate::pattern::{LAYOUT, MatchKey};
use crate::rule::Rule;

/// Rules of which a packet meets one: that of the highest priority.
#[derive(Clone, Debug)]
pub struct Table {
    rules: Rules<WORDS, Arc<Rule>>,
    /// Of the rules, those that are the switch's own.
    hidden: usize,
    /// Who knows which rule goes first, if any goes.
    evictor: Option<Evictor>,
    /// Shared with the tables that are copies of this one.
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    lookups: AtomicU64,
    matched: AtomicU64,
}

impl Table {
    pub(crate) fn new(seed: u64, prefixes: &[Part]) -> Self {
        let mut rules = Rules::new(&LAYOUT, seed);
        rules.set_prefixes(prefixes);
        Self { rules, hidden: 0, evictor: None, counts: Arc::default() }
    }

    /// The rule that a packet with this key meets. Adds to `looked` what the answer depends on.
    pub fn lookup(&self, key: &Key, looked: &mut KeyMask) -> Option<&Arc<Rule>> {
        self.rules.lookup(key.words(), looked.0.words_mut())
    }

    /// So many packets have been looked up here, and so many of them met a rule.
    pub fn credit(&self, lookups: u64, matched: u64) {
        self.counts.lookups.fetch_add(lookups, Ordering::Relaxed);
        self.counts.matched.fetch_add(matched, Ordering::Relaxed);
    }

    /// How many packets were looked up, and how many of them met a rule.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.lookups.load(Ordering::Relaxed), self.counts.matched.load(Ordering::Relaxed))
    }

    /// How many rules controllers have here.
    pub fn len(&self) -> usize {
        self.rules.len() - self.hidden
    }

    /// Whether controllers have none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many different masks the rules have.
    pub fn masks(&self) -> usize {
        self.rules.masks()
    }

    /// All rules, hidden ones too, in no order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }

    /// The rule of exactly this match and priority.
    pub fn get(&self, pattern: &MatchKey, priority: i32) -> Option<&Arc<Rule>> {
        self.exactly(&pattern.sparse(), priority)
    }

    /// The same, of a pattern as tables keep it.
    pub fn exactly(&self, pattern: &Sparse, priority: i32) -> Option<&Arc<Rule>> {
        self.rules.get(pattern, priority)
    }

    /// Rules that match nothing but what `pattern` matches, in no order.
    pub fn within<'a>(&'a self, pattern: &'a Sparse) -> impl Iterator<Item = &'a Arc<Rule>> {
        self.rules.within(pattern)
    }

    /// Whether a rule of that priority matches some packet that `pattern` matches.
    pub fn overlaps(&self, pattern: &Sparse, priority: i32) -> bool {
        self.rules.overlap(pattern, priority).is_some()
    }

    pub(crate) fn set_prefixes(&mut self, prefixes: &[Part]) {
        self.rules.set_prefixes(prefixes);
    }

    /// From now on rules can be evicted, by this; or they cannot.
    pub(crate) fn set_evictor(&mut self, evictor: Option<Evictor>) {
        self.evictor = evictor;
        if let Some(evictor) = &mut self.evictor {
            self.rules.iter().for_each(|rule| evictor.add(rule));
        }
    }

    /// The rule that is to be evicted first.
    pub(crate) fn first_to_go(&mut self) -> Option<Arc<Rule>> {
        self.evictor.as_mut()?.first()
    }

    pub(crate) fn insert(&mut self, rule: Arc<Rule>) -> Option<Arc<Rule>> {
        let hidden = rule.is_hidden();
        let old = self.rules.insert(rule.clone());
        self.hidden += usize::from(hidden && old.is_none());
        if let Some(evictor) = &mut self.evictor {
            old.iter().for_each(|old| evictor.remove(old));
            evictor.add(&rule);
        }
        old
    }

    pub(crate) fn remove(&mut self, rule: &Rule) -> Option<Arc<Rule>> {
        let old = self.rules.remove(&rule.pattern, rule.priority)?;
        self.hidden -= usize::from(old.is_hidden());
        if let Some(evictor) = &mut self.evictor {
            evictor.remove(&old);
        }
        Some(old)
    }
}
