//! The scalar values that every OVSDB column is made of (RFC 7047 section 5.1, `<atom>`).

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use jsonrpc::SmolStr;

use crate::Uuid;

/// The type of an [`Atom`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AtomType {
    /// A signed 64-bit integer.
    Integer,
    /// A finite double.
    Real,
    /// `true` or `false`.
    Boolean,
    /// Unicode text.
    String,
    /// A row identifier.
    Uuid,
}

impl AtomType {
    /// Every type, in the order in which atoms of different types sort.
    pub const ALL: [Self; 5] = [Self::Integer, Self::Real, Self::Boolean, Self::String, Self::Uuid];

    /// The name that schemas and messages use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }

    /// The type called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// The value that a column of this type has when nobody gave it one (RFC 7047 section 5.2.1).
    pub fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(Real::ZERO),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(SmolStr::default()),
            Self::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }
}

/// A finite double without negative zero, so that equality is an equivalence and order is total.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Real(f64);

impl Real {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// `None` for infinities and not-a-number, which JSON cannot express. Numbers too small for full precision become zero:
    /// no parser reads them back, so a database that held one could not be opened again.
    pub fn new(value: f64) -> Option<Self> {
        if value.is_normal() { Some(Self(value)) } else { value.is_finite().then_some(Self::ZERO) }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Real {}

impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// One scalar value. Atoms of one type are totally ordered; sets and map keys are kept in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A finite double.
    Real(Real),
    /// A truth value.
    Boolean(bool),
    /// Unicode text: short in the atom itself, long shared between the row versions that hold it.
    String(SmolStr),
    /// A row identifier.
    Uuid(Uuid),
}

impl Atom {
    /// The atom's type.
    pub const fn atom_type(&self) -> AtomType {
        match self {
            Self::Integer(_) => AtomType::Integer,
            Self::Real(_) => AtomType::Real,
            Self::Boolean(_) => AtomType::Boolean,
            Self::String(_) => AtomType::String,
            Self::Uuid(_) => AtomType::Uuid,
        }
    }

    /// The value, if this is an integer.
    pub const fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(*value) } else { None }
    }

    /// The value, if this is a real.
    pub const fn as_real(&self) -> Option<f64> {
        if let Self::Real(value) = self { Some(value.get()) } else { None }
    }

    /// The value, if this is a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(*value) } else { None }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(value) = self { Some(value) } else { None }
    }

    /// The identifier, if this is a UUID.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(value) = self { Some(*value) } else { None }
    }

    /// True if this is the value that [`AtomType::default_atom`] gives.
    pub fn is_default(&self) -> bool {
        match self {
            Self::Integer(value) => *value == 0,
            Self::Real(value) => *value == Real::ZERO,
            Self::Boolean(value) => !value,
            Self::String(value) => value.is_empty(),
            Self::Uuid(value) => value.is_zero(),
        }
    }
}

impl From<i64> for Atom {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Real> for Atom {
    fn from(value: Real) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Atom {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Atom {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<SmolStr> for Atom {
    fn from(value: SmolStr) -> Self {
        Self::String(value)
    }
}

impl From<Uuid> for Atom {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_are_finite_and_have_one_zero() {
        assert_eq!(Real::new(f64::NAN), None);
        assert_eq!(Real::new(f64::INFINITY), None);
        assert_eq!(Real::new(-0.0).unwrap().get().to_bits(), 0);
        assert_eq!(Real::new(1e-310), Some(Real::ZERO));
        assert!(Real::new(-1.0) < Real::new(0.5));
    }

    #[test]
    fn defaults_are_default() {
        for ty in AtomType::ALL {
            assert!(ty.default_atom().is_default());
            assert_eq!(ty.default_atom().atom_type(), ty);
            assert_eq!(AtomType::from_name(ty.name()), Some(ty));
        }
    }

    #[test]
    fn atoms_stay_small() {
        assert_eq!(size_of::<Atom>(), 24);
    }
}
