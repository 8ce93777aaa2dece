//! The search itself. See the module above for how it goes.

use smallvec::SmallVec;

use super::conjunction::{Soft, whole};
use super::layout::STAGES;
use super::subtable::{InTrie, Row, Subtable};
use super::trie::Found;
use super::{Entry, Rules, prefix_mask};
use crate::Mixer;

/// What one search knows so far: what tries said of the key, by trie.
type Known = SmallVec<[Walked; 4]>;

/// What a trie said.
#[derive(Clone, Copy, Debug, Default)]
struct Walked {
    found: Option<Found>,
    /// All bits that tell it have been looked at, so that to go by it costs no more.
    is_seen: bool,
}

impl Walked {
    /// Whether it says, of bits that were looked at anyway, that no row can match with a prefix of that length.
    fn rules_out(&self, len: u8) -> bool {
        self.is_seen && len > 0 && self.found.is_some_and(|found| !found.has(len))
    }
}

impl<const N: usize, V: Entry> Rules<N, V> {
    /// The best rule that matches. Adds to `looked` which bits of the key the answer depends on.
    pub fn lookup(&self, key: &[u64; N], looked: &mut [u64; N]) -> Option<&V> {
        let mut soft: SmallVec<[Soft<'_, V>; 8]> = SmallVec::new();
        let hard = self.search(key, looked, |list| soft.push(list));
        if soft.is_empty() { hard } else { self.conjoin(key, looked, hard, soft) }
    }

    /// The best rule that is no clause. Rules of higher priority that are clauses are handed over as they are met.
    fn search<'a>(
        &'a self,
        key: &[u64; N],
        looked: &mut [u64; N],
        mut clause: impl FnMut(Soft<'a, V>),
    ) -> Option<&'a V> {
        let mut known: Known = SmallVec::from_elem(Walked::default(), self.tries.len());
        let mut best: Option<&V> = None;
        for rank in &self.order {
            let least = best.map_or(i32::MIN, |v| v.priority());
            if best.is_some() && least >= rank.top {
                break;
            }
            if rank.prefixes.iter().zip(&known).any(|(len, walked)| walked.rules_out(*len)) {
                continue;
            }
            let Some(table) = self.subtable(rank.slot) else { continue };
            let Some(row) = self.probe(table, key, looked, &mut known) else { continue };
            let entries = row.entries();
            let Some(first) = entries.first() else { continue };
            if best.is_some() && first.priority() <= least {
                continue;
            }
            if first.clauses().is_empty() {
                best = Some(first);
            } else {
                clause(entries);
            }
        }
        best
    }

    /// The row of a subtable that the key matches.
    fn probe<'a>(
        &self,
        table: &'a Subtable<V>,
        key: &[u64; N],
        looked: &mut [u64; N],
        known: &mut Known,
    ) -> Option<&'a Row<V>> {
        let terms = table.terms();
        let see = |looked: &mut [u64; N], count: usize| {
            for (i, mask) in terms.iter().take(count) {
                looked[usize::from(*i)] |= mask;
            }
        };
        let word = |(i, mask): &(u8, u64)| key[usize::from(*i)] & mask;
        let mut mixer = Mixer::new(self.seed);
        let mut from = 0;
        for stage in 0..STAGES {
            let end = table.end(stage);
            if end == from {
                continue;
            }
            // Tries are walked when something has failed, which is when they can help; what they said is used from then on.
            // In order, up to one that was not walked: a later one may ask for more bits than that would.
            for t in table.tries().iter().filter(|t| usize::from(t.stage) == stage) {
                if !is_known(t, known) {
                    break;
                }
                if self.rules_out(*t, key, looked, known) {
                    return None;
                }
            }
            for pair in terms.get(from..end).unwrap_or_default().chunks(2) {
                match pair {
                    [a, b] => mixer.pair(word(a), word(b)),
                    [a] => mixer.pair(word(a), 0),
                    _ => {}
                }
            }
            if table.lacks(stage, mixer.so_far()) {
                if !self.any_rules_out(table, stage, key, looked, known) {
                    see(looked, end);
                }
                return None;
            }
            from = end;
        }
        let row = table.find(mixer.so_far(), key);
        if row.is_none() && self.any_rules_out(table, STAGES, key, looked, known) {
            return None;
        }
        let Some(ports) = table.ports().filter(|_| row.is_none()) else {
            see(looked, terms.len());
            return row;
        };
        // Ports alone may be at fault: perhaps fewer of their bits tell that no row has them.
        let found = ports.trie.lookup(ports.part.of(key) & ports.mask, ports.len.into());
        let kept = ports.part.of(looked);
        see(looked, terms.len());
        if !found.has(ports.len) {
            ports.part.write(looked, kept | ports.mask & prefix_mask(found.looked.into()));
        }
        None
    }

    /// Whether any trie of a number in that stage or before it says that no rule of the subtable can match. That holds whatever
    /// else the packet has: nothing else needs to have been looked at.
    fn any_rules_out(
        &self,
        table: &Subtable<V>,
        stage: usize,
        key: &[u64; N],
        looked: &mut [u64; N],
        known: &mut Known,
    ) -> bool {
        let mut tries = table.tries().iter().take_while(|t| usize::from(t.stage) <= stage);
        tries.any(|t| self.rules_out(*t, key, looked, known))
    }

    /// Whether a trie says that no rule of a subtable can match.
    fn rules_out(
        &self,
        here: InTrie,
        key: &[u64; N],
        looked: &mut [u64; N],
        known: &mut Known,
    ) -> bool {
        let i = usize::from(here.trie);
        let (Some(part), Some(trie), Some(known)) =
            (self.prefixes.get(i), self.tries.get(i), known.get_mut(i))
        else {
            return false;
        };
        let found = *known.found.get_or_insert_with(|| trie.lookup(part.of(key), part.bits()));
        if found.has(here.len) {
            return false;
        }
        // The trie is about all rules: it may ask for more bits than this subtable has, unless they were seen anyway.
        let seen = prefix_mask(found.looked.into());
        let ruled_out = found.looked <= here.len || part.of(looked) & seen == seen;
        if ruled_out {
            part.raise(looked, seen);
            known.is_seen = true;
        }
        ruled_out
    }

    /// The rule that a packet meets that matches clauses, and otherwise `hard`.
    fn conjoin<'a>(
        &'a self,
        key: &[u64; N],
        looked: &mut [u64; N],
        mut hard: Option<&'a V>,
        mut soft: SmallVec<[Soft<'a, V>; 8]>,
    ) -> Option<&'a V> {
        loop {
            let least = hard.map(|v| v.priority());
            let above = |list: &Soft<'a, V>| {
                list.first().is_some_and(|v| least.is_none_or(|least| v.priority() > least))
            };
            soft.retain(|list| above(list));
            let firsts = soft.iter().filter_map(|list| list.first());
            let Some(priority) = firsts.map(|v| v.priority()).max() else { return hard };
            if let Some(id) = whole(&soft, priority)
                && let Some(found) = self.conjunction(id, key, looked)
            {
                return Some(found);
            }
            // They come to nothing; what else do their lists have?
            for list in &mut soft {
                if list.first().is_none_or(|v| v.priority() < priority) {
                    continue;
                }
                *list = list.get(1..).unwrap_or_default();
                if let Some(next) = list.first().filter(|v| v.clauses().is_empty()) {
                    if hard.is_none_or(|best| next.priority() > best.priority()) {
                        hard = Some(next);
                    }
                    *list = &[];
                }
            }
        }
    }

    /// What the key matches as a part of that conjunction.
    fn conjunction<'a>(&'a self, id: u32, key: &[u64; N], looked: &mut [u64; N]) -> Option<&'a V> {
        let part = self.layout.conjunction?;
        let (mut with, mut seen) = (*key, [0; N]);
        part.write(&mut with, u128::from(id) << (128 - part.bits().clamp(1, 128)));
        let found = self.search(&with, &mut seen, |_| {});
        // The number was not the packet's own.
        part.write(&mut seen, 0);
        looked.iter_mut().zip(seen).for_each(|(all, seen)| *all |= seen);
        found
    }
}

/// Whether the trie has been walked.
fn is_known(here: &InTrie, known: &Known) -> bool {
    known.get(usize::from(here.trie)).is_some_and(|walked| walked.found.is_some())
}
