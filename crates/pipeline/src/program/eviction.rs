//! Room in a table that has a limit.

use std::collections::HashMap;
use std::sync::Arc;

use base::Instant;
use openflow::{Code, Error, Field};

use super::settings::Overflow;
use super::{Changes, Program, Removed, refuse};
use crate::key::{Key, KeyMask};
use crate::rule::Rule;

impl Program {
    /// Makes room for one rule more.
    pub(super) fn make_room(
        &mut self,
        table: u8,
        now: Instant,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let Some(limit) = self.settings.get(&table).and_then(|s| s.limit) else { return Ok(()) };
        let limit = limit as usize;
        while self.table(table).map_or(0, |t| t.len()) >= limit {
            let victim = self.victim(table, now).filter(|_| limit > 0);
            let victim = victim.ok_or_else(|| refuse(Code::OFPFMFC_TABLE_FULL, "table"))?;
            self.take(&victim, Removed::Eviction, changes);
        }
        Ok(())
    }

    /// Removes what is beyond the limit and can go.
    pub(super) fn shrink(&mut self, table: u8, now: Instant, changes: &mut Changes) {
        let Some(limit) = self.settings.get(&table).and_then(|s| s.limit) else { return };
        while self.table(table).map_or(0, |t| t.len()) > limit as usize {
            let Some(victim) = self.victim(table, now) else { return };
            self.take(&victim, Removed::Eviction, changes);
        }
    }

    /// The rule that goes first.
    fn victim(&self, table: u8, now: Instant) -> Option<Arc<Rule>> {
        let settings = self.settings.get(&table).filter(|s| s.evicts())?;
        let fields: &[Field] = match &settings.overflow {
            Overflow::Evict(fields) => fields,
            Overflow::Refuse => &[],
        };
        let mut parts = KeyMask::any();
        fields.iter().for_each(|field| parts.add_whole(*field));
        let able = self.table(table)?.rules().filter(|r| r.has_timeout() && !r.is_hidden());
        // The groups, each with its size and its first to go.
        let mut groups: HashMap<Key, (usize, &Arc<Rule>)> = HashMap::new();
        for rule in able {
            let first = groups.entry(group(rule, &parts)).or_insert((0, rule));
            first.0 += 1;
            if rank(rule, now) < rank(first.1, now) {
                first.1 = rule;
            }
        }
        // Of groups of one size, that whose first goes first: the order of a hash map must not show.
        let largest =
            groups.values().min_by_key(|(size, rule)| (std::cmp::Reverse(*size), rank(rule, now)));
        largest.map(|(_, rule)| (*rule).clone())
    }
}

/// What the rule says about the fields that make groups.
fn group(rule: &Rule, parts: &KeyMask) -> Key {
    let mut key = Key::default();
    for (i, value, mask) in rule.pattern.terms() {
        let part = parts.words().get(i).copied().unwrap_or(0);
        if let Some(word) = key.words_mut().get_mut(i) {
            *word = value & mask & part;
        }
    }
    key
}

/// Whoever has less goes first.
fn rank(rule: &Rule, now: Instant) -> (u16, Instant, u64) {
    (rule.importance, rule.expiry().map_or(now, |(at, _)| at), rule.id)
}
