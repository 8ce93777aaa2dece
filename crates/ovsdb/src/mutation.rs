//! Changes relative to a column's current value: `<mutation>` of RFC 7047 section 5.1.

use jsonrpc::Json;

use crate::datum::json::NamedUuids;
use crate::row::Row;
use crate::schema::{ColumnId, TableSchema};
use crate::types::UNLIMITED;
use crate::{Atom, AtomType, BaseType, ColumnType, Datum, Error, ErrorKind, Real};

/// What a mutation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Insert,
    Delete,
}

const MUTATORS: [(&str, Mutator); 7] = [
    ("+=", Mutator::Add),
    ("-=", Mutator::Subtract),
    ("*=", Mutator::Multiply),
    ("/=", Mutator::Divide),
    ("%=", Mutator::Modulo),
    ("insert", Mutator::Insert),
    ("delete", Mutator::Delete),
];

impl Mutator {
    fn name(self) -> &'static str {
        MUTATORS.iter().find(|(_, mutator)| *mutator == self).map_or("", |(name, _)| name)
    }
}

/// A mutation of one column.
#[derive(Clone, Debug)]
pub struct Mutation {
    column: ColumnId,
    mutator: Mutator,
    argument: Datum,
}

impl Mutation {
    /// The column that it changes.
    pub(crate) const fn column(&self) -> ColumnId {
        self.column
    }

    /// Parses a `<mutation>` of a row of `table`.
    pub fn from_json(
        json: &Json,
        table: &TableSchema,
        names: Option<&mut dyn NamedUuids>,
    ) -> Result<Self, Error> {
        let malformed = || Error::syntax(json, "Parse error in mutation.");
        let Some([column_name, mutator_name, argument]) = json.as_array() else {
            return Err(malformed());
        };
        let column_name = column_name.as_str().ok_or_else(malformed)?;
        let mutator_name = mutator_name.as_str().ok_or_else(malformed)?;
        let Some(column) = table.column_id(column_name) else {
            let details = format!("No column {column_name} in table {}.", table.name());
            return Err(Error::new(ErrorKind::UnknownColumn, details).about(json));
        };
        if !table.column(column).mutable {
            let details =
                format!("Cannot mutate immutable column {column_name} in table {}.", table.name());
            return Err(Error::new(ErrorKind::ConstraintViolation, details).about(json));
        }
        let Some((_, mutator)) = MUTATORS.iter().find(|(name, _)| *name == mutator_name) else {
            return Err(Error::new(
                ErrorKind::UnknownMutator,
                format!("No mutator named {mutator_name}."),
            ));
        };
        let ty = &table.column(column).ty;
        let mut types = argument_types(*mutator, ty);
        let Some(first) = types.next() else {
            let details = format!(
                "Type mismatch: \"{mutator_name}\" operator may not be applied to column {column_name} of type {}.",
                ty.to_english()
            );
            return Err(Error::syntax(json, details));
        };
        // A map's elements may be deleted by pair or, failing that, by key.
        let argument = match types.next() {
            None => Datum::from_json(argument, &first, names)?,
            Some(second) => match names {
                None => Datum::from_json(argument, &first, None)
                    .or_else(|_| Datum::from_json(argument, &second, None))?,
                Some(names) => Datum::from_json(argument, &first, Some(&mut *names))
                    .or_else(|_| Datum::from_json(argument, &second, Some(names)))?,
            },
        };
        Ok(Self { column, mutator: *mutator, argument })
    }

    /// Changes `row`, a row of `table`.
    pub fn apply(&self, row: &mut Row, table: &TableSchema) -> Result<(), Error> {
        let ty = &table.column(self.column).ty;
        let old = row.get(self.column);
        let new = match self.mutator {
            Mutator::Insert => old.union(&self.argument),
            Mutator::Delete => old.difference(&self.argument),
            _ => self.calculate(old, &ty.key)?,
        };
        new.check_len(ty)?;
        row.set(self.column, new);
        Ok(())
    }

    fn calculate(&self, old: &Datum, base: &BaseType) -> Result<Datum, Error> {
        let Some(right) = self.argument.as_scalar() else { return Ok(old.clone()) };
        let mut atoms = Vec::with_capacity(old.len());
        for left in old.elements() {
            let result = match (left, right) {
                (Atom::Integer(a), Atom::Integer(b)) => Atom::Integer(self.integer(*a, *b)?),
                (Atom::Real(a), Atom::Real(b)) => Atom::Real(self.real(*a, *b)?),
                _ => left.clone(),
            };
            base.check(&result)?;
            atoms.push(result);
        }
        Datum::try_set(atoms).map_err(|_| {
            let details =
                format!("Result of \"{}\" operation contains duplicates.", self.mutator.name());
            Error::new(ErrorKind::ConstraintViolation, details)
        })
    }

    fn integer(&self, a: i64, b: i64) -> Result<i64, Error> {
        let result = match self.mutator {
            Mutator::Add => a.checked_add(b),
            Mutator::Subtract => a.checked_sub(b),
            Mutator::Multiply => a.checked_mul(b),
            Mutator::Divide | Mutator::Modulo if b == 0 => return Err(division_by_zero()),
            Mutator::Divide => a.checked_div(b),
            Mutator::Modulo => a.checked_rem(b),
            Mutator::Insert | Mutator::Delete => Some(a),
        };
        result.ok_or_else(|| self.out_of_range())
    }

    fn real(&self, a: Real, b: Real) -> Result<Real, Error> {
        let (a, b) = (a.get(), b.get());
        let result = match self.mutator {
            Mutator::Add => a + b,
            Mutator::Subtract => a - b,
            Mutator::Multiply => a * b,
            Mutator::Divide | Mutator::Modulo if b == 0.0 => return Err(division_by_zero()),
            Mutator::Divide => a / b,
            Mutator::Modulo | Mutator::Insert | Mutator::Delete => a,
        };
        Real::new(result).ok_or_else(|| self.out_of_range())
    }

    fn out_of_range(&self) -> Error {
        let details = format!("Result of \"{}\" operation is out of range.", self.mutator.name());
        Error::new(ErrorKind::RangeError, details)
    }
}

fn division_by_zero() -> Error {
    Error::new(ErrorKind::DomainError, "Division by zero.")
}

/// The types that the argument of `mutator` may have for a column of type `ty`, in the order in which to try them.
fn argument_types(mutator: Mutator, ty: &ColumnType) -> impl Iterator<Item = ColumnType> {
    let arithmetic = match ty.key.atom {
        AtomType::Integer => true,
        AtomType::Real => mutator != Mutator::Modulo,
        _ => false,
    };
    let types = match mutator {
        Mutator::Insert | Mutator::Delete if ty.is_scalar() => vec![],
        Mutator::Insert => vec![ty.relaxed(0, ty.n_max)],
        Mutator::Delete => {
            let keys = ColumnType { value: None, ..ty.relaxed(0, UNLIMITED) };
            if ty.is_map() { vec![ty.relaxed(0, UNLIMITED), keys] } else { vec![keys] }
        }
        _ if arithmetic && !ty.is_map() => vec![ColumnType::scalar(ty.key.atom)],
        _ => vec![],
    };
    types.into_iter()
}
