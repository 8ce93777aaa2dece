//! What the source says of its database in `_Server` (ovsdb-server(5)), and whether that will do.

use std::collections::BTreeSet;

use jsonrpc::{Json, json};

use super::{Follower, News, Phase, SERVER_MONITOR, Trouble};
use crate::Schema;

/// The row of `_Server`'s table `Database` about the followed database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    present: bool,
    model: String,
    connected: bool,
    schema: Option<String>,
    index: Option<i64>,
}

impl Description {
    /// Takes in what a monitor says: `<table-updates2>`.
    pub(super) fn update(&mut self, updates: &Json, database: &str) {
        let Some(rows) = updates.get("Database").and_then(Json::as_object) else { return };
        for (_, update) in rows {
            if update.get("delete").is_some() {
                *self = Self::default();
            } else if let Some(row) = update.get("initial").or_else(|| update.get("insert")) {
                if row.get("name").and_then(Json::as_str) == Some(database) {
                    *self = Self { present: true, ..Self::default() };
                    self.take(row);
                }
            } else if let Some(row) = update.get("modify") {
                self.take(row);
            }
        }
    }

    /// Why the source cannot be followed now, if that is so. `newest` is the newest cluster index seen anywhere.
    fn deficiency(&self, database: &str, newest: i64) -> Option<String> {
        let why = match (&*self.model, self.connected, &self.schema) {
            _ if !self.present => return Some(format!("server does not have {database} database")),
            ("clustered", _, None) => "clustered database server has not yet joined cluster",
            ("clustered", false, _) => "clustered database server is disconnected from cluster",
            ("relay", _, None) => "relay database server has not yet connected to the relay source",
            ("relay", false, _) => "relay database server is disconnected from the relay source",
            (_, _, None) => "server has no schema yet",
            _ if self.index.is_some_and(|index| index < newest) => {
                "clustered database server has stale data"
            }
            _ => return None,
        };
        Some(format!("{why}; trying another server"))
    }

    /// In a difference, too, a changed column that holds at most one value is given as its new value, and one that became
    /// empty as an empty set.
    fn take(&mut self, row: &Json) {
        if let Some(model) = row.get("model").and_then(Json::as_str) {
            model.clone_into(&mut self.model);
        }
        if let Some(connected) = row.get("connected").and_then(Json::as_bool) {
            self.connected = connected;
        }
        if let Some(schema) = row.get("schema") {
            self.schema = schema.as_str().map(str::to_owned);
        }
        if let Some(index) = row.get("index") {
            self.index = index.as_i64();
        }
    }
}

impl Follower {
    pub(super) fn ask_for_description(&mut self) {
        let columns = json!(["name", "model", "connected", "schema", "index"]);
        let condition = json!([["name", "==", (&*self.database)]]);
        let params = vec![
            Json::from("_Server"),
            Json::from(SERVER_MONITOR),
            json!({"Database": [{"columns": columns, "where": condition}]}),
        ];
        self.phase = Phase::Description(self.ask("monitor_cond", params));
    }

    /// Decides what to do after the description has changed.
    pub(super) fn follow_description(&mut self) -> Result<Option<News>, Trouble> {
        let description = &self.description;
        if let Some(why) = description.deficiency(&self.database, self.newest_index) {
            return Err(Trouble::Retry(why));
        }
        self.newest_index = description.index.unwrap_or(self.newest_index);
        let schema = description.schema.clone().unwrap_or_default();
        let is_first = matches!(self.phase, Phase::Description(_));
        if is_first || (self.phase == Phase::Live && schema != self.schema_text) {
            self.ask_for_contents(&schema)?;
        }
        Ok(None)
    }
}

/// What of `theirs` does not fit into `ours`.
pub(super) fn misfit(
    ours: &Schema,
    theirs: &Schema,
    excluded: &BTreeSet<String>,
) -> Option<String> {
    for table in theirs.tables().iter().filter(|table| !excluded.contains(&**table.name())) {
        let name = table.name();
        let Some(local) = ours.table_named(name) else {
            return Some(format!("Table {name} not present in the local db schema"));
        };
        for (_, column) in table.named_columns() {
            let found = local.column_named(&column.name);
            let Some(found) = found else {
                return Some(format!(
                    "Column {} not present in the local db schema table {name}.",
                    column.name
                ));
            };
            if found.ty != column.ty {
                return Some(format!(
                    "Column {} mismatch in local db schema table {name}.",
                    column.name
                ));
            }
        }
    }
    None
}
