//! Transactions: from a request to a reply that is true.
//!
//! # Design
//! A transaction passes through states that are types, so that nobody can answer one that is not on disk:
//!
//! ```text
//! Transaction<Parsed> --execute--> Transaction<Checked> --log.append--> Transaction<Written> --log.sync--> Transaction<Synced>
//!   operations as JSON              done in memory, all                   in the file, at       survives a power cut
//!                                   constraints hold                      a position
//! ```
//!
//! Executing changes the database in place and remembers what was there ([`workspace`]). A transaction that fails, or has
//! to wait, takes its changes back at once; one whose record cannot be written takes them back then, newest first.
//! [`settle`] is what happens between the last operation and success: reference counts, garbage collection, weak
//! references, limits and unique indexes.

pub(crate) mod settle;
pub(crate) mod workspace;

use std::sync::Arc;

use jsonrpc::Json;
use smallvec::SmallVec;

use crate::row::Row;
use crate::schema::{ColumnId, TableId};
use crate::{Database, Error, Uuid};

/// How one row changed.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The row's table.
    pub table: TableId,
    /// The row.
    pub uuid: Uuid,
    /// What it was; `None` if it was inserted.
    pub old: Option<Row>,
    /// What it is; `None` if it was deleted.
    pub new: Option<Row>,
    /// The columns in which the two differ, if there are two.
    columns: Columns,
}

/// Some columns of a table, mostly few.
type Columns = SmallVec<[ColumnId; 6]>;

/// In which columns two versions of a row differ.
fn changed_columns(old: &Row, new: &Row) -> Columns {
    if old.is_same(new) { Columns::default() } else { old.changed_columns(new).collect() }
}

impl RowChange {
    /// How the row called `uuid` of `table` has changed from `old` to `new`.
    pub fn new(table: TableId, uuid: Uuid, old: Option<Row>, new: Option<Row>) -> Self {
        let columns = match (&old, &new) {
            (Some(old), Some(new)) => changed_columns(old, new),
            _ => Columns::default(),
        };
        Self { table, uuid, old, new, columns }
    }

    /// The columns that have changed, `_version` aside, of a row that was there and is.
    pub fn columns(&self) -> &[ColumnId] {
        &self.columns
    }
}

/// What a transaction changed, shared by the log, the monitors and their history.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Identifies the transaction to clients that ask what happened since.
    pub id: Uuid,
    /// The changed rows, sorted by table.
    pub rows: Vec<RowChange>,
}

impl Changes {
    /// True if the transaction changed nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The changes, one slice per table.
    pub fn by_table(&self) -> impl Iterator<Item = (TableId, &[RowChange])> {
        self.rows
            .chunk_by(|a, b| a.table == b.table)
            .filter_map(|rows| Some((rows.first()?.table, rows)))
    }

    /// Takes the changes back. They must be the newest in `db`.
    pub(crate) fn undo(&self, db: &mut Database) {
        for change in self.rows.iter().rev() {
            db.replace((change.table, change.uuid), change.old.clone());
        }
        let mut ignored = Vec::new();
        for change in &self.rows {
            db.account(
                (change.table, change.uuid),
                change.new.as_ref(),
                change.old.as_ref(),
                &mut ignored,
            );
        }
        db.reindex(&self.rows, |change| change.new.as_ref());
    }
}

/// The operations are known, nothing is done yet.
#[derive(Clone, Debug)]
pub struct Parsed {
    params: Arc<[Json]>,
    /// Where among `params` the operations begin.
    first: usize,
}

/// Done in memory; every constraint holds.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(crate) changes: Arc<Changes>,
    pub(crate) results: Vec<Json>,
    pub(crate) comment: String,
    pub(crate) durable: bool,
}

/// In the file, but perhaps not on the disk. `end` is the file's length behind the record.
#[derive(Clone, Debug)]
pub struct Written {
    pub(crate) checked: Checked,
    pub(crate) end: u64,
}

/// On the disk, or nobody asked for that.
#[derive(Clone, Debug)]
pub struct Synced {
    pub(crate) checked: Checked,
}

/// A transaction in one of the states of its life.
#[derive(Clone, Debug)]
pub struct Transaction<S> {
    pub(crate) state: S,
}

impl Transaction<Parsed> {
    /// A transaction of `operations`.
    pub fn new(operations: &[Json]) -> Self {
        Self { state: Parsed { params: operations.into(), first: 0 } }
    }

    /// The transaction that the parameters of `transact` describe: the name of a database, and operations.
    pub fn from_params(params: &Arc<[Json]>) -> Self {
        Self { state: Parsed { params: Arc::clone(params), first: 1 } }
    }

    /// The operations.
    pub fn operations(&self) -> &[Json] {
        self.state.params.get(self.state.first..).unwrap_or_default()
    }
}

impl Transaction<Checked> {
    /// What changed.
    pub fn changes(&self) -> &Arc<Changes> {
        &self.state.changes
    }

    /// The results of the operations, for somebody who does not care whether they last.
    pub fn results(self) -> Json {
        Json::from(self.state.results)
    }

    /// What the client said the transaction is about.
    pub fn comment(&self) -> &str {
        &self.state.comment
    }

    /// The client wants its answer only when the changes are on disk.
    pub fn is_durable(&self) -> bool {
        self.state.durable
    }

    /// The log has accepted the record; the file now ends at `end`.
    pub(crate) fn written(self, end: u64) -> Transaction<Written> {
        Transaction { state: Written { checked: self.state, end } }
    }

    /// Takes the changes back (they must be the newest in `db`) and makes the reply that says why.
    pub fn fail(self, db: &mut Database, error: &Error) -> Json {
        self.state.changes.undo(db);
        let mut results = self.state.results;
        results.push(error.to_json());
        Json::from(results)
    }
}

impl Transaction<Written> {
    /// The length of the file behind this transaction's record.
    pub fn end(&self) -> u64 {
        self.state.end
    }

    /// The client wants its answer only when the changes are on disk.
    pub fn is_durable(&self) -> bool {
        self.state.checked.durable
    }

    /// The log has synced the file at least up to this record, or the client did not ask for that.
    pub(crate) fn synced(self) -> Transaction<Synced> {
        Transaction { state: Synced { checked: self.state.checked } }
    }

    /// As [`Transaction::<Checked>::fail`].
    pub fn fail(self, db: &mut Database, error: &Error) -> Json {
        Transaction { state: self.state.checked }.fail(db, error)
    }
}

impl Transaction<Synced> {
    /// What changed.
    pub fn changes(&self) -> &Arc<Changes> {
        &self.state.checked.changes
    }

    /// The reply: one result per operation.
    pub fn into_reply(self) -> Json {
        Json::from(self.state.checked.results)
    }
}
