//! `tnl_push(..)`: prepared tunnel headers, header by header.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, MacText, eth_type, parse_mac};
use packet::wire::ipv4::{self, Ipv4Header};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use zerocopy::IntoBytes;

use super::field::{HexText, parse_number};
use super::parse::{items, number_after};
use super::special::pairs;
use super::{PortNames, parse_port};
use crate::push::{Fit, Sequence, TnlPush};

/// The range that UDP source ports of tunnels come from by default.
const SRC_PORTS: (u16, u16) = (32_768, 61_000);

/// `header(size=50,type=4,eth(..),ipv4(..),udp(..),vxlan(..))`.
pub(super) fn write_header(f: &mut fmt::Formatter<'_>, push: &TnlPush) -> fmt::Result {
    let (l3, l4) = (usize::from(push.l3), usize::from(push.l4));
    let kind = layers::type_number(push);
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
    let tunnel = if push.protocol.is_udp() {
        write_udp(f, push, l4)?;
        l4 + UdpHeader::LEN
    } else {
        l4
    };
    layers::write(f, push.protocol, push.header.get(tunnel..).unwrap_or_default())?;
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
    write!(f, ",udp(src={},dst={},csum=0x{csum:x})", udp.src.get(), udp.dst.get())
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
    let mut csum = false;
    if let Some(udp) = part("udp") {
        let udp = parse_udp(udp)?;
        csum = udp.csum.get() != 0;
        bytes.extend(udp.as_bytes());
    }
    let tunnel = bytes.len();
    let layer = layers::parse(&part, &mut bytes)?;
    if layer.protocol.is_udp() != part("udp").is_some() {
        return None;
    }
    let mut sequence = None;
    if let Some(gre) = layers::gre_of(layer.protocol, bytes.get(tunnel..)?) {
        csum = gre.csum.is_some();
        sequence = gre.seq.map(|_| Sequence::default());
    }
    let whole = u128::try_from(bytes.len()).ok() == Some(size);
    whole.then_some(TnlPush {
        tnl_port,
        out_port,
        header: bytes,
        l3,
        l4,
        protocol: layer.protocol,
        bare: layer.bare,
        csum,
        src_ports: SRC_PORTS,
        sequence,
        labels_flows: false,
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

mod layers;
