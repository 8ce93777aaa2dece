//! Scripts: what to send, and who sends it.

use std::fmt;

use jsonrpc::{Json, json};
use ovsdb::types::{RefType, UNLIMITED};
use ovsdb::{AtomType, ColumnSchema, Schema, TableSchema};

use crate::dice::Dice;
use crate::values::{Name, any_uuid, named_uuid, nonsense, row_uuid, value};

/// So many clients take part.
pub(crate) const CLIENTS: usize = 2;

/// A message from a client.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) client: usize,
    pub(crate) method: &'static str,
    pub(crate) params: Json,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.client, self.method, self.params)
    }
}

/// A script of `len` steps.
pub(crate) fn script(schema: &Schema, seed: u64, len: usize) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    (0..len).map(|_| step(schema, &mut dice)).collect()
}

fn step(schema: &Schema, dice: &mut Dice) -> Step {
    let client = dice.below(CLIENTS);
    let damaged = dice.percent(18);
    let careful = damaged || dice.percent(60);
    dice.forgive(!careful);
    let (method, mut params) = match dice.below(100) {
        0..80 => ("transact", transaction(schema, !careful, dice)),
        80..84 => ("monitor", monitor(schema, false, dice)),
        84..88 => ("monitor_cond", monitor(schema, true, dice)),
        88..89 => {
            let Json::Array(params) = monitor(schema, true, dice) else { unreachable!() };
            let zero = json!("00000000-0000-0000-0000-000000000000");
            ("monitor_cond_since", params.iter().cloned().chain([zero]).collect())
        }
        89..92 => ("monitor_cond_change", condition_change(schema, dice)),
        92..95 => ("monitor_cancel", json!([monitor_id(dice)])),
        95 => ("lock", json!([lock_name(dice)])),
        96 => ("steal", json!([lock_name(dice)])),
        97 => ("unlock", json!([lock_name(dice)])),
        98 => ("get_schema", json!(["Nope"])),
        _ => (dice.pick(&["echo", "frobnicate", "list_dbs", "set_db_change_aware"]), json!([true])),
    };
    if damaged {
        params = damage(&params, dice);
    }
    // Fewer parameters than three make the reference's server fail an assertion.
    match params.as_array() {
        Some(items)
            if items.len() >= 3 || !method.starts_with("monitor") || method == "monitor_cancel" => {
        }
        _ if method.starts_with("monitor") => params = json!(["T", 1, 2]),
        Some(_) => {}
        None => params = json!([params]),
    }
    Step { client, method, params: without_timeouts(&params) }
}

fn lock_name(dice: &mut Dice) -> &'static str {
    dice.pick(&["l0", "l1", "l2"])
}

fn monitor_id(dice: &mut Dice) -> Json {
    match dice.below(12) {
        0 => Json::Null,
        1 => json!(["m", 1]),
        n => json!(format!("m{n}")),
    }
}

fn table<'a>(schema: &'a Schema, dice: &mut Dice) -> &'a TableSchema {
    let tables: Vec<&TableSchema> = schema.tables().iter().collect();
    match dice.pick(&tables) {
        // Full at once; once more for the others.
        table if **table.name() == *"Few" => dice.pick(&tables),
        table => table,
    }
}

fn column<'a>(table: &'a TableSchema, dice: &mut Dice) -> &'a ColumnSchema {
    let columns: Vec<_> =
        table.columns().iter().filter(|column| &*column.name != "_version").collect();
    dice.pick(&columns)
}

fn transaction(schema: &Schema, may_err: bool, dice: &mut Dice) -> Json {
    let n = [1, 1, 1, 1, 1, 2, 2, 2, 3, 5][dice.below(10)];
    // Decided beforehand, so that operations may refer to rows that come later.
    let names: Vec<Name> = (0..dice.below(4))
        .map(|i| Name { name: format!("r{i}"), table: table(schema, dice).name().to_string() })
        .collect();
    let mut unused: Vec<&Name> = names.iter().collect();
    let mut params = vec![json!(schema.name().as_ref())];
    for _ in 0..n {
        params.push(operation(schema, &names, &mut unused, dice));
        dice.forgive(may_err);
    }
    Json::from(params)
}

fn operation(schema: &Schema, names: &[Name], unused: &mut Vec<&Name>, dice: &mut Dice) -> Json {
    let mut table = table(schema, dice);
    if let Some(wanted) = unused.last().and_then(|name| schema.table_named(&name.table))
        && dice.percent(40)
    {
        table = wanted;
    }
    let name = table.name().as_ref();
    match dice.below(100) {
        0..40 => insert(table, names, unused, dice),
        40..58 => {
            json!({"op": "update", "table": name, "where": condition(table, names, dice), "row": row(table, names, dice)})
        }
        58..74 => {
            // Of several rows, or none, only where it is all the same which is looked at first.
            let (condition, mutations): (Json, Json) = if dice.percent(80) {
                let only = json!([["_uuid", "==", ["uuid", any_uuid(table.name(), dice)]]]);
                (only, (0..=dice.below(3)).map(|_| mutation(table, names, dice)).collect())
            } else {
                let some: Vec<_> = (0..9).map(|_| mutation(table, names, dice)).collect();
                let harmless = some.into_iter().filter(|mutation| is_harmless(mutation, table));
                (condition(table, names, dice), harmless.collect())
            };
            json!({"op": "mutate", "table": name, "where": condition, "mutations": mutations})
        }
        74..82 => json!({"op": "delete", "table": name, "where": condition(table, names, dice)}),
        82..92 => {
            let mut select =
                json!({"op": "select", "table": name, "where": condition(table, names, dice)});
            if dice.percent(80) {
                select = with(&select, "columns", columns(table, dice));
            }
            select
        }
        92..95 => {
            let columns = columns(table, dice);
            let rows: Json =
                (0..dice.below(3)).map(|_| partial_row(table, &columns, names, dice)).collect();
            json!({"op": "wait", "timeout": 0, "table": name, "where": condition(table, names, dice), "columns": columns,
                "until": (dice.pick(&["==", "!="])), "rows": rows})
        }
        95 => json!({"op": "comment", "comment": (dice.pick(&["x", "some words"]))}),
        96 => json!({"op": "commit", "durable": (dice.percent(50))}),
        97 => json!({"op": "abort"}),
        98 => json!({"op": "assert", "lock": (lock_name(dice))}),
        _ => json!({"op": (dice.pick(&["frob", "Insert", ""]))}),
    }
}

fn insert(table: &TableSchema, names: &[Name], unused: &mut Vec<&Name>, dice: &mut Dice) -> Json {
    let insert =
        json!({"op": "insert", "table": table.name().as_ref(), "row": row(table, names, dice)});
    let fits = unused.iter().position(|name| name.table == **table.name());
    if let Some(at) = fits
        && dice.percent(80)
    {
        let insert = with(&insert, "uuid-name", json!(unused.remove(at).name.as_str()));
        return with(&insert, "uuid", json!(named_uuid(table.name(), dice)));
    }
    match dice.below(100) {
        0..8 => insert,
        8..10 => with(&insert, "uuid-name", json!("unused")),
        _ => with(&insert, "uuid", json!(row_uuid(table.name(), dice))),
    }
}

/// A row with some of its columns; those without a good default are seldom forgotten.
fn row(table: &TableSchema, names: &[Name], dice: &mut Dice) -> Json {
    let density = *dice.one_of(&[5, 25, 60]);
    let members = table.named_columns().filter_map(|(_, column)| {
        let needed = column.ty.default_datum().check(&column.ty).is_err()
            || column.ty.n_min > 0 && column.ty.key.reference().is_some();
        let strong = column.ty.bases().any(|base| base.refers(RefType::Strong));
        let density = if strong { density / 4 } else { density };
        let wanted = if needed { !dice.errs(5) } else { dice.percent(density) };
        wanted.then(|| (column.name.clone(), value(&column.ty, names, dice)))
    });
    Json::object(members.collect::<Vec<_>>())
}

fn partial_row(table: &TableSchema, columns: &Json, names: &[Name], dice: &mut Dice) -> Json {
    let names_of = columns.as_array().unwrap_or_default().iter().filter_map(Json::as_str);
    let found = names_of.filter_map(|name| table.column_id(name)).map(|id| table.column(id));
    Json::object(
        found
            .map(|column| (column.name.clone(), value(&column.ty, names, dice)))
            .collect::<Vec<_>>(),
    )
}

fn columns(table: &TableSchema, dice: &mut Dice) -> Json {
    let n = dice.below(4);
    let mut names: Vec<&str> = (0..n).map(|_| &*column(table, dice).name).collect();
    if !dice.errs(3) {
        names.sort_unstable();
        names.dedup();
    }
    Json::array(names)
}

fn condition(table: &TableSchema, names: &[Name], dice: &mut Dice) -> Json {
    match dice.below(10) {
        0 => json!([]),
        1..6 => json!([["_uuid", "==", ["uuid", any_uuid(table.name(), dice)]]]),
        _ => (0..=dice.below(2)).map(|_| clause(table, names, dice)).collect(),
    }
}

fn clause(table: &TableSchema, names: &[Name], dice: &mut Dice) -> Json {
    if dice.percent(8) {
        return json!(dice.percent(60));
    }
    let column = column(table, dice);
    let functions = ["==", "!=", "includes", "excludes", "<", "<=", ">", ">="];
    // Orderings are for numbers only; now and then also where they are wrong.
    let ordered =
        matches!(column.ty.key.atom, AtomType::Integer | AtomType::Real) && column.ty.n_max == 1;
    let n = if ordered || dice.errs(3) { 8 } else { 4 };
    let function = functions[dice.below(n)];
    let ty = match function {
        "includes" | "excludes" if !column.ty.is_scalar() => column.ty.relaxed(0, column.ty.n_max),
        _ => column.ty.clone(),
    };
    json!([column.name.as_ref(), function, value(&ty, names, dice)])
}

fn mutation(table: &TableSchema, names: &[Name], dice: &mut Dice) -> Json {
    let column = column(table, dice);
    let numeric = matches!(column.ty.key.atom, AtomType::Integer | AtomType::Real);
    let mutator = if numeric && !column.ty.is_map() && dice.percent(60) || dice.errs(3) {
        dice.pick(&["+=", "-=", "*=", "/=", "%="])
    } else {
        dice.pick(&["insert", "delete", "delete"])
    };
    let mut ty = match mutator {
        "insert" | "delete" => column.ty.relaxed(0, column.ty.n_max),
        _ => ovsdb::ColumnType::scalar(column.ty.key.atom),
    };
    if mutator == "delete" && dice.percent(40) {
        ty.value = None;
    }
    json!([column.name.as_ref(), mutator, value(&ty, names, dice)])
}

/// Whether a mutation succeeds on any row it is made of.
fn is_harmless(mutation: &Json, table: &TableSchema) -> bool {
    let column = mutation.at(0).and_then(Json::as_str).and_then(|name| table.column_id(name));
    let ty = column.map(|id| &table.column(id).ty);
    ty.is_some_and(|ty| ty.n_max == UNLIMITED && ty.n_min == 0 && ty.key.atom == AtomType::String)
}

fn monitor(schema: &Schema, conditional: bool, dice: &mut Dice) -> Json {
    let requests: Vec<(String, Json)> = (0..=dice.below(3))
        .map(|_| {
            let table = table(schema, dice);
            // A table that nothing is asked of, whose condition then changes, is the end of the reference's server. Which of
            // two conditions for one table it heeds is chance.
            let n = if conditional { 1 } else { [0, 1, 1, 1, 2][dice.below(5)] };
            let mut parts: Vec<Json> =
                (0..n).map(|_| monitor_request(table, n > 1, conditional, dice)).collect();
            if let [first, second] = &mut parts[..]
                && !dice.errs(3)
            {
                *second = without_columns_of(first, second);
            }
            match &parts[..] {
                [only] if dice.percent(50) => (table.name().to_string(), only.clone()),
                _ => (table.name().to_string(), Json::from(parts)),
            }
        })
        .collect();
    json!([schema.name().as_ref(), monitor_id(dice), Json::object(requests)])
}

/// `request` without the columns that are in `other`.
fn without_columns_of(other: &Json, request: &Json) -> Json {
    let columns = |json: &Json| json.get("columns").and_then(Json::as_array).map(<[Json]>::to_vec);
    let taken = columns(other).unwrap_or_default();
    let left = columns(request).unwrap_or_default().into_iter().filter(|c| !taken.contains(c));
    with(request, "columns", left.collect())
}

/// All columns of a table, unless some are asked for, which they must be if there are several requests for the table.
fn monitor_request(table: &TableSchema, several: bool, conditional: bool, dice: &mut Dice) -> Json {
    let mut request = json!({});
    if several || dice.percent(75) {
        request = with(&request, "columns", columns(table, dice));
    }
    if dice.percent(25) {
        let events = ["initial", "insert", "delete", "modify"];
        let some = events.iter().filter(|_| dice.percent(50)).copied().collect::<Vec<_>>();
        let select = Json::object(
            some.into_iter().map(|event| (event, dice.percent(40))).collect::<Vec<_>>(),
        );
        request = with(&request, "select", select);
    }
    if conditional && dice.percent(70) {
        request = with(&request, "where", condition(table, &[], dice));
    }
    request
}

fn condition_change(schema: &Schema, dice: &mut Dice) -> Json {
    let id = monitor_id(dice);
    let new_id = if dice.percent(80) { id.clone() } else { monitor_id(dice) };
    let table = table(schema, dice);
    let request = json!([{"where": condition(table, &[], dice)}]);
    json!([id, new_id, Json::object([(table.name().to_string(), request)])])
}

fn with(object: &Json, name: &str, value: Json) -> Json {
    Json::Object(
        object.as_object().map_or_else(jsonrpc::Object::new, |object| object.with(name, value)),
    )
}

/// Changes one place of `json`.
fn damage(json: &Json, dice: &mut Dice) -> Json {
    // Deeper with good odds wherever there is a way.
    match json {
        Json::Array(items) if !items.is_empty() && dice.percent(85) => {
            let mut items = items.to_vec();
            let at = dice.below(items.len());
            match dice.below(12) {
                0 => drop(items.remove(at)),
                1 => items.push(nonsense(dice)),
                2 => items.push(items[at].clone()),
                _ => items[at] = damage(&items[at], dice),
            }
            Json::from(items)
        }
        Json::Object(object) if !object.is_empty() && dice.percent(85) => {
            let mut members = object.members().to_vec();
            let at = dice.below(members.len());
            match dice.below(12) {
                0 => drop(members.remove(at)),
                1 => members.push(("extra".into(), nonsense(dice))),
                2 => {
                    members[at].0 = dice
                        .pick(&[
                            "columns",
                            "rows",
                            "table",
                            "uuid-name",
                            "op",
                            "name",
                            "_uuid",
                            "_version",
                            "uuid",
                        ])
                        .into()
                }
                _ => members[at].1 = damage(&members[at].1, dice),
            }
            Json::object(members)
        }
        _ => nonsense(dice),
    }
}

/// How long a transaction waits is not for this test: never, or for ever.
fn without_timeouts(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(without_timeouts).collect(),
        Json::Object(object) => Json::object(object.iter().map(|(name, value)| {
            let waits = **name == *"timeout" && value.as_i64().is_some_and(|ms| ms > 0);
            (name.clone(), if waits { json!(0) } else { without_timeouts(value) })
        })),
        other => other.clone(),
    }
}
