//! The Open vSwitch Database (RFC 7047) as a library: no sockets, threads or clocks, and files only in one place.
//!
//! Read in this order:
//! - values: [`Uuid`], [`Atom`], [`Datum`], and the types that constrain them ([`types`]);
//! - [`schema`]: which tables and columns there are.

pub mod atom;
pub mod datum;
pub mod error;
mod members;
pub mod schema;
pub mod types;
pub mod uuid;

pub use atom::{Atom, AtomType, Real};
pub use datum::Datum;
pub use error::{Error, ErrorKind};
pub use schema::{ColumnId, ColumnSchema, Schema, TableId, TableSchema};
pub use types::{BaseType, ColumnType};
pub use uuid::{Uuid, UuidSource};
