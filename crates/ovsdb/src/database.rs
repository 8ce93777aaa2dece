//! The tables of one database in memory, with what is derived from them.
//!
//! # What is derived, and when
//! - the unique indexes of each table,
//! - how many strong references each row has (references of a row to itself do not count),
//! - who refers weakly to each row.
//!
//! A transaction changes rows in place, one by one, while derived data still describes the rows as they were. When all
//! its operations are done the transaction brings the derived data up to date by *accounting* each changed row (its
//! accounted version -> its present one), which is also how the changes are taken back.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::hash_table::{Entry as TableEntry, HashTable};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::freeze::{Contents, Freeze};
use crate::row::Row;
use crate::schema::{ColumnId, Schema, TableId, TableSchema};
use crate::transaction::RowChange;
use crate::types::RefType;
use crate::{Atom, Datum, Error, Uuid};

/// A row's place: its table and identifier.
pub(crate) type RowKey = (TableId, Uuid);

/// A column that refers to rows of another table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefColumn {
    pub(crate) column: ColumnId,
    /// The references are a map's values, not its keys or a set's elements.
    pub(crate) in_values: bool,
    pub(crate) ref_type: RefType,
    pub(crate) target: TableId,
}

impl RefColumn {
    /// The rows that `row` refers to through this column.
    pub(crate) fn targets<'a>(&self, row: &'a Row) -> impl Iterator<Item = Uuid> + use<'a> {
        let datum = row.get(self.column);
        let (keys, values): (Option<&Datum>, &[_]) =
            if self.in_values { (None, datum.as_map()) } else { (Some(datum), &[]) };
        let keys = keys.into_iter().flat_map(Datum::keys);
        keys.chain(values.iter().map(|(_, value)| value)).filter_map(Atom::as_uuid)
    }

    /// The rows that only `old` and that only `new` refers to. A bridge with thousands of ports that gets one more must
    /// not cost thousands of look-ups.
    fn differences(&self, old: Option<&Row>, new: Option<&Row>) -> (Vec<Uuid>, Vec<Uuid>) {
        if let (Some(old), Some(new)) =
            (old.map(|row| row.get(self.column)), new.map(|row| row.get(self.column)))
            && old.as_map().is_empty()
            && new.as_map().is_empty()
        {
            let (removed, added) = old.set_changes(new);
            let uuids = |atoms: Vec<&Atom>| atoms.into_iter().filter_map(Atom::as_uuid).collect();
            return (uuids(removed), uuids(added));
        }
        // Adding and then dropping a reference is no harm, and maps are small.
        let all = |row: Option<&Row>| row.into_iter().flat_map(|row| self.targets(row)).collect();
        (all(old), all(new))
    }
}

struct Entry {
    row: Row,
    /// Strong references from other rows.
    strong_refs: u32,
}

struct Index {
    columns: Vec<ColumnId>,
    /// The rows by the hash of the values of `columns`.
    rows: HashTable<Uuid>,
}

/// A table.
pub struct Table {
    rows: HashMap<Uuid, Entry>,
    indexes: Vec<Index>,
    hasher: DefaultHashBuilder,
    pub(crate) ref_columns: Vec<RefColumn>,
    /// Columns whose default value their own constraints forbid: inserts must give them.
    pub(crate) forbidden_defaults: Vec<(ColumnId, Error)>,
}

impl Table {
    fn new(table: &TableSchema, schema: &Schema) -> Self {
        let ref_columns = table.named_columns().flat_map(|(column, c)| {
            let bases = c.ty.bases().zip([false, true]);
            bases.filter_map(move |(base, in_values)| {
                let reference = base.reference()?;
                let target = schema.table_id(&reference.table)?;
                Some(RefColumn { column, in_values, ref_type: reference.ref_type, target })
            })
        });
        let forbidden_defaults = table.named_columns().filter_map(|(id, column)| {
            let error = column.ty.default_datum().check(&column.ty).err()?;
            Some((id, error))
        });
        Self {
            rows: HashMap::new(),
            indexes: table
                .indexes()
                .iter()
                .map(|columns| Index { columns: columns.clone(), rows: HashTable::new() })
                .collect(),
            hasher: DefaultHashBuilder::default(),
            ref_columns: ref_columns.collect(),
            forbidden_defaults: forbidden_defaults.collect(),
        }
    }

    /// The row called `uuid`.
    pub fn get(&self, uuid: Uuid) -> Option<&Row> {
        self.rows.get(&uuid).map(|entry| &entry.row)
    }

    /// The rows, in no particular order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.values().map(|entry| &entry.row)
    }

    /// The rows that a unique index has for the values that `wanted` gives its columns: none or one, more only in a damaged
    /// file. `None` if `wanted` leaves a column of every index open. Rows that a transaction has changed are found where they
    /// were before, if their values still are the same.
    pub(crate) fn by_index<'a>(
        &self,
        wanted: impl Fn(ColumnId) -> Option<&'a Datum>,
    ) -> Option<impl Iterator<Item = Uuid>> {
        let keys = self.indexes.iter().find_map(|index| {
            let key: Option<Vec<_>> = index.columns.iter().map(|c| wanted(*c)).collect();
            Some((index, key?))
        });
        let (index, key) = keys?;
        let hash = hash_values(&self.hasher, key.into_iter());
        Some(index.rows.iter_hash(hash).copied())
    }

    /// The names of the rows, in no particular order.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = Uuid> {
        self.rows.keys().copied()
    }

    /// Puts every row into the unique indexes, which are empty. Returns two that are in each other's way, if there are any.
    fn rebuild_indexes(&mut self) -> Option<[Uuid; 2]> {
        let Self { rows, indexes, hasher, .. } = self;
        let mut conflict = None;
        for Index { columns, rows: by_key } in indexes {
            let key_of = |uuid: &Uuid| rows.get(uuid).map(|entry| &entry.row);
            let rehash = |uuid: &Uuid| key_of(uuid).map_or(0, |row| hash_key(hasher, columns, row));
            // At once: to grow means to hash every row anew.
            by_key.reserve(rows.len(), rehash);
            for (uuid, Entry { row, .. }) in rows.iter() {
                let hash = hash_key(hasher, columns, row);
                let same = |other: &Uuid| key_of(other).is_some_and(|o| same_key(columns, o, row));
                if let Some(other) = by_key.find(hash, same) {
                    conflict.get_or_insert([*other, *uuid]);
                }
                by_key.insert_unique(hash, *uuid, rehash);
            }
        }
        conflict
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Two rows that a unique index forbids to exist together.
pub(crate) struct IndexConflict {
    pub(crate) table: TableId,
    pub(crate) columns: Vec<ColumnId>,
    pub(crate) rows: [Uuid; 2],
}

/// A database in memory.
pub struct Database {
    schema: Arc<Schema>,
    tables: Vec<Table>,
    /// Strong references to rows that do not exist; empty outside of transactions.
    orphans: HashMap<RowKey, u32>,
    /// Who refers weakly to a row, once per reference.
    weak_refs: HashMap<RowKey, Vec<RowKey>>,
    /// The contents of an earlier moment, while they are gathered.
    freeze: Option<Box<Freeze>>,
}

impl Database {
    /// An empty database.
    pub fn new(schema: Arc<Schema>) -> Self {
        let tables = schema.tables().iter().map(|table| Table::new(table, &schema)).collect();
        Self { schema, tables, orphans: HashMap::new(), weak_refs: HashMap::new(), freeze: None }
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The table at `id`, which must come from this database's schema.
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[id.index()]
    }

    /// The table called `name`.
    pub fn table_named(&self, name: &str) -> Option<&Table> {
        self.schema.table_id(name).map(|id| self.table(id))
    }

    /// The row at `key`.
    pub(crate) fn row(&self, (table, uuid): RowKey) -> Option<&Row> {
        self.table(table).get(uuid)
    }

    /// The row at `key`, and the strong references to it.
    pub(crate) fn referred(&self, (table, uuid): RowKey) -> Option<(&Row, u32)> {
        self.table(table).rows.get(&uuid).map(|entry| (&entry.row, entry.strong_refs))
    }

    /// The rows that refer weakly to `key`, some perhaps several times.
    pub(crate) fn weak_sources(&self, key: RowKey) -> &[RowKey] {
        self.weak_refs.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Strong references to rows that do not exist.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = (RowKey, u32)> {
        self.orphans.iter().map(|(key, n)| (*key, *n))
    }

    /// The number of rows in all tables.
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// The number of values in all rows, `_uuid` and `_version` included.
    pub fn cell_count(&self) -> usize {
        self.tables.iter().flat_map(Table::rows).map(|row| row.values().len()).sum()
    }

    /// The number of elements, keys and values in all rows.
    pub fn atom_count(&self) -> usize {
        let rows = self.tables.iter().flat_map(Table::rows);
        rows.flat_map(Row::values).map(|value| value.len() + value.as_map().len()).sum()
    }

    /// The number of weak references.
    pub fn weak_ref_count(&self) -> usize {
        self.weak_refs.values().map(Vec::len).sum()
    }

    /// Derives everything anew after rows were put in one by one, and says what is wrong with them.
    pub(crate) fn rebuild_derived(&mut self) -> Vec<String> {
        let mut ignored = Vec::new();
        let mut problems = Vec::new();
        let schema = Arc::clone(&self.schema);
        for id in schema.table_ids() {
            if !self.table(id).ref_columns.is_empty() {
                // Shared, for counting changes the table that they are in, or another.
                let rows: Vec<Row> = self.table(id).rows().cloned().collect();
                for row in &rows {
                    self.account((id, row.uuid()), None, Some(row), &mut ignored);
                }
            }
            if let Some([a, b]) = self.tables[id.index()].rebuild_indexes() {
                let table = schema.table(id).name();
                problems.push(format!(
                    "rows {a} and {b} of table {table} have the same values for a unique index"
                ));
            }
        }
        if !self.orphans.is_empty() {
            problems.push(format!(
                "{} strong references to rows that do not exist",
                self.orphans.len()
            ));
        }
        problems
    }

    /// Puts `row` in the place of whatever is at `key`, or removes that. Derived data stays as it is.
    pub(crate) fn replace(&mut self, (table, uuid): RowKey, row: Option<Row>) {
        self.keep((table, uuid));
        let rows = &mut self.tables[table.index()].rows;
        let Some(row) = row else {
            let strong_refs = rows.remove(&uuid).map_or(0, |entry| entry.strong_refs);
            if strong_refs > 0 {
                self.orphans.insert((table, uuid), strong_refs);
            }
            return;
        };
        match rows.get_mut(&uuid) {
            Some(entry) => entry.row = row,
            None => {
                let strong_refs = self.orphans.remove(&(table, uuid)).unwrap_or(0);
                rows.insert(uuid, Entry { row, strong_refs });
            }
        }
    }

    /// Gives `change` the row at `key` to work on.
    pub(crate) fn modify<T>(
        &mut self,
        (table, uuid): RowKey,
        change: impl FnOnce(&mut Row) -> T,
    ) -> Option<T> {
        self.keep((table, uuid));
        self.tables[table.index()].rows.get_mut(&uuid).map(|entry| change(&mut entry.row))
    }

    /// The row at `key` is about to change: leaves it to those who gather what was.
    fn keep(&mut self, key: RowKey) {
        if let Some(freeze) = &mut self.freeze {
            let table = &self.tables[key.0.index()];
            freeze.keep(key, || table.get(key.1).cloned());
        }
    }

    /// Begins to gather the contents as they are now; what was begun before is given up.
    pub(crate) fn freeze(&mut self) {
        self.freeze = Some(Box::new(Freeze::new(self)));
    }

    /// Gathers `n` rows more. Returns the contents when they are complete, `None` also if nobody asked for them.
    pub(crate) fn gather(&mut self, n: usize) -> Option<Contents> {
        let mut freeze = self.freeze.take()?;
        if freeze.take(self, n) {
            return Some(freeze.finish(&self.schema));
        }
        self.freeze = Some(freeze);
        None
    }

    /// Brings reference counts up to date with the row at `key` having changed from `old` to `new`. Rows that lost their
    /// last strong reference are added to `unreferenced`.
    pub(crate) fn account(
        &mut self,
        key: RowKey,
        old: Option<&Row>,
        new: Option<&Row>,
        unreferenced: &mut Vec<RowKey>,
    ) {
        for i in 0..self.tables[key.0.index()].ref_columns.len() {
            let column = self.tables[key.0.index()].ref_columns[i];
            if old
                .zip(new)
                .is_some_and(|(old, new)| old.get(column.column) == new.get(column.column))
            {
                continue;
            }
            let (dropped, added) = column.differences(old, new);
            for target in added {
                self.add_ref(key, (column.target, target), column.ref_type);
            }
            for target in dropped {
                self.drop_ref(key, (column.target, target), column.ref_type, unreferenced);
            }
        }
    }

    fn add_ref(&mut self, source: RowKey, target: RowKey, ref_type: RefType) {
        if ref_type == RefType::Weak {
            self.weak_refs.entry(target).or_default().push(source);
        } else if source != target {
            match self.tables[target.0.index()].rows.get_mut(&target.1) {
                Some(entry) => entry.strong_refs += 1,
                None => *self.orphans.entry(target).or_insert(0) += 1,
            }
        }
    }

    fn drop_ref(
        &mut self,
        source: RowKey,
        target: RowKey,
        ref_type: RefType,
        unreferenced: &mut Vec<RowKey>,
    ) {
        if ref_type == RefType::Weak {
            let Some(sources) = self.weak_refs.get_mut(&target) else { return };
            if let Some(at) = sources.iter().position(|s| *s == source) {
                sources.swap_remove(at);
            }
            if sources.is_empty() {
                self.weak_refs.remove(&target);
            }
        } else if source != target {
            match self.tables[target.0.index()].rows.get_mut(&target.1) {
                Some(entry) => {
                    entry.strong_refs = entry.strong_refs.saturating_sub(1);
                    if entry.strong_refs == 0 {
                        unreferenced.push(target);
                    }
                }
                None => {
                    let left = self.orphans.remove(&target).unwrap_or(0).saturating_sub(1);
                    if left > 0 {
                        self.orphans.insert(target, left);
                    }
                }
            }
        }
    }

    /// Brings the unique indexes up to date with `changes`, of rows that already have their new value; `old` says which that
    /// was not. The indexes follow the rows even into a conflict, so that the same call the other way round takes it back.
    pub(crate) fn reindex(
        &mut self,
        changes: &[RowChange],
        old: impl Fn(&RowChange) -> Option<&Row>,
    ) -> Option<IndexConflict> {
        let mut same = true;
        for change in changes {
            let RowChange { table, uuid, .. } = change;
            let table = &mut self.tables[table.index()];
            if table.indexes.is_empty() {
                continue;
            }
            let Some(old) = old(change) else {
                same = false;
                continue;
            };
            let new = table.rows.get(uuid).map(|entry| &entry.row);
            for index in &mut table.indexes {
                if new.is_some_and(|new| same_key(&index.columns, old, new)) {
                    continue;
                }
                same = false;
                let hash = hash_key(&table.hasher, &index.columns, old);
                if let Ok(entry) = index.rows.find_entry(hash, |u| u == uuid) {
                    entry.remove();
                }
            }
        }
        if same {
            return None;
        }
        let mut conflict = None;
        for change in changes {
            let RowChange { table: table_id, uuid, .. } = change;
            let Table { rows, indexes, hasher, .. } = &mut self.tables[table_id.index()];
            let Some(new) = rows.get(uuid).map(|entry| &entry.row) else { continue };
            for index in indexes {
                let Index { columns, rows: by_key } = index;
                if old(change).is_some_and(|old| same_key(columns, old, new)) {
                    continue;
                }
                let key_of = |u: &Uuid| rows.get(u).map(|entry| &entry.row);
                let rehash = |u: &Uuid| key_of(u).map_or(0, |row| hash_key(hasher, columns, row));
                let equal = |u: &Uuid| key_of(u).is_some_and(|row| same_key(columns, row, new));
                let hash = hash_key(hasher, columns, new);
                match by_key.entry(hash, equal, rehash) {
                    TableEntry::Vacant(entry) => {
                        entry.insert(*uuid);
                    }
                    TableEntry::Occupied(entry) => {
                        let rows = [*entry.get(), *uuid];
                        by_key.insert_unique(hash, *uuid, rehash);
                        conflict.get_or_insert(IndexConflict {
                            table: *table_id,
                            columns: columns.clone(),
                            rows,
                        });
                    }
                }
            }
        }
        conflict
    }
}

#[cfg(test)]
impl Database {
    /// Everything derived, in comparable form.
    pub(crate) fn derived_summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, table) in self.schema.table_ids().zip(&self.tables) {
            lines.extend(
                table
                    .rows
                    .iter()
                    .map(|(uuid, entry)| format!("{id:?} {uuid} {}", entry.strong_refs)),
            );
            for (i, index) in table.indexes.iter().enumerate() {
                lines.extend(index.rows.iter().map(|uuid| {
                    let row = &table.rows[uuid].row;
                    let hash = hash_key(&table.hasher, &index.columns, row);
                    let found = index.rows.find(hash, |u| u == uuid).is_some();
                    format!("{id:?} index {i} {uuid} {found}")
                }));
            }
        }
        for (target, sources) in &self.weak_refs {
            let mut sources = sources.clone();
            sources.sort_unstable();
            lines.push(format!("{target:?} <- {sources:?}"));
        }
        lines.extend(self.orphans.iter().map(|orphan| format!("{orphan:?}")));
        lines.sort_unstable();
        lines
    }
}

fn same_key(columns: &[ColumnId], a: &Row, b: &Row) -> bool {
    columns.iter().all(|column| a.get(*column) == b.get(*column))
}

fn hash_key(hasher: &DefaultHashBuilder, columns: &[ColumnId], row: &Row) -> u64 {
    hash_values(hasher, columns.iter().map(|column| row.get(*column)))
}

fn hash_values<'a>(hasher: &DefaultHashBuilder, values: impl Iterator<Item = &'a Datum>) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut state = hasher.build_hasher();
    values.for_each(|value| value.hash(&mut state));
    state.finish()
}
