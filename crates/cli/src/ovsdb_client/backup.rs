//! `backup` and `restore`: a database as a file, and back.

use super::{Call, schema};
use jsonrpc::{Json, json};
use ovsdb::execute::{Access, Context, Outcome};
use ovsdb::log::memory::MemoryStorage;
use ovsdb::{ColumnType, Database, Schema, TableSchema, Transaction, UuidSource};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use stream::strerror;

/// What `backup` writes as the file's comment.
const BACKUP_COMMENT: &str = "produced by \"ovsdb-client backup\"";
const RESTORE_COMMENT: &str = "ovsdb-client restore";

pub(super) fn backup(call: &mut Call<'_>) -> Result<(), String> {
    let schema = schema::fetch(call)?;
    let mut operations = Vec::new();
    for table in schema.tables() {
        for row in persistent_rows(call, table)? {
            operations.push(insert_as_it_is(table, &row));
        }
    }
    let database = build(schema, &operations)?;
    let date = i64::try_from(call.settings.clock.wall().as_millis()).unwrap_or(i64::MAX);
    let mut file = Vec::new();
    let written = ovsdb::log::write_compact(&database, BACKUP_COMMENT, date, &mut file);
    written
        .and_then(|()| call.out.write_all(&file))
        .map_err(|_| "write to stdout failed".to_owned())
}

/// The rows of a table without their ephemeral columns, which do not survive a restart either.
fn persistent_rows(call: &mut Call<'_>, table: &TableSchema) -> Result<Vec<Json>, String> {
    let columns = table.columns().iter().filter(|c| !c.ephemeral && *c.name != *"_version");
    let columns = Json::array(columns.map(|c| &c.name));
    let select = json!({"op": "select", "table": table.name(), "where": [], "columns": columns});
    let reply = call.request("transact", vec![json!(call.database.clone()), select])?;
    let rows = reply.at(0).and_then(|result| result.get("rows")).and_then(Json::as_array);
    let bad = || {
        format!(
            "{} table reply is not an object with a \"rows\" member array: {reply}",
            table.name()
        )
    };
    rows.map(<[Json]>::to_vec).ok_or_else(bad)
}

fn insert_as_it_is(table: &TableSchema, row: &Json) -> Json {
    let uuid = row.get("_uuid").and_then(|uuid| uuid.at(1)).cloned().unwrap_or_default();
    let values = row.as_object().map(|o| o.without("_uuid")).unwrap_or_default();
    json!({"op": "insert", "table": table.name(), "uuid": uuid, "row": values})
}

/// A database of these rows, checked as the server has checked them.
fn build(schema: Schema, operations: &[Json]) -> Result<Database, String> {
    let mut database = Database::new(Arc::new(schema));
    let mut uuids = UuidSource::from_seed([0; 32]); // every row brings its own
    let context = Context {
        uuids: &mut uuids,
        access: Access::ReadWrite,
        holds_lock: &|_| false,
        waited: Duration::ZERO,
    };
    match Transaction::new(operations).execute(&mut database, context) {
        Outcome::Checked(_) => Ok(database),
        Outcome::Failed(reply) => Err(format!("the server's data is not consistent: {reply}")),
        Outcome::Waiting(_) => Err("the server's data cannot be checked".to_owned()),
    }
}

pub(super) fn restore(call: &mut Call<'_>) -> Result<(), String> {
    const NAME: &str = "/dev/stdin";
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|e| format!("{NAME}: {}", strerror(&e)))?;
    let opened =
        ovsdb::log::read(&mut MemoryStorage::new(bytes), NAME).map_err(|e| e.to_string())?;
    if let Some(damage) = opened.damage {
        return Err(damage.to_string());
    }
    let snapshot = opened.database;
    let schema = schema::fetch(call)?;
    compare_schemas(snapshot.schema(), &schema, call.settings.force)?;

    let mut params = vec![json!(call.database.clone())];
    for (id, table) in snapshot.schema().table_ids().zip(snapshot.schema().tables()) {
        if schema.table_named(table.name()).is_none() && snapshot.table(id).is_empty() {
            continue; // by force only: a table that the database lacks and nobody needs
        }
        params.push(json!({"op": "delete", "table": table.name(), "where": []}));
        for row in snapshot.table(id).rows() {
            let columns = table.named_columns().filter(|(_, column)| !column.ephemeral);
            let values = columns.filter(|(id, column)| !column.ty.is_default(row.get(*id))).map(
                |(id, column)| {
                    (column.name.clone(), to_named(&row.get(id).to_json(&column.ty), &column.ty))
                },
            );
            params.push(json!({
                "op": "insert", "table": table.name(), "uuid-name": name_of(&row.uuid().to_string()),
                "row": Json::object(values)
            }));
        }
    }
    params.push(json!({"op": "comment", "comment": RESTORE_COMMENT}));
    let reply = call.request("transact", params)?;
    match reply.as_array().into_iter().flatten().find(|result| result.get("error").is_some()) {
        Some(error) => Err(format!("transaction returned error: {error}")),
        None => Ok(()),
    }
}

/// Clients cannot choose UUIDs by RFC 7047: each row gets a name made of the UUID that it had.
fn name_of(uuid: &str) -> String {
    format!("row{}", uuid.replace('-', "_"))
}

/// The value with references to rows of the snapshot turned into references by name.
fn to_named(json: &Json, ty: &ColumnType) -> Json {
    if ty.bases().all(|base| base.reference().is_none()) {
        return json.clone();
    }
    let Some(items) = json.as_array() else { return json.clone() };
    match items {
        [tag, Json::String(uuid)] if tag.as_str() == Some("uuid") => {
            json!(["named-uuid", name_of(uuid)])
        }
        _ => items.iter().map(|item| to_named(item, ty)).collect(),
    }
}

fn compare_schemas(snapshot: &Schema, database: &Schema, force: bool) -> Result<(), String> {
    let mut differences = Vec::new();
    for (what, ours, theirs) in [
        ("name", &**snapshot.name(), &**database.name()),
        ("version", snapshot.version(), database.version()),
        ("checksum", snapshot.cksum(), database.cksum()),
    ] {
        if ours != theirs {
            differences.push(format!(
                "backup schema has {what} \"{ours}\" but database schema has {what} \"{theirs}\""
            ));
        }
    }
    match differences.first() {
        None => Ok(()),
        Some(_) if force => {
            differences
                .iter()
                .for_each(|difference| log::info!(target: "ovsdb_client", "{difference}"));
            Ok(())
        }
        Some(difference) => Err(format!(
            "{difference} (use --force to override differences, or \"ovsdb-client convert\" to change the schema)"
        )),
    }
}
