//! The database `_Server`, in which clients can read, and monitor, which databases there are (ovsdb-server(5)).

use std::sync::Arc;

use super::Server;
use crate::row::Row;
use crate::types::Constraint;
use crate::{AtomType, BaseType, ColumnSchema, ColumnType, Datum, Schema, TableSchema, Uuid};

/// The database's name.
pub(super) const NAME: &str = "_Server";

const TABLE: &str = "Database";

/// The schema, identical to the one that Open vSwitch's server has.
pub(super) fn schema() -> Arc<Schema> {
    let models = Datum::set(["clustered", "relay", "standalone"].map(Into::into));
    let model = BaseType { atom: AtomType::String, constraint: Constraint::Enum(models) };
    let columns = vec![
        ColumnSchema::new("name", ColumnType::scalar(AtomType::String)),
        ColumnSchema::new("model", ColumnType::scalar(model)),
        ColumnSchema::new("connected", ColumnType::scalar(AtomType::Boolean)),
        ColumnSchema::new("leader", ColumnType::scalar(AtomType::Boolean)),
        ColumnSchema::new("schema", ColumnType::optional(AtomType::String)),
        ColumnSchema::new("cid", ColumnType::optional(AtomType::Uuid)),
        ColumnSchema::new("sid", ColumnType::optional(AtomType::Uuid)),
        ColumnSchema::new("index", ColumnType::optional(AtomType::Integer)),
    ];
    let schema = TableSchema::new(TABLE, columns)
        .and_then(|table| Schema::new(NAME, "1.2.0", "3009684573 744", vec![table]));
    Arc::new(schema.expect("the schema is constant and tested"))
}

impl Server {
    /// Makes the table's rows agree with the databases that there are.
    pub(super) fn describe_databases(&mut self) {
        let wanted: Vec<(Arc<str>, String)> = self
            .databases
            .iter()
            .map(|(name, hosted)| (Arc::clone(name), hosted.db.schema().to_json().to_string()))
            .collect();
        self.change_own(NAME, |work| {
            let Some(table) = work.schema().table_id(TABLE) else { return };
            let schema = Arc::clone(work.db.schema());
            let schema = schema.table(table);
            let text = |row: &Row, column: &str| {
                let id = schema.column_id(column);
                id.and_then(|id| row.get(id).as_str()).unwrap_or_default().to_owned()
            };
            let present: Vec<(Uuid, String, String)> = work
                .table(table)
                .rows()
                .map(|row| (row.uuid(), text(row, "name"), text(row, "schema")))
                .collect();
            for (uuid, name, _) in &present {
                if !wanted.iter().any(|(n, _)| **n == **name) {
                    work.delete((table, *uuid));
                }
            }
            for (name, schema_text) in &wanted {
                if let Some((uuid, _, present_text)) =
                    present.iter().find(|(_, n, _)| **n == **name)
                {
                    if let Some(column) =
                        schema.column_id("schema").filter(|_| present_text != schema_text)
                    {
                        work.modify((table, *uuid), |row| {
                            row.set(column, schema_text.as_str().into())
                        });
                    }
                    continue;
                }
                // A database that is removed and added again is another one: it gets a new UUID.
                let uuid = work.names.fresh();
                let mut row = Row::new(schema, uuid);
                let mut set = |column: &str, value: Datum| {
                    if let Some(id) = schema.column_id(column) {
                        row.set(id, value);
                    }
                };
                set("name", (&**name).into());
                set("model", "standalone".into());
                set("connected", true.into());
                set("leader", true.into());
                set("schema", schema_text.as_str().into());
                work.put((table, uuid), row);
            }
        });
    }
}
