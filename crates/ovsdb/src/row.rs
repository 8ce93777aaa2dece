//! One version of one row.

use std::sync::Arc;

use jsonrpc::Json;

use crate::datum::json::NamedUuids;
use crate::schema::{ColumnId, TableSchema};
use crate::{Datum, Error, ErrorKind, Uuid};

/// The values of a row, one per column of its table. Cloning shares; changing a shared row copies it first, so whoever
/// holds the old version keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Arc<[Datum]>);

impl Row {
    /// A row with the default value in every column but `_uuid`.
    pub fn new(table: &TableSchema, uuid: Uuid) -> Self {
        let values = table.columns().iter().enumerate().map(|(i, column)| match i {
            0 => Datum::from(uuid),
            _ => column.ty.default_datum(),
        });
        Self(values.collect())
    }

    /// The row's identifier.
    pub fn uuid(&self) -> Uuid {
        self.get(ColumnId::UUID).as_uuid().unwrap_or_default()
    }

    /// The identifier of this version of the row.
    pub fn version(&self) -> Uuid {
        self.get(ColumnId::VERSION).as_uuid().unwrap_or_default()
    }

    /// The value of `column`, which must belong to the row's table.
    pub fn get(&self, column: ColumnId) -> &Datum {
        &self.0[column.index()]
    }

    /// Every value, in the order of the table's columns.
    pub fn values(&self) -> &[Datum] {
        &self.0
    }

    /// Changes the value of `column`, which must belong to the row's table.
    pub fn set(&mut self, column: ColumnId, value: Datum) {
        if *self.get(column) != value {
            Arc::make_mut(&mut self.0)[column.index()] = value;
        }
    }

    /// The columns in which `self` and `other` differ, `_version` aside.
    pub fn changed_columns<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = ColumnId> + 'a {
        let pairs = self.0.iter().zip(other.0.iter()).enumerate();
        pairs
            .filter(|(i, (a, b))| *i != ColumnId::VERSION.index() && a != b)
            .map(|(i, _)| ColumnId(i as u16))
    }

    /// True if both are the same version in memory.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// An estimate of the memory that the row holds, in bytes.
    pub fn heap_size(&self) -> usize {
        16 + self.0.iter().map(|value| size_of::<Datum>() + value.heap_size()).sum::<usize>()
    }
}

/// Parses a `<row>`: an object from column names to values.
pub(crate) fn values_from_json(
    json: &Json,
    table: &TableSchema,
    mut names: Option<&mut dyn NamedUuids>,
) -> Result<Vec<(ColumnId, Datum)>, Error> {
    let Some(object) = json.as_object() else {
        return Err(Error::syntax(json, "row must be JSON object"));
    };
    let mut values = Vec::with_capacity(object.len());
    for (name, value) in object {
        let Some(id) = table.column_id(name) else {
            let details = format!("No column {name} in table {}.", table.name());
            return Err(Error::new(ErrorKind::UnknownColumn, details).about(json));
        };
        let loan: Option<&mut dyn NamedUuids> = match &mut names {
            Some(names) => Some(&mut **names),
            None => None,
        };
        values.push((id, Datum::from_json(value, &table.column(id).ty, loan)?));
    }
    Ok(values)
}

/// The `<row>` with the given columns.
pub(crate) fn to_json(row: &Row, table: &TableSchema, columns: &[ColumnId]) -> Json {
    let members = columns.iter().map(|id| {
        let column = table.column(*id);
        (Arc::clone(&column.name), row.get(*id).to_json(&column.ty))
    });
    Json::object(members)
}
