//! Decapsulation: outer headers are judged, taken off, and told to the key.
//!
//! # What arrives
//! | outer packet | becomes |
//! |---|---|
//! | plain datagram | the packet inside |
//! | datagram with a partial checksum at its own UDP header (a kernel's tunnel device over veth) | same: nobody computes it |
//! | UDP super-packet: many datagrams under one header | one packet per datagram, TCP segments among them joined |
//! | datagram from somebody who does not keep offload state, the checksum inside never finished | the same with [`Csum::Partial`] |
//! | TCP super-packet with its checksum start *inside* (a kernel's tunnel segmentation) | the inner super-packet |
//!
//! # What is refused
//! Not what the tunnel's protocol comes in, a fragment, lengths that contradict each other, a wrong IPv4 header checksum, a wrong
//! UDP or GRE checksum, a tunnel header that [`layer`] does not understand, less than an Ethernet header inside: each is
//! [`DropReason::TunnelPopError`](crate::DropReason::TunnelPopError). A UDP checksum of zero is fine.
//!
//! # What is forgiven
//! Open vSwitch 3.1 computes two checksums before a field that they cover is filled in: GRE's before the sequence number, and
//! UDP's before GTP-U's length. They are right if that one field counts as zero, and are accepted: everything else in the
//! packet is as well protected as by a right one.

use flow::{TunnelKey, TunnelProtocol, tunnel_flag};
use packet::checksum::{self, Sum};
use packet::gro;
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::gre::Gre;
use packet::wire::gtpu::GtpuHeader;
use packet::wire::ipv4::{self, Ipv4Header};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::tcp;
use packet::wire::udp::{self, UdpHeader};
use packet::wire::{Fragment, Header, Located, ip_proto, locate, locate_bare};
use packet::{Csum, Gso, GsoKind, Packet};

use crate::peers;
use layer::{Layer, More};

mod layer;

/// A valid outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outer {
    at: Located,
    protocol: TunnelProtocol,
    layer: Layer,
    /// Offset of the inner packet.
    inner: usize,
    /// Where the inner packet ends.
    end: usize,
    /// For a super-packet of many datagrams: bytes of UDP payload in each.
    datagram: Option<u16>,
    /// Whether its sender shows that it understands unfinished packets; `None`: nobody can tell by this packet.
    pub(super) offloads: Option<bool>,
}

/// Reads and judges the outer headers of a packet for a tunnel of this kind. `None`: drop it.
#[inline(always)]
pub(super) fn judge(packet: &Packet, protocol: TunnelProtocol) -> Option<Outer> {
    match locate_plain(packet.bytes()) {
        Some(at) => judge_at(packet, at, protocol),
        None => judge_other(packet, protocol),
    }
}

/// The IP packet of almost all frames: an IPv4 header without options behind no VLAN tag, so that offsets are constants.
#[inline(always)]
fn locate_plain(frame: &[u8]) -> Option<Located> {
    const L3: usize = EthernetHeader::LEN;
    let (ethernet, rest) = EthernetHeader::split(frame)?;
    let ip = Ipv4Header::view(rest)?;
    if ethernet.eth_type.get() != eth_type::IPV4 || ip.header_len() != Ipv4Header::LEN {
        return None;
    }
    let (header, total) = ip.extent(rest.len())?;
    let (proto, fragment) = (ip.proto, ip.fragment());
    Some(Located { l3: L3, l4: L3 + header, end: L3 + total, v6: false, proto, fragment })
}

/// Whether what is inside may be joined with others of its flow, at a glance: most small packets may not. Of rare outer headers
/// nobody knows so soon.
pub(super) fn may_be_joined(packet: &Packet, protocol: TunnelProtocol) -> bool {
    let frame = packet.bytes();
    let inner = |at: Located| frame.get(at.l4 + layer::usual_len(protocol)?..at.end);
    locate_plain(frame).and_then(inner).is_none_or(gro::may_be_joined)
}

#[cold]
fn judge_other(packet: &Packet, protocol: TunnelProtocol) -> Option<Outer> {
    judge_at(packet, locate(packet.bytes())?, protocol)
}

#[inline(always)]
fn judge_at(packet: &Packet, at: Located, protocol: TunnelProtocol) -> Option<Outer> {
    let frame = packet.bytes();
    if at.proto != ip_proto::UDP || !protocol.is_udp() {
        return judge_without_udp(packet, at, protocol);
    }
    if at.fragment != Fragment::No {
        return None;
    }
    let udp = UdpHeader::at(frame, at.l4)?;
    let end = extent(packet, &at, udp)?;
    if !is_ip_sound(packet, &at) || !is_udp_sound(packet, &at, udp, end, protocol) {
        return None;
    }
    let start = at.l4 + UdpHeader::LEN;
    let layer = layer::in_udp(protocol, frame.get(start..end)?)?;
    finish(packet, at, protocol, layer, (start, end))
}

/// Finds the packet inside, which a tunnel header at `start` is in front of.
#[inline(always)]
fn finish(
    packet: &Packet,
    at: Located,
    protocol: TunnelProtocol,
    layer: Layer,
    (start, end): (usize, usize),
) -> Option<Outer> {
    let frame = packet.bytes();
    let inner = start + layer.len;
    let least = if layer.packet_type == 0 { EthernetHeader::LEN } else { 1 };
    if end < inner + least && !layer.is_whole {
        return None;
    }
    let offloads = peers::shows_offloads(frame, at.l3, at.v6, &packet.offload);
    let datagram = datagram_size(packet);
    let outer = Outer { at, protocol, layer, inner, end, datagram, offloads };
    Some(if layer.is_whole {
        Outer { inner: 0, end: frame.len(), datagram: None, ..outer }
    } else {
        outer
    })
}

/// What comes with GRE, or right behind the IP header.
#[inline(never)]
fn judge_without_udp(packet: &Packet, at: Located, protocol: TunnelProtocol) -> Option<Outer> {
    let frame = packet.bytes();
    if at.fragment != Fragment::No || !is_ip_sound(packet, &at) {
        return None;
    }
    let layer = match (protocol, at.proto) {
        (TunnelProtocol::Gre | TunnelProtocol::Erspan, ip_proto::GRE) => {
            let layer = layer::in_gre(frame.get(at.l4..at.end)?)?;
            if layer.flags & tunnel_flag::CSUM != 0 && !is_gre_sound(packet, &at) {
                return None;
            }
            layer
        }
        (TunnelProtocol::Srv6, ip_proto::IPV4 | ip_proto::IPV6) if at.v6 => {
            layer::behind_segments(frame.get(at.l3..at.l4)?, at.proto)?
        }
        _ => return None,
    };
    finish(packet, at, protocol, layer, (at.l4, at.end))
}

/// The size of each datagram's payload when there are many.
fn datagram_size(packet: &Packet) -> Option<u16> {
    match packet.offload.gso {
        Some(Gso { kind: GsoKind::Udp, size, .. }) if packet.offload.encap.is_none() => Some(size),
        _ => None,
    }
}

/// Where the UDP payload ends. A super-packet's length fields may be those of a segment, or of nothing.
fn extent(packet: &Packet, at: &Located, udp: &UdpHeader) -> Option<usize> {
    if packet.offload.gso.is_some() {
        return Some(at.end);
    }
    let len = usize::from(udp.len.get());
    (len >= UdpHeader::LEN && at.l4 + len <= at.end).then_some(at.l4 + len)
}

fn is_ip_sound(packet: &Packet, at: &Located) -> bool {
    // Whoever segments writes the header anew.
    at.v6
        || packet.offload.gso.is_some()
        || packet.bytes().get(at.l3..at.l4).is_some_and(ipv4::is_sound)
}

fn is_udp_sound(
    packet: &Packet,
    at: &Located,
    udp: &UdpHeader,
    end: usize,
    protocol: TunnelProtocol,
) -> bool {
    match packet.offload.csum {
        // Unfinished, by a sender on this machine: this one, or one inside; then this one is right or absent.
        Csum::Partial { start, offset } => {
            let start = usize::from(start);
            start == at.l4 && offset == udp::CSUM_OFFSET || start > at.l4 + UdpHeader::LEN
        }
        Csum::Verified => true,
        Csum::Complete if udp.csum.get() == 0 || packet.offload.gso.is_some() => true,
        Csum::Complete => {
            let frame = packet.bytes();
            let Some((bytes, mut sum)) = frame.get(at.l4..end).zip(at.pseudo(frame, end - at.l4))
            else {
                return false;
            };
            sum.add(checksum::sum(bytes));
            sum.checksum() == 0
                || protocol == TunnelProtocol::Gtpu && is_right_without_length(bytes, sum)
        }
    }
}

/// Whether the sum over a datagram of GTP-U's would be right if the length in its header were zero.
#[cold]
fn is_right_without_length(datagram: &[u8], mut sum: Sum) -> bool {
    GtpuHeader::at(datagram, UdpHeader::LEN).is_some_and(|gtpu| {
        sum.add_u16(!gtpu.len.get());
        sum.checksum() == 0
    })
}

/// Whether a GRE checksum, over all that is behind the IP header, is right. One over something unfinished nobody can check.
fn is_gre_sound(packet: &Packet, at: &Located) -> bool {
    if !packet.offload.is_complete() {
        return true;
    }
    packet.bytes().get(at.l4..at.end).is_some_and(|bytes| {
        let sum = checksum::sum(bytes);
        sum.checksum() == 0 || is_right_without_number(bytes, sum)
    })
}

/// Whether the sum over GRE's header and payload would be right if the sequence number were zero.
fn is_right_without_number(bytes: &[u8], mut sum: Sum) -> bool {
    Gre::parse(bytes).and_then(|gre| gre.seq).is_some_and(|number| {
        sum.add_u32(!number);
        sum.checksum() == 0
    })
}

impl Outer {
    /// The type of the packet inside, as in [`flow::FlowKey::packet_type`].
    #[inline(always)]
    pub(super) fn packet_type(&self) -> u32 {
        self.layer.packet_type
    }

    /// Writes down what it says, of the packet that it was found in, where nothing is written yet.
    ///
    /// In place, and not given back: a processor that has just stored the fields one by one would wait before it can copy them
    /// all at once.
    #[inline(always)]
    pub(super) fn tell(&self, packet: &Packet, tunnel: &mut TunnelKey) {
        let frame = packet.bytes();
        tunnel.id = self.layer.id.into();
        tunnel.flags = self.layer.flags;
        if self.protocol.is_udp()
            && let Some(udp) = UdpHeader::at(frame, self.at.l4)
        {
            let csum = if udp.csum.get() != 0 { tunnel_flag::CSUM } else { 0 };
            tunnel.flags |= csum;
            (tunnel.tp_src, tunnel.tp_dst) = (udp.src.get(), udp.dst.get());
        }
        if self.layer.more != More::Nothing {
            self.layer.more.tell(tunnel);
        }
        if self.at.v6 {
            if let Some(ip) = Ipv6Header::at(frame, self.at.l3) {
                (tunnel.ipv6_src, tunnel.ipv6_dst) = (ip.src, ip.dst);
                (tunnel.tos, tunnel.ttl) = (ip.traffic_class(), ip.hop_limit);
            }
        } else if let Some(ip) = Ipv4Header::at(frame, self.at.l3) {
            (tunnel.ip_src, tunnel.ip_dst) = (ip.src.get(), ip.dst.get());
            (tunnel.tos, tunnel.ttl) = (ip.tos, ip.ttl);
        }
    }

    /// Whether there is more than one packet inside, to be had from [`Outer::frames`].
    pub(super) fn is_many(&self) -> bool {
        self.datagram.is_some()
    }

    /// Geneve's options, as they are in the packet.
    pub(super) fn options<'a>(&self, packet: &'a Packet) -> &'a [u8] {
        let len = usize::from(self.layer.options);
        let start = self.inner.saturating_sub(len);
        if len == 0 { &[] } else { packet.bytes().get(start..self.inner).unwrap_or_default() }
    }

    /// The packets inside a super-packet of datagrams: those of them whose tunnel header says the same as the first, and that
    /// are long enough; `refused` is told of each other one.
    pub(super) fn frames<'a>(
        &self,
        packet: &'a Packet,
        mut refused: impl FnMut(),
    ) -> impl Iterator<Item = &'a [u8]> {
        let Self { protocol, layer, .. } = *self;
        let size = self.datagram.unwrap_or(u16::MAX);
        let options = self.options(packet);
        gro::datagrams(packet.bytes(), self.at.l4, self.end, size).filter_map(move |datagram| {
            let least = if layer.packet_type == 0 { EthernetHeader::LEN } else { 1 };
            let inside = layer::in_udp(protocol, datagram)
                .filter(|own| *own == layer)
                .and_then(|own| datagram.split_at_checked(own.len))
                .filter(|(header, inside)| inside.len() >= least && header.ends_with(options))
                .map(|(_, inside)| inside);
            if inside.is_none() {
                refused();
            }
            inside
        })
    }

    /// Takes the outer headers off the packet. False: its offload state makes no sense inside, drop it.
    #[inline]
    pub(super) fn strip(&self, packet: &mut Packet) -> bool {
        let n = self.inner;
        packet.offload.encap = None;
        packet.offload.plain = false;
        match packet.offload.csum {
            // Both are about what was inside.
            Csum::Partial { start, .. } if usize::from(start) > n => {
                packet.offload.pulled(n as u16)
            }
            // About the outer header; what is inside is as its sender left it: complete.
            _ if packet.offload.gso.is_none() => packet.offload.csum = Csum::Complete,
            _ => return false,
        }
        packet.buf.truncate(self.end);
        packet.buf.pull_front(n);
        if packet.offload.is_complete() && !self.layer.is_whole {
            packet.offload.csum = self.csum_of(packet.bytes());
        }
        true
    }

    /// The state of the checksum of a packet inside that came without one. Senders that keep no offload state pass on what a
    /// guest left unfinished: there is nothing in the checksum's place but the pseudo-header's sum, and it is as if they had
    /// said so. A valid checksum looks like that only if the rest sums to nothing, and completing it is no harm then.
    #[inline]
    pub(super) fn csum_of(&self, frame: &[u8]) -> Csum {
        if self.offloads == Some(true) {
            return Csum::Complete;
        }
        let at = match self.layer.packet_type {
            0 => locate_plain(frame).or_else(|| locate(frame)),
            _ => locate_bare(frame),
        };
        at.and_then(|at| unfinished(frame, at)).unwrap_or(Csum::Complete)
    }
}

/// The checksum, if it is the pseudo-header's part alone.
#[inline]
fn unfinished(frame: &[u8], at: Located) -> Option<Csum> {
    if at.fragment != Fragment::No || at.end != frame.len() {
        return None;
    }
    let offset = match at.proto {
        ip_proto::TCP => tcp::CSUM_OFFSET,
        ip_proto::UDP => udp::CSUM_OFFSET,
        _ => return None,
    };
    let stored = *frame.get(at.l4 + usize::from(offset)..at.end)?.first_chunk::<2>()?;
    let pseudo = at.pseudo(frame, at.end - at.l4)?.fold();
    let start = u16::try_from(at.l4).ok()?;
    (u16::from_be_bytes(stored) == pseudo).then_some(Csum::Partial { start, offset })
}

#[cfg(test)]
mod tests;
