//! Between OVSDB values and Rust values, with what the schema says of them.
//!
//! A [`Scalar`] is one atom, a [`Column`] a whole column, a [`Row`] a whole row. Decoding is that of [`ovsdb_idl::rows`], tolerant: the
//! server checks values against *its* schema, which may not be ours (another version wrote the file), so what does not decode, or was not
//! asked for, is the type's default value and never an error. What is added here is the way back: the schema made from the types.

use std::collections::BTreeMap;

use ovsdb::{Datum, Uuid};
pub use ovsdb_idl::rows::{Column, Scalar};

use crate::describe::{Atomic, BaseDef, TableDef, TypeDef, UNLIMITED};

/// A column of settings or identifiers: text to text.
pub type StringMap = BTreeMap<String, String>;
/// A column of counters: text to number.
pub type IntMap = BTreeMap<String, i64>;

/// A scalar that the schema knows.
pub trait SchemaScalar: Scalar {
    /// How the schema describes it.
    const BASE: BaseDef;
}

/// A column that the schema knows.
pub trait SchemaColumn: Column {
    /// How the schema describes it.
    const TYPE: TypeDef;
}

/// A row of one of our tables, as a struct.
pub trait Row: Sized {
    /// The table.
    const TABLE: &'static TableDef;

    /// The row `uuid`, whose columns `column` knows by name.
    fn decode<'a>(uuid: Uuid, column: impl FnMut(&'static str) -> Option<&'a Datum>) -> Self;
}

macro_rules! schema_scalar {
    ($($scalar:ty: $atomic:ident),*) => { $(
        impl SchemaScalar for $scalar {
            const BASE: BaseDef = BaseDef::of(Atomic::$atomic);
        }
    )* };
}
schema_scalar!(u8: Integer, u16: Integer, u32: Integer, i64: Integer, bool: Boolean, String: String, Uuid: Uuid);

impl<T: SchemaScalar> SchemaColumn for T {
    const TYPE: TypeDef = TypeDef::scalar(T::BASE);
}

impl<T: SchemaScalar> SchemaColumn for Option<T> {
    const TYPE: TypeDef = TypeDef { min: 0, ..TypeDef::scalar(T::BASE) };
}

impl<T: SchemaScalar> SchemaColumn for Vec<T> {
    const TYPE: TypeDef = TypeDef { min: 0, max: UNLIMITED, ..TypeDef::scalar(T::BASE) };
}

impl<K: SchemaScalar + Ord, V: SchemaScalar> SchemaColumn for BTreeMap<K, V> {
    const TYPE: TypeDef =
        TypeDef { value: Some(V::BASE), min: 0, max: UNLIMITED, ..TypeDef::scalar(K::BASE) };
}

#[cfg(test)]
mod tests {
    use ovsdb::Atom;

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
