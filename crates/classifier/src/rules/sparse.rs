//! A masked key of which only the words are kept that its mask selects.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::layout::{Layout, STAGES};
use crate::Mixer;

/// A mask: which words it selects from, and what. Shared by all keys that have it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Words and their masks, none of them zero, in order of stage and then of word.
    terms: Box<[(u8, u64)]>,
    /// How many terms are in that stage and the ones before it.
    ends: [u8; STAGES],
    /// Of the terms: masks are looked up far more often than they are made.
    hash: u64,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.terms == other.terms && self.ends == other.ends
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes the hash of a [`Shape`] on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shape {
    /// Of a mask.
    pub fn new<const N: usize>(layout: &Layout<N>, mask: &[u64; N]) -> Shape {
        let mut terms: SmallVec<[_; 16]> =
            (0u8..).zip(mask).filter(|(_, m)| **m != 0).map(|(i, m)| (i, *m)).collect();
        terms.sort_by_key(|(i, _)| (layout.stage(*i), *i));
        Shape::with_terms(layout, &terms)
    }

    /// Of words and their masks, in order of stage and then of word.
    pub(crate) fn with_terms<const N: usize>(layout: &Layout<N>, terms: &[(u8, u64)]) -> Shape {
        let end = |s| terms.iter().filter(|(i, _)| usize::from(layout.stage(*i)) <= s).count();
        let mut ends: [u8; STAGES] = std::array::from_fn(|s| end(s) as u8);
        ends[STAGES - 1] = terms.len() as u8;
        Shape { terms: terms.into(), ends, hash: Shape::hash_of(terms) }
    }

    /// The hash of these terms.
    pub(crate) fn hash_of(terms: &[(u8, u64)]) -> u64 {
        let mut mixer = Mixer::new(0);
        terms.iter().for_each(|(i, m)| mixer.pair((*i).into(), *m));
        mixer.finish()
    }

    /// Its hash.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Words and their masks.
    pub(crate) fn terms(&self) -> &[(u8, u64)] {
        &self.terms
    }

    /// How many terms are in that stage and the ones before it.
    pub(crate) fn end(&self, stage: usize) -> usize {
        self.ends.get(stage).map_or(self.terms.len(), |end| usize::from(*end))
    }

    /// The mask.
    pub fn mask<const N: usize>(&self) -> [u64; N] {
        let mut mask = [0; N];
        for (i, m) in &self.terms {
            if let Some(word) = mask.get_mut(usize::from(*i)) {
                *word = *m;
            }
        }
        mask
    }

    /// Whether this selects every bit that the other does.
    pub(crate) fn covers(&self, other: &Shape) -> bool {
        // A mask word is found by searching its place: terms are few.
        other.terms.iter().all(|(i, m)| self.of(*i) & m == *m)
    }

    /// What it selects of a word.
    fn of(&self, word: u8) -> u64 {
        self.terms.iter().find(|(i, _)| *i == word).map_or(0, |(_, m)| *m)
    }
}

/// A masked key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sparse {
    shape: Arc<Shape>,
    /// By term; zero outside of the mask. Most have few, and these are where who finds the rule looks first.
    values: Values,
}

/// Words of a key that a mask selects from, each once: index, value and mask. The value has no bit outside of the mask.
pub type Terms = SmallVec<[(u8, u64, u64); 16]>;

/// What a masked key's words hold.
pub type Values = SmallVec<[u64; 4]>;

impl Sparse {
    /// From a key and a mask.
    pub fn new<const N: usize>(layout: &Layout<N>, key: &[u64; N], mask: &[u64; N]) -> Sparse {
        Sparse::with(Arc::new(Shape::new(layout, mask)), key)
    }

    /// From a key and a mask that is there already.
    pub fn with<const N: usize>(shape: Arc<Shape>, key: &[u64; N]) -> Sparse {
        let word = |(i, m): &(u8, u64)| key.get(usize::from(*i)).copied().unwrap_or(0) & m;
        let values = shape.terms.iter().map(word).collect();
        Sparse { shape, values }
    }

    /// From words and their masks, each word once.
    pub fn from_terms<const N: usize>(layout: &Layout<N>, mut terms: Terms) -> Sparse {
        terms.sort_unstable_by_key(|(word, ..)| (layout.stage(*word), *word));
        let masks: SmallVec<[(u8, u64); 16]> =
            terms.iter().map(|(i, _, mask)| (*i, *mask)).collect();
        let values = terms.iter().map(|(_, value, _)| *value).collect();
        Sparse { shape: Arc::new(Shape::with_terms(layout, &masks)), values }
    }

    /// From a mask and the words that it selects, in its order.
    pub fn from_parts(shape: Arc<Shape>, values: Values) -> Sparse {
        Sparse { shape, values }
    }

    /// The same with a mask that is equal.
    pub(crate) fn sharing(mut self, shape: &Arc<Shape>) -> Sparse {
        if !Arc::ptr_eq(&self.shape, shape) {
            self.shape = shape.clone();
        }
        self
    }

    /// Its mask.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// What the selected words hold, in the order of [`Sparse::terms`].
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// Each selected word: its index, value and mask.
    pub fn terms(&self) -> impl Iterator<Item = (usize, u64, u64)> {
        let terms = self.shape.terms.iter().zip(&self.values);
        terms.map(|((i, mask), value)| (usize::from(*i), *value, *mask))
    }

    /// The key, zero outside of the mask.
    pub fn key<const N: usize>(&self) -> [u64; N] {
        let mut key = [0; N];
        for (i, value, _) in self.terms() {
            if let Some(word) = key.get_mut(i) {
                *word = value;
            }
        }
        key
    }

    /// Whether a packet with this key is meant.
    pub fn matches<const N: usize>(&self, key: &[u64; N]) -> bool {
        self.terms().all(|(i, value, mask)| key.get(i).is_some_and(|word| word & mask == value))
    }

    /// Value and mask of a word.
    fn of(&self, word: usize) -> (u64, u64) {
        self.terms().find(|(i, ..)| *i == word).map_or((0, 0), |(_, v, m)| (v, m))
    }

    /// Whether every packet that this matches, the other matches by its mask as well.
    pub fn is_within(&self, other: &Sparse) -> bool {
        other.terms().all(|(i, value, mask)| {
            let (v, m) = self.of(i);
            m & mask == mask && v & mask == value
        })
    }

    /// Whether there are keys that both match.
    pub fn overlaps(&self, other: &Sparse) -> bool {
        other.terms().all(|(i, value, mask)| {
            let (v, m) = self.of(i);
            (v ^ value) & m & mask == 0
        })
    }
}
