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
    let short = || format!("{text}: not enough arguments to bundle action");
    let (head, members) = text
        .split_once("members:")
        .or_else(|| text.split_once("slaves:"))
        .ok_or_else(|| format!("{text}: missing member delimiter"))?;
    let head: Vec<&str> = head.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    let (head, dst) = match (&head[..], load) {
        ([head @ .., dst], true) if head.len() == 4 => {
            let dst = parse_subfield(dst)?;
            if dst.bits < 16 {
                return Err(format!(
                    "{text}: bundle_load destination {dst} must be at least 16 bits wide"
                ));
            }
            (head, Some(dst))
        }
        (head, false) => (head, None),
        _ => return Err(short()),
    };
    let [fields_name, basis_text, algorithm, kind] = head[..] else { return Err(short()) };
    if kind != "ofport" {
        return Err(format!("{text}: unknown member_type `{kind}'"));
    }
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
