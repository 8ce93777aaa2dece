//! `ct(..)` and the `nat(..)` in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::key_value::pairs;
use super::super::names::{Named, Names};
use super::super::number::parse;
use super::super::subfield::parse_subfield;
use super::Inner;
use super::parse::{Parsed, first_kind, parse_at, word};
use crate::action::Action;
use crate::action::ct::{Ct, Nat, Side, Zone};
use crate::version::Protocols;

const FTP: u16 = 21;
const TFTP: u16 = 69;

impl fmt::Display for Named<'_, Ct> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(ct, names) = *self;
        let mut parts: Vec<String> = Vec::new();
        if ct.commit {
            parts.push("commit".to_owned());
        }
        if ct.force {
            parts.push("force".to_owned());
        }
        if let Some(table) = ct.table {
            parts.push(format!("table={}", names.table(table)));
        }
        match &ct.zone {
            Zone::Number(0) => {}
            Zone::Number(zone) => parts.push(format!("zone={zone}")),
            Zone::Field(part) => parts.push(format!("zone={part}")),
        }
        if let Some(nat) = &ct.nat {
            parts.push(nat.to_string());
        }
        if !ct.exec.is_empty() {
            parts.push(format!("exec({})", Inner(&ct.exec, names)));
        }
        match ct.alg {
            0 => {}
            FTP => parts.push("alg=ftp".to_owned()),
            TFTP => parts.push("alg=tftp".to_owned()),
            alg => parts.push(format!("alg={alg}")),
        }
        write!(f, "ct({})", parts.join(","))
    }
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nat")?;
        let Some(side) = self.side else { return Ok(()) };
        f.write_str(match side {
            Side::Src => "(src",
            Side::Dst => "(dst",
        })?;
        if let Some((first, last)) = self.addresses {
            // Brackets keep a port apart from an IPv6 address.
            let brackets = first.is_ipv6() && self.ports.is_some();
            let (open, close) = if brackets { ("[", "]") } else { ("", "") };
            write!(f, "={open}{first}{close}")?;
            if let Some(last) = last {
                write!(f, "-{open}{last}{close}")?;
            }
        } else if self.ports.is_some() {
            f.write_str("=")?;
        }
        match self.ports {
            Some((first, Some(last))) => write!(f, ":{first}-{last}")?,
            Some((first, None)) => write!(f, ":{first}")?,
            None => {}
        }
        for (set, word) in
            [(self.persistent, ",persistent"), (self.hash, ",hash"), (self.random, ",random")]
        {
            if set {
                f.write_str(word)?;
            }
        }
        f.write_str(")")
    }
}

pub(super) fn parse_ct(text: &str, names: &Names, depth: u32) -> Result<(Ct, Protocols), String> {
    let mut ct = Ct::default();
    let mut protocols = Protocols::ANY;
    for pair in pairs(text) {
        match pair.key {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => {
                let bad = || format!("unknown table {}", pair.value);
                let table = names.parse_table(pair.value).ok_or_else(bad)?;
                if table == 255 {
                    return Err("invalid table 0xff".to_owned());
                }
                ct.table = Some(table);
            }
            "zone" => ct.zone = parse_zone(pair.value)?,
            "alg" => {
                ct.alg = match pair.value {
                    "ftp" => FTP,
                    "tftp" => TFTP,
                    other => return Err(format!("invalid conntrack helper \"{other}\"")),
                };
            }
            "nat" => ct.nat = Some(parse_nat(pair.value)?),
            "exec" => {
                let Parsed { instructions, protocols: usable } =
                    parse_at(pair.value, names, depth + 1, true)?;
                let settable = |a: &Action| {
                    matches!(a, Action::SetField { .. } | Action::Load { .. } | Action::Move { .. })
                };
                let other = instructions.apply.iter().find(|a| !settable(a)).map(word);
                let other = other.or_else(|| first_kind(&instructions).map(str::to_owned));
                if let Some(other) = other {
                    return Err(format!("ct action doesn't support nested action {other}"));
                }
                protocols = protocols.and(usable);
                ct.exec.extend(instructions.apply);
            }
            key => return Err(format!("invalid argument to \"ct\" action: `{key}'")),
        }
    }
    if ct.force && !ct.commit {
        return Err("\"force\" flag requires \"commit\" flag.".to_owned());
    }
    if !ct.exec.is_empty() && !ct.commit {
        return Err("\"exec\" requires \"commit\" flag.".to_owned());
    }
    if ct.nat.is_some_and(|nat| nat.side.is_some()) && !ct.commit {
        return Err("\"nat\" with src or dst requires \"commit\" flag.".to_owned());
    }
    Ok((ct, protocols))
}

fn parse_zone(text: &str) -> Result<Zone, String> {
    if let Some(zone) = parse(text) {
        return Ok(Zone::Number(zone));
    }
    let part = parse_subfield(text)?;
    if part.bits != 16 {
        return Err(format!("{text}: zone must be 16 bits wide"));
    }
    Ok(Zone::Field(part))
}

fn parse_nat(text: &str) -> Result<Nat, String> {
    let mut nat = Nat::default();
    let side = |side: Side, text: &str, nat: &mut Nat| {
        if nat.side.is_some() {
            return Err("May only specify one of \"src\" or \"dst\".".to_owned());
        }
        nat.side = Some(side);
        if text.is_empty() { Ok(()) } else { parse_range(text, nat) }
    };
    for pair in pairs(text) {
        match pair.key {
            "src" => side(Side::Src, pair.value, &mut nat)?,
            "dst" => side(Side::Dst, pair.value, &mut nat)?,
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            key => return Err(format!("invalid key \"{key}\" in \"nat\" argument")),
        }
    }
    if nat.side.is_none() && (nat.persistent || nat.hash || nat.random) {
        return Err("Flags allowed only with \"src\" or \"dst\".".to_owned());
    }
    // There is nothing to choose from.
    if nat.addresses.is_none() {
        (nat.persistent, nat.hash, nat.random) = (false, false, false);
    }
    if nat.hash && nat.random {
        return Err("Both \"hash\" and \"random\" are not allowed.".to_owned());
    }
    Ok(nat)
}

/// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, IPv6 addresses in brackets when ports follow.
fn parse_range(text: &str, nat: &mut Nat) -> Result<(), String> {
    let bad = || format!("invalid nat range \"{text}\"");
    let garbage = |rest: &str| {
        let at = text.len() - rest.len();
        format!("garbage ({rest}) after nat range \"{text}\" (pos: {at})")
    };
    let (first, mut rest) = take_address(text).ok_or_else(|| garbage(text))?;
    let mut last = first;
    if let Some(more) = rest.strip_prefix('-') {
        (last, rest) = take_address(more).ok_or_else(bad)?;
        if last.is_ipv4() != first.is_ipv4() || last < first {
            return Err(bad());
        }
    }
    // All zeros stand for no range: then only packets whose ports collide are changed.
    if !first.is_unspecified() || rest.starts_with(':') {
        nat.addresses = Some((first, Some(last).filter(|last| *last != first)));
    }
    if let Some(ports) = rest.strip_prefix(':') {
        let (first, mut behind) = take_port(ports).ok_or_else(bad)?;
        let mut last = first;
        if let Some(more) = behind.strip_prefix('-') {
            (last, behind) = take_port(more).ok_or_else(bad)?;
            if last < first {
                return Err(bad());
            }
        }
        nat.ports = Some((first, Some(last).filter(|last| *last != first)));
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(garbage(rest)) }
}

/// An address, and what follows.
fn take_address(text: &str) -> Option<(IpAddr, &str)> {
    let split = |ends: fn(char) -> bool| text.split_at(text.find(ends).unwrap_or(text.len()));
    if let Some((inside, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return Some((IpAddr::V6(inside.parse().ok()?), rest));
    }
    let (v4, rest) = split(|c| !c.is_ascii_digit() && c != '.');
    if let Ok(address) = v4.parse::<Ipv4Addr>() {
        return Some((IpAddr::V4(address), rest));
    }
    let (v6, rest) = split(|c| !c.is_ascii_hexdigit() && !matches!(c, ':' | '.'));
    Some((IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?), rest))
}

/// A port that is one, and what follows.
fn take_port(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let port = digits.parse().ok().filter(|port| *port != 0)?;
    Some((port, rest))
}
