//! Bytes to flow key.
//!
//! # What
//! [`extract`] reads the headers of a frame into a [`FlowKey`] and says where it found them ([`Layers`]). It runs once per
//! packet and round, so it zeroes one key, checks bounds once per header, and allocates nothing.
//!
//! # Why it never fails
//! A switch forwards what a host refuses, so anything of 14 bytes or more has a key; a header that lies about its lengths ends
//! the walk there, and the fields that it would have given stay zero. That is safe because every decision that reads such a
//! field also reads what tells both cases apart (`eth_type`, `nw_proto`), and actions edit only headers that [`Layers`] says
//! are whole. The rules below (what counts as a lie, how far a chain is followed) are the reference's, so that both switches
//! take the same packet for the same flow.
//!
//! # The rules
//! - Up to two VLAN tags ([`extract_with`] can be told fewer); a further one stays in the payload, its protocol is `eth_type`. A cut tag too.
//! - 802.3 length instead of a type: the SNAP type, or 0x05ff.
//! - MPLS: up to three labels; nothing behind them is read.
//! - A backbone's service tag (IEEE 802.1ah): read if it is whole; nothing behind it is.
//! - NSH: version 0, and a length that fits the metadata's type and the frame; nothing behind it is read.
//! - IPv4: `ihl < 5`, `ihl` beyond the total length, total length beyond the frame: no IP fields. Padding is fine.
//! - IPv6: payload length beyond the frame: no IP fields. Extension headers that do not fit: addresses only.
//! - Later fragments have no transport fields. A cut transport header gives none.
//! - TCP with a data offset below 5 or beyond the packet: no fields.
//! - Neighbour discovery only with code 0 (CVE-2023-5366).

use packet::wire::arp::ArpHeader;
use packet::wire::ethernet::{EthernetHeader, LlcSnapHeader, eth_type};
use packet::wire::icmp::IcmpHeader;
use packet::wire::icmpv6::{Icmpv6Header, Neighbour, kind};
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::{self, Ipv6Header};
use packet::wire::nsh::NshHeader;
use packet::wire::sctp::SctpHeader;
use packet::wire::tcp::TcpHeader;
use packet::wire::udp::UdpHeader;
use packet::wire::vlan::is_vlan;
use packet::wire::{Fragment, Header, ip_proto};

use crate::key::{DpPort, FlowKey, RecircId, TunnelKey, Vlan, frag};
use crate::nsh::NshKey;

/// The part of a key that the packet's bytes do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Port that the packet came in by; a tunnel's number after decapsulation.
    pub in_port: DpPort,
    /// Where the packet re-enters; 0 for packets fresh from a port.
    pub recirc_id: RecircId,
    /// Hash computed by a `hash` action.
    pub dp_hash: u32,
    /// Packet mark.
    pub skb_mark: u32,
    /// Queue priority.
    pub skb_priority: u32,
    /// What the packet begins with, as in [`FlowKey::packet_type`].
    pub packet_type: u32,
    /// The tunnel that it came through.
    pub tunnel: TunnelKey,
}

impl Metadata {
    /// Of a packet fresh from a port.
    pub fn port(in_port: DpPort) -> Self {
        Self { in_port, ..Self::default() }
    }

    /// What a key holds, for extracting again after the packet was edited.
    #[inline]
    pub fn of(key: &FlowKey) -> Self {
        Self {
            in_port: DpPort(key.in_port),
            recirc_id: RecircId(key.recirc_id),
            dp_hash: key.dp_hash,
            skb_mark: key.skb_mark,
            skb_priority: key.skb_priority,
            packet_type: key.packet_type,
            tunnel: key.tunnel,
        }
    }

    /// Writes it into a key.
    #[inline]
    pub fn write(&self, key: &mut FlowKey) {
        key.in_port = self.in_port.0;
        key.recirc_id = self.recirc_id.0;
        key.dp_hash = self.dp_hash;
        key.skb_mark = self.skb_mark;
        key.skb_priority = self.skb_priority;
        key.packet_type = self.packet_type;
        key.tunnel = self.tunnel;
    }
}

/// Where a frame's headers are. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The IPv4, IPv6, ARP or network service header; there when its fixed part is whole and its lengths are true.
    pub l3: Option<u16>,
    /// What follows the IP header. For protocols whose fields the key has (TCP, UDP, SCTP, ICMP, IGMP, ICMPv6) it is there
    /// only when their fixed header is whole; for others it may be empty. Never there for later fragments.
    pub l4: Option<u16>,
    /// One past the last byte of the IP packet: link-layer padding begins here. The frame's length without an IP packet.
    pub end: u32,
}

/// VLAN tags that a key holds.
pub const MAX_VLANS: usize = 2;

/// MPLS labels that extraction reads.
const MAX_LABELS: usize = 3;

/// Reads a frame. `None` for less than an Ethernet header: a drop to be counted. A packet that has none, as its packet type
/// says, is read whatever its length.
pub fn extract(frame: &[u8], meta: &Metadata) -> Option<(FlowKey, Layers)> {
    extract_with(frame, meta, MAX_VLANS)
}

/// The same, looking at no more than `vlans` VLAN tags (`other_config:vlan-limit`).
#[inline]
pub fn extract_with(frame: &[u8], meta: &Metadata, vlans: usize) -> Option<(FlowKey, Layers)> {
    let mut key = FlowKey::default();
    meta.write(&mut key);
    let layers = extract_into(frame, vlans, &mut key)?;
    Some((key, layers))
}

/// The same into a key that is there already, such as one of a batch's, and holds metadata and nothing else.
pub fn extract_into(frame: &[u8], vlans: usize, key: &mut FlowKey) -> Option<Layers> {
    let mut walk = Walk { frame_len: frame.len(), rest: frame, layers: Layers::default() };
    walk.layers.end = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    if key.packet_type == 0 {
        let (ethernet, rest) = EthernetHeader::split(frame)?;
        key.eth_dst = ethernet.dst;
        key.eth_src = ethernet.src;
        key.eth_type = ethernet.eth_type.get();
        walk.rest = rest;
        if key.eth_type != eth_type::IPV4 {
            walk.link_layer(key, vlans.min(MAX_VLANS));
        }
    } else if key.packet_type >> 16 == 1 {
        key.eth_type = key.packet_type as u16;
    }
    match key.eth_type {
        eth_type::IPV4 => walk.ipv4(key),
        eth_type::IPV6 => walk.ipv6(key),
        eth_type::ARP | eth_type::RARP => walk.arp(key),
        eth_type::MPLS | eth_type::MPLS_MULTICAST => walk.mpls(key),
        eth_type::NSH => walk.nsh(key),
        eth_type::PBB if key.is_pbb() => walk.service_tag(key),
        _ => None,
    };
    Some(walk.layers)
}

/// A walk over a frame's headers. Its methods return `None` to stop; what they have found by then stays in the key.
struct Walk<'a> {
    frame_len: usize,
    rest: &'a [u8],
    layers: Layers,
}

impl Walk<'_> {
    /// Offset of `rest` in the frame, while no padding has been cut off it.
    fn offset(&self) -> usize {
        self.frame_len - self.rest.len()
    }

    /// VLAN tags, and the type where the field is a length.
    fn link_layer(&mut self, key: &mut FlowKey, vlans: usize) {
        for slot in &mut key.vlans[..vlans] {
            let Some((tag, rest)) =
                self.rest.split_first_chunk::<4>().filter(|_| is_vlan(key.eth_type))
            else {
                break;
            };
            *slot =
                Vlan { tpid: key.eth_type, tci: u16::from_be_bytes([tag[0], tag[1]]) | Vlan::CFI };
            key.eth_type = u16::from_be_bytes([tag[2], tag[3]]);
            self.rest = rest;
        }
        if key.eth_type < eth_type::MIN {
            let snap = LlcSnapHeader::split(self.rest)
                .and_then(|(llc, rest)| Some((llc.eth_type()?, rest)));
            key.eth_type = match snap {
                Some((eth_type, rest)) => {
                    self.rest = rest;
                    eth_type
                }
                None => eth_type::NONE,
            };
        }
    }

    fn mpls(&mut self, key: &mut FlowKey) -> Option<()> {
        const BOTTOM: u32 = 0x100;
        for slot in &mut key.mpls[..MAX_LABELS] {
            let (entry, rest) = self.rest.split_first_chunk::<4>()?;
            *slot = u32::from_be_bytes(*entry);
            self.rest = rest;
            if *slot & BOTTOM != 0 {
                break;
            }
        }
        Some(())
    }

    fn service_tag(&mut self, key: &mut FlowKey) -> Option<()> {
        key.ipv6_label = u32::from_be_bytes(*self.rest.first_chunk()?);
        Some(())
    }

    fn nsh(&mut self, key: &mut FlowKey) -> Option<()> {
        let (header, rest) = NshHeader::split(self.rest)?;
        let metadata = rest.get(..header.rest_len()?).filter(|_| header.is_sane())?;
        self.layers.l3 = u16::try_from(self.offset()).ok();
        let (flags, ttl) = (header.flags(), header.ttl());
        let (mdtype, np, path) = (header.mdtype, header.np, header.path.get());
        let mut nsh = NshKey { flags, ttl, mdtype, np, path, context: [0; 4] };
        if mdtype == NshHeader::FIXED {
            for (word, bytes) in nsh.context.iter_mut().zip(metadata.as_chunks::<4>().0) {
                *word = u32::from_be_bytes(*bytes);
            }
        }
        key.set_nsh(&nsh);
        Some(())
    }

    fn arp(&mut self, key: &mut FlowKey) -> Option<()> {
        let arp = ArpHeader::view(self.rest).filter(|arp| arp.is_ipv4_over_ethernet())?;
        self.layers.l3 = u16::try_from(self.offset()).ok();
        key.nw_src = arp.spa.get();
        key.nw_dst = arp.tpa.get();
        // The key has 8 bits for it, like the reference's.
        key.nw_proto = u8::try_from(arp.op.get()).unwrap_or(0);
        key.arp_sha = arp.sha;
        key.arp_tha = arp.tha;
        Some(())
    }

    fn ipv4(&mut self, key: &mut FlowKey) -> Option<()> {
        let ip = Ipv4Header::view(self.rest)?;
        let (header, total) = ip.extent(self.rest.len())?;
        let l3 = self.offset();
        self.layers.l3 = u16::try_from(l3).ok();
        self.layers.end = (l3 + total) as u32;
        key.nw_src = ip.src.get();
        key.nw_dst = ip.dst.get();
        key.nw_proto = ip.proto;
        key.nw_tos = ip.tos;
        key.nw_ttl = ip.ttl;
        key.ip_frag = frag_bits(ip.fragment());
        self.rest = self.rest.get(header..total)?;
        match ip.proto {
            _ if key.ip_frag & frag::LATER != 0 => return None,
            ip_proto::ICMP => self.icmp(key)?,
            // The key has no fields for IGMP.
            ip_proto::IGMP => IcmpHeader::view(self.rest).map(|_| ())?,
            _ => self.transport(key)?,
        }
        self.layers.l4 = u16::try_from(l3 + header).ok();
        Some(())
    }

    fn ipv6(&mut self, key: &mut FlowKey) -> Option<()> {
        let l3 = self.offset();
        let (ip, rest) = Ipv6Header::split(self.rest)?;
        let payload = rest.get(..usize::from(ip.payload_len.get()))?;
        let body = l3 + Ipv6Header::LEN;
        self.layers.l3 = u16::try_from(l3).ok();
        self.layers.end = (body + payload.len()) as u32;
        key.ipv6_src = ip.src;
        key.ipv6_dst = ip.dst;
        let upper = ipv6::walk_extensions(payload, ip.next)?;
        key.ipv6_label = ip.flow_label();
        key.nw_proto = upper.proto;
        key.nw_tos = ip.traffic_class();
        key.nw_ttl = ip.hop_limit;
        key.ip_frag = frag_bits(upper.fragment);
        key.ipv6_exthdr = upper.extensions;
        self.rest = payload.get(upper.offset..)?;
        match upper.proto {
            _ if upper.fragment == Fragment::Later => return None,
            ip_proto::ICMPV6 => self.icmpv6(key)?,
            _ => self.transport(key)?,
        }
        self.layers.l4 = u16::try_from(body + upper.offset).ok();
        Some(())
    }

    /// Ports, where the protocol has them and its header is whole.
    fn transport(&self, key: &mut FlowKey) -> Option<()> {
        (key.tp_src, key.tp_dst) = match key.nw_proto {
            ip_proto::TCP => {
                let tcp = TcpHeader::view(self.rest)?;
                if tcp.header_len() < TcpHeader::LEN || tcp.header_len() > self.rest.len() {
                    return None;
                }
                key.tcp_flags = tcp.flags();
                (tcp.src.get(), tcp.dst.get())
            }
            ip_proto::UDP => {
                let udp = UdpHeader::view(self.rest)?;
                (udp.src.get(), udp.dst.get())
            }
            ip_proto::SCTP => {
                let sctp = SctpHeader::view(self.rest)?;
                (sctp.src.get(), sctp.dst.get())
            }
            _ => (0, 0),
        };
        Some(())
    }

    fn icmp(&self, key: &mut FlowKey) -> Option<()> {
        let icmp = IcmpHeader::view(self.rest)?;
        (key.tp_src, key.tp_dst) = (icmp.kind.into(), icmp.code.into());
        Some(())
    }

    fn icmpv6(&self, key: &mut FlowKey) -> Option<()> {
        let (icmp, body) = Icmpv6Header::split(self.rest)?;
        (key.tp_src, key.tp_dst) = (icmp.kind.into(), icmp.code.into());
        let is_nd =
            matches!(icmp.kind, kind::NEIGHBOUR_SOLICITATION | kind::NEIGHBOUR_ADVERTISEMENT)
                && icmp.code == 0;
        if is_nd {
            let said = Neighbour::parse(body).unwrap_or_default();
            key.nd_reserved = icmp.word.get();
            key.nd_options_type = said.first_option.into();
            key.nd_target = said.target;
            key.arp_sha = said.sll;
            key.arp_tha = said.tll;
        }
        Some(())
    }
}

fn frag_bits(fragment: Fragment) -> u8 {
    match fragment {
        Fragment::No => 0,
        Fragment::First => frag::ANY,
        Fragment::Later => frag::ANY | frag::LATER,
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
