//! The database commands: `list`, `find`, `get`, `set`, `add`, `remove`, `clear`, `create`, `destroy`, `wait-until`, `comment`.
//!
//! They know nothing of switches; tables, columns and their types come from the schema.

use ovsdb::types::UNLIMITED;
use ovsdb::{ColumnId, ColumnType, Datum, TableId, Uuid};

use super::command::{Call, Command, Needs, nothing};
use super::condition::{OPERATORS, meets_all};
use super::context::{Ctx, Rows};
use super::{Fatal, Stop, fatal, names, record};

#[rustfmt::skip]
pub(super) const COMMANDS: &[Command] = &[
    Command::new("comment", "[ARG]...", &[], "put ARGs into the database's log", nothing, comment),
    Command::new("get", "TABLE RECORD [COLUMN[:KEY]]...", &["--if-exists", "--id="], "print values of columns of a record", needs_get, get),
    Command::new("list", "TABLE [RECORD]...", &["--if-exists", "--columns="], "list records of a table, or all", needs_list, list),
    Command::new("find", "TABLE [COLUMN[:KEY]=VALUE]...", &["--columns="], "list the records that meet conditions", needs_find, find),
    Command::new("set", "TABLE RECORD COLUMN[:KEY]=VALUE...", &["--if-exists"], "set columns of a record", needs_set, set),
    Command::new("add", "TABLE RECORD COLUMN [KEY=]VALUE...", &["--if-exists"], "add to a column of a record", needs_column, add),
    Command::new("remove", "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", &["--if-exists"], "remove from a column of a record", needs_column, remove),
    Command::new("clear", "TABLE RECORD COLUMN...", &["--if-exists"], "empty columns of a record", needs_columns, clear),
    Command::new("create", "TABLE COLUMN[:KEY]=VALUE...", &["--id="], "create a record", needs_create, create),
    Command::new("destroy", "TABLE [RECORD]...", &["--if-exists", "--all"], "delete records of a table", needs_destroy, destroy),
    Command::new("wait-until", "TABLE RECORD [COLUMN[:KEY]=VALUE]...", &[], "wait until a record meets conditions", needs_wait, wait_until),
];

// --- what they need to see

fn needs_record(needs: &mut Needs<'_>, call: &Call) -> Result<TableId, Fatal> {
    let table = names::table(&needs.schema(), call.arg(0))?;
    record::needs(needs, table);
    Ok(table)
}

/// What the checks of settings look at when `column` is set.
fn needs_checks(needs: &mut Needs<'_>, table: TableId, column: ColumnId) {
    needs.column(table, column);
    let schema = needs.schema();
    super::settings::needs(
        needs,
        schema.table(table).name(),
        &schema.table(table).column(column).name,
    );
}

fn needs_get(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = needs_record(needs, call)?;
    for arg in call.args_from(2).iter().filter(|arg| !is_uuid_column(arg)) {
        let (column, _) = names::place(&needs.schema(), table, arg)?;
        needs.column(table, column);
    }
    Ok(())
}

fn needs_list(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = needs_record(needs, call)?;
    needs_printed(needs, call, table)
}

fn needs_printed(needs: &mut Needs<'_>, call: &Call, table: TableId) -> Result<(), Fatal> {
    match call.option("--columns=") {
        None => needs.every_column(table),
        Some(columns) => {
            for column in names::column_list(&needs.schema(), table, columns)? {
                needs.column(table, column);
            }
        }
    }
    Ok(())
}

fn needs_find(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = names::table(&needs.schema(), call.arg(0))?;
    needs.table(table);
    needs_printed(needs, call, table)?;
    needs_conditions(needs, table, call.args_from(1))
}

fn needs_wait(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = needs_record(needs, call)?;
    needs_conditions(needs, table, call.args_from(2))
}

fn needs_conditions(
    needs: &mut Needs<'_>,
    table: TableId,
    conditions: &[String],
) -> Result<(), Fatal> {
    for condition in conditions {
        let term = names::term(&needs.schema(), table, condition, OPERATORS)?;
        needs.column(table, term.column);
    }
    Ok(())
}

fn needs_set(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = needs_record(needs, call)?;
    needs_settings(needs, table, call.args_from(2))
}

/// What `column[:key]=value` arguments touch.
pub(super) fn needs_settings(
    needs: &mut Needs<'_>,
    table: TableId,
    args: &[String],
) -> Result<(), Fatal> {
    for arg in args {
        let term = names::term(&needs.schema(), table, arg, &["="])?;
        needs_checks(needs, table, term.column);
    }
    Ok(())
}

fn needs_column(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = needs_record(needs, call)?;
    let column = mutable_column(needs, table, call.arg(2))?;
    needs_checks(needs, table, column);
    Ok(())
}

fn needs_columns(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let table = needs_record(needs, call)?;
    for arg in call.args_from(2) {
        let column = mutable_column(needs, table, arg)?;
        needs_checks(needs, table, column);
    }
    Ok(())
}

fn mutable_column(needs: &Needs<'_>, table: TableId, name: &str) -> Result<ColumnId, Fatal> {
    let schema = needs.schema();
    let column = names::column(&schema, table, name)?;
    let described = names::described(&schema, table, column);
    if described.mutable {
        return Ok(column);
    }
    fatal!(
        "cannot modify read-only column {} in table {}",
        described.name,
        schema.table(table).name()
    )
}

fn needs_create(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    let schema = needs.schema();
    let table = names::table(&schema, call.arg(0))?;
    if !schema.table(table).is_root() && call.option("--id=").is_none() {
        log::warn!(
            target: "db_ctl_base",
            "applying \"create\" command to table {} without --id option will have no effect",
            schema.table(table).name()
        );
    }
    needs.table(table);
    Ok(())
}

fn needs_destroy(needs: &mut Needs<'_>, call: &Call) -> Result<(), Fatal> {
    if call.has("--all") && call.args.len() > 1 {
        return fatal!("--all and records argument should not be specified together");
    }
    if call.has("--all") && call.has("--if-exists") {
        return fatal!("--all and --if-exists should not be specified together");
    }
    if !call.has("--all") && call.args.len() == 1 {
        log::warn!(target: "db_ctl_base", "either --all or records argument should be specified");
    }
    needs_record(needs, call).map(drop)
}

// --- what they do

fn comment(_: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    // The log gets the whole command line anyway.
    Ok(())
}

fn table_of(ctx: &Ctx<'_, '_>) -> Result<TableId, Fatal> {
    names::table(ctx.db.schema(), ctx.arg(0))
}

/// The table and record of the first two arguments; no record if there is none and `--if-exists` allows that.
fn record_of(ctx: &mut Ctx<'_, '_>) -> Result<(TableId, Option<Uuid>), Fatal> {
    let table = table_of(ctx)?;
    let id = ctx.call.arg(1);
    if ctx.has("--if-exists") {
        return Ok((table, record::find(ctx.db, table, id)?));
    }
    Ok((table, Some(record::get(ctx.db, table, id)?)))
}

fn is_uuid_column(name: &str) -> bool {
    name.eq_ignore_ascii_case("_uuid") || name.eq_ignore_ascii_case("-uuid")
}

fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let id = ctx.call.option("--id=");
    if id.is_some() && ctx.has("--if-exists") {
        return Err(Fatal::new("--if-exists and --id may not be specified together").into());
    }
    let (table, Some(row)) = record_of(ctx)? else { return Ok(()) };
    if let Some(id) = id {
        let (symbol, is_new) = ctx.db.symbols.define(id)?;
        if !is_new {
            let problem = format!(
                "row id \"{id}\" specified on \"get\" command was used before it was defined"
            );
            return Err(Fatal::new(problem).into());
        }
        symbol.uuid = row;
        // It refers to a row that exists, so whether anything refers to it is no concern.
        symbol.strongly_referred = true;
    }
    for arg in ctx.call.args_from(2) {
        let text =
            if is_uuid_column(arg) { row.to_string() } else { get_place(ctx, table, row, arg)? };
        ctx.line(text);
    }
    Ok(())
}

fn get_place(ctx: &mut Ctx<'_, '_>, table: TableId, row: Uuid, arg: &str) -> Result<String, Fatal> {
    let (column, key_text) = names::place(ctx.db.schema(), table, arg)?;
    ctx.db.txn.verify(table, row, column);
    let value = ctx.db.txn.get(table, row, column);
    let ty = ctx.db.column_type(table, column);
    let Some(key_text) = key_text else { return Ok(value.to_text(ty)) };
    if !ty.is_map() {
        return fatal!(
            "cannot specify key to get for non-map column {}",
            ctx.column_name(table, column)
        );
    }
    let key = ctx.parse_atom(key_text, &ty.key)?;
    match value.get(&key) {
        Some(value) => Ok(ovsdb::datum::text::atom_to_text(value)),
        None if ctx.has("--if-exists") => Ok(String::new()),
        None => fatal!(
            "no key \"{key_text}\" in {} record \"{}\" column {}",
            ctx.table_name(table),
            ctx.arg(1),
            ctx.column_name(table, column)
        ),
    }
}

/// The columns to print: those asked for, or all, sorted by name.
fn printed_columns(ctx: &Ctx<'_, '_>, table: TableId) -> Result<Vec<ColumnId>, Fatal> {
    match ctx.call.option("--columns=") {
        Some(columns) => names::column_list(ctx.db.schema(), table, columns),
        None => {
            let named = ctx.db.schema().table(table).named_columns().map(|(column, _)| column);
            Ok(std::iter::once(ColumnId::UUID).chain(named).collect())
        }
    }
}

fn print(ctx: &mut Ctx<'_, '_>, table: TableId, rows: Vec<Uuid>) -> Result<(), Fatal> {
    let columns = printed_columns(ctx, table)?;
    let values =
        |row: &Uuid| columns.iter().map(|column| ctx.db.txn.get(table, *row, *column)).collect();
    let rows = rows.iter().map(values).collect();
    ctx.made.table = Some(Rows { table, columns, rows });
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let table = table_of(ctx)?;
    let mut rows = Vec::new();
    for id in ctx.call.args_from(1) {
        match record::find(ctx.db, table, id)? {
            Some(row) => rows.push(row),
            None if ctx.has("--if-exists") => {}
            None => rows.push(record::get(ctx.db, table, id)?),
        }
    }
    if ctx.call.args.len() == 1 {
        rows = ctx.db.txn.rows(table);
    }
    Ok(print(ctx, table, rows)?)
}

fn find(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let table = table_of(ctx)?;
    let mut rows = Vec::new();
    for row in ctx.db.txn.rows(table) {
        if meets_all(ctx, table, row, ctx.call.args_from(1))? {
            rows.push(row);
        }
    }
    Ok(print(ctx, table, rows)?)
}

fn wait_until(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let table = table_of(ctx)?;
    match record::find(ctx.db, table, ctx.call.arg(1))? {
        Some(row) if meets_all(ctx, table, row, ctx.call.args_from(2))? => Ok(()),
        _ => Err(Stop::TryAgain),
    }
}

fn set(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (table, Some(row)) = record_of(ctx)? else { return Ok(()) };
    for arg in ctx.call.args_from(2) {
        ctx.set_column(table, row, arg)?;
    }
    Ok(())
}

/// "2 values", "3 pairs" for messages.
fn count_of(value: &Datum, ty: &ColumnType) -> String {
    format!("{} {}", value.len(), if ty.is_map() { "pairs" } else { "values" })
}

fn add(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (table, Some(row)) = record_of(ctx)? else { return Ok(()) };
    let column = names::column(ctx.db.schema(), table, ctx.arg(2))?;
    ctx.check_mutable(table, row, column)?;
    let ty = ctx.db.column_type(table, column);
    let one_or_more = ty.relaxed(1, UNLIMITED);
    for arg in ctx.call.args_from(3) {
        let more = ctx.parse_datum(arg, &one_or_more)?;
        touch_keys(ctx, table, row, column, &more);
        ctx.db.txn.put(table, row, column, &more);
    }
    let value = ctx.db.txn.get(table, row, column);
    if value.len() > ty.n_max as usize {
        return Err(Fatal::new(format!(
            "\"add\" operation would put {} in column {} of table {} but the maximum number is {}",
            count_of(&value, ty),
            ctx.column_name(table, column),
            ctx.table_name(table),
            ty.n_max
        ))
        .into());
    }
    Ok(())
}

fn touch_keys(ctx: &mut Ctx<'_, '_>, table: TableId, row: Uuid, column: ColumnId, value: &Datum) {
    if value.as_map().is_empty() {
        ctx.touch(table, row, column, None);
    }
    for (key, _) in value.as_map() {
        ctx.touch(table, row, column, Some(key));
    }
}

fn remove(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (table, Some(row)) = record_of(ctx)? else { return Ok(()) };
    let column = names::column(ctx.db.schema(), table, ctx.arg(2))?;
    ctx.check_mutable(table, row, column)?;
    let ty = ctx.db.column_type(table, column);
    let pairs = ty.relaxed(1, UNLIMITED);
    let keys = ColumnType { value: None, ..pairs.clone() };
    for arg in ctx.call.args_from(3) {
        let old = ctx.db.txn.get(table, row, column);
        let gone = match ctx.parse_datum(arg, &pairs) {
            // A pair goes only if its value is the one given.
            Ok(given) => {
                let same = given.as_map().iter().filter(|(key, value)| old.get(key) == Some(value));
                if ty.is_map() { Datum::set(same.map(|(key, _)| key.clone())) } else { given }
            }
            Err(_) if ty.is_map() => ctx.parse_datum(arg, &keys)?,
            Err(error) => return Err(error.into()),
        };
        let gone = Datum::set(gone.as_set().iter().filter(|key| old.contains_key(key)).cloned());
        ctx.touch(table, row, column, None);
        ctx.db.txn.take(table, row, column, &gone);
    }
    let value = ctx.db.txn.get(table, row, column);
    if value.len() < ty.n_min as usize {
        return Err(Fatal::new(format!(
            "\"remove\" operation would put {} in column {} of table {} but the minimum number is {}",
            count_of(&value, ty),
            ctx.column_name(table, column),
            ctx.table_name(table),
            ty.n_min
        ))
        .into());
    }
    Ok(())
}

fn clear(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let (table, Some(row)) = record_of(ctx)? else { return Ok(()) };
    for arg in ctx.call.args_from(2) {
        let column = names::column(ctx.db.schema(), table, arg)?;
        ctx.check_mutable(table, row, column)?;
        if ctx.db.column_type(table, column).n_min > 0 {
            return Err(Fatal::new(format!(
                "\"clear\" operation cannot be applied to column {} of table {}, which is not allowed to be empty",
                ctx.column_name(table, column),
                ctx.table_name(table)
            ))
            .into());
        }
        ctx.touch(table, row, column, None);
        ctx.db.txn.set(table, row, column, Datum::EMPTY);
    }
    Ok(())
}

fn create(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let table = table_of(ctx)?;
    let row = match ctx.call.option("--id=") {
        None => ctx.db.txn.insert(table),
        Some(id) => match id.parse::<Uuid>() {
            Ok(uuid) => {
                ctx.db.txn.insert_as(table, uuid);
                uuid
            }
            Err(_) => {
                let (symbol, _) = ctx.db.symbols.define(id)?;
                if ctx.db.txn.schema().table(table).is_root() {
                    symbol.strongly_referred = true;
                }
                let uuid = symbol.uuid;
                ctx.db.txn.insert_provisionally(table, uuid);
                uuid
            }
        },
    };
    for arg in ctx.call.args_from(1) {
        ctx.set_column(table, row, arg)?;
    }
    ctx.made.created = Some(row);
    Ok(())
}

fn destroy(ctx: &mut Ctx<'_, '_>) -> Result<(), Stop> {
    let table = table_of(ctx)?;
    if ctx.has("--all") {
        for row in ctx.db.txn.rows(table) {
            ctx.db.txn.delete(table, row);
        }
    }
    for id in ctx.call.args_from(1) {
        let row = if ctx.has("--if-exists") {
            record::find(ctx.db, table, id)?
        } else {
            Some(record::get(ctx.db, table, id)?)
        };
        if let Some(row) = row {
            ctx.db.txn.delete(table, row);
        }
    }
    ctx.db.forget_model();
    Ok(())
}
