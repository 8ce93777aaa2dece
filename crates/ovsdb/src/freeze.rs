//! The contents of a database at one moment, gathered while it goes on changing.
//!
//! To copy a table of a million rows takes longer than clients should wait, even where rows are shared. So only the rows' names
//! are written down at once; the rows are taken some thousands at a time, between transactions. Whoever changes a row leaves its
//! old version here first.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::Uuid;
use crate::database::{Database, RowKey};
use crate::row::Row;
use crate::schema::{Schema, TableId};

/// A database's contents.
#[derive(Debug)]
pub struct Contents {
    schema: Arc<Schema>,
    tables: Vec<Vec<Row>>,
}

/// What can be written as the whole of a database.
pub trait Whole {
    /// The schema.
    fn schema(&self) -> &Arc<Schema>;
    /// The rows of a table of that schema, in no particular order.
    fn rows(&self, table: TableId) -> Box<dyn Iterator<Item = &Row> + '_>;
}

impl Whole for Contents {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn rows(&self, table: TableId) -> Box<dyn Iterator<Item = &Row> + '_> {
        Box::new(self.tables.get(table.index()).into_iter().flatten())
    }
}

impl Whole for Database {
    fn schema(&self) -> &Arc<Schema> {
        Database::schema(self)
    }

    fn rows(&self, table: TableId) -> Box<dyn Iterator<Item = &Row> + '_> {
        Box::new(self.table(table).rows())
    }
}

/// Contents that are being gathered.
#[derive(Debug)]
pub(crate) struct Freeze {
    /// Rows to be taken, by table.
    names: Vec<Vec<Uuid>>,
    /// What rows were that have changed since: `None` where there was none.
    before: HashMap<RowKey, Option<Row>>,
    taken: Vec<Vec<Row>>,
}

impl Freeze {
    /// Of `db` as it is now.
    pub(crate) fn new(db: &Database) -> Self {
        let tables = || db.schema().table_ids().map(|id| db.table(id));
        Self {
            names: tables().map(|table| table.names().collect()).collect(),
            before: HashMap::new(),
            taken: tables().map(|table| Vec::with_capacity(table.len())).collect(),
        }
    }

    /// Remembers what the row at `key` is, before it changes for the first time.
    pub(crate) fn keep(&mut self, key: RowKey, row: impl FnOnce() -> Option<Row>) {
        self.before.entry(key).or_insert_with(row);
    }

    /// Takes some rows of `db`, `n` at most; true if that were the last.
    pub(crate) fn take(&mut self, db: &Database, n: usize) -> bool {
        let mut left = n;
        for (at, (names, taken)) in self.names.iter_mut().zip(&mut self.taken).enumerate() {
            let table = TableId(at as u16);
            while let Some(uuid) = names.pop() {
                let row = match self.before.get(&(table, uuid)) {
                    Some(row) => row.clone(),
                    None => db.table(table).get(uuid).cloned(),
                };
                taken.extend(row);
                left -= 1;
                if left == 0 {
                    return false;
                }
            }
        }
        true
    }

    /// What was gathered.
    pub(crate) fn finish(self, schema: &Arc<Schema>) -> Contents {
        Contents { schema: Arc::clone(schema), tables: self.taken }
    }
}
