//! The table of overlapping masked keys with priorities: what OpenFlow tables are made of.
//!
//! # What
//! [`Rules`] finds the value of highest priority whose masked key a packet's key matches, and tells which bits of the packet it
//! looked at to know: any other packet that agrees on those bits gets the same answer.
//!
//! # Design
//! Rules with one mask share a subtable, a hash table over the words that the mask selects. A lookup tries the subtables from
//! the highest priority that they hold downwards, and stops when no later one can do better; whatever a subtable's mask
//! selects was looked at once it has been tried.
//!
//! Keys are `N` words; what they mean is the caller's affair.

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::Mixer;

/// See the module. Priorities are compared as numbers; of two rules that match with one priority either may be found.
#[derive(Clone, Debug)]
pub struct Rules<const N: usize, V> {
    /// In descending order of their highest priority.
    subtables: Vec<Subtable<N, V>>,
    seed: u64,
    len: usize,
}

#[derive(Clone, Debug)]
struct Subtable<const N: usize, V> {
    mask: [u64; N],
    /// The words that the mask selects from.
    words: SmallVec<[u8; 8]>,
    rows: HashTable<Row<N, V>>,
    /// The highest priority in it.
    top: i32,
}

/// All rules with one masked key.
#[derive(Clone, Debug)]
struct Row<const N: usize, V> {
    key: SmallVec<[u64; 4]>,
    /// In descending order of priority, never empty.
    entries: SmallVec<[(i32, V); 1]>,
}

impl<const N: usize, V> Rules<N, V> {
    /// An empty table. The seed should be secret: it keeps others from choosing keys that collide.
    pub fn new(seed: u64) -> Self {
        Self { subtables: Vec::new(), seed, len: 0 }
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
        self.subtables.len()
    }

    /// Adds a rule; the answer is the one that it replaces: of the same key, mask and priority.
    pub fn insert(
        &mut self,
        key: &[u64; N],
        mask: &[u64; N],
        priority: i32,
        value: V,
    ) -> Option<V> {
        let at = match self.position(mask) {
            Some(at) => at,
            None => {
                self.subtables.push(Subtable::new(mask));
                self.subtables.len() - 1
            }
        };
        let old = self.subtables[at].insert(self.seed, key, priority, value);
        self.len += usize::from(old.is_none());
        self.order();
        old
    }

    /// Removes the rule of that key, mask and priority.
    pub fn remove(&mut self, key: &[u64; N], mask: &[u64; N], priority: i32) -> Option<V> {
        let at = self.position(mask)?;
        let value = self.subtables[at].remove(self.seed, key, priority)?;
        self.len -= 1;
        if self.subtables[at].rows.is_empty() {
            self.subtables.remove(at);
        }
        self.order();
        Some(value)
    }

    /// The rule of that key, mask and priority.
    pub fn get(&self, key: &[u64; N], mask: &[u64; N], priority: i32) -> Option<&V> {
        let table = &self.subtables[self.position(mask)?];
        let row = table.find(self.seed, key)?;
        row.entries.iter().find(|(p, _)| *p == priority).map(|(_, v)| v)
    }

    /// The best rule that matches. Adds to `looked` which bits of the key the answer depends on.
    pub fn lookup(&self, key: &[u64; N], looked: &mut [u64; N]) -> Option<&V> {
        let mut best: Option<(i32, &V)> = None;
        for table in &self.subtables {
            if best.is_some_and(|(priority, _)| priority >= table.top) {
                break;
            }
            for &i in &table.words {
                looked[usize::from(i)] |= table.mask[usize::from(i)];
            }
            let Some((priority, value)) =
                table.find(self.seed, key).and_then(|r| r.entries.first())
            else {
                continue;
            };
            if best.is_none_or(|(least, _)| *priority > least) {
                best = Some((*priority, value));
            }
        }
        best.map(|(_, value)| value)
    }

    /// All rules with their priorities, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &V)> {
        let rows = self.subtables.iter().flat_map(|t| t.rows.iter());
        rows.flat_map(|r| r.entries.iter().map(|(p, v)| (*p, v)))
    }

    fn position(&self, mask: &[u64; N]) -> Option<usize> {
        self.subtables.iter().position(|t| t.mask == *mask)
    }

    fn order(&mut self) {
        self.subtables.sort_by_key(|t| std::cmp::Reverse(t.top));
    }
}

impl<const N: usize, V> Subtable<N, V> {
    fn new(mask: &[u64; N]) -> Self {
        let words = (0u8..).zip(mask).filter(|(_, m)| **m != 0).map(|(i, _)| i).collect();
        Self { mask: *mask, words, rows: HashTable::new(), top: i32::MIN }
    }

    fn compress(&self, key: &[u64; N]) -> SmallVec<[u64; 4]> {
        let word = |&i: &u8| key[usize::from(i)] & self.mask[usize::from(i)];
        self.words.iter().map(word).collect()
    }

    fn find(&self, seed: u64, key: &[u64; N]) -> Option<&Row<N, V>> {
        let want = self.compress(key);
        self.rows.find(hash(seed, &want), |row| row.key == want)
    }

    fn insert(&mut self, seed: u64, key: &[u64; N], priority: i32, value: V) -> Option<V> {
        self.top = self.top.max(priority);
        let want = self.compress(key);
        let h = hash(seed, &want);
        let Some(row) = self.rows.find_mut(h, |row| row.key == want) else {
            let entries = SmallVec::from_iter([(priority, value)]);
            self.rows.insert_unique(h, Row { key: want, entries }, |row| hash(seed, &row.key));
            return None;
        };
        match row.entries.iter().position(|(p, _)| *p <= priority) {
            Some(at) if row.entries[at].0 == priority => {
                Some(std::mem::replace(&mut row.entries[at].1, value))
            }
            Some(at) => {
                row.entries.insert(at, (priority, value));
                None
            }
            None => {
                row.entries.push((priority, value));
                None
            }
        }
    }

    fn remove(&mut self, seed: u64, key: &[u64; N], priority: i32) -> Option<V> {
        let want = self.compress(key);
        let mut row = self.rows.find_entry(hash(seed, &want), |row| row.key == want).ok()?;
        let at = row.get().entries.iter().position(|(p, _)| *p == priority)?;
        let (_, value) = row.get_mut().entries.remove(at);
        if row.get().entries.is_empty() {
            row.remove();
        }
        if priority == self.top {
            let tops = self.rows.iter().filter_map(|r| r.entries.first());
            self.top = tops.map(|(p, _)| *p).max().unwrap_or(i32::MIN);
        }
        Some(value)
    }
}

fn hash(seed: u64, words: &[u64]) -> u64 {
    let mut mixer = Mixer::new(seed);
    mixer.words(words);
    mixer.finish()
}
