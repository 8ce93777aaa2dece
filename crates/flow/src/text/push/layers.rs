//! The tunnel headers within `tnl_push(..)`: one section per protocol.

use std::fmt;
use std::net::Ipv6Addr;

use packet::wire::Header;
use packet::wire::erspan::{Erspan, Version};
use packet::wire::ethernet::eth_type;
use packet::wire::geneve::GeneveHeader;
use packet::wire::gre::{Gre, flag};
use packet::wire::gtpu::GtpuHeader;
use packet::wire::ip_proto;
use packet::wire::srv6::Srv6Header;
use packet::wire::vxlan::{self, VxlanHeader};
use zerocopy::IntoBytes;

use super::{small, value};
use crate::push::{TnlPush, TunnelProtocol};
use crate::text::geneve;
use crate::text::parse::items;

/// What was read of a tunnel header.
pub(super) struct Layer {
    pub(super) protocol: TunnelProtocol,
    /// Whether what is inside has no Ethernet header.
    pub(super) bare: bool,
}

/// `tnl_push(header(type=..))`: the reference's port types.
pub(super) fn type_number(push: &TnlPush) -> u8 {
    let over_ipv6 = push.header.get(usize::from(push.l3)).is_some_and(|byte| byte >> 4 == 6);
    match (push.protocol, over_ipv6) {
        (TunnelProtocol::Gre, false) => 3,
        (TunnelProtocol::Vxlan, _) => 4,
        (TunnelProtocol::Geneve, _) => 5,
        (TunnelProtocol::Erspan, false) => 107,
        (TunnelProtocol::Erspan, true) => 108,
        (TunnelProtocol::Gre, true) => 109,
        (TunnelProtocol::Gtpu, _) => 110,
        (TunnelProtocol::Srv6, _) => 112,
    }
}

/// Writes the tunnel header that `bytes` begin with.
pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    protocol: TunnelProtocol,
    bytes: &[u8],
) -> fmt::Result {
    let written = match protocol {
        TunnelProtocol::Vxlan => write_vxlan(f, bytes),
        TunnelProtocol::Geneve => write_geneve(f, bytes),
        TunnelProtocol::Gre => write_gre(f, bytes),
        TunnelProtocol::Erspan => write_erspan(f, bytes),
        TunnelProtocol::Gtpu => write_gtpu(f, bytes),
        TunnelProtocol::Srv6 => write_srv6(f, bytes),
    };
    written.unwrap_or(Ok(()))
}

/// Reads the tunnel header among the parts of a `header(..)`, and appends its bytes.
pub(super) fn parse<'a>(
    part: &impl Fn(&str) -> Option<&'a str>,
    bytes: &mut Vec<u8>,
) -> Option<Layer> {
    let (protocol, bare) = if let Some(args) = part("vxlan") {
        (TunnelProtocol::Vxlan, parse_vxlan(args, bytes)?)
    } else if let Some(args) = part("geneve") {
        (TunnelProtocol::Geneve, parse_geneve(args, bytes)?)
    } else if let Some(args) = part("gre") {
        (TunnelProtocol::Gre, parse_gre(args, bytes)?)
    } else if let Some(args) = part("erspan") {
        (TunnelProtocol::Erspan, parse_erspan(args, bytes)?)
    } else if let Some(args) = part("gtpu") {
        (TunnelProtocol::Gtpu, parse_gtpu(args, bytes)?)
    } else {
        (TunnelProtocol::Srv6, parse_srv6(part("srv6")?, bytes)?)
    };
    Some(Layer { protocol, bare })
}

/// The GRE header that `bytes` begin with, if the protocol has one.
pub(super) fn gre_of(protocol: TunnelProtocol, bytes: &[u8]) -> Option<Gre> {
    matches!(protocol, TunnelProtocol::Gre | TunnelProtocol::Erspan)
        .then(|| Gre::parse(bytes))
        .flatten()
}

// -- VXLAN: `vxlan(flags=0x8000000,vni=0x7b)` --

fn write_vxlan(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> Option<fmt::Result> {
    let vxlan = VxlanHeader::view(bytes)?;
    Some(write!(f, ",vxlan(flags=0x{:x},vni=0x{:x})", vxlan.flags.get(), vxlan.vni()))
}

fn parse_vxlan(args: &str, bytes: &mut Vec<u8>) -> Option<bool> {
    let vni = small::<u32>(args, "vni").filter(|vni| *vni < 1 << 24)?;
    let flags = small::<u32>(args, "flags")?;
    let header = VxlanHeader { flags: flags.into(), ..VxlanHeader::new(vni) };
    bytes.extend(header.as_bytes());
    Some(flags & vxlan::FLAG_P != 0 && flags & 0xff != u32::from(vxlan::next::ETHERNET))
}

// -- Geneve: `geneve(crit,vni=0x7b,options({class=0xffff,type=0x80,len=4,0xa}))` --

fn write_geneve(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> Option<fmt::Result> {
    let (header, options) = GeneveHeader::parse(bytes)?;
    let oam = if header.is_oam() { "oam," } else { "" };
    let critical = if header.flags & GeneveHeader::HAS_CRITICAL != 0 { "crit," } else { "" };
    let start = write!(f, ",geneve({oam}{critical}vni=0x{:x}", header.vni());
    Some(start.and_then(|()| {
        if !options.is_empty() {
            f.write_str(",options(")?;
            geneve::write_options(f, options)?;
            f.write_str(")")?;
        }
        f.write_str(")")
    }))
}

fn parse_geneve(args: &str, bytes: &mut Vec<u8>) -> Option<bool> {
    let (mut options, mut oam, mut vni) = (vec![], false, None);
    for item in items(args).ok()? {
        match (item.name, item.args) {
            ("oam", None) => oam = true,
            ("crit", None) => {}
            ("options", Some(list)) => options = geneve::parse_options(list)?,
            (named, None) => {
                vni = Some(small::<u32>(named, "vni").filter(|vni| *vni < 1 << 24)?);
            }
            _ => return None,
        }
    }
    bytes.extend(GeneveHeader::new(vni?, oam, &options)?.as_bytes());
    bytes.extend(options);
    Some(false)
}

// -- GRE: `gre((flags=0x2000,proto=0x6558),key=0x1c8)` --

/// The optional words of a header, in their order.
const WORDS: [(u16, &str); 3] = [(flag::CSUM, "csum"), (flag::KEY, "key"), (flag::SEQ, "seq")];

fn write_gre(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> Option<fmt::Result> {
    let word = |i: usize| bytes.get(4 * i..)?.first_chunk::<4>().map(|w| u32::from_be_bytes(*w));
    let first = word(0)?;
    let (flags, proto) = ((first >> 16) as u16, first & 0xffff);
    let mut result = write!(f, ",gre((flags=0x{flags:x},proto=0x{proto:x})");
    let there = WORDS.iter().filter(|(bit, _)| flags & bit != 0);
    for (i, (bit, name)) in there.enumerate() {
        let value = word(1 + i)?;
        let value = if *bit == flag::CSUM { value >> 16 } else { value };
        result = result.and_then(|()| write!(f, ",{name}=0x{value:x}"));
    }
    Some(result.and_then(|()| f.write_str(")")))
}

fn parse_gre(args: &str, bytes: &mut Vec<u8>) -> Option<bool> {
    let (first, rest) = args.strip_prefix('(')?.split_once(')')?;
    let (flags, proto) = (small::<u16>(first, "flags")?, small::<u16>(first, "proto")?);
    bytes.extend(flags.to_be_bytes());
    bytes.extend(proto.to_be_bytes());
    for (bit, name) in WORDS {
        if flags & bit != 0 {
            let word = small::<u32>(rest, name)?;
            bytes.extend((if bit == flag::CSUM { word << 16 } else { word }).to_be_bytes());
        }
    }
    Some(proto != eth_type::TEB)
}

// -- ERSPAN: `erspan(ver=1,sid=0x1,idx=0x3)`, `erspan(ver=2,sid=0x64,dir=1,hwid=0x4)` --

fn write_erspan(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> Option<fmt::Result> {
    let gre = Gre::parse(bytes)?;
    let erspan = Erspan::parse(gre.proto, bytes.get(gre.len()..)?)?;
    let sid = erspan.session;
    Some(match erspan.version {
        Version::V1 { index } => write!(f, ",erspan(ver=1,sid=0x{sid:x},idx=0x{index:x})"),
        Version::V2 { hwid, egress, .. } => {
            let dir = u8::from(egress);
            write!(f, ",erspan(ver=2,sid=0x{sid:x},dir={dir},hwid=0x{hwid:x})")
        }
    })
}

fn parse_erspan(args: &str, bytes: &mut Vec<u8>) -> Option<bool> {
    let version = match small::<u8>(args, "ver")? {
        1 => Version::V1 { index: small(args, "idx")? },
        2 => Version::V2 {
            timestamp: 0,
            hwid: small(args, "hwid")?,
            egress: small::<u8>(args, "dir")? != 0,
        },
        _ => return None,
    };
    let erspan = Erspan { session: small(args, "sid")?, version };
    erspan.gre().write(bytes);
    erspan.write(bytes);
    Some(false)
}

// -- GTP-U: `gtpu(flags=0x30,msgtype=255,teid=0x7b)` --

fn write_gtpu(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> Option<fmt::Result> {
    let gtpu = GtpuHeader::view(bytes)?;
    let (flags, message, teid) = (gtpu.flags, gtpu.message, gtpu.teid.get());
    Some(write!(f, ",gtpu(flags=0x{flags:x},msgtype={message},teid=0x{teid:x})"))
}

fn parse_gtpu(args: &str, bytes: &mut Vec<u8>) -> Option<bool> {
    let header = GtpuHeader {
        flags: small(args, "flags")?,
        message: small(args, "msgtype")?,
        ..GtpuHeader::new(small(args, "teid")?, 0)
    };
    bytes.extend(header.as_bytes());
    Some(true)
}

// -- SRv6: `srv6(segments_left=1,segs(fd00::1,fd00::2))` --

fn write_srv6(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> Option<fmt::Result> {
    let (header, len) = Srv6Header::parse(bytes)?;
    let listed = bytes.get(Srv6Header::LEN..len)?;
    let mut result = write!(f, ",srv6(segments_left={},segs(", header.segments_left);
    for (i, segment) in listed.rchunks_exact(16).enumerate() {
        let segment = Ipv6Addr::from(*segment.first_chunk::<16>()?);
        let comma = if i == 0 { "" } else { "," };
        result = result.and_then(|()| write!(f, "{comma}{segment}"));
    }
    Some(result.and_then(|()| f.write_str("))")))
}

fn parse_srv6(args: &str, bytes: &mut Vec<u8>) -> Option<bool> {
    let list = items(args).ok()?;
    let segments = list.iter().find(|i| i.name == "segs")?.args?;
    let segments: Vec<Ipv6Addr> =
        segments.split(',').map(|s| s.trim().parse().ok()).collect::<Option<_>>()?;
    let left = usize::from(small::<u8>(list.first()?.name, "segments_left")?);
    // What is inside the text does not tell; IPv4 is what most would want.
    Srv6Header::write(ip_proto::IPV4, &segments, bytes)?;
    (left + 1 == segments.len() && value(args, "segs").is_none()).then_some(true)
}
