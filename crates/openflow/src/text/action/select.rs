//! `bundle`, `bundle_load` and `multipath`.

use std::fmt;

use super::super::names::{Named, Names};
use super::super::number::parse;
use super::super::subfield::parse_subfield;
use crate::action::select::{BundleAlgorithm, HashFields, MultipathAlgorithm};
use crate::action::{Bundle, Multipath};
use crate::port::Port;

impl fmt::Display for Multipath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "multipath({},{},{},{},{},{})",
            self.fields.name(),
            self.basis,
            self.algorithm.name(),
            u32::from(self.max_link) + 1,
            self.arg,
            self.dst
        )
    }
}

impl fmt::Display for Named<'_, Bundle> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(bundle, names) = *self;
        f.write_str(if bundle.dst.is_some() { "bundle_load(" } else { "bundle(" })?;
        write!(f, "{},{},{},ofport,", bundle.fields.name(), bundle.basis, bundle.algorithm.name())?;
        if let Some(dst) = &bundle.dst {
            write!(f, "{dst},")?;
        }
        f.write_str("members:")?;
        let mut separator = "";
        for port in &bundle.members {
            write!(f, "{separator}{}", names.port(*port))?;
            separator = ",";
        }
        f.write_str(")")
    }
}

fn fields(text: &str, name: &str) -> Result<HashFields, String> {
    HashFields::from_name(name).ok_or_else(|| format!("{text}: unknown fields `{name}'"))
}

/// What stands before the next separator, and what behind it.
fn next_word<'a>(text: &'a str, separators: &[char]) -> Option<(&'a str, &'a str)> {
    let text = text.trim_start_matches(separators);
    let word = text.split(separators).next().filter(|word| !word.is_empty())?;
    let behind = &text[word.len()..];
    Some((word, behind.strip_prefix(separators).unwrap_or(behind)))
}

fn basis(text: &str, number: &str) -> Result<u16, String> {
    parse(number).ok_or_else(|| format!("{text}: invalid basis `{number}'"))
}

pub(super) fn parse_multipath(text: &str) -> Result<Multipath, String> {
    let parts: Vec<&str> = text.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    let [fields_name, basis_text, algorithm, links, arg, dst] = parts[..] else {
        return Err(format!("{text}: not enough arguments to multipath action"));
    };
    let dst = parse_subfield(dst)?;
    let links_count: u32 = parse(links)
        .filter(|n| (1..=65536).contains(n))
        .ok_or_else(|| format!("{text}: n_links {links} is not in valid range 1 to 65536"))?;
    if dst.bits < 16 && links_count > 1 << dst.bits {
        return Err(format!(
            "{text}: {}-bit destination field has {} possible values, less than specified n_links {links_count}",
            dst.bits,
            1u32 << dst.bits
        ));
    }
    Ok(Multipath {
        fields: fields(text, fields_name)?,
        basis: basis(text, basis_text)?,
        algorithm: MultipathAlgorithm::from_name(algorithm)
            .ok_or_else(|| format!("{text}: unknown algorithm `{algorithm}'"))?,
        max_link: (links_count - 1) as u16,
        arg: parse(arg).ok_or_else(|| format!("{text}: invalid argument `{arg}'"))?,
        dst,
    })
}

pub(super) fn parse_bundle(text: &str, names: &Names, load: bool) -> Result<Bundle, String> {
    let mut rest = text;
    let mut next = |separators: &[char]| -> Option<&str> {
        let (word, more) = next_word(rest, separators)?;
        rest = more;
        Some(word)
    };
    const COMMA: &[char] = &[',', ' '];
    let (fields_name, basis_text) = (next(COMMA), next(COMMA));
    let (algorithm, kind) = (next(COMMA), next(COMMA));
    let dst = if load { next(COMMA) } else { None };
    let delimiter = next(&[':', ' ']);
    let (Some(fields_name), Some(basis_text), Some(algorithm), Some(kind), Some(delimiter)) =
        (fields_name, basis_text, algorithm, kind, delimiter)
    else {
        return Err(format!("{text}: not enough arguments to bundle action"));
    };
    if !["members", "slaves"].iter().any(|word| delimiter.eq_ignore_ascii_case(word)) {
        return Err(format!(
            "{text}: missing member delimiter, expected `members', got `{delimiter}'"
        ));
    }
    if kind != "ofport" {
        return Err(format!("{text}: unknown member_type `{kind}'"));
    }
    let dst = dst.map(parse_subfield).transpose()?;
    if let Some(dst) = dst.filter(|dst| dst.bits < 16) {
        return Err(format!("{text}: bundle_load destination {dst} must be at least 16 bits wide"));
    }
    let members = rest;
    let ports = members.split([',', ' ']).filter(|part| !part.is_empty());
    let members: Vec<Port> = ports
        .map(|port| names.parse_port(port).ok_or_else(|| format!("{port}: bad port number")))
        .collect::<Result<_, _>>()?;
    if members.len() > 2048 {
        return Err(format!("{text}: too many members"));
    }
    Ok(Bundle {
        algorithm: BundleAlgorithm::from_name(algorithm)
            .ok_or_else(|| format!("{text}: unknown algorithm `{algorithm}'"))?,
        fields: fields(text, fields_name)?,
        basis: basis(text, basis_text)?,
        members,
        dst,
    })
}
