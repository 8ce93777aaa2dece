//! Commands about databases and their schemas.

use super::{Call, connect};
use crate::schema_file;
use crate::table::{Cell, Table};
use jsonrpc::json;
use ovsdb::{ColumnSchema, Schema};

pub(super) fn list_dbs(call: &mut Call<'_>) -> Result<(), String> {
    let names = connect::list(call)?;
    call.print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())
}

/// The schema of the command's database.
pub(super) fn fetch(call: &mut Call<'_>) -> Result<Schema, String> {
    let database = call.database.clone();
    fetch_named(call, &database)
}

fn fetch_named(call: &mut Call<'_>, database: &str) -> Result<Schema, String> {
    let json = call.request("get_schema", vec![json!(database)])?;
    Schema::from_json(&json).map_err(|e| e.to_string())
}

pub(super) fn get_schema(call: &mut Call<'_>) -> Result<(), String> {
    let schema = fetch(call)?;
    call.print_json(&schema.to_json())
}

pub(super) fn get_version(call: &mut Call<'_>) -> Result<(), String> {
    let schema = fetch(call)?;
    call.print(&format!("{}\n", schema.version()))
}

pub(super) fn get_cksum(call: &mut Call<'_>) -> Result<(), String> {
    let schema = fetch(call)?;
    call.print(&format!("{}\n", schema.cksum()))
}

pub(super) fn list_tables(call: &mut Call<'_>) -> Result<(), String> {
    let schema = fetch(call)?;
    let mut table = Table::new(["Table"]);
    table.rows = schema.tables().iter().map(|t| vec![Cell::from(&**t.name())]).collect();
    call.print_table(&table)
}

pub(super) fn list_columns(call: &mut Call<'_>) -> Result<(), String> {
    let schema = fetch(call)?;
    let only = call.args.first().cloned();
    let headings: &[&str] =
        if only.is_some() { &["Column", "Type"] } else { &["Table", "Column", "Type"] };
    let mut table = Table::new(headings.iter().copied());
    for t in
        schema.tables().iter().filter(|t| only.as_ref().is_none_or(|name| **name == **t.name()))
    {
        let mut columns: Vec<&ColumnSchema> = t.columns().iter().collect();
        columns.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for column in columns {
            let name = only.is_none().then(|| Cell::from(&**t.name()));
            let rest = [Cell::from(&*column.name), Cell::Json(column.ty.to_json())];
            table.rows.push(name.into_iter().chain(rest).collect());
        }
    }
    call.print_table(&table)
}

pub(super) fn convert(call: &mut Call<'_>) -> Result<(), String> {
    let schema = schema_file::read(call.arg(0))?;
    call.request("convert", vec![json!(schema.name()), schema.to_json()]).map(drop)
}

pub(super) fn needs_conversion(call: &mut Call<'_>) -> Result<(), String> {
    let wanted = schema_file::read(call.arg(0))?;
    let present = fetch_named(call, wanted.name())?;
    call.print(if present == wanted { "no\n" } else { "yes\n" })
}
