//! Between OVSDB values and Rust values.
//!
//! A [`Scalar`] is one atom, a [`Column`] a whole column, a [`Row`] a whole row. Decoding is tolerant: the server checks
//! values against *its* schema, which may not be ours (another version wrote the file), so what does not decode, or was not
//! asked for, is the type's default value and never an error.

use std::collections::BTreeMap;

use ovsdb::{Atom, Datum, Uuid};

use crate::describe::{Atomic, BaseDef, TableDef, TypeDef, UNLIMITED};

/// A column of settings or identifiers: text to text.
pub type StringMap = BTreeMap<String, String>;
/// A column of counters: text to number.
pub type IntMap = BTreeMap<String, i64>;

/// A value that is one atom.
pub trait Scalar: Sized {
    /// How the schema describes it.
    const BASE: BaseDef;
    /// The value, if the atom is one.
    fn from_atom(atom: &Atom) -> Option<Self>;
    /// The atom.
    fn to_atom(&self) -> Atom;
}

/// A value that is a whole column.
pub trait Column: Sized {
    /// How the schema describes it.
    const TYPE: TypeDef;
    /// The value, if the datum is one.
    fn from_datum(datum: &Datum) -> Option<Self>;
    /// The datum.
    fn to_datum(&self) -> Datum;
}

/// A row of one of our tables, as a struct.
pub trait Row: Sized {
    /// The table.
    const TABLE: &'static TableDef;

    /// The row `uuid`, whose columns `column` knows by name.
    fn decode<'a>(uuid: Uuid, column: impl FnMut(&'static str) -> Option<&'a Datum>) -> Self;
}

/// The column's value, or the type's default if there is none or it is not of the type.
pub(crate) fn decode_or_default<T: Column + Default>(datum: Option<&Datum>) -> T {
    datum.and_then(T::from_datum).unwrap_or_default()
}

macro_rules! integer_scalar {
    ($($int:ty),*) => { $(
        impl Scalar for $int {
            const BASE: BaseDef = BaseDef::of(Atomic::Integer);
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

impl Scalar for bool {
    const BASE: BaseDef = BaseDef::of(Atomic::Boolean);
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_bool()
    }
    fn to_atom(&self) -> Atom {
        Atom::Boolean(*self)
    }
}

impl Scalar for String {
    const BASE: BaseDef = BaseDef::of(Atomic::String);
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_str().map(str::to_owned)
    }
    fn to_atom(&self) -> Atom {
        self.as_str().into()
    }
}

impl Scalar for Uuid {
    const BASE: BaseDef = BaseDef::of(Atomic::Uuid);
    fn from_atom(atom: &Atom) -> Option<Self> {
        atom.as_uuid()
    }
    fn to_atom(&self) -> Atom {
        Atom::Uuid(*self)
    }
}

macro_rules! scalar_column {
    ($($scalar:ty),*) => { $(
        impl Column for $scalar {
            const TYPE: TypeDef = TypeDef::scalar(<$scalar as Scalar>::BASE);
            fn from_datum(datum: &Datum) -> Option<Self> {
                Self::from_atom(datum.as_scalar()?)
            }
            fn to_datum(&self) -> Datum {
                self.to_atom().into()
            }
        }
    )* };
}
scalar_column!(u8, u16, u32, i64, bool, String, Uuid);

/// At most one.
impl<T: Scalar> Column for Option<T> {
    const TYPE: TypeDef = TypeDef { min: 0, ..TypeDef::scalar(T::BASE) };
    fn from_datum(datum: &Datum) -> Option<Self> {
        if datum.is_empty() { Some(None) } else { T::from_atom(datum.as_scalar()?).map(Some) }
    }
    fn to_datum(&self) -> Datum {
        self.as_ref().map(T::to_atom).into()
    }
}

/// A set; elements that do not decode are left out, the others stay.
impl<T: Scalar> Column for Vec<T> {
    const TYPE: TypeDef = TypeDef { min: 0, max: UNLIMITED, ..TypeDef::scalar(T::BASE) };
    fn from_datum(datum: &Datum) -> Option<Self> {
        Some(datum.as_set().iter().filter_map(T::from_atom).collect())
    }
    fn to_datum(&self) -> Datum {
        Datum::set(self.iter().map(T::to_atom))
    }
}

/// A map; pairs that do not decode are left out, the others stay.
impl<K: Scalar + Ord, V: Scalar> Column for BTreeMap<K, V> {
    const TYPE: TypeDef =
        TypeDef { value: Some(V::BASE), min: 0, max: UNLIMITED, ..TypeDef::scalar(K::BASE) };
    fn from_datum(datum: &Datum) -> Option<Self> {
        let pair = |(key, value): &(Atom, Atom)| Some((K::from_atom(key)?, V::from_atom(value)?));
        Some(datum.as_map().iter().filter_map(pair).collect())
    }
    fn to_datum(&self) -> Datum {
        Datum::map(self.iter().map(|(key, value)| (key.to_atom(), value.to_atom())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Bridge, FailMode, Port};

    #[test]
    fn values_survive_the_round_trip() {
        assert_eq!(
            Option::<FailMode>::from_datum(&Some(FailMode::Secure).to_datum()),
            Some(Some(FailMode::Secure))
        );
        assert_eq!(Vec::<u16>::from_datum(&vec![3u16, 1, 2].to_datum()), Some(vec![1, 2, 3]));
        let map = StringMap::from([("a".into(), "b".into())]);
        assert_eq!(StringMap::from_datum(&map.to_datum()), Some(map));
        assert_eq!(Option::<u16>::None.to_datum(), Datum::EMPTY);
    }

    #[test]
    fn what_does_not_decode_is_the_default() {
        let strange = [
            ("name", Datum::from(7)),
            ("tag", Datum::from(70_000)),
            ("vlan_mode", Datum::from("sideways")),
            ("trunks", Datum::set([Atom::Integer(5), Atom::Integer(-1), Atom::Integer(1 << 40)])),
            ("other_config", Datum::from("no map")),
        ];
        let row = Port::decode(Uuid::ZERO, |name| {
            strange.iter().find(|(n, _)| *n == name).map(|(_, datum)| datum)
        });
        assert_eq!(row, Port { trunks: vec![5], ..Port::default() });
    }

    #[test]
    fn a_column_called_type_has_its_name() {
        assert!(crate::tables::Interface::TABLE.column("type").is_some());
        assert!(
            Bridge::TABLE
                .column("fail_mode")
                .is_some_and(|column| column.ty.key.choices == ["standalone", "secure"])
        );
    }
}
