//! Commands that read or change data: `transact`, `query`, `dump`.

use super::{Call, schema};
use crate::table::{Printer, Table};
use jsonrpc::{Json, json};
use ovsdb::{ColumnSchema, Datum, TableSchema};

pub(super) fn transact(call: &mut Call<'_>) -> Result<(), String> {
    let transaction = parse_transaction(call.arg(0))?;
    let result = call.request("transact", transaction)?;
    call.print_json(&result)
}

/// As `transact`, with an operation at the end that takes everything back.
pub(super) fn query(call: &mut Call<'_>) -> Result<(), String> {
    let mut transaction = parse_transaction(call.arg(0))?;
    transaction.push(json!({"op": "abort"}));
    let asked = transaction.len() - 1; // the database's name is no operation, but the abort is one
    let result = call.request("transact", transaction)?;
    let Some(results) = result.as_array() else { return call.print_json(&result) };
    // The abort's own result is of no interest; an operation that failed before it is.
    let aborted = |r: &Json| r.get("error").and_then(Json::as_str) == Some("aborted");
    let results = match results.split_last() {
        Some((last, before)) if results.len() == asked && aborted(last) => before,
        _ => results,
    };
    call.print_json(&results.iter().collect())
}

/// The params of a "transact" request: an array that begins with the database's name.
fn parse_transaction(text: &str) -> Result<Vec<Json>, String> {
    let json = Json::parse(text).map_err(|e| format!("\"{text}\": {e}"))?;
    match json.as_array() {
        Some(items) if items.first().is_some_and(|first| first.as_str().is_some()) => {
            Ok(items.to_vec())
        }
        _ => Err("not a valid OVSDB query".to_owned()),
    }
}

pub(super) fn dump(call: &mut Call<'_>) -> Result<(), String> {
    let schema = schema::fetch(call)?;
    let mut printer = Printer::new(call.settings.style.clone());
    match call.args.split_first() {
        None => {
            for table in schema.tables() {
                dump_table(call, &mut printer, table, every_column(table))?;
            }
        }
        Some((name, columns)) => {
            let table =
                schema.table_named(name).ok_or_else(|| format!("No table \"{name}\" found."))?;
            let columns = if columns.is_empty() {
                every_column(table)
            } else {
                named_columns(table, columns)?
            };
            dump_table(call, &mut printer, table, columns)?;
        }
    }
    Ok(())
}

fn every_column(table: &TableSchema) -> Vec<&ColumnSchema> {
    let mut columns: Vec<_> = table.columns().iter().filter(|c| *c.name != *"_version").collect();
    columns.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    columns
}

fn named_columns<'a>(
    table: &'a TableSchema,
    names: &[String],
) -> Result<Vec<&'a ColumnSchema>, String> {
    let find = |name: &String| {
        let missing = || format!("Table \"{}\" has no column {name}.", table.name());
        table.column_named(name).ok_or_else(missing)
    };
    let mut columns = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    columns.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(columns)
}

fn dump_table(
    call: &mut Call<'_>,
    printer: &mut Printer,
    table: &TableSchema,
    columns: Vec<&ColumnSchema>,
) -> Result<(), String> {
    let names = Json::array(columns.iter().map(|c| &c.name));
    let select = json!({"op": "select", "table": table.name(), "where": [], "columns": names});
    let reply = call.request("transact", vec![json!(call.database.clone()), select])?;
    let Some(result) = reply.at(0) else {
        return Err(format!("{} table reply is empty", table.name()));
    };
    let Some(rows) = result.get("rows").and_then(Json::as_array) else {
        return Err(format!(
            "{} table reply is not an object with a \"rows\" member array: {result}",
            table.name()
        ));
    };
    let mut data =
        rows.iter().map(|row| parse_row(row, &columns)).collect::<Result<Vec<_>, _>>()?;
    // By content; the rows' own names only decide among equals.
    let name = columns.iter().position(|c| *c.name == *"_uuid");
    data.sort_by(|a, b| {
        let content = |row: &Vec<Datum>| -> Vec<Datum> {
            row.iter()
                .enumerate()
                .filter(|(i, _)| Some(*i) != name)
                .map(|(_, datum)| datum.clone())
                .collect()
        };
        content(a).cmp(&content(b)).then_with(|| a.cmp(b))
    });

    let mut shown = Table::new(columns.iter().map(|c| c.name.to_string()));
    shown.caption = Some(format!("{} table", table.name()));
    let cells = |row: &Vec<Datum>| {
        row.iter()
            .zip(&columns)
            .map(|(datum, column)| printer.style().datum(datum, &column.ty))
            .collect()
    };
    shown.rows = data.iter().map(cells).collect();
    let mut text = String::new();
    printer.print(&shown, &mut text);
    call.print(&text)
}

fn parse_row(row: &Json, columns: &[&ColumnSchema]) -> Result<Vec<Datum>, String> {
    let value = |column: &&ColumnSchema| match row.get(&column.name) {
        Some(json) => Datum::from_json(json, &column.ty, None).map_err(|e| e.to_string()),
        None => {
            Err(format!("column \"{}\" is missing from a row that the server sent", column.name))
        }
    };
    columns.iter().map(value).collect()
}
