//! `commit` (RFC 7047 section 5.2.7): says whether the reply may come before the changes are on disk.

use jsonrpc::Json;

use super::{Run, Stop, empty};
use crate::members::Members;

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    run.durable |= members.required("durable", Json::as_bool)?;
    Ok(empty())
}
