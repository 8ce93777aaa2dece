//! Extensible matches as text, number by number: `NXM_OF_IN_PORT(0001), NXM_OF_ETH_DST_W(01../01..)`. For people who look
//! at bytes.

use std::fmt::Write;

use crate::error::Code;
use crate::field::{Field, Number};
use crate::wire::oxm::{COOKIE, Header};
use crate::wire::{Reader, Writer};

/// Prints a list of fields; what cannot be read ends it.
pub fn format(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut r = Reader::new(bytes, "nx_match");
    let mut separator = "";
    while !r.is_empty() {
        out.push_str(separator);
        separator = ", ";
        let read = Header::read(&mut r, Code::OFPBMC_BAD_LEN)
            .and_then(|header| Ok((header, r.take(header.len, Code::OFPBMC_BAD_LEN)?)));
        let Ok((header, payload)) = read else {
            out.push_str("***invalid***");
            break;
        };
        match Field::by_number(header.number) {
            _ if header.number == COOKIE && header.len == 8 << u32::from(header.has_mask) => {
                out.push_str("NXM_NX_COOKIE");
            }
            Some((_, known)) => out.push_str(known.name),
            None => {
                let number = header.number;
                let _ = write!(out, "{}:{}", number.class, number.number);
            }
        }
        if header.has_mask {
            out.push_str("_W");
        }
        let half = if header.has_mask { payload.len() / 2 } else { payload.len() };
        let (value, mask) = payload.split_at(half);
        out.push('(');
        value.iter().for_each(|b| _ = write!(out, "{b:02x}"));
        if header.has_mask {
            out.push('/');
            mask.iter().for_each(|b| _ = write!(out, "{b:02x}"));
        }
        out.push(')');
    }
    if out.is_empty() { "<any>".to_owned() } else { out }
}

/// Reads such a list into bytes. A name may also be a header's eight digits, whatever they say: `00000002(0001)`.
pub fn parse_list(text: &str) -> Result<Vec<u8>, String> {
    let mut w = Writer::new();
    if text.trim_matches(' ') == "<any>" {
        return Ok(Vec::new());
    }
    let mut rest = text.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let (name, behind) =
            rest.split_once('(').ok_or_else(|| format!("{text}: missing ( at end of nx_match"))?;
        let header = Named::parse(name)
            .ok_or_else(|| format!("{text}: unknown field `{name}'"))?
            .write(&mut w);
        let mut behind = bytes(&mut w, behind, header.half)?;
        if header.has_mask {
            let mask = behind
                .strip_prefix('/')
                .ok_or_else(|| format!("{text}: missing / in masked field {name}"))?;
            behind = bytes(&mut w, mask, header.half)?;
        }
        let behind = behind
            .strip_prefix(')')
            .ok_or_else(|| format!("{text}: missing ) following field {name}"))?;
        rest = behind.trim_start_matches([' ', ',']);
    }
    Ok(w.into_bytes())
}

/// A header as text: by name, or digit by digit.
enum Named {
    Field { number: Number, len: usize, has_mask: bool },
    Digits(u32),
}

/// What stands behind a header: so many bytes, and so many of a mask.
struct Payload {
    half: usize,
    has_mask: bool,
}

impl Named {
    fn parse(name: &str) -> Option<Named> {
        let plain = name.strip_suffix("_W");
        if let Some((number, len, maskable)) = known(plain.unwrap_or(name)) {
            let has_mask = plain.is_some();
            return (maskable || !has_mask).then_some(Named::Field { number, len, has_mask });
        }
        let is_header = name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit());
        is_header.then(|| u32::from_str_radix(name, 16).ok().map(Named::Digits))?
    }

    fn write(self, w: &mut Writer) -> Payload {
        match self {
            Named::Field { number, len, has_mask } => {
                Header { number, has_mask, len: len << u32::from(has_mask) }.write(w);
                Payload { half: len, has_mask }
            }
            Named::Digits(header) => {
                w.u32(header);
                // Class, number, whether there is a mask, and the length, of which an experimenter's own number takes four.
                let has_mask = header >> 8 & 1 == 1;
                let own = if header >> 16 == 0xffff { 4 } else { 0 };
                let len = (header as usize & 0xff).saturating_sub(own);
                Payload { half: len >> u32::from(has_mask), has_mask }
            }
        }
    }
}

/// Number, length in bytes and whether there may be a mask, of a field by the name of its header.
fn known(name: &str) -> Option<(Number, usize, bool)> {
    if name == "NXM_NX_COOKIE" {
        return Some((COOKIE, 8, true));
    }
    // The hash has been given a second name.
    let name = if name == "NXOXM_ET_DP_HASH" { "NXM_NX_DP_HASH" } else { name };
    let (field, header) = Field::by_header_name(name)?;
    Some((header.number(), field.bytes(), field.row().maskable))
}

/// Writes exactly `len` bytes, with blanks between them if there are any, and returns what stands behind.
fn bytes<'a>(w: &mut Writer, text: &'a str, len: usize) -> Result<&'a str, String> {
    let mut rest = text.trim_start();
    let mut count = 0;
    while let Some(byte) = rest.get(..2).and_then(|pair| digits(pair)) {
        // As many as there are: the complaint says how many.
        if count < len {
            w.u8(byte);
        }
        count += 1;
        rest = rest[2..].trim_start();
    }
    if count == len {
        Ok(rest)
    } else {
        Err(format!("expected to read {len} bytes but got {count}"))
    }
}

fn digits(pair: &str) -> Option<u8> {
    pair.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(pair, 16).ok())?
}
