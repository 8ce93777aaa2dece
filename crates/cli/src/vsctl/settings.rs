//! The settings that a run changes, checked before anything is sent.
//!
//! The database takes any text in its string maps; the table of settings ([`vswitch_schema::settings`]) knows better. What is
//! wrong in a setting that this run touches stops the run (unless `--force`); what was wrong before is left alone.

use ovsdb::{Atom, ColumnId, Datum, TableId, Uuid};
use vswitch_schema::settings::{Verdict, check, missing_option};

use super::command::Needs;
use super::db::Db;

/// A column, or a key in it, that a command set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) table: TableId,
    pub(super) row: Uuid,
    pub(super) column: ColumnId,
    /// The key, if only one was set.
    pub(super) key: Option<String>,
}

/// What the checks found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// What cannot be right.
    pub(super) refusals: Vec<String>,
    /// What can pass but is probably not meant.
    pub(super) hints: Vec<String>,
}

/// Asks for what the checks look at when `column` of `table` is set.
pub(super) fn needs(needs: &mut Needs<'_>, table: &str, column: &str) {
    let schema = needs.schema();
    if schema.table_named(table).is_some_and(|table| table.column_id("name").is_some()) {
        needs.named(table, &["name"]);
    }
    if table == "Interface" && matches!(column, "type" | "options") {
        needs.named(table, &["type", "options"]);
    }
}

impl Findings {
    /// Checks everything that was touched.
    pub(super) fn of(db: &Db<'_>) -> Self {
        let mut findings = Self::default();
        for touched in db.touched.iter().filter(|touched| db.txn.exists(touched.table, touched.row))
        {
            findings.look_at(db, touched);
        }
        findings
    }

    fn look_at(&mut self, db: &Db<'_>, touched: &Touched) {
        let table = db.schema().table(touched.table);
        let column = &table.column(touched.column).name;
        let at = Place { db, table: table.name(), column, row: touched.row };
        let value = db.txn.get(touched.table, touched.row, touched.column);
        match &touched.key {
            Some(key) => self.judge_key(&at, key, value.get_str(key)),
            None => self.judge(&at, &value),
        }
        if at.table == "Interface" && matches!(at.column, "type" | "options") {
            self.judge_interface(&at);
        }
    }

    /// A whole column.
    fn judge(&mut self, at: &Place<'_, '_>, value: &Datum) {
        for (key, value) in value.as_map() {
            if let (Some(key), Some(value)) = (key.as_str(), value.as_str()) {
                self.judge_key(at, key, Some(value));
            }
        }
        match value.as_scalar() {
            Some(Atom::String(text)) => self.judge_key(at, "", Some(text)),
            Some(Atom::Integer(number)) => self.judge_key(at, "", Some(&number.to_string())),
            _ => {}
        }
    }

    fn judge_key(&mut self, at: &Place<'_, '_>, key: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        match check(at.table, at.column, key, value, &at.interface_type()) {
            Ok(Verdict::Hint(hint)) => at.note(&mut self.hints, &hint),
            Ok(Verdict::Known | Verdict::Foreign) => {}
            Err(refusal) => at.note(&mut self.refusals, &refusal.to_string()),
        }
    }

    /// What the type of an interface and its options say together.
    fn judge_interface(&mut self, at: &Place<'_, '_>) {
        let (ty, options) = (at.interface_type(), at.db.get("Interface", at.row, "options"));
        if at.column == "type" {
            self.judge(&Place { column: "options", ..*at }, &options);
        }
        let pairs = options
            .as_map()
            .iter()
            .filter_map(|(key, value)| Some((key.as_str()?, value.as_str()?)));
        if let Some(refusal) = missing_option(&ty, pairs) {
            at.note(&mut self.refusals, &refusal.to_string());
        }
    }
}

/// Where a setting is.
#[derive(Clone, Copy)]
struct Place<'a, 't> {
    db: &'a Db<'t>,
    table: &'a str,
    column: &'a str,
    row: Uuid,
}

impl Place<'_, '_> {
    fn interface_type(&self) -> String {
        if self.table == "Interface" {
            self.db.text("Interface", self.row, "type")
        } else {
            String::new()
        }
    }

    /// Adds "Table name: text" to `list`, once.
    fn note(&self, list: &mut Vec<String>, text: &str) {
        let named = self
            .db
            .schema()
            .table_named(self.table)
            .is_some_and(|table| table.column_id("name").is_some());
        let name = if named { self.db.text(self.table, self.row, "name") } else { String::new() };
        let line = if name.is_empty() {
            format!("{}: {text}", self.table)
        } else {
            format!("{} {name}: {text}", self.table)
        };
        if !list.contains(&line) {
            list.push(line);
        }
    }
}
