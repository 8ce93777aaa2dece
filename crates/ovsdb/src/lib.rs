//! The Open vSwitch Database (RFC 7047) as a library: no sockets, threads or clocks, and files only in one place.
//!
//! Read in this order:
//! - values: [`Uuid`], [`Atom`], [`Datum`], and the types that constrain them ([`types`]);
//! - [`schema`]: which tables and columns there are;
//! - [`database`]: the rows, in memory;
//! - [`transaction`] and [`execute`]: how they change;
//! - [`log`](mod@log): how the changes survive;
//! - [`monitor`]: how clients hear of them; [`server`]: the protocol, without sockets;
//! - [`follow`]: how a server keeps a copy of what another one has.

pub mod atom;
pub mod condition;
mod convert;
pub mod database;
pub mod datum;
pub mod error;
pub mod execute;
pub mod follow;
pub mod freeze;
pub mod log;
mod members;
pub mod monitor;
pub mod mutation;
pub mod rbac;
pub mod row;
pub mod schema;
pub mod server;
pub mod transaction;
pub mod types;
pub mod uuid;

pub use atom::{Atom, AtomType, Real};
pub use condition::Condition;
pub use database::Database;
pub use datum::Datum;
pub use error::{Error, ErrorKind};
pub use row::Row;
pub use schema::{ColumnId, ColumnSchema, Schema, TableId, TableSchema};
pub use transaction::Transaction;
pub use types::{BaseType, ColumnType};
pub use uuid::{Uuid, UuidSource};
