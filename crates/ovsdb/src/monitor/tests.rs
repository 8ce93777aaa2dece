//! The history: positions, merging, bounds.

use std::sync::Arc;

use jsonrpc::Json;

use super::history::{History, Position};
use crate::row::Row;
use crate::transaction::{Changes, RowChange};
use crate::{ColumnId, Schema, Uuid};

fn schema() -> Schema {
    let text = r#"{"name":"T","tables":{"W":{"columns":{"n":{"type":"integer"}}}}}"#;
    Schema::from_json(&Json::parse(text).unwrap()).unwrap()
}

fn uuid(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

/// Row `name` with `value`.
fn row(schema: &Schema, name: u8, value: i64) -> Row {
    let mut row = Row::new(&schema.tables()[0], uuid(name));
    row.set(ColumnId(2), value.into());
    row
}

/// A transaction that changes row `name` from one value to another.
fn change(schema: &Schema, id: u8, name: u8, old: Option<i64>, new: Option<i64>) -> Arc<Changes> {
    let table = schema.table_id("W").unwrap();
    let make = |value: Option<i64>| value.map(|value| row(schema, name, value));
    let rows = vec![RowChange::new(table, uuid(name), make(old), make(new))];
    Arc::new(Changes { id: uuid(id), rows })
}

fn values(changes: &Changes) -> Vec<(Uuid, Option<i64>, Option<i64>)> {
    let value = |row: &Option<Row>| row.as_ref().and_then(|row| row.get(ColumnId(2)).as_integer());
    changes
        .rows
        .iter()
        .map(|change| (change.uuid, value(&change.old), value(&change.new)))
        .collect()
}

#[test]
fn what_happened_since_is_merged() {
    let schema = schema();
    let mut history = History::default();
    let start = history.end();
    history.push(change(&schema, 1, 7, None, Some(1)));
    let first = history.end();
    history.push(change(&schema, 2, 7, Some(1), Some(2)));
    history.push(change(&schema, 3, 8, None, Some(5)));
    let third = history.end();
    history.push(change(&schema, 4, 8, Some(5), None));

    assert_eq!(values(&history.since(start).unwrap()), [(uuid(7), None, Some(2))]);
    assert_eq!(values(&history.since(first).unwrap()), [(uuid(7), Some(1), Some(2))]);
    assert_eq!(values(&history.since(third).unwrap()), [(uuid(8), Some(5), None)]);
    assert!(history.since(history.end()).unwrap().is_empty());
    assert_eq!(history.find(uuid(1)), Some(first));
    assert_eq!(history.find(uuid(9)), None);
    assert_eq!(history.last_id(), uuid(4));
}

#[test]
fn the_oldest_is_forgotten_when_nobody_needs_it() {
    let schema = schema();
    let mut history = History::default();
    let start = history.end();
    for i in 0..300 {
        history.push(change(&schema, 1, 7, Some(i), Some(i + 1)));
        history.trim(start);
    }
    assert_eq!(values(&history.since(start).unwrap()), [(uuid(7), Some(0), Some(300))]);
    let end = history.end();
    history.trim(end);
    assert!(history.since(start).is_none());
    for i in 0..20_000 {
        history.push(change(&schema, 1, 7, Some(i), Some(i + 1)));
        history.trim(end);
    }
    assert!(history.since(end).is_none(), "bounded even for a monitor that needs it");
    assert!(history.since(Position::default()).is_none());
}
