//! Typed rows: a struct per table, made from a schema.
//!
//! # What
//! [`generate`] writes Rust from a schema: a struct for each table, a field for each column. A row that is a struct cannot be asked for a
//! column that is not there, and a port's [`Ref`] does not go where a bridge's belongs. What such structs can do is here: be read
//! from a replica and its changes ([`Row::all`], [`Row::changes`], [`Ref::get`]), and be written by a transaction ([`Row::insert`], [`Ref::edit`]).
//!
//! # Design
//! - A struct is the columns and nothing else. Its identity is a [`Ref`], which a row has once it was inserted and not before.
//! - Reading never fails: the server checks values against *its* schema, which may be newer or older than the one that the rows were made
//!   from. What is missing or strange reads as the type's default; of a set or map only the strange elements are left out.
//! - Therefore writing is by difference. [`Ref::edit`] lends the row to a closure and writes what that changed, of maps and sets the
//!   elements; what nobody touched stays as it is in the database, also if it is not understood here.
//! - Words that the schema enumerates are `String`s, with the words in the field's description: a newer server may know more words, and
//!   none of them should read as another one.
//!
//! # How
//! From a schema file to a Rust file, by hand: `cargo run -p ovsdb-idl --example rows -- ovn-nb.ovsschema > northbound.rs`; or in `build.rs`:
//!
//! ```no_run
//! use ovsdb_idl::{jsonrpc::Json, ovsdb::Schema, rows};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     println!("cargo::rerun-if-changed=ovn-nb.ovsschema");
//!     let text = std::fs::read_to_string("ovn-nb.ovsschema")?;
//!     let schema = Schema::from_json(&Json::parse(&text)?)?;
//!     let out = std::path::Path::new(&std::env::var("OUT_DIR")?).join("northbound.rs");
//!     Ok(std::fs::write(out, rows::generate(&schema))?)
//! }
//! ```
//!
//! and then, where not every table is used:
//!
//! ```text
//! #[allow(dead_code)]
//! mod northbound {
//!     include!(concat!(env!("OUT_DIR"), "/northbound.rs"));
//! }
//! ```
//!
//! The schema to name in [`Interest::none`] is best the same one: what an older server lacks of it is left out then. In a schema that was
//! fetched from that server, [`Interest::watch_rows`] misses it.

mod column;
mod generate;
mod names;

use std::collections::BTreeMap;

use ovsdb::types::UNLIMITED;
use ovsdb::{ColumnId, ColumnType, Datum, Schema, TableId};

pub use column::{Column, Ref, Scalar};
pub use generate::generate;

use crate::changes::{Change, Changes};
use crate::interest::{Interest, UnknownName};
use crate::outcome::Outcome;
use crate::replica::{Replica, RowRef};
use crate::txn::Txn;

/// A row as a struct: what [`generate`] makes of each table.
pub trait Row: Default {
    /// The table's name.
    const TABLE: &'static str;

    /// The row whose columns `column` knows by name.
    fn decode<'a>(column: impl FnMut(&'static str) -> Option<&'a Datum>) -> Self;

    /// Tells `column` each column's name and value.
    fn encode(&self, column: impl FnMut(&'static str, Datum));

    /// The names of the columns.
    fn columns() -> Vec<&'static str> {
        let mut names = Vec::new();
        Self::default().encode(|name, _| names.push(name));
        names
    }

    /// A row of a replica, or of its changes. Columns that the client did not ask for read as their defaults.
    fn read(row: RowRef<'_>) -> Self {
        Self::decode(|name| row.get(name))
    }

    /// All rows of the table, in the order of their identities.
    fn all(replica: &Replica) -> impl Iterator<Item = (Ref<Self>, Self)> {
        replica.rows(Self::TABLE).map(|row| (Ref::new(row.uuid()), Self::read(row)))
    }

    /// The rows of the table that changed. What one is now says [`Ref::get`]; what a deleted one was, [`Change::last`] and [`Row::read`].
    fn changes(changes: &Changes) -> impl Iterator<Item = (Ref<Self>, Change<'_>)> {
        changes.table(Self::TABLE).map(|change| (Ref::new(change.uuid()), change))
    }

    /// Adds a row to the table. What it goes by afterwards says [`Ref::after`].
    ///
    /// # Errors
    /// The schema lacks the table, or a column whose value is not the default. Nothing is added then.
    fn insert(&self, txn: &mut Txn<'_>) -> Result<Ref<Self>, UnknownName> {
        let table = table_of::<Self>(txn.schema())?;
        let default = encoded(&Self::default());
        let mut values = Vec::new();
        for (name, value) in encoded(self) {
            match column_of(txn.schema(), table, name) {
                Ok(column) => values.push((column, value)),
                Err(_) if default.get(name) == Some(&value) => {}
                Err(unknown) => return Err(unknown),
            }
        }
        let uuid = txn.insert(table);
        for (column, value) in values {
            txn.set(table, uuid, column, value);
        }
        Ok(Ref::new(uuid))
    }
}

impl<R: Row> Ref<R> {
    /// The row, if the replica has it.
    pub fn get(self, replica: &Replica) -> Option<R> {
        replica.row(R::TABLE, self.uuid()).map(R::read)
    }

    /// The row as it will be after the transaction, if it will be there. Columns that the client did not ask for read as their defaults.
    pub fn read(self, txn: &Txn<'_>) -> Option<R> {
        let table = txn.schema().table_id(R::TABLE)?;
        if !txn.exists(table, self.uuid()) {
            return None;
        }
        let column = |name| {
            let column = column_of(txn.schema(), table, name).ok()?;
            Some((name, txn.get(table, self.uuid(), column)))
        };
        let values: BTreeMap<_, _> = R::columns().into_iter().filter_map(column).collect();
        Some(R::decode(|name| values.get(name)))
    }

    /// Has `change` edit the row, and the transaction write what is different then. Returns whether the row is there to be edited.
    ///
    /// # Errors
    /// The schema lacks a column that was changed. Nothing is edited then.
    pub fn edit(self, txn: &mut Txn<'_>, change: impl FnOnce(&mut R)) -> Result<bool, UnknownName> {
        self.edit_columns(txn, change, |_, _| {})
    }

    /// As [`Ref::edit`], for what depends on the old value, as `|root| root.next_cfg += 1` does: the transaction comes out as
    /// [`Outcome::TryAgain`] if a column that `change` changed is no longer as it was read.
    pub fn edit_verified(
        self,
        txn: &mut Txn<'_>,
        change: impl FnOnce(&mut R),
    ) -> Result<bool, UnknownName> {
        self.edit_columns(txn, change, |txn, (table, column)| {
            txn.verify(table, self.uuid(), column)
        })
    }

    /// `before_each` is called for each column that `change` changed.
    fn edit_columns(
        self,
        txn: &mut Txn<'_>,
        change: impl FnOnce(&mut R),
        before_each: impl Fn(&mut Txn<'_>, (TableId, ColumnId)),
    ) -> Result<bool, UnknownName> {
        let table = table_of::<R>(txn.schema())?;
        let Some(mut row) = self.read(txn) else { return Ok(false) };
        let before = encoded(&row);
        change(&mut row);
        let changed = encoded(&row).into_iter().zip(before.into_values());
        let changed = changed.filter(|((_, after), before)| after != before);
        let named = changed.map(|((name, after), before)| {
            Ok((column_of(txn.schema(), table, name)?, before, after))
        });
        for (column, before, after) in named.collect::<Result<Vec<_>, _>>()? {
            before_each(txn, (table, column));
            self.write(txn, table, column, &before, after);
        }
        Ok(true)
    }

    fn write(
        self,
        txn: &mut Txn<'_>,
        table: TableId,
        column: ColumnId,
        before: &Datum,
        after: Datum,
    ) {
        let ty = &txn.schema().table(table).column(column).ty;
        if !has_loose_elements(ty) {
            return txn.set(table, self.uuid(), column, after);
        }
        let gone = before.difference(&Datum::set(after.keys().cloned()));
        let new = if ty.is_map() {
            let pairs = after.as_map().iter().filter(|(key, value)| before.get(key) != Some(value));
            Datum::map(pairs.cloned())
        } else {
            Datum::set(after.elements().filter(|atom| !before.contains_key(atom)).cloned())
        };
        if !gone.is_empty() {
            txn.take(table, self.uuid(), column, &gone);
        }
        if !new.is_empty() {
            txn.put(table, self.uuid(), column, &new);
        }
    }

    /// Removes the row, if it is there.
    pub fn delete(self, txn: &mut Txn<'_>) {
        if let Some(table) = txn.schema().table_id(R::TABLE)
            && txn.exists(table, self.uuid())
        {
            txn.delete(table, self.uuid());
        }
    }

    /// What a row goes by after the transaction that inserted it, which came out as `outcome`. Other rows keep their identity.
    #[must_use]
    pub fn after(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success { inserted, .. } => {
                inserted.get(&self.uuid()).map_or(self, |uuid| Self::new(*uuid))
            }
            _ => self,
        }
    }
}

impl Interest {
    /// Wants all columns of the table of `R`, and to be told of changes.
    pub fn watch_rows<R: Row>(self) -> Result<Self, UnknownName> {
        self.watch(R::TABLE, &R::columns())
    }
}

fn encoded<R: Row>(row: &R) -> BTreeMap<&'static str, Datum> {
    let mut values = BTreeMap::new();
    row.encode(|name, value| drop(values.insert(name, value)));
    values
}

fn table_of<R: Row>(schema: &Schema) -> Result<TableId, UnknownName> {
    schema.table_id(R::TABLE).ok_or_else(|| UnknownName::table(R::TABLE))
}

fn column_of(schema: &Schema, table: TableId, name: &str) -> Result<ColumnId, UnknownName> {
    let table = schema.table(table);
    table.column_id(name).ok_or_else(|| UnknownName::column(name, table.name()))
}

/// Whether elements may come and go one by one, without too many or too few of them on the way: into sets the new ones go first, out of maps
/// the old ones.
fn has_loose_elements(ty: &ColumnType) -> bool {
    ty.n_max == UNLIMITED && (ty.n_min == 0 || !ty.is_map())
}
