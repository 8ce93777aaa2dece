//! What changed in a replica between two looks at it.
//!
//! Several changes of one row between two looks are one change here: inserted and then modified is inserted; inserted and then
//! deleted is nothing; modified back and forth is still reported, because only columns are remembered, not their old values.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ovsdb::Uuid;

use crate::replica::{Layout, RowRef, Values};

/// Columns of a table as bits by slot. A table with more columns than bits shares the last bit among the rest, so that a
/// change is at worst reported for one column too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns(u128);

impl Columns {
    pub(crate) const ALL: Self = Self(u128::MAX);

    fn bit(slot: usize) -> u128 {
        1 << slot.min(127)
    }

    pub(crate) fn insert(&mut self, slot: usize) {
        self.0 |= Self::bit(slot);
    }

    fn contains(self, slot: usize) -> bool {
        self.0 & Self::bit(slot) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Inserted,
    /// It was there and is different.
    Modified,
    /// It is gone.
    Deleted,
}

#[derive(Debug)]
pub(crate) enum RowChange {
    Inserted,
    Modified(Columns),
    /// With the values it had last.
    Deleted(Values),
}

/// The changes of one table.
#[derive(Debug, Default)]
pub(crate) struct TableChanges(BTreeMap<Uuid, RowChange>);

impl TableChanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn inserted(&mut self, uuid: Uuid) {
        match self.0.entry(uuid) {
            // Gone and back between two looks.
            Entry::Occupied(mut entry) => drop(entry.insert(RowChange::Modified(Columns::ALL))),
            Entry::Vacant(entry) => drop(entry.insert(RowChange::Inserted)),
        }
    }

    pub(crate) fn modified(&mut self, uuid: Uuid, columns: Columns) {
        if columns.is_empty() {
            return;
        }
        match self.0.entry(uuid) {
            Entry::Occupied(mut entry) => {
                if let RowChange::Modified(all) = entry.get_mut() {
                    all.0 |= columns.0;
                }
            }
            Entry::Vacant(entry) => drop(entry.insert(RowChange::Modified(columns))),
        }
    }

    pub(crate) fn deleted(&mut self, uuid: Uuid, last: Values) {
        match self.0.entry(uuid) {
            Entry::Occupied(entry) if matches!(entry.get(), RowChange::Inserted) => {
                drop(entry.remove())
            }
            Entry::Occupied(mut entry) => drop(entry.insert(RowChange::Deleted(last))),
            Entry::Vacant(entry) => drop(entry.insert(RowChange::Deleted(last))),
        }
    }
}

/// What changed since the last look.
#[derive(Debug, Default)]
pub struct Changes {
    tables: Vec<(Arc<Layout>, TableChanges)>,
}

/// What changed in one row.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    uuid: Uuid,
    layout: &'a Layout,
    row: &'a RowChange,
}

impl Changes {
    pub(crate) fn new(tables: Vec<(Arc<Layout>, TableChanges)>) -> Self {
        Self { tables }
    }

    /// Whether nothing changed that the client wants to be told of.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The rows of `table` that changed.
    pub fn table(&self, table: &str) -> impl Iterator<Item = Change<'_>> {
        let here = self.tables.iter().filter(move |(layout, _)| *layout.name == *table);
        here.flat_map(|(layout, changes)| {
            changes.0.iter().map(|(&uuid, row)| Change { uuid, layout, row })
        })
    }

    /// Whether any row of `table` changed.
    pub fn touches(&self, table: &str) -> bool {
        self.table(table).next().is_some()
    }
}

impl<'a> Change<'a> {
    /// The row.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// What happened to it.
    pub fn kind(&self) -> ChangeKind {
        match self.row {
            RowChange::Inserted => ChangeKind::Inserted,
            RowChange::Modified(_) => ChangeKind::Modified,
            RowChange::Deleted(_) => ChangeKind::Deleted,
        }
    }

    /// Whether `column` may be different: always, for a row that came or went.
    pub fn touches(&self, column: &str) -> bool {
        match self.row {
            RowChange::Modified(columns) => {
                self.layout.slot_named(column).is_some_and(|slot| columns.contains(slot))
            }
            _ => true,
        }
    }

    /// The row as it was last, if it is gone.
    pub fn last(&self) -> Option<RowRef<'a>> {
        match self.row {
            RowChange::Deleted(values) => Some(RowRef::new(self.uuid, self.layout, values)),
            _ => None,
        }
    }
}
