//! What rules do, each thing once: of a hundred thousand rules, most do what others do as well.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use openflow::Instructions;

/// Instructions that rules share. It holds those that some rule of the program has, and perhaps a few that none has any more:
/// to share is good, and never necessary.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// With the lower half of their hashes.
    all: HashTable<(u32, Arc<Instructions>)>,
    /// Not to be guessed by who writes rules.
    hasher: RandomState,
}

impl Shared {
    /// These, as rules have them that do the same.
    pub(super) fn of(&mut self, instructions: &Instructions) -> Arc<Instructions> {
        let hash = self.hash(instructions);
        let same = |(h, i): &(u32, Arc<Instructions>)| *h == hash && **i == *instructions;
        match self.all.entry(spread(hash), same, |(h, _)| spread(*h)) {
            Entry::Occupied(at) => at.get().1.clone(),
            Entry::Vacant(at) => at.insert((hash, Arc::new(instructions.clone()))).get().1.clone(),
        }
    }

    /// A rule is gone that does this.
    pub(super) fn forget(&mut self, instructions: &Arc<Instructions>) {
        // The rule has one still.
        if Arc::strong_count(instructions) > 2 {
            return;
        }
        let hash = self.hash(instructions);
        let same = |(h, i): &(u32, Arc<Instructions>)| *h == hash && Arc::ptr_eq(i, instructions);
        if let Ok(at) = self.all.find_entry(spread(hash), same) {
            at.remove();
        }
    }

    fn hash(&self, instructions: &Instructions) -> u32 {
        self.hasher.hash_one(instructions) as u32
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
    fn equal_ones_are_one_and_go_with_the_last_that_has_them() {
        let mut shared = Shared::default();
        let group = |id| Instructions::apply(vec![Action::Group(id)]);
        let (a, b, c) = (shared.of(&group(1)), shared.of(&group(1)), shared.of(&group(2)));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        shared.forget(&a);
        assert_eq!(shared.all.len(), 2, "another has them");
        drop(a);
        shared.forget(&b);
        shared.forget(&c);
        assert!(shared.all.is_empty());
        assert_eq!(*b, group(1));
    }
}
