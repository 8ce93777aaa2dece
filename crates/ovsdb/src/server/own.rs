//! The database `_Server`, in which clients can read, and monitor, which databases there are (ovsdb-server(5)).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Server;
use super::hosted::Hosted;
use super::relay::Relay;
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

/// What clients are told about a database.
#[derive(PartialEq, Eq)]
struct Description {
    name: Arc<str>,
    model: &'static str,
    connected: bool,
    leader: bool,
    schema: Option<String>,
}

impl Description {
    fn of(name: &Arc<str>, hosted: &Hosted) -> Self {
        let relay = hosted.relay.as_ref();
        let is_known = relay.is_none_or(Relay::is_known);
        Self {
            name: Arc::clone(name),
            model: if relay.is_some() { "relay" } else { "standalone" },
            connected: relay.is_none_or(Relay::is_connected),
            leader: relay.is_none(),
            schema: is_known.then(|| hosted.db.schema().to_json().to_string()),
        }
    }

    /// The columns, in which nothing else is ever written.
    fn write(self, schema: &TableSchema, row: &mut Row) {
        let values = [
            ("name", Datum::from(&*self.name)),
            ("model", self.model.into()),
            ("connected", self.connected.into()),
            ("leader", self.leader.into()),
            ("schema", self.schema.map_or(Datum::EMPTY, |text| text.as_str().into())),
        ];
        for (column, value) in values {
            if let Some(id) = schema.column_id(column) {
                row.set(id, value);
            }
        }
    }
}

impl Server {
    /// Makes the table's rows agree with the databases that there are.
    pub(super) fn describe_databases(&mut self) {
        let wanted: Vec<Description> =
            self.databases.iter().map(|(name, hosted)| Description::of(name, hosted)).collect();
        self.change_own(NAME, |work| {
            let Some(table) = work.schema().table_id(TABLE) else { return };
            let schema = Arc::clone(work.db.schema());
            let schema = schema.table(table);
            let name_of = |row: &Row| {
                let id = schema.column_id("name");
                id.and_then(|id| row.get(id).as_str()).unwrap_or_default().to_owned()
            };
            let present: BTreeMap<String, Uuid> =
                work.table(table).rows().map(|row| (name_of(row), row.uuid())).collect();
            for (name, uuid) in &present {
                if !wanted.iter().any(|database| *database.name == **name) {
                    work.delete((table, *uuid));
                }
            }
            for database in wanted {
                match present.get(&*database.name) {
                    Some(uuid) => {
                        work.modify((table, *uuid), |row| database.write(schema, row));
                    }
                    // A database that is removed and added again is another one: it gets a new UUID.
                    None => {
                        let uuid = work.names.fresh();
                        let mut row = Row::new(schema, uuid);
                        database.write(schema, &mut row);
                        work.put((table, uuid), row);
                    }
                }
            }
        });
    }
}
