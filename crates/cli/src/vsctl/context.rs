//! One command while it runs.

use ovsdb::datum::text::atom_from_text;
use ovsdb::{Atom, BaseType, ColumnId, ColumnType, Datum, TableId, Uuid};

use super::command::Call;
use super::db::Db;
use super::model::Model;
use super::settings::Touched;
use super::{Fatal, fatal, names};

/// What a command works on and what it has produced.
pub(super) struct Ctx<'c, 't> {
    pub(super) db: &'c mut Db<'t>,
    pub(super) call: &'c Call,
    pub(super) made: Made,
}

/// What a command has produced.
#[derive(Default)]
pub(super) struct Made {
    /// Text for standard output.
    pub(super) output: String,
    /// A table for standard output, behind the text.
    pub(super) table: Option<Rows>,
    /// The row that `create` made, whose identity is known only after the commit.
    pub(super) created: Option<Uuid>,
}

/// Rows of one table, to be printed in the format that the command line asks for.
pub(super) struct Rows {
    pub(super) table: TableId,
    pub(super) columns: Vec<ColumnId>,
    pub(super) rows: Vec<Vec<Datum>>,
}

impl Ctx<'_, '_> {
    pub(super) fn arg(&self, index: usize) -> &str {
        self.call.arg(index)
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.call.has(option)
    }

    pub(super) fn model(&mut self) -> &mut Model {
        self.db.model()
    }

    /// Writes a line of output.
    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.made.output.push_str(text.as_ref());
        self.made.output.push('\n');
    }

    pub(super) fn lines<S: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = S>) {
        for line in lines {
            self.line(line);
        }
    }

    /// The value that `text` writes for a column of type `ty`; `@names` are understood.
    pub(super) fn parse_datum(&mut self, text: &str, ty: &ColumnType) -> Result<Datum, Fatal> {
        Datum::from_text(text, ty, Some(&mut self.db.symbols))
            .map_err(|error| Fatal::new(error.to_string()))
    }

    pub(super) fn parse_atom(&mut self, text: &str, base: &BaseType) -> Result<Atom, Fatal> {
        atom_from_text(text, base, Some(&mut self.db.symbols))
            .map_err(|error| Fatal::new(error.to_string()))
    }

    /// Carries out `column[:key]=value` on a row, as `set`, `create` and `add-port` do.
    pub(super) fn set_column(&mut self, table: TableId, row: Uuid, arg: &str) -> Result<(), Fatal> {
        let term = names::term(self.db.schema(), table, arg, &["="])?;
        self.check_mutable(table, row, term.column)?;
        let ty = self.db.column_type(table, term.column);
        let Some(key) = term.key else {
            let value = self.parse_datum(term.value, ty)?;
            self.touch(table, row, term.column, None);
            self.db.txn.set(table, row, term.column, value);
            return Ok(());
        };
        let Some(value_type) = &ty.value else {
            return fatal!(
                "cannot specify key to set for non-map column {}",
                self.column_name(table, term.column)
            );
        };
        let key = self.parse_atom(key, &ty.key)?;
        let value = self.parse_atom(term.value, value_type)?;
        self.touch(table, row, term.column, Some(&key));
        self.db.txn.put(table, row, term.column, &Datum::map([(key, value)]));
        Ok(())
    }

    /// Fails if the column may not be changed any more.
    pub(super) fn check_mutable(
        &self,
        table: TableId,
        row: Uuid,
        column: ColumnId,
    ) -> Result<(), Fatal> {
        let described = names::described(self.db.schema(), table, column);
        if described.mutable || self.db.txn.is_new(table, row) {
            return Ok(());
        }
        fatal!(
            "cannot modify read-only column {} in table {}",
            described.name,
            self.table_name(table)
        )
    }

    /// Remembers that a command set something, for the checks before the commit.
    pub(super) fn touch(
        &mut self,
        table: TableId,
        row: Uuid,
        column: ColumnId,
        key: Option<&Atom>,
    ) {
        let key = key.and_then(Atom::as_str).map(str::to_owned);
        self.db.touched.push(Touched { table, row, column, key });
        self.db.forget_index((table, column));
        let name = self.table_name(table);
        let column = self.column_name(table, column);
        // The model is read from these; a command that changes them directly makes it stale.
        if super::model::COLUMNS.iter().any(|(t, columns)| *t == name && columns.contains(&column))
        {
            self.db.forget_model();
        }
    }

    pub(super) fn table_name(&self, table: TableId) -> &str {
        self.db.schema().table(table).name()
    }

    pub(super) fn column_name(&self, table: TableId, column: ColumnId) -> &str {
        &names::described(self.db.schema(), table, column).name
    }
}
