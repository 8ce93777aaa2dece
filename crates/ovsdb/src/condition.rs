//! Which rows an operation or a monitor is about: `<condition>` of RFC 7047 section 5.1.

use std::borrow::Cow;

use jsonrpc::Json;

use crate::datum::json::NamedUuids;
use crate::row::Row;
use crate::schema::{ColumnId, TableSchema};
use crate::types::UNLIMITED;
use crate::{Atom, AtomType, ColumnType, Datum, Error, ErrorKind, Uuid};

/// A comparison between a column and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the protocol's")]
pub enum Function {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Includes,
    Excludes,
}

const FUNCTIONS: [(&str, Function); 8] = [
    ("<", Function::Less),
    ("<=", Function::LessOrEqual),
    ("==", Function::Equal),
    ("!=", Function::NotEqual),
    (">=", Function::GreaterOrEqual),
    (">", Function::Greater),
    ("includes", Function::Includes),
    ("excludes", Function::Excludes),
];

impl Function {
    fn from_name(name: &str) -> Result<Self, Error> {
        let found = FUNCTIONS.iter().find(|(n, _)| *n == name).map(|(_, function)| *function);
        found.ok_or_else(|| {
            Error::new(ErrorKind::UnknownFunction, format!("No function named {name}."))
        })
    }

    fn is_ordering(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::GreaterOrEqual | Self::Greater)
    }
}

/// One clause of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Clause {
    /// `true` or `false`.
    Constant(bool),
    /// A comparison.
    Compare {
        /// The column on the left.
        column: ColumnId,
        /// What compares.
        function: Function,
        /// The constant on the right.
        value: Datum,
    },
}

impl Clause {
    fn from_json(
        json: &Json,
        table: &TableSchema,
        names: Option<&mut dyn NamedUuids>,
    ) -> Result<Self, Error> {
        if let Some(constant) = json.as_bool() {
            return Ok(Self::Constant(constant));
        }
        let Some([column_name, function, value]) = json.as_array() else {
            return Err(Error::syntax(json, "Parse error in condition."));
        };
        let (Some(column_name), Some(function_name)) = (column_name.as_str(), function.as_str())
        else {
            return Err(Error::syntax(json, "Parse error in condition."));
        };
        let Some(column) = table.column_id(column_name) else {
            let details = format!("No column {column_name} in table {}.", table.name());
            return Err(Error::new(ErrorKind::UnknownColumn, details).about(json));
        };
        let function = Function::from_name(function_name)?;
        let ty = &table.column(column).ty;
        let Some(value_type) = operand_type(function, ty) else {
            let details = format!(
                "Type mismatch: \"{function_name}\" operator may not be applied to column {column_name} of type {}.",
                ty.to_english()
            );
            return Err(Error::syntax(json, details));
        };
        Ok(Self::Compare { column, function, value: Datum::from_json(value, &value_type, names)? })
    }

    fn to_json(&self, table: &TableSchema) -> Json {
        match self {
            Self::Constant(constant) => Json::from(*constant),
            Self::Compare { column, function, value } => {
                let column = table.column(*column);
                let name =
                    FUNCTIONS.iter().find(|(_, f)| f == function).map_or("", |(name, _)| name);
                Json::array([Json::from(&column.name), Json::from(name), value.to_json(&column.ty)])
            }
        }
    }

    /// True if `row` satisfies the clause.
    pub fn matches(&self, row: &Row) -> bool {
        let (column, function, value) = match self {
            Self::Constant(constant) => return *constant,
            Self::Compare { column, function, value } => (*column, *function, value),
        };
        let field = row.get(column);
        match function {
            Function::Equal => field == value,
            Function::NotEqual => field != value,
            Function::Includes => field.includes(value),
            Function::Excludes => field.excludes(value),
            Function::Less => compare(field, value, std::cmp::Ordering::is_lt),
            Function::LessOrEqual => compare(field, value, std::cmp::Ordering::is_le),
            Function::GreaterOrEqual => compare(field, value, std::cmp::Ordering::is_ge),
            Function::Greater => compare(field, value, std::cmp::Ordering::is_gt),
        }
    }
}

/// The type of the constant that a column of type `ty` is compared with; `None` if it cannot be.
fn operand_type(function: Function, ty: &ColumnType) -> Option<Cow<'_, ColumnType>> {
    let numeric = matches!(ty.key.atom, AtomType::Integer | AtomType::Real);
    Some(match function {
        Function::Equal | Function::NotEqual => Cow::Borrowed(ty),
        Function::Includes | Function::Excludes if ty.is_scalar() => Cow::Borrowed(ty),
        // A part may have fewer elements than the whole.
        Function::Includes => Cow::Owned(ty.relaxed(0, ty.n_max)),
        Function::Excludes => Cow::Owned(ty.relaxed(0, UNLIMITED)),
        _ if function.is_ordering() && numeric && (ty.is_scalar() || ty.is_optional_scalar()) => {
            Cow::Owned(ty.relaxed(1, 1))
        }
        _ => return None,
    })
}

/// An empty column compares false with everything.
fn compare(field: &Datum, value: &Datum, accept: impl Fn(std::cmp::Ordering) -> bool) -> bool {
    match (field.as_scalar(), value.as_scalar()) {
        (Some(field), Some(value)) => accept(field.cmp(value)),
        _ => false,
    }
}

/// A list of clauses. Operations want all of them to hold, monitors any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Condition {
    clauses: Vec<Clause>,
}

impl Condition {
    /// Parses a `<condition>*` for `table`.
    pub fn from_json(
        json: &Json,
        table: &TableSchema,
        mut names: Option<&mut dyn NamedUuids>,
    ) -> Result<Self, Error> {
        let Some(clauses) = json.as_array() else {
            return Err(Error::syntax(json, "array expected"));
        };
        let clauses = clauses.iter().map(|clause| {
            let loan: Option<&mut dyn NamedUuids> = match &mut names {
                Some(names) => Some(&mut **names),
                None => None,
            };
            Clause::from_json(clause, table, loan)
        });
        Ok(Self { clauses: clauses.collect::<Result<_, _>>()? })
    }

    /// The clauses.
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// The `<condition>*`.
    pub fn to_json(&self, table: &TableSchema) -> Json {
        Json::array(self.clauses.iter().map(|clause| clause.to_json(table)))
    }

    /// True if `row` satisfies every clause.
    pub fn matches_all(&self, row: &Row) -> bool {
        self.clauses.iter().all(|clause| clause.matches(row))
    }

    /// True if `row` satisfies some clause, or there is none.
    pub fn matches_any(&self, row: &Row) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.matches(row))
    }

    /// The condition that holds where any of `parts` does (in the "any" reading).
    pub(crate) fn any_of(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut clauses = Vec::new();
        for part in parts {
            if part.clauses.is_empty() || part.clauses.contains(&Clause::Constant(true)) {
                return Self::default();
            }
            clauses.extend(part.clauses);
        }
        Self { clauses }
    }

    /// True if every row matches (in the "any" reading).
    pub fn is_trivial(&self) -> bool {
        self.clauses.is_empty()
    }

    /// The only value of `column` with which a row can satisfy every clause, if the condition asks for one.
    pub(crate) fn only_value(&self, wanted: ColumnId) -> Option<&Datum> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Compare { column, function: Function::Equal, value } if *column == wanted => {
                Some(value)
            }
            _ => None,
        })
    }

    /// The only row that can satisfy every clause, if the condition asks for a `_uuid`.
    pub(crate) fn only_row(&self) -> Option<Uuid> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Compare {
                column: ColumnId::UUID,
                function: Function::Equal | Function::Includes,
                value,
            } => value.as_scalar().and_then(Atom::as_uuid),
            _ => None,
        })
    }
}
