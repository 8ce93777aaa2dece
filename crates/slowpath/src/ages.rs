//! When what translations read last changed, by parts: a flow need not be translated again for a table in which its packets
//! were never looked up, nor for rules that match none of them ([`xlate::View`]). Controllers change rules by the thousand a
//! second; the flows that this concerns are few.

use std::collections::{HashMap, VecDeque};

use base::Version;
use flow::MaskedKey;
use pipeline::{BridgeId, Sparse, TableSet, Touched};
use xlate::{Met, Use};

/// Changed rules that are remembered of a table: with more, to compare would take as long as to translate.
const MOST: usize = 64;

/// Versions of the state at which things last changed.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// Anything beside what is in `tables`.
    others: Version,
    /// The rules of a table.
    tables: HashMap<(BridgeId, u8), Age>,
}

/// When a table's rules changed.
#[derive(Debug, Default)]
struct Age {
    /// The last time.
    last: Version,
    /// The last time that it is not known which.
    wholly: Version,
    /// Which, in order of time.
    rules: VecDeque<(Version, Sparse)>,
}

impl Age {
    /// Whether a flow, right at `then`, may not be any more, for one of these may match its packets as they are here.
    fn concerns(&self, met: &Met, flow: &MaskedKey, then: Version) -> bool {
        let mut later = self.rules.iter().rev().take_while(|(at, _)| *at > then);
        self.wholly > then || later.any(|(_, pattern)| met.view.may_meet(flow, pattern))
    }
}

impl Ages {
    /// Something has changed on which any translation may depend.
    pub(crate) fn everything(&mut self, version: Version) {
        self.others = version;
        self.tables.clear();
    }

    /// Rules of a bridge have changed.
    pub(crate) fn note(&mut self, bridge: BridgeId, touched: Touched, version: Version) {
        for table in touched.wholly() {
            let age = self.tables.entry((bridge, table)).or_default();
            (age.last, age.wholly) = (version, version);
            age.rules.clear();
        }
        for (table, pattern) in touched.rules() {
            let age = self.tables.entry((bridge, table)).or_default();
            age.last = version;
            if age.rules.len() >= MOST
                && let Some((forgotten, _)) = age.rules.pop_front()
            {
                age.wholly = forgotten;
            }
            age.rules.push_back((version, pattern));
        }
    }

    /// What has changed since `then`.
    pub(crate) fn since(&self, then: Version) -> Since<'_> {
        let mut tables = TableSet::default();
        let changed = self.tables.iter().filter(|(_, age)| age.last > then);
        changed.for_each(|((_, table), _)| tables.add(*table));
        Since { ages: self, everything: self.others > then, tables, then }
    }
}

/// What has changed since some version.
pub(crate) struct Since<'a> {
    ages: &'a Ages,
    everything: bool,
    /// The tables, of whatever bridge.
    pub(crate) tables: TableSet,
    then: Version,
}

impl Since<'_> {
    /// Whether that is nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.everything && self.tables == TableSet::default()
    }

    /// Whether all translations may be concerned.
    pub(crate) fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether a flow that used these, right then, or at `valid_at` if that is later, may not be any more. `reach` is
    /// [`reach`] of the same.
    pub(crate) fn concern(
        &self,
        flow: impl FnOnce() -> MaskedKey,
        (uses, reach): (&[Use], &TableSet),
        valid_at: Version,
    ) -> bool {
        let then = self.then.max(valid_at);
        if self.everything && self.ages.others > then {
            return true;
        }
        if !self.tables.meets(reach) {
            return false;
        }
        let flow = flow();
        uses.iter().any(|used| self.concerns(&flow, used, then))
    }

    fn concerns(&self, flow: &MaskedKey, used: &Use, then: Version) -> bool {
        let Some((bridge, table)) = table(used).filter(|(_, table)| self.tables.has(*table)) else {
            return false;
        };
        let age = self.ages.tables.get(&(bridge, table)).filter(|age| age.last > then);
        age.is_some_and(|age| match used {
            Use::Met(met) => age.concerns(met, flow, then),
            _ => true,
        })
    }
}

/// The table whose rules a use depends on.
fn table(used: &Use) -> Option<(BridgeId, u8)> {
    match used {
        Use::Met(met) => Some((met.bridge, met.table)),
        Use::Table(bridge, table) => Some((*bridge, *table)),
        // Whether there is room for the rule may be what the packet went on with.
        Use::LearnRule(learn) if learn.limit != 0 => Some((learn.bridge, learn.flow_mod.table)),
        _ => None,
    }
}

/// The tables whose rules these depend on, of whatever bridge.
pub(crate) fn reach(uses: &[Use]) -> TableSet {
    let mut reach = TableSet::default();
    uses.iter().filter_map(table).for_each(|(_, table)| reach.add(table));
    reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{FlowKey, Mask};
    use openflow::{Field, Match};
    use pipeline::MatchKey;
    use std::sync::Arc;
    use xlate::View;

    fn met(table: u8) -> Use {
        Use::Met(Met { bridge: BridgeId(1), table, rule: None, view: Arc::new(View::default()) })
    }

    /// A flow of packets with this Ethernet type.
    fn flow(eth_type: u16) -> MaskedKey {
        let key = |eth_type| FlowKey { eth_type, ..FlowKey::default() };
        MaskedKey::new(&key(eth_type), &Mask(key(u16::MAX)))
    }

    fn pattern(field: Field, value: u16) -> Sparse {
        let mut matching = Match::any();
        matching.set_exact(field, value);
        MatchKey::new(&matching, &pipeline::Options::NONE).unwrap().sparse()
    }

    fn change(table: u8, pattern: &Sparse) -> Touched {
        let mut touched = Touched::default();
        touched.rule(table, pattern);
        touched
    }

    /// Whether a flow of IPv4 packets that was looked up in these tables is concerned.
    fn concern(ages: &Ages, tables: &[u8], then: u64) -> bool {
        let uses: Vec<Use> = tables.iter().map(|table| met(*table)).collect();
        let (flow, used) = (|| flow(0x800), (&uses[..], &reach(&uses)));
        let answer = ages.since(Version(then)).concern(flow, used, Version(0));
        assert_eq!(answer, ages.since(Version(0)).concern(flow, used, Version(then)));
        answer
    }

    #[test]
    fn a_translation_is_concerned_by_the_tables_that_it_used_and_by_what_is_in_none() {
        let any = pattern(Field::EthType, 0x800);
        let mut ages = Ages::default();
        ages.note(BridgeId(1), change(3, &any), Version(5));
        ages.note(BridgeId(2), change(7, &any), Version(5));
        assert!(!concern(&ages, &[0, 7], 4), "another table, another bridge");
        ages.note(BridgeId(1), change(7, &any), Version(6));
        assert!(concern(&ages, &[0, 7], 5));
        assert!(!concern(&ages, &[0, 7], 6), "it was made since");
        ages.everything(Version(8));
        assert!(concern(&ages, &[], 7) && !concern(&ages, &[], 8));
    }

    #[test]
    fn a_translation_is_concerned_by_rules_that_its_packets_may_match() {
        let mut ages = Ages::default();
        ages.note(BridgeId(1), change(7, &pattern(Field::EthType, 0x86dd)), Version(5));
        ages.note(BridgeId(1), change(7, &pattern(Field::Reg0, 1)), Version(6));
        assert!(!concern(&ages, &[7], 4));
        ages.note(BridgeId(1), change(7, &pattern(Field::TcpDst, 1)), Version(7));
        assert!(concern(&ages, &[7], 6), "the flow is for all ports");
        assert!(!concern(&ages, &[7], 7));
    }

    #[test]
    fn of_more_rules_than_are_remembered_any_may_matter() {
        let mut ages = Ages::default();
        for n in 1..=MOST as u64 + 1 {
            ages.note(BridgeId(1), change(7, &pattern(Field::Reg0, 1)), Version(n));
        }
        assert!(concern(&ages, &[7], 0), "the first is forgotten");
        assert!(!concern(&ages, &[7], 1));
        let mut touched = Touched::default();
        (0..100).for_each(|n| touched.rule(7, &pattern(Field::Reg0, n + 1)));
        ages.note(BridgeId(1), touched, Version(100));
        assert!(concern(&ages, &[7], 99) && !concern(&ages, &[7], 100));
    }
}
