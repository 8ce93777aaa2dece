//! Which rule of a table goes first when there is no room: the first of the largest group.
//!
//! Packets move a rule's expiry and nobody tells. So each rule is kept under an expiry that it had once, which is not later than
//! what it has now; one that comes first is looked at again, and goes where it belongs, before it is believed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base::Instant;
use openflow::Field;

use crate::key::KeyMask;
use crate::rule::Rule;

/// Importance, expiry, number: whoever has less goes first.
type Rank = (u16, Instant, u64);

/// What the rules of a group have in the fields that make groups.
type Group = Box<[u64]>;

/// Rules with timeouts, the only ones that can be evicted. See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evictor {
    /// The words that make groups, and which bits of them.
    parts: Vec<(usize, u64)>,
    groups: HashMap<Group, BTreeMap<Rank, Arc<Rule>>>,
    /// Groups by size; of those of one size the order is by what they have.
    sizes: BTreeSet<(usize, Group)>,
    /// Under what each rule is kept, by its number.
    ranks: HashMap<u64, Rank>,
}

impl Evictor {
    /// Without rules. Rules with the same in these fields are a group.
    pub(crate) fn new(fields: &[Field]) -> Self {
        let mut mask = KeyMask::any();
        fields.iter().for_each(|field| mask.add_whole(*field));
        let parts = mask.words().iter().copied().enumerate().filter(|(_, bits)| *bits != 0);
        Self { parts: parts.collect(), ..Self::default() }
    }

    /// A rule has come.
    pub(crate) fn add(&mut self, rule: &Arc<Rule>) {
        let Some(rank) = rank(rule) else { return };
        self.ranks.insert(rule.id, rank);
        self.resize(self.group(rule), |rules| drop(rules.insert(rank, rule.clone())));
    }

    /// A rule has gone.
    pub(crate) fn remove(&mut self, rule: &Rule) {
        if let Some(rank) = self.ranks.remove(&rule.id) {
            self.resize(self.group(rule), |rules| drop(rules.remove(&rank)));
        }
    }

    /// The rule that goes first.
    pub(crate) fn first(&mut self) -> Option<Arc<Rule>> {
        loop {
            let (_, largest) = self.sizes.last()?;
            let (kept, rule) = self.groups.get(largest)?.first_key_value()?;
            let (kept, rule) = (*kept, rule.clone());
            if rank(&rule).is_none_or(|now| now <= kept) {
                return Some(rule);
            }
            self.remove(&rule);
            self.add(&rule);
        }
    }

    fn group(&self, rule: &Rule) -> Group {
        let word = |(word, bits): &(usize, u64)| {
            rule.pattern.terms().find(|(i, ..)| i == word).map_or(0, |(_, value, _)| value & bits)
        };
        self.parts.iter().map(word).collect()
    }

    fn resize(&mut self, group: Group, change: impl FnOnce(&mut BTreeMap<Rank, Arc<Rule>>)) {
        let rules = self.groups.entry(group.clone()).or_default();
        let before = rules.len();
        change(rules);
        let after = rules.len();
        if after == 0 {
            self.groups.remove(&group);
        }
        self.sizes.remove(&(before, group.clone()));
        if after > 0 {
            self.sizes.insert((after, group));
        }
    }
}

/// `None` for rules that cannot be evicted.
fn rank(rule: &Rule) -> Option<Rank> {
    let (expiry, _) = rule.expiry().filter(|_| !rule.is_hidden())?;
    Some((rule.importance, expiry, rule.id))
}
