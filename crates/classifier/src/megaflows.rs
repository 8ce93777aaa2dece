//! The table of non-overlapping masked keys.
//!
//! # Design
//! A [`Subtable`] holds all patterns of one mask. Its rows (the masked words that matter, back to back in one vector) and
//! values are dense arrays; a `hashbrown::HashTable` of row numbers indexes them, so a probe touches one group of control
//! bytes, one index and one row. Removal swaps the last row into the hole.

use std::fmt;

use flow::{FlowKey, Mask, MaskedKey, WORDS};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::Mixer;
use crate::pattern::{Pattern, Term};

/// A table refuses a pattern whose mask it has not seen yet, because it already has as many different masks as it may: each
/// costs every lookup a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMasks {
    /// The bound.
    pub limit: usize,
}

impl fmt::Display for TooManyMasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the flow's mask would be the {}th different one; the limit is {}",
            self.limit + 1,
            self.limit
        )
    }
}

impl std::error::Error for TooManyMasks {}

/// Non-overlapping masked keys and their values. See the crate's essay.
pub struct Megaflows<V> {
    /// In the order of lookup: most hits first, as of the last [`Megaflows::rank`].
    subtables: Vec<Subtable<V>>,
    seed: u64,
    mask_limit: usize,
    len: usize,
}

impl<V> Megaflows<V> {
    /// An empty table that accepts `mask_limit` different masks. `seed` should be secret: it keeps senders from choosing keys
    /// that collide.
    pub fn new(seed: u64, mask_limit: usize) -> Self {
        Self { subtables: Vec::new(), seed, mask_limit, len: 0 }
    }

    /// How many patterns.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many different masks.
    pub fn masks(&self) -> usize {
        self.subtables.len()
    }

    /// Adds a pattern, or gives an equal one a new value; the old value comes back.
    pub fn insert(&mut self, pattern: &Pattern, value: V) -> Result<Option<V>, TooManyMasks> {
        let at = match self.position(pattern) {
            Some(at) => at,
            None if self.subtables.len() >= self.mask_limit => {
                return Err(TooManyMasks { limit: self.mask_limit });
            }
            None => {
                self.subtables.push(Subtable::new(pattern));
                self.subtables.len() - 1
            }
        };
        let old = self.subtables[at].insert(self.seed, pattern, value);
        self.len += usize::from(old.is_none());
        Ok(old)
    }

    /// Takes out an equal pattern (not one that merely overlaps it).
    pub fn remove(&mut self, pattern: &Pattern) -> Option<V> {
        let at = self.position(pattern)?;
        let value = self.subtables[at].remove(self.seed, pattern)?;
        self.len -= 1;
        if self.subtables[at].values.is_empty() {
            self.subtables.remove(at);
        }
        Some(value)
    }

    /// The value of an equal pattern.
    pub fn get(&self, pattern: &Pattern) -> Option<&V> {
        let table = &self.subtables[self.position(pattern)?];
        table.find_equal(self.seed, pattern).map(|row| &table.values[row])
    }

    /// The value of the pattern that matches a packet with this key.
    #[inline]
    pub fn lookup(&mut self, key: &FlowKey) -> Option<&V> {
        let seed = self.seed;
        for table in &mut self.subtables {
            if let Some(row) = table.find(seed, key) {
                table.hits += 1;
                return Some(&table.values[row]);
            }
        }
        None
    }

    /// Looks up `keys[i]` for each `i` in `wanted`, subtable by subtable, so that a subtable's mask and index stay in the cache
    /// for the whole batch. `found(i, value, probes)` is told of each match, and how many subtables were tried for it; what is
    /// left in `wanted` matched nothing.
    pub fn lookup_batch(
        &mut self,
        keys: &[FlowKey],
        wanted: &mut Vec<u16>,
        mut found: impl FnMut(u16, &V, u32),
    ) {
        let seed = self.seed;
        for (table, probes) in self.subtables.iter_mut().zip(1..) {
            if wanted.is_empty() {
                return;
            }
            wanted.retain(|&i| {
                let Some(row) = keys.get(usize::from(i)).and_then(|key| table.find(seed, key))
                else {
                    return true;
                };
                table.hits += 1;
                found(i, &table.values[row], probes);
                false
            });
        }
    }

    /// Sorts subtables by their hits since the last call (older hits count half, each time again), so that the busiest are
    /// tried first. To be called now and then.
    pub fn rank(&mut self) {
        self.subtables.sort_by_key(|t| std::cmp::Reverse(t.hits));
        for table in &mut self.subtables {
            table.hits /= 2;
        }
    }

    /// All patterns and values, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (MaskedKey, &V)> {
        self.subtables
            .iter()
            .flat_map(|t| (0..).zip(&t.values).map(|(row, value)| (t.key(row), value)))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.subtables.clear();
        self.len = 0;
    }

    /// The subtable of a pattern's mask.
    fn position(&self, pattern: &Pattern) -> Option<usize> {
        self.subtables.iter().position(|table| table.is_for(pattern))
    }
}

/// All patterns of one mask.
struct Subtable<V> {
    mask: Mask,
    /// The words that the mask looks at: where they are in a key, and which bits of them.
    words: Box<[(u8, u64)]>,
    /// Row numbers by hash of row.
    index: HashTable<u32>,
    /// `words.len()` words per row.
    rows: Vec<u64>,
    values: Vec<V>,
    hits: u64,
}

impl<V> Subtable<V> {
    fn new(pattern: &Pattern) -> Self {
        Self {
            mask: *pattern.masked_key().mask(),
            words: pattern.terms().map(|term| (term.place, term.mask)).collect(),
            index: HashTable::new(),
            rows: Vec::new(),
            values: Vec::new(),
            hits: 0,
        }
    }

    /// The words of `key` that matter, masked, into `out`, and their hash. The one inner loop of every lookup.
    #[inline]
    fn compress<'a>(
        &self,
        seed: u64,
        key: &FlowKey,
        out: &'a mut [u64; WORDS],
    ) -> (u64, &'a [u64]) {
        let words = key.words();
        for (slot, &(i, mask)) in out.iter_mut().zip(&self.words) {
            *slot = words[usize::from(i)] & mask;
        }
        let row = &out[..self.words.len().min(WORDS)];
        (hash(seed, row), row)
    }

    /// Whether it is the one of the pattern's mask.
    fn is_for(&self, pattern: &Pattern) -> bool {
        let same = |(term, word): (Term, &(u8, u64))| (term.place, term.mask) == *word;
        self.words.len() == pattern.len() && pattern.terms().zip(&self.words).all(same)
    }

    /// A pattern's row into `out`, and its hash.
    fn row_of<'a>(seed: u64, pattern: &Pattern, out: &'a mut [u64; WORDS]) -> (u64, &'a [u64]) {
        out.iter_mut().zip(pattern.terms()).for_each(|(word, term)| *word = term.value);
        let row = &out[..pattern.len().min(WORDS)];
        (hash(seed, row), row)
    }

    fn row(&self, row: u32) -> &[u64] {
        let n = self.words.len();
        &self.rows[row as usize * n..][..n]
    }

    #[inline]
    fn find(&self, seed: u64, key: &FlowKey) -> Option<usize> {
        let mut space = [0; WORDS];
        let (hash, want) = self.compress(seed, key, &mut space);
        self.index.find(hash, |&row| self.row(row) == want).map(|&row| row as usize)
    }

    /// The same of an equal pattern, whose subtable this is.
    fn find_equal(&self, seed: u64, pattern: &Pattern) -> Option<usize> {
        let mut space = [0; WORDS];
        let (hash, want) = Self::row_of(seed, pattern, &mut space);
        self.index.find(hash, |&row| self.row(row) == want).map(|&row| row as usize)
    }

    fn insert(&mut self, seed: u64, pattern: &Pattern, value: V) -> Option<V> {
        let mut space = [0; WORDS];
        let (h, want) = Self::row_of(seed, pattern, &mut space);
        let (rows, n) = (&self.rows, self.words.len());
        let row = |row: u32| &rows[row as usize * n..][..n];
        let place = self.index.entry(h, |&at| row(at) == want, |&at| hash(seed, row(at)));
        match place {
            Entry::Occupied(at) => {
                let at = *at.get() as usize;
                return Some(std::mem::replace(&mut self.values[at], value));
            }
            // Row numbers are 32 bits: four thousand million patterns do not fit into memory.
            Entry::Vacant(at) => drop(at.insert(self.values.len() as u32)),
        }
        self.rows.extend_from_slice(want);
        self.values.push(value);
        None
    }

    fn remove(&mut self, seed: u64, pattern: &Pattern) -> Option<V> {
        let mut space = [0; WORDS];
        let (h, want) = Self::row_of(seed, pattern, &mut space);
        let (rows, n) = (&self.rows, self.words.len());
        let entry = self.index.find_entry(h, |&row| rows[row as usize * n..][..n] == *want).ok()?;
        let (hole, _) = entry.remove();
        let last = (self.values.len() - 1) as u32;
        if hole != last {
            let moved = hash(seed, self.row(last));
            if let Some(row) = self.index.find_mut(moved, |&row| row == last) {
                *row = hole;
            }
            let n = self.words.len();
            self.rows.copy_within(last as usize * n..(last as usize + 1) * n, hole as usize * n);
        }
        self.rows.truncate(last as usize * self.words.len());
        Some(self.values.swap_remove(hole as usize))
    }

    /// The pattern of a row.
    fn key(&self, row: u32) -> MaskedKey {
        let mut key = FlowKey::default();
        for (&(i, _), &word) in self.words.iter().zip(self.row(row)) {
            key.words_mut()[usize::from(i)] = word;
        }
        MaskedKey::new(&key, &self.mask)
    }
}

#[inline]
fn hash(seed: u64, words: &[u64]) -> u64 {
    let mut mixer = Mixer::new(seed);
    mixer.words(words);
    mixer.finish()
}

#[cfg(test)]
mod tests;
