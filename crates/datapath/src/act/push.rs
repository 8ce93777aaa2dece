//! Encapsulation: a header prepared once is copied into the headroom, and what differs per packet is patched.
//!
//! # Checksums
//! The packet under the header may be unfinished. Who computes what:
//!
//! | inner packet     | outer checksum wanted               | not wanted |
//! |------------------|-------------------------------------|------------|
//! | super-packet     | whoever cuts it ([`Encap`])         | same, 0 where the device allows |
//! | checksum partial | now, from the headers alone         | 0 |
//! | complete         | left to the device ([`Csum::Partial`]) | 0 |
//!
//! What is left unfinished for an end that may not understand it is marked as such (see [`crate::peers`]).

use std::mem::offset_of;

use base::Instant;
use flow::{FlowKey, TnlPush, TunnelProtocol};
use packet::checksum::{self, Sum};
use packet::fit;
use packet::gso::{self, Unfit};
use packet::wire::Header;
use packet::wire::erspan::{self, Erspan, Version};
use packet::wire::gre::Gre;
use packet::wire::gtpu::GtpuHeader;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;
use packet::wire::tcp;
use packet::wire::udp::UdpHeader;
use packet::{Carrier, Csum, Encap, Packet};
use zerocopy::IntoBytes;

use crate::drops::DropReason;
use crate::peers;

/// A header longer than this is not one of ours.
const HEADER_MAX: usize = 512;

/// A header that was looked at, to be put before many packets.
pub(super) struct Template<'a> {
    tnl: &'a TnlPush,
    /// Sum of the IPv4 header without its length, identification and checksum; `None`: it is an IPv6 header. (To read it back
    /// behind each packet's changes would make the processor wait for those.)
    ipv4: Option<Sum>,
    last: Last,
}

/// What the protocol wants patched behind the outer IP header. Offsets are of the whole header.
#[derive(Clone, Copy)]
enum Last {
    /// UDP's length and source port.
    Udp,
    /// The same, and a length further on.
    Gtpu,
    /// GRE: perhaps a sequence number and a timestamp.
    Gre { sequence: Option<usize>, timestamp: Option<usize> },
    /// Nothing, but for a flow label in front.
    Ipv6,
}

impl Last {
    /// `None`: the header is too short for what it says it is.
    fn of(tnl: &TnlPush) -> Option<Self> {
        let l4 = usize::from(tnl.l4);
        let bytes = tnl.header.get(l4..)?;
        let udp = |len: usize| bytes.len() >= UdpHeader::LEN + len;
        match tnl.protocol {
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve => udp(0).then_some(Self::Udp),
            TunnelProtocol::Gtpu => udp(GtpuHeader::LEN).then_some(Self::Gtpu),
            TunnelProtocol::Gre | TunnelProtocol::Erspan => {
                let gre = Gre::parse(bytes).filter(|gre| gre.csum.is_some() == tnl.csum)?;
                let sequence = gre.seq_offset().map(|at| l4 + at);
                let inside = bytes.get(gre.len()..)?;
                let erspan = Erspan::parse(gre.proto, inside).map(|erspan| erspan.version);
                let has_time = matches!(erspan, Some(Version::V2 { .. }));
                let timestamp = has_time.then_some(l4 + gre.len() + erspan::TIMESTAMP_OFFSET);
                (sequence.is_some() == tnl.sequence.is_some())
                    .then_some(Self::Gre { sequence, timestamp })
            }
            TunnelProtocol::Srv6 => (!tnl.csum).then_some(Self::Ipv6),
        }
    }
}

impl<'a> Template<'a> {
    /// `None`: a header that makes no sense.
    pub(super) fn new(tnl: &'a TnlPush) -> Option<Self> {
        let (l3, l4) = (usize::from(tnl.l3), usize::from(tnl.l4));
        let fits = tnl.header.len() <= HEADER_MAX && l3 < l4 && l4 < tnl.header.len();
        let last = Last::of(tnl).filter(|_| fits)?;
        let ip = tnl.header.get(l3..l4)?;
        let ipv4 = if ip.first()? >> 4 == 4 {
            let mut header = *Ipv4Header::view(ip)?;
            (header.total_len, header.id, header.csum) = (0.into(), 0.into(), 0.into());
            let mut sum = checksum::sum(header.as_bytes());
            sum.add(checksum::sum(ip.get(Ipv4Header::LEN..header.header_len())?));
            Some(sum)
        } else {
            Ipv6Header::view(ip)?;
            None
        };
        Some(Self { tnl, ipv4, last })
    }

    /// What it was made of.
    pub(super) fn tnl(&self) -> &'a TnlPush {
        self.tnl
    }

    /// Whether the outer packet is IPv6.
    pub(super) fn is_v6(&self) -> bool {
        self.ipv4.is_none()
    }

    /// Puts the header before one packet. `key` tells the flow for the source port; `ip_id` is taken for headers that may be
    /// fragmented. The packet must not carry unfinished outer headers already. One that is too long then is left as it is.
    #[inline]
    pub(super) fn push(
        &self,
        packet: &mut Packet,
        key: &FlowKey,
        ip_id: &mut u16,
        now: Instant,
    ) -> Result<(), DropReason> {
        let tnl = self.tnl;
        if fit::longest(packet) + tnl.header.len() - usize::from(tnl.l3) > usize::from(tnl.fit.most)
        {
            return Err(DropReason::TunnelTooBig);
        }
        if tnl.fit.clamps && key.tcp_flags & tcp::flag::SYN != 0 {
            clamp(packet, tnl);
        }
        self.push_any(packet, key, ip_id, now)
    }

    /// The same of whatever length.
    #[inline]
    pub(super) fn push_any(
        &self,
        packet: &mut Packet,
        key: &FlowKey,
        ip_id: &mut u16,
        now: Instant,
    ) -> Result<(), DropReason> {
        let tnl = self.tnl;
        let (l3, l4) = (usize::from(tnl.l3), usize::from(tnl.l4));
        let length = tnl.header.len() + packet.buf.len();
        // Lengths in the outer headers; a super-packet's are put right when it is cut, segment by segment.
        let (ip_len, l4_len) = match packet.offload.gso {
            None => (length - l3, length - l4),
            Some(_) => ((length - l3).min(0xffff), (length - l4).min(0xffff)),
        };
        if ip_len > 0xffff || length > usize::from(u16::MAX) * 2 {
            return Err(DropReason::TunnelPushError);
        }
        packet.buf.prepend(&tnl.header);
        packet.offload.pushed(tnl.header.len() as u16);
        let frame = packet.buf.as_mut_slice();
        self.patch_ip(frame, ip_len as u16, ip_id).ok_or(DropReason::TunnelPushError)?;
        match self.last {
            Last::Udp => patch_udp(frame, l4, l4_len, key, tnl.src_ports),
            rest => self.patch_rest(rest, packet, l4_len, key, now),
        }
        .ok_or(DropReason::TunnelPushError)?;
        // Once under a stranger's header, always: another tunnel around it does not change who reads it in the end.
        let plain = packet.offload.plain || !tnl.peer_offloads;
        checksums(packet, tnl).map_err(|_| DropReason::TunnelPushError)?;
        packet.offload.plain = plain && !packet.offload.is_complete();
        Ok(())
    }

    #[inline]
    fn patch_ip(&self, frame: &mut [u8], len: u16, ip_id: &mut u16) -> Option<()> {
        let l3 = usize::from(self.tnl.l3);
        let Some(mut sum) = self.ipv4 else {
            let ip = Ipv6Header::at_mut(frame, l3)?;
            ip.payload_len = len.checked_sub(Ipv6Header::LEN as u16)?.into();
            // Where labels have a meaning of their own they are left alone.
            if self.tnl.protocol != TunnelProtocol::Srv6 {
                peers::mark_ipv6(ip);
            }
            return Some(());
        };
        let ip = Ipv4Header::at_mut(frame, l3)?;
        // A datagram that is never fragmented needs no identification (RFC 6864).
        if !peers::mark_ipv4(ip) {
            *ip_id = ip_id.wrapping_add(1);
            ip.id = (*ip_id).into();
        }
        sum.add_u16(len);
        sum.add_u16(ip.id.get());
        (ip.total_len, ip.csum) = (len.into(), sum.checksum().into());
        Some(())
    }
}

/// Lowers the segments of a TCP connection that is being opened to what fits.
#[cold]
fn clamp(packet: &mut Packet, tnl: &TnlPush) {
    if tnl.bare {
        fit::clamp_mss_bare(packet, tnl.fit.inner(tnl, 0));
    } else {
        let mtu = tnl.fit.inner(tnl, fit::link_header(packet.bytes()));
        fit::clamp_mss(packet, mtu);
    }
}

/// UDP's own.
#[inline(always)]
fn patch_udp(
    frame: &mut [u8],
    l4: usize,
    len: usize,
    key: &FlowKey,
    src_ports: (u16, u16),
) -> Option<()> {
    let udp = UdpHeader::at_mut(frame, l4)?;
    udp.src = source_port(key, src_ports).into();
    udp.len = (len as u16).into();
    udp.csum = 0.into();
    Some(())
}

impl Template<'_> {
    /// What protocols have that is not only UDP's.
    fn patch_rest(
        &self,
        last: Last,
        packet: &mut Packet,
        l4_len: usize,
        key: &FlowKey,
        now: Instant,
    ) -> Option<()> {
        let (tnl, l4) = (self.tnl, usize::from(self.tnl.l4));
        match last {
            Last::Udp => {}
            Last::Gtpu => {
                let frame = packet.buf.as_mut_slice();
                patch_udp(frame, l4, l4_len, key, tnl.src_ports)?;
                let gtpu = GtpuHeader::at_mut(frame, l4 + UdpHeader::LEN)?;
                let len = l4_len.checked_sub(UdpHeader::LEN + GtpuHeader::LEN)?;
                gtpu.len = (len as u16).into();
            }
            Last::Gre { sequence, timestamp } => {
                if let (Some(at), Some(numbers)) = (sequence, &tnl.sequence) {
                    // Each segment of a super-packet has a number of its own.
                    let packets = packet
                        .offload
                        .gso
                        .map_or(1, |gso| packet.buf.len().div_ceil(usize::from(gso.size.max(1))));
                    let number = numbers.take(packets as u32);
                    put_u32(packet.buf.as_mut_slice(), at, number)?;
                }
                if let Some(at) = timestamp {
                    // Units of 100 microseconds, as the header's granularity says.
                    let time = now.as_nanos() / 100_000;
                    put_u32(packet.buf.as_mut_slice(), at, time as u32)?;
                }
            }
            Last::Ipv6 if tnl.labels_flows => {
                let ip = Ipv6Header::at_mut(packet.buf.as_mut_slice(), usize::from(tnl.l3))?;
                let rest = ip.version_class_label.get() & !0xf_ffff;
                let label = (flow_hash(key) >> 44) as u32;
                ip.version_class_label = (rest | label).into();
            }
            Last::Ipv6 => {}
        }
        Some(())
    }
}

fn put_u32(frame: &mut [u8], at: usize, value: u32) -> Option<()> {
    *frame.get_mut(at..)?.first_chunk_mut::<4>()? = value.to_be_bytes();
    Some(())
}

/// The table in the module's essay.
fn checksums(packet: &mut Packet, tnl: &TnlPush) -> Result<(), Unfit> {
    // The header's length was checked.
    let inner = tnl.header.len() as u16;
    let carrier = match tnl.protocol {
        TunnelProtocol::Vxlan | TunnelProtocol::Geneve => Carrier::Udp,
        TunnelProtocol::Gtpu => Carrier::Gtpu,
        TunnelProtocol::Gre | TunnelProtocol::Erspan => Carrier::Gre,
        TunnelProtocol::Srv6 => Carrier::Ipv6,
    };
    let TnlPush { l3, l4, csum, bare, .. } = *tnl;
    let encap = Encap { l3, l4, inner, carrier, csum, bare };
    if !packet.offload.is_complete() {
        packet.offload.encap = Some(encap);
        return if packet.offload.gso.is_none() { gso::complete_outer(packet) } else { Ok(()) };
    }
    packet.offload.csum = Csum::Complete;
    match tnl.csum {
        false => Ok(()),
        true if carrier.is_udp() => gso::defer_udp_csum(packet, encap),
        // No device knows GRE's.
        true => {
            packet.offload.encap = Some(encap);
            gso::complete_outer(packet)
        }
    }
}

/// The outer source port: one per inner flow, so that multipath underlays keep each flow in order and spread them all.
/// Fragments have no ports; all of a datagram's go by addresses.
fn source_port(key: &FlowKey, (low, high): (u16, u16)) -> u16 {
    let hash = flow_hash(key);
    let span = u64::from(high.saturating_sub(low)) + 1;
    // The high half scaled to the range.
    low + (((hash >> 32) * span) >> 32) as u16
}

fn flow_hash(key: &FlowKey) -> u64 {
    const ETHERNET: usize = offset_of!(FlowKey, eth_dst) / 8;
    const IPV6: usize = offset_of!(FlowKey, ipv6_src) / 8;
    let w = key.words();
    let ports =
        if key.ip_frag == 0 { u64::from(key.tp_src) << 16 | u64::from(key.tp_dst) } else { 0 };
    let mut mixer = classifier::Mixer::new(0);
    // Both addresses, and the type.
    mixer.pair(w[ETHERNET], w[ETHERNET + 1]);
    mixer.pair(
        u64::from(key.nw_src) << 32 | u64::from(key.nw_dst),
        ports << 8 | u64::from(key.nw_proto),
    );
    if key.is_ipv6() {
        mixer.pair(w[IPV6], w[IPV6 + 1]);
        mixer.pair(w[IPV6 + 2], w[IPV6 + 3]);
    }
    mixer.finish()
}

/// The same for one packet.
#[cfg(test)]
pub(super) fn push(
    packet: &mut Packet,
    tnl: &TnlPush,
    key: &FlowKey,
    ip_id: &mut u16,
) -> Result<(), DropReason> {
    let template = Template::new(tnl).ok_or(DropReason::TunnelPushError)?;
    template.push(packet, key, ip_id, Instant::default())
}

#[cfg(test)]
pub(super) mod tests;
