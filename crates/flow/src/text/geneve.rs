//! Geneve options as text: `{class=0xffff,type=0x80,len=4,0xa}{class=0x102,type=0x1,len=0}`.

use std::fmt;

use packet::wire::geneve::{GeneveOption, Options};

/// Writes options, which are as in the header.
pub(super) fn write_options(f: &mut fmt::Formatter<'_>, options: &[u8]) -> fmt::Result {
    for option in Options(options) {
        let GeneveOption { class, kind, value } = option;
        write!(f, "{{class=0x{class:x},type=0x{kind:x},len={}", value.len())?;
        if !value.is_empty() {
            f.write_str(",")?;
            write_hex(f, value)?;
        }
        f.write_str("}")?;
    }
    Ok(())
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
    let mut options = vec![];
    for option in text.split_terminator('}') {
        let mut parts = option.strip_prefix('{')?.split(',');
        let mut number = |name: &str| {
            let text = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
            super::field::parse_number(text)
        };
        let class = u16::try_from(number("class")?).ok()?;
        let kind = u8::try_from(number("type")?).ok()?;
        let len = usize::try_from(number("len")?).ok()?;
        let value = parse_hex(parts.next(), len)?;
        GeneveOption { class, kind, value: &value }.write(&mut options)?;
    }
    Some(options)
}

/// The bytes of a number; of all of them none is missing in what is left out at its front.
fn parse_hex(text: Option<&str>, len: usize) -> Option<Vec<u8>> {
    let digits = match text {
        None | Some("0") => "",
        Some(text) => text.trim().strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?,
    };
    if len > GeneveOption::VALUE_MAX {
        return None;
    }
    let padded = format!("{digits:0>width$}", width = 2 * len);
    let start = padded.len().checked_sub(2 * len)?;
    let (zeros, padded) = padded.split_at_checked(start)?;
    if zeros.bytes().any(|b| b != b'0') {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(padded.get(at..at + 2)?, 16).ok();
    (0..len).map(|i| pair(2 * i)).collect()
}
