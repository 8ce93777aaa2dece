//! A client's live copy of a database, and its transactions.
//!
//! # What
//! A client names the tables and columns it cares for ([`Interest`]); the server sends them once and then every change, and
//! [`Replica`] holds the result: consistent at any moment, because updates arrive transaction by transaction. What changed since the
//! last look is kept with it ([`Changes`]). Writing goes through [`Txn`], which shows the replica as it will be, collects edits,
//! and becomes one `transact` request with only what really differs.
//! Whoever wants structs instead of names and datums has them made from the schema ([`rows`]).
//!
//! # Design
//! - [`Protocol`] is the whole conversation without I/O: it takes received messages and yields messages to send. It monitors with the
//!   best method that the server knows (`monitor_cond_since`, `monitor_cond`, `monitor`), and after a reconnect asks only for what
//!   it missed.
//! - Of several servers that have a database it chooses one that leads and is up to date, and leaves it when that ends.
//! - Two drivers move its messages: [`blocking`] for command-line programs, [`polled`] for daemons with a poll loop.
//! - The client brings the schema it was written for, so that no round trip is needed to learn it. Only if the server objects
//!   (an older or newer database), its schema is fetched and what it lacks is left out; missing columns read as absent.
//!
//! Read in this order: [`interest`], [`replica`], [`changes`], [`txn`], [`outcome`], [`protocol`], then a driver, and [`rows`]. Whoever wants to see it work
//! first finds a program in [`blocking`], a daemon in [`polled`], and a conversation without a server in [`protocol`].
//!
//! # What it does not do
//! There is no authentication here but that of the connection ([`stream::tls`]). A value that the schema forbids is found by the server,
//! not by [`Txn`]. A transaction that ends as [`Outcome::TryAgain`] has to be built anew by the client, from the replica as it is then.

pub mod blocking;
pub mod changes;
pub mod interest;
pub mod outcome;
pub mod polled;
pub mod protocol;
pub mod replica;
pub mod rows;
pub mod txn;
mod update;

/// The crates whose types appear here.
pub use {base, jsonrpc, ovsdb, stream};

/// The examples in the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use changes::{Change, ChangeKind, Changes};
pub use interest::{Interest, UnknownName};
pub use outcome::Outcome;
pub use protocol::{CommitId, Protocol, ProtocolError};
pub use replica::{Replica, RowRef};
pub use rows::{Ref, Row};
pub use txn::{Prepared, Txn};
