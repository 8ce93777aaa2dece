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
//! Not UDP, a fragment, lengths that contradict each other, a wrong IPv4 header checksum, a wrong UDP checksum, VXLAN flags
//! other than I or bits in reserved fields, less than an Ethernet header inside: each is
//! [`DropReason::TunnelPopError`](crate::DropReason::TunnelPopError). A UDP checksum of zero is fine.

use flow::{TunnelKey, tunnel_flag};
use packet::checksum;
use packet::gro;
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ipv4::{self, Ipv4Header};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::tcp;
use packet::wire::udp::{self, UdpHeader};
use packet::wire::vxlan::VxlanHeader;
use packet::wire::{Fragment, Header, Located, ip_proto, locate};
use packet::{Csum, Gso, GsoKind, Packet};

use crate::peers;
use crate::ports::TunnelKind;

/// A valid outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outer {
    at: Located,
    vni: u32,
    /// Offset of the inner frame.
    inner: usize,
    /// Where the inner frame ends.
    end: usize,
    /// For a super-packet of many datagrams: bytes of UDP payload in each.
    datagram: Option<u16>,
    /// Whether its sender shows that it understands unfinished packets; `None`: nobody can tell by this packet.
    pub(super) offloads: Option<bool>,
}

/// Reads and judges the outer headers of a packet for a tunnel of this kind. `None`: drop it.
#[inline(always)]
pub(super) fn judge(packet: &Packet, kind: TunnelKind) -> Option<Outer> {
    match locate_plain(packet.bytes()) {
        Some(at) => judge_at(packet, at, kind),
        None => judge_other(packet, kind),
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
pub(super) fn may_be_joined(packet: &Packet) -> bool {
    let frame = packet.bytes();
    let inner = |at: Located| frame.get(at.l4 + UdpHeader::LEN + VxlanHeader::LEN..at.end);
    locate_plain(frame).and_then(inner).is_none_or(gro::may_be_joined)
}

#[cold]
fn judge_other(packet: &Packet, kind: TunnelKind) -> Option<Outer> {
    judge_at(packet, locate(packet.bytes())?, kind)
}

#[inline(always)]
fn judge_at(packet: &Packet, at: Located, kind: TunnelKind) -> Option<Outer> {
    let TunnelKind::Vxlan { .. } = kind;
    let frame = packet.bytes();
    if at.proto != ip_proto::UDP || at.fragment != Fragment::No {
        return None;
    }
    let udp = UdpHeader::at(frame, at.l4)?;
    let end = extent(packet, &at, udp)?;
    if !is_ip_sound(packet, &at) || !is_udp_sound(packet, &at, udp, end) {
        return None;
    }
    let vxlan = at.l4 + UdpHeader::LEN;
    let header = VxlanHeader::at(frame.get(..end)?, vxlan).filter(|h| h.is_plain())?;
    let inner = vxlan + VxlanHeader::LEN;
    if end < inner + EthernetHeader::LEN {
        return None;
    }
    let offloads = peers::shows_offloads(frame, at.l3, at.v6, &packet.offload);
    let (vni, datagram) = (header.vni(), datagram_size(packet));
    Some(Outer { at, vni, inner, end, datagram, offloads })
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

fn is_udp_sound(packet: &Packet, at: &Located, udp: &UdpHeader, end: usize) -> bool {
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
            let sum = frame.get(at.l4..end).zip(at.pseudo(frame, end - at.l4)).map(
                |(bytes, mut pseudo)| {
                    pseudo.add(checksum::sum(bytes));
                    pseudo.checksum()
                },
            );
            sum == Some(0)
        }
    }
}

impl Outer {
    /// Writes down what it says, of the packet that it was found in, where nothing is written yet.
    ///
    /// In place, and not given back: a processor that has just stored the fields one by one would wait before it can copy them
    /// all at once.
    #[inline(always)]
    pub(super) fn tell(&self, packet: &Packet, tunnel: &mut TunnelKey) {
        let frame = packet.bytes();
        tunnel.id = self.vni.into();
        if let Some(udp) = UdpHeader::at(frame, self.at.l4) {
            let csum = if udp.csum.get() != 0 { tunnel_flag::CSUM } else { 0 };
            tunnel.flags = tunnel_flag::KEY | csum;
            (tunnel.tp_src, tunnel.tp_dst) = (udp.src.get(), udp.dst.get());
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

    /// The packets inside a super-packet of datagrams: those of them that have a valid tunnel header of the same network and
    /// an Ethernet header; `refused` is told of each other one.
    pub(super) fn frames<'a>(
        &self,
        packet: &'a Packet,
        mut refused: impl FnMut(),
    ) -> impl Iterator<Item = &'a [u8]> {
        let vni = self.vni;
        let size = self.datagram.unwrap_or(u16::MAX);
        gro::datagrams(packet.bytes(), self.at.l4, self.end, size).filter_map(move |datagram| {
            let inside = VxlanHeader::split(datagram)
                .filter(|(h, frame)| {
                    h.is_plain() && h.vni() == vni && frame.len() >= EthernetHeader::LEN
                })
                .map(|(_, frame)| frame);
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
        if packet.offload.is_complete() {
            packet.offload.csum = self.csum_of(packet.bytes());
        }
        true
    }

    /// The state of the checksum of a packet inside that came without one. Senders that keep no offload state pass on what a
    /// guest left unfinished: there is nothing in the checksum's place but the pseudo-header's sum, and it is as if they had
    /// said so. A valid checksum looks like that only if the rest sums to nothing, and completing it is no harm then.
    #[inline]
    pub(super) fn csum_of(&self, frame: &[u8]) -> Csum {
        let unfinished = if self.offloads == Some(true) { None } else { unfinished(frame) };
        unfinished.unwrap_or(Csum::Complete)
    }
}

/// The checksum, if it is the pseudo-header's part alone.
#[inline]
fn unfinished(frame: &[u8]) -> Option<Csum> {
    let at = locate_plain(frame).or_else(|| locate(frame))?;
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
