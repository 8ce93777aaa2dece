//! Joining segments into super-packets, the reverse of [`crate::gso`].
//!
//! # What
//! [`Gro`] takes packets in order and gives them back in order, fewer and larger: consecutive TCP segments of one connection
//! become one super-packet with a partial checksum, as a virtio guest or a tap takes it; datagrams of equal size become a UDP
//! super-packet where that was asked for. It is for two places: segments that arrived in one outer UDP super-packet, after
//! decapsulation ([`datagrams`] cuts that into slices), and batches of packets from devices that do not join.
//!
//! # When segments join
//! Cutting the joined packet again must give what came in. So: same link-layer, IP and TCP header but for lengths, checksums,
//! sequence number and identification (which must continue); same acknowledgement, window and options; no flags but ACK, ECE,
//! PSH and FIN, and the latter two end a packet, as does a segment shorter than the first. Both checksums must be right, since
//! joining replaces them: they are verified (while copying, where a copy is made) unless somebody vouched for them.
//!
//! # Order
//! A packet never overtakes one of its own flow: whatever does not join flushes its flow first. What is not recognisably
//! another flow flushes everything.

mod segment;

use std::collections::VecDeque;

use crate::Packet;
use crate::buf::{Buf, FRAME_MAX, HEADROOM};
use crate::checksum;
use crate::gso::{MAX_SEGMENTS, MAX_UDP_SEGMENTS};
use crate::offload::{Csum, Gso as GsoState, GsoKind, Offload};
use crate::wire::ethernet::{EthernetHeader, eth_type};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{self, TcpHeader, flag};
use crate::wire::udp::{self, UdpHeader};
use crate::wire::{Header, ip_proto};
use segment::Segment;

/// Flows that are joined at the same time: as many as a few batches of small packets may mix.
pub const MAX_OPEN: usize = 64;

/// What is joined, besides TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// UDP datagrams of equal size.
    pub udp: bool,
    /// Also those without a checksum, which they have afterwards: for the outer headers of tunnels.
    pub udp_without_csum: bool,
}

/// Joins segments; see the module's essay.
#[derive(Debug)]
pub struct Gro {
    options: Options,
    /// Oldest first.
    open: VecDeque<Open>,
}

/// Whether a frame may be joined to another ([`Options::udp_without_csum`] apart), at a glance: what a look at the headers'
/// usual places excludes may not, and all else may.
#[inline]
pub fn may_be_joined(frame: &[u8]) -> bool {
    let Some((ethernet, rest)) = EthernetHeader::split(frame) else { return false };
    let Some(ip) = Ipv4Header::view(rest) else { return true };
    if ethernet.eth_type.get() != eth_type::IPV4 || ip.header_len() != Ipv4Header::LEN {
        return true;
    }
    let at = Ipv4Header::LEN;
    match ip.proto {
        ip_proto::UDP => UdpHeader::at(rest, at).is_some_and(|udp| udp.csum.get() != 0),
        ip_proto::TCP => TcpHeader::at(rest, at)
            .is_some_and(|tcp| usize::from(ip.total_len.get()) > at + tcp.header_len()),
        _ => false,
    }
}

/// A packet that may still grow.
#[derive(Debug)]
struct Open {
    packet: Packet,
    first: Segment,
    /// TCP: the sequence number to continue with.
    next_seq: u32,
    /// IPv4: the last segment's identification.
    last_id: u16,
    count: usize,
    /// FIN and PSH of the last segment.
    ending: u16,
}

impl Gro {
    /// An empty joiner.
    pub fn new(options: Options) -> Self {
        Self { options, open: VecDeque::with_capacity(MAX_OPEN) }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a packet. What is finished goes to `out`. The packet's buffer comes back when its bytes were joined to another's.
    /// `alloc` gives empty buffers with at least the room asked for.
    pub fn packet(
        &mut self,
        packet: Packet,
        mut alloc: impl FnMut(usize) -> Buf,
        out: &mut Vec<Packet>,
    ) -> Option<Buf> {
        let Some(segment) = self.examine(&packet, out) else {
            out.push(packet);
            return None;
        };
        if self.append(packet.bytes(), &segment, &mut alloc, out) {
            return Some(packet.buf);
        }
        self.start(packet, segment, out);
        None
    }

    /// Takes a frame out of a larger packet; its bytes are copied.
    pub fn frame(
        &mut self,
        frame: &[u8],
        csum: Csum,
        mut alloc: impl FnMut(usize) -> Buf,
        out: &mut Vec<Packet>,
    ) {
        let offload = Offload { csum, ..Offload::default() };
        let segment = self.examine_bytes(frame, &offload, out);
        if let Some(segment) = &segment
            && self.append(frame, segment, &mut alloc, out)
        {
            return;
        }
        let mut buf = room(&mut alloc, if segment.is_some() { FRAME_MAX } else { frame.len() });
        buf.extend(frame);
        let packet = Packet { buf, offload };
        match segment {
            Some(segment) => self.start(packet, segment, out),
            None => out.push(packet),
        }
    }

    /// Gives everything away.
    pub fn flush(&mut self, out: &mut Vec<Packet>) {
        out.extend(self.open.drain(..).map(Open::finish));
    }

    fn examine(&mut self, packet: &Packet, out: &mut Vec<Packet>) -> Option<Segment> {
        self.examine_bytes(packet.bytes(), &packet.offload, out)
    }

    /// The frame as a segment that can be joined; otherwise what must not be overtaken by it is flushed.
    fn examine_bytes(
        &mut self,
        frame: &[u8],
        offload: &Offload,
        out: &mut Vec<Packet>,
    ) -> Option<Segment> {
        let segment = Segment::examine(frame, offload, self.options);
        match segment {
            Some(segment) if segment.joinable => Some(segment),
            Some(segment) => {
                self.flush_flow(frame, &segment, out);
                None
            }
            None => {
                self.flush(out);
                None
            }
        }
    }

    fn flush_flow(&mut self, frame: &[u8], segment: &Segment, out: &mut Vec<Packet>) {
        if let Some(i) = self.position(frame, segment) {
            out.extend(self.open.remove(i).map(Open::finish));
        }
    }

    fn position(&self, frame: &[u8], segment: &Segment) -> Option<usize> {
        self.open.iter().position(|open| open.first.same_flow(open.packet.bytes(), segment, frame))
    }

    /// Joins the segment to its flow's open packet. If it does not fit there, that one is flushed.
    fn append(
        &mut self,
        frame: &[u8],
        segment: &Segment,
        alloc: &mut impl FnMut(usize) -> Buf,
        out: &mut Vec<Packet>,
    ) -> bool {
        let Some(i) = self.position(frame, segment) else { return false };
        let joined = self.open[i].append(frame, segment, alloc);
        if !joined || self.open[i].is_full(segment) {
            out.extend(self.open.remove(i).map(Open::finish));
        }
        joined
    }

    /// Keeps the packet for others to join, unless it ends with itself.
    fn start(&mut self, packet: Packet, first: Segment, out: &mut Vec<Packet>) {
        if first.flags & (flag::FIN | flag::PSH) != 0 {
            out.push(packet);
            return;
        }
        if self.open.len() == MAX_OPEN {
            out.extend(self.open.pop_front().map(Open::finish));
        }
        self.open.push_back(Open {
            packet,
            first,
            next_seq: first.next_seq(),
            last_id: first.id,
            count: 1,
            ending: 0,
        });
    }
}

impl Open {
    /// Appends the segment's payload if it continues this packet.
    fn append(
        &mut self,
        frame: &[u8],
        segment: &Segment,
        alloc: &mut impl FnMut(usize) -> Buf,
    ) -> bool {
        if !self.continues(frame, segment) {
            return false;
        }
        // The first one is verified only now, when it is clear that its checksum will be replaced.
        if self.count == 1 && !self.first.verify(self.packet.bytes()) {
            return false;
        }
        let payload = &frame[segment.payload..segment.end];
        let Some(room) = self.make_room(payload.len(), alloc) else { return false };
        let sum = checksum::copy_and_sum(room, payload);
        if !segment.verify_with(frame, sum) {
            return false; // the bytes stay behind the end, where nobody looks
        }
        self.packet.buf.commit(payload.len());
        self.next_seq = segment.next_seq();
        self.last_id = segment.id;
        self.count += 1;
        self.ending |= segment.flags & (flag::FIN | flag::PSH);
        true
    }

    fn continues(&self, frame: &[u8], segment: &Segment) -> bool {
        let limit = if self.first.is_udp { MAX_UDP_SEGMENTS } else { MAX_SEGMENTS };
        let ip_len = self.packet.buf.len() - self.first.l3 + segment.payload_len();
        segment.seq == self.next_seq
            && (segment.id == self.last_id.wrapping_add(1) || !segment.id_counts)
            && segment.payload_len() <= self.first.payload_len()
            && self.count < limit
            && ip_len <= usize::from(u16::MAX)
            && self.first.same_headers(self.packet.bytes(), segment, frame)
    }

    /// Room for `len` bytes behind the payload. A small buffer is moved, once, to one that has room for all that may come.
    fn make_room(&mut self, len: usize, alloc: &mut impl FnMut(usize) -> Buf) -> Option<&mut [u8]> {
        let buf = &mut self.packet.buf;
        if self.count == 1 {
            buf.truncate(self.first.end);
        }
        if buf.tailroom() < len && self.count == 1 {
            let mut larger = room(alloc, FRAME_MAX);
            larger.extend(buf.as_slice());
            *buf = larger;
        }
        buf.spare_mut().get_mut(..len)
    }

    /// Whether nothing can follow the segment that was just appended.
    fn is_full(&self, last: &Segment) -> bool {
        self.ending != 0 || last.payload_len() < self.first.payload_len()
    }

    /// Writes the headers of the joined packet.
    fn finish(mut self) -> Packet {
        if self.count < 2 {
            return self.packet;
        }
        let Segment { l3, l4, v6, is_udp, .. } = self.first;
        let frame = self.packet.buf.as_mut_slice();
        let transport_len = frame.len() - l4;
        let pseudo = if v6 {
            Ipv6Header::at_mut(frame, l3).map(|ip| {
                ip.payload_len.set(transport_len as u16);
                ip.pseudo(ip.next, transport_len)
            })
        } else {
            ipv4_len(frame, l3, l4).map(|ip| ip.pseudo(transport_len))
        };
        let pseudo = pseudo.unwrap_or_default().fold();
        if is_udp {
            if let Some(udp) = UdpHeader::at_mut(frame, l4) {
                udp.len = (transport_len as u16).into();
                udp.csum = pseudo.into();
            }
        } else if let Some(tcp) = TcpHeader::at_mut(frame, l4) {
            tcp.set_flags(self.ending);
            tcp.csum = pseudo.into();
        }
        let kind = match (is_udp, v6) {
            (true, _) => GsoKind::Udp,
            (false, false) => GsoKind::Tcp4,
            (false, true) => GsoKind::Tcp6,
        };
        let offset = if is_udp { udp::CSUM_OFFSET } else { tcp::CSUM_OFFSET };
        self.packet.offload = Offload {
            csum: Csum::Partial { start: l4 as u16, offset },
            gso: Some(GsoState { kind, size: self.first.payload_len() as u16, ecn: false }),
            encap: None,
            plain: self.packet.offload.plain,
        };
        self.packet
    }
}

/// Sets the IPv4 total length to the frame's end.
fn ipv4_len(frame: &mut [u8], l3: usize, l4: usize) -> Option<&Ipv4Header> {
    let total = frame.len() - l3;
    Ipv4Header::at_mut(frame, l3)?.total_len = (total as u16).into();
    ipv4::fix_checksum(&mut frame[l3..l4]);
    Ipv4Header::at(frame, l3)
}

/// An empty buffer with `len` bytes of room, whatever `alloc` thinks.
fn room(alloc: &mut impl FnMut(usize) -> Buf, len: usize) -> Buf {
    let buf = alloc(len);
    if buf.is_empty() && buf.tailroom() >= len { buf } else { Buf::with_capacity(HEADROOM, len) }
}

/// The datagrams' contents of a UDP super-packet that has its UDP header at `l4` and ends at `end`
/// (both as extraction says), each `size` bytes but the last. Nothing when the offsets do not fit the frame.
pub fn datagrams(frame: &[u8], l4: usize, end: usize, size: u16) -> impl Iterator<Item = &[u8]> {
    let payload = frame
        .get(..end)
        .and_then(|f| f.get(l4.saturating_add(UdpHeader::LEN)..))
        .unwrap_or_default();
    payload.chunks(usize::from(size.max(1)))
}

#[cfg(test)]
mod tests;
