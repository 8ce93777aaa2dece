//! What rules match, as bytes for controllers, by the hundred thousand.
//!
//! Patterns of one mask are written alike but for their values ([`Template`]). So the first of a kind is written field by
//! field, and a plan is made of it: which bits of which of the pattern's words go where. The next of its kind is a copy of
//! those bytes with its own values put in.

use std::collections::HashMap;
use std::sync::Arc;

use classifier::{Shape, Sparse};
use openflow::Protocol;
use openflow::wire::Template;
use openflow::wire::action::Context;
use smallvec::SmallVec;

use crate::hashing::Seeded;
use crate::key::KeyMask;
use crate::moves::{Move, moves_of};
use crate::options::{Options, PRESENT};
use crate::pattern::matching;

/// So many kinds are kept: more than a sane list has, and few enough to be forgotten when they are too many.
const KINDS: usize = 512;

/// A writer of matches that remembers kinds. For one protocol.
pub struct Written {
    protocol: Protocol,
    /// By the address of a mask, which lives as long as its entry.
    masks: HashMap<usize, OfMask, Seeded>,
    kinds: usize,
}

/// Patterns of one mask.
struct OfMask {
    _shape: Arc<Shape>,
    /// Of which words which bits tell kinds apart.
    decides: SmallVec<[(usize, u64); 4]>,
    /// Without a plan: those that are written field by field.
    kinds: Vec<(SmallVec<[u64; 4]>, Option<Plan>)>,
}

/// How patterns of one kind are written.
struct Plan {
    template: Template,
    moves: Vec<Move>,
}

impl Written {
    /// A writer that knows no kind yet.
    pub fn new(protocol: Protocol) -> Written {
        Written { protocol, masks: HashMap::default(), kinds: 0 }
    }

    /// The fields that a pattern is written as, and what is to be known of it to write actions. `None` if it must be written
    /// field by field: where matches have no slots ([`Template::new`]).
    pub fn of(&mut self, pattern: &Sparse) -> Option<(&[u8], Context)> {
        // How long options are is known elsewhere.
        if pattern.terms().any(|(word, ..)| word == PRESENT / 8) {
            return None;
        }
        if self.kinds > KINDS {
            self.kinds = 0;
            self.masks.clear();
        }
        let address = Arc::as_ptr(pattern.shape()) as usize;
        let of_mask = self.masks.entry(address).or_insert_with(|| OfMask::new(pattern));
        let values = pattern.values();
        let word = |(term, mask): &(usize, u64)| values.get(*term).copied().unwrap_or(0) & mask;
        let is_it =
            |kind: &SmallVec<[u64; 4]>| of_mask.decides.iter().map(word).eq(kind.iter().copied());
        let at = match of_mask.kinds.iter().position(|(kind, _)| is_it(kind)) {
            Some(at) => at,
            None => {
                let kind = of_mask.decides.iter().map(word).collect();
                of_mask.kinds.push((kind, Plan::new(pattern, self.protocol)));
                self.kinds += 1;
                of_mask.kinds.len() - 1
            }
        };
        let plan = of_mask.kinds.get_mut(at)?.1.as_mut()?;
        plan.fill(values);
        Some((&plan.template.bytes, plan.template.context))
    }
}

impl OfMask {
    fn new(pattern: &Sparse) -> OfMask {
        let mut bits = KeyMask::any();
        for (field, mask) in Template::DECIDES {
            bits.add(field, &openflow::Value::Int(mask));
        }
        let terms = pattern.terms().enumerate();
        let decides = terms.filter_map(|(term, (word, _, mask))| {
            let mask = mask & bits.words().get(word)?;
            (mask != 0).then_some((term, mask))
        });
        OfMask { decides: decides.collect(), _shape: pattern.shape().clone(), kinds: Vec::new() }
    }
}

impl Plan {
    fn new(pattern: &Sparse, protocol: Protocol) -> Option<Plan> {
        let template = Template::new(&matching(pattern, &Options::NONE), protocol)?;
        let mut moves = Vec::new();
        for slot in &template.slots {
            moves_of(*slot, pattern, &mut moves)?;
        }
        let mut plan = Plan { template, moves };
        let first = plan.template.bytes.clone();
        plan.fill(pattern.values());
        debug_assert_eq!(plan.template.bytes, first);
        (plan.template.bytes == first).then_some(plan)
    }

    /// Puts the values in.
    fn fill(&mut self, values: &[u64]) {
        self.moves.iter().for_each(|one| one.write(values, &mut self.template.bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::two_of_a_kind;
    use crate::pattern::MatchKey;

    proptest! {
        /// Whatever was written before.
        #[test]
        fn copies_are_what_is_written_field_by_field(
            pairs in prop::collection::vec(two_of_a_kind(), 1..4),
            protocol in prop::sample::select(vec![Protocol::NxmTable, Protocol::Of12, Protocol::Of13, Protocol::Of15]),
        ) {
            let mut written = Written::new(protocol);
            for (first, second) in pairs {
                let first = MatchKey::new(&first, &Options::NONE).expect("keys hold it");
                let second = MatchKey::new(&second, &Options::NONE).expect("keys hold it");
                let one = first.sparse();
                let other = match first.mask == second.mask {
                    true => Sparse::with(one.shape().clone(), second.key.words()),
                    false => second.sparse(),
                };
                for pattern in [&one, &other, &one] {
                    let wanted = Template::new(&matching(pattern, &Options::NONE), protocol).expect("it has slots");
                    let (bytes, context) = written.of(pattern).expect("all kinds have plans");
                    prop_assert_eq!((bytes, context), (&wanted.bytes[..], wanted.context));
                }
            }
        }
    }

    #[test]
    fn kinds_are_forgotten_when_they_are_too_many() {
        let mut written = Written::new(Protocol::Of13);
        for kind in 0..2000u16 {
            let mut m = openflow::Match::any();
            m.set_exact(openflow::Field::EthType, kind);
            let pattern = MatchKey::new(&m, &Options::NONE).expect("keys hold it").sparse();
            let (bytes, _) = written.of(&pattern).expect("it has slots");
            assert_eq!(bytes[4..], kind.to_be_bytes());
            assert!(written.kinds <= KINDS + 1);
        }
        assert_eq!(
            Written::new(Protocol::Of10Table).of(&MatchKey::new(
                &openflow::Match::any(),
                &Options::NONE
            )
            .expect("nothing")
            .sparse()),
            None
        );
    }
}
