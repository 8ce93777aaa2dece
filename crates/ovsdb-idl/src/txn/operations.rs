//! Turning the edits of a transaction into the operations of RFC 7047 section 5.2.

use std::collections::BTreeSet;

use jsonrpc::{Json, json};
use ovsdb::datum::json::{atom_to_json, uuid_to_json};
use ovsdb::{Atom, AtomType, ColumnId, ColumnType, Datum, TableId, Uuid};

use super::{Birth, Edit, Prepared, Txn};

impl<'a> Txn<'a> {
    /// The edits as operations.
    pub fn finish(&self) -> Prepared {
        let mut inserts = Vec::new();
        let mut operations: Vec<_> = self
            .rows
            .iter()
            .filter_map(|(&(table, uuid), edit)| self.wait(table, uuid, edit))
            .collect();
        let waits = operations.len();
        for (&(table, uuid), edit) in &self.rows {
            match edit.birth {
                _ if edit.deleted => operations.push(self.on_row("delete", table, uuid, [])),
                Some(birth) => {
                    if birth == Birth::ServerChooses {
                        inserts.push((operations.len(), uuid));
                    }
                    operations.push(self.insertion(table, uuid, birth, edit));
                }
                None => operations.extend(self.changes(table, uuid, edit)),
            }
        }
        if operations.len() == waits {
            // Nothing to do, so nothing to wait for either.
            return Prepared {
                operations: Vec::new(),
                inserts,
                increment: None,
                dry_run: self.dry_run,
            };
        }
        let increment = self.increment.map(|(table, uuid, column)| {
            let name = self.column_name(table, column);
            let mutation = json!([[name, "+=", 1]]);
            operations.push(self.on_row("mutate", table, uuid, [("mutations", mutation)]));
            operations.push(self.on_row("select", table, uuid, [("columns", json!([name]))]));
            (operations.len() - 1, name.to_owned())
        });
        if !self.comment.is_empty() {
            operations.push(json!({"op": "comment", "comment": &self.comment}));
        }
        if self.dry_run {
            operations.push(json!({"op": "abort"}));
        }
        Prepared { operations, inserts, increment, dry_run: self.dry_run }
    }

    fn table_name(&self, table: TableId) -> &'a str {
        self.replica.schema().table(table).name()
    }

    fn column_name(&self, table: TableId, column: ColumnId) -> &'a str {
        &self.replica.schema().table(table).column(column).name
    }

    /// An operation on one row.
    fn on_row<const N: usize>(
        &self,
        op: &str,
        table: TableId,
        uuid: Uuid,
        rest: [(&str, Json); N],
    ) -> Json {
        let uuid = self.uuid_json(uuid);
        let head = [
            ("op", Json::from(op)),
            ("table", Json::from(self.table_name(table))),
            ("where", json!([["_uuid", "==", uuid]])),
        ];
        Json::object(head.into_iter().chain(rest))
    }

    fn wait(&self, table: TableId, uuid: Uuid, edit: &Edit) -> Option<Json> {
        if edit.verified.is_empty() {
            return None;
        }
        let names = edit.verified.iter().map(|&column| self.column_name(table, column));
        let values = edit.verified.iter().filter_map(|&column| {
            let value = self.old(table, uuid, column)?;
            Some((self.column_name(table, column), value.to_json(self.column_type(table, column))))
        });
        let rest = [
            ("timeout", Json::from(0)),
            ("until", Json::from("==")),
            ("columns", names.collect()),
            ("rows", json!([Json::object(values)])),
        ];
        Some(self.on_row("wait", table, uuid, rest))
    }

    fn insertion(&self, table: TableId, uuid: Uuid, birth: Birth, edit: &Edit) -> Json {
        let row = edit.columns.iter().filter_map(|(&column, edit)| {
            let ty = self.column_type(table, column);
            let value = (!ty.is_default(&edit.value)).then(|| self.datum_json(&edit.value, ty))?;
            Some((self.column_name(table, column), value))
        });
        let identity = match birth {
            Birth::ServerChooses => ("uuid-name", name_of(uuid)),
            Birth::ClientChose => ("uuid", uuid.to_string()),
        };
        Json::object([
            ("op", Json::from("insert")),
            ("table", Json::from(self.table_name(table))),
            (identity.0, Json::from(identity.1)),
            ("row", Json::object(row)),
        ])
    }

    /// The `update` and `mutate` of a row that stays.
    fn changes(&self, table: TableId, uuid: Uuid, edit: &Edit) -> impl Iterator<Item = Json> {
        let mut updates = Vec::new();
        let mut mutations = Vec::new();
        for (&column, edit) in &edit.columns {
            let old = self.old(table, uuid, column);
            if old.as_ref() == Some(&edit.value) {
                continue;
            }
            let (name, ty) = (self.column_name(table, column), self.column_type(table, column));
            match &edit.elements {
                None => updates.push((name, self.datum_json(&edit.value, ty))),
                Some(elements) => {
                    self.mutate(name, ty, &edit.value, elements, old.as_ref(), &mut mutations)
                }
            }
        }
        let update = (!updates.is_empty())
            .then(|| self.on_row("update", table, uuid, [("row", Json::object(updates))]));
        let mutate = (!mutations.is_empty())
            .then(|| self.on_row("mutate", table, uuid, [("mutations", Json::from(mutations))]));
        update.into_iter().chain(mutate)
    }

    /// The mutations that bring the touched elements into the state that `value` has them in.
    fn mutate(
        &self,
        name: &str,
        ty: &ColumnType,
        value: &Datum,
        touched: &BTreeSet<Atom>,
        old: Option<&Datum>,
        out: &mut Vec<Json>,
    ) {
        let unchanged = |key: &Atom| match old {
            Some(old) if ty.is_map() => old.get(key) == value.get(key),
            Some(old) => old.contains_key(key) == value.contains_key(key),
            None => false,
        };
        let (stay, go): (Vec<_>, Vec<_>) = touched
            .iter()
            .filter(|key| !unchanged(key))
            .cloned()
            .partition(|key| value.contains_key(key));
        let insert = if ty.is_map() {
            Datum::map(stay.iter().filter_map(|key| Some((key.clone(), value.get(key)?.clone()))))
        } else {
            Datum::set(stay.iter().cloned())
        };
        // `insert` keeps the pairs that a map has, so pairs to be replaced go first. In a set that must not be empty the
        // order is the other way round.
        let delete: Vec<_> = if ty.is_map() { go.into_iter().chain(stay).collect() } else { go };
        let delete = (!delete.is_empty()).then(|| {
            let keys: Json = delete.iter().map(|key| self.atom_json(key)).collect();
            json!([name, "delete", ["set", keys]])
        });
        let insert =
            (!insert.is_empty()).then(|| json!([name, "insert", (self.datum_json(&insert, ty))]));
        if ty.is_map() {
            out.extend(delete.into_iter().chain(insert));
        } else {
            out.extend(insert.into_iter().chain(delete));
        }
    }

    /// The JSON for a row's identity: by name while the row has none.
    fn uuid_json(&self, uuid: Uuid) -> Json {
        if self.born.contains(&uuid) {
            json!(["named-uuid", (name_of(uuid))])
        } else {
            uuid_to_json(uuid)
        }
    }

    fn datum_json(&self, datum: &Datum, ty: &ColumnType) -> Json {
        let refers = ty.bases().any(|base| base.atom == AtomType::Uuid);
        if !refers || self.born.is_empty() {
            return datum.to_json(ty);
        }
        let atom = |atom| self.atom_json(atom);
        if ty.is_map() {
            let pairs =
                datum.as_map().iter().map(|(key, value)| json!([(atom(key)), (atom(value))]));
            return json!(["map", (Json::array(pairs))]);
        }
        match datum.as_set() {
            [one] => atom(one),
            all => json!(["set", (Json::array(all.iter().map(atom)))]),
        }
    }

    fn atom_json(&self, atom: &Atom) -> Json {
        match atom {
            Atom::Uuid(uuid) => self.uuid_json(*uuid),
            other => atom_to_json(other),
        }
    }
}

/// The name a new row goes by in its transaction.
fn name_of(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}
