//! `insert` (RFC 7047 section 5.2.1), with Open vSwitch's extension that the client may choose the row's UUID.

use std::sync::Arc;

use jsonrpc::Json;

use super::{Run, Stop};
use crate::datum::json::uuid_to_json;
use crate::members::{Members, id, object};
use crate::rbac::Deed;
use crate::row::{Row, values_from_json};
use crate::schema::{ColumnId, TableId};
use crate::{Error, ErrorKind, Uuid};

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let table = run.table(members)?;
    let name = members.optional("uuid-name", id)?;
    let wanted = members.optional("uuid", |json| json.as_str().map(|_| json))?;
    let row_json = members.required("row", object)?;

    let wanted = wanted.map(|json| chosen_uuid(run, table, json)).transpose()?;
    let uuid = match name {
        Some(name) => run.work.names.claim(name, wanted).ok_or_else(|| {
            let details = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
            Error::new(ErrorKind::DuplicateUuidName, details).about(&Json::from(name))
        })?,
        None => wanted.unwrap_or_else(|| run.work.names.fresh()),
    };

    let schema = Arc::clone(run.work.db.schema());
    let table_schema = schema.table(table);
    let mut values = values_from_json(row_json, table_schema, Some(&mut run.work.names))?;
    values.retain(|(column, _)| !column.is_implicit());
    for (column, error) in &run.work.table(table).forbidden_defaults {
        if !values.iter().any(|(given, _)| given == column) {
            return Err(error.clone().into());
        }
    }
    let mut row = Row::new(table_schema, uuid);
    row.set(ColumnId::VERSION, run.work.names.fresh().into());
    for (column, value) in values {
        row.set(column, value);
    }
    if let Some(caller) = run.caller() {
        caller.check(run.work.db, table, Deed::Insert, [&row])?;
    }
    run.work.put((table, uuid), row);
    Ok(Json::object([("uuid", uuid_to_json(uuid))]))
}

fn chosen_uuid(run: &Run<'_, '_>, table: TableId, json: &Json) -> Result<Uuid, Error> {
    let uuid = json.as_str().and_then(|text| text.parse().ok());
    let uuid = uuid.ok_or_else(|| Error::syntax(json, "bad uuid"))?;
    if run.work.is_free((table, uuid)) {
        Ok(uuid)
    } else {
        let details = "This UUID would duplicate a UUID already present within the table or deleted within the same transaction.";
        Err(Error::new(ErrorKind::DuplicateUuid, details).about(json))
    }
}
