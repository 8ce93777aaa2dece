//! One masked key, compressed to the words that its mask looks at.

use flow::{FlowKey, Mask, MaskedKey};

use crate::Mixer;

/// Words that masks look at, mostly at most; so many are in the pattern itself, and matching reads no memory but that.
const USUAL: usize = 7;

/// Words that are looked at together.
const CHUNK: usize = 8;

/// One word that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) mask: u64,
    pub(crate) value: u64,
    pub(crate) place: u8,
}

impl Term {
    #[inline]
    fn matches(self, key: &FlowKey) -> bool {
        key.words()[usize::from(self.place)] & self.mask == self.value
    }
}

/// A [`MaskedKey`] as a short list of comparisons. Answers [`MaskedKey::matches`] in a few loads, and takes a seventh of the
/// memory: there are two for each flow, and very many flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    // Of the first terms, apart, for in a row of them there would be seven bytes of nothing behind each place.
    masks: [u64; USUAL],
    values: [u64; USUAL],
    places: [u8; USUAL],
    /// How many of these there are.
    count: u8,
    /// Those for which there is no room.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More(Vec<Term>);

const _: () = assert!(size_of::<Pattern>() <= 128);

impl Pattern {
    /// Compresses `key`.
    pub fn new(key: &MaskedKey) -> Self {
        Self::of(key.key(), key.mask())
    }

    /// The same, of `key` as far as `mask` looks.
    pub fn of(key: &FlowKey, mask: &Mask) -> Self {
        let mut this = Self {
            masks: [0; USUAL],
            values: [0; USUAL],
            places: [0; USUAL],
            count: 0,
            more: None,
        };
        let chunks = mask.0.words().chunks(CHUNK).zip(key.words().chunks(CHUNK));
        for (first, (masks, words)) in (0u8..).step_by(CHUNK).zip(chunks) {
            // Nearly all are zero.
            if masks.iter().fold(0, |all, mask| all | mask) == 0 {
                continue;
            }
            for (place, (&mask, &word)) in (first..).zip(masks.iter().zip(words)) {
                if mask != 0 {
                    this.push(Term { mask, value: word & mask, place });
                }
            }
        }
        this
    }

    /// How many words matter.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.count) + self.more.as_ref().map_or(0, |more| more.0.len())
    }

    fn push(&mut self, term: Term) {
        let at = usize::from(self.count);
        if at == USUAL {
            return self.more.get_or_insert_default().0.push(term);
        }
        (self.masks[at], self.values[at], self.places[at]) = (term.mask, term.value, term.place);
        self.count += 1;
    }

    fn few(&self) -> impl DoubleEndedIterator<Item = Term> {
        let parts = self.masks.iter().zip(&self.values).zip(&self.places);
        let all = parts.map(|((&mask, &value), &place)| Term { mask, value, place });
        all.take(self.count.into())
    }

    /// They, from the first on.
    pub(crate) fn terms(&self) -> impl Iterator<Item = Term> {
        self.few().chain(self.more.iter().flat_map(|more| more.0.iter().copied()))
    }

    /// Whether a packet with this key is meant.
    #[inline]
    pub fn matches(&self, key: &FlowKey) -> bool {
        // What tells connections apart is at the end.
        self.more.as_ref().is_none_or(|more| more.0.iter().all(|term| term.matches(key)))
            && self.few().rev().all(|term| term.matches(key))
    }

    /// What it was made from.
    pub fn masked_key(&self) -> MaskedKey {
        let (mut key, mut mask) = (FlowKey::default(), Mask::any());
        for term in self.terms() {
            key.words_mut()[usize::from(term.place)] = term.value;
            mask.0.words_mut()[usize::from(term.place)] = term.mask;
        }
        MaskedKey::new(&key, &mask)
    }

    /// What the packets have that it matches; zero where it does not look.
    pub fn key(&self) -> FlowKey {
        let mut key = FlowKey::default();
        for term in self.terms() {
            key.words_mut()[usize::from(term.place)] = term.value;
        }
        key
    }

    /// Mixes it into a hash.
    pub fn mix(&self, mixer: &mut Mixer) {
        for term in self.terms() {
            mixer.pair(term.mask, term.value);
            mixer.pair(term.place.into(), 0);
        }
    }
}
