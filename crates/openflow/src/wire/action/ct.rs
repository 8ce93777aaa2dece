//! `ct` and what is in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::oxm;
use super::super::{Reader, Writer};
use super::nicira::{begin, end, pack, unpack};
use super::{Context, Item, Place, read_list, read_name, write_list};
use crate::action::ct::{Ct, Nat, Side, Zone};
use crate::action::{Action, Subfield};
use crate::error::{Code, Result};

const COMMIT: u16 = 1;
const FORCE: u16 = 2;
/// The number of a table when there is none.
const NO_TABLE: u8 = 255;

pub(super) fn read(mut item: Item<'_>) -> Result<Action> {
    item.at_least(24)?;
    let bad = Code::OFPBAC_BAD_ARGUMENT;
    let flags = item.body.u16()?;
    let name = item.body;
    let source = item.body.u32()?;
    let number = item.body.u16()?;
    let zone = if source == 0 { Zone::Number(number) } else { zone(item, name, number)? };
    let table = Some(item.body.u8()?).filter(|table| *table != NO_TABLE);
    item.body.skip(3)?;
    let alg = item.body.u16()?;
    if flags & FORCE != 0 && flags & COMMIT == 0 {
        return Err(item.error(bad));
    }
    let place = Place { depth: item.place.depth + 1, in_ct: true, ..item.place };
    let inner = read_list(item.body, place)?;
    let exec = inner.actions;
    let settable = |action: &Action| {
        matches!(action, Action::SetField { .. } | Action::Load { .. } | Action::Move { .. })
    };
    if inner.nats.len() > 1 || inner.metadata.is_some() || !exec.iter().all(settable) {
        return Err(item.error(bad));
    }
    let commit = flags & COMMIT != 0;
    let force = flags & FORCE != 0;
    let nat = inner.nats.into_iter().next();
    let translates = nat.is_some_and(|nat| nat.side.is_some());
    if !commit && (!exec.is_empty() || translates) {
        return Err(item.error(bad));
    }
    Ok(Action::Ct(Box::new(Ct { commit, force, zone, table, alg, nat, exec })))
}

fn zone(item: Item<'_>, mut name: Reader<'_>, ofs_nbits: u16) -> Result<Zone> {
    let field = read_name(&mut name)?;
    let (from, bits) = unpack(ofs_nbits);
    let part = item.source(Subfield { field, from, bits })?;
    if part.bits != 16 {
        return Err(item.error(Code::OFPBAC_BAD_SET_LEN));
    }
    Ok(Zone::Field(part))
}

pub(super) fn write(w: &mut Writer, ct: &Ct, context: Context) {
    let start = begin(w, 35);
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    w.u16(flag(ct.commit, COMMIT) | flag(ct.force, FORCE));
    match &ct.zone {
        Zone::Number(zone) => {
            w.u32(0);
            w.u16(*zone);
        }
        Zone::Field(part) => {
            oxm::write_name(w, part.field, context.version);
            w.u16(pack(part));
        }
    }
    w.u8(ct.table.unwrap_or(NO_TABLE));
    w.zeros(3);
    w.u16(ct.alg);
    if let Some(nat) = &ct.nat {
        write_nat(w, nat);
    }
    write_list(w, &ct.exec, context);
    end(w, start);
}

mod nat_flag {
    pub(super) const SRC: u16 = 1;
    pub(super) const DST: u16 = 1 << 1;
    pub(super) const PERSISTENT: u16 = 1 << 2;
    pub(super) const HASH: u16 = 1 << 3;
    pub(super) const RANDOM: u16 = 1 << 4;
    pub(super) const ALL: u16 = 0x1f;
}

/// Which ends of ranges follow.
mod range {
    pub(super) const IPV4_MIN: u16 = 1;
    pub(super) const IPV4_MAX: u16 = 1 << 1;
    pub(super) const IPV6_MIN: u16 = 1 << 2;
    pub(super) const IPV6_MAX: u16 = 1 << 3;
    pub(super) const PORT_MIN: u16 = 1 << 4;
    pub(super) const PORT_MAX: u16 = 1 << 5;
    pub(super) const ALL: u16 = 0x3f;
}

/// Reads a translation, which stands in `ct` alone.
pub(super) fn read_nat(mut item: Item<'_>) -> Result<Nat> {
    if !item.place.in_ct {
        return Err(item.error(Code::OFPBAC_BAD_SET_ARGUMENT));
    }
    let error = item.error(Code::OFPBAC_BAD_ARGUMENT);
    let check = |ok: bool| if ok { Ok(()) } else { Err(error.clone()) };
    let r = &mut item.body;
    r.zeros(2, Code::OFPBAC_BAD_ARGUMENT)?;
    let (flags, present) = (r.u16()?, r.u16()?);
    let has = |bit: u16| present & bit != 0;
    let both = |a: u16, b: u16| flags & a != 0 && flags & b != 0;
    check(flags & !nat_flag::ALL == 0 && present & !range::ALL == 0)?;
    check(!both(nat_flag::SRC, nat_flag::DST) && !both(nat_flag::HASH, nat_flag::RANDOM))?;
    let side = match flags & (nat_flag::SRC | nat_flag::DST) {
        0 => None,
        nat_flag::SRC => Some(Side::Src),
        _ => Some(Side::Dst),
    };
    check(side.is_some() || flags == 0 && present == 0)?;
    // Highest ends need lowest ones, and addresses are of one family.
    check(has(range::IPV4_MIN) || !has(range::IPV4_MAX))?;
    check(has(range::IPV6_MIN) || !has(range::IPV6_MAX))?;
    check(has(range::PORT_MIN) || !has(range::PORT_MAX))?;
    check(!(has(range::IPV4_MIN) && has(range::IPV6_MIN)))?;
    let mut addresses = None;
    let short = |_| error.clone();
    if has(range::IPV4_MIN) {
        let mut next = || r.u32().map(|n| IpAddr::V4(Ipv4Addr::from_bits(n))).map_err(short);
        let first = next()?;
        addresses = Some((first, if has(range::IPV4_MAX) { Some(next()?) } else { None }));
    } else if has(range::IPV6_MIN) {
        let mut next = || r.array().map(|b: [u8; 16]| IpAddr::V6(Ipv6Addr::from(b))).map_err(short);
        let first = next()?;
        addresses = Some((first, if has(range::IPV6_MAX) { Some(next()?) } else { None }));
    }
    if let Some((first, Some(last))) = addresses {
        check(first <= last)?;
    }
    let mut ports = None;
    if has(range::PORT_MIN) {
        let first = r.u16().map_err(short)?;
        let last = if has(range::PORT_MAX) { Some(r.u16().map_err(short)?) } else { None };
        check(first != 0 && last.is_none_or(|last| first <= last))?;
        ports = Some((first, last));
    }
    Ok(Nat {
        side,
        persistent: flags & nat_flag::PERSISTENT != 0,
        hash: flags & nat_flag::HASH != 0,
        random: flags & nat_flag::RANDOM != 0,
        addresses,
        ports,
    })
}

fn write_nat(w: &mut Writer, nat: &Nat) {
    let start = begin(w, 36);
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    w.zeros(2);
    w.u16(
        flag(nat.side == Some(Side::Src), nat_flag::SRC)
            | flag(nat.side == Some(Side::Dst), nat_flag::DST)
            | flag(nat.persistent, nat_flag::PERSISTENT)
            | flag(nat.hash, nat_flag::HASH)
            | flag(nat.random, nat_flag::RANDOM),
    );
    let (v4, v6, last) = match nat.addresses {
        Some((IpAddr::V4(_), last)) => (true, false, last.is_some()),
        Some((IpAddr::V6(_), last)) => (false, true, last.is_some()),
        None => (false, false, false),
    };
    w.u16(
        flag(v4, range::IPV4_MIN)
            | flag(v4 && last, range::IPV4_MAX)
            | flag(v6, range::IPV6_MIN)
            | flag(v6 && last, range::IPV6_MAX)
            | flag(nat.ports.is_some(), range::PORT_MIN)
            | flag(nat.ports.is_some_and(|(_, last)| last.is_some()), range::PORT_MAX),
    );
    for address in nat.addresses.into_iter().flat_map(|(first, last)| [Some(first), last]).flatten()
    {
        match address {
            IpAddr::V4(address) => w.bytes(&address.octets()),
            IpAddr::V6(address) => w.bytes(&address.octets()),
        }
    }
    for port in nat.ports.into_iter().flat_map(|(first, last)| [Some(first), last]).flatten() {
        w.u16(port);
    }
    end(w, start);
}
