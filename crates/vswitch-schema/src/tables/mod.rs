//! The nineteen tables, each written once.
//!
//! One definition gives three things: the struct that the daemon works with, the column's entry in the database schema, and
//! the one-line description that tools print. The Rust type of a field decides the OVSDB type (`Option<T>` is "at most one",
//! `Vec<T>` a set, `BTreeMap` a map); what follows it narrows that type or marks the column.
//!
//! Facts (names, types, ranges) are those of the Open_vSwitch schema version 8.8.0, which Open vSwitch 4.0 has.

mod bridge;
mod conntrack;
mod export;
mod port;
mod qos;
mod remote;
mod system;

pub use bridge::{AutoAttach, Bridge, FailMode, FlowTable, OverflowPolicy};
pub use conntrack::{CtTimeoutPolicy, CtZone, Datapath};
pub use export::{FlowSampleCollectorSet, Ipfix, NetFlow, Sflow};
pub use port::{BondMode, Duplex, Interface, Lacp, LinkState, Port, VlanMode};
pub use qos::{Mirror, QoS, Queue};
pub use remote::{ConnectionMode, Controller, ControllerKind, Manager, Role, Ssl};
pub use system::OpenVSwitch;

use crate::describe::TableDef;

/// Every table, in reading order.
pub static TABLES: [&TableDef; 19] = [
    &OpenVSwitch::DEF,
    &Bridge::DEF,
    &Port::DEF,
    &Interface::DEF,
    &FlowTable::DEF,
    &QoS::DEF,
    &Queue::DEF,
    &Mirror::DEF,
    &Controller::DEF,
    &Manager::DEF,
    &NetFlow::DEF,
    &Datapath::DEF,
    &CtZone::DEF,
    &CtTimeoutPolicy::DEF,
    &Ssl::DEF,
    &Sflow::DEF,
    &Ipfix::DEF,
    &FlowSampleCollectorSet::DEF,
    &AutoAttach::DEF,
];

/// The description of the table called `name`.
pub fn table_named(name: &str) -> Option<&'static TableDef> {
    TABLES.iter().find(|table| table.name == name).copied()
}

/// Defines a table: its struct, its description, and how a row becomes the struct.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        $Name:ident = $table:literal $(, $flag:ident $(($arg:expr))?)* ;
        $(
            $(#[doc = $cdoc:literal])+
            $field:ident $(as $col:literal)? : $ty:ty $(, $cflag:ident $(($($carg:expr),*))?)* ;
        )*
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $Name {
            /// The row's identity.
            pub uuid: ovsdb::Uuid,
            $( $(#[doc = $cdoc])+ pub $field: $ty, )*
        }

        impl $Name {
            const COLUMNS: &'static [$crate::describe::ColumnDef] = &[$(
                $crate::describe::ColumnDef::new(
                    table!(@name $field $($col)?),
                    concat!($($cdoc),+),
                    <$ty as $crate::column::SchemaColumn>::TYPE,
                )$(.$cflag($($($carg),*)?))*
            ),*];

            /// What the database schema says of this table.
            pub const DEF: $crate::describe::TableDef =
                $crate::describe::TableDef::new($table, concat!($($doc),+), Self::COLUMNS)$(.$flag($($arg)?))*;
        }

        impl $crate::column::Row for $Name {
            const TABLE: &'static $crate::describe::TableDef = &$Name::DEF;

            fn decode<'a>(uuid: ovsdb::Uuid, mut column: impl FnMut(&'static str) -> Option<&'a ovsdb::Datum>) -> Self {
                Self {
                    uuid,
                    $( $field: $crate::column::Column::decode(column(table!(@name $field $($col)?))), )*
                }
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $col:literal) => { $col };
}
pub(crate) use table;

/// Defines an enumeration of the words that a column may hold.
macro_rules! choice {
    ($(#[doc = $doc:literal])+ $Name:ident { $( $(#[doc = $vdoc:literal])+ $Variant:ident = $word:literal ),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Name { $( $(#[doc = $vdoc])+ $Variant, )+ }

        impl $Name {
            /// The word in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$Variant => $word, )+ }
            }

            /// The variant that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some(Self::$Variant), )+ _ => None }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::column::SchemaScalar for $Name {
            const BASE: $crate::describe::BaseDef = $crate::describe::BaseDef {
                choices: &[$($word),+],
                ..$crate::describe::BaseDef::of($crate::describe::Atomic::String)
            };
        }

        impl $crate::column::Scalar for $Name {
            fn from_atom(atom: &ovsdb::Atom) -> Option<Self> {
                Self::from_word(atom.as_str()?)
            }

            fn to_atom(&self) -> ovsdb::Atom {
                self.as_str().into()
            }
        }
    };
}
pub(crate) use choice;
