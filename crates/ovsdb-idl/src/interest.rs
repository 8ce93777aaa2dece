//! What a client wants to see of a database.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonrpc::{Json, json};
use ovsdb::{ColumnId, Datum, Schema, TableId};

/// How much a client cares when a column changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// It wants the value but not to be told of changes: typically because it writes the column itself.
    Quiet,
    /// It wants to be told.
    Alert,
}

/// The tables and columns a client wants, of one schema.
#[derive(Clone, Debug)]
pub struct Interest {
    schema: Arc<Schema>,
    tables: BTreeMap<TableId, BTreeMap<ColumnId, Attention>>,
    /// Of these tables only rows for which one of the conditions holds, as RFC 7047 writes them.
    only: BTreeMap<TableId, Vec<Json>>,
}

/// A table or column that the schema does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName(String);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the schema has no {}", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl UnknownName {
    pub(crate) fn table(name: &str) -> Self {
        Self(format!("table {name}"))
    }

    pub(crate) fn column(name: &str, table: &str) -> Self {
        Self(format!("column {name} in table {table}"))
    }
}

impl Interest {
    /// Nothing yet.
    pub fn none(schema: Arc<Schema>) -> Self {
        Self { schema, tables: BTreeMap::new(), only: BTreeMap::new() }
    }

    /// Everything there is.
    pub fn everything(schema: Arc<Schema>) -> Self {
        let mut interest = Self::none(schema);
        for table in interest.schema.table_ids() {
            interest.add_table(table);
            interest.add_columns(table);
        }
        interest
    }

    /// The schema that the names are of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Wants these columns of `table`, and to be told of changes.
    pub fn watch(mut self, table: &str, columns: &[&str]) -> Result<Self, UnknownName> {
        self.add_named(table, columns, Attention::Alert)?;
        Ok(self)
    }

    /// Wants these columns of `table`, but not to be told of changes.
    pub fn quietly(mut self, table: &str, columns: &[&str]) -> Result<Self, UnknownName> {
        self.add_named(table, columns, Attention::Quiet)?;
        Ok(self)
    }

    fn add_named(
        &mut self,
        table: &str,
        columns: &[&str],
        attention: Attention,
    ) -> Result<(), UnknownName> {
        let id = self.schema.table_id(table).ok_or_else(|| UnknownName::table(table))?;
        self.add_table(id);
        for column in columns {
            let column_id = self.schema.table(id).column_id(column);
            let column_id = column_id.ok_or_else(|| UnknownName::column(column, table))?;
            self.add(id, column_id, attention);
        }
        Ok(())
    }

    /// Wants to know which rows `table` has.
    pub fn add_table(&mut self, table: TableId) {
        self.tables.entry(table).or_default();
    }

    /// Wants a column. Of two wishes for the same column the more attentive counts.
    pub fn add(&mut self, table: TableId, column: ColumnId, attention: Attention) {
        let columns = self.tables.entry(table).or_default();
        if !column.is_implicit() {
            let wish = columns.entry(column).or_insert(attention);
            *wish = attention.max(*wish);
        }
    }

    /// Wants every column of `table`, and to be told of changes.
    pub fn add_columns(&mut self, table: TableId) {
        let ids: Vec<_> = self.schema.table(table).named_columns().map(|(id, _)| id).collect();
        for column in ids {
            self.add(table, column, Attention::Alert);
        }
    }

    /// Does not want a column after all.
    pub fn remove(&mut self, table: TableId, column: ColumnId) {
        if let Some(columns) = self.tables.get_mut(&table) {
            columns.remove(&column);
        }
    }

    /// Of a table wants only rows in which `column` has this value, or that another call for the table named. A server
    /// without conditions (`monitor_cond`) sends all rows nonetheless.
    pub fn only(&mut self, table: TableId, column: ColumnId, value: Datum) {
        let described = self.schema.table(table).column(column);
        let condition = json!([(&*described.name), "==", (value.to_json(&described.ty))]);
        self.only.entry(table).or_default().push(condition);
    }

    /// The conditions of a table, if not all of its rows are wanted.
    pub(crate) fn conditions(&self, table: TableId) -> Option<&[Json]> {
        self.only.get(&table).map(Vec::as_slice)
    }

    /// The tables wanted, with their columns.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (TableId, &BTreeMap<ColumnId, Attention>)> {
        self.tables.iter().map(|(table, columns)| (*table, columns))
    }
}
