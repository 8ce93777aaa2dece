//! `delete` (RFC 7047 section 5.2.5).

use jsonrpc::Json;

use super::{Run, Stop, count};
use crate::members::{Members, array};
use crate::rbac::Deed;

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let where_json = members.required("where", array)?;
    let table = run.table(members)?;

    let condition = run.condition(where_json, table)?;
    let keys = run.matching_keys(table, &condition);
    if let Some(caller) = run.caller() {
        caller.check(run.work.db, table, Deed::Delete, run.rows(&keys))?;
    }
    for key in &keys {
        run.work.delete(*key);
    }
    Ok(count(keys.len()))
}
