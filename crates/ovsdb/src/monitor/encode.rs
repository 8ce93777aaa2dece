//! Updates as text: `<table-updates>` for `monitor`, `<table-updates2>` for its successors.

use jsonrpc::json::text::quote_into;

use super::{Event, Spec, TableSpec, Version};
use crate::Uuid;
use crate::condition::Condition;
use crate::database::Database;
use crate::row::Row;
use crate::schema::{Schema, TableId, TableSchema};
use crate::transaction::Changes;

/// The present contents of `db`, as the reply to a monitor request.
pub fn initial(spec: &Spec, db: &Database) -> String {
    let mut out = Updates::new();
    for table_spec in &spec.tables {
        out.begin_table();
        for row in db.table(table_spec.table).rows() {
            if table_spec.condition.matches_any(row) {
                out.row(
                    spec.version,
                    table_spec,
                    db.schema(),
                    row.uuid(),
                    Event::Initial,
                    None,
                    Some(row),
                );
            }
        }
    }
    out.finish().unwrap_or_else(|| "{}".to_owned())
}

/// What `changes` mean to a monitor, if they mean anything.
pub fn changes(spec: &Spec, schema: &Schema, changes: &Changes) -> Option<String> {
    let mut out = Updates::new();
    for (table, rows) in changes.by_table() {
        let Some(table_spec) = spec.table(table) else { continue };
        out.begin_table();
        for change in rows {
            let (old, new) = (change.old.as_ref(), change.new.as_ref());
            out.change(
                spec.version,
                table_spec,
                schema,
                change.uuid,
                old,
                new,
                &table_spec.condition,
            );
        }
    }
    out.finish()
}

/// What a change of conditions from `old` to `new` means to a monitor: rows that come into view and rows that leave it.
pub fn condition_change(old: &Spec, new: &Spec, db: &Database) -> Option<String> {
    let mut out = Updates::new();
    for (old_table, new_table) in old.tables.iter().zip(&new.tables) {
        if old_table.condition == new_table.condition {
            continue;
        }
        out.begin_table();
        for row in db.table(new_table.table).rows() {
            let (before, after) =
                (old_table.condition.matches_any(row), new_table.condition.matches_any(row));
            let event = match (before, after) {
                (false, true) => Event::Insert,
                (true, false) => Event::Delete,
                _ => continue,
            };
            out.row(new.version, new_table, db.schema(), row.uuid(), event, Some(row), Some(row));
        }
    }
    out.finish()
}

/// Text under construction.
struct Updates {
    out: String,
    /// Whether the present table has a row yet.
    in_table: bool,
}

impl Updates {
    fn new() -> Self {
        Self { out: String::new(), in_table: false }
    }

    fn begin_table(&mut self) {
        self.end_table();
    }

    fn end_table(&mut self) {
        if std::mem::take(&mut self.in_table) {
            self.out.push('}');
        }
    }

    fn finish(mut self) -> Option<String> {
        self.end_table();
        if self.out.is_empty() {
            return None;
        }
        self.out.push('}');
        Some(self.out)
    }

    #[allow(clippy::too_many_arguments, reason = "one caller, which has them all at hand")]
    fn change(
        &mut self,
        version: Version,
        spec: &TableSpec,
        schema: &Schema,
        uuid: Uuid,
        old: Option<&Row>,
        new: Option<&Row>,
        condition: &Condition,
    ) {
        let seen_old = old.filter(|row| condition.matches_any(row));
        let seen_new = new.filter(|row| condition.matches_any(row));
        let event = match (seen_old, seen_new) {
            (None, None) => return,
            (None, Some(_)) => Event::Insert,
            (Some(_), None) => Event::Delete,
            (Some(_), Some(_)) => Event::Modify,
        };
        self.row(version, spec, schema, uuid, event, old, new);
    }

    /// Appends a row's update, unless there is nothing to tell.
    #[allow(clippy::too_many_arguments, reason = "as above")]
    fn row(
        &mut self,
        version: Version,
        spec: &TableSpec,
        schema: &Schema,
        uuid: Uuid,
        event: Event,
        old: Option<&Row>,
        new: Option<&Row>,
    ) {
        if !spec.select.has(event) {
            return;
        }
        let table = schema.table(spec.table);
        let before = self.out.len();
        self.begin_row(spec.table, schema, uuid);
        let told = match version {
            Version::Plain => self.plain(spec, table, event, old, new),
            Version::Conditional | Version::Since => {
                self.differential(spec, table, event, old, new)
            }
        };
        if told {
            self.in_table = true;
        } else {
            self.out.truncate(before);
        }
    }

    fn begin_row(&mut self, table: TableId, schema: &Schema, uuid: Uuid) {
        if self.in_table {
            self.out.push(',');
        } else {
            self.out.push(if self.out.is_empty() { '{' } else { ',' });
            quote_into(schema.table(table).name(), &mut self.out);
            self.out.push_str(":{");
        }
        self.out.push('"');
        uuid.push_to(&mut self.out);
        self.out.push_str("\":");
    }

    /// `<row-update>`: the old and the new values.
    fn plain(
        &mut self,
        spec: &TableSpec,
        table: &TableSchema,
        event: Event,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> bool {
        let mut told = event != Event::Modify;
        self.out.push('{');
        if let Some(old) = old.filter(|_| matches!(event, Event::Delete | Event::Modify)) {
            self.out.push_str("\"old\":{");
            let start = self.out.len();
            for column in spec.columns.iter().filter(|column| column.select.has(event)) {
                let changed = new.is_none_or(|new| old.get(column.id) != new.get(column.id));
                if event == Event::Delete || changed {
                    told = true;
                    self.member(start, table, column.id, |ty, out| {
                        old.get(column.id).write_json(ty, out)
                    });
                }
            }
            self.out.push('}');
        }
        if let Some(new) = new.filter(|_| event != Event::Delete) {
            self.out.push_str(if event == Event::Modify { ",\"new\":{" } else { "\"new\":{" });
            let start = self.out.len();
            for column in spec.columns.iter().filter(|column| column.select.has(event)) {
                self.member(start, table, column.id, |ty, out| {
                    new.get(column.id).write_json(ty, out)
                });
            }
            self.out.push('}');
        }
        self.out.push('}');
        told
    }

    /// `<row-update2>`: values that are not default, or differences.
    fn differential(
        &mut self,
        spec: &TableSpec,
        table: &TableSchema,
        event: Event,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> bool {
        self.out.push_str(match event {
            Event::Initial => "{\"initial\":{",
            Event::Insert => "{\"insert\":{",
            Event::Modify => "{\"modify\":{",
            Event::Delete => {
                self.out.push_str("{\"delete\":null}");
                return true;
            }
        });
        let start = self.out.len();
        for column in spec.columns.iter().filter(|column| column.select.has(event)) {
            let Some(new) = new.map(|row| row.get(column.id)) else { continue };
            let ty = &table.column(column.id).ty;
            match old.filter(|_| event == Event::Modify).map(|row| row.get(column.id)) {
                Some(old) if old == new => {}
                Some(old) => {
                    let diff = old.diff_to(new, ty);
                    self.member(start, table, column.id, |ty, out| diff.write_json(ty, out));
                }
                None if ty.is_default(new) => {}
                None => self.member(start, table, column.id, |ty, out| new.write_json(ty, out)),
            }
        }
        let told = event != Event::Modify || self.out.len() > start;
        self.out.push_str("}}");
        told
    }

    fn member(
        &mut self,
        start: usize,
        table: &TableSchema,
        column: crate::ColumnId,
        value: impl FnOnce(&crate::ColumnType, &mut String),
    ) {
        if self.out.len() > start {
            self.out.push(',');
        }
        let column = table.column(column);
        quote_into(&column.name, &mut self.out);
        self.out.push(':');
        value(&column.ty, &mut self.out);
    }
}
