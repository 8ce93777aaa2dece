//! One masked key, compressed to the words that its mask looks at.

use flow::{FlowKey, Mask, MaskedKey};
use smallvec::SmallVec;

use crate::Mixer;

/// Words that masks look at, mostly at most; so many are in the pattern itself, and matching reads no memory but that.
const USUAL: usize = 7;

/// One word that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    mask: u64,
    value: u64,
    index: u8,
}

/// A [`MaskedKey`] as a short list of comparisons. Answers [`MaskedKey::matches`] in a few loads, and takes a third of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    terms: SmallVec<[Term; USUAL]>,
}

impl Pattern {
    /// Compresses `key`.
    pub fn new(key: &MaskedKey) -> Self {
        let masks = key.mask().0.words().iter();
        let terms = masks
            .zip(key.key().words())
            .zip(0u8..)
            .filter(|((mask, _), _)| **mask != 0)
            .map(|((&mask, &value), index)| Term { mask, value, index })
            .collect();
        Self { terms }
    }

    /// Whether a packet with this key is meant.
    #[inline]
    pub fn matches(&self, key: &FlowKey) -> bool {
        let words = key.words();
        // What tells connections apart is at the end.
        self.terms.iter().rev().all(|t| words[usize::from(t.index)] & t.mask == t.value)
    }

    /// What it was made from.
    pub fn masked_key(&self) -> MaskedKey {
        let (mut key, mut mask) = (FlowKey::default(), Mask::any());
        for term in &self.terms {
            key.words_mut()[usize::from(term.index)] = term.value;
            mask.0.words_mut()[usize::from(term.index)] = term.mask;
        }
        MaskedKey::new(&key, &mask)
    }

    /// What the packets have that it matches; zero where it does not look.
    pub fn key(&self) -> FlowKey {
        let mut key = FlowKey::default();
        for term in &self.terms {
            key.words_mut()[usize::from(term.index)] = term.value;
        }
        key
    }

    /// Mixes it into a hash.
    pub fn mix(&self, mixer: &mut Mixer) {
        for term in &self.terms {
            mixer.pair(term.mask, term.value);
            mixer.pair(term.index.into(), 0);
        }
    }
}
