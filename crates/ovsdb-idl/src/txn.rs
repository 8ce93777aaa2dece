//! Building a transaction: the replica as it will be, and the operations that make it so.
//!
//! Edits are collected per row and column, so that ten commands that touch one row become one operation, and what is set to the
//! value it already has becomes none. Maps and sets can be edited by element; those edits are sent as `mutate`, so that two
//! clients that change different elements do not overwrite each other.

mod operations;

use std::collections::{BTreeMap, BTreeSet};

use jsonrpc::Json;
use ovsdb::{Atom, ColumnId, ColumnType, Datum, Schema, TableId, Uuid, UuidSource};

use crate::replica::Replica;

/// A transaction in the making.
pub struct Txn<'a> {
    replica: &'a Replica,
    uuids: UuidSource,
    rows: BTreeMap<(TableId, Uuid), Edit>,
    /// The new rows whose identity the server will choose.
    born: BTreeSet<Uuid>,
    comment: String,
    increment: Option<(TableId, Uuid, ColumnId)>,
    dry_run: bool,
}

/// What happens to one row.
#[derive(Default)]
struct Edit {
    birth: Option<Birth>,
    deleted: bool,
    columns: BTreeMap<ColumnId, ColumnEdit>,
    verified: BTreeSet<ColumnId>,
}

/// How a new row gets its identity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Birth {
    /// The server chooses; until then ours stands in.
    ServerChooses,
    /// The client chose.
    ClientChose,
}

struct ColumnEdit {
    /// The whole value after the edit.
    value: Datum,
    /// The elements that were edited, if nothing but elements was.
    elements: Option<BTreeSet<Atom>>,
}

/// A finished transaction, to be given to [`Protocol::commit`](crate::Protocol::commit).
#[derive(Debug)]
pub struct Prepared {
    pub(crate) operations: Vec<Json>,
    /// The operation that inserts each new row whose identity the server chooses.
    pub(crate) inserts: Vec<(usize, Uuid)>,
    /// The operation that reads the incremented column, and its name.
    pub(crate) increment: Option<(usize, String)>,
    pub(crate) dry_run: bool,
}

impl Prepared {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The operations, for logs and tests.
    pub fn operations(&self) -> &[Json] {
        &self.operations
    }
}

impl<'a> Txn<'a> {
    pub(crate) fn new(replica: &'a Replica, uuids: UuidSource) -> Self {
        Self {
            replica,
            uuids,
            rows: BTreeMap::new(),
            born: BTreeSet::new(),
            comment: String::new(),
            increment: None,
            dry_run: false,
        }
    }

    /// The replica without this transaction's edits.
    pub fn replica(&self) -> &'a Replica {
        self.replica
    }

    /// The schema.
    pub fn schema(&self) -> &'a Schema {
        self.replica.schema()
    }

    // --- reading through the edits

    /// Whether `table` has the row, or will have it.
    pub fn exists(&self, table: TableId, uuid: Uuid) -> bool {
        match self.rows.get(&(table, uuid)) {
            Some(edit) if edit.deleted => false,
            Some(edit) if edit.birth.is_some() => true,
            _ => self.replica.table(table).is_some_and(|table| table.rows.contains_key(&uuid)),
        }
    }

    /// Whether this transaction inserts the row.
    pub fn is_new(&self, table: TableId, uuid: Uuid) -> bool {
        self.rows.get(&(table, uuid)).is_some_and(|edit| edit.birth.is_some())
    }

    /// The rows that `table` will have: those there are, then new ones.
    pub fn rows(&self, table: TableId) -> Vec<Uuid> {
        let old =
            self.replica.table(table).into_iter().flat_map(|table| table.rows.keys().copied());
        let new = self.rows.range((table, Uuid::ZERO)..).take_while(|((t, _), _)| *t == table);
        let new = new.filter(|(_, edit)| edit.birth.is_some()).map(|((_, uuid), _)| *uuid);
        old.chain(new).filter(|uuid| self.exists(table, *uuid)).collect()
    }

    /// The value that the column will have. A column that the client did not ask for, or a row that is not there, reads as
    /// the column's default.
    pub fn get(&self, table: TableId, uuid: Uuid, column: ColumnId) -> Datum {
        let edit = self.rows.get(&(table, uuid)).and_then(|edit| edit.columns.get(&column));
        if let Some(edit) = edit {
            return edit.value.clone();
        }
        if column == ColumnId::UUID {
            return uuid.into();
        }
        self.old(table, uuid, column)
            .unwrap_or_else(|| self.column_type(table, column).default_datum())
    }

    /// The value before this transaction.
    fn old(&self, table: TableId, uuid: Uuid, column: ColumnId) -> Option<Datum> {
        let table = self.replica.table(table)?;
        let slot = table.layout.slot_of(column)?;
        table.rows.get(&uuid)?.get(slot).cloned()
    }

    fn column_type(&self, table: TableId, column: ColumnId) -> &'a ColumnType {
        &self.replica.schema().table(table).column(column).ty
    }

    // --- editing

    fn edit(&mut self, table: TableId, uuid: Uuid) -> &mut Edit {
        self.rows.entry((table, uuid)).or_default()
    }

    /// Adds a row. The server will choose its identity; until then it goes by the one returned.
    pub fn insert(&mut self, table: TableId) -> Uuid {
        let uuid = self.uuids.next_uuid();
        self.insert_provisionally(table, uuid);
        uuid
    }

    /// A fresh UUID, for a row to be inserted later by [`Txn::insert_provisionally`].
    pub fn provisional_uuid(&mut self) -> Uuid {
        self.uuids.next_uuid()
    }

    /// As [`Txn::insert`], with a provisional identity that is already referred to.
    pub fn insert_provisionally(&mut self, table: TableId, uuid: Uuid) {
        self.edit(table, uuid).birth = Some(Birth::ServerChooses);
        self.born.insert(uuid);
    }

    /// Adds a row with an identity that the client chose (an extension that newer servers have).
    pub fn insert_as(&mut self, table: TableId, uuid: Uuid) {
        self.edit(table, uuid).birth = Some(Birth::ClientChose);
    }

    /// Removes a row.
    pub fn delete(&mut self, table: TableId, uuid: Uuid) {
        if self.is_new(table, uuid) {
            self.rows.remove(&(table, uuid));
            self.born.remove(&uuid);
        } else {
            self.edit(table, uuid).deleted = true;
        }
    }

    /// Gives a column a value.
    pub fn set(&mut self, table: TableId, uuid: Uuid, column: ColumnId, value: Datum) {
        self.edit(table, uuid).columns.insert(column, ColumnEdit { value, elements: None });
    }

    /// Puts elements into a set, or pairs into a map in place of those with the same keys.
    pub fn put(&mut self, table: TableId, uuid: Uuid, column: ColumnId, elements: &Datum) {
        let value = elements.union(&self.get(table, uuid, column));
        self.edit_elements(table, uuid, column, elements, value);
    }

    /// Takes elements out of a set, or pairs out of a map by their keys.
    pub fn take(&mut self, table: TableId, uuid: Uuid, column: ColumnId, elements: &Datum) {
        let keys = Datum::set(elements.keys().cloned());
        let value = self.get(table, uuid, column).difference(&keys);
        self.edit_elements(table, uuid, column, elements, value);
    }

    fn edit_elements(
        &mut self,
        table: TableId,
        uuid: Uuid,
        column: ColumnId,
        elements: &Datum,
        value: Datum,
    ) {
        let touched = elements.keys().cloned();
        match self.edit(table, uuid).columns.get_mut(&column) {
            Some(edit) => {
                edit.value = value;
                // After a whole new value, elements are part of it.
                if let Some(all) = &mut edit.elements {
                    all.extend(touched);
                }
            }
            None => {
                let edit = ColumnEdit { value, elements: Some(touched.collect()) };
                self.edit(table, uuid).columns.insert(column, edit);
            }
        }
    }

    /// Makes the transaction fail with [`Outcome::TryAgain`](crate::Outcome::TryAgain) if the column is no longer as it was read.
    pub fn verify(&mut self, table: TableId, uuid: Uuid, column: ColumnId) {
        if !self.is_new(table, uuid) && self.old(table, uuid, column).is_some() {
            self.edit(table, uuid).verified.insert(column);
        }
    }

    /// Adds a line to what the database's log will say of this transaction.
    pub fn comment(&mut self, text: &str) {
        if !self.comment.is_empty() {
            self.comment.push('\n');
        }
        self.comment.push_str(text);
    }

    /// Adds one to an integer column, if the transaction does anything; [`Outcome::Success`](crate::Outcome::Success) will say
    /// what it became.
    pub fn increment(&mut self, table: TableId, uuid: Uuid, column: ColumnId) {
        self.increment = Some((table, uuid, column));
    }

    /// Has the server check the transaction but not carry it out.
    pub fn dry_run(&mut self) {
        self.dry_run = true;
    }
}
