//! What rules do, each thing once: of a hundred thousand rules, most do what others do as well.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use classifier::Mixer;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use openflow::Instructions;

/// Instructions that rules share. It holds those that some rule of the program has, and perhaps a few that none has any more:
/// to share is good, and never necessary.
#[derive(Debug)]
pub(super) struct Shared {
    /// With the lower half of their hashes.
    all: HashTable<(u32, Arc<Instructions>)>,
    /// Not to be guessed by who writes rules.
    seed: u64,
}

/// Hashes what instructions are made of, which is small numbers for the most part, a word each.
struct Words(Mixer);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        self.0.pair(n, 0);
    }
    fn write_u128(&mut self, n: u128) {
        self.0.pair(n as u64, (n >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

impl Shared {
    /// None yet. The seed should be secret.
    pub(super) fn new(seed: u64) -> Shared {
        Shared { all: HashTable::new(), seed }
    }

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
        let mut words = Words(Mixer::new(self.seed));
        instructions.hash(&mut words);
        words.finish() as u32
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
        let mut shared = Shared::new(1);
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
