//! The `tunnel(..)` attribute.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::field::{HexText, parse_number};
use super::geneve;
use super::key::List;
use super::special::{FlagNames, parse_flags, write_flags, write_signed};
use crate::key::{FlowKey, Mask, TunnelKey, erspan_bits, tunnel_flag};
use crate::options::OptionMask;

const FLAGS: FlagNames = &["df", "csum", "key", "oam"];
const ALL_FLAGS: u8 = tunnel_flag::DF | tunnel_flag::CSUM | tunnel_flag::KEY | tunnel_flag::OAM;

/// Whether the attribute appears: the packet came through a tunnel, and somebody looks.
pub(super) fn is_shown(key: &FlowKey, mask: &Mask, verbose: bool) -> bool {
    key.tunnel.is_set() && (verbose || mask.0.tunnel != TunnelKey::default())
}

/// Writes the attribute of a flow. A field that is zero in the key is left out, as the reference has no such attribute then;
/// the TTL is always there.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    k: &TunnelKey,
    m: &TunnelKey,
    (options, looked): (&[u8], &OptionMask),
    verbose: bool,
) -> fmt::Result {
    f.write_str("tunnel(")?;
    let mut list = List { f: &mut *f, first: true };
    let shown = |there: bool, of: u128| there && (verbose || of != 0);
    let has_id = k.flags & tunnel_flag::KEY != 0 || k.id != 0;
    let hex = |f: &mut fmt::Formatter<'_>, name, value: u64, of: u64, full: u64| {
        write!(f, "{name}={}", HexText(value.into()))?;
        if of == full { Ok(()) } else { write!(f, "/{}", HexText(of.into())) }
    };
    let dec = |f: &mut fmt::Formatter<'_>, name, value: u16, of: u16, full: u16| {
        write!(f, "{name}={value}")?;
        if of == full { Ok(()) } else { write!(f, "/{}", HexText(of.into())) }
    };
    let id = |f: &mut fmt::Formatter<'_>| {
        // The identifier is written with its prefix even when it is 0.
        write!(f, "tun_id={:#x}", k.id)?;
        if m.id == u64::MAX { Ok(()) } else { write!(f, "/{:#x}", m.id) }
    };
    list.item_if(shown(has_id, m.id.into()), id)?;
    for (name, value, of) in [("src", k.ip_src, m.ip_src), ("dst", k.ip_dst, m.ip_dst)] {
        list.item_if(shown(value != 0, of.into()), |f| {
            write!(f, "{name}={}", Ipv4Addr::from_bits(value))?;
            if of == u32::MAX { Ok(()) } else { write!(f, "/{}", Ipv4Addr::from_bits(of)) }
        })?;
    }
    for (name, value, of) in
        [("ipv6_src", k.ipv6_src, m.ipv6_src), ("ipv6_dst", k.ipv6_dst, m.ipv6_dst)]
    {
        list.item_if(shown(value != [0; 16], u128::from_be_bytes(of)), |f| {
            write!(f, "{name}={}", Ipv6Addr::from(value))?;
            if of == [0xff; 16] { Ok(()) } else { write!(f, "/{}", Ipv6Addr::from(of)) }
        })?;
    }
    list.item_if(shown(k.tos != 0, m.tos.into()), |f| {
        hex(f, "tos", k.tos.into(), m.tos.into(), 0xff)
    })?;
    list.item_if(shown(true, m.ttl.into()), |f| dec(f, "ttl", k.ttl.into(), m.ttl.into(), 0xff))?;
    list.item_if(shown(k.tp_src != 0, m.tp_src.into()), |f| {
        dec(f, "tp_src", k.tp_src, m.tp_src, 0xffff)
    })?;
    list.item_if(shown(k.tp_dst != 0, m.tp_dst.into()), |f| {
        dec(f, "tp_dst", k.tp_dst, m.tp_dst, 0xffff)
    })?;
    let gbp = (k.gbp_id != 0 || k.gbp_flags != 0) && (verbose || m.gbp_id != 0 || m.gbp_flags != 0);
    list.item_if(gbp, |f| {
        f.write_str("vxlan(gbp(")?;
        dec(f, "id", k.gbp_id, m.gbp_id, 0xffff)?;
        hex(f, ",flags", k.gbp_flags.into(), m.gbp_flags.into(), 0xff)?;
        f.write_str("))")
    })?;
    list.item_if(m.options != 0 || k.options != 0 && verbose, |f| {
        f.write_str("geneve(")?;
        if m.options != 0 && looked.is_empty() {
            geneve::write_options(f, options)?;
        } else if k.options != 0 {
            geneve::write_looked(f, options, looked, verbose)?;
        }
        f.write_str(")")
    })?;
    list.item_if(k.erspan != 0 && (verbose || m.erspan != 0), |f| write_erspan(f, k, m, verbose))?;
    let gtpu = k.gtpu_msgtype != 0 && (verbose || m.gtpu_flags != 0 || m.gtpu_msgtype != 0);
    list.item_if(gtpu, |f| {
        f.write_str("gtpu(")?;
        let mut list = List { f, first: true };
        list.item_if(verbose || m.gtpu_flags != 0, |f| {
            hex(f, "flags", k.gtpu_flags.into(), m.gtpu_flags.into(), 0xff)
        })?;
        list.item_if(verbose || m.gtpu_msgtype != 0, |f| {
            dec(f, "msgtype", k.gtpu_msgtype.into(), m.gtpu_msgtype.into(), 0xff)
        })?;
        list.f.write_str(")")
    })?;
    let flags = m.flags & ALL_FLAGS;
    list.item_if(verbose || flags != 0, |f| {
        f.write_str("flags(")?;
        if flags == ALL_FLAGS {
            write_flags(f, FLAGS, (k.flags & ALL_FLAGS).into())?;
        } else {
            write_signed(f, FLAGS, k.flags.into(), flags.into())?;
        }
        f.write_str(")")
    })?;
    f.write_str(")")
}

/// The fields of ERSPAN by name, in the order in which they are written.
const ERSPAN: [(&str, (u32, u32)); 4] = [
    ("ver", erspan_bits::VERSION),
    ("idx", erspan_bits::INDEX),
    ("dir", erspan_bits::DIRECTION),
    ("hwid", erspan_bits::HWID),
];

/// `erspan(ver=1,idx=0x3)`: what the version has.
fn write_erspan(
    f: &mut fmt::Formatter<'_>,
    k: &TunnelKey,
    m: &TunnelKey,
    verbose: bool,
) -> fmt::Result {
    f.write_str("erspan(")?;
    let mut list = List { f, first: true };
    let version = k.erspan(erspan_bits::VERSION);
    for (name, field) in ERSPAN {
        let (value, of, full) = (k.erspan(field), m.erspan(field), (1 << field.1) - 1);
        let has = match name {
            "ver" => true,
            "idx" => version == 1,
            _ => version == 2,
        };
        list.item_if(has && (verbose || of != 0), |f| {
            match name {
                "ver" | "dir" => write!(f, "{name}={value}")?,
                _ => write!(f, "{name}={}", HexText(value.into()))?,
            }
            if of == full { Ok(()) } else { write!(f, "/{}", HexText(of.into())) }
        })?;
    }
    list.f.write_str(")")
}

/// Writes the attribute of a `set(tunnel(..))` action, which always replaces all of it.
pub(super) fn write_set(f: &mut fmt::Formatter<'_>, k: &TunnelKey) -> fmt::Result {
    let mut exact = Mask::exact();
    // Options are in the header that is pushed.
    exact.0.tunnel.options = 0;
    write(f, k, &exact.0.tunnel, (&[], OptionMask::none()), false)
}

/// Splits at commas outside of parentheses.
fn arguments(args: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0u32, 0, vec![]);
    for (i, c) in args.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&args[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&args[start..]);
    out.into_iter().map(str::trim).filter(|a| !a.is_empty()).collect()
}

/// Reads the arguments of `tunnel(..)`. Of Geneve options it is only said that there are some.
pub(super) fn parse(args: &str, k: &mut TunnelKey, m: &mut TunnelKey) -> Option<()> {
    for argument in arguments(args) {
        if let Some(inner) = argument.strip_prefix("flags(").and_then(|a| a.strip_suffix(')')) {
            let (value, of) = parse_flags(inner, FLAGS, ALL_FLAGS.into())?;
            (k.flags, m.flags) = (u8::try_from(value).ok()?, u8::try_from(of).ok()?);
            continue;
        }
        if let Some(inner) = argument.strip_prefix("erspan(").and_then(|a| a.strip_suffix(')')) {
            for (name, text) in arguments(inner).into_iter().filter_map(|a| a.split_once('=')) {
                let (_, field) = ERSPAN.into_iter().find(|(known, _)| *known == name)?;
                let (value, of) = number(text)?;
                k.set_erspan(field, value);
                m.set_erspan(field, of);
            }
            continue;
        }
        if let Some(inner) = argument.strip_prefix("geneve(").and_then(|a| a.strip_suffix(')')) {
            let (options, looked) = geneve::parse_looked(inner)?;
            let counts = !looked.is_empty() || options.is_empty();
            (k.options, m.options) =
                (u64::from(!options.is_empty()), if counts { u64::MAX } else { 0 });
            continue;
        }
        if let Some(inner) = argument.strip_prefix("gtpu(").and_then(|a| a.strip_suffix(')')) {
            for (name, text) in arguments(inner).into_iter().filter_map(|a| a.split_once('=')) {
                match name {
                    "flags" => (k.gtpu_flags, m.gtpu_flags) = number(text)?,
                    "msgtype" => (k.gtpu_msgtype, m.gtpu_msgtype) = number(text)?,
                    _ => return None,
                }
            }
            continue;
        }
        if let Some(inner) = argument.strip_prefix("vxlan(gbp(").and_then(|a| a.strip_suffix("))"))
        {
            for (name, text) in arguments(inner).into_iter().filter_map(|a| a.split_once('=')) {
                match name {
                    "id" => (k.gbp_id, m.gbp_id) = number(text)?,
                    "flags" => (k.gbp_flags, m.gbp_flags) = number(text)?,
                    _ => return None,
                }
            }
            continue;
        }
        let (name, text) = argument.split_once('=')?;
        match name {
            "tun_id" => (k.id, m.id) = number(text)?,
            "src" => (k.ip_src, m.ip_src) = ipv4(text)?,
            "dst" => (k.ip_dst, m.ip_dst) = ipv4(text)?,
            "ipv6_src" => (k.ipv6_src, m.ipv6_src) = ipv6(text)?,
            "ipv6_dst" => (k.ipv6_dst, m.ipv6_dst) = ipv6(text)?,
            "tos" => (k.tos, m.tos) = number(text)?,
            "ttl" => (k.ttl, m.ttl) = number(text)?,
            "tp_src" => (k.tp_src, m.tp_src) = number(text)?,
            "tp_dst" => (k.tp_dst, m.tp_dst) = number(text)?,
            _ => return None,
        }
    }
    Some(())
}

/// A number and its mask, all ones when there is none.
fn number<T: TryFrom<u128> + Copy + std::ops::Not<Output = T> + Default>(
    text: &str,
) -> Option<(T, T)> {
    let one = |t: &str| T::try_from(parse_number(t)?).ok();
    match text.split_once('/') {
        Some((value, mask)) => Some((one(value)?, one(mask)?)),
        None => Some((one(text)?, !T::default())),
    }
}

fn ipv4(text: &str) -> Option<(u32, u32)> {
    let one = |t: &str| t.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
    match text.split_once('/') {
        Some((value, mask)) => Some((one(value)?, one(mask)?)),
        None => Some((one(text)?, u32::MAX)),
    }
}

fn ipv6(text: &str) -> Option<([u8; 16], [u8; 16])> {
    let one = |t: &str| t.parse::<Ipv6Addr>().ok().map(|a| a.octets());
    match text.split_once('/') {
        Some((value, mask)) => Some((one(value)?, one(mask)?)),
        None => Some((one(text)?, [0xff; 16])),
    }
}
