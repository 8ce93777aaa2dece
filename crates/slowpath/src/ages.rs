//! When what translations read last changed, by parts: a flow need not be translated again for a table in which its packets
//! were never looked up. Controllers change rules by the thousand a second, each in one table; the flows that this concerns are few.

use std::collections::HashMap;

use base::Version;
use pipeline::BridgeId;
use xlate::Use;

/// Versions of the state at which things last changed.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// Anything beside what is in `tables`.
    others: Version,
    /// The rules of a table.
    tables: HashMap<(BridgeId, u8), Version>,
}

impl Ages {
    /// Something has changed on which any translation may depend.
    pub(crate) fn everything(&mut self, version: Version) {
        self.others = version;
        self.tables.clear();
    }

    /// Rules of a table have changed.
    pub(crate) fn table(&mut self, bridge: BridgeId, table: u8, version: Version) {
        self.tables.insert((bridge, table), version);
    }

    /// Whether a translation that used these, right at `then`, may not be any more.
    pub(crate) fn concern(&self, uses: &[Use], then: Version) -> bool {
        self.others > then
            || uses.iter().any(|used| match used {
                Use::Met(met) => {
                    self.tables.get(&(met.bridge, met.table)).is_some_and(|at| *at > then)
                }
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xlate::Met;

    #[test]
    fn a_translation_is_concerned_by_the_tables_that_it_used_and_by_what_is_in_none() {
        let met = |table| Use::Met(Met { bridge: BridgeId(1), table, rule: None });
        let uses = [met(0), met(7)];
        let mut ages = Ages::default();
        ages.table(BridgeId(1), 3, Version(5));
        ages.table(BridgeId(2), 7, Version(5));
        assert!(!ages.concern(&uses, Version(4)), "another table, another bridge");
        ages.table(BridgeId(1), 7, Version(6));
        assert!(ages.concern(&uses, Version(5)));
        assert!(!ages.concern(&uses, Version(6)), "it was made since");
        ages.everything(Version(8));
        assert!(ages.concern(&[], Version(7)) && !ages.concern(&[], Version(8)));
    }
}
