//! What a monitor says, done to a database: `<table-updates>` (RFC 7047 section 4.1.6) and `<table-updates2>`
//! (ovsdb-server(7) section 4.1.14).
//!
//! The source has checked everything, so what it says is done as it is: nothing is collected, limited or refused. What cannot
//! be understood, and what cannot be, is an error for the whole update, which then has changed nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashSet;
use jsonrpc::{Json, Object};

use crate::database::RowKey;
use crate::row::Row;
use crate::schema::{ColumnId, TableSchema};
use crate::transaction::Changes;
use crate::transaction::settle::accept;
use crate::transaction::workspace::Workspace;
use crate::types::UNLIMITED;
use crate::{Database, Datum, Uuid, UuidSource};

/// How an update tells of changed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// By old and new values.
    Values,
    /// By new values and, of columns with several elements, differences.
    Differences,
}

/// What one row update says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowUpdate<'a> {
    /// The row has these values; columns not mentioned have their defaults.
    Whole(&'a Object),
    /// These columns have these values.
    Values(&'a Object),
    /// These columns differ by that.
    Differences(&'a Object),
    /// The row is gone.
    Delete,
}

impl<'a> RowUpdate<'a> {
    /// Reads one; `None`: it is none of that shape.
    pub fn read(update: &'a Json, shape: Shape) -> Option<Self> {
        let member = |name: &str| update.get(name).filter(|value| !value.is_null());
        Some(match shape {
            Shape::Values => match (member("old"), member("new")) {
                (None, Some(new)) => Self::Whole(new.as_object()?),
                (Some(_), Some(new)) => Self::Values(new.as_object()?),
                (Some(_), None) => Self::Delete,
                (None, None) => return None,
            },
            Shape::Differences => {
                if let Some(row) = member("initial").or_else(|| member("insert")) {
                    Self::Whole(row.as_object()?)
                } else if let Some(differences) = member("modify") {
                    Self::Differences(differences.as_object()?)
                } else {
                    // `{"delete": null}`
                    update.get("delete")?;
                    Self::Delete
                }
            }
        })
    }
}

/// What a monitor said at one time.
#[derive(Clone, Debug)]
pub struct Update {
    /// The last transaction in it, if it is known.
    id: Option<Uuid>,
    tables: Json,
    shape: Shape,
    /// These tables have no rows but those that are mentioned.
    whole: BTreeSet<Arc<str>>,
}

impl Update {
    pub(super) fn new(id: Option<Uuid>, tables: Json, shape: Shape) -> Self {
        Self { id, tables, shape, whole: BTreeSet::new() }
    }

    pub(super) fn of_all(mut self, tables: BTreeSet<Arc<str>>) -> Self {
        self.whole = tables;
        self
    }

    /// Does it to `db`; what then has changed.
    pub(crate) fn apply(
        &self,
        db: &mut Database,
        uuids: &mut UuidSource,
    ) -> Result<Changes, String> {
        let mut work = Workspace::new(db, uuids);
        let done = self.change(&mut work);
        match done {
            Ok(()) => accept(work, self.id).map_err(|error| error.to_string()),
            Err(why) => {
                work.roll_back();
                Err(why)
            }
        }
    }

    fn change(&self, work: &mut Workspace<'_>) -> Result<(), String> {
        let tables = self.tables.as_object().ok_or("<table-updates> is not an object")?;
        let schema = Arc::clone(work.db.schema());
        let mut mentioned: HashSet<RowKey> = HashSet::new();
        for (name, rows) in tables {
            let id = schema.table_id(name).ok_or_else(|| format!("unknown table {name}"))?;
            let rows = rows.as_object().ok_or_else(|| format!("{name}: not an object"))?;
            for (uuid, update) in rows {
                let uuid: Uuid =
                    uuid.parse().map_err(|_| format!("{name}: \"{uuid}\" is not a UUID"))?;
                let parsed = RowUpdate::read(update, self.shape)
                    .ok_or_else(|| format!("{name} row {uuid}: not a row update: {update}"))?;
                change_row(work, (id, uuid), schema.table(id), &parsed)
                    .map_err(|why| format!("{name} row {uuid}: {why}"))?;
                if !self.whole.is_empty() {
                    mentioned.insert((id, uuid));
                }
            }
        }
        for id in self.whole.iter().filter_map(|name| schema.table_id(name)) {
            let present = work.table(id).rows().map(|row| (id, row.uuid()));
            let gone: Vec<RowKey> = present.filter(|key| !mentioned.contains(key)).collect();
            for key in gone {
                work.delete(key);
            }
        }
        Ok(())
    }
}

fn change_row(
    work: &mut Workspace<'_>,
    key: RowKey,
    schema: &TableSchema,
    update: &RowUpdate<'_>,
) -> Result<(), String> {
    match update {
        RowUpdate::Whole(values) => {
            let row = with_values(Row::new(schema, key.1), values, schema)?;
            // The version of a row that has not changed stays what it was.
            let row = match work.db.row(key) {
                Some(old) if old.changed_columns(&row).next().is_none() => return Ok(()),
                _ => row,
            };
            work.put(key, row);
        }
        RowUpdate::Values(values) => {
            let old = work.db.row(key).cloned().ok_or("it does not exist")?;
            work.put(key, with_values(old, values, schema)?);
        }
        RowUpdate::Differences(differences) => {
            let mut row = work.db.row(key).cloned().ok_or("it does not exist")?;
            for (name, json) in *differences {
                let Some(id) = column(name, schema)? else { continue };
                let ty = &schema.column(id).ty;
                let wire = if ty.is_composite() { ty.relaxed(0, UNLIMITED) } else { ty.clone() };
                let value = Datum::from_json(json, &wire, None).map_err(|e| e.to_string())?;
                let value =
                    if ty.is_composite() { row.get(id).apply_diff(&value, ty) } else { value };
                row.set(id, value);
            }
            work.put(key, row);
        }
        RowUpdate::Delete => {
            if work.db.row(key).is_none() {
                return Err("it does not exist".to_owned());
            }
            work.delete(key);
        }
    }
    Ok(())
}

fn with_values(mut row: Row, values: &Object, schema: &TableSchema) -> Result<Row, String> {
    for (name, json) in values {
        let Some(id) = column(name, schema)? else { continue };
        let value =
            Datum::from_json(json, &schema.column(id).ty, None).map_err(|e| e.to_string())?;
        row.set(id, value);
    }
    Ok(row)
}

/// The column of that name; `None` for one that every row has by itself.
fn column(name: &str, schema: &TableSchema) -> Result<Option<ColumnId>, String> {
    let id = schema.column_id(name).ok_or_else(|| format!("unknown column {name}"))?;
    Ok(Some(id).filter(|id| !id.is_implicit()))
}
