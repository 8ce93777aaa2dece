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

use flow::{FlowKey, TnlPush};
use packet::checksum::{self, Sum};
use packet::fit;
use packet::gso::{self, Unfit};
use packet::wire::Header;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;
use packet::wire::tcp;
use packet::wire::udp::UdpHeader;
use packet::{Csum, Encap, Packet};
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
}

impl<'a> Template<'a> {
    /// `None`: a header that makes no sense.
    pub(super) fn new(tnl: &'a TnlPush) -> Option<Self> {
        let (l3, l4) = (usize::from(tnl.l3), usize::from(tnl.l4));
        let fits = tnl.header.len() <= HEADER_MAX && l3 < l4 && l4 < tnl.header.len();
        if !fits || (tnl.csum && !tnl.udp) {
            return None;
        }
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
        Some(Self { tnl, ipv4 })
    }

    /// What it was made of.
    pub(super) fn tnl(&self) -> &'a TnlPush {
        self.tnl
    }

    /// Puts the header before one packet. `key` tells the flow for the source port; `ip_id` is taken for headers that may be
    /// fragmented. The packet must not carry unfinished outer headers already. One that is too long then is left as it is.
    #[inline]
    pub(super) fn push(
        &self,
        packet: &mut Packet,
        key: &FlowKey,
        ip_id: &mut u16,
    ) -> Result<(), DropReason> {
        let tnl = self.tnl;
        if fit::longest(packet) + tnl.header.len() - usize::from(tnl.l3) > usize::from(tnl.fit.most)
        {
            return Err(DropReason::TunnelTooBig);
        }
        if tnl.fit.clamps && key.tcp_flags & tcp::flag::SYN != 0 {
            clamp(packet, tnl);
        }
        self.push_any(packet, key, ip_id)
    }

    /// The same of whatever length.
    #[inline]
    pub(super) fn push_any(
        &self,
        packet: &mut Packet,
        key: &FlowKey,
        ip_id: &mut u16,
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
        if tnl.udp {
            let udp = UdpHeader::at_mut(frame, l4).ok_or(DropReason::TunnelPushError)?;
            udp.src = source_port(key, tnl.src_ports).into();
            udp.len = (l4_len as u16).into();
            udp.csum = 0.into();
        }
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
            peers::mark_ipv6(ip);
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
    let mtu = tnl.fit.inner(tnl, fit::link_header(packet.bytes()));
    fit::clamp_mss(packet, mtu);
}

/// The table in the module's essay.
fn checksums(packet: &mut Packet, tnl: &TnlPush) -> Result<(), Unfit> {
    // The header's length was checked.
    let inner = tnl.header.len() as u16;
    let encap = Encap { l3: tnl.l3, l4: tnl.l4, inner, udp: tnl.udp, csum: tnl.csum };
    if !packet.offload.is_complete() {
        packet.offload.encap = Some(encap);
        return if packet.offload.gso.is_none() { gso::complete_outer(packet) } else { Ok(()) };
    }
    packet.offload.csum = Csum::Complete;
    if tnl.csum { gso::defer_udp_csum(packet, encap) } else { Ok(()) }
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
    template.push(packet, key, ip_id)
}

#[cfg(test)]
pub(super) mod tests;
