//! `monitor` and its kin: the contents of tables, then every change as it happens.

use super::{Call, schema, watch};
use crate::table::{Cell, Format, Printer, Style, Table};
use jsonrpc::client::ClientError;
use jsonrpc::{Json, Message, Object, json};
use ovsdb::{ColumnSchema, ColumnType, Condition, Datum, Schema, TableSchema, Uuid};
use std::sync::Arc;
use unixctl::Registry;

/// A monitored table: its name, and the columns to show in the order to show them.
struct Watched {
    table: Arc<str>,
    columns: Vec<ColumnSchema>,
}

/// Which of the three requests, and so which form of updates (ovsdb-server(7)).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// RFC 7047: old and new values.
    Plain,
    /// Differences.
    Cond,
    /// Differences, with the ids of transactions.
    CondSince,
}

impl Version {
    fn request(self) -> &'static str {
        match self {
            Version::Plain => "monitor",
            Version::Cond => "monitor_cond",
            Version::CondSince => "monitor_cond_since",
        }
    }

    fn update(self) -> &'static str {
        match self {
            Version::Plain => "update",
            Version::Cond => "update2",
            Version::CondSince => "update3",
        }
    }
}

pub(super) fn monitor(call: &mut Call<'_>) -> Result<(), String> {
    let schema = schema::fetch(call)?;
    let (name, groups) = call.args.split_first().ok_or("no table is named")?;
    if name == "ALL" && schema.table_named(name).is_none() {
        let all = |table| watch_table(&schema, table, groups, None, &call.server);
        let (watched, requests): (Vec<_>, Vec<_>) =
            schema.tables().iter().map(all).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        return run(call, Version::Plain, watched, requests, None);
    }
    let server = &call.server;
    let missing = || format!("{server}: {} does not have a table named \"{name}\"", schema.name());
    let table = schema.table_named(name).ok_or_else(missing)?;
    let (watched, request) = watch_table(&schema, table, groups, None, server)?;
    run(call, Version::Plain, vec![watched], vec![request], None)
}

pub(super) fn monitor_cond(call: &mut Call<'_>) -> Result<(), String> {
    let args = call.args.clone();
    run_cond(call, Version::Cond, &args, None)
}

pub(super) fn monitor_cond_since(call: &mut Call<'_>) -> Result<(), String> {
    let args = call.args.clone();
    let last = args.first().and_then(|arg| arg.parse::<Uuid>().ok());
    let args = if last.is_some() { args.get(1..).unwrap_or_default() } else { &args };
    run_cond(call, Version::CondSince, args, Some(last.unwrap_or(Uuid::ZERO)))
}

fn run_cond(
    call: &mut Call<'_>,
    version: Version,
    args: &[String],
    last: Option<Uuid>,
) -> Result<(), String> {
    let [condition, name, groups @ ..] = args else {
        return Err("condition and table are missing".to_owned());
    };
    let schema = schema::fetch(call)?;
    let missing = || format!("{} does not have a table named \"{name}\"", schema.name());
    let table = schema.table_named(name).ok_or_else(missing)?;
    let json = Json::parse(condition).map_err(|e| format!("\"{condition}\": {e}"))?;
    Condition::from_json(&json, table, None).map_err(|e| e.to_string())?;
    let (watched, request) = watch_table(&schema, table, groups, Some(json), &call.server)?;
    run(call, version, vec![watched], vec![request], last)
}

/// Reads the groups of columns behind a table's name; yields what to show and the table's `<monitor-requests>`.
fn watch_table(
    schema: &Schema,
    table: &TableSchema,
    groups: &[String],
    condition: Option<Json>,
    server: &str,
) -> Result<(Watched, Json), String> {
    let mut watched = Watched { table: table.name().clone(), columns: Vec::new() };
    let mut requests = Vec::new();
    let everything = [String::new()];
    for group in if groups.is_empty() { &everything } else { groups } {
        let (columns, select) = parse_group(schema, table, group, server)?;
        let mut request = vec![("columns".into(), Json::array(columns.iter().map(|c| &c.name)))];
        request.extend(select.map(|select| ("select".into(), select)));
        request.extend(condition.iter().map(|condition| ("where".into(), condition.clone())));
        requests.push(Json::Object(Object::from_members(request)));
        for column in columns {
            if watched.columns.iter().any(|c| c.name == column.name) {
                return Err(format!(
                    "{server}: column \"{}\" mentioned multiple times",
                    column.name
                ));
            }
            watched.columns.push(column);
        }
    }
    Ok((watched, Json::from(requests)))
}

/// Reads `column,column,!initial`; without columns all are meant, `_version` among them, as the last.
fn parse_group(
    schema: &Schema,
    table: &TableSchema,
    group: &str,
    server: &str,
) -> Result<(Vec<ColumnSchema>, Option<Json>), String> {
    let mut columns: Vec<ColumnSchema> = Vec::new();
    let mut unwanted = Vec::new();
    for word in group.split(',').filter(|word| !word.is_empty()) {
        if let Some(kind @ ("initial" | "insert" | "delete" | "modify")) = word.strip_prefix('!') {
            unwanted.push((kind, false));
            continue;
        }
        let missing = || {
            let (table, database) = (table.name(), schema.name());
            format!(
                "{server}: table \"{table}\" in {database} does not have a column named \"{word}\""
            )
        };
        columns.push(table.column_named(word).ok_or_else(missing)?.clone());
    }
    if columns.is_empty() {
        columns = table.columns().iter().filter(|c| !c.name.starts_with('_')).cloned().collect();
        columns.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        columns.extend(table.column_named("_version").cloned());
    }
    let select = (!unwanted.is_empty()).then(|| Json::object(unwanted));
    Ok((columns, select))
}

fn run(
    call: &mut Call<'_>,
    version: Version,
    watched: Vec<Watched>,
    requests: Vec<Json>,
    last: Option<Uuid>,
) -> Result<(), String> {
    let mut daemon = watch::start(call)?;
    daemon.keep_stderr(); // it may have to say why it ends
    if call.settings.db_change_aware {
        match call.client()?.transact("set_db_change_aware", [Json::Bool(true)]) {
            // A server that does not know this ends the connection instead.
            Ok(_) | Err(ClientError::Refused(_)) => {}
            Err(other) => return Err(format!("{}: receive failed ({other})", call.server)),
        }
    }
    let by_table = Json::object(watched.iter().map(|w| w.table.clone()).zip(requests));
    let mut params = vec![json!(call.database.clone()), Json::Null, by_table];
    params.extend(last.map(|id| json!(id.to_string())));
    let initial =
        call.client()?.transact(version.request(), params).map_err(|error| match error {
            ClientError::Refused(error) => format!("{}: request failed: {error}", call.server),
            other => format!("{}: receive failed ({other})", call.server),
        })?;
    let mut show = Show { version, watched, printer: Printer::new(call.settings.style.clone()) };
    show.initial(call, &initial)?;
    daemon.ready()?;

    let mut client = call.client.take().ok_or("not connected")?;
    let mut registry = watch::registry(call);
    add_commands(&mut registry);
    watch::run(call, &mut client, daemon, registry, &mut |call, message| match message {
        Message::Notify { method, params } if *method == *version.update() => {
            show.update(call, &params)
        }
        Message::Notify { method, .. } if &*method == "monitor_canceled" => {
            Err(format!("{}: {} database was removed", call.server, call.database))
        }
        _ => Ok(()),
    })
}

/// What testers do to a running monitor.
fn add_commands(registry: &mut Registry<watch::Control<'_>>) {
    registry.add("ovsdb-client/block", "", 0, 0, |control, _| {
        if std::mem::replace(&mut control.blocked, true) { "already blocking" } else { "" }
    });
    registry.add("ovsdb-client/unblock", "", 0, 0, |control, _| {
        if std::mem::replace(&mut control.blocked, false) { "" } else { "already unblocked" }
    });
    registry.add(
        "ovsdb-client/cond_change",
        "TABLE COND",
        2,
        2,
        |control, args| -> Result<&str, String> {
            let (table, text) = (args.arg(0).unwrap_or_default(), args.arg(1).unwrap_or_default());
            let condition = Json::parse(text).map_err(|e| format!("{text}: {e}"))?;
            let by_table = json!({(table): [{"where": condition}]});
            let sent = control
                .client
                .send_request("monitor_cond_change", [Json::Null, Json::Null, by_table]);
            sent.map(|_| "condition changed").map_err(|e| e.to_string())
        },
    );
}

/// Prints updates.
struct Show {
    version: Version,
    watched: Vec<Watched>,
    printer: Printer,
}

impl Show {
    fn initial(&mut self, call: &mut Call<'_>, result: &Json) -> Result<(), String> {
        if self.version != Version::CondSince {
            return self.tables(call, result, true, None);
        }
        let (Some(found), Some(last), Some(updates)) = (result.at(0), result.at(1), result.at(2))
        else {
            return Err(format!(
                "{}: monitor_cond_since reply is not an array of three: {result}",
                call.server
            ));
        };
        let caption = format!("found: {found}, last_id: {}", last.as_str().unwrap_or_default());
        self.tables(call, updates, found != &Json::Bool(true), Some(caption))
    }

    fn update(&mut self, call: &mut Call<'_>, params: &[Json]) -> Result<(), String> {
        match (self.version, params) {
            (Version::CondSince, [_, last, updates]) => {
                let caption = format!("last_id: {}", last.as_str().unwrap_or_default());
                self.tables(call, updates, false, Some(caption))
            }
            (Version::Plain | Version::Cond, [_, updates]) => {
                self.tables(call, updates, false, None)
            }
            _ => Ok(()), // not for us
        }
    }

    fn tables(
        &mut self,
        call: &mut Call<'_>,
        updates: &Json,
        initial: bool,
        caption: Option<String>,
    ) -> Result<(), String> {
        let name_tables = self.watched.len() > 1;
        let mut text = String::new();
        // In the formats that programs read, a table has the members it always has.
        let inside = !matches!(self.printer.style().format, Format::Html | Format::Json);
        let caption = match caption {
            Some(line) if !inside => {
                text = line + "\n";
                None
            }
            other => other,
        };
        for watched in &self.watched {
            let Some(rows) = updates.get(&watched.table).and_then(Json::as_object) else {
                continue;
            };
            let columns = watched.columns.iter().map(|c| c.name.to_string());
            let mut table =
                Table::new(["row", "action"].map(str::to_owned).into_iter().chain(columns));
            table.caption =
                caption.clone().or_else(|| name_tables.then(|| watched.table.to_string()));
            table.time = call.settings.time();
            let rows = rows.iter().flat_map(|(uuid, row)| match self.version {
                Version::Plain => watched.plain_rows(self.printer.style(), uuid, row, initial),
                _ => watched.difference_rows(self.printer.style(), uuid, row),
            });
            table.rows = rows.collect();
            if !table.rows.is_empty() {
                self.printer.print(&table, &mut text);
            }
        }
        call.print(&text)
    }
}

impl Watched {
    fn plain_rows(&self, style: &Style, uuid: &str, row: &Json, initial: bool) -> Vec<Vec<Cell>> {
        let value = |name| row.get(name).filter(|value| !value.is_null());
        match (value("old"), value("new")) {
            (Some(old), Some(new)) => {
                vec![self.row(style, uuid, "old", Some(old)), self.row(style, "", "new", Some(new))]
            }
            (Some(old), None) => vec![self.row(style, uuid, "delete", Some(old))],
            (None, Some(new)) => {
                vec![self.row(style, uuid, if initial { "initial" } else { "insert" }, Some(new))]
            }
            (None, None) => Vec::new(),
        }
    }

    fn difference_rows(&self, style: &Style, uuid: &str, row: &Json) -> Vec<Vec<Cell>> {
        let known = ["initial", "insert", "modify", "delete"];
        known
            .iter()
            .filter_map(|kind| Some(self.row(style, uuid, kind, Some(row.get(kind)?))))
            .collect()
    }

    fn row(&self, style: &Style, uuid: &str, action: &str, values: Option<&Json>) -> Vec<Cell> {
        let value = |column: &ColumnSchema| {
            let json = values.and_then(|values| values.get(&column.name));
            json.map_or(Cell::Empty, |json| cell(style, json, &column.ty))
        };
        [uuid.into(), action.into()].into_iter().chain(self.columns.iter().map(value)).collect()
    }
}

/// A value, or a difference, which may have more elements or fewer than the column.
fn cell(style: &Style, json: &Json, ty: &ColumnType) -> Cell {
    match Datum::from_json(json, &ty.relaxed(0, u32::MAX), None) {
        Ok(datum) => style.datum(&datum, ty),
        Err(_) => Cell::Json(json.clone()), // show what came
    }
}
