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

use flow::{FlowKey, TnlPush};
use packet::gso::{self, Unfit};
use packet::wire::Header;
use packet::wire::ipv4::{self, Ipv4Header};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use packet::{Csum, Encap, Packet};

use crate::drops::DropReason;
use crate::peers;

/// A header longer than this is not one of ours.
const HEADER_MAX: usize = 512;

/// Prepends the header to one packet. `key` tells the flow for the source port; `ip_id` is taken for headers that may be
/// fragmented. The packet must not carry unfinished outer headers already.
pub(super) fn push(
    packet: &mut Packet,
    tnl: &TnlPush,
    key: &FlowKey,
    ip_id: &mut u16,
) -> Result<(), DropReason> {
    let header = &tnl.header;
    let (l3, l4) = (usize::from(tnl.l3), usize::from(tnl.l4));
    let length = header.len() + packet.buf.len();
    // Lengths in the outer headers; a super-packet's are put right when it is cut, segment by segment.
    let (ip_len, l4_len) = match packet.offload.gso {
        None => (length.saturating_sub(l3), length.saturating_sub(l4)),
        Some(_) => (length.saturating_sub(l3).min(0xffff), length.saturating_sub(l4).min(0xffff)),
    };
    let fits = header.len() <= HEADER_MAX && l3 < l4 && l4 < header.len() && ip_len <= 0xffff;
    if !fits || (tnl.csum && !tnl.udp) || length > usize::from(u16::MAX) * 2 {
        return Err(DropReason::TunnelPushError);
    }
    packet.buf.push_front(header.len()).copy_from_slice(header);
    packet.offload.pushed(header.len() as u16);
    let frame = packet.buf.as_mut_slice();
    patch_ip(frame, l3, ip_len as u16, ip_id).ok_or(DropReason::TunnelPushError)?;
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

fn patch_ip(frame: &mut [u8], l3: usize, len: u16, ip_id: &mut u16) -> Option<()> {
    let version = frame.get(l3)? >> 4;
    if version == 4 {
        let ip = Ipv4Header::at_mut(frame, l3)?;
        ip.total_len = len.into();
        // A datagram that is never fragmented needs no identification (RFC 6864).
        if !peers::mark_ipv4(ip) {
            *ip_id = ip_id.wrapping_add(1);
            ip.id = (*ip_id).into();
        }
        ipv4::fix_checksum(frame.get_mut(l3..)?);
    } else {
        let ip = Ipv6Header::at_mut(frame, l3)?;
        ip.payload_len = len.checked_sub(Ipv6Header::LEN as u16)?.into();
        peers::mark_ipv6(ip);
    }
    Some(())
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
    let mac = |m: &[u8; 6]| m.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    let ports =
        if key.ip_frag == 0 { u64::from(key.tp_src) << 16 | u64::from(key.tp_dst) } else { 0 };
    let mut mixer = classifier::Mixer::new(0);
    mixer.pair(mac(&key.eth_src), mac(&key.eth_dst));
    mixer.pair(
        u64::from(key.nw_src) << 32 | u64::from(key.nw_dst),
        ports << 8 | u64::from(key.nw_proto),
    );
    if key.is_ipv6() {
        let half =
            |a: &[u8; 16], at: usize| a[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        mixer.pair(half(&key.ipv6_src, 0), half(&key.ipv6_src, 8));
        mixer.pair(half(&key.ipv6_dst, 0), half(&key.ipv6_dst, 8));
    }
    mixer.finish()
}

#[cfg(test)]
pub(super) mod tests;
