//! What a database looks like: tables, columns, keys (RFC 7047 section 3.2).
//!
//! A schema is immutable once built. Tables and columns are kept sorted by name and addressed by position, so that a row
//! is an array; every table's first two columns are `_uuid` and `_version`, which schemas do not mention.

mod json;
pub(crate) mod parse;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::types::{Constraint, RefType};
use crate::{AtomType, BaseType, ColumnType, Error, ErrorKind};

/// True if `text` may name a database, a table, a column or a row-to-be: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_id(text: &str) -> bool {
    !text.is_empty()
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// The position of a table in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub(crate) u16);

impl TableId {
    /// The position as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The position of a column in its [`TableSchema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub(crate) u16);

impl ColumnId {
    /// `_uuid`
    pub const UUID: Self = Self(0);
    /// `_version`
    pub const VERSION: Self = Self(1);

    /// The position as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// True for `_uuid` and `_version`.
    pub const fn is_implicit(self) -> bool {
        self.0 < 2
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSchema {
    /// The name.
    pub name: Arc<str>,
    /// What it holds.
    pub ty: ColumnType,
    /// Not written to the database file.
    pub ephemeral: bool,
    /// May change after the row was inserted.
    pub mutable: bool,
}

impl ColumnSchema {
    /// A mutable, persistent column.
    pub fn new(name: &str, ty: ColumnType) -> Self {
        Self { name: name.into(), ty, ephemeral: false, mutable: true }
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    name: Arc<str>,
    columns: Vec<ColumnSchema>,
    max_rows: u32,
    is_root: bool,
    indexes: Vec<Vec<ColumnId>>,
}

impl TableSchema {
    /// A table of `columns` (without `_uuid` and `_version`) with any number of rows, outside the root set.
    pub fn new(name: &str, mut columns: Vec<ColumnSchema>) -> Result<Self, Error> {
        let problem = |details: String| Err(Error::new(ErrorKind::Syntax, details));
        if columns.is_empty() {
            return problem("table must have at least one column".into());
        }
        check_name(name)?;
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([column, _]) =
            columns.windows(2).find(|two| matches!(two, [a, b] if a.name == b.name))
        {
            return problem(format!("duplicate column {}", column.name));
        }
        if columns.len() > usize::from(u16::MAX) - 2 {
            return problem(format!("table {name} has too many columns"));
        }
        for column in &mut columns {
            check_name(&column.name)?;
            // A weak reference goes away with its target, whatever the schema says.
            column.mutable |= column.ty.bases().any(|base| base.refers(RefType::Weak));
        }
        let implicit = ["_uuid", "_version"].map(|name| ColumnSchema {
            mutable: false,
            ephemeral: name == "_version",
            ..ColumnSchema::new(name, ColumnType::scalar(AtomType::Uuid))
        });
        columns.splice(0..0, implicit);
        Ok(Self {
            name: name.into(),
            columns,
            max_rows: u32::MAX,
            is_root: false,
            indexes: Vec::new(),
        })
    }

    /// Puts the table into the root set (or takes it out): its rows live without being referred to.
    #[must_use]
    pub fn with_root(mut self, is_root: bool) -> Self {
        self.is_root = is_root;
        self
    }

    /// Limits the number of rows.
    #[must_use]
    pub fn with_max_rows(mut self, max_rows: u32) -> Self {
        self.max_rows = max_rows;
        self
    }

    /// Adds a unique key over `columns`.
    pub fn with_index(mut self, columns: &[&str]) -> Result<Self, Error> {
        let ids = columns.iter().map(|name| {
            let id = self.column_id(name);
            id.ok_or_else(|| {
                Error::new(ErrorKind::Syntax, format!("{name} is not a valid column name"))
            })
        });
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        self.add_index(ids)?;
        Ok(self)
    }

    fn add_index(&mut self, ids: Vec<ColumnId>) -> Result<(), Error> {
        if ids.is_empty() {
            return Err(Error::new(ErrorKind::Syntax, "index must have at least one column"));
        }
        if let Some(column) = ids.iter().map(|id| self.column(*id)).find(|column| column.ephemeral)
        {
            let details = format!("ephemeral columns (such as {}) may not be indexed", column.name);
            return Err(Error::new(ErrorKind::Syntax, details));
        }
        self.indexes.push(ids);
        Ok(())
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Every column by its [`ColumnId`], `_uuid` and `_version` first, the others sorted by name.
    pub fn columns(&self) -> &[ColumnSchema] {
        &self.columns
    }

    /// The columns that the schema names, with their positions.
    pub fn named_columns(&self) -> impl Iterator<Item = (ColumnId, &ColumnSchema)> {
        self.column_ids().skip(2).zip(self.columns.iter().skip(2))
    }

    /// The positions of all columns.
    pub fn column_ids(&self) -> impl Iterator<Item = ColumnId> + use<> {
        // The number of columns was checked when the table was made.
        (0..self.columns.len() as u16).map(ColumnId)
    }

    /// The column at `id`, which must come from this table.
    pub fn column(&self, id: ColumnId) -> &ColumnSchema {
        &self.columns[id.index()]
    }

    /// The position of the column called `name`.
    pub fn column_id(&self, name: &str) -> Option<ColumnId> {
        match name {
            "_uuid" => return Some(ColumnId::UUID),
            "_version" => return Some(ColumnId::VERSION),
            _ => {}
        }
        let named = self.columns.get(2..)?;
        let at = named.binary_search_by(|column| (*column.name).cmp(name)).ok()?;
        Some(ColumnId(at as u16 + 2))
    }

    /// The column called `name`.
    pub fn column_named(&self, name: &str) -> Option<&ColumnSchema> {
        self.column_id(name).map(|id| self.column(id))
    }

    /// The greatest number of rows.
    pub fn max_rows(&self) -> u32 {
        self.max_rows
    }

    /// True if rows live without being referred to.
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// Sets of columns whose values together differ from row to row.
    pub fn indexes(&self) -> &[Vec<ColumnId>] {
        &self.indexes
    }
}

/// A database's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    name: Arc<str>,
    version: String,
    cksum: String,
    tables: Vec<TableSchema>,
}

impl Schema {
    /// A schema of `tables`. `version` is `x.y.z` or empty, `cksum` any text.
    pub fn new(
        name: &str,
        version: &str,
        cksum: &str,
        mut tables: Vec<TableSchema>,
    ) -> Result<Self, Error> {
        if !is_id(name) {
            return Err(Error::new(
                ErrorKind::Syntax,
                format!("\"{name}\" is not a valid database name"),
            ));
        }
        if !version.is_empty() && version.parse::<SchemaVersion>().is_err() {
            let details = format!("schema version \"{version}\" not in format x.y.z");
            return Err(Error::new(ErrorKind::Syntax, details));
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([table, _]) =
            tables.windows(2).find(|two| matches!(two, [a, b] if a.name == b.name))
        {
            return Err(Error::new(ErrorKind::Syntax, format!("duplicate table {}", table.name)));
        }
        if tables.len() > usize::from(u16::MAX) {
            return Err(Error::new(ErrorKind::Syntax, "schema has too many tables"));
        }
        // Schemas from before the root set existed have nothing in it: their rows are not garbage collected.
        if !tables.iter().any(|table| table.is_root) {
            tables.iter_mut().for_each(|table| table.is_root = true);
        }
        let schema =
            Self { name: name.into(), version: version.into(), cksum: cksum.into(), tables };
        schema.check_references()?;
        Ok(schema)
    }

    fn check_references(&self) -> Result<(), Error> {
        for column in self.tables.iter().flat_map(|table| table.columns()) {
            for (base, role) in column.ty.bases().zip(["key", "value"]) {
                let Some(reference) = base.reference() else { continue };
                if self.table_id(&reference.table).is_none() {
                    let details = format!(
                        "column {} {role} refers to undefined table {}",
                        column.name, reference.table
                    );
                    return Err(Error::new(ErrorKind::Syntax, details));
                }
            }
        }
        Ok(())
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The version, empty if the schema has none.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The checksum that the schema's author put in, empty if there is none.
    pub fn cksum(&self) -> &str {
        &self.cksum
    }

    /// Every table by its [`TableId`], sorted by name.
    pub fn tables(&self) -> &[TableSchema] {
        &self.tables
    }

    /// The positions of all tables.
    pub fn table_ids(&self) -> impl Iterator<Item = TableId> + use<> {
        // The number of tables was checked when the schema was made.
        (0..self.tables.len() as u16).map(TableId)
    }

    /// The table at `id`, which must come from this schema.
    pub fn table(&self, id: TableId) -> &TableSchema {
        &self.tables[id.index()]
    }

    /// The position of the table called `name`.
    pub fn table_id(&self, name: &str) -> Option<TableId> {
        let at = self.tables.binary_search_by(|table| (*table.name).cmp(name)).ok()?;
        Some(TableId(at as u16))
    }

    /// The table called `name`.
    pub fn table_named(&self, name: &str) -> Option<&TableSchema> {
        self.table_id(name).map(|id| self.table(id))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.starts_with('_') {
        Err(Error::new(ErrorKind::Syntax, "names beginning with \"_\" are reserved"))
    } else if !is_id(name) {
        Err(Error::new(ErrorKind::Syntax, "name must be a valid id"))
    } else {
        Ok(())
    }
}

/// A schema's version, `x.y.z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaVersion {
    /// Rises with incompatible changes.
    pub x: u32,
    /// Rises with compatible changes.
    pub y: u32,
    /// Rises with cosmetic changes.
    pub z: u32,
}

/// The text is not `x.y.z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidVersion;

impl FromStr for SchemaVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let number = |part: Option<&str>| {
            let part = part.filter(|p| p.bytes().all(|c| c.is_ascii_digit()));
            part.and_then(|p| p.parse().ok()).ok_or(InvalidVersion)
        };
        let mut parts = text.split('.');
        let version =
            Self { x: number(parts.next())?, y: number(parts.next())?, z: number(parts.next())? };
        if parts.next().is_some() { Err(InvalidVersion) } else { Ok(version) }
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.x, self.y, self.z)
    }
}

/// Constraints that allow everything are no constraints, so that equal types compare equal.
pub(crate) fn normalize(base: BaseType) -> BaseType {
    let trivial = matches!(
        &base.constraint,
        Constraint::Integer { min: i64::MIN, max: i64::MAX }
            | Constraint::Real { min: None, max: None }
            | Constraint::String { min_len: 0, max_len: u32::MAX }
    );
    if trivial { BaseType::plain(base.atom) } else { base }
}

#[cfg(test)]
mod tests;
