//! `update` (RFC 7047 section 5.2.3).

use std::sync::Arc;

use jsonrpc::Json;

use super::{Run, Stop, count};
use crate::members::{Members, array, object};
use crate::rbac::Deed;
use crate::row::values_from_json;
use crate::{Error, ErrorKind};

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let table = run.table(members)?;
    let where_json = members.required("where", array)?;
    let row_json = members.required("row", object)?;

    let schema = Arc::clone(run.work.db.schema());
    let schema = schema.table(table);
    let values = values_from_json(row_json, schema, Some(&mut run.work.names))?;
    if let Some(column) =
        values.iter().map(|(id, _)| schema.column(*id)).find(|column| !column.mutable)
    {
        let details =
            format!("Cannot update immutable column {} in table {}.", column.name, schema.name());
        return Err(Error::new(ErrorKind::ConstraintViolation, details)
            .about(members.json())
            .into());
    }
    let condition = run.condition(where_json, table)?;
    let keys = run.matching_keys(table, &condition);
    if let Some(caller) = run.caller() {
        let columns: Vec<_> = values.iter().map(|(column, _)| *column).collect();
        caller.check(run.work.db, table, Deed::Update(&columns), run.rows(&keys))?;
    }
    for key in &keys {
        run.work.modify(*key, |row| {
            for (column, value) in &values {
                row.set(*column, value.clone());
            }
        });
    }
    Ok(count(keys.len()))
}
