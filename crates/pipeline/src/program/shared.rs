//! What rules do, each thing once: of a hundred thousand rules, most do what others do as well.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use openflow::Instructions;

use crate::hashing::Seeded;

/// Instructions that rules share. It holds those that some rule of the program has, and at most as many again that none has
/// any more: to share is good, and never necessary.
#[derive(Debug)]
pub(super) struct Shared {
    /// With the lower half of their hashes.
    all: HashTable<(u32, Arc<Instructions>)>,
    /// How many there are when those are dropped that no rule has.
    sweep: usize,
    hashing: Seeded,
}

/// So many are worth no sweep.
const FEW: usize = 64;

impl Shared {
    /// None yet. The seed should be secret.
    pub(super) fn new(seed: u64) -> Shared {
        Shared { all: HashTable::new(), sweep: FEW, hashing: Seeded(seed) }
    }

    /// These, as rules have them that do the same.
    pub(super) fn of(&mut self, instructions: &Arc<Instructions>) -> Arc<Instructions> {
        // Who brought them has others share them already.
        if Arc::strong_count(instructions) > 1 {
            return instructions.clone();
        }
        let hash = self.hash(instructions);
        let same = |(h, i): &(u32, Arc<Instructions>)| *h == hash && **i == **instructions;
        if let Some((_, shared)) = self.all.find(spread(hash), same) {
            return shared.clone();
        }
        if self.all.len() >= self.sweep {
            self.all.retain(|(_, instructions)| Arc::strong_count(instructions) > 1);
            self.sweep = FEW.max(2 * self.all.len());
        }
        self.all.insert_unique(spread(hash), (hash, instructions.clone()), |(h, _)| spread(*h));
        instructions.clone()
    }

    fn hash(&self, instructions: &Instructions) -> u32 {
        self.hashing.hash_one(instructions) as u32
    }
}

/// Hash tables want hashes of 64 bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::Action;

    #[test]
    fn equal_ones_are_one_and_those_that_nobody_has_go() {
        let mut shared = Shared::new(1);
        let mut of = |id| shared.of(&Arc::new(Instructions::apply(vec![Action::Group(id)])));
        let (a, b, c) = (of(1), of(1), of(2));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        for id in 0..1000 {
            of(id + 3);
        }
        assert!(Arc::ptr_eq(&a, &of(1)), "it is in use");
        assert!(shared.all.len() <= FEW, "{}", shared.all.len());
        let brought = Arc::new(Instructions::apply(vec![Action::Group(1)]));
        let other = brought.clone();
        assert!(Arc::ptr_eq(&shared.of(&other), &brought), "they are shared as they are");
    }
}
