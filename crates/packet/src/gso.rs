//! Finishing packets in software: checksums, segmentation, and super-packets inside tunnels.
//!
//! # What
//! A packet arrives at a device with work left over ([`Offload`]). What the device cannot do is done here:
//!
//! | left over | done by |
//! |---|---|
//! | a checksum | [`complete_csum`]; inside a tunnel also [`complete_outer`] |
//! | segmentation, with or without outer headers | [`segment`] |
//! | segmentation inside a UDP tunnel, for a device that segments UDP | [`to_outer_udp`] |
//!
//! # Design
//! A `Plan` is a super-packet taken apart once: where its headers are, how many segments it makes. Writing segment *i* is then
//! copying the headers, copying its share of the payload while summing it, and patching. A segment inside an outer UDP
//! super-packet is the same segment without the outer Ethernet, IP and UDP headers, so one function writes both.
//!
//! Offsets given by senders are not trusted: headers are located anew from the bytes, and what does not add up is refused with
//! a reason, to be dropped and counted.
//!
//! Outer checksums are never computed over the payload: a transport checksum makes its region sum to the complement of its
//! pseudo-header, whatever the payload (the kernel calls this local checksum offload).

mod csum;
mod plan;

pub use csum::{complete_csum, complete_outer, defer_udp_csum, outer_of};

use crate::Packet;
use crate::buf::{Buf, HEADROOM};
use crate::offload::{Csum, Encap, Gso, GsoKind, Offload};
use crate::wire::Header;
use crate::wire::udp::{self, UdpHeader};
use plan::Plan;

/// Segments that a super-packet may make: 64 KiB of TCP at the smallest segment size that Linux itself would use (48 bytes)
/// are 1366. More is an attempt to make us work.
pub const MAX_SEGMENTS: usize = 2048;

/// Segments in a UDP super-packet at most: what every Linux with `UDP_SEGMENT` takes.
pub const MAX_UDP_SEGMENTS: usize = 64;

/// Payload of a UDP super-packet at most: the kernel's limit for segmentation without a detour.
pub const MAX_UDP_PAYLOAD: usize = 65_507;

/// Bytes of headers (outer and inner) that each segment repeats, at most.
const MAX_HEADERS: usize = 1024;

/// Why a packet cannot be finished. It is to be dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is no super-packet.
    NotSuper,
    /// The headers are not those of what it says it is, or contradict each other.
    Headers,
    /// The segment size is 0, or makes more than [`MAX_SEGMENTS`].
    SegmentSize,
    /// Checksum offsets point outside the packet.
    CsumOffset,
    /// There is no UDP tunnel header to make a super-packet of.
    NotUdpTunnel,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unfit::NotSuper => "not a super-packet",
            Unfit::Headers => "headers do not fit the segmentation asked for",
            Unfit::SegmentSize => "segment size out of range",
            Unfit::CsumOffset => "checksum offsets outside the packet",
            Unfit::NotUdpTunnel => "no UDP tunnel header",
        })
    }
}

impl std::error::Error for Unfit {}

/// How segments' transport checksums are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Computed.
    Complete,
    /// Left to the device ([`Csum::Partial`]), the innermost one under a tunnel; an outer one is computed.
    Partial,
}

/// Cuts a super-packet into segments, appended to `out` in order: with IP lengths and identifications, TCP sequence numbers and
/// flags (FIN and PSH on the last, CWR on the first), and under a tunnel the outer headers repeated and fixed. `alloc` gives an
/// empty buffer with at least the room asked for behind its headroom. On an error nothing was appended.
pub fn segment(
    packet: &Packet,
    checksums: Checksums,
    mut alloc: impl FnMut(usize) -> Buf,
    out: &mut Vec<Packet>,
) -> Result<(), Unfit> {
    let plan = Plan::new(packet)?;
    out.reserve(plan.segments);
    let offload = plan.segment_offload(checksums);
    for i in 0..plan.segments {
        let len = plan.segment_len(0, i);
        let mut buf = room(&mut alloc, len);
        if let Some(frame) = buf.spare_mut().get_mut(..len) {
            plan.write_segment(i, 0, checksums, frame);
            plan.fix_outer_of_segment(i, frame);
        }
        buf.commit(len);
        out.push(Packet { buf, offload });
    }
    Ok(())
}

/// Turns a super-packet under UDP encapsulation into outer UDP super-packets, appended to `out`: each at most
/// [`MAX_UDP_SEGMENTS`] datagrams and [`MAX_UDP_PAYLOAD`] bytes, its datagrams of one size but the last of the last, each with
/// its own tunnel header, inner headers and complete inner checksum. The outer checksum is left [`Csum::Partial`] (a device
/// that segments wants it so), but for one that is alone and was not asked to have a checksum. On an error nothing was
/// appended.
pub fn to_outer_udp(
    packet: &Packet,
    mut alloc: impl FnMut(usize) -> Buf,
    out: &mut Vec<Packet>,
) -> Result<(), Unfit> {
    let plan = Plan::new(packet)?;
    let encap = plan.encap.filter(|e| e.carrier.is_udp()).ok_or(Unfit::NotUdpTunnel)?;
    let body = usize::from(encap.l4) + UdpHeader::LEN;
    let datagram = plan.segment_len(body, 0);
    let gso_size = u16::try_from(datagram).map_err(|_| Unfit::SegmentSize)?;
    let most = (MAX_UDP_PAYLOAD / datagram).min(MAX_UDP_SEGMENTS);
    if most == 0 {
        return Err(Unfit::SegmentSize);
    }
    // Even shares rather than full ones and a crumb.
    let share = plan.segments.div_ceil(plan.segments.div_ceil(most));
    for first in (0..plan.segments).step_by(share) {
        let segments = first..plan.segments.min(first + share);
        let count = segments.len();
        let len = body + segments.clone().map(|i| plan.segment_len(body, i)).sum::<usize>();
        let mut buf = room(&mut alloc, len);
        let partial = count > 1 || encap.csum;
        if let Some(frame) = buf.spare_mut().get_mut(..len) {
            plan.write_outer_datagrams(segments, body, frame);
            plan.fix_outer_of_super(first, frame, partial);
        }
        buf.commit(len);
        let csum = Csum::Partial { start: encap.l4, offset: udp::CSUM_OFFSET };
        let offload = Offload {
            csum: if partial { csum } else { Csum::Verified },
            gso: (count > 1).then_some(Gso { kind: GsoKind::Udp, size: gso_size, ecn: false }),
            plain: partial && packet.offload.plain,
            encap: None,
        };
        out.push(Packet { buf, offload });
    }
    Ok(())
}

/// Length of the longest frame that the packet becomes on a wire, to be compared with what a device can send.
pub fn wire_len(packet: &Packet) -> usize {
    if packet.offload.gso.is_none() {
        return packet.buf.len();
    }
    Plan::new(packet).map_or(packet.buf.len(), |plan| plan.segment_len(0, 0))
}

/// How many frames the packet becomes on a wire, and how many bytes they have together.
pub fn wire_total(packet: &Packet) -> (usize, usize) {
    let whole = (1, packet.buf.len());
    if packet.offload.gso.is_none() {
        return whole;
    }
    Plan::new(packet).map_or(whole, |plan| {
        let headers = plan.segment_len(0, 0) - plan.share(0).len();
        (plan.segments, packet.buf.len() + headers * (plan.segments - 1))
    })
}

/// The tunnel in a super-packet (or one with a partial checksum) that a device handed in without naming it: a kernel's tunnel
/// device sends TCP super-packets whose checksum start is the *inner* transport header. `None` when the offload state is about
/// the outermost headers, or the tunnel is not one we know (VXLAN and Geneve).
pub fn find_tunnel(frame: &[u8], csum: Csum) -> Option<Encap> {
    plan::find_tunnel(frame, csum)
}

/// A buffer with `len` bytes of room, whatever `alloc` thinks.
fn room(alloc: &mut impl FnMut(usize) -> Buf, len: usize) -> Buf {
    let buf = alloc(len);
    if buf.is_empty() && buf.tailroom() >= len { buf } else { Buf::with_capacity(HEADROOM, len) }
}

#[cfg(test)]
mod tests;
