//! `ct(..)` and the `nat(..)` in it.

use std::fmt;
use std::net::IpAddr;

use super::super::key_value::pairs;
use super::super::names::{Named, Names};
use super::super::number::parse;
use super::super::subfield::parse_subfield;
use super::Inner;
use super::parse::{Parsed, parse_at};
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
                let bad = || format!("invalid table {:?}", pair.value);
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
                    number => parse(number).filter(|n| *n != 0).ok_or_else(|| {
                        format!("invalid alg {number:?}: must be ftp, tftp or a port number")
                    })?,
                };
            }
            "nat" => ct.nat = Some(parse_nat(pair.value)?),
            "exec" => {
                let Parsed { instructions, protocols: usable } =
                    parse_at(pair.value, names, depth + 1, true)?;
                let settable = |a: &Action| {
                    matches!(a, Action::SetField { .. } | Action::Load { .. } | Action::Move { .. })
                };
                if let Some(other) = instructions.apply.iter().find(|a| !settable(a)) {
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
            return Err("may only specify one of \"src\" or \"dst\".".to_owned());
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
        return Err("\"nat\" flags allowed only with \"src\" or \"dst\"".to_owned());
    }
    if nat.hash && nat.random {
        return Err("Both \"hash\" and \"random\" are not allowed.".to_owned());
    }
    Ok(nat)
}

/// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, IPv6 addresses in brackets when ports follow.
fn parse_range(text: &str, nat: &mut Nat) -> Result<(), String> {
    let bad = || format!("{text}: invalid range of addresses or ports");
    let address = |text: &str| -> Result<IpAddr, String> {
        let text = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        text.parse().map_err(|_| bad())
    };
    // The last colon behind brackets, or the only one.
    let is_plain_v6 = !text.contains('[') && text.matches(':').count() > 1;
    let colon = match text.rfind(']') {
        Some(bracket) => text[bracket..].find(':').map(|i| bracket + i),
        None if is_plain_v6 => None,
        None => text.find(':'),
    };
    let (addresses, ports) = match colon {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    };
    if !addresses.is_empty() {
        let (first, last) = match addresses.split_once('-') {
            Some((first, last)) => (address(first)?, Some(address(last)?)),
            None => (address(addresses)?, None),
        };
        if last.is_some_and(|last| last.is_ipv4() != first.is_ipv4() || last < first) {
            return Err(bad());
        }
        nat.addresses = Some((first, last.filter(|last| *last != first)));
    }
    if let Some(ports) = ports {
        let port = |text: &str| parse::<u16>(text).filter(|p| *p != 0).ok_or_else(bad);
        let (first, last) = match ports.split_once('-') {
            Some((first, last)) => (port(first)?, Some(port(last)?)),
            None => (port(ports)?, None),
        };
        if last.is_some_and(|last| last < first) {
            return Err(bad());
        }
        nat.ports = Some((first, last.filter(|last| *last != first)));
    }
    Ok(())
}
