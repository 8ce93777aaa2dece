//! What a transaction changed, as the JSON of a record (ovsdb(5), "Standalone Format").
//!
//! `_is_diff` (Open vSwitch 2.15 and newer) says that the values of changed rows are differences where the column may hold
//! several elements, which keeps the record of one port added to a large bridge small. Two kinds of difference Open vSwitch
//! writes but does not read: one that has more elements than the column may have, and one to a default value that is not
//! empty, which it takes for the new value. A record with such a difference goes without differences here.

use std::io;
use std::sync::Arc;

use jsonrpc::json::text::quote_into;
use jsonrpc::{Json, Object};

use crate::database::{Database, RowKey};
use crate::freeze::Whole;
use crate::row::Row;
use crate::schema::{ColumnId, TableSchema};
use crate::transaction::{Changes, RowChange};
use crate::types::UNLIMITED;
use crate::{Datum, Error, ErrorKind, Uuid};

/// How a record says what a column with several elements has changed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangedValues {
    /// By the difference, where Open vSwitch reads that.
    #[default]
    Differences,
    /// By the new value, which versions of Open vSwitch before 2.15 read, too.
    Whole,
}

/// Writes the record's body to `out`, which is empty and stays so if nothing of `changes` belongs on disk. `date` is in
/// milliseconds since 1970.
pub(crate) fn write_change(
    changes: &Changes,
    db: &Database,
    values: ChangedValues,
    comment: &str,
    date: i64,
    out: &mut String,
) {
    let is_diff = values == ChangedValues::Differences
        && changes.rows.iter().all(|change| diffs_fit(change, db.schema().table(change.table)));
    for (table, rows) in changes.by_table() {
        let schema = db.schema().table(table);
        let mut first = true;
        for change in rows {
            let before = out.len();
            if first {
                begin_member(schema.name(), out);
                out.push('{');
            }
            begin_row(change.uuid, first, out);
            if write_row(change, schema, is_diff, out) {
                first = false;
            } else {
                out.truncate(before);
            }
        }
        if !first {
            out.push('}');
        }
    }
    if !out.is_empty() {
        write_members(comment, date, is_diff, out);
    }
}

/// True if Open vSwitch reads every difference as it is meant.
fn diffs_fit(change: &RowChange, schema: &TableSchema) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    change.columns().iter().all(|id| {
        let ty = &schema.column(*id).ty;
        let (old, new) = (old.get(*id), new.get(*id));
        let fits = |n: usize| n as u64 <= u64::from(ty.n_max);
        let from_default = !old.is_empty() && ty.is_default(old);
        !ty.is_composite()
            || !from_default && (fits(old.len() + new.len()) || fits(old.diff_to(new, ty).len()))
    })
}

/// Writes the whole of `db` as one record's body.
pub(crate) fn write_snapshot(
    db: &dyn Whole,
    comment: &str,
    date: i64,
    to: &mut dyn io::Write,
) -> io::Result<()> {
    let mut out = String::new();
    let mut anything = false;
    for (id, schema) in db.schema().table_ids().zip(db.schema().tables()) {
        let mut first = true;
        for row in db.rows(id) {
            if first {
                out.push(if anything { ',' } else { '{' });
                anything = true;
                quote_into(schema.name(), &mut out);
                out.push_str(":{");
            }
            begin_row(row.uuid(), first, &mut out);
            first = false;
            write_inserted(row, schema, &mut out);
            if out.len() > 32 * 1024 {
                to.write_all(out.as_bytes())?;
                out.clear();
            }
        }
        if !first {
            out.push('}');
        }
    }
    if !anything {
        out.push('{');
    }
    write_members(comment, date, true, &mut out);
    to.write_all(out.as_bytes())
}

fn begin_member(name: &str, out: &mut String) {
    out.push(if out.is_empty() { '{' } else { ',' });
    quote_into(name, out);
    out.push(':');
}

fn begin_row(uuid: Uuid, first: bool, out: &mut String) {
    out.push_str(if first { "\"" } else { ",\"" });
    uuid.push_to(out);
    out.push_str("\":");
}

/// Ends the body, which is not empty, with what is no table.
fn write_members(comment: &str, date: i64, is_diff: bool, out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str("\"_date\":");
    out.push_str(itoa::Buffer::new().format(date));
    if is_diff {
        out.push_str(",\"_is_diff\":true");
    }
    if !comment.is_empty() {
        out.push_str(",\"_comment\":");
        quote_into(comment, out);
    }
    out.push('}');
}

/// Appends the `<row-txn>`; false if nothing in it belongs on disk.
fn write_row(change: &RowChange, schema: &TableSchema, is_diff: bool, out: &mut String) -> bool {
    match (&change.old, &change.new) {
        (_, None) => {
            out.push_str("null");
            true
        }
        (None, Some(new)) => {
            write_inserted(new, schema, out);
            true
        }
        (Some(old), Some(new)) => {
            let mut any = false;
            out.push('{');
            for id in change.columns().iter().copied() {
                let column = schema.column(id);
                if column.ephemeral {
                    continue;
                }
                if std::mem::replace(&mut any, true) {
                    out.push(',');
                }
                quote_into(&column.name, out);
                out.push(':');
                if is_diff {
                    old.get(id).diff_to(new.get(id), &column.ty).write_json(&column.ty, out);
                } else {
                    new.get(id).write_json(&column.ty, out);
                }
            }
            out.push('}');
            any
        }
    }
}

fn write_inserted(row: &Row, schema: &TableSchema, out: &mut String) {
    let start = out.len();
    out.push('{');
    for (id, column) in schema.named_columns() {
        if !column.ephemeral && !column.ty.is_default(row.get(id)) {
            out.push_str(if out.len() == start + 1 { "" } else { "," });
            quote_into(&column.name, out);
            out.push(':');
            row.get(id).write_json(&column.ty, out);
        }
    }
    out.push('}');
}

/// The members of a record that are not tables.
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    /// When it was committed, in milliseconds since 1970.
    pub date: Option<i64>,
    /// What the client said about it.
    pub comment: Option<String>,
    /// Values of changed rows are differences.
    pub is_diff: bool,
}

impl Annotations {
    /// Takes them from a record.
    pub fn of(record: &Object) -> Self {
        Self {
            date: record.get("_date").and_then(Json::as_i64),
            comment: record.get("_comment").and_then(Json::as_str).map(str::to_owned),
            is_diff: record.get("_is_diff").and_then(Json::as_bool).unwrap_or(false),
        }
    }
}

/// How strictly a record must fit the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Unknown tables and columns are errors.
    Exact,
    /// They are ignored: the record comes from another version of the schema.
    Converting,
}

/// Does to `db` what a record says, or nothing, without any of the checks of a transaction. Derived data is left alone.
pub(crate) fn apply_record(db: &mut Database, record: &Json, fit: Fit) -> Result<(), Error> {
    let mut undo = Vec::new();
    apply_members(db, record, fit, &mut undo).inspect_err(|_| {
        for (key, row) in undo.into_iter().rev() {
            db.replace(key, row);
        }
    })
}

fn apply_members(
    db: &mut Database,
    record: &Json,
    fit: Fit,
    undo: &mut Vec<(RowKey, Option<Row>)>,
) -> Result<(), Error> {
    let Some(members) = record.as_object() else {
        return Err(Error::syntax(record, "object expected"));
    };
    let is_diff = Annotations::of(members).is_diff;
    let schema = Arc::clone(db.schema());
    for (name, rows) in members {
        let Some(table) = schema.table_id(name) else {
            if name.starts_with('_') || fit == Fit::Converting {
                continue;
            }
            let details = format!("No table named {name}.");
            return Err(Error::new(ErrorKind::UnknownTable, details).about(record));
        };
        let Some(rows_object) = rows.as_object() else {
            return Err(Error::syntax(rows, "object expected"));
        };
        for (uuid, row_json) in rows_object {
            let Ok(uuid) = uuid.parse::<Uuid>() else {
                return Err(Error::syntax(rows, format!("\"{uuid}\" is not a valid UUID")));
            };
            let old = db.row((table, uuid)).cloned();
            let table_schema = schema.table(table);
            let new = match (row_json, old.clone()) {
                (Json::Null, None) => {
                    let details = format!("transaction deletes row {uuid} that does not exist");
                    return Err(Error::new(ErrorKind::Syntax, details));
                }
                (Json::Null, Some(_)) => None,
                (json, Some(old)) => Some(changed_row(old, json, table_schema, is_diff, fit)?),
                (json, None) => {
                    Some(changed_row(Row::new(table_schema, uuid), json, table_schema, false, fit)?)
                }
            };
            undo.push(((table, uuid), old));
            db.replace((table, uuid), new);
        }
    }
    Ok(())
}

fn changed_row(
    mut row: Row,
    json: &Json,
    schema: &TableSchema,
    is_diff: bool,
    fit: Fit,
) -> Result<Row, Error> {
    let Some(members) = json.as_object() else {
        return Err(Error::syntax(json, "row must be JSON object"));
    };
    for (name, value) in members {
        let Some(id) = schema.column_id(name).filter(|id| *id != ColumnId::UUID) else {
            if fit == Fit::Converting {
                continue;
            }
            let details = format!("No column {name} in table {}.", schema.name());
            return Err(Error::new(ErrorKind::UnknownColumn, details).about(json));
        };
        let ty = &schema.column(id).ty;
        let value = if is_diff && ty.is_composite() {
            let diff = Datum::from_json(value, &ty.relaxed(0, UNLIMITED), None)?;
            let value = row.get(id).apply_diff(&diff, ty);
            value.check_len(ty)?;
            value
        } else {
            Datum::from_json(value, ty, None)?
        };
        row.set(id, value);
    }
    Ok(row)
}
