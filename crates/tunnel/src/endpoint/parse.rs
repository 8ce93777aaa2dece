//! Interface `options` to [`Endpoint`]: one row per option.

use std::net::IpAddr;

use super::{Endpoint, InKey, Kind, Local, OptionError, OutKey, Remote, Tos, Ttl, Vni};

/// Applies one option's value; the error says what would be right.
type Apply = fn(&mut Endpoint, &str) -> Result<(), &'static str>;

/// In order of application: `key` first, so that `in_key` and `out_key` override it.
const TABLE: &[(&str, Apply)] = &[
    ("remote_ip", |e, v| set(&mut e.remote, remote(v))),
    ("local_ip", |e, v| set(&mut e.local, local(v))),
    ("key", |e, v| {
        set(&mut e.in_key, in_key(v))?;
        set(&mut e.out_key, out_key(v))
    }),
    ("in_key", |e, v| set(&mut e.in_key, in_key(v))),
    ("out_key", |e, v| set(&mut e.out_key, out_key(v))),
    ("dst_port", |e, v| set(&mut e.dst_port, port(v))),
    ("tos", |e, v| set(&mut e.tos, tos(v))),
    ("ttl", |e, v| set(&mut e.ttl, ttl(v))),
    ("df_default", |e, v| set(&mut e.df, boolean(v))),
    ("csum", |e, v| set(&mut e.csum, boolean(v).map(Some))),
    ("egress_pkt_mark", |e, v| set(&mut e.egress_pkt_mark, mark(v))),
    ("pmtud", |e, v| set(&mut e.sizes.answer, boolean(v))),
    ("tcp_mss_clamp", |e, v| set(&mut e.sizes.clamp, boolean(v))),
];

pub(super) fn endpoint<'a>(
    name: &str,
    kind: Kind,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Endpoint, Vec<OptionError>> {
    let given: Vec<_> = options.into_iter().collect();
    let get = |key| given.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let mut endpoint = Endpoint::new(name, kind, Remote::Flow);
    let mut errors = Vec::new();
    for (key, apply) in TABLE {
        if let Some(value) = get(*key)
            && let Err(expected) = apply(&mut endpoint, value)
        {
            errors.push(OptionError::Value { key, value: value.to_owned(), expected });
        }
    }
    check_together(&endpoint, &get, &mut errors);
    if errors.is_empty() { Ok(endpoint) } else { Err(errors) }
}

/// What no option can know alone.
fn check_together<'a>(
    e: &Endpoint,
    get: &impl Fn(&'static str) -> Option<&'a str>,
    errors: &mut Vec<OptionError>,
) {
    match get("remote_ip").map(|v| v.parse::<IpAddr>()) {
        None => errors.push(OptionError::NoRemote(e.kind)),
        Some(Ok(ip)) if ip.is_multicast() => errors.push(OptionError::MulticastRemote(ip)),
        _ => {}
    }
    match (e.local, e.remote) {
        (Local::Flow, Remote::Address(_)) => errors.push(OptionError::LocalFlow(e.kind)),
        (Local::Address(l), Remote::Address(r)) if l.is_ipv4() != r.is_ipv4() => {
            errors.push(OptionError::Families)
        }
        (Local::Address(l), Remote::Address(r)) if l == r => errors.push(OptionError::Value {
            key: "local_ip",
            value: l.to_string(),
            expected: "another address than remote_ip",
        }),
        _ => {}
    }
}

fn set<T>(field: &mut T, value: Result<T, &'static str>) -> Result<(), &'static str> {
    *field = value?;
    Ok(())
}

/// An address that one host can have.
fn unicast(v: &str) -> Option<IpAddr> {
    let ip: IpAddr = v.parse().ok()?;
    let broadcast = matches!(ip, IpAddr::V4(a) if a.is_broadcast());
    (!ip.is_multicast() && !ip.is_unspecified() && !broadcast).then_some(ip)
}

fn remote(v: &str) -> Result<Remote, &'static str> {
    match v {
        "flow" => Ok(Remote::Flow),
        // Groups have an error of their own.
        _ if v.parse().is_ok_and(|ip: IpAddr| ip.is_multicast()) => Ok(Remote::Flow),
        _ => unicast(v).map(Remote::Address).ok_or("a unicast IPv4 or IPv6 address, or \"flow\""),
    }
}

fn local(v: &str) -> Result<Local, &'static str> {
    match v {
        "flow" => Ok(Local::Flow),
        _ => unicast(v).map(Local::Address).ok_or("a unicast IPv4 or IPv6 address, or \"flow\""),
    }
}

/// A number as C's `strtoull(.., 0)` reads it, without sign: decimal, `0x` hexadecimal, `0` octal.
fn number(v: &str) -> Option<u64> {
    let (digits, radix) = match v.strip_prefix("0x").or_else(|| v.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if v.len() > 1 && v.starts_with('0') => (&v[1..], 8),
        None => (v, 10),
    };
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

const KEY: &str = "a number from 0 to 16777215, or \"flow\"";

fn in_key(v: &str) -> Result<InKey, &'static str> {
    match v {
        "flow" => Ok(InKey::Flow),
        _ => number(v).and_then(Vni::new).map(InKey::Exact).ok_or(KEY),
    }
}

fn out_key(v: &str) -> Result<OutKey, &'static str> {
    match v {
        "flow" => Ok(OutKey::Flow),
        _ => number(v).and_then(Vni::new).map(OutKey::Exact).ok_or(KEY),
    }
}

fn port(v: &str) -> Result<u16, &'static str> {
    number(v)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n != 0)
        .ok_or("a UDP port, 1 to 65535")
}

fn tos(v: &str) -> Result<Tos, &'static str> {
    match v {
        "inherit" => Ok(Tos::Inherit),
        _ => number(v)
            .and_then(|n| u8::try_from(n).ok())
            .filter(|n| n & crate::ecn::MASK == 0)
            .map(Tos::Value)
            .ok_or("a multiple of 4 from 0 to 252 (DSCP bits; ECN bits follow the packet), or \"inherit\""),
    }
}

fn ttl(v: &str) -> Result<Ttl, &'static str> {
    match v {
        "inherit" => Ok(Ttl::Inherit),
        _ => match number(v).and_then(|n| u8::try_from(n).ok()) {
            Some(0) => Ok(Ttl::Value(Ttl::DEFAULT)),
            Some(n) => Ok(Ttl::Value(n)),
            None => Err("a number from 0 (the default, 64) to 255, or \"inherit\""),
        },
    }
}

fn boolean(v: &str) -> Result<bool, &'static str> {
    match v {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false"),
    }
}

fn mark(v: &str) -> Result<u32, &'static str> {
    number(v).and_then(|n| u32::try_from(n).ok()).ok_or("a number of 32 bits")
}
