//! Logging every change of the tables that somebody wants to watch: `ovsdb-server/tlog-set`.

use super::Server;
use super::hosted::Hosted;
use crate::schema::TableId;
use crate::transaction::{Changes, RowChange};

impl Server {
    /// Logs the changes of a table from now on, or not. A table that there is not is never logged.
    pub fn set_traced(
        &mut self,
        database: &str,
        table: &str,
        on: bool,
    ) -> Result<(), &'static str> {
        let hosted = self.databases.get_mut(database).ok_or("no such database")?;
        let table = hosted.db.schema().table_id(table).ok_or("no such table")?;
        if on {
            hosted.traced.insert(table);
        } else {
            hosted.traced.remove(&table);
        }
        Ok(())
    }

    /// Every table of every database: whether its changes are logged.
    pub fn traced(&self) -> impl Iterator<Item = (&str, Vec<(&str, bool)>)> {
        self.databases.iter().map(|(name, hosted)| {
            let schema = hosted.db.schema();
            let tables = schema.table_ids().zip(schema.tables());
            let tables = tables.map(|(id, table)| (&**table.name(), hosted.traced.contains(&id)));
            (&**name, tables.collect())
        })
    }
}

impl Hosted {
    /// Logs the changed rows of traced tables.
    pub(super) fn trace(&self, changes: &Changes) {
        if self.traced.is_empty() {
            return;
        }
        for change in changes.rows.iter().filter(|change| self.traced.contains(&change.table)) {
            log::info!(target: "transaction", "{}", self.describe(change.table, change));
        }
    }

    fn describe(&self, table: TableId, change: &RowChange) -> String {
        let schema = self.db.schema().table(table);
        let op = match (&change.old, &change.new) {
            (None, _) => "inserted",
            (Some(_), None) => "deleted",
            (Some(_), Some(_)) => "updated",
        };
        let mut line = format!("table:{},op:{op}", schema.name());
        if let Some(row) = change.new.as_ref().or(change.old.as_ref()) {
            for (id, column) in schema.column_ids().zip(schema.columns()) {
                line += &format!(",{}:{}", column.name, row.get(id).to_text(&column.ty));
            }
        }
        line
    }
}
