//! `comment` (RFC 7047 section 5.2.9): what the transaction is about, kept in the log.

use jsonrpc::Json;

use super::{Run, Stop, empty};
use crate::members::Members;

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let comment = members.required("comment", Json::as_str)?;
    if !run.comment.is_empty() {
        run.comment.push('\n');
    }
    run.comment.push_str(comment);
    Ok(empty())
}
