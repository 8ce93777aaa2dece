//! The first bytes of a message: version, type, length, transaction; and, of some, what is behind these to say what it is.

use super::{Reader, Writer};
use crate::error::{Code, NICIRA, ONF, Result};
use crate::version::Version;

/// How long the common header is.
pub const LEN: usize = 8;

/// The common header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the whole message.
    pub version: u8,
    /// What it is, in that version.
    pub kind: u8,
    /// In bytes, with the header.
    pub len: u16,
    /// Chosen by who asks, repeated by who answers.
    pub xid: u32,
}

impl Header {
    /// Reads it. `None` when there are too few bytes yet.
    pub fn peek(bytes: &[u8]) -> Option<Header> {
        let head: &[u8; LEN] = bytes.first_chunk()?;
        let [version, kind, a, b, x @ ..] = *head;
        Some(Header { version, kind, len: u16::from_be_bytes([a, b]), xid: u32::from_be_bytes(x) })
    }
}

/// What a message is, by all its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of the standard's.
    Standard(u8),
    /// An experimenter's: vendor and its number.
    Experimenter(u32, u32),
    /// A question for statistics or, since 1.3, anything that is long.
    Request(Stat),
    /// Its answer.
    Reply(Stat),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stat {
    /// By the standard's number.
    Standard(u16),
    /// An experimenter's: vendor and its number.
    Experimenter(u32, u32),
}

const EXPERIMENTER: u8 = 4;
const STAT_EXPERIMENTER: u16 = 0xffff;
/// More of the same question or answer follows.
pub const MORE: u16 = 1;

/// The types of statistics, which 1.1 moved to make room for barriers.
fn stat_types(version: Version) -> (u8, u8) {
    if version == Version::V10 { (16, 17) } else { (18, 19) }
}

/// Reads what a message is from behind the common header, and its flags if it has any (statistics have); leaves the reader at
/// its body.
pub fn read_kind(header: Header, version: Version, r: &mut Reader<'_>) -> Result<(Kind, u16)> {
    if header.kind == EXPERIMENTER {
        let start = *r;
        let (vendor, number) = (r.u32()?, r.u32()?);
        if !is_vendor(vendor) {
            return Err(start.error(Code::OFPBRC_BAD_VENDOR));
        }
        return Ok((Kind::Experimenter(vendor, number), 0));
    }
    let (request, reply) = stat_types(version);
    if header.kind != request && header.kind != reply {
        return Ok((Kind::Standard(header.kind), 0));
    }
    let (number, flags) = (r.u16()?, r.u16()?);
    if version != Version::V10 {
        r.skip(4)?;
    }
    let stat = if number == STAT_EXPERIMENTER {
        let start = *r;
        let vendor = r.u32()?;
        // What is behind the vendor in OpenFlow 1.0 is Nicira's own affair, in later versions the standard's.
        let later = if version == Version::V10 { None } else { Some(r.u32()?) };
        if !has_stats(vendor, version) {
            return Err(start.error(Code::OFPBRC_BAD_VENDOR));
        }
        let number = match later {
            Some(number) => number,
            None => {
                let number = r.u32()?;
                r.skip(4)?;
                number
            }
        };
        Stat::Experimenter(vendor, number)
    } else {
        Stat::Standard(number)
    };
    Ok((if header.kind == request { Kind::Request(stat) } else { Kind::Reply(stat) }, flags))
}

/// Writes a message: header, numbers, flags where there is room for them, body.
pub fn write(
    version: Version,
    kind: Kind,
    flags: u16,
    xid: u32,
    body: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut w = Writer::new();
    let (request, reply) = stat_types(version);
    w.u8(version as u8);
    w.u8(match kind {
        Kind::Standard(number) => number,
        Kind::Experimenter(..) => EXPERIMENTER,
        Kind::Request(_) => request,
        Kind::Reply(_) => reply,
    });
    w.u16(0);
    w.u32(xid);
    match kind {
        Kind::Standard(_) => {}
        Kind::Experimenter(vendor, number) => {
            w.u32(vendor);
            w.u32(number);
        }
        Kind::Request(stat) | Kind::Reply(stat) => {
            w.u16(match stat {
                Stat::Standard(number) => number,
                Stat::Experimenter(..) => STAT_EXPERIMENTER,
            });
            w.u16(flags);
            if version != Version::V10 {
                w.zeros(4);
            }
            if let Stat::Experimenter(vendor, number) = stat {
                w.u32(vendor);
                w.u32(number);
                if version == Version::V10 {
                    w.zeros(4);
                }
            }
        }
    }
    body(&mut w);
    w.fill_len(0, 2);
    w.into_bytes()
}

/// Whose messages are known at all.
fn is_vendor(vendor: u32) -> bool {
    matches!(vendor, NICIRA | ONF)
}

/// Statistics of OpenFlow 1.0 have no experimenter but Nicira.
fn has_stats(vendor: u32, version: Version) -> bool {
    vendor == NICIRA || vendor == ONF && version != Version::V10
}

/// What is wrong with a message whose numbers nobody knows. Those of experimenters who are not known do not get that far.
pub fn unknown(kind: Kind) -> Code {
    match kind {
        Kind::Standard(_) => Code::OFPBRC_BAD_TYPE,
        Kind::Request(Stat::Standard(_)) | Kind::Reply(Stat::Standard(_)) => Code::OFPBRC_BAD_STAT,
        _ => Code::OFPBRC_BAD_SUBTYPE,
    }
}
