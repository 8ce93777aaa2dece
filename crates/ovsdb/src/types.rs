//! Column types: which atoms a column may hold, and how many (RFC 7047 section 3.2, `<type>` and `<base-type>`).

use std::sync::Arc;

use jsonrpc::json::number::format_real;

use crate::datum::text::atom_to_text;
use crate::{Atom, AtomType, Datum, Error, ErrorKind, Real};

/// `n_max` of a column without an upper bound.
pub const UNLIMITED: u32 = u32::MAX;

/// How a reference keeps its target alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefType {
    /// The target must exist and cannot be deleted while referred to.
    Strong,
    /// The reference disappears together with its target.
    Weak,
}

/// The table that a UUID refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table's name.
    pub table: Arc<str>,
    /// What the reference does for its target.
    pub ref_type: RefType,
}

/// What is allowed of an atom beyond its type. Each variant belongs to one [`AtomType`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// Anything goes.
    None,
    /// The atom must be one of these (never empty).
    Enum(Datum),
    /// Bounds of an integer, inclusive.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// Bounds of a real, inclusive.
    Real {
        /// Least value, if bounded.
        min: Option<Real>,
        /// Greatest value, if bounded.
        max: Option<Real>,
    },
    /// Bounds of a string's length in characters, inclusive.
    String {
        /// Least length.
        min_len: u32,
        /// Greatest length.
        max_len: u32,
    },
    /// The UUID names a row of this table.
    Reference(Reference),
}

/// The type of a set's elements, of a map's keys or of a map's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseType {
    /// The type of the atoms.
    pub atom: AtomType,
    /// What is allowed of them.
    pub constraint: Constraint,
}

impl BaseType {
    /// A type without constraints.
    pub const fn plain(atom: AtomType) -> Self {
        Self { atom, constraint: Constraint::None }
    }

    /// The table that values refer to, if they are references.
    pub fn reference(&self) -> Option<&Reference> {
        if let Constraint::Reference(reference) = &self.constraint { Some(reference) } else { None }
    }

    /// True if values are references of `ref_type`.
    pub fn refers(&self, ref_type: RefType) -> bool {
        self.reference().is_some_and(|r| r.ref_type == ref_type)
    }

    /// The set of allowed values, if there is one.
    pub fn allowed_values(&self) -> Option<&Datum> {
        if let Constraint::Enum(values) = &self.constraint { Some(values) } else { None }
    }

    /// Checks `atom`, which must be of this type, against the constraint.
    pub fn check(&self, atom: &Atom) -> Result<(), Error> {
        let problem = match (&self.constraint, atom) {
            (Constraint::Enum(allowed), atom) if !allowed.contains_key(atom) => {
                let all: Vec<_> = allowed.keys().map(atom_to_text).collect();
                format!(
                    "{} is not one of the allowed values ([{}])",
                    atom_to_text(atom),
                    all.join(", ")
                )
            }
            (Constraint::Integer { min, max }, Atom::Integer(value))
                if value < min || value > max =>
            {
                let (low, high) =
                    ((*min != i64::MIN).then_some(min), (*max != i64::MAX).then_some(max));
                out_of_range(value, low, high)
            }
            (Constraint::Real { min, max }, Atom::Real(value))
                if min.is_some_and(|min| *value < min) || max.is_some_and(|max| *value > max) =>
            {
                let text = |real: &Real| format_real(real.get());
                out_of_range(text(value), min.as_ref().map(text), max.as_ref().map(text))
            }
            (Constraint::String { min_len, max_len }, Atom::String(value)) => {
                let length = value.chars().count();
                // As it is, for that is how Open vSwitch quotes here.
                let quoted = format!("\"{value}\"");
                if length < *min_len as usize {
                    format!(
                        "{quoted} length {length} is less than minimum allowed length {min_len}"
                    )
                } else if length > *max_len as usize {
                    format!(
                        "{quoted} length {length} is greater than maximum allowed length {max_len}"
                    )
                } else {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::ConstraintViolation, problem))
    }
}

fn out_of_range<T: std::fmt::Display>(value: T, low: Option<T>, high: Option<T>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => {
            format!("{value} is not in the valid range {low} to {high} (inclusive)")
        }
        (Some(low), None) => format!("{value} is less than minimum allowed value {low}"),
        (None, Some(high)) => format!("{value} is greater than maximum allowed value {high}"),
        (None, None) => unreachable!("a value outside of no bounds"),
    }
}

impl From<AtomType> for BaseType {
    fn from(atom: AtomType) -> Self {
        Self::plain(atom)
    }
}

/// The type of a column: a scalar, an optional scalar, a set or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnType {
    /// The elements of a set, or the keys of a map.
    pub key: BaseType,
    /// The values of a map; `None` for everything else.
    pub value: Option<BaseType>,
    /// The least number of elements: 0 or 1, but for types made by [`ColumnType::relaxed`].
    pub n_min: u32,
    /// The greatest number of elements, [`UNLIMITED`] if unbounded.
    pub n_max: u32,
}

impl ColumnType {
    /// Exactly one value.
    pub fn scalar(key: impl Into<BaseType>) -> Self {
        Self { key: key.into(), value: None, n_min: 1, n_max: 1 }
    }

    /// At most one value.
    pub fn optional(key: impl Into<BaseType>) -> Self {
        Self { n_min: 0, ..Self::scalar(key) }
    }

    /// Any number of values.
    pub fn set(key: impl Into<BaseType>) -> Self {
        Self { n_min: 0, n_max: UNLIMITED, ..Self::scalar(key) }
    }

    /// Any number of pairs.
    pub fn map(key: impl Into<BaseType>, value: impl Into<BaseType>) -> Self {
        Self { value: Some(value.into()), ..Self::set(key) }
    }

    /// True for exactly one value.
    pub fn is_scalar(&self) -> bool {
        self.n_min == 1 && self.n_max == 1 && self.value.is_none()
    }

    /// True for at most one value.
    pub fn is_optional_scalar(&self) -> bool {
        self.n_min == 0 && self.n_max == 1 && self.value.is_none()
    }

    /// True for maps.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// True for what is neither a map nor limited to one value.
    pub fn is_set(&self) -> bool {
        self.value.is_none() && (self.n_min != 1 || self.n_max != 1)
    }

    /// True if it may hold several elements. Changes of such columns are sent as differences, of others as new values.
    pub fn is_composite(&self) -> bool {
        self.n_max > 1
    }

    /// The same type with other bounds on the number of elements.
    #[must_use]
    pub fn relaxed(&self, n_min: u32, n_max: u32) -> Self {
        Self { n_min, n_max, ..self.clone() }
    }

    /// The value that a column has when nobody gave it one.
    pub fn default_datum(&self) -> Datum {
        if self.n_min == 0 {
            return Datum::EMPTY;
        }
        let key = self.key.atom.default_atom();
        match &self.value {
            None => Datum::from(key),
            Some(value) => Datum::map([(key, value.atom.default_atom())]),
        }
    }

    /// True if `datum` is [`ColumnType::default_datum`].
    pub fn is_default(&self, datum: &Datum) -> bool {
        if self.n_min == 0 {
            return datum.is_empty();
        }
        datum.len() == 1
            && datum.keys().all(Atom::is_default)
            && datum.as_map().iter().all(|(_, value)| value.is_default())
    }

    /// Every base type in the column: the key's, then the value's.
    pub fn bases(&self) -> impl Iterator<Item = &BaseType> {
        std::iter::once(&self.key).chain(&self.value)
    }

    /// The type in words, as error messages have it.
    pub fn to_english(&self) -> String {
        let key = self.key.atom.name();
        let count = match (self.n_min, self.n_max) {
            (1, 1) if !self.is_map() => return key.to_owned(),
            (0, UNLIMITED) => String::new(),
            (min, UNLIMITED) => format!("{min} or more "),
            (0, max) => format!("up to {max} "),
            (min, max) => format!("{min} to {max} "),
        };
        match &self.value {
            None => format!("set of {count}{key}s"),
            Some(value) => format!("map of {count}({key}, {}) pairs", value.atom.name()),
        }
    }
}
