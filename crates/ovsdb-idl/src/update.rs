//! Applying what the server sends to a replica: `<table-updates>` (RFC 7047 section 4.1.6) and `<table-updates2>`
//! (ovsdb-server(7) section 4.1.14).
//!
//! What cannot be understood is an error for the whole message: the copy would be wrong from then on, so the caller starts
//! over. A single value that is not of its column's type only reads as absent, with a warning.

use std::collections::BTreeSet;

use jsonrpc::{Json, Object};
use ovsdb::follow::{RowUpdate, Shape};
use ovsdb::{Datum, TableId, Uuid};

use crate::changes::Columns;
use crate::replica::{Replica, Slot, Table};

impl Replica {
    /// Applies the changes in `updates`.
    pub(crate) fn apply(&mut self, updates: &Json, shape: Shape) -> Result<(), String> {
        self.each_row(updates, shape, |table, uuid, update| table.update_row(uuid, update))
    }

    /// Makes the contents exactly what `updates`, an initial dump, says, and records how that differs from before.
    pub(crate) fn reload(&mut self, updates: &Json, shape: Shape) -> Result<(), String> {
        let mut present = BTreeSet::new();
        self.each_row(updates, shape, |table, uuid, update| {
            present.insert((table.layout.id, uuid));
            table.update_row(uuid, update)
        })?;
        for table in self.tables_mut() {
            let gone = |uuid: &&Uuid| !present.contains(&(table.layout.id, **uuid));
            for uuid in table.rows.keys().filter(gone).copied().collect::<Vec<_>>() {
                table.delete_row(uuid);
            }
        }
        Ok(())
    }

    fn each_row(
        &mut self,
        updates: &Json,
        shape: Shape,
        mut apply: impl FnMut(&mut Table, Uuid, RowUpdate<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let tables = updates.as_object().ok_or("<table-updates> is not an object")?;
        for (name, rows) in tables.iter() {
            let Some(id) = self.schema().table_id(name) else {
                return Err(format!("update of table {name}, which nobody asked for"));
            };
            let rows = rows
                .as_object()
                .ok_or_else(|| format!("update of table {name} is not an object"))?;
            self.each_row_of(id, rows, shape, &mut apply)
                .map_err(|problem| format!("table {name}: {problem}"))?;
        }
        Ok(())
    }

    fn each_row_of(
        &mut self,
        id: TableId,
        rows: &Object,
        shape: Shape,
        apply: &mut impl FnMut(&mut Table, Uuid, RowUpdate<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let table = self.table_mut(id).ok_or("nobody asked for it")?;
        for (uuid, update) in rows.iter() {
            let uuid: Uuid = uuid.parse().map_err(|_| format!("\"{uuid}\" is not a UUID"))?;
            let update = RowUpdate::read(update, shape)
                .ok_or_else(|| format!("row {uuid}: not a row update: {update}"))?;
            apply(table, uuid, update).map_err(|problem| format!("row {uuid}: {problem}"))?;
        }
        Ok(())
    }
}

impl Table {
    fn update_row(&mut self, uuid: Uuid, update: RowUpdate<'_>) -> Result<(), String> {
        match update {
            RowUpdate::Whole(new) => {
                self.replace_row(uuid, new);
                Ok(())
            }
            RowUpdate::Values(values) => self.modify_row(uuid, values, |_, new, _| new),
            RowUpdate::Differences(diffs) => {
                self.modify_row(uuid, diffs, |old, diff, slot| old.apply_diff(&diff, &slot.ty))
            }
            RowUpdate::Delete => {
                self.delete_row(uuid);
                Ok(())
            }
        }
    }

    fn replace_row(&mut self, uuid: Uuid, new: &Object) {
        let layout = self.layout.clone();
        let value = |slot: &Slot| match new.get(&slot.name) {
            Some(json) => decode(json, slot, &layout.name),
            None => slot.ty.default_datum(),
        };
        let values: Box<[Datum]> = layout.slots().iter().map(value).collect();
        match self.rows.insert(uuid, values) {
            None => self.changes.inserted(uuid),
            Some(old) => {
                let new = self.rows.get(&uuid).map(|row| &**row).unwrap_or_default();
                let mut changed = Columns::default();
                for (at, _) in layout.slots().iter().enumerate().filter(|(_, slot)| !slot.quiet) {
                    if old.get(at) != new.get(at) {
                        changed.insert(at);
                    }
                }
                self.changes.modified(uuid, changed);
            }
        }
    }

    fn modify_row(
        &mut self,
        uuid: Uuid,
        columns: &Object,
        new_value: impl Fn(&Datum, Datum, &Slot) -> Datum,
    ) -> Result<(), String> {
        let values = self.rows.get_mut(&uuid).ok_or("it does not exist")?;
        let mut changed = Columns::default();
        for (name, json) in columns.iter() {
            // A server may mention `_version` although nobody asked for it.
            let Some(at) = self.layout.slot_named(name) else { continue };
            let (Some(slot), Some(value)) = (self.layout.slots().get(at), values.get_mut(at))
            else {
                continue;
            };
            let new = new_value(value, decode(json, slot, &self.layout.name), slot);
            if *value != new {
                *value = new;
                if !slot.quiet {
                    changed.insert(at);
                }
            }
        }
        self.changes.modified(uuid, changed);
        Ok(())
    }

    fn delete_row(&mut self, uuid: Uuid) {
        if let Some(last) = self.rows.remove(&uuid) {
            self.changes.deleted(uuid, last);
        }
    }
}

fn decode(json: &Json, slot: &Slot, table: &str) -> Datum {
    Datum::from_json(json, &slot.wire, None).unwrap_or_else(|error| {
        log::warn!("{table}.{}: the server sent what is not of its type: {error}", slot.name);
        slot.ty.default_datum()
    })
}
