//! From the description of the tables to what `ovsdb` works with.
//!
//! Every run of every command-line program needs the schema, so it is built straight from the constants; going through the
//! text takes several times as long. A test holds both ways together.

use ovsdb::schema::{ColumnSchema, TableSchema};
use ovsdb::types::{Constraint, RefType, Reference};
use ovsdb::{Atom, AtomType, BaseType, ColumnType, Datum, Error, Schema};

use crate::describe::{Atomic, BaseDef, TableDef, TypeDef};

pub(crate) fn schema(
    name: &str,
    version: &str,
    cksum: &str,
    tables: &[&TableDef],
) -> Result<Schema, Error> {
    let tables = tables.iter().map(|table| build_table(table)).collect::<Result<_, _>>()?;
    Schema::new(name, version, cksum, tables)
}

fn build_table(def: &TableDef) -> Result<TableSchema, Error> {
    let column = |def: &crate::describe::ColumnDef| {
        let mut column = ColumnSchema::new(def.name, column_type(&def.ty));
        (column.ephemeral, column.mutable) = (def.ephemeral, def.mutable);
        column
    };
    let table = TableSchema::new(def.name, def.columns.iter().map(column).collect())?;
    let table = table.with_root(def.root).with_max_rows(def.max_rows);
    if def.index.is_empty() { Ok(table) } else { table.with_index(def.index) }
}

fn column_type(def: &TypeDef) -> ColumnType {
    ColumnType {
        key: base_type(&def.key),
        value: def.value.as_ref().map(base_type),
        n_min: def.min,
        n_max: def.max,
    }
}

fn base_type(def: &BaseDef) -> BaseType {
    let atom = match def.atomic {
        Atomic::Integer => AtomType::Integer,
        Atomic::Boolean => AtomType::Boolean,
        Atomic::String => AtomType::String,
        Atomic::Uuid => AtomType::Uuid,
    };
    let constraint = if let Some(refers) = def.refers {
        let ref_type = if refers.weak { RefType::Weak } else { RefType::Strong };
        Constraint::Reference(Reference { table: refers.table.into(), ref_type })
    } else if !def.choices.is_empty() {
        Constraint::Enum(Datum::set(def.choices.iter().map(|word| Atom::from(*word))))
    } else if def.min.is_some() || def.max.is_some() {
        Constraint::Integer { min: def.min.unwrap_or(i64::MIN), max: def.max.unwrap_or(i64::MAX) }
    } else {
        Constraint::None
    };
    BaseType { atom, constraint }
}
