//! Rules by something that they have.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::hashing::Seeded;
use crate::rule::Rule;

/// Up to so many rules are a list: nearly all cookies are on fewer.
const FEW: usize = 64;

/// Rules by something that they have, in order of their numbers.
#[derive(Debug)]
pub(super) struct Index<K> {
    rules: HashMap<K, List, Seeded>,
}

/// Rules in order of their numbers: never none. Small, for there may be as many lists as rules.
#[allow(clippy::box_collection)]
#[derive(Debug)]
enum List {
    One(Arc<Rule>),
    /// At most [`FEW`].
    Few(Box<Vec<Arc<Rule>>>),
    Many(Box<BTreeMap<u64, Arc<Rule>>>),
}

impl<K: Eq + Hash + Copy> Index<K> {
    /// An empty one. The seed should be secret.
    pub(super) fn new(seed: u64) -> Self {
        Index { rules: HashMap::with_hasher(Seeded(seed)) }
    }

    /// Those that have it.
    pub(super) fn of(&self, key: K) -> impl Iterator<Item = &Arc<Rule>> {
        let (few, many) = match self.rules.get(&key) {
            None => (&[][..], None),
            Some(List::One(rule)) => (std::slice::from_ref(rule), None),
            Some(List::Few(rules)) => (&rules[..], None),
            Some(List::Many(rules)) => (&[][..], Some(rules)),
        };
        few.iter().chain(many.into_iter().flat_map(|rules| rules.values()))
    }

    pub(super) fn add(&mut self, key: K, rule: &Arc<Rule>) {
        match self.rules.entry(key) {
            Entry::Vacant(at) => {
                at.insert(List::One(rule.clone()));
            }
            Entry::Occupied(mut at) => at.get_mut().add(rule),
        }
    }

    /// Takes out a rule that was put in: that very one, not its like.
    pub(super) fn remove(&mut self, key: K, rule: &Rule) {
        let Entry::Occupied(mut at) = self.rules.entry(key) else {
            return;
        };
        // Without a look at the rules, which are all over the memory.
        let is_it = |own: &Arc<Rule>| std::ptr::eq(Arc::as_ptr(own), rule);
        let is_last = match at.get_mut() {
            List::One(own) => is_it(own),
            List::Few(rules) => {
                if let Some(place) = rules.iter().position(is_it) {
                    rules.remove(place);
                }
                rules.is_empty()
            }
            List::Many(rules) => {
                rules.remove(&rule.id);
                rules.is_empty()
            }
        };
        if is_last {
            at.remove();
        }
    }
}

impl List {
    /// Adds a rule, in the place of the one of the same number.
    fn add(&mut self, rule: &Arc<Rule>) {
        match self {
            List::One(own) if own.id == rule.id => *own = rule.clone(),
            List::One(own) => {
                let mut both = vec![own.clone(), rule.clone()];
                both.sort_by_key(|own| own.id);
                *self = List::Few(Box::new(both));
            }
            List::Few(rules) => match rules.binary_search_by_key(&rule.id, |own| own.id) {
                Ok(at) => rules[at] = rule.clone(),
                Err(at) => {
                    rules.insert(at, rule.clone());
                    if rules.len() > FEW {
                        let all = rules.drain(..).map(|own| (own.id, own));
                        *self = List::Many(Box::new(all.collect()));
                    }
                }
            },
            List::Many(rules) => drop(rules.insert(rule.id, rule.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::program::Program;

    fn rule(program: &mut Program, id: u64) -> Arc<Rule> {
        let mut rule = (*program.drop_all()).clone();
        rule.id = id;
        Arc::new(rule)
    }

    proptest! {
        /// Whatever comes and goes, what is there is there in order.
        #[test]
        fn an_index_is_a_sorted_map(steps in prop::collection::vec((0u64..3, 0u64..100, prop::bool::weighted(0.7)), 0..600)) {
            let mut program = Program::new(1);
            let mut index = Index::new(1);
            let mut wanted = BTreeMap::new();
            for (key, id, comes) in steps {
                if comes {
                    let rule = rule(&mut program, id);
                    index.add(key, &rule);
                    wanted.insert((key, id), rule);
                } else if let Some(rule) = wanted.remove(&(key, id)) {
                    index.remove(key, &rule);
                }
                for key in 0..3 {
                    let all = wanted.range((key, 0)..=(key, u64::MAX)).map(|(_, rule)| Arc::as_ptr(rule));
                    prop_assert!(index.of(key).map(Arc::as_ptr).eq(all));
                }
            }
            let keys: std::collections::BTreeSet<u64> = wanted.keys().map(|(key, _)| *key).collect();
            prop_assert_eq!(index.rules.len(), keys.len());
        }
    }
}
