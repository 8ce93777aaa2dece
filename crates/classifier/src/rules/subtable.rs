//! The rules of one mask: a hash table over the words that it selects.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use super::layout::{Layout, Part, STAGES};
use super::sparse::{Shape, Sparse};
use super::trie::Trie;
use super::{Entry as Rule, Rank};
use crate::Mixer;

/// See the module. What searches need is together in a few cache lines; the rest is elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Subtable<V> {
    /// Words and their masks, in order of stage.
    terms: SmallVec<[(u8, u64); 5]>,
    /// How many terms are in that stage and the ones before it.
    ends: [u8; STAGES],
    /// What rows have up to a stage, if others follow.
    stages: [Stage; STAGES - 1],
    /// The tries of prefixes that the mask selects, in order of stage.
    tries: SmallVec<[InTrie; 4]>,
    rows: HashTable<Row<V>>,
    rest: Box<Rest>,
}

#[derive(Clone, Debug)]
struct Rest {
    shape: Arc<Shape>,
    /// By trie of the whole table: how long prefixes are here; 0 if the mask selects none.
    prefixes: SmallVec<[u8; 4]>,
    /// How many rules have what priority.
    priorities: BTreeMap<i32, u32>,
    /// The ports that rows have, if the mask selects any.
    ports: Option<Ports>,
}

/// A number by whose prefixes a subtable can be ruled out.
#[derive(Clone, Copy, Debug)]
pub(super) struct InTrie {
    pub(super) stage: u8,
    /// Which trie.
    pub(super) trie: u8,
    /// How long prefixes are here.
    pub(super) len: u8,
}

/// Hashes of the words that rows have up to a stage, and how many rows have them.
#[derive(Clone, Debug)]
enum Stage {
    /// Nobody counts: no words are added here, or none later.
    Idle,
    /// They all have the same, as those of one protocol do.
    One(u32, u32),
    Many(Box<HashTable<(u32, u32)>>),
}

impl Stage {
    fn add(&mut self, hash: u32) {
        match self {
            Stage::Idle => {}
            Stage::One(_, 0) => *self = Stage::One(hash, 1),
            Stage::One(own, count) if *own == hash => *count += 1,
            Stage::One(own, count) => {
                let mut many = HashTable::new();
                many.insert_unique(spread(*own), (*own, *count), |(h, _)| spread(*h));
                many.insert_unique(spread(hash), (hash, 1), |(h, _)| spread(*h));
                *self = Stage::Many(Box::new(many));
            }
            Stage::Many(many) => {
                match many.entry(spread(hash), |(h, _)| *h == hash, |(h, _)| spread(*h)) {
                    Entry::Occupied(mut at) => at.get_mut().1 += 1,
                    Entry::Vacant(at) => drop(at.insert((hash, 1))),
                }
            }
        }
    }

    fn remove(&mut self, hash: u32) {
        match self {
            Stage::Idle => {}
            Stage::One(_, count) => *count = count.saturating_sub(1),
            Stage::Many(many) => {
                if let Ok(mut at) = many.find_entry(spread(hash), |(h, _)| *h == hash) {
                    at.get_mut().1 -= 1;
                    if at.get().1 == 0 {
                        at.remove();
                    }
                }
            }
        }
    }
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

impl<V: Rule> Subtable<V> {
    pub(super) fn new<const N: usize>(
        layout: &Layout<N>,
        shape: Arc<Shape>,
        prefixes: &[Part],
    ) -> Self {
        let total = shape.terms().len();
        let stage = |s: usize| {
            let before = if s == 0 { 0 } else { shape.end(s - 1) };
            let counts = shape.end(s) > before && shape.end(s) < total;
            if counts { Stage::One(0, 0) } else { Stage::Idle }
        };
        let mask: [u64; N] = shape.mask();
        let ports = layout.ports.and_then(|part| {
            let mask = part.of(&mask);
            let len = 128 - mask.trailing_zeros() as u8;
            (mask != 0).then(|| Ports { part, mask, len, trie: Trie::new() })
        });
        let mut this = Self {
            terms: shape.terms().into(),
            ends: std::array::from_fn(|s| shape.end(s) as u8),
            stages: std::array::from_fn(stage),
            tries: SmallVec::new(),
            rows: HashTable::new(),
            rest: Box::new(Rest {
                shape,
                prefixes: SmallVec::new(),
                priorities: BTreeMap::new(),
                ports,
            }),
        };
        this.set_prefixes(layout, prefixes);
        this
    }

    /// Which tries there are.
    pub(super) fn set_prefixes<const N: usize>(&mut self, layout: &Layout<N>, prefixes: &[Part]) {
        let mask: [u64; N] = self.rest.shape.mask();
        self.rest.prefixes = prefixes.iter().map(|p| p.prefix(&mask).unwrap_or(0)).collect();
        let stage = |part: &Part| layout.stages.get(part.word()).copied().unwrap_or(0);
        let all = (0u8..).zip(prefixes).zip(&self.rest.prefixes).filter(|(_, len)| **len > 0);
        self.tries =
            all.map(|((trie, part), len)| InTrie { stage: stage(part), trie, len: *len }).collect();
        self.tries.sort_by_key(|t| t.stage);
    }

    /// The mask.
    pub(super) fn shape(&self) -> &Arc<Shape> {
        &self.rest.shape
    }

    /// Words and their masks, in order of stage.
    pub(super) fn terms(&self) -> &[(u8, u64)] {
        &self.terms
    }

    /// How many terms are in that stage and the ones before it.
    pub(super) fn end(&self, stage: usize) -> usize {
        self.ends.get(stage).map_or(self.terms.len(), |end| usize::from(*end))
    }

    /// The tries that can rule it out, in order of stage.
    pub(super) fn tries(&self) -> &[InTrie] {
        &self.tries
    }

    /// By trie of the whole table: how long prefixes are here.
    pub(super) fn prefixes(&self) -> &[u8] {
        &self.rest.prefixes
    }

    /// The ports that rows have.
    pub(super) fn ports(&self) -> Option<&Ports> {
        self.rest.ports.as_ref()
    }

    /// Its place in the order, being the one in this slot.
    pub(super) fn rank(&self, slot: u32) -> Rank {
        let mut prefixes = [0; 4];
        prefixes.iter_mut().zip(&self.rest.prefixes).for_each(|(len, own)| *len = *own);
        Rank { top: self.top(), slot, prefixes }
    }

    /// The highest priority.
    fn top(&self) -> i32 {
        self.rest.priorities.last_key_value().map_or(i32::MIN, |(p, _)| *p)
    }

    /// Whether there are rules of that priority.
    pub(super) fn has_priority(&self, priority: i32) -> bool {
        self.rest.priorities.contains_key(&priority)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row<V>> {
        self.rows.iter()
    }

    /// Whether no row has that hash of its words up to a stage.
    pub(super) fn lacks(&self, stage: usize, hash: u32) -> bool {
        match self.stages.get(stage) {
            Some(Stage::One(own, count)) => *own != hash || *count == 0,
            Some(Stage::Many(many)) => many.find(spread(hash), |(h, _)| *h == hash).is_none(),
            _ => false,
        }
    }

    /// The row that a key matches, whose hash this is.
    pub(super) fn find<const N: usize>(&self, hash: u32, key: &[u64; N]) -> Option<&Row<V>> {
        let same = |row: &Row<V>| {
            let values = row.entries().first().map(|v| v.pattern().values()).unwrap_or_default();
            let mut pairs = self.terms.iter().zip(values);
            pairs.all(|((i, mask), value)| key[usize::from(*i)] & mask == *value)
        };
        self.rows.find(spread(hash), |row| row.hash() == hash && same(row))
    }

    /// The row of that masked key.
    pub(super) fn exactly(&self, seed: u64, pattern: &Sparse) -> Option<&Row<V>> {
        let hash = self.hash(seed, pattern.values());
        self.rows.find(spread(hash), |row| row.hash() == hash && is(row, pattern.values()))
    }

    /// Adds a rule; gives the one that it replaces, and whether the row is new.
    pub(super) fn insert(&mut self, seed: u64, value: V) -> (Option<V>, bool) {
        let priority = value.priority();
        let hashes = self.hashes(seed, value.pattern().values());
        let hash = hashes[STAGES - 1];
        let found = self
            .rows
            .find_mut(spread(hash), |r| r.hash() == hash && is(r, value.pattern().values()));
        let Some(row) = found else {
            self.count_row::<true>(&hashes, value.pattern());
            self.rows.insert_unique(spread(hash), Row::One(hash, value), |r| spread(r.hash()));
            *self.rest.priorities.entry(priority).or_default() += 1;
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
            *self.rest.priorities.entry(priority).or_default() += 1;
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
        let hashes = self.hashes(seed, pattern.values());
        let hash = hashes[STAGES - 1];
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
            self.count_row::<false>(&hashes, pattern);
        }
        if let Some(count) = self.rest.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.rest.priorities.remove(&priority);
            }
        }
        Some((old, gone))
    }

    /// The hash that rows are found by.
    fn hash(&self, seed: u64, values: &[u64]) -> u32 {
        self.hashes(seed, values)[STAGES - 1]
    }

    /// The hashes of the words up to each stage. Rows are found by the last.
    #[inline]
    fn hashes(&self, seed: u64, values: &[u64]) -> [u32; STAGES] {
        let mut mixer = Mixer::new(seed);
        let mut from = 0;
        std::array::from_fn(|stage| {
            let end = self.end(stage);
            mixer.words(values.get(from..end).unwrap_or_default());
            from = end;
            mixer.so_far()
        })
    }

    /// A row with these hashes came (or went): counts it in stages and ports.
    fn count_row<const CAME: bool>(&mut self, hashes: &[u32; STAGES], pattern: &Sparse) {
        for (counts, hash) in self.stages.iter_mut().zip(hashes) {
            if CAME { counts.add(*hash) } else { counts.remove(*hash) }
        }
        if let Some(ports) = &mut self.rest.ports {
            let number = ports.part.read_sparse(pattern);
            if CAME {
                ports.trie.insert(number, ports.len);
            } else {
                ports.trie.remove(number, ports.len);
            }
        }
    }
}

fn is<V: Rule>(row: &Row<V>, values: &[u64]) -> bool {
    row.entries().first().is_some_and(|v| v.pattern().values() == values)
}

/// Puts a rule among others of its key; gives the one that it replaces.
fn put<V: Rule>(all: &mut Vec<V>, value: V) -> Option<V> {
    let priority = value.priority();
    match all.binary_search_by(|v| priority.cmp(&v.priority())) {
        Ok(at) => Some(std::mem::replace(&mut all[at], value)),
        Err(at) => {
            all.insert(at, value);
            None
        }
    }
}
