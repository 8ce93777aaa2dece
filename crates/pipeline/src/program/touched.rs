//! What of a program has changed, coarsely: whoever keeps answers made from it need not make anew those that never looked there.

/// Tables, or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    tables: [u64; 4],
    beyond: bool,
}

impl Touched {
    /// A table's rules have changed.
    pub fn table(&mut self, id: u8) {
        self.tables[usize::from(id / 64)] |= 1 << (id % 64);
    }

    /// Something has changed that is in no one table: a group, a meter, what becomes of packets without a rule.
    pub fn beyond(&mut self) {
        self.beyond = true;
    }

    /// Whether anything has changed that is in no one table.
    pub fn is_beyond(&self) -> bool {
        self.beyond
    }

    /// The tables whose rules have changed.
    pub fn tables(&self) -> impl Iterator<Item = u8> {
        let words = self.tables;
        (0..=u8::MAX).filter(move |id| words[usize::from(id / 64)] >> (id % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_apart() {
        let mut touched = Touched::default();
        [0, 63, 64, 255].into_iter().for_each(|id| touched.table(id));
        assert_eq!(touched.tables().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert!(!touched.is_beyond());
        touched.beyond();
        assert!(touched.is_beyond());
    }
}
