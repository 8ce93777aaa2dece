//! Flow key to bytes: a packet that extraction would give this key, for tests and traces.
//!
//! # What
//! [`compose`] makes headers with right lengths and checksums and, where the protocol has room for one, a payload that counts
//! 0, 1, 2 .. 63, as the reference's `netdev-dummy/receive` does. Not every key is a packet's (a port without a protocol); what
//! does not fit together is left out of the packet.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::checksum::{self, Sum};
use packet::wire::arp::{ArpHeader, op};
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::icmp::{self, IcmpHeader};
use packet::wire::icmpv6::{self, Icmpv6Header, option};
use packet::wire::ipv4::{Ipv4Header, fix_checksum, frag_bit};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::sctp::SctpHeader;
use packet::wire::tcp::TcpHeader;
use packet::wire::udp::UdpHeader;
use packet::wire::{Header, ip_proto};
use zerocopy::IntoBytes;

use crate::key::{FlowKey, frag, tcp_flag};
use crate::text::{Numbers, SyntaxError, parse_flow, parse_hex_packet};

/// The payload when no other is asked for.
const COUNTING: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

/// Longest frame that can be asked for.
const MAX_LEN: usize = 65_535;

/// The fragment offset given to later fragments, in units of 8 bytes.
const LATER_OFFSET: u16 = 100;

/// Why there is no packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComposeError {
    /// The text is neither a packet in hexadecimal nor a flow.
    Syntax(SyntaxError),
    /// An Ethernet type below 0x0600 is a length.
    EthType(u16),
    /// The length asked for does not hold the headers.
    TooSmall,
    /// The length asked for is beyond what a frame can have.
    TooLarge,
}

impl std::fmt::Display for ComposeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ComposeError::Syntax(error) => error.fmt(f),
            ComposeError::EthType(t) => write!(f, "invalid Ethertype {t} in flow key"),
            ComposeError::TooSmall => f.write_str("too small packet len"),
            ComposeError::TooLarge => f.write_str("too large packet len"),
        }
    }
}

impl std::error::Error for ComposeError {}

/// The frame that an argument of `netdev-dummy/receive` describes: its bytes in hexadecimal, or a flow. `len` is the frame's
/// length for flows (`--len`), filled up with zeros.
pub fn frame_from_text(text: &str, len: Option<usize>) -> Result<Vec<u8>, ComposeError> {
    if let Some(frame) = parse_hex_packet(text) {
        return Ok(frame);
    }
    let (key, _) = parse_flow(text, &Numbers).map_err(ComposeError::Syntax)?;
    compose(&key, len)
}

/// A frame with this key.
pub fn compose(key: &FlowKey, len: Option<usize>) -> Result<Vec<u8>, ComposeError> {
    frame(key, len, &COUNTING)
}

/// The same, with that in place of what packets of some protocols usually carry.
pub fn compose_around(key: &FlowKey, payload: &[u8]) -> Result<Vec<u8>, ComposeError> {
    frame(key, None, payload)
}

/// The same with an Ethernet type as the key has it, though it be none. `None`: with the usual payload.
pub fn compose_as_is(key: &FlowKey, payload: Option<&[u8]>) -> Result<Vec<u8>, ComposeError> {
    let mut frame = assemble(key, None, payload.unwrap_or(&COUNTING))?;
    if key.eth_type == eth_type::NONE {
        put_length(&mut frame);
    }
    Ok(frame)
}

fn frame(key: &FlowKey, len: Option<usize>, payload: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let is_length = key.eth_type == 0 || key.eth_type == eth_type::NONE;
    if key.eth_type < eth_type::MIN && !is_length {
        return Err(ComposeError::EthType(key.eth_type));
    }
    let mut frame = assemble(key, len, payload)?;
    if is_length {
        put_length(&mut frame);
    }
    Ok(frame)
}

/// Puts the frame's length where an Ethernet type would be, as IEEE 802.3 has it.
fn put_length(frame: &mut [u8]) {
    let at = frame.len().min(EthernetHeader::LEN);
    let length = frame.len() as u16;
    frame[at - 2..at].copy_from_slice(&length.to_be_bytes());
}

fn assemble(key: &FlowKey, len: Option<usize>, payload: &[u8]) -> Result<Vec<u8>, ComposeError> {
    let mut frame = [key.eth_dst, key.eth_src].concat();
    for tag in key.vlans.iter().take_while(|tag| tag.is_present()) {
        frame.extend(tag.tpid.to_be_bytes());
        frame.extend((tag.tci & !crate::Vlan::CFI).to_be_bytes());
    }
    frame.extend(key.eth_type.to_be_bytes());
    let fill = match len {
        None => Fill::Usual(payload),
        Some(len) if len > MAX_LEN => return Err(ComposeError::TooLarge),
        Some(len) => Fill::Zeros(len.checked_sub(frame.len()).ok_or(ComposeError::TooSmall)?),
    };
    let body = network_layer(key, fill)?;
    frame.extend(body);
    frame.resize(len.unwrap_or(0).max(frame.len()), 0);
    Ok(frame)
}

/// What a payload is made of.
#[derive(Clone, Copy)]
enum Fill<'a> {
    /// This where the protocol usually carries something.
    Usual(&'a [u8]),
    /// As many zeros as make the layer this long.
    Zeros(usize),
}

impl<'a> Fill<'a> {
    /// The payload behind headers of `header` bytes. `usual`: whether this kind of packet carries something of itself.
    fn payload(self, header: usize, usual: bool) -> Result<Vec<u8>, ComposeError> {
        match self {
            Fill::Usual(payload) if usual => Ok(payload.to_vec()),
            Fill::Usual(_) => Ok(vec![]),
            Fill::Zeros(room) => {
                Ok(vec![0; room.checked_sub(header).ok_or(ComposeError::TooSmall)?])
            }
        }
    }

    fn behind(self, header: usize) -> Result<Self, ComposeError> {
        match self {
            Fill::Usual(_) => Ok(self),
            Fill::Zeros(room) => {
                Ok(Fill::Zeros(room.checked_sub(header).ok_or(ComposeError::TooSmall)?))
            }
        }
    }
}

fn network_layer(key: &FlowKey, fill: Fill<'_>) -> Result<Vec<u8>, ComposeError> {
    let body = match key.eth_type {
        eth_type::IPV4 => return ipv4(key, fill),
        eth_type::IPV6 => return ipv6(key, fill),
        eth_type::ARP | eth_type::RARP => arp(key).as_bytes().to_vec(),
        eth_type::MPLS | eth_type::MPLS_MULTICAST => mpls(key),
        eth_type::PBB => key.ipv6_label.to_be_bytes().to_vec(),
        _ => vec![],
    };
    fill.behind(body.len())?;
    Ok(body)
}

fn arp(key: &FlowKey) -> ArpHeader {
    let op = u16::from(key.nw_proto);
    if matches!(op, op::REQUEST | op::REPLY) {
        let (spa, tpa) = (Ipv4Addr::from_bits(key.nw_src), Ipv4Addr::from_bits(key.nw_dst));
        return ArpHeader::new(op, key.arp_sha, spa, key.arp_tha, tpa);
    }
    ArpHeader::new(op, [0; 6], Ipv4Addr::UNSPECIFIED, [0; 6], Ipv4Addr::UNSPECIFIED)
}

fn mpls(key: &FlowKey) -> Vec<u8> {
    const BOTTOM: u32 = 0x100;
    /// So many labels the reference knows of.
    const DEPTH: usize = 3;
    let mut bytes = vec![];
    for label in key.mpls.iter().take(DEPTH) {
        bytes.extend(label.to_be_bytes());
        if label & BOTTOM != 0 {
            break;
        }
    }
    bytes
}

fn ipv4(key: &FlowKey, fill: Fill<'_>) -> Result<Vec<u8>, ComposeError> {
    let pseudo = |len| Sum::pseudo_v4(key.nw_src, key.nw_dst, key.nw_proto, len);
    let payload = transport(key, fill.behind(Ipv4Header::LEN)?, pseudo)?;
    let (src, dst) = (Ipv4Addr::from_bits(key.nw_src), Ipv4Addr::from_bits(key.nw_dst));
    let mut ip = Ipv4Header::new(src, dst, key.nw_proto, key.nw_ttl, payload.len());
    ip.tos = key.nw_tos;
    ip.frag = match key.ip_frag {
        0 => 0,
        frag::ANY => frag_bit::MF,
        _ => frag_bit::MF | LATER_OFFSET,
    }
    .into();
    fix_checksum(ip.as_mut_bytes());
    Ok([ip.as_bytes(), &payload].concat())
}

fn ipv6(key: &FlowKey, fill: Fill<'_>) -> Result<Vec<u8>, ComposeError> {
    let pseudo = |len| Sum::pseudo_v6(&key.ipv6_src, &key.ipv6_dst, key.nw_proto, len);
    let payload = transport(key, fill.behind(Ipv6Header::LEN)?, pseudo)?;
    let (src, dst) = (Ipv6Addr::from(key.ipv6_src), Ipv6Addr::from(key.ipv6_dst));
    let mut ip = Ipv6Header::new(src, dst, key.nw_proto, key.nw_ttl, payload.len());
    ip.version_class_label =
        (0x6000_0000 | u32::from(key.nw_tos) << 20 | (key.ipv6_label & 0xf_ffff)).into();
    Ok([ip.as_bytes(), &payload].concat())
}

/// The transport header with its payload, checksum computed.
fn transport(
    key: &FlowKey,
    fill: Fill<'_>,
    pseudo: impl Fn(usize) -> Sum,
) -> Result<Vec<u8>, ComposeError> {
    if key.ip_frag & frag::LATER != 0 {
        return fill.payload(0, false);
    }
    let (src, dst) = (key.tp_src.into(), key.tp_dst.into());
    let (kind, code) = (key.tp_src as u8, key.tp_dst as u8);
    let v6 = key.is_ipv6();
    let (mut bytes, csum_at, with_pseudo) = match key.nw_proto {
        ip_proto::TCP => {
            let ends = tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST;
            let flags = 0x5000 | (key.tcp_flags & 0xfff);
            let zero = (0.into(), 0.into());
            let tcp = TcpHeader {
                src,
                dst,
                seq: zero.0,
                ack: zero.0,
                offset_flags: flags.into(),
                window: zero.1,
                csum: zero.1,
                urgent: zero.1,
            };
            let payload = fill.payload(TcpHeader::LEN, key.tcp_flags & ends == 0)?;
            ([tcp.as_bytes(), &payload].concat(), 16, true)
        }
        ip_proto::UDP => {
            let payload = fill.payload(UdpHeader::LEN, true)?;
            let udp = UdpHeader::new(key.tp_src, key.tp_dst, payload.len());
            ([udp.as_bytes(), &payload].concat(), 6, true)
        }
        ip_proto::SCTP => {
            let sctp = SctpHeader { src, dst, tag: 0.into(), crc: 0.into() };
            return Ok([sctp.as_bytes(), &fill.payload(SctpHeader::LEN, false)?].concat());
        }
        ip_proto::ICMP | ip_proto::IGMP if !v6 => {
            let echo = key.nw_proto == ip_proto::ICMP
                && matches!(kind, icmp::kind::ECHO_REQUEST | icmp::kind::ECHO_REPLY);
            let (kind, code) = if key.nw_proto == ip_proto::ICMP { (kind, code) } else { (0, 0) };
            let icmp = IcmpHeader { kind, code, csum: 0.into(), id: 0.into(), seq: 0.into() };
            ([icmp.as_bytes(), &fill.payload(IcmpHeader::LEN, echo)?].concat(), 2, false)
        }
        ip_proto::ICMPV6 if v6 => {
            let icmp = Icmpv6Header { kind, code, csum: 0.into(), word: 0.into() };
            let neighbour = neighbour(key);
            let echo = matches!(kind, icmpv6::kind::ECHO_REQUEST | icmpv6::kind::ECHO_REPLY);
            let payload = fill.payload(Icmpv6Header::LEN + neighbour.len(), echo)?;
            ([icmp.as_bytes(), &neighbour, &payload].concat(), 2, true)
        }
        _ => return fill.payload(0, false),
    };
    let mut sum = if with_pseudo { pseudo(bytes.len()) } else { Sum::default() };
    sum.add(checksum::sum(&bytes));
    let csum = if key.nw_proto == ip_proto::UDP { sum.checksum_nonzero() } else { sum.checksum() };
    bytes[csum_at..csum_at + 2].copy_from_slice(&csum.to_be_bytes());
    Ok(bytes)
}

/// Target and address options of neighbour discovery; empty for other messages.
fn neighbour(key: &FlowKey) -> Vec<u8> {
    let nd = [icmpv6::kind::NEIGHBOUR_SOLICITATION, icmpv6::kind::NEIGHBOUR_ADVERTISEMENT]
        .map(u16::from);
    if !nd.contains(&key.tp_src) || key.tp_dst != 0 {
        return vec![];
    }
    let mut bytes = key.nd_target.to_vec();
    for (option, address) in
        [(option::SOURCE_LINK_ADDRESS, key.arp_sha), (option::TARGET_LINK_ADDRESS, key.arp_tha)]
    {
        if address != [0; 6] {
            bytes.extend([option, 1]);
            bytes.extend(address);
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
