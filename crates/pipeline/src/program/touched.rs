//! What of a program has changed: whoever keeps answers made from it need not make anew those that cannot depend on that.

use classifier::Sparse;

/// Patterns at most. What changes more has changed tables as a whole: to compare an answer with each pattern would take longer
/// than to make it anew.
const MOST: usize = 64;

/// Rules that came, went or were given something else to do, by table; or more.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// What they match.
    rules: Vec<(u8, Sparse)>,
    /// Tables of which too much has changed to say what.
    wholly: TableSet,
    beyond: bool,
}

impl Touched {
    /// A rule of a table has changed, which matches this.
    pub fn rule(&mut self, table: u8, pattern: &Sparse) {
        if self.wholly.has(table) {
            return;
        }
        if self.rules.len() < MOST {
            self.rules.push((table, pattern.clone()));
            return;
        }
        self.wholly.add(table);
        self.rules.drain(..).for_each(|(table, _)| self.wholly.add(table));
    }

    /// Something has changed that is in no one table: a group, a meter, what becomes of packets without a rule.
    pub fn beyond(&mut self) {
        self.beyond = true;
    }

    /// Whether anything has changed that is in no one table.
    pub fn is_beyond(&self) -> bool {
        self.beyond
    }

    /// The tables of which anything may have changed, beside [`Touched::rules`].
    pub fn wholly(&self) -> impl Iterator<Item = u8> {
        self.wholly.iter()
    }

    /// What changed rules match, by table.
    pub fn rules(self) -> impl Iterator<Item = (u8, Sparse)> {
        self.rules.into_iter()
    }
}

/// Numbers of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSet([u64; 4]);

impl TableSet {
    /// Adds one.
    pub fn add(&mut self, id: u8) {
        self.0[usize::from(id / 64)] |= 1 << (id % 64);
    }

    /// Whether it is there.
    pub fn has(&self, id: u8) -> bool {
        self.0[usize::from(id / 64)] >> (id % 64) & 1 == 1
    }

    /// Whether any is in both.
    pub fn meets(&self, other: &TableSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let words = self.0;
        (0u8..4).flat_map(move |i| {
            let mut left = words[usize::from(i)];
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as u8;
                left &= left.wrapping_sub(1);
                (bit < 64).then(|| 64 * i + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::MatchKey;
    use openflow::{Field, Match};

    fn pattern(port: u16) -> Sparse {
        let mut matching = Match::any();
        matching.set_exact(Field::InPort, port);
        MatchKey::new(&matching, &crate::Options::NONE).unwrap().sparse()
    }

    #[test]
    fn tables_are_told_apart() {
        let mut set = TableSet::default();
        [0, 63, 64, 255].into_iter().for_each(|id| set.add(id));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert!(set.has(63) && !set.has(62));
        let mut other = TableSet::default();
        other.add(62);
        assert!(!set.meets(&other));
        other.add(64);
        assert!(set.meets(&other));
    }

    #[test]
    fn few_rules_are_told_apart_and_many_are_their_tables() {
        let mut touched = Touched::default();
        for n in 0..MOST as u16 {
            touched.rule((n % 2) as u8, &pattern(n));
        }
        assert_eq!((touched.wholly().count(), touched.rules.len()), (0, MOST));
        assert_eq!(touched.rules[3], (1, pattern(3)));
        touched.rule(7, &pattern(1));
        assert_eq!(touched.wholly().collect::<Vec<_>>(), [0, 1, 7]);
        touched.rule(7, &pattern(2));
        touched.rule(9, &pattern(2));
        assert!(!touched.is_beyond());
        touched.beyond();
        assert!(touched.is_beyond());
        assert_eq!(touched.rules().collect::<Vec<_>>(), [(9, pattern(2))]);
    }
}
