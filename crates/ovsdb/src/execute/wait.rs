//! `wait` (RFC 7047 section 5.2.6): the transaction goes on once a query has (or no longer has) a given result.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use jsonrpc::Json;

use super::{Run, Stop, empty};
use crate::members::{Members, array};
use crate::row::{Row, values_from_json};
use crate::schema::parse::column_set;
use crate::schema::{ColumnId, TableSchema};
use crate::{Datum, Error, ErrorKind, Uuid};

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let timeout = members.optional("timeout", |json| json.as_i64().map(|ms| (json, ms)))?;
    let where_json = members.required("where", array)?;
    let columns_json = members.optional("columns", array)?;
    let until = members.required("until", |json| json.as_str().map(|text| (json, text)))?;
    let rows_json = members.required("rows", Json::as_array)?;
    let table = run.table(members)?;

    let want_equal = match until {
        (_, "==") => true,
        (_, "!=") => false,
        (json, _) => return Err(Error::syntax(json, "\"until\" must be \"==\" or \"!=\"").into()),
    };
    let timeout = match timeout {
        None => None,
        Some((json, ms)) => Some(Duration::from_millis(
            u64::try_from(ms).map_err(|_| Error::syntax(json, "timeout must be nonnegative"))?,
        )),
    };
    let condition = run.condition(where_json, table)?;
    let schema = Arc::clone(run.work.db.schema());
    let schema = schema.table(table);
    let columns = match columns_json {
        Some(json) => column_set(json, schema)?,
        None => schema.column_ids().collect(),
    };
    let expected = expected_rows(run, rows_json, schema, &columns)?;
    let actual: HashSet<_> =
        run.matching(table, &condition).into_iter().map(|row| looks(row, &columns)).collect();
    if (actual == expected) == want_equal {
        return Ok(empty());
    }
    match timeout {
        Some(timeout) if run.waited >= timeout => {
            let details = match run.waited.as_millis() {
                0 => "\"where\" clause test failed".to_owned(),
                ms => format!("\"wait\" timed out after {ms} ms"),
            };
            Err(Error::new(ErrorKind::TimedOut, details).into())
        }
        _ => Err(Stop::NotYet { timeout }),
    }
}

fn expected_rows(
    run: &mut Run<'_, '_>,
    rows: &[Json],
    schema: &TableSchema,
    columns: &[ColumnId],
) -> Result<HashSet<Vec<Datum>>, Error> {
    let mut expected = HashSet::with_capacity(rows.len());
    for json in rows {
        let mut row = Row::new(schema, Uuid::ZERO);
        for (column, value) in values_from_json(json, schema, Some(&mut run.work.names))? {
            row.set(column, value);
        }
        expected.insert(looks(&row, columns));
    }
    Ok(expected)
}

/// What distinguishes a row as far as the query can see.
fn looks(row: &Row, columns: &[ColumnId]) -> Vec<Datum> {
    columns.iter().map(|id| row.get(*id).clone()).collect()
}
