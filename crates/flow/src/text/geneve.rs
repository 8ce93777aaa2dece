//! Geneve options as text: `{class=0xffff,type=0x80,len=4,0xa}{class=0x102,type=0x1,len=0}`.
//!
//! In a flow each may say how much of it counts: `{class=0x102,type=0x80,len=4,0xa/0xff}`, or of its value nothing,
//! `{class=0x102,type=0x80,len=4}`. What counts not at all, whole listings show with masks of 0. That an option must be missing is
//! said as the reference says it of the field, `{class=0x102,type=0x80,len=4,NP}`; the reference, which matches all types and
//! lengths in their order, needs no word for it here. That there must be none at all is `geneve()`.

use std::fmt;

use packet::wire::geneve::{CRITICAL, GeneveOption, Options};

use super::field::{HexText, parse_number};
use crate::options::OptionMask;

/// Writes options, which are as in the header.
pub(super) fn write_options(f: &mut fmt::Formatter<'_>, options: &[u8]) -> fmt::Result {
    for option in Options(options) {
        write_name(f, &option, "")?;
        if !option.value.is_empty() {
            f.write_str(",")?;
            write_hex(f, option.value)?;
        }
        f.write_str("}")?;
    }
    Ok(())
}

/// Writes a flow's: those of one of its packets, as far as `looked` looks; whole, all that the packet has.
pub(super) fn write_looked(
    f: &mut fmt::Formatter<'_>,
    options: &[u8],
    looked: &OptionMask,
    verbose: bool,
) -> fmt::Result {
    let mut rest = Options(options);
    while let Some(option) = rest.next() {
        let name = (option.class, option.kind, option.value.len());
        let comes_again = rest.clone().any(|o| (o.class, o.kind, o.value.len()) == name);
        let must_be_known = looked.has_critical() && option.kind & CRITICAL != 0;
        let bits = looked.bits(name.0, name.1, name.2).filter(|_| !comes_again);
        match bits.or(must_be_known.then_some(&[])) {
            Some(bits) => write_one(f, &option, bits, verbose)?,
            None if verbose => {
                write_name(f, &option, "/0")?;
                write_value(f, option.value, &[], true)?;
                f.write_str("}")?;
            }
            None => {}
        }
    }
    for missing in looked.iter() {
        let is_it = |o: GeneveOption<'_>| {
            (o.class, o.kind, o.value.len()) == (missing.class, missing.kind, missing.value.len())
        };
        if !Options(options).any(is_it) {
            write_name(f, &missing, "")?;
            f.write_str(",NP}")?;
        }
    }
    Ok(())
}

fn write_one(
    f: &mut fmt::Formatter<'_>,
    option: &GeneveOption<'_>,
    bits: &[u8],
    verbose: bool,
) -> fmt::Result {
    write_name(f, option, "")?;
    write_value(f, option.value, bits, verbose)?;
    f.write_str("}")
}

/// `{class=0xffff,type=0x80,len=8`, with a mask behind each.
fn write_name(f: &mut fmt::Formatter<'_>, option: &GeneveOption<'_>, mask: &str) -> fmt::Result {
    let GeneveOption { class, kind, value } = option;
    let [class, kind] = [(*class).into(), (*kind).into()].map(HexText);
    write!(f, "{{class={class}{mask},type={kind}{mask},len={}{mask}", value.len())
}

/// A value and which bits of it count; those that are left out do not.
fn write_value(
    f: &mut fmt::Formatter<'_>,
    value: &[u8],
    bits: &[u8],
    verbose: bool,
) -> fmt::Result {
    let counts = bits.iter().any(|byte| *byte != 0);
    if value.is_empty() || !(counts || verbose) {
        return Ok(());
    }
    f.write_str(",")?;
    write_hex(f, value)?;
    if bits.len() == value.len() && bits.iter().all(|byte| *byte == u8::MAX) {
        return Ok(());
    }
    f.write_str("/")?;
    write_hex(f, bits)
}

/// A number of any length, without leading zeros; nothing at all is a 0 without a prefix.
fn write_hex(f: &mut fmt::Formatter<'_>, value: &[u8]) -> fmt::Result {
    let Some(first) = value.iter().position(|byte| *byte != 0) else { return f.write_str("0") };
    f.write_str("0x")?;
    for (i, byte) in value.iter().enumerate().skip(first) {
        if i == first { write!(f, "{byte:x}")? } else { write!(f, "{byte:02x}")? }
    }
    Ok(())
}

/// Reads options; the answer is as in the header.
pub(super) fn parse_options(text: &str) -> Option<Vec<u8>> {
    let parsed = parse_looked(text)?;
    // Whole options, not parts of any.
    let is_plain = !text.contains(['/', 'N']);
    is_plain.then_some(parsed.0)
}

/// Reads a flow's: those of one of its packets, as in the header, and which of them count.
pub(super) fn parse_looked(text: &str) -> Option<(Vec<u8>, OptionMask)> {
    let (mut options, mut looked) = (vec![], OptionMask::default());
    for option in text.split_terminator('}') {
        let mut parts = option.strip_prefix('{')?.split(',');
        let mut number = |name: &str| {
            let text = parts.next()?.trim().strip_prefix(name)?.strip_prefix('=')?;
            let (text, counts) = match text.split_once('/') {
                Some((text, mask)) => (text, parse_number(mask)? != 0),
                None => (text, true),
            };
            Some((parse_number(text)?, counts))
        };
        let (class, counts) = number("class")?;
        let (kind, _) = number("type")?;
        let (len, _) = number("len")?;
        let (class, kind) = (u16::try_from(class).ok()?, u8::try_from(kind).ok()?);
        let len = usize::try_from(len).ok().filter(|len| *len <= GeneveOption::VALUE_MAX)?;
        let value = parts.next().map(str::trim);
        if value == Some("NP") {
            looked.look(class, kind, &vec![0; len]);
            continue;
        }
        let (value, bits) = match value.and_then(|value| value.split_once('/')) {
            Some((value, bits)) => (Some(value), parse_hex(bits, len)?),
            // Who says no value wants none.
            None => (value, vec![if value.is_some() { u8::MAX } else { 0 }; len]),
        };
        let value = parse_hex(value.unwrap_or("0"), len)?;
        GeneveOption { class, kind, value: &value }.write(&mut options)?;
        if counts {
            looked.look(class, kind, &bits);
        }
    }
    Some((options, looked))
}

/// The bytes of a number; of all of them none is missing in what is left out at its front.
fn parse_hex(text: &str, len: usize) -> Option<Vec<u8>> {
    let digits = match text.trim() {
        "0" => "",
        text => text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?,
    };
    let padded = format!("{digits:0>width$}", width = 2 * len);
    let start = padded.len().checked_sub(2 * len)?;
    let (zeros, padded) = padded.split_at_checked(start)?;
    if zeros.bytes().any(|b| b != b'0') {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(padded.get(at..at + 2)?, 16).ok();
    (0..len).map(|i| pair(2 * i)).collect()
}
