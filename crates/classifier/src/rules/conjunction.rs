//! Conjunctive matches: rules that are clauses of a larger one.
//!
//! "One of these addresses and one of those ports" takes as many rules as the product of both, unless it is written as a
//! conjunction: a rule for each address says "clause 1 of 2 of number 7", a rule for each port "clause 2 of 2 of number 7", and
//! one more rule matches number 7 itself (`conj_id` in ovs-fields(7)).

use smallvec::SmallVec;

use super::Entry;

/// What a rule contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clause {
    /// To which conjunction.
    pub id: u32,
    /// Which clause of it, from 0.
    pub clause: u8,
    /// How many it has, 2 to 64.
    pub clauses: u8,
}

/// A conjunction of which some clauses are met.
struct Partial {
    id: u32,
    clauses: u8,
    /// A bit for each.
    met: u64,
}

impl Partial {
    fn is_whole(&self) -> bool {
        let all = u64::MAX >> (64 - u32::from(self.clauses.clamp(1, 64)));
        self.met & all == all
    }
}

/// Rules with one masked key that a packet matches, of which the first is a clause. Never empty.
pub(super) type Soft<'a, V> = &'a [V];

/// The number of the conjunction that rules of that priority, each of them the first of its list, make whole; of several, the
/// lowest, so that the answer does not depend on the order of the rules.
pub(super) fn whole<V: Entry>(soft: &[Soft<'_, V>], priority: i32) -> Option<u32> {
    let mut partial: SmallVec<[Partial; 8]> = SmallVec::new();
    let firsts = soft.iter().filter_map(|list| list.first());
    for clause in firsts.filter(|v| v.priority() == priority).flat_map(|v| v.clauses()) {
        let bit = 1u64.checked_shl(clause.clause.into()).unwrap_or(0);
        match partial.iter_mut().find(|p| p.id == clause.id) {
            // Who disagrees on how many there are belongs to something else.
            Some(p) if p.clauses != clause.clauses => continue,
            Some(p) => p.met |= bit,
            None => partial.push(Partial { id: clause.id, clauses: clause.clauses, met: bit }),
        }
    }
    partial.iter().filter(|p| p.is_whole()).map(|p| p.id).min()
}
