//! The table of overlapping masked keys with priorities: what OpenFlow tables are made of.
//!
//! # What
//! [`Rules`] finds the rule of highest priority that a packet's key matches, and tells which bits of the packet it looked at to
//! know: any other packet that agrees on those bits gets the same answer. The fewer bits, the more packets one answer serves.
//!
//! # How a search goes
//! Rules with one mask share a subtable, a hash table over the words that the mask selects. A lookup tries the subtables from
//! the highest priority that they hold downwards, and stops when no later one can do better. Three things keep it from looking
//! at all that a mask selects:
//!
//! - **Stages.** A mask's words are in four stages ([`Layout::stages`]), and a subtable knows the hashes of what its rules have
//!   up to each. A packet that fails in a stage was not looked at beyond it.
//! - **Tries.** For a few numbers ([`Rules::set_prefixes`], in practice addresses) there is a trie of the prefixes that rules
//!   have. It tells by a few leading bits that a subtable cannot match.
//! - **Ports.** Where only the last stage failed, a trie of the subtable's ports tells how many of their bits were at fault.
//!
//! Rules that are clauses of [conjunctions](conjunction) take part in the search, and if a conjunction is whole, it is searched
//! for in turn.
//!
//! # Costs
//! A lookup costs one hash for each mask of sufficient priority. An insertion costs one hash, and moves a subtable only if its
//! highest priority changes. A rule is kept as the caller has it, sixteen bytes beside it.
//!
//! Keys are `N` words; what they mean is the caller's affair, and [`Layout`]'s.

pub(crate) mod conjunction;
pub(crate) mod layout;
mod lookup;
pub(crate) mod shapes;
pub(crate) mod sparse;
mod subtable;
#[cfg(test)]
mod tests;
mod trie;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use conjunction::Clause;
use layout::{Layout, Part, prefix_mask};
use smallvec::SmallVec;
use sparse::{AsIs, Shape, Sparse};
use subtable::Subtable;
use trie::Trie;

/// A rule, as far as searching goes.
pub trait Entry {
    /// What it matches. Never changes while the rule is in a table.
    fn pattern(&self) -> &Sparse;
    /// Of several rules that match the highest is found; of two with one priority, either.
    fn priority(&self) -> i32;
    /// The clauses that it is; a rule that is one is never found itself.
    fn clauses(&self) -> &[Clause];
}

impl<T: Entry> Entry for Arc<T> {
    fn pattern(&self) -> &Sparse {
        (**self).pattern()
    }
    fn priority(&self) -> i32 {
        (**self).priority()
    }
    fn clauses(&self) -> &[Clause] {
        (**self).clauses()
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Rules<const N: usize, V> {
    layout: &'static Layout<N>,
    seed: u64,
    /// By slot.
    subtables: Vec<Option<Subtable<V>>>,
    free: Vec<u32>,
    by_shape: HashMap<Arc<Shape>, u32, BuildHasherDefault<AsIs>>,
    /// Slots by descending priority, the older slot first.
    order: Vec<Rank>,
    prefixes: Vec<Part>,
    tries: Vec<Trie>,
    len: usize,
}

/// A subtable's place in the order, and what tells of many that they cannot match without a look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rank {
    top: i32,
    slot: u32,
    /// By trie, the first few: how long prefixes are here, 0 if the mask selects none.
    prefixes: [u8; 4],
}

impl Rank {
    fn key(self) -> (Reverse<i32>, u32) {
        (Reverse(self.top), self.slot)
    }
}

impl<const N: usize, V: Entry> Rules<N, V> {
    /// An empty table. The seed should be secret: it keeps others from choosing keys that collide.
    pub fn new(layout: &'static Layout<N>, seed: u64) -> Self {
        Self {
            layout,
            seed,
            subtables: Vec::new(),
            free: Vec::new(),
            by_shape: HashMap::default(),
            order: Vec::new(),
            prefixes: Vec::new(),
            tries: Vec::new(),
            len: 0,
        }
    }

    /// How many rules it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many different masks there are.
    pub fn masks(&self) -> usize {
        self.order.len()
    }

    /// Keeps tries for these numbers from now on.
    pub fn set_prefixes(&mut self, prefixes: &[Part]) {
        if self.prefixes == prefixes {
            return;
        }
        self.prefixes = prefixes.to_vec();
        self.tries = prefixes.iter().map(|_| Trie::new()).collect();
        for table in self.subtables.iter_mut().flatten() {
            table.set_prefixes(self.layout, prefixes);
            for first in table.rows().filter_map(|row| row.entries().first()) {
                let tries = self.tries.iter_mut().zip(prefixes).zip(table.prefixes());
                for ((trie, part), len) in tries {
                    trie.insert(part.read_sparse(first.pattern()), *len);
                }
            }
        }
        for rank in &mut self.order {
            if let Some(Some(table)) = self.subtables.get(rank.slot as usize) {
                rank.prefixes = table.rank(rank.slot).prefixes;
            }
        }
    }

    /// Adds a rule; the answer is the one that it replaces: of the same masked key and priority.
    pub fn insert(&mut self, value: V) -> Option<V> {
        let slot = self.slot(value.pattern().shape());
        let Some(Some(table)) = self.subtables.get_mut(slot as usize) else { return None };
        let before = table.rank(slot);
        // Prefixes are taken now: the rule is about to move.
        let parts = self.prefixes.iter().zip(table.prefixes());
        let mark = |(part, len): (&Part, &u8)| match len {
            0 => 0,
            _ => part.read_sparse(value.pattern()),
        };
        let marks: SmallVec<[_; 4]> = parts.map(mark).collect();
        let (old, new_row) = table.insert(self.seed, value);
        let after = table.rank(slot);
        if new_row {
            for ((trie, bits), len) in self.tries.iter_mut().zip(marks).zip(table.prefixes()) {
                trie.insert(bits, *len);
            }
        }
        self.len += usize::from(old.is_none());
        self.rank(before, Some(after));
        old
    }

    /// Removes the rule of that masked key and priority.
    pub fn remove(&mut self, pattern: &Sparse, priority: i32) -> Option<V> {
        let slot = *self.by_shape.get(pattern.shape())?;
        let table = self.subtables.get_mut(slot as usize)?.as_mut()?;
        let before = table.rank(slot);
        let (old, gone) = table.remove(self.seed, pattern, priority)?;
        if gone {
            let tries = self.tries.iter_mut().zip(&self.prefixes).zip(table.prefixes());
            for ((trie, part), len) in tries.filter(|(_, len)| **len > 0) {
                trie.remove(part.read_sparse(pattern), *len);
            }
        }
        self.len -= 1;
        if table.is_empty() {
            self.rank(before, None);
            self.by_shape.remove(pattern.shape());
            if let Some(place) = self.subtables.get_mut(slot as usize) {
                *place = None;
            }
            self.free.push(slot);
        } else {
            let after = table.rank(slot);
            self.rank(before, Some(after));
        }
        Some(old)
    }

    /// Rules with exactly this masked key, in descending order of priority.
    pub fn same(&self, pattern: &Sparse) -> &[V] {
        let table = self.by_shape.get(pattern.shape()).and_then(|slot| self.subtable(*slot));
        let row = table.and_then(|t| t.exactly(self.seed, pattern));
        row.map_or(&[], |row| row.entries())
    }

    /// The rule of that masked key and priority.
    pub fn get(&self, pattern: &Sparse, priority: i32) -> Option<&V> {
        let all = self.same(pattern);
        all.binary_search_by(|v| priority.cmp(&v.priority())).ok().and_then(|at| all.get(at))
    }

    /// All rules, those of one mask together, masks in descending order of their highest priority.
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        let tables = self.order.iter().filter_map(|rank| self.subtable(rank.slot));
        tables.flat_map(|t| t.rows().flat_map(|row| row.entries()))
    }

    /// Rules that match nothing but what `pattern` matches. Costs a look at each rule whose mask has the bits of the pattern's
    /// mask; or, if there is a pattern of that very mask, at those of other masks.
    pub fn within<'a>(&'a self, pattern: &'a Sparse) -> impl Iterator<Item = &'a V> {
        let own = pattern.shape();
        let others = self.order.iter().filter_map(|rank| self.subtable(rank.slot));
        let others = others.filter(move |t| t.shape() != own && t.shape().covers(own));
        let others = others.flat_map(|t| t.rows()).filter(move |row| {
            row.entries().first().is_some_and(|v| v.pattern().is_within(pattern))
        });
        self.same(pattern).iter().chain(others.flat_map(|row| row.entries()))
    }

    /// A rule of that priority that some packet matches that `pattern` matches too.
    pub fn overlap(&self, pattern: &Sparse, priority: i32) -> Option<&V> {
        if let Some(same) = self.get(pattern, priority) {
            return Some(same);
        }
        let tables = self.order.iter().filter_map(|rank| self.subtable(rank.slot));
        let others = tables.filter(|t| t.shape() != pattern.shape() && t.has_priority(priority));
        let rows = others
            .flat_map(|t| t.rows())
            .filter(|row| row.entries().first().is_some_and(|v| v.pattern().overlaps(pattern)));
        rows.flat_map(|row| row.entries()).find(|v| v.priority() == priority)
    }

    fn subtable(&self, slot: u32) -> Option<&Subtable<V>> {
        self.subtables.get(slot as usize)?.as_ref()
    }

    /// Where rules of that mask are.
    fn slot(&mut self, shape: &Arc<Shape>) -> u32 {
        if let Some(slot) = self.by_shape.get(shape) {
            return *slot;
        }
        let table = Some(Subtable::new(self.layout, shape.clone(), &self.prefixes));
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.subtables.get_mut(slot as usize) {
                    *place = table;
                }
                slot
            }
            None => {
                self.subtables.push(table);
                (self.subtables.len() - 1) as u32
            }
        };
        self.by_shape.insert(shape.clone(), slot);
        slot
    }

    /// Moves a subtable in the order. One that was empty has no place yet.
    fn rank(&mut self, before: Rank, after: Option<Rank>) {
        if after == Some(before) {
            return;
        }
        if let Ok(at) = self.order.binary_search_by_key(&before.key(), |r| r.key()) {
            self.order.remove(at);
        }
        if let Some(after) = after
            && let Err(at) = self.order.binary_search_by_key(&after.key(), |r| r.key())
        {
            self.order.insert(at, after);
        }
    }
}
