//! One masked key, compressed to the words that its mask looks at.

use flow::{FlowKey, MaskedKey};
use smallvec::SmallVec;

/// Words that masks look at, mostly at most; so many are in the pattern itself, and matching reads no memory but that.
const USUAL: usize = 7;

/// One word that matters.
#[derive(Clone, Copy, Debug)]
struct Term {
    mask: u64,
    value: u64,
    index: u8,
}

/// A [`MaskedKey`] as a short list of comparisons. Answers [`MaskedKey::matches`] in a few loads.
#[derive(Clone, Debug)]
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
        self.terms.iter().all(|t| words[usize::from(t.index)] & t.mask == t.value)
    }
}
