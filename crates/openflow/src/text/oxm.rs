//! Extensible matches as text, number by number: `NXM_OF_IN_PORT(0001), NXM_OF_ETH_DST_W(01../01..)`. For people who look
//! at bytes.

use std::fmt::Write;

use super::number::parse;
use crate::error::Code;
use crate::field::Field;
use crate::wire::oxm::Header;
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

/// Reads such a list into bytes.
pub fn parse_list(text: &str) -> Result<Vec<u8>, String> {
    let mut w = Writer::new();
    let mut rest = text.trim_matches([' ', ',']);
    if rest == "<any>" {
        return Ok(Vec::new());
    }
    while !rest.is_empty() {
        let open = rest.find('(').ok_or_else(|| format!("{text}: missing ( at end of nx_match"))?;
        let close =
            rest.find(')').ok_or_else(|| format!("{text}: missing ) following field value"))?;
        if close < open {
            return Err(format!("{text}: missing ( at end of nx_match"));
        }
        parse_one(&mut w, text, rest[..open].trim(), &rest[open + 1..close])?;
        rest = rest[close + 1..].trim_start_matches([' ', ',']);
    }
    Ok(w.into_bytes())
}

fn parse_one(w: &mut Writer, text: &str, name: &str, payload: &str) -> Result<(), String> {
    let hex = |digits: &str| -> Result<Vec<u8>, String> {
        let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
        let bad = || format!("{text}: hex digits expected in field value");
        if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        (0..digits.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).map_err(|_| bad()))
            .collect()
    };
    let (value, mask) = match payload.split_once('/') {
        Some((value, mask)) => (hex(value)?, Some(hex(mask)?)),
        None => (hex(payload)?, None),
    };
    if let Some(number) = parse::<u32>(name) {
        // A header as a number: whatever it says, these are the bytes.
        w.u32(number);
        w.bytes(&value);
        w.bytes(&mask.unwrap_or_default());
        return Ok(());
    }
    let plain = name.strip_suffix("_W");
    let (_, known) = Field::by_header_name(plain.unwrap_or(name))
        .ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
    let mask = match (plain, mask) {
        (Some(_), Some(mask)) => Some(mask),
        (Some(_), None) => {
            return Err(format!("{text}: missing / in masked field {name}"));
        }
        (None, mask) => mask,
    };
    let len = value.len() + mask.as_ref().map_or(0, Vec::len);
    if len > 247 {
        return Err(format!("{text}: value of {name} is too long"));
    }
    Header { number: known.number(), has_mask: mask.is_some(), len }.write(w);
    w.bytes(&value);
    w.bytes(&mask.unwrap_or_default());
    Ok(())
}
