//! What rules match, as bytes for controllers, by the hundred thousand.
//!
//! Patterns of one mask are written alike but for their values ([`Template`]). So the first of a kind is written field by
//! field, and a plan is made of it: which bits of which of the pattern's words go where. The next of its kind is a copy of
//! those bytes with its own values put in.

use std::collections::HashMap;
use std::sync::Arc;

use classifier::{Shape, Sparse};
use openflow::Protocol;
use openflow::field::prereq::whole_mask;
use openflow::field::value::low_ones;
use openflow::wire::action::Context;
use openflow::wire::{Slot, Template};
use smallvec::SmallVec;

use crate::key::{KeyMask, Place, place};
use crate::options::{Options, PRESENT};
use crate::pattern::matching;

/// So many kinds are kept: more than a sane list has, and few enough to be forgotten when they are too many.
const KINDS: usize = 512;

/// A writer of matches that remembers kinds. For one protocol.
pub struct Written {
    protocol: Protocol,
    /// By the address of a mask, which lives as long as its entry.
    masks: HashMap<usize, OfMask>,
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

/// What goes where.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Bits of a word, as a number in network order.
    Number { term: usize, shift: u32, mask: u64, at: usize, len: usize },
    /// The same of a port, which has sixteen bits here and 32 there.
    Port { term: usize, shift: u32, at: usize },
    /// Bytes of a word, in the order that they have in memory.
    Bytes { term: usize, from: usize, at: usize, len: usize },
}

impl Written {
    /// A writer that knows no kind yet.
    pub fn new(protocol: Protocol) -> Written {
        Written { protocol, masks: HashMap::new(), kinds: 0 }
    }

    /// The fields that a pattern is written as, and what is to be known of it to write actions. `None` if it must be written
    /// field by field: where matches have no slots ([`Template::new`]).
    pub fn of(&mut self, pattern: &Sparse) -> Option<(&[u8], Context)> {
        // How long options are is known elsewhere.
        if pattern.terms().any(|(word, ..)| word == PRESENT / 8) {
            return None;
        }
        if self.kinds > KINDS {
            (self.kinds, self.masks) = (0, HashMap::new());
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
            plan(*slot, pattern, &mut moves)?;
        }
        let mut plan = Plan { template, moves };
        let first = plan.template.bytes.clone();
        plan.fill(pattern.values());
        debug_assert_eq!(plan.template.bytes, first);
        (plan.template.bytes == first).then_some(plan)
    }

    /// Puts the values in.
    fn fill(&mut self, values: &[u64]) {
        let word = |term: usize| values.get(term).copied().unwrap_or(0);
        for one in &self.moves {
            let (at, bytes) = match *one {
                Move::Number { term, shift, mask, at, len } => {
                    // The last `len` bytes of eight.
                    let number = (word(term) >> shift & mask).rotate_right(8 * len as u32);
                    (at..at + len, number.to_be_bytes())
                }
                Move::Port { term, shift, at } => {
                    let port = openflow::Port((word(term) >> shift) as u16).to_wire32();
                    (at..at + 4, (u64::from(port) << 32).to_be_bytes())
                }
                Move::Bytes { term, from, at, len } => {
                    (at..at + len, (word(term) >> (8 * from)).to_le_bytes())
                }
            };
            if let Some(to) = self.template.bytes.get_mut(at) {
                let len = to.len().min(bytes.len());
                to[..len].copy_from_slice(&bytes[..len]);
            }
        }
    }
}

/// The moves of one slot. `None` for a field of which it is not known where it lives.
fn plan(slot: Slot, pattern: &Sparse, moves: &mut Vec<Move>) -> Option<()> {
    let term = |word: usize| pattern.terms().position(|(own, ..)| own == word);
    let mut number = |offset: usize, shift: u32, mask: u64, at: usize, len: usize| {
        let shift = 8 * (offset % 8) as u32 + shift;
        // Where the pattern says nothing of a word it has zeros, as the template has.
        if let Some(term) = term(offset / 8) {
            moves.push(Move::Number { term, shift, mask, at, len });
        }
    };
    let field = slot.field;
    if let Some((first, count)) = field.registers() {
        for i in 0..count {
            let Place::Int { offset, .. } = place(openflow::Field::reg(first + i))? else {
                return None;
            };
            number(offset, 0, u32::MAX.into(), slot.at + 4 * i, 4);
        }
        return Some(());
    }
    let (owner, up) = if place(field).is_some() { (field, 0) } else { field.row().home };
    match place(owner)? {
        Place::Int { offset, bytes, shift } if offset % 8 + bytes <= 8 && slot.len <= 8 => {
            // Some have fewer bits here than there.
            let mask = whole_mask(field).int() & low_ones(8 * bytes as u32 - shift) >> up;
            number(offset, shift + up, mask as u64, slot.at, slot.len);
        }
        Place::Int { .. } => return None,
        Place::Port32 { offset } => {
            if let Some(term) = term(offset / 8) {
                moves.push(Move::Port { term, shift: 8 * (offset % 8) as u32, at: slot.at });
            }
        }
        Place::Bytes { offset } => {
            let mut done = 0;
            while done < slot.len {
                let (word, from) = ((offset + done) / 8, (offset + done) % 8);
                let len = (8 - from).min(slot.len - done);
                if let Some(term) = term(word) {
                    moves.push(Move::Bytes { term, from, at: slot.at + done, len });
                }
                done += len;
            }
        }
    }
    Some(())
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
