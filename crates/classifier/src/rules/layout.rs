//! What the words of a key are, as far as searching by rules needs to know.

use super::sparse::Sparse;

/// How many stages there are.
pub const STAGES: usize = 4;

/// Where things are in a key of `N` words.
#[derive(Debug)]
pub struct Layout<const N: usize> {
    /// The stage of each word, 0 to 3. What is likely to tell rules apart, and known early, comes first: a search that fails in
    /// one stage has not looked at later ones.
    pub stages: [u8; N],
    /// The transport ports: what a search that failed by them alone has looked at is narrowed.
    pub ports: Option<Part>,
    /// Where the number of a conjunction is, of at most 32 bits.
    pub conjunction: Option<Part>,
}

impl<const N: usize> Layout<N> {
    /// The stage of a word.
    pub(crate) fn stage(&self, word: u8) -> u8 {
        self.stages.get(usize::from(word)).copied().unwrap_or(0)
    }
}

/// A number in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Within a word.
    Number {
        /// The word.
        word: usize,
        /// Its lowest bit.
        shift: u32,
        /// How many bits, 1 to 64.
        bits: u32,
    },
    /// Two numbers of 16 bits in a word; the lower one counts as the first.
    Pair {
        /// The word.
        word: usize,
        /// The lowest bit of the first.
        shift: u32,
    },
    /// Sixteen bytes in network order, which are two words.
    Bytes {
        /// The first word.
        word: usize,
    },
}

impl Part {
    /// How many bits it has.
    pub fn bits(self) -> u32 {
        match self {
            Part::Number { bits, .. } => bits,
            Part::Pair { .. } => 32,
            Part::Bytes { .. } => 128,
        }
    }

    /// The first word of it.
    pub(crate) fn word(self) -> usize {
        match self {
            Part::Number { word, .. } | Part::Pair { word, .. } | Part::Bytes { word } => word,
        }
    }

    /// The number, its highest bit in bit 127, and nothing below its lowest.
    pub(crate) fn of(self, words: &[u64]) -> u128 {
        self.read(words) & prefix_mask(self.bits())
    }

    /// The number, its highest bit in bit 127.
    fn read(self, words: &[u64]) -> u128 {
        let at = |word: usize| words.get(word).copied().unwrap_or(0);
        match self {
            Part::Number { word, shift, bits } => {
                u128::from(at(word) >> shift) << (128 - bits.clamp(1, 128))
            }
            Part::Pair { word, shift } => {
                let both = (at(word) >> shift) as u32;
                u128::from(both.rotate_left(16)) << 96
            }
            Part::Bytes { word } => {
                u128::from(at(word).swap_bytes()) << 64 | u128::from(at(word + 1).swap_bytes())
            }
        }
    }

    /// The same of a masked key.
    pub(crate) fn read_sparse(self, pattern: &Sparse) -> u128 {
        let (first, part) = (self.word(), self.moved());
        let mut words = [0; 2];
        for (i, value, _) in pattern.terms() {
            if let Some(word) = i.checked_sub(first).and_then(|i| words.get_mut(i)) {
                *word = value;
            }
        }
        part.of(&words)
    }

    /// Sets those of its bits in `words` that are set in `value`, whose highest is bit 127.
    pub(crate) fn raise(self, words: &mut [u64], value: u128) {
        let mut or = |word: usize, bits: u64| {
            if let Some(word) = words.get_mut(word) {
                *word |= bits;
            }
        };
        match self {
            Part::Number { word, shift, bits } => {
                or(word, ((value >> (128 - bits.clamp(1, 128))) as u64) << shift);
            }
            Part::Pair { word, shift } => {
                or(word, u64::from(((value >> 96) as u32).rotate_right(16)) << shift);
            }
            Part::Bytes { word } => {
                or(word, ((value >> 64) as u64).swap_bytes());
                or(word + 1, (value as u64).swap_bytes());
            }
        }
    }

    /// Sets all of its bits in `words` to those of `value`, whose highest is bit 127.
    pub(crate) fn write(self, words: &mut [u64], value: u128) {
        let mut mask = [0; 2];
        let (first, rest) = (self.word(), self.moved());
        rest.raise(&mut mask, u128::MAX);
        for (word, mask) in words.iter_mut().skip(first).zip(mask) {
            *word &= !mask;
        }
        self.raise(words, value);
    }

    /// The same part of a key that begins with its first word.
    fn moved(self) -> Part {
        match self {
            Part::Number { shift, bits, .. } => Part::Number { word: 0, shift, bits },
            Part::Pair { shift, .. } => Part::Pair { word: 0, shift },
            Part::Bytes { .. } => Part::Bytes { word: 0 },
        }
    }

    /// How long the prefix is that the mask selects; `None` if it selects something else.
    pub(crate) fn prefix(self, mask: &[u64]) -> Option<u8> {
        let mask = self.of(mask);
        let len = mask.leading_ones();
        (mask == prefix_mask(len)).then_some(len as u8)
    }
}

/// That many of the highest bits.
pub(crate) fn prefix_mask(len: u32) -> u128 {
    !u128::MAX.checked_shr(len).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_what_they_write() {
        let parts = [
            Part::Number { word: 1, shift: 32, bits: 32 },
            Part::Number { word: 0, shift: 0, bits: 64 },
            Part::Pair { word: 2, shift: 16 },
            Part::Bytes { word: 1 },
        ];
        for part in parts {
            let mut words = [u64::MAX; 3];
            let value = 0x0123_4567_89ab_cdef_u128 << 64 & prefix_mask(part.bits());
            part.write(&mut words, value);
            assert_eq!(part.of(&words), value, "{part:?}");
            let ones: u32 = words.iter().map(|w| w.count_ones()).sum();
            assert_eq!(ones, 192 - part.bits() + value.count_ones(), "{part:?}");
        }
    }

    #[test]
    fn prefixes_are_told_from_other_masks() {
        let part = Part::Number { word: 0, shift: 0, bits: 32 };
        assert_eq!(part.prefix(&[0xffff_ff00]), Some(24));
        assert_eq!(part.prefix(&[0]), Some(0));
        assert_eq!(part.prefix(&[0xffff_ffff]), Some(32));
        assert_eq!(part.prefix(&[0xffff_0100]), None);
        let pair = Part::Pair { word: 0, shift: 0 };
        assert_eq!(pair.prefix(&[0xffff]), Some(16), "the lower number is the first");
        assert_eq!(pair.prefix(&[0xffff_0000]), None);
    }
}
