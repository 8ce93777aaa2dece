//! `assert` (RFC 7047 section 5.2.10): the transaction fails unless the session holds a lock.

use jsonrpc::Json;

use super::{Run, Stop, empty};
use crate::members::{Members, id};
use crate::{Error, ErrorKind};

pub(super) fn run(run: &mut Run<'_, '_>, members: &mut Members<'_>) -> Result<Json, Stop> {
    let lock = members.required("lock", id)?;
    if (run.holds_lock)(lock) {
        Ok(empty())
    } else {
        Err(Error::new(ErrorKind::NotOwner, format!("Asserted lock {lock} not held.")).into())
    }
}
