//! The rows a client has been sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovsdb::types::UNLIMITED;
use ovsdb::{BaseType, ColumnId, ColumnType, Datum, Schema, TableId, Uuid};

use crate::changes::{Changes, TableChanges};
use crate::interest::{Attention, Interest};

/// A client's copy of the tables and columns it asked for.
///
/// Rows of a table come in the order of their UUIDs, so that whoever walks them twice walks them alike.
#[derive(Debug)]
pub struct Replica {
    schema: Arc<Schema>,
    tables: BTreeMap<TableId, Table>,
}

/// Which column of a table is at which place in its rows.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) id: TableId,
    pub(crate) name: Arc<str>,
    /// Sorted by name.
    slots: Vec<Slot>,
}

/// One column of the replica.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) id: ColumnId,
    /// The type in our schema, which decides how differences are applied.
    pub(crate) ty: ColumnType,
    /// The same without constraints: what the server sends was checked against *its* schema.
    pub(crate) wire: ColumnType,
    pub(crate) quiet: bool,
}

/// The values of a row, by the table's layout.
pub(crate) type Values = Box<[Datum]>;

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) layout: Arc<Layout>,
    pub(crate) rows: BTreeMap<Uuid, Values>,
    pub(crate) changes: TableChanges,
}

/// A row of the replica.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    uuid: Uuid,
    layout: &'a Layout,
    values: &'a [Datum],
}

impl<'a> RowRef<'a> {
    pub(crate) fn new(uuid: Uuid, layout: &'a Layout, values: &'a [Datum]) -> Self {
        Self { uuid, layout, values }
    }

    /// The row's identity.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The value of `column`, if the client asked for that column.
    pub fn get(&self, column: &str) -> Option<&'a Datum> {
        self.values.get(self.layout.slot_named(column)?)
    }

    /// The value of a string column, or "".
    pub fn text(&self, column: &str) -> &'a str {
        self.get(column).and_then(Datum::as_str).unwrap_or_default()
    }
}

impl Layout {
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slot_named(&self, column: &str) -> Option<usize> {
        self.slots.binary_search_by(|slot| (*slot.name).cmp(column)).ok()
    }

    pub(crate) fn slot_of(&self, column: ColumnId) -> Option<usize> {
        // The schema sorts columns by name, so identifiers are sorted too.
        self.slots.binary_search_by_key(&column, |slot| slot.id).ok()
    }
}

fn unconstrained(ty: &ColumnType) -> ColumnType {
    ColumnType {
        key: BaseType::plain(ty.key.atom),
        value: ty.value.as_ref().map(|value| BaseType::plain(value.atom)),
        n_min: 0,
        n_max: UNLIMITED,
    }
}

impl Table {
    fn new(schema: &Schema, id: TableId, columns: &BTreeMap<ColumnId, Attention>) -> Self {
        let table = schema.table(id);
        let slots = columns.iter().map(|(&column, attention)| {
            let described = table.column(column);
            Slot {
                name: described.name.clone(),
                id: column,
                ty: described.ty.clone(),
                wire: unconstrained(&described.ty),
                quiet: *attention == Attention::Quiet,
            }
        });
        let layout = Arc::new(Layout { id, name: table.name().clone(), slots: slots.collect() });
        Self { layout, rows: BTreeMap::new(), changes: TableChanges::default() }
    }

    pub(crate) fn row(&self, uuid: Uuid) -> Option<RowRef<'_>> {
        Some(RowRef::new(uuid, &self.layout, self.rows.get(&uuid)?))
    }
}

impl Replica {
    /// An empty copy of what `interest` names.
    pub fn new(interest: &Interest) -> Self {
        let schema = interest.schema().clone();
        let tables =
            interest.tables().map(|(id, columns)| (id, Table::new(&schema, id, columns))).collect();
        Self { schema, tables }
    }

    /// The schema the client was written for.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The row `uuid` of `table`.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<RowRef<'_>> {
        self.table(self.schema.table_id(table)?)?.row(uuid)
    }

    /// The rows of `table`.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = RowRef<'_>> {
        let table = self.schema.table_id(table).and_then(|id| self.table(id));
        table.into_iter().flat_map(|table| {
            table.rows.iter().map(|(uuid, values)| RowRef::new(*uuid, &table.layout, values))
        })
    }

    /// The number of rows of `table`.
    pub fn len(&self, table: &str) -> usize {
        self.schema
            .table_id(table)
            .and_then(|id| self.table(id))
            .map_or(0, |table| table.rows.len())
    }

    /// The first row of `table`: the row, for tables that have only one.
    pub fn only_row(&self, table: &str) -> Option<RowRef<'_>> {
        self.rows(table).next()
    }

    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        let take = |table: &mut Table| {
            let changes = std::mem::take(&mut table.changes);
            (!changes.is_empty()).then(|| (table.layout.clone(), changes))
        };
        Changes::new(self.tables.values_mut().filter_map(take).collect())
    }

    pub(crate) fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(&id)
    }

    pub(crate) fn table_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.tables.get_mut(&id)
    }

    pub(crate) fn tables_mut(&mut self) -> impl Iterator<Item = &mut Table> {
        self.tables.values_mut()
    }
}
