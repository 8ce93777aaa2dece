//! `abort` (RFC 7047 section 5.2.8): makes the transaction fail.

use jsonrpc::Json;

use super::{Run, Stop};
use crate::members::Members;
use crate::{Error, ErrorKind};

pub(super) fn run(_: &mut Run<'_, '_>, _: &mut Members<'_>) -> Result<Json, Stop> {
    Err(Error::new(ErrorKind::Aborted, "aborted by request").into())
}
