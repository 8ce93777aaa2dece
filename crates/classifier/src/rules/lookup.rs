//! The search itself. See the module above for how it goes.

use smallvec::SmallVec;

use super::conjunction::{Soft, whole};
use super::layout::STAGES;
use super::sparse::Words;
use super::subtable::{Row, Subtable};
use super::trie::Found;
use super::{Entry, Rules, prefix_mask};
use crate::Mixer;

/// What one search knows so far: what tries said of the key, by trie.
type Known = SmallVec<[Option<Found>; 4]>;

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
        let mut known: Known = SmallVec::from_elem(None, self.tries.len());
        let mut best: Option<&V> = None;
        for rank in &self.order {
            let least = best.map_or(i32::MIN, |v| v.priority());
            if best.is_some() && least >= rank.top {
                break;
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
        let terms = table.shape.terms();
        let see = |looked: &mut [u64; N], count: usize| {
            for (i, mask) in terms.iter().take(count) {
                looked[usize::from(*i)] |= mask;
            }
        };
        let mut values = Words::new();
        let mut mixer = Mixer::new(self.seed);
        let mut hash = 0;
        for stage in 0..STAGES {
            let (from, end) = (values.len(), table.shape.end(stage));
            if end == from && stage < STAGES - 1 {
                continue;
            }
            if self.rules_out(table, stage, key, looked, known) {
                // What the tries say holds whatever the earlier stages are: their bits told nothing.
                return None;
            }
            let part = terms.get(from..end).unwrap_or_default();
            values.extend(part.iter().map(|(i, mask)| key[usize::from(*i)] & mask));
            mixer.words(values.get(from..).unwrap_or_default());
            hash = mixer.finish() as u32;
            if table.has_stage(stage, hash) == Some(false) {
                see(looked, end);
                return None;
            }
        }
        let row = table.find(hash, &values);
        let Some(ports) = table.ports.as_ref().filter(|_| row.is_none()) else {
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

    /// Whether tries of numbers in that stage say that no rule of the subtable can match.
    fn rules_out(
        &self,
        table: &Subtable<V>,
        stage: usize,
        key: &[u64; N],
        looked: &mut [u64; N],
        known: &mut Known,
    ) -> bool {
        for (i, len) in table.prefixes.iter().enumerate().filter(|(_, len)| **len > 0) {
            let (Some(part), Some(trie), Some(known)) =
                (self.prefixes.get(i), self.tries.get(i), known.get_mut(i))
            else {
                continue;
            };
            if usize::from(self.layout.stages.get(part.word()).copied().unwrap_or(0)) != stage {
                continue;
            }
            let found = *known.get_or_insert_with(|| trie.lookup(part.of(key), part.bits()));
            if found.has(*len) {
                continue;
            }
            // The trie is about all rules: it may ask for more bits than this subtable has, unless they were seen anyway.
            let seen = prefix_mask(found.looked.into());
            if found.looked <= *len || part.of(looked) & seen == seen {
                part.raise(looked, seen);
                return true;
            }
        }
        false
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
