//! Between OVSDB values and Rust values: a [`Scalar`] is one atom, a [`Column`] a whole column, a [`Ref`] another row.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use ovsdb::{Atom, Datum, Real, Uuid};

/// A value that is one atom.
pub trait Scalar: Sized {
    /// The value, if the atom is one.
    fn from_atom(atom: &Atom) -> Option<Self>;
    /// The atom.
    fn to_atom(&self) -> Atom;
}

/// A value that is a whole column.
pub trait Column: Sized {
    /// The value, if the datum is one.
    fn from_datum(datum: &Datum) -> Option<Self>;
    /// The datum.
    fn to_datum(&self) -> Datum;

    /// The value, or the type's default if there is none or it is not of the type.
    fn decode(datum: Option<&Datum>) -> Self
    where
        Self: Default,
    {
        datum.and_then(Self::from_datum).unwrap_or_default()
    }
}

macro_rules! integer_scalar {
    ($($int:ty),*) => { $(
        impl Scalar for $int {
            fn from_atom(atom: &Atom) -> Option<Self> {
                atom.as_integer()?.try_into().ok()
            }
            fn to_atom(&self) -> Atom {
                Atom::Integer(i64::from(*self))
            }
        }
    )* };
}
integer_scalar!(u8, u16, u32, i64);

/// Not `f64`: a database holds finite numbers only, and sets need an order.
impl Scalar for Real {
    fn from_atom(atom: &Atom) -> Option<Self> {
        Real::new(atom.as_real()?)
    }
    fn to_atom(&self) -> Atom {
        Atom::Real(*self)
    }
}

impl Scalar for bool {
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_bool()
    }
    fn to_atom(&self) -> Atom {
        Atom::Boolean(*self)
    }
}

impl Scalar for String {
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_str().map(str::to_owned)
    }
    fn to_atom(&self) -> Atom {
        self.as_str().into()
    }
}

impl Scalar for Uuid {
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_uuid()
    }
    fn to_atom(&self) -> Atom {
        Atom::Uuid(*self)
    }
}

/// Exactly one.
impl<T: Scalar> Column for T {
    fn from_datum(datum: &Datum) -> Option<Self> {
        T::from_atom(datum.as_scalar()?)
    }
    fn to_datum(&self) -> Datum {
        self.to_atom().into()
    }
}

/// At most one.
impl<T: Scalar> Column for Option<T> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        if datum.is_empty() { Some(None) } else { T::from_atom(datum.as_scalar()?).map(Some) }
    }
    fn to_datum(&self) -> Datum {
        self.as_ref().map(T::to_atom).into()
    }
}

/// A set; elements that do not decode are left out, the others stay.
impl<T: Scalar> Column for Vec<T> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        Some(datum.elements().filter_map(T::from_atom).collect())
    }
    fn to_datum(&self) -> Datum {
        Datum::set(self.iter().map(T::to_atom))
    }
}

/// As `Vec`, for what is asked for its elements.
impl<T: Scalar + Ord> Column for BTreeSet<T> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        Some(datum.elements().filter_map(T::from_atom).collect())
    }
    fn to_datum(&self) -> Datum {
        Datum::set(self.iter().map(T::to_atom))
    }
}

/// A map; pairs that do not decode are left out, the others stay.
impl<K: Scalar + Ord, V: Scalar> Column for BTreeMap<K, V> {
    fn from_datum(datum: &Datum) -> Option<Self> {
        let pair = |(key, value): &(Atom, Atom)| Some((K::from_atom(key)?, V::from_atom(value)?));
        Some(datum.as_map().iter().filter_map(pair).collect())
    }
    fn to_datum(&self) -> Datum {
        Datum::map(self.iter().map(|(key, value)| (key.to_atom(), value.to_atom())))
    }
}

/// The identity of a row whose columns are `R`: a UUID that knows its table.
///
/// The default is the zero UUID, which no row has.
pub struct Ref<R>(Uuid, PhantomData<fn() -> R>);

impl<R> Ref<R> {
    /// The row that goes by `uuid`.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// What the row goes by.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<R> Scalar for Ref<R> {
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_uuid().map(Self::new)
    }
    fn to_atom(&self) -> Atom {
        Atom::Uuid(self.0)
    }
}

// By hand, because what `R` can do does not matter.

impl<R> Clone for Ref<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Ref<R> {}

impl<R> Default for Ref<R> {
    fn default() -> Self {
        Self::new(Uuid::ZERO)
    }
}

impl<R> PartialEq for Ref<R> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<R> Eq for Ref<R> {}

impl<R> PartialOrd for Ref<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Ref<R> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<R> Hash for Ref<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<R> fmt::Debug for Ref<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<R> fmt::Display for Ref<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
