//! The database as commands see it: a transaction, by the names of tables and columns.

use std::cell::RefCell;
use std::collections::HashMap;

use ovsdb::{ColumnId, ColumnType, Datum, Schema, TableId, Uuid};
use ovsdb_idl::Txn;

use super::model::Model;
use super::settings::Touched;
use super::symbols::Symbols;

/// What all commands of one run share.
pub(super) struct Db<'t> {
    pub(super) txn: Txn<'t>,
    pub(super) symbols: Symbols,
    /// Bridges, ports and interfaces; read when first needed, and again after a command changed their columns directly.
    model: Option<Model>,
    /// By column, rows that had a value once: found at a glance when many commands name their rows. What a row says now is
    /// for the asker to look at.
    index: RefCell<HashMap<Place, HashMap<String, Vec<Uuid>>>>,
    /// What commands set, to be checked before anything is sent.
    pub(super) touched: Vec<Touched>,
    /// New interfaces, to be looked at when the switch is done.
    pub(super) new_interfaces: Vec<Uuid>,
    /// The one row of the Open_vSwitch table.
    pub(super) ovs: Uuid,
}

/// A column of a table.
pub(super) type Place = (TableId, ColumnId);

/// Names in this program's text are of its own schema, so they exist.
const KNOWN: &str = "a table and column of the Open_vSwitch schema";

impl<'t> Db<'t> {
    pub(super) fn new(mut txn: Txn<'t>, symbols: Symbols) -> Self {
        let table = txn.schema().table_id("Open_vSwitch").expect(KNOWN);
        let ovs = match txn.rows(table).first() {
            Some(row) => *row,
            None => txn.insert(table),
        };
        Self {
            txn,
            symbols,
            model: None,
            index: RefCell::default(),
            touched: Vec::new(),
            new_interfaces: Vec::new(),
            ovs,
        }
    }

    pub(super) fn schema(&self) -> &'t Schema {
        self.txn.schema()
    }

    pub(super) fn table(&self, table: &str) -> TableId {
        self.schema().table_id(table).expect(KNOWN)
    }

    /// Where a column is, for those who read it of many rows.
    pub(super) fn place(&self, table: &str, column: &str) -> Place {
        let table = self.table(table);
        (table, self.schema().table(table).column_id(column).expect(KNOWN))
    }

    pub(super) fn column_type(&self, table: TableId, column: ColumnId) -> &'t ColumnType {
        &self.schema().table(table).column(column).ty
    }

    pub(super) fn rows(&self, table: &str) -> Vec<Uuid> {
        self.txn.rows(self.table(table))
    }

    pub(super) fn exists(&self, table: &str, row: Uuid) -> bool {
        self.txn.exists(self.table(table), row)
    }

    pub(super) fn get(&self, table: &str, row: Uuid, column: &str) -> Datum {
        let (table, column) = self.place(table, column);
        self.txn.get(table, row, column)
    }

    pub(super) fn text(&self, table: &str, row: Uuid, column: &str) -> String {
        self.get(table, row, column).as_str().unwrap_or_default().to_owned()
    }

    /// The rows that a column refers to, as far as they exist.
    pub(super) fn referred(&self, table: &str, row: Uuid, column: &str, target: &str) -> Vec<Uuid> {
        self.get(table, row, column).uuids().filter(|uuid| self.exists(target, *uuid)).collect()
    }

    pub(super) fn set(&mut self, table: &str, row: Uuid, column: &str, value: impl Into<Datum>) {
        let place = self.place(table, column);
        let value = value.into();
        if let Some(rows) = self.index.get_mut().get_mut(&place)
            && let Some(key) = index_key(&value)
        {
            rows.entry(key).or_default().push(row);
        }
        self.txn.set(place.0, row, place.1, value);
    }

    /// A column is changed directly.
    pub(super) fn forget_index(&mut self, place: Place) {
        self.index.get_mut().remove(&place);
    }

    /// Rows that may have this text or number in a column: all that do are among them.
    pub(super) fn candidates(&self, place: Place, value: &str) -> Vec<Uuid> {
        // New rows have no value yet.
        if value.is_empty() {
            return self.txn.rows(place.0);
        }
        let mut index = self.index.borrow_mut();
        let rows = index.entry(place).or_insert_with(|| {
            let mut rows: HashMap<String, Vec<Uuid>> = HashMap::new();
            for row in self.txn.rows(place.0) {
                if let Some(key) = index_key(&self.txn.get(place.0, row, place.1)) {
                    rows.entry(key).or_default().push(row);
                }
            }
            rows
        });
        let number = value.parse::<i64>().ok().map(|n| n.to_string());
        let keys = [Some(value), number.as_deref()];
        let found = keys.into_iter().flatten().filter_map(|key| rows.get(key)).flatten();
        let mut found: Vec<Uuid> = found.copied().collect();
        found.sort();
        found.dedup();
        found.retain(|row| self.txn.exists(place.0, *row));
        found
    }

    pub(super) fn put(&mut self, table: &str, row: Uuid, column: &str, elements: impl Into<Datum>) {
        let (table, column) = self.place(table, column);
        self.txn.put(table, row, column, &elements.into());
    }

    pub(super) fn take(
        &mut self,
        table: &str,
        row: Uuid,
        column: &str,
        elements: impl Into<Datum>,
    ) {
        let (table, column) = self.place(table, column);
        self.txn.take(table, row, column, &elements.into());
    }

    pub(super) fn insert(&mut self, table: &str) -> Uuid {
        let table = self.table(table);
        self.txn.insert(table)
    }

    pub(super) fn delete(&mut self, table: &str, row: Uuid) {
        let table = self.table(table);
        self.txn.delete(table, row);
    }

    pub(super) fn verify(&mut self, table: &str, row: Uuid, column: &str) {
        let (table, column) = self.place(table, column);
        self.txn.verify(table, row, column);
    }

    /// The bridges, ports and interfaces.
    pub(super) fn model(&mut self) -> &mut Model {
        if self.model.is_none() {
            self.model = Some(Model::read(self));
        }
        self.model.get_or_insert_default()
    }

    /// Has [`Db::model`] read the database again.
    pub(super) fn forget_model(&mut self) {
        self.model = None;
    }
}

/// What a value is found by.
fn index_key(value: &Datum) -> Option<String> {
    value.as_integer().map(|n| n.to_string()).or_else(|| value.as_str().map(str::to_owned))
}
