//! Messages without what may differ between two servers that behave alike.
//!
//! - UUIDs that a server made up become `<?>`, and sets and maps that hold one are sorted by what is left;
//! - rows of a `select` are sorted, for a table has no order;
//! - a missing `result` is a null one;
//! - rows that an update calls modified without saying how are left out, as they tell nothing: the reference's server speaks of
//!   them where a column changed that only the monitor's condition mentions, or that is shown in other events only;
//! - transaction identifiers, which a standalone server of Open vSwitch does not have, are left out.

use jsonrpc::Json;
use ovsdb::Uuid;

use crate::values::KNOWN;

/// The text of a message; `None` if nothing is left of it.
pub(crate) fn message(message: &Json) -> Option<String> {
    let method = message.get("method").and_then(Json::as_str);
    let message = match (method, message.get("params").and_then(Json::as_array)) {
        (Some("update" | "update2"), Some([id, updates]))
        | (Some("update3"), Some([id, _, updates])) => {
            let updates = without_empty_rows(updates);
            if updates.as_object().is_none_or(jsonrpc::Object::is_empty) {
                return None;
            }
            Json::array([Json::from(method.unwrap_or_default()), id.clone(), updates])
        }
        _ => message.clone(),
    };
    // The reply to `monitor_cond_since`: [found, last transaction, contents].
    let message = match message.get("result").and_then(Json::as_array) {
        Some([Json::Bool(found), Json::String(_), contents]) => Json::array([
            message.get("id").cloned().unwrap_or_default(),
            Json::from(*found),
            contents.clone(),
        ]),
        _ => message,
    };
    Some(tidy(&message).to_string())
}

/// `<table-updates>` or `<table-updates2>` without rows that nothing is said of.
fn without_empty_rows(updates: &Json) -> Json {
    let tables = updates.as_object().into_iter().flat_map(jsonrpc::Object::iter);
    let tables = tables.filter_map(|(table, rows)| {
        let is_empty = |row: &Json, part: &str| {
            row.get(part).and_then(Json::as_object).is_some_and(jsonrpc::Object::is_empty)
        };
        let rows = rows.as_object()?.iter().filter(|(_, row)| {
            !(is_empty(row, "modify") || is_empty(row, "old") && is_empty(row, "new"))
        });
        let rows: Vec<_> = rows.map(|(uuid, row)| (uuid.clone(), row.clone())).collect();
        (!rows.is_empty()).then(|| (table.clone(), Json::object(rows)))
    });
    Json::object(tables.collect::<Vec<_>>())
}

fn tidy(json: &Json) -> Json {
    match json {
        Json::String(text) => Json::from(mask(text)),
        Json::Array(items) => {
            let mut items: Vec<Json> = items.iter().map(tidy).collect();
            if let [Json::String(tag), Json::Array(elements)] = &items[..]
                && matches!(&**tag, "set" | "map")
                && elements.iter().any(|element| element.to_string().contains("<?>"))
            {
                items[1] = sorted(elements);
            }
            Json::from(items)
        }
        Json::Object(object) => {
            let kept =
                object.iter().filter(|(name, value)| !(***name == *"result" && value.is_null()));
            let mut members: Vec<(String, Json)> = kept
                .map(|(name, value)| match tidy(value) {
                    Json::Array(rows) if **name == *"rows" => (mask(name), sorted(&rows)),
                    value => (mask(name), value),
                })
                .collect();
            members.sort_by_key(|(name, value)| (name.clone(), value.to_string()));
            // As an array, for masked names may be the same.
            members
                .iter()
                .map(|(name, value)| Json::array([Json::from(name), value.clone()]))
                .collect()
        }
        other => other.clone(),
    }
}

fn sorted(items: &[Json]) -> Json {
    let mut items = items.to_vec();
    items.sort_by_key(Json::to_string);
    Json::from(items)
}

/// Replaces UUIDs that a server made up.
fn mask(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match Uuid::parse_prefix(rest) {
            Some((uuid, after)) if uuid.is_zero() || uuid.to_string().starts_with(KNOWN) => {
                out.push_str(&uuid.to_string());
                rest = after;
            }
            Some((_, after)) => {
                out.push_str("<?>");
                rest = after;
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Where a transaction is wrong in several ways, which of them is told depends on the order in which rows are looked at:
/// such errors are compared without what they name.
pub(crate) fn without_choices(text: &str) -> String {
    const CHOSEN: [&str; 5] = [
        "No column ",
        "remaining reference(s)",
        "references nonexistent row",
        "to have identical values",
        "eak reference",
    ];
    let parts = text.split_inclusive("\"details\"").map(|part| {
        if !CHOSEN.iter().any(|chosen| part.contains(chosen)) {
            return part;
        }
        // What follows the details, the error's word among it, stays.
        let end = part.find("\",\"").or_else(|| part.find("\"]")).unwrap_or(part.len());
        &part[end..]
    });
    parts.collect()
}
