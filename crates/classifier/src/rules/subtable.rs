//! The rules of one mask: a hash table over the words that it selects.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::Entry;
use super::layout::{Layout, Part, STAGES};
use super::sparse::{Shape, Sparse};
use super::trie::Trie;
use crate::Mixer;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Subtable<V> {
    pub(super) shape: Arc<Shape>,
    rows: HashTable<Row<V>>,
    /// How many rows have what hash of the words up to a stage; only for stages after which others follow.
    stages: [Option<HashTable<(u32, u32)>>; STAGES - 1],
    /// How many rules have what priority.
    priorities: BTreeMap<i32, u32>,
    /// By trie: how long its prefixes are here; 0 if the mask selects no prefix.
    pub(super) prefixes: SmallVec<[u8; 4]>,
    /// The ports that rows have, if the mask selects any: what it selects, and up to which bit.
    pub(super) ports: Option<Ports>,
}

/// Transport ports of the rows of a subtable.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    pub(super) part: Part,
    pub(super) mask: u128,
    pub(super) len: u8,
    pub(super) trie: Trie,
}

/// All rules with one masked key, and the key's hash.
#[derive(Clone, Debug)]
pub(super) enum Row<V> {
    /// As it is nearly always.
    One(u32, V),
    /// In descending order of priority, at least two. Boxed: it is rare, and must not make the others larger.
    #[allow(clippy::box_collection)]
    Many(u32, Box<Vec<V>>),
}

impl<V> Row<V> {
    /// In descending order of priority, never empty.
    pub(super) fn entries(&self) -> &[V] {
        match self {
            Row::One(_, v) => std::slice::from_ref(v),
            Row::Many(_, all) => all,
        }
    }

    fn hash(&self) -> u32 {
        match self {
            Row::One(hash, _) | Row::Many(hash, _) => *hash,
        }
    }
}

/// Hash tables want hashes of 64 bits, and rows keep half of that.
pub(super) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<V: Entry> Subtable<V> {
    pub(super) fn new<const N: usize>(
        layout: &Layout<N>,
        shape: Arc<Shape>,
        prefixes: &[Part],
    ) -> Self {
        let total = shape.terms().len();
        let stage = |s: usize| {
            let before = if s == 0 { 0 } else { shape.end(s - 1) };
            (shape.end(s) > before && shape.end(s) < total).then(HashTable::new)
        };
        let stages = std::array::from_fn(stage);
        let mask: [u64; N] = shape.mask();
        let ports = layout.ports.and_then(|part| {
            let mask = part.of(&mask);
            let len = 128 - mask.trailing_zeros() as u8;
            (mask != 0).then(|| Ports { part, mask, len, trie: Trie::new() })
        });
        let mut this = Self {
            shape,
            rows: HashTable::new(),
            stages,
            priorities: BTreeMap::new(),
            prefixes: SmallVec::new(),
            ports,
        };
        this.set_prefixes::<N>(prefixes);
        this
    }

    /// Which tries there are.
    pub(super) fn set_prefixes<const N: usize>(&mut self, prefixes: &[Part]) {
        let mask: [u64; N] = self.shape.mask();
        self.prefixes = prefixes.iter().map(|p| p.prefix(&mask).unwrap_or(0)).collect();
    }

    /// The highest priority.
    pub(super) fn top(&self) -> i32 {
        self.priorities.last_key_value().map_or(i32::MIN, |(p, _)| *p)
    }

    /// Whether there are rules of that priority.
    pub(super) fn has_priority(&self, priority: i32) -> bool {
        self.priorities.contains_key(&priority)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row<V>> {
        self.rows.iter()
    }

    /// Whether there is a row with that hash of its words up to a stage. `None` if nobody counts.
    pub(super) fn has_stage(&self, stage: usize, hash: u32) -> Option<bool> {
        let counts = self.stages.get(stage)?.as_ref()?;
        Some(counts.find(spread(hash), |(h, _)| *h == hash).is_some())
    }

    /// The row of that key, whose hash this is.
    pub(super) fn find(&self, hash: u32, values: &[u64]) -> Option<&Row<V>> {
        self.rows.find(spread(hash), |row| row.hash() == hash && is(row, values))
    }

    /// Adds a rule; gives the one that it replaces, and whether the row is new.
    pub(super) fn insert(&mut self, seed: u64, value: V) -> (Option<V>, bool) {
        let priority = value.priority();
        let hash = self.hash(seed, value.pattern().values());
        let found = self
            .rows
            .find_mut(spread(hash), |r| r.hash() == hash && is(r, value.pattern().values()));
        let Some(row) = found else {
            self.count_row::<true>(seed, value.pattern());
            self.rows.insert_unique(spread(hash), Row::One(hash, value), |r| spread(r.hash()));
            *self.priorities.entry(priority).or_default() += 1;
            return (None, true);
        };
        let old = match row {
            Row::One(_, v) if v.priority() == priority => Some(std::mem::replace(v, value)),
            Row::Many(_, all) => put(all, value),
            Row::One(..) => {
                // A place to grow in, for a moment without its first rule.
                let single = std::mem::replace(row, Row::Many(hash, Box::default()));
                if let (Row::One(_, first), Row::Many(_, all)) = (single, row) {
                    all.push(first);
                    put(all, value);
                }
                None
            }
        };
        if old.is_none() {
            *self.priorities.entry(priority).or_default() += 1;
        }
        (old, false)
    }

    /// Removes a rule; says whether its row is gone as well.
    pub(super) fn remove(
        &mut self,
        seed: u64,
        pattern: &Sparse,
        priority: i32,
    ) -> Option<(V, bool)> {
        let hash = self.hash(seed, pattern.values());
        let same = |row: &Row<V>| row.hash() == hash && is(row, pattern.values());
        let mut found = self.rows.find_entry(spread(hash), same).ok()?;
        if !found.get().entries().iter().any(|v| v.priority() == priority) {
            return None;
        }
        let (old, gone) = match found.get_mut() {
            Row::Many(_, all) => {
                let at = all.iter().position(|v| v.priority() == priority)?;
                let old = all.remove(at);
                if all.len() == 1
                    && let Some(last) = all.pop()
                {
                    *found.get_mut() = Row::One(hash, last);
                }
                (old, false)
            }
            Row::One(..) => match found.remove().0 {
                Row::One(_, old) => (old, true),
                Row::Many(..) => return None,
            },
        };
        if gone {
            self.count_row::<false>(seed, pattern);
        }
        if let Some(count) = self.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&priority);
            }
        }
        Some((old, gone))
    }

    /// The hash that rows are found by.
    pub(super) fn hash(&self, seed: u64, values: &[u64]) -> u32 {
        let mut mixer = Mixer::new(seed);
        let mut from = 0;
        for stage in 0..STAGES {
            let end = self.shape.end(stage);
            mixer.words(values.get(from..end).unwrap_or_default());
            from = end;
        }
        mixer.finish() as u32
    }

    /// A row came (or went): counts it in stages and ports.
    fn count_row<const CAME: bool>(&mut self, seed: u64, pattern: &Sparse) {
        let values = pattern.values();
        let mut mixer = Mixer::new(seed);
        let mut from = 0;
        for (stage, counts) in self.stages.iter_mut().enumerate() {
            let end = self.shape.end(stage);
            mixer.words(values.get(from..end).unwrap_or_default());
            from = end;
            let Some(counts) = counts else { continue };
            let hash = mixer.finish() as u32;
            match counts.entry(spread(hash), |(h, _)| *h == hash, |(h, _)| spread(*h)) {
                hashbrown::hash_table::Entry::Occupied(mut at) if CAME => at.get_mut().1 += 1,
                hashbrown::hash_table::Entry::Occupied(mut at) => {
                    at.get_mut().1 -= 1;
                    if at.get().1 == 0 {
                        at.remove();
                    }
                }
                hashbrown::hash_table::Entry::Vacant(at) if CAME => drop(at.insert((hash, 1))),
                hashbrown::hash_table::Entry::Vacant(_) => {}
            }
        }
        if let Some(ports) = &mut self.ports {
            let number = ports.part.read_sparse(pattern);
            if CAME {
                ports.trie.insert(number, ports.len);
            } else {
                ports.trie.remove(number, ports.len);
            }
        }
    }
}

fn is<V: Entry>(row: &Row<V>, values: &[u64]) -> bool {
    row.entries().first().is_some_and(|v| v.pattern().values() == values)
}

/// Puts a rule among others of its key; gives the one that it replaces.
fn put<V: Entry>(all: &mut Vec<V>, value: V) -> Option<V> {
    let priority = value.priority();
    match all.binary_search_by(|v| priority.cmp(&v.priority())) {
        Ok(at) => Some(std::mem::replace(&mut all[at], value)),
        Err(at) => {
            all.insert(at, value);
            None
        }
    }
}
