//! From bytes to a message and back.

mod read;
mod write;

pub use write::{Unsendable, encode};

use super::Reader;
use super::header::{self, Header};
use super::shape::{self, Known};
use crate::error::{Code, Result};
use crate::message::Message;
use crate::version::Version;

/// The last of the messages that are the same in every version.
const ECHO_REPLY: u8 = 3;
const ERROR: u8 = 1;

/// The version by whose rules a message is read. Greetings and echoes are the same in every version, also in those to come.
fn version_of(header: Header) -> Option<Version> {
    let eternal = header.kind <= ECHO_REPLY && header.version != 0;
    Version::from_wire(header.version).or(eternal.then_some(Version::V15))
}

/// What a message is by its numbers and length, its flags, and a reader of its body.
fn identify(bytes: &[u8]) -> Result<(Header, Version, Known, u16, Reader<'_>)> {
    let mut r = Reader::new(bytes, "header");
    let header = Header::peek(bytes).ok_or_else(|| r.error(Code::OFPBRC_BAD_LEN))?;
    let version = version_of(header).ok_or_else(|| r.error(Code::OFPBRC_BAD_VERSION))?;
    r.skip(header::LEN)?;
    let start = r;
    let (kind, flags) = header::read_kind(header, version, &mut r)?;
    let known = shape::find(kind, version).ok_or_else(|| start.error(header::unknown(kind)))?;
    Ok((header, version, known, flags, r))
}

/// Reads one message, which `bytes` must be.
pub fn decode(bytes: &[u8]) -> Result<(Header, Message)> {
    let start = Reader::new(bytes, "header");
    if Header::peek(bytes).is_none_or(|header| usize::from(header.len) != bytes.len()) {
        return Err(start.error(Code::OFPBRC_BAD_LEN));
    }
    let (header, version, known, flags, r) = identify(bytes)?;
    if !known.allows(r.left()) {
        return Err(r.error(Code::OFPBRC_BAD_LEN));
    }
    // Numbers of errors are each version's own.
    if header.kind == ERROR && Version::from_wire(header.version).is_none() {
        return Err(start.error(Code::OFPBRC_BAD_VERSION));
    }
    let message = read::read(header, version, known.shape, flags, r)?;
    Ok((header, message))
}

/// The name of a message in the standard's header files, or in Nicira's, from its numbers, if it can be that long. Of what is
/// not all there yet, the numbers alone must do.
pub fn name(bytes: &[u8]) -> Option<String> {
    let (header, _, known, _, r) = identify(bytes).ok()?;
    let is_all = usize::from(header.len) == bytes.len();
    (!is_all || known.allows(r.left())).then(|| known.name())
}

/// The flags of a message of statistics; 0 of any other.
pub fn flags(bytes: &[u8]) -> u16 {
    identify(bytes).map_or(0, |(_, _, _, flags, _)| flags)
}
