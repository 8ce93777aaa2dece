//! Running the operations of a transaction (RFC 7047 section 5.2), one file per operation.
//!
//! An operation reads its members, all of them before anything else so that a misspelt one is always reported, then works
//! on the [`Workspace`]. The first failure ends the transaction: its error takes the place of its result, the operations
//! behind it get `null`, and nothing has changed.

mod abort;
mod assert;
mod comment;
mod commit;
mod delete;
mod insert;
mod mutate;
mod select;
mod update;
mod wait;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonrpc::Json;
use smallvec::SmallVec;

use crate::condition::Condition;
use crate::database::{Database, RowKey};
use crate::members::{Members, id};
use crate::rbac::Caller;
use crate::row::Row;
use crate::schema::TableId;
use crate::transaction::settle::settle;
use crate::transaction::workspace::Workspace;
use crate::transaction::{Checked, Parsed, Transaction};
use crate::{Error, ErrorKind, Uuid, UuidSource};

/// A transaction may have this many operations.
pub const OPERATIONS_MAX: usize = 1_000_000;

/// Whether a session may change the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    ReadWrite,
    /// As far as its role goes.
    Role(Arc<Caller>),
    /// The connection is configured that way.
    ReadOnlySession,
    /// The database describes the server itself.
    ReadOnlyDatabase,
}

/// What a transaction needs to know about its surroundings.
pub struct Context<'a> {
    /// Where new rows get their names from.
    pub uuids: &'a mut UuidSource,
    /// Whether the session may change this database.
    pub access: Access,
    /// Whether the session holds a lock.
    pub holds_lock: &'a dyn Fn(&str) -> bool,
    /// The time since the transaction was first tried.
    pub waited: Duration,
}

/// How executing a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// The database has changed; the log is next.
    Checked(Transaction<Checked>),
    /// Nothing has changed; this is the reply.
    Failed(Json),
    /// Nothing has changed; to be tried again when the database changes, or after this much time since it was first tried.
    Waiting(Option<Duration>),
}

/// Why an operation did not succeed.
enum Stop {
    Error(Error),
    NotYet { timeout: Option<Duration> },
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A transaction in progress.
struct Run<'a, 'c> {
    work: Workspace<'a>,
    database: Arc<str>,
    access: Access,
    holds_lock: &'c dyn Fn(&str) -> bool,
    waited: Duration,
    comment: String,
    durable: bool,
}

type Operation = fn(&mut Run<'_, '_>, &mut Members<'_>) -> Result<Json, Stop>;

/// Every operation: its name, whether it changes the database, what it does.
const OPERATIONS: [(&str, bool, Operation); 10] = [
    ("insert", true, insert::run),
    ("select", false, select::run),
    ("update", true, update::run),
    ("mutate", true, mutate::run),
    ("delete", true, delete::run),
    ("wait", false, wait::run),
    ("commit", false, commit::run),
    ("abort", false, abort::run),
    ("comment", false, comment::run),
    ("assert", false, assert::run),
];

impl Transaction<Parsed> {
    /// Runs the operations against `db`.
    pub fn execute(&self, db: &mut Database, context: Context<'_>) -> Outcome {
        let operations = self.operations();
        let mut results = Vec::with_capacity(operations.len() + 1);
        if operations.len() > OPERATIONS_MAX {
            let details = format!(
                "a transaction may have {OPERATIONS_MAX} operations, not {}",
                operations.len()
            );
            results.push(Error::new(ErrorKind::ResourcesExhausted, details).to_json());
            return Outcome::Failed(Json::from(results));
        }
        let mut run = Run {
            database: Arc::clone(db.schema().name()),
            work: Workspace::new(db, context.uuids),
            access: context.access,
            holds_lock: context.holds_lock,
            waited: context.waited,
            comment: String::new(),
            durable: false,
        };
        for (i, operation) in operations.iter().enumerate() {
            match run.operation(operation, i + 1, operations.len()) {
                Ok(result) => results.push(result),
                Err(Stop::NotYet { timeout }) => {
                    run.work.roll_back();
                    return Outcome::Waiting(timeout);
                }
                Err(Stop::Error(error)) => {
                    run.work.roll_back();
                    results.push(error.to_json());
                    results.resize(operations.len(), Json::Null);
                    return Outcome::Failed(Json::from(results));
                }
            }
        }
        let Run { work, comment, durable, .. } = run;
        match settle(work) {
            Ok(changes) => {
                let changes = Arc::new(changes);
                Outcome::Checked(Transaction {
                    state: Checked { changes, results, comment, durable },
                })
            }
            Err(error) => {
                results.push(error.to_json());
                Outcome::Failed(Json::from(results))
            }
        }
    }
}

/// Names an operation in errors.
struct Label {
    number: usize,
    total: usize,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ovsdb operation {} of {}", self.number, self.total)
    }
}

impl Run<'_, '_> {
    fn operation(&mut self, json: &Json, number: usize, total: usize) -> Result<Json, Stop> {
        let label = Label { number, total };
        let mut members = Members::new(json, &label)?;
        let name = members.required("op", id)?;
        let Some((_, changes, run)) = OPERATIONS.iter().find(|(n, ..)| *n == name) else {
            return Err(members.error(format!("No operation \"{name}\"")).into());
        };
        let result = run(self, &mut members);
        // A member that the operation does not know outweighs whatever else is wrong.
        members.finish()?;
        let result = result?;
        let denied = match &self.access {
            _ if !changes => return Ok(result),
            Access::ReadWrite | Access::Role(_) => return Ok(result),
            Access::ReadOnlySession => "when database server is in read only mode".to_owned(),
            Access::ReadOnlyDatabase => format!("on table in reserved database {}", self.database),
        };
        Err(Error::new(ErrorKind::NotAllowed, format!("{name} operation not allowed {denied}"))
            .into())
    }

    /// The `table` member.
    fn table(&self, members: &mut Members<'_>) -> Result<TableId, Error> {
        let name = members.required("table", id)?;
        match self.work.schema().table_id(name) {
            Some(table) => Ok(table),
            None => Err(members.error(format!("No table named {name}."))),
        }
    }

    /// Parses the `where` member.
    fn condition(&mut self, json: &Json, table: TableId) -> Result<Condition, Error> {
        let schema = Arc::clone(self.work.db.schema());
        Condition::from_json(json, schema.table(table), Some(&mut self.work.names))
    }

    /// Who is to be asked whether they may, if the session has a role.
    fn caller(&self) -> Option<&Caller> {
        if let Access::Role(caller) = &self.access { Some(caller) } else { None }
    }

    /// The rows called `keys`.
    fn rows(&self, keys: &[RowKey]) -> impl Iterator<Item = &Row> {
        keys.iter().filter_map(|key| self.work.db.row(*key))
    }

    /// The rows of the table that match.
    fn matching(&self, id: TableId, condition: &Condition) -> Vec<&Row> {
        let table = self.work.table(id);
        let matching = |uuid: Uuid| table.get(uuid).filter(|row| condition.matches_all(row));
        if let Some(uuid) = condition.only_row() {
            return matching(uuid).into_iter().collect();
        }
        // Indexes know nothing yet of what this transaction has done, so its rows are looked at besides.
        if self.work.touched.len() < table.len()
            && let Some(found) = table.by_index(|column| condition.only_value(column))
        {
            let touched = self.work.touched.iter().filter(|touched| touched.key.0 == id);
            let known = found.filter(|uuid| self.work.touched((id, *uuid)).is_none());
            return known
                .chain(touched.map(|touched| touched.key.1))
                .filter_map(matching)
                .collect();
        }
        table.rows().filter(|row| condition.matches_all(row)).collect()
    }

    /// The names of the rows of `table` that match.
    fn matching_keys(&self, table: TableId, condition: &Condition) -> SmallVec<[RowKey; 1]> {
        // Most changes are of one row, and name it.
        if let Some(uuid) = condition.only_row() {
            let row = self.work.table(table).get(uuid);
            return row
                .filter(|row| condition.matches_all(row))
                .map(|_| (table, uuid))
                .into_iter()
                .collect();
        }
        self.matching(table, condition).iter().map(|row| (table, row.uuid())).collect()
    }
}

/// Whether an operation would change the database.
pub(crate) fn is_change(operation: &Json) -> bool {
    let name = operation.get("op").and_then(Json::as_str);
    OPERATIONS.iter().any(|(n, changes, _)| *changes && name == Some(*n))
}

/// The result of operations that changed some number of rows.
fn count(n: usize) -> Json {
    Json::object([("count", n)])
}

/// The result of operations that have none.
fn empty() -> Json {
    Json::Object(jsonrpc::Object::new())
}
