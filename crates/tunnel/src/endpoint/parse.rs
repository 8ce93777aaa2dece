//! Interface `options` to [`Endpoint`]: one row per option.

use std::net::{IpAddr, Ipv6Addr};

use flow::TunnelProtocol;
use packet::wire::erspan::{HWID_MAX, INDEX_MAX};
use packet::wire::srv6::SEGMENTS_MAX;

use super::{
    Carries, Endpoint, ErspanSettings, Extensions, FlowLabel, InKey, Key, Kind, Layers, Local,
    Numbering, OptionError, OutKey, Remote, Setting, Tos, Ttl,
};

/// Applies one option's value; the error says what would be right.
type Apply = fn(&mut Endpoint, &str) -> Result<(), &'static str>;

/// In order of application: `key` first, so that `in_key` and `out_key` override it.
const TABLE: &[(&str, Apply)] = &[
    ("remote_ip", |e, v| set(&mut e.remote, remote(v))),
    ("local_ip", |e, v| set(&mut e.local, local(v))),
    ("key", |e, v| {
        set(&mut e.in_key, in_key(e.kind, v))?;
        set(&mut e.out_key, out_key(e.kind, v))
    }),
    ("in_key", |e, v| set(&mut e.in_key, in_key(e.kind, v))),
    ("out_key", |e, v| set(&mut e.out_key, out_key(e.kind, v))),
    ("dst_port", |e, v| if e.dst_port == 0 { Ok(()) } else { set(&mut e.dst_port, port(v)) }),
    ("tos", |e, v| set(&mut e.tos, tos(v))),
    ("ttl", |e, v| set(&mut e.ttl, ttl(v))),
    ("df_default", |e, v| set(&mut e.df, boolean(v))),
    ("csum", |e, v| set(&mut e.csum, boolean(v).map(Some))),
    ("egress_pkt_mark", |e, v| set(&mut e.egress_pkt_mark, mark(v))),
    ("pmtud", |e, v| set(&mut e.sizes.answer, boolean(v))),
    ("tcp_mss_clamp", |e, v| set(&mut e.sizes.clamp, boolean(v))),
    ("exts", |e, v| of(e, TunnelProtocol::Vxlan, |e| set(&mut e.exts, extensions(v)))),
    ("packet_type", |e, v| set(&mut e.carries, carries(v))),
    ("seq", |e, v| of(e, TunnelProtocol::Gre, |e| set(&mut e.numbering, numbering(v)))),
    ("erspan_ver", |e, v| {
        of(e, TunnelProtocol::Erspan, |e| {
            let range = "1, 2, or \"flow\"";
            e.erspan.version = setting(v, 1, 2).ok_or(range)?;
            if e.erspan.version == Setting::Flow {
                let flow = Setting::Flow;
                let version = Setting::Flow;
                e.erspan =
                    ErspanSettings { version, index: Setting::Flow, direction: flow, hwid: flow };
            }
            Ok(())
        })
    }),
    ("erspan_idx", |e, v| {
        let range = "a number from 0 to 1048575 (0xfffff), or \"flow\"";
        of(e, TunnelProtocol::Erspan, |e| {
            set(&mut e.erspan.index, setting(v, 0, INDEX_MAX).ok_or(range))
        })
    }),
    ("erspan_dir", |e, v| {
        let range = "0 (in), 1 (out), or \"flow\"";
        of(e, TunnelProtocol::Erspan, |e| {
            set(&mut e.erspan.direction, setting(v, 0, 1).ok_or(range))
        })
    }),
    ("erspan_hwid", |e, v| {
        let range = "a number from 0 to 63 (0x3f), or \"flow\"";
        of(e, TunnelProtocol::Erspan, |e| {
            set(&mut e.erspan.hwid, setting(v, 0, HWID_MAX).ok_or(range))
        })
    }),
    ("srv6_segs", |e, v| of(e, TunnelProtocol::Srv6, |e| set(&mut e.segments, segments(v)))),
    ("srv6_flowlabel", |e, v| {
        of(e, TunnelProtocol::Srv6, |e| set(&mut e.flow_label, flow_label(v)))
    }),
];

/// Applies what means something for one protocol only.
fn of(
    e: &mut Endpoint,
    protocol: TunnelProtocol,
    apply: impl FnOnce(&mut Endpoint) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    if e.kind.protocol() == protocol { apply(e) } else { Ok(()) }
}

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
    let fits = match e.carries {
        Carries::Ethernet => e.layers() != Layers::L3,
        Carries::Network => e.layers() != Layers::L2,
        Carries::Any => true,
    };
    if !fits {
        errors.push(OptionError::CannotCarry(e.kind, e.carries));
    }
    if e.kind.protocol() == TunnelProtocol::Srv6 {
        check_segments(e, errors);
    }
}

fn check_segments(e: &Endpoint, errors: &mut Vec<OptionError>) {
    let is_v4 = |ip: &IpAddr| ip.is_ipv4();
    let local = matches!(&e.local, Local::Address(ip) if is_v4(ip));
    match (&e.remote, e.segments.first()) {
        (Remote::Address(ip), _) if is_v4(ip) => errors.push(OptionError::OnlyIpv6(e.kind)),
        _ if local => errors.push(OptionError::OnlyIpv6(e.kind)),
        (Remote::Address(ip), Some(first)) if ip != first => {
            errors.push(OptionError::FirstSegment(*ip));
        }
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

fn key(kind: Kind, v: &str) -> Result<Key, &'static str> {
    let expected = match kind.key_max() {
        u32::MAX => "a number from 0 to 4294967295, or \"flow\"",
        0x3ff => "a number from 0 to 1023, or \"flow\"",
        0 => "nothing, for it has no keys",
        _ => "a number from 0 to 16777215, or \"flow\"",
    };
    number(v).and_then(|n| Key::new(kind, n)).ok_or(expected)
}

fn in_key(kind: Kind, v: &str) -> Result<InKey, &'static str> {
    match v {
        "flow" => Ok(InKey::Flow),
        _ => key(kind, v).map(InKey::Exact),
    }
}

fn out_key(kind: Kind, v: &str) -> Result<OutKey, &'static str> {
    match v {
        "flow" => Ok(OutKey::Flow),
        _ => key(kind, v).map(OutKey::Exact),
    }
}

/// A number within a range, or `flow`.
fn setting<T: Copy + PartialOrd + TryFrom<u64>>(v: &str, min: T, max: T) -> Option<Setting<T>> {
    if v == "flow" {
        return Some(Setting::Flow);
    }
    let n = number(v).and_then(|n| T::try_from(n).ok())?;
    (min <= n && n <= max).then_some(Setting::Value(n))
}

fn extensions(v: &str) -> Result<Extensions, &'static str> {
    let mut exts = Extensions::default();
    for word in v.split(',').map(str::trim) {
        match word {
            "gbp" => exts.gbp = true,
            "gpe" => exts.gpe = true,
            "" => {}
            _ => return Err("gbp or gpe"),
        }
    }
    if exts.gbp && exts.gpe {
        Err("gbp or gpe, but not both: they share bits of the header")
    } else {
        Ok(exts)
    }
}

fn carries(v: &str) -> Result<Carries, &'static str> {
    [Carries::Ethernet, Carries::Network, Carries::Any]
        .into_iter()
        .find(|carries| carries.name() == v)
        .ok_or("legacy_l2, legacy_l3 or ptap")
}

fn numbering(v: &str) -> Result<Numbering, &'static str> {
    Ok(if boolean(v)? { Numbering::counting() } else { Numbering::default() })
}

fn segments(v: &str) -> Result<Vec<Ipv6Addr>, &'static str> {
    let expected = "one to six IPv6 addresses of hosts, separated by commas";
    let one = |s: &str| match unicast(s.trim()) {
        Some(IpAddr::V6(ip)) => Some(ip),
        _ => None,
    };
    let list: Option<Vec<_>> = v.split(',').map(one).collect();
    list.filter(|list| list.len() <= SEGMENTS_MAX).ok_or(expected)
}

fn flow_label(v: &str) -> Result<FlowLabel, &'static str> {
    match v {
        "copy" => Ok(FlowLabel::Copy),
        "zero" => Ok(FlowLabel::Zero),
        "compute" => Ok(FlowLabel::Compute),
        _ => Err("copy, zero or compute"),
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
        _ if v.eq_ignore_ascii_case("true") => Ok(true),
        _ if v.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("true or false"),
    }
}

fn mark(v: &str) -> Result<u32, &'static str> {
    number(v).and_then(|n| u32::try_from(n).ok()).ok_or("a number of 32 bits")
}
