//! A transaction's view of the database while its operations run.

use hashbrown::HashMap;

use crate::database::{Database, RowKey, Table};
use crate::datum::json::NamedUuids;
use crate::row::Row;
use crate::schema::{Schema, TableId, TableSchema};
use crate::{BaseType, Uuid, UuidSource};

/// A row that the transaction inserted, changed or deleted.
pub(crate) struct Touched {
    pub(crate) key: RowKey,
    /// The row before the transaction.
    pub(crate) old: Option<Row>,
    /// The version that reference counts account for.
    pub(crate) accounted: Option<Row>,
    /// The operations gave the row another value, which it need not have kept.
    pub(crate) changed: bool,
}

/// Names that the transaction gives to rows.
pub(crate) struct Names<'a> {
    symbols: HashMap<String, Symbol>,
    uuids: &'a mut UuidSource,
}

#[derive(Clone, Copy)]
struct Symbol {
    uuid: Uuid,
    inserted: bool,
}

impl Names<'_> {
    fn symbol(&mut self, name: &str) -> &mut Symbol {
        let uuids = &mut *self.uuids;
        self.symbols
            .entry_ref(name)
            .or_insert_with(|| Symbol { uuid: uuids.next_uuid(), inserted: false })
    }

    /// Claims `name` for a row about to be inserted, as `uuid` if that is given. `None` if the name is taken.
    pub(crate) fn claim(&mut self, name: &str, uuid: Option<Uuid>) -> Option<Uuid> {
        let symbol = self.symbol(name);
        symbol.uuid = uuid.unwrap_or(symbol.uuid);
        let taken = std::mem::replace(&mut symbol.inserted, true);
        (!taken).then_some(symbol.uuid)
    }

    pub(crate) fn fresh(&mut self) -> Uuid {
        self.uuids.next_uuid()
    }
}

impl NamedUuids for Names<'_> {
    fn uuid_for(&mut self, name: &str, _: &BaseType) -> Uuid {
        self.symbol(name).uuid
    }
}

/// The database as the transaction sees and changes it.
pub(crate) struct Workspace<'a> {
    pub(crate) db: &'a mut Database,
    pub(crate) names: Names<'a>,
    pub(crate) touched: Vec<Touched>,
    /// Where rows are in `touched`, once they are more than [`FEW`].
    places: HashMap<RowKey, usize>,
}

/// Among so many touched rows one is found by looking at them all.
const FEW: usize = 8;

impl<'a> Workspace<'a> {
    pub(crate) fn new(db: &'a mut Database, uuids: &'a mut UuidSource) -> Self {
        let names = Names { symbols: HashMap::new(), uuids };
        Self { db, names, touched: Vec::new(), places: HashMap::new() }
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.db.schema()
    }

    pub(crate) fn table(&self, id: TableId) -> &Table {
        self.db.table(id)
    }

    pub(crate) fn table_schema(&self, id: TableId) -> &TableSchema {
        self.db.schema().table(id)
    }

    /// True if a row may get this key: none has it now or had it before the transaction.
    pub(crate) fn is_free(&self, key: RowKey) -> bool {
        self.db.row(key).is_none() && self.touched(key).is_none_or(|touched| touched.old.is_none())
    }

    /// The row at `key` before the transaction; `None` also if the transaction has not touched it.
    pub(crate) fn touched(&self, key: RowKey) -> Option<&Touched> {
        self.find(key).and_then(|place| self.touched.get(place))
    }

    /// Where the row at `key` is in `touched`.
    fn find(&self, key: RowKey) -> Option<usize> {
        match self.touched.len() {
            0..=FEW => self.touched.iter().position(|touched| touched.key == key),
            _ => self.places.get(&key).copied(),
        }
    }

    /// Remembers the row at `key` before it changes; its place.
    fn touch(&mut self, key: RowKey) -> usize {
        self.find(key).unwrap_or_else(|| self.remember(key, self.db.row(key).cloned()))
    }

    /// Remembers that the row at `key`, not touched yet, was `old`; its place.
    fn remember(&mut self, key: RowKey, old: Option<Row>) -> usize {
        let place = self.touched.len();
        self.touched.push(Touched { key, accounted: old.clone(), old, changed: false });
        match place {
            0..FEW => {}
            FEW => {
                let all = self.touched.iter().enumerate();
                self.places = all.map(|(place, touched)| (touched.key, place)).collect();
            }
            _ => drop(self.places.insert(key, place)),
        }
        place
    }

    /// Inserts `row`, or changes the row that has its key.
    pub(crate) fn put(&mut self, key: RowKey, row: Row) {
        self.touch(key);
        self.db.replace(key, Some(row));
    }

    /// Deletes the row at `key`.
    pub(crate) fn delete(&mut self, key: RowKey) {
        self.touch(key);
        self.db.replace(key, None);
    }

    /// Lets `change` work on the row at `key`.
    pub(crate) fn modify<T>(
        &mut self,
        key: RowKey,
        change: impl FnOnce(&mut Row) -> T,
    ) -> Option<T> {
        if self.find(key).is_some() {
            return self.db.modify(key, change);
        }
        let mut old = None;
        let result = self.db.modify(key, |row| {
            old = Some(row.clone());
            change(row)
        });
        self.remember(key, old);
        result
    }

    /// Accounts the references of the touched row at `place`.
    pub(crate) fn account(&mut self, place: usize, unreferenced: &mut Vec<RowKey>) {
        let Some(touched) = self.touched.get_mut(place) else { return };
        // Not to hold a row of a table that refers to nothing spares the next change of it a copy.
        if self.db.table(touched.key.0).ref_columns.is_empty() {
            return;
        }
        let new = self.db.row(touched.key).cloned();
        self.db.account(touched.key, touched.accounted.as_ref(), new.as_ref(), unreferenced);
        touched.accounted = new;
    }

    /// The place of the row at `key` in `touched`, putting it there if need be.
    pub(crate) fn place(&mut self, key: RowKey) -> usize {
        self.touch(key)
    }

    /// Takes every change back, all but the unique indexes.
    pub(crate) fn roll_back(self) -> &'a mut Database {
        let Self { db, touched, .. } = self;
        for row in &touched {
            db.replace(row.key, row.old.clone());
        }
        let mut ignored = Vec::new();
        for row in &touched {
            db.account(row.key, row.accounted.as_ref(), row.old.as_ref(), &mut ignored);
        }
        db
    }
}
