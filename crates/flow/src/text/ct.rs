//! `ct(..)` in text.

use std::fmt::{self, Display};
use std::net::IpAddr;

use super::field::{HexText, parse_number};
use super::key::List;
use super::parse::{Item, items};
use crate::ct::{Commit, Ct, Nat, NatChoice, NatRange, NatSide};

/// The longest name of a helper or timeout policy.
const NAME_MAX: usize = 64;

pub(super) fn write(f: &mut fmt::Formatter<'_>, ct: &Ct) -> fmt::Result {
    if *ct == Ct::default() {
        return f.write_str("ct");
    }
    f.write_str("ct(")?;
    let mut list = List { f: &mut *f, first: true };
    list.item_if(ct.commit == Commit::Yes, |f| f.write_str("commit"))?;
    list.item_if(ct.commit == Commit::Force, |f| f.write_str("force_commit"))?;
    list.item_if(ct.zone != 0, |f| write!(f, "zone={}", ct.zone))?;
    if let Some((value, mask)) = ct.mark {
        list.item_if(true, |f| write!(f, "mark={}/{}", hex(value), hex(mask)))?;
    }
    if let Some((value, mask)) = ct.label {
        list.item_if(true, |f| write!(f, "label={}/{}", HexText(value), HexText(mask)))?;
    }
    if let Some(name) = &ct.helper {
        list.item_if(true, |f| write!(f, "helper={name}"))?;
    }
    if let Some(name) = &ct.timeout {
        list.item_if(true, |f| write!(f, "timeout={name}"))?;
    }
    match &ct.nat {
        None => {}
        Some(Nat::Existing) => list.item_if(true, |f| f.write_str("nat"))?,
        Some(Nat::New(range)) => list.item_if(true, |f| write_nat(f, range))?,
    }
    f.write_str(")")
}

fn hex(n: u32) -> HexText {
    HexText(n.into())
}

fn write_nat(f: &mut fmt::Formatter<'_>, nat: &NatRange) -> fmt::Result {
    f.write_str(match nat.side {
        NatSide::Source => "nat(src",
        NatSide::Destination => "nat(dst",
    })?;
    let range = |f: &mut fmt::Formatter<'_>, first: &dyn Display, last: Option<&dyn Display>| {
        write!(f, "{first}")?;
        last.map_or(Ok(()), |last| write!(f, "-{last}"))
    };
    if nat.addresses.is_some() || nat.ports.is_some() {
        f.write_str("=")?;
    }
    if let Some((first, last)) = nat.addresses {
        let bracketed = first.is_ipv6() && nat.ports.is_some();
        let (first, last) = (AddressText(first, bracketed), AddressText(last, bracketed));
        range(f, &first, (first != last).then_some(&last as &dyn Display))?;
    }
    if let Some((first, last)) = nat.ports {
        f.write_str(":")?;
        range(f, &first, (first != last).then_some(&last as &dyn Display))?;
    }
    if nat.persistent {
        f.write_str(",persistent")?;
    }
    f.write_str(match nat.choice {
        None => ")",
        Some(NatChoice::Hash) => ",hash)",
        Some(NatChoice::Random) => ",random)",
    })
}

/// An address, in brackets where a port follows a colon.
#[derive(PartialEq)]
struct AddressText(IpAddr, bool);

impl Display for AddressText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 { write!(f, "[{}]", self.0) } else { write!(f, "{}", self.0) }
    }
}

/// Reads the arguments of `ct(..)`.
pub(super) fn parse(args: &str) -> Option<Ct> {
    let mut ct = Ct::default();
    for item in items(args).ok()? {
        match (item.name, item.args) {
            ("commit", None) if ct.commit == Commit::No => ct.commit = Commit::Yes,
            ("force_commit", None) if ct.commit == Commit::No => ct.commit = Commit::Force,
            ("nat", args) => ct.nat = Some(parse_nat(args.unwrap_or_default())?),
            (text, None) => parse_setting(&mut ct, text)?,
            _ => return None,
        }
    }
    Some(ct)
}

fn parse_setting(ct: &mut Ct, text: &str) -> Option<()> {
    let (name, value) = text.split_once('=')?;
    let (number, mask) = match value.split_once('/') {
        Some((number, mask)) => (number, Some(mask)),
        None => (value, None),
    };
    let word = |text: &str| u32::try_from(parse_number(text)?).ok();
    let called = |text: &str| (!text.is_empty() && text.len() < NAME_MAX).then(|| text.to_owned());
    match name {
        "zone" => ct.zone = u16::try_from(parse_number(value)?).ok()?,
        "mark" => ct.mark = Some((word(number)?, mask.map_or(Some(u32::MAX), word)?)),
        "label" => {
            let mask = mask.map_or(Some(u128::MAX), parse_number)?;
            ct.label = Some((parse_number(number)?, mask));
        }
        "helper" => ct.helper = Some(called(value)?),
        "timeout" => ct.timeout = Some(called(value)?),
        _ => return None,
    }
    Some(())
}

fn parse_nat(args: &str) -> Option<Nat> {
    let list = items(args).ok()?;
    let Some((Item { name, args: None, .. }, flags)) = list.split_first() else {
        return list.is_empty().then_some(Nat::Existing);
    };
    let (side, range) = name.split_once('=').map_or((*name, None), |(side, r)| (side, Some(r)));
    let side = match side {
        "src" => NatSide::Source,
        "dst" => NatSide::Destination,
        _ => return None,
    };
    let mut nat = NatRange { side, addresses: None, ports: None, persistent: false, choice: None };
    if let Some(range) = range {
        (nat.addresses, nat.ports) = parse_range(range)?;
    }
    for flag in flags {
        match (flag.name, flag.args) {
            ("persistent", None) => nat.persistent = true,
            ("hash", None) if nat.choice.is_none() => nat.choice = Some(NatChoice::Hash),
            ("random", None) if nat.choice.is_none() => nat.choice = Some(NatChoice::Random),
            _ => return None,
        }
    }
    Some(Nat::New(nat))
}

type Addresses = (IpAddr, IpAddr);
type Ports = (u16, u16);

/// `10.0.0.1-10.0.0.2:1-2`, `fe80::1-fe80::2`, `[fe80::1]-[fe80::2]:1-2`, `:1-2`.
fn parse_range(text: &str) -> Option<(Option<Addresses>, Option<Ports>)> {
    let is_plain_v6 = !text.contains('[') && text.matches(':').count() > 1;
    let (addresses, ports) = match text.rsplit_once(':') {
        Some((addresses, ports)) if !is_plain_v6 && !ports.contains(']') => {
            (addresses, Some(ports))
        }
        _ => (text, None),
    };
    let pair = |text: &str| match text.split_once('-') {
        Some((first, last)) => (first.to_owned(), last.to_owned()),
        None => (text.to_owned(), text.to_owned()),
    };
    let address = |text: &str| {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse::<IpAddr>().ok()
    };
    let addresses = match addresses {
        "" => None,
        text => {
            let (first, last) = pair(text);
            let (first, last) = (address(&first)?, address(&last)?);
            Some((first, last)).filter(|(a, b)| a.is_ipv4() == b.is_ipv4() && a <= b).map(Some)?
        }
    };
    let ports = match ports {
        None => None,
        Some(text) => {
            let (first, last) = pair(text);
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            Some((first, last)).filter(|(a, b)| a <= b).map(Some)?
        }
    };
    Some((addresses, ports))
}
