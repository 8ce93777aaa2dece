//! Mixing 64-bit words into a hash: one widening multiplication for two words.

/// A running hash over words. Quality: every input bit reaches every output bit after [`Mixer::finish`]. With a secret seed it
/// resists senders who try to make keys collide; it is no cryptographic hash.
#[derive(Clone, Copy, Debug)]
pub struct Mixer {
    state: u64,
    odd: u64,
}

/// Two odd constants with evenly spread bits (fractions of pi and e).
const PI: u64 = 0x243f_6a88_85a3_08d3;
const E: u64 = 0xb7e1_5162_8aed_2a6b;

impl Mixer {
    /// Starts with `seed`.
    #[inline]
    pub fn new(seed: u64) -> Self {
        Self { state: fold(seed ^ PI, E), odd: seed.rotate_left(32) ^ E }
    }

    /// Mixes two words in.
    #[inline]
    pub fn pair(&mut self, a: u64, b: u64) {
        self.state = fold(a ^ self.odd, b ^ self.state).wrapping_add(PI);
    }

    /// Mixes all words in.
    #[inline]
    pub fn words(&mut self, words: &[u64]) {
        let mut pairs = words.chunks_exact(2);
        for pair in &mut pairs {
            if let [a, b] = pair {
                self.pair(*a, *b);
            }
        }
        if let [last] = pairs.remainder() {
            self.pair(*last, 0);
        }
    }

    /// What has been mixed so far, which is a hash of it already: good enough for a table that others cannot choose the seed of.
    #[inline]
    pub(crate) fn so_far(self) -> u32 {
        self.state as u32
    }

    /// The hash.
    #[inline]
    pub fn finish(self) -> u64 {
        fold(self.state ^ E, self.odd | 1)
    }
}

/// The two halves of the 128-bit product, combined.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn hash(seed: u64, words: &[u64]) -> u64 {
        let mut m = Mixer::new(seed);
        m.words(words);
        m.finish()
    }

    #[test]
    fn single_bits_spread_over_both_halves() {
        let (mut low, mut high) = (HashSet::new(), HashSet::new());
        for word in 0..8 {
            for bit in 0..64 {
                let mut words = [0u64; 8];
                words[word] = 1 << bit;
                let h = hash(7, &words);
                low.insert(h & 0xffff);
                high.insert(h >> 48);
            }
        }
        // 512 values thrown into 65 536 boxes: about two collisions expected.
        assert!(low.len() > 500 && high.len() > 500, "{} {}", low.len(), high.len());
    }

    #[test]
    fn seeds_and_lengths_tell_apart() {
        assert_ne!(hash(1, &[5]), hash(2, &[5]));
        assert_ne!(hash(1, &[5, 6]), hash(1, &[6, 5]));
        assert_eq!(hash(1, &[5, 6, 7]), hash(1, &[5, 6, 7]));
    }
}
