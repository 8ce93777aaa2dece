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
        let header = Named::parse(name).ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
        let (value, mut behind) = bytes(behind, header.half())?;
        let mut mask = Vec::new();
        if header.has_mask() {
            behind = behind
                .strip_prefix('/')
                .ok_or_else(|| format!("{text}: missing / in masked field {name}"))?;
            (mask, behind) = bytes(behind, Some(value.len()))?;
        }
        header.write(&mut w, value.len())?;
        w.bytes(&value);
        w.bytes(&mask);
        let behind = behind
            .strip_prefix(')')
            .ok_or_else(|| format!("{text}: missing ) following field {name}"))?;
        rest = behind.trim_start_matches([' ', ',']);
    }
    Ok(w.into_bytes())
}

/// A header as text: by name, or digit by digit.
enum Named {
    /// The length in bytes is not there if it is not fixed.
    Field {
        number: Number,
        len: Option<usize>,
        has_mask: bool,
    },
    Digits(u32),
}

/// The most bytes that a value has of which the length is not fixed.
const MOST: usize = 124;

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

    fn has_mask(&self) -> bool {
        match self {
            Named::Field { has_mask, .. } => *has_mask,
            Named::Digits(header) => header >> 8 & 1 == 1,
        }
    }

    /// How many bytes the value has, and the mask if there is one.
    fn half(&self) -> Option<usize> {
        match self {
            Named::Field { len, .. } => *len,
            Named::Digits(header) => {
                // Of an experimenter's fields four are its own number.
                let own = if header >> 16 == 0xffff { 4 } else { 0 };
                let len = (*header as usize & 0xff).saturating_sub(own);
                Some(len >> u32::from(self.has_mask()))
            }
        }
    }

    fn write(&self, w: &mut Writer, half: usize) -> Result<(), String> {
        match self {
            Named::Digits(header) => w.u32(*header),
            Named::Field { .. } if half > MOST => {
                return Err(format!("expected to read {MOST} bytes but got {half}"));
            }
            Named::Field { number, has_mask, .. } => {
                let header = Header {
                    number: *number,
                    has_mask: *has_mask,
                    len: half << u32::from(*has_mask),
                };
                header.write(w);
            }
        }
        Ok(())
    }
}

/// Number, length in bytes and whether there may be a mask, of a field by the name of its header.
fn known(name: &str) -> Option<(Number, Option<usize>, bool)> {
    if name == "NXM_NX_COOKIE" {
        return Some((COOKIE, Some(8), true));
    }
    // The hash has been given a second name.
    let name = if name == "NXOXM_ET_DP_HASH" { "NXM_NX_DP_HASH" } else { name };
    let (field, header) = Field::by_header_name(name)?;
    let len = field.tun_metadata_index().is_none().then(|| field.bytes());
    Some((header.number(), len, field.row().maskable))
}

/// Bytes, with blanks between them if there are any, and what stands behind. If `len` is known they must be so many.
fn bytes(text: &str, len: Option<usize>) -> Result<(Vec<u8>, &str), String> {
    let mut rest = text.trim_start();
    let mut all = Vec::new();
    while let Some(byte) = rest.get(..2).and_then(digits) {
        all.push(byte);
        rest = rest[2..].trim_start();
    }
    match len {
        Some(len) if len != all.len() => {
            Err(format!("expected to read {len} bytes but got {}", all.len()))
        }
        _ => Ok((all, rest)),
    }
}

fn digits(pair: &str) -> Option<u8> {
    pair.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(pair, 16).ok())?
}
