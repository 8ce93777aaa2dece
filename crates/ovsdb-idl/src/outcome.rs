//! What came of a transaction, read from the server's reply.

use std::collections::BTreeMap;

use jsonrpc::{Json, json};
use ovsdb::Uuid;

use crate::txn::Prepared;

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// There was nothing to do.
    Unchanged,
    /// It is done.
    Success {
        /// The identity that the server gave to each new row, by the one it had in the transaction.
        inserted: BTreeMap<Uuid, Uuid>,
        /// What the incremented column became.
        incremented: Option<i64>,
    },
    /// A column that had to be as it was read is not, or the connection broke: build the transaction again.
    TryAgain,
    /// The lock is not ours.
    NotLocked,
    /// The server refused it; its error as JSON.
    Error(Json),
}

/// What the server's results mean for a transaction. `offset` operations were put in front of it.
pub(crate) fn judge(txn: &Prepared, offset: usize, results: &Json) -> Outcome {
    let results = results.as_array().unwrap_or_default();
    let errors = results
        .iter()
        .filter_map(|result| Some((result.get("error")?.as_str().unwrap_or_default(), result)));
    let (mut soft, mut not_owner) = (false, false);
    for (word, error) in errors {
        match word {
            "timed out" => soft = true,
            "not owner" => not_owner = true,
            "aborted" if txn.dry_run => {}
            _ => return Outcome::Error(error.clone()),
        }
    }
    if not_owner {
        return Outcome::NotLocked;
    }
    if soft {
        return Outcome::TryAgain;
    }
    if results.len() < txn.operations.len() + offset {
        let details =
            format!("{} operations have {} results", txn.operations.len() + offset, results.len());
        return Outcome::Error(json!({"error": "malformed reply", "details": details}));
    }
    let result = |operation: usize| results.get(operation + offset);
    let inserted = txn.inserts.iter().filter_map(|&(operation, provisional)| {
        let uuid = result(operation)?.get("uuid")?.at(1)?.as_str()?.parse().ok()?;
        Some((provisional, uuid))
    });
    let incremented = txn.increment.as_ref().and_then(|(operation, column)| {
        result(*operation)?.get("rows")?.at(0)?.get(column)?.as_i64()
    });
    Outcome::Success { inserted: inserted.collect(), incremented }
}
