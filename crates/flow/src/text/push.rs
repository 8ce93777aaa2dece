//! `tnl_push(..)`: prepared tunnel headers, header by header.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, MacText, eth_type, parse_mac};
use packet::wire::ipv4::{self, Ipv4Header};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use zerocopy::IntoBytes;

use super::field::{HexText, parse_number};
use super::parse::{items, number_after};
use super::special::pairs;
use super::{PortNames, parse_port};
use crate::action::{Fit, TnlPush};

/// Tunnel type numbers of `tnl_push(header(type=..))`: the reference's port types.
const TYPE_GRE: u8 = 3;
const TYPE_VXLAN: u8 = 4;

/// The range that UDP source ports of tunnels come from by default.
const SRC_PORTS: (u16, u16) = (32_768, 61_000);

/// `header(size=50,type=4,eth(..),ipv4(..),udp(..),vxlan(..))`.
pub(super) fn write_header(f: &mut fmt::Formatter<'_>, push: &TnlPush) -> fmt::Result {
    let (l3, l4) = (usize::from(push.l3), usize::from(push.l4));
    let kind = if push.udp { TYPE_VXLAN } else { TYPE_GRE };
    write!(f, "header(size={},type={kind}", push.header.len())?;
    if let Some(eth) = EthernetHeader::view(&push.header) {
        let (dst, src) = (MacText(&eth.dst), MacText(&eth.src));
        write!(f, ",eth(dst={dst},src={src},dl_type=0x{:04x})", eth.eth_type.get())?;
        if eth.eth_type.get() == eth_type::IPV6 {
            write_ipv6(f, &push.header, l3)?;
        } else {
            write_ipv4(f, &push.header, l3)?;
        }
    }
    if push.udp {
        write_udp(f, push, l4)?;
    } else {
        write_gre(f, &push.header, l4)?;
    }
    f.write_str(")")
}

fn write_ipv4(f: &mut fmt::Formatter<'_>, header: &[u8], l3: usize) -> fmt::Result {
    let Some(ip) = Ipv4Header::at(header, l3) else { return Ok(()) };
    let (src, dst) = (Ipv4Addr::from_bits(ip.src.get()), Ipv4Addr::from_bits(ip.dst.get()));
    write!(f, ",ipv4(src={src},dst={dst},proto={}", ip.proto)?;
    write!(f, ",tos={},ttl={},frag=0x{:x})", HexText(ip.tos.into()), ip.ttl, ip.frag.get())
}

fn write_ipv6(f: &mut fmt::Formatter<'_>, header: &[u8], l3: usize) -> fmt::Result {
    let Some(ip) = Ipv6Header::at(header, l3) else { return Ok(()) };
    let (src, dst) = (Ipv6Addr::from(ip.src), Ipv6Addr::from(ip.dst));
    write!(f, ",ipv6(src={src},dst={dst},label={},proto={}", ip.flow_label(), ip.next)?;
    write!(f, ",tclass=0x{:x},hlimit={})", ip.traffic_class(), ip.hop_limit)
}

fn write_udp(f: &mut fmt::Formatter<'_>, push: &TnlPush, l4: usize) -> fmt::Result {
    let Some(udp) = UdpHeader::at(&push.header, l4) else { return Ok(()) };
    // Nothing is known of a checksum that is yet to be computed but that it is wanted.
    let csum = if push.csum { 0xffff } else { udp.csum.get() };
    write!(f, ",udp(src={},dst={},csum=0x{csum:x})", udp.src.get(), udp.dst.get())?;
    let Some(vxlan) = VxlanHeader::at(&push.header, l4 + UdpHeader::LEN) else { return Ok(()) };
    write!(f, ",vxlan(flags=0x{:x},vni=0x{:x})", vxlan.flags.get(), vxlan.vni())
}

fn write_gre(f: &mut fmt::Formatter<'_>, header: &[u8], l4: usize) -> fmt::Result {
    let word = |i: usize| {
        let bytes = header.get(l4 + 4 * i..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let Some(first) = word(0) else { return Ok(()) };
    let (flags, proto) = (first >> 16, first & 0xffff);
    write!(f, ",gre((flags=0x{flags:x},proto=0x{proto:x})")?;
    let mut next = 1;
    for (bit, name) in [(0x8000, "csum"), (0x2000, "key"), (0x1000, "seq")] {
        if flags & bit != 0 {
            let value = word(next).unwrap_or(0);
            let value = if name == "csum" { value >> 16 } else { value };
            write!(f, ",{name}=0x{value:x}")?;
            next += 1;
        }
    }
    f.write_str(")")
}

/// Reads the arguments of `tnl_push(..)`.
pub(super) fn parse_tnl_push(args: &str, names: &dyn PortNames) -> Option<TnlPush> {
    let list = items(args).ok()?;
    let port = |name: &str| parse_port(list.iter().find(|i| i.name == name)?.args?, names);
    let (tnl_port, out_port) = (port("tnl_port")?, port("out_port")?);
    let header = items(list.iter().find(|i| i.name == "header")?.args?).ok()?;
    let size = header.iter().find_map(|i| number_after(i.name, "size"))?;
    let part = |name: &str| header.iter().find(|i| i.name == name).and_then(|i| i.args);
    let mut bytes = vec![];
    let ethernet = parse_ethernet(part("eth")?)?;
    bytes.extend(ethernet.as_bytes());
    let l3 = bytes.len() as u16;
    match (part("ipv4"), part("ipv6")) {
        (Some(ip), None) => bytes.extend(parse_ipv4(ip)?.as_bytes()),
        (None, Some(ip)) => bytes.extend(parse_ipv6(ip)?.as_bytes()),
        _ => return None,
    }
    let l4 = bytes.len() as u16;
    ipv4::fix_checksum(
        bytes
            .get_mut(usize::from(l3)..)
            .filter(|ip| ip.len() == Ipv4Header::LEN)
            .unwrap_or_default(),
    );
    let (udp, csum) = match part("udp") {
        Some(udp) => {
            let udp = parse_udp(udp)?;
            bytes.extend(udp.as_bytes());
            bytes.extend(parse_vxlan(part("vxlan")?)?.as_bytes());
            (true, udp.csum.get() != 0)
        }
        None => {
            let gre = parse_gre(part("gre")?)?;
            let csum = gre[0] & 0x80 != 0;
            bytes.extend(gre);
            (false, csum)
        }
    };
    let whole = u128::try_from(bytes.len()).ok() == Some(size);
    whole.then_some(TnlPush {
        tnl_port,
        out_port,
        header: bytes,
        l3,
        l4,
        udp,
        csum,
        src_ports: SRC_PORTS,
        peer_offloads: false,
        fit: Fit::default(),
    })
}

/// The value of a named argument.
pub(super) fn value<'a>(args: &'a str, name: &str) -> Option<&'a str> {
    pairs(args).flatten().find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// The same as a number.
pub(super) fn small<T: TryFrom<u128>>(args: &str, name: &str) -> Option<T> {
    T::try_from(parse_number(value(args, name)?)?).ok()
}

fn parse_ethernet(args: &str) -> Option<EthernetHeader> {
    let mac = |name| parse_mac(value(args, name)?);
    Some(EthernetHeader::new(mac("dst")?, mac("src")?, small(args, "dl_type")?))
}

fn parse_ipv4(args: &str) -> Option<Ipv4Header> {
    let ip = |name| value(args, name)?.parse::<Ipv4Addr>().ok();
    let mut header =
        Ipv4Header::new(ip("src")?, ip("dst")?, small(args, "proto")?, small(args, "ttl")?, 0);
    header.tos = small(args, "tos")?;
    header.frag = small::<u16>(args, "frag")?.into();
    Some(header)
}

fn parse_ipv6(args: &str) -> Option<Ipv6Header> {
    let ip = |name| value(args, name)?.parse::<Ipv6Addr>().ok();
    let mut header =
        Ipv6Header::new(ip("src")?, ip("dst")?, small(args, "proto")?, small(args, "hlimit")?, 0);
    let (label, class) = (small::<u32>(args, "label")?, small::<u8>(args, "tclass")?);
    header.version_class_label = (0x6000_0000 | u32::from(class) << 20 | (label & 0xf_ffff)).into();
    Some(header)
}

fn parse_udp(args: &str) -> Option<UdpHeader> {
    let mut header = UdpHeader::new(small(args, "src")?, small(args, "dst")?, 0);
    header.csum = small::<u16>(args, "csum")?.into();
    header.len = 0.into();
    Some(header)
}

fn parse_vxlan(args: &str) -> Option<VxlanHeader> {
    let vni = small::<u32>(args, "vni").filter(|vni| *vni < 1 << 24)?;
    Some(VxlanHeader { flags: small::<u32>(args, "flags")?.into(), ..VxlanHeader::new(vni) })
}

/// `(flags=0x2000,proto=0x6558),key=0x1c8`.
fn parse_gre(args: &str) -> Option<Vec<u8>> {
    let (first, rest) = args.strip_prefix('(')?.split_once(')')?;
    let flags = small::<u16>(first, "flags")?;
    let mut bytes = [flags.to_be_bytes(), small::<u16>(first, "proto")?.to_be_bytes()].concat();
    for (bit, name) in [(0x8000, "csum"), (0x2000, "key"), (0x1000, "seq")] {
        if flags & bit != 0 {
            let word = small::<u32>(rest, name)?;
            bytes.extend((if name == "csum" { word << 16 } else { word }).to_be_bytes());
        }
    }
    Some(bytes)
}
