//! Records as people name them: by UUID or its beginning, by a name, by the name of what refers to them, or, if there is only
//! one in the table, by `.`.

use ovsdb::{Datum, TableId, Uuid};

use super::command::Needs;
use super::db::Db;
use super::{Fatal, fatal};

/// A way to name records of a table, beyond their UUIDs.
pub(super) enum Way {
    /// The record in whose column this is the only value.
    By(&'static str),
    /// The record that another table's record refers to: table, its naming column, the referring column.
    Via(&'static str, &'static str, &'static str),
}

/// How records are named, by table, in the order of `--help`.
pub(super) const WAYS: &[(&str, &[Way])] = &[
    ("AutoAttach", &[Way::Via("Bridge", "name", "auto_attach")]),
    ("Bridge", &[Way::By("name")]),
    ("CT_Timeout_Policy", &[]),
    ("CT_Zone", &[]),
    ("Controller", &[Way::Via("Bridge", "name", "controller")]),
    ("Datapath", &[]),
    ("Flow_Sample_Collector_Set", &[Way::By("id")]),
    ("Flow_Table", &[Way::By("name")]),
    ("IPFIX", &[Way::Via("Bridge", "name", "ipfix")]),
    ("Interface", &[Way::By("name")]),
    ("Manager", &[Way::By("target")]),
    ("Mirror", &[Way::By("name")]),
    ("NetFlow", &[Way::Via("Bridge", "name", "netflow")]),
    ("Open_vSwitch", &[]),
    ("Port", &[Way::By("name")]),
    ("QoS", &[Way::Via("Port", "name", "qos")]),
    ("Queue", &[]),
    ("SSL", &[]),
    ("sFlow", &[Way::Via("Bridge", "name", "sflow")]),
];

fn ways(table: &str) -> &'static [Way] {
    WAYS.iter().find(|(name, _)| *name == table).map_or(&[], |(_, ways)| ways)
}

/// Asks for what is needed to find records of `table`.
pub(super) fn needs(needs: &mut Needs<'_>, table: TableId) {
    let schema = needs.schema();
    needs.table(table);
    for way in ways(schema.table(table).name()) {
        match way {
            Way::By(column) => needs.named(schema.table(table).name(), &[column]),
            Way::Via(referrer, name, column) => needs.named(referrer, &[name, column]),
        }
    }
}

/// The record of `table` that `id` means, if there is one.
pub(super) fn find(db: &mut Db<'_>, table: TableId, id: &str) -> Result<Option<Uuid>, Fatal> {
    if let Ok(uuid) = id.parse::<Uuid>()
        && db.txn.exists(table, uuid)
    {
        return Ok(Some(uuid));
    }
    let name = db.schema().table(table).name().clone();
    for way in ways(&name) {
        let found = match way {
            Way::By(column) => by_value(db, &name, column, id)?,
            Way::Via(referrer, naming, column) => match by_value(db, referrer, naming, id)? {
                Some(row) => {
                    db.verify(referrer, row, column);
                    db.get(referrer, row, column)
                        .as_uuid()
                        .filter(|uuid| db.txn.exists(table, *uuid))
                }
                None => None,
            },
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    match db.txn.rows(table)[..] {
        [only] if id == "." => Ok(Some(only)),
        _ => by_beginning(db, table, &name, id),
    }
}

/// As [`find`]; it is an error if there is none.
pub(super) fn get(db: &mut Db<'_>, table: TableId, id: &str) -> Result<Uuid, Fatal> {
    match find(db, table, id)? {
        Some(row) => Ok(row),
        None => fatal!("no row \"{id}\" in table {}", db.schema().table(table).name()),
    }
}

fn by_value(db: &Db<'_>, table: &str, column: &str, id: &str) -> Result<Option<Uuid>, Fatal> {
    let is_it = |value: &Datum| match value.as_integer() {
        Some(number) => id.parse() == Ok(number),
        None => value.as_str() == Some(id),
    };
    let rows = db.candidates(db.place(table, column), id);
    let mut found = rows.into_iter().filter(|row| is_it(&db.get(table, *row, column)));
    match (found.next(), found.next()) {
        (_, Some(_)) => fatal!("multiple rows in {table} match \"{id}\""),
        (first, None) => Ok(first),
    }
}

/// Fewest digits by which a UUID may be abbreviated.
const SHORTEST: usize = 4;

fn by_beginning(db: &Db<'_>, table: TableId, name: &str, id: &str) -> Result<Option<Uuid>, Fatal> {
    // Hexadecimal digits, with dashes where a UUID has them.
    let shape = |(at, c): (usize, u8)| {
        if matches!(at, 8 | 13 | 18 | 23) { c == b'-' } else { c.is_ascii_hexdigit() }
    };
    if id.len() < SHORTEST || id.len() > 36 || !id.bytes().enumerate().all(shape) {
        return Ok(None);
    }
    let id = id.to_ascii_lowercase();
    let mut found = db.txn.rows(table).into_iter().filter(|row| row.to_string().starts_with(&id));
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            fatal!(
                "{name} contains 2 or more rows whose UUIDs begin with {id}: at least {first} and {second}"
            )
        }
        (first, _) => Ok(first),
    }
}
