//! Values of settings as people write them.

use std::collections::BTreeMap;

use ovsdb::Uuid;

use super::{Mac, Problem};

/// Reads keys of one row's `other_config`.
pub(super) struct Config<'a> {
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) table: &'static str,
    pub(super) row: Uuid,
    pub(super) name: &'a str,
    pub(super) map: &'a BTreeMap<String, String>,
}

impl Config<'_> {
    /// The key's value; without one the first of `otherwise`, with one that makes no sense the second.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        right: &str,
        parse: impl Fn(&str) -> Option<T>,
        otherwise: (T, T),
    ) -> T {
        let Some(text) = self.map.get(key) else { return otherwise.0 };
        if let Some(value) = parse(text) {
            return value;
        }
        self.problems.push(Problem {
            table: self.table,
            row: self.row,
            name: self.name.to_owned(),
            text: format!("other_config:{key}=\"{text}\" is ignored: it must be {right}"),
        });
        otherwise.1
    }
}

pub(super) fn parse_bool(s: &str) -> Option<bool> {
    match s {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(super) fn parse_dpid(s: &str) -> Option<u64> {
    let digits = s.strip_prefix("0x").unwrap_or(s);
    let valid = if s.starts_with("0x") {
        !digits.is_empty() && digits.len() <= 16
    } else {
        digits.len() == 16
    };
    u64::from_str_radix(digits, 16).ok().filter(|n| valid && is_hex(digits) && *n != 0)
}

/// Whether there are digits only: parsing takes a sign as well.
fn is_hex(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_hexdigit())
}

/// An Ethernet address that a station can have: neither a group address nor zero.
pub fn parse_unicast(s: &str) -> Option<Mac> {
    parse_mac(s).filter(|m| m[0] & 1 == 0 && *m != [0; 6])
}

/// Six hexadecimal numbers joined by colons.
pub fn parse_mac(s: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = s.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()) && is_hex(p))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
