//! `select` (RFC 7047 section 5.2.2).

use std::sync::Arc;

use hashbrown::HashSet;
use jsonrpc::Json;

use super::{Run, Stop};
use crate::members::{Members, array};
use crate::row;
use crate::schema::ColumnId;
use crate::schema::parse::column_set;

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let table = run.table(members)?;
    let where_json = members.required("where", array)?;
    let columns_json = members.optional("columns", array)?;

    let condition = run.condition(where_json, table)?;
    let schema = Arc::clone(run.work.db.schema());
    let schema = schema.table(table);
    let columns = match columns_json {
        Some(json) => column_set(json, schema)?,
        None => schema.column_ids().collect(),
    };
    let matching = run.matching(table, &condition);
    let mut rows = Vec::with_capacity(matching.len());
    if columns.contains(&ColumnId::UUID) {
        rows.extend(matching.iter().map(|row| row::to_json(row, schema, &columns)));
    } else {
        // Rows that look the same are one row.
        let mut seen = HashSet::new();
        let looks =
            |row: &row::Row| columns.iter().map(|id| row.get(*id).clone()).collect::<Vec<_>>();
        let distinct = matching.iter().filter(|row| seen.insert(looks(row)));
        rows.extend(distinct.map(|row| row::to_json(row, schema, &columns)));
    }
    Ok(Json::object([("rows", Json::from(rows))]))
}
