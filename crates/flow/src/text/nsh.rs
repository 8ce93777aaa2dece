//! The network service header in text: of flows, of `set(..)` and of `push_nsh(..)`.

use std::fmt;

use super::key::List;
use super::special::{masked_number, pairs};
use crate::key::{FlowKey, Mask};
use crate::nsh::{MD2_MAX, NshKey, NshPush};

/// One field: its name, bits, whether it is written in hexadecimal, and where it is.
struct Part {
    name: &'static str,
    bits: u32,
    hex: bool,
    get: fn(&NshKey) -> u32,
    put: fn(&mut NshKey, u32),
}

macro_rules! byte {
    ($name:literal, $field:ident, $bits:literal) => {
        Part {
            name: $name,
            bits: $bits,
            hex: false,
            get: |k| k.$field.into(),
            put: |k, v| k.$field = v as u8,
        }
    };
}

macro_rules! context {
    ($name:literal, $i:literal) => {
        Part {
            name: $name,
            bits: 32,
            hex: true,
            get: |k| k.context[$i],
            put: |k, v| k.context[$i] = v,
        }
    };
}

const PARTS: [Part; 10] = [
    byte!("flags", flags, 8),
    byte!("ttl", ttl, 8),
    byte!("mdtype", mdtype, 8),
    byte!("np", np, 8),
    Part {
        name: "spi",
        bits: 24,
        hex: true,
        get: |k| k.path >> 8,
        put: |k, v| k.path = k.path & 0xff | v << 8,
    },
    Part {
        name: "si",
        bits: 8,
        hex: false,
        get: |k| k.path & 0xff,
        put: |k, v| k.path = k.path & !0xff | v,
    },
    context!("c1", 0),
    context!("c2", 1),
    context!("c3", 2),
    context!("c4", 3),
];

/// Whether a mask looks at the header.
pub(super) fn is_looked_at(mask: &Mask) -> bool {
    mask.0.nsh() != NshKey::default()
}

/// `nsh(ttl=63,spi=0x5)`: what the mask looks at.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    key: &FlowKey,
    mask: &Mask,
    verbose: bool,
) -> fmt::Result {
    let (key, mask) = (key.nsh(), mask.0.nsh());
    f.write_str("nsh(")?;
    let mut list = List { f: &mut *f, first: true };
    for part in &PARTS {
        let (value, of) = ((part.get)(&key), (part.get)(&mask));
        list.item_if(verbose || of != 0, |f| {
            part.write(f, value)?;
            match of {
                of if of == full(part.bits) => Ok(()),
                of if part.hex => write!(f, "/0x{of:08x}"),
                of => write!(f, "/0x{of:x}"),
            }
        })?;
    }
    f.write_str(")")
}

impl Part {
    fn write(&self, f: &mut fmt::Formatter<'_>, value: u32) -> fmt::Result {
        if self.hex {
            write!(f, "{}=0x{value:x}", self.name)
        } else {
            write!(f, "{}={value}", self.name)
        }
    }
}

fn full(bits: u32) -> u32 {
    u32::MAX >> (32 - bits)
}

pub(super) fn parse(args: &str, key: &mut FlowKey, mask: &mut Mask) -> Option<()> {
    let (mut value, mut of) = (NshKey::default(), NshKey::default());
    for pair in pairs(args) {
        let (name, text) = pair?;
        let part = PARTS.iter().find(|part| part.name == name)?;
        let (v, m) = masked_number(text, part.bits)?;
        (part.put)(&mut value, v);
        (part.put)(&mut of, m);
    }
    key.set_nsh(&value);
    mask.0.set_nsh(&of);
    Some(())
}

pub(super) fn write_push(f: &mut fmt::Formatter<'_>, push: &NshPush) -> fmt::Result {
    f.write_str("push_nsh(")?;
    let mut list = List { f: &mut *f, first: true };
    let shown = if push.key.mdtype == 1 { PARTS.len() } else { PARTS.len() - 4 };
    for part in &PARTS[..shown] {
        list.item_if(true, |f| part.write(f, (part.get)(&push.key)))?;
    }
    match (push.key.mdtype, push.md2.is_empty()) {
        (1, _) => {}
        (_, true) => f.write_str(",md2=0")?,
        (_, false) => {
            f.write_str(",md2=0x")?;
            push.md2.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
    }
    f.write_str(")")
}

/// Reads the arguments of `push_nsh(..)`. Metadata is filled up to a multiple of four bytes.
pub(super) fn parse_push(args: &str) -> Option<NshPush> {
    // What is not mentioned is as in a new header.
    let mut key = NshKey { ttl: 63, mdtype: 1, np: 3, path: 0xff, ..NshKey::default() };
    let mut md2 = vec![];
    for pair in pairs(args) {
        let (name, text) = pair?;
        if name == "md2" {
            md2 = parse_md2(text)?;
            continue;
        }
        let part = PARTS.iter().find(|part| part.name == name)?;
        let (value, _) = masked_number(text, part.bits)?;
        (part.put)(&mut key, value);
    }
    let is_whole = match key.mdtype {
        1 => md2.is_empty(),
        2 => key.context == [0; 4],
        _ => false,
    };
    is_whole.then_some(NshPush { key, md2 })
}

fn parse_md2(text: &str) -> Option<Vec<u8>> {
    if text == "0" {
        return Some(vec![]);
    }
    let digits = text.strip_prefix("0x")?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |d: u8| (d as char).to_digit(16);
    let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    let mut bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    (bytes.len() <= MD2_MAX).then_some(bytes)
}
