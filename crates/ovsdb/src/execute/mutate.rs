//! `mutate` (RFC 7047 section 5.2.4).

use std::sync::Arc;

use jsonrpc::Json;

use super::{Run, Stop, count};
use crate::members::{Members, array};
use crate::mutation::Mutation;
use crate::rbac::Deed;

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let table = run.table(members)?;
    let where_json = members.required("where", array)?;
    let mutations = members.required("mutations", Json::as_array)?;

    let schema = Arc::clone(run.work.db.schema());
    let schema = schema.table(table);
    let mutations =
        mutations.iter().map(|json| Mutation::from_json(json, schema, Some(&mut run.work.names)));
    let mutations = mutations.collect::<Result<Vec<_>, _>>()?;
    let condition = run.condition(where_json, table)?;
    let keys = run.matching_keys(table, &condition);
    if let Some(caller) = run.caller() {
        let columns: Vec<_> = mutations.iter().map(Mutation::column).collect();
        caller.check(run.work.db, table, Deed::Mutate(&columns), run.rows(&keys))?;
    }
    for key in &keys {
        let result =
            run.work.modify(*key, |row| mutations.iter().try_for_each(|m| m.apply(row, schema)));
        result.unwrap_or(Ok(()))?;
    }
    Ok(count(keys.len()))
}
