//! A database's contents under another schema.

use std::sync::Arc;

use crate::database::Database;
use crate::row::Row;
use crate::schema::{Schema, TableSchema};
use crate::transaction::settle::settle;
use crate::transaction::workspace::Workspace;
use crate::{Datum, Error, UuidSource};

impl Database {
    /// The same rows under `schema`. Tables and columns that `schema` lacks are dropped, those that are new get default
    /// values, and everything must satisfy the new constraints.
    pub fn convert(&self, schema: Arc<Schema>, uuids: &mut UuidSource) -> Result<Self, Error> {
        let mut new = Self::new(Arc::clone(&schema));
        let mut work = Workspace::new(&mut new, uuids);
        for (id, table) in schema.table_ids().zip(schema.tables()) {
            let Some(old_id) = self.schema().table_id(table.name()) else { continue };
            for row in self.table(old_id).rows() {
                let converted = convert_row(row, self.schema().table(old_id), table)?;
                work.put((id, row.uuid()), converted);
            }
        }
        settle(work)?;
        Ok(new)
    }
}

fn convert_row(row: &Row, old: &TableSchema, new: &TableSchema) -> Result<Row, Error> {
    let mut converted = Row::new(new, row.uuid());
    for (id, column) in new.named_columns() {
        let value = match old.column_id(&column.name) {
            None => column.ty.default_datum(),
            Some(old_id) if old.column(old_id).ty == column.ty => row.get(old_id).clone(),
            // JSON is what values of different types have in common.
            Some(old_id) => Datum::from_json(
                &row.get(old_id).to_json(&old.column(old_id).ty),
                &column.ty,
                None,
            )?,
        };
        value.check(&column.ty)?;
        converted.set(id, value);
    }
    Ok(converted)
}
