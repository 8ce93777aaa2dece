//! A super-packet taken apart, and the writing of its segments.

use std::ops::Range;

use super::csum::{inner_complement, outer_sum};
use super::{Checksums, MAX_HEADERS, MAX_SEGMENTS, Unfit};
use crate::Packet;
use crate::checksum::{self, Sum};
use crate::offload::{Carrier, Csum, Encap, GsoKind, Offload};
use crate::wire::gre::Gre;
use crate::wire::gtpu::{self, GtpuHeader};
use crate::wire::ipv4::{self, Ipv4Header, frag_bit};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{self, TcpHeader, flag};
use crate::wire::udp::{self, UdpHeader};
use crate::wire::{Fragment, Header, Located, ip_proto, locate, locate_bare};

/// GRE's header without checksum and key (RFC 2784).
const GRE_LEN: usize = 4;
/// The same with a checksum.
const GRE_CSUM_LEN: usize = 8;

/// A super-packet taken apart. Invariant: `encap.l3 < encap.l4 < encap.inner < at.l3 < at.l4 < payload.start <= payload.end <=
/// frame.len()` (those that are there), with whole headers between, and `payload.start <= MAX_HEADERS`.
pub(super) struct Plan<'a> {
    frame: &'a [u8],
    pub(super) encap: Option<Encap>,
    /// The headers of the packet to be cut.
    at: Located,
    /// Where its checksum field is in the transport header.
    csum_offset: u16,
    payload: Range<usize>,
    size: usize,
    pub(super) segments: usize,
    plain: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn new(packet: &'a Packet) -> Result<Self, Unfit> {
        let (frame, offload) = (packet.bytes(), packet.offload);
        let gso = offload.gso.ok_or(Unfit::NotSuper)?;
        let encap = offload.encap.or_else(|| find_tunnel(frame, offload.csum));
        let inner = match encap {
            Some(encap) => usize::from(checked(frame, encap).ok_or(Unfit::Headers)?.inner),
            None => 0,
        };
        let bare = encap.is_some_and(|e| e.bare);
        let at = locate_from(frame, inner, bare).ok_or(Unfit::Headers)?;
        let (proto, v6) = match gso.kind {
            GsoKind::Tcp4 => (ip_proto::TCP, false),
            GsoKind::Tcp6 => (ip_proto::TCP, true),
            GsoKind::Udp => (ip_proto::UDP, at.v6),
        };
        if at.proto != proto || at.v6 != v6 || at.fragment != Fragment::No {
            return Err(Unfit::Headers);
        }
        let (header, csum_offset) = transport_header(frame, &at).ok_or(Unfit::Headers)?;
        let payload = at.l4 + header..at.end;
        if payload.start > payload.end || payload.start > MAX_HEADERS {
            return Err(Unfit::Headers);
        }
        let size = usize::from(gso.size);
        if size == 0 || payload.len().div_ceil(size) > MAX_SEGMENTS {
            return Err(Unfit::SegmentSize);
        }
        let outer = encap.map_or(at.l3, |e| usize::from(e.l3));
        if payload.start + size.min(payload.len()) - outer > usize::from(u16::MAX) {
            return Err(Unfit::SegmentSize); // the outer headers could not tell its length
        }
        let segments = payload.len().div_ceil(size).max(1);
        let plain = offload.plain;
        Ok(Self { frame, encap, at, csum_offset, payload, size, segments, plain })
    }

    /// Where segment `i`'s payload is in the frame.
    pub(super) fn share(&self, i: usize) -> Range<usize> {
        let start = self.payload.start + i * self.size;
        start..self.payload.end.min(start + self.size)
    }

    /// Length of segment `i`, with headers from offset `from` of the frame on.
    pub(super) fn segment_len(&self, from: usize, i: usize) -> usize {
        self.payload.start - from + self.share(i).len()
    }

    /// What is left to be done to segments that were written with these checksums.
    pub(super) fn segment_offload(&self, checksums: Checksums) -> Offload {
        match checksums {
            Checksums::Complete => Offload { csum: Csum::Verified, ..Offload::default() },
            // The offsets fit: headers are at most MAX_HEADERS long.
            Checksums::Partial => Offload {
                csum: Csum::Partial { start: self.at.l4 as u16, offset: self.csum_offset },
                plain: self.plain,
                ..Offload::default()
            },
        }
    }

    /// Writes segment `i`, with headers from offset `from` on (0: all; behind the outer UDP header: a datagram's content), to
    /// `dst`, which must be [`Plan::segment_len`] long.
    pub(super) fn write_segment(
        &self,
        i: usize,
        from: usize,
        checksums: Checksums,
        dst: &mut [u8],
    ) {
        let (l3, l4) = (self.at.l3 - from, self.at.l4 - from);
        let (headers, body) = dst.split_at_mut(self.payload.start - from);
        headers.copy_from_slice(&self.frame[from..self.payload.start]);
        let payload_sum = checksum::copy_and_sum(body, &self.frame[self.share(i)]);
        let transport_len = headers.len() - l4 + body.len();
        fix_ip(headers, l3, l4, self.at.v6, transport_len, i);
        self.fix_transport(&mut headers[l4..], i, transport_len);
        let pseudo = self.at.pseudo(self.frame, transport_len).unwrap_or_default();
        let csum = match checksums {
            Checksums::Partial => pseudo.fold(),
            Checksums::Complete => {
                store(headers, l4 + usize::from(self.csum_offset), 0);
                let mut sum = checksum::sum(&headers[l4..]);
                sum.add(payload_sum);
                sum.add(pseudo);
                sum.checksum_nonzero()
            }
        };
        store(headers, l4 + usize::from(self.csum_offset), csum);
    }

    fn fix_transport(&self, header: &mut [u8], i: usize, transport_len: usize) {
        if self.at.proto == ip_proto::UDP {
            if let Some(udp) = UdpHeader::at_mut(header, 0) {
                udp.len = (transport_len as u16).into();
            }
        } else if let Some(tcp) = TcpHeader::at_mut(header, 0) {
            tcp.seq.set(tcp.seq.get().wrapping_add((i * self.size) as u32));
            if i + 1 < self.segments {
                tcp.clear_flags(flag::FIN | flag::PSH);
            }
            if i > 0 {
                tcp.clear_flags(flag::CWR);
            }
        }
    }

    /// Writes the outer headers (up to offset `body`) and behind them the datagrams of `segments`.
    pub(super) fn write_outer_datagrams(
        &self,
        segments: Range<usize>,
        body: usize,
        frame: &mut [u8],
    ) {
        let (headers, mut rest) = frame.split_at_mut(body);
        headers.copy_from_slice(&self.frame[..body]);
        for i in segments {
            let (datagram, after) = rest.split_at_mut(self.segment_len(body, i));
            self.write_segment(i, body, Checksums::Complete, datagram);
            if let Some(encap) = self.encap {
                fix_tunnel_header(encap.carrier, i, datagram);
            }
            rest = after;
        }
    }

    /// Fixes the outer headers of a segment, if there are any; its inner headers must be final.
    pub(super) fn fix_outer_of_segment(&self, i: usize, frame: &mut [u8]) {
        let Some(encap) = self.encap else { return };
        self.fix_outer_lengths(&encap, i, frame);
        let pseudo = self.at.pseudo(frame, frame.len() - self.at.l4).unwrap_or_default();
        let sum =
            encap.csum.then(|| outer_sum(frame, &encap, self.at.l4, inner_complement(pseudo)));
        match sum.flatten() {
            Some(sum) => store(frame, encap.csum_at(), sum.checksum_nonzero()),
            None if encap.carrier.is_udp() => store(frame, encap.csum_at(), 0),
            None => {}
        }
    }

    /// Fixes the outer headers of a UDP super-packet that begins with segment `first`.
    pub(super) fn fix_outer_of_super(&self, first: usize, frame: &mut [u8], partial: bool) {
        let Some(encap) = self.encap else { return };
        self.fix_outer_lengths(&encap, first, frame);
        let pseudo = if partial { outer_pseudo(frame, &encap) } else { None };
        store(frame, encap.csum_at(), pseudo.map_or(0, Sum::fold));
    }

    fn fix_outer_lengths(&self, encap: &Encap, i: usize, frame: &mut [u8]) {
        let (l3, l4) = (usize::from(encap.l3), usize::from(encap.l4));
        let transport_len = frame.len() - l4;
        // With DF the identification means nothing to the network (RFC 6864), but may to the tunnel's other end: it stays.
        let stays = Ipv4Header::at(frame, l3).is_some_and(|ip| ip.frag.get() & frag_bit::DF != 0);
        let step = if stays { 0 } else { i };
        fix_ip(frame, l3, l4, is_v6(frame, encap), transport_len, step);
        let mut tunnel = l4;
        if encap.carrier.is_udp()
            && let Some(udp) = UdpHeader::at_mut(frame, l4)
        {
            udp.len = (transport_len as u16).into();
            tunnel += UdpHeader::LEN;
        }
        if let Some(rest) = frame.get_mut(tunnel..) {
            fix_tunnel_header(encap.carrier, i, rest);
        }
    }
}

/// What tunnel headers tell of a packet, for segment `i` of it. `bytes` begin with the tunnel header.
fn fix_tunnel_header(carrier: Carrier, i: usize, bytes: &mut [u8]) {
    match carrier {
        Carrier::Gtpu => {
            let len = bytes.len().saturating_sub(GtpuHeader::LEN);
            if let Some(gtpu) = GtpuHeader::at_mut(bytes, 0) {
                gtpu.len.set(len as u16);
            }
        }
        Carrier::Gre => {
            let at = Gre::parse(bytes).and_then(|gre| gre.seq_offset());
            let seq = at.and_then(|at| bytes.get_mut(at..)?.first_chunk_mut::<4>());
            if let Some(seq) = seq {
                *seq = u32::from_be_bytes(*seq).wrapping_add(i as u32).to_be_bytes();
            }
        }
        Carrier::Udp | Carrier::Ipv6 => {}
    }
}

/// Length of the transport header, and the offset of its checksum field.
fn transport_header(frame: &[u8], at: &Located) -> Option<(usize, u16)> {
    if at.proto == ip_proto::UDP {
        return Some((UdpHeader::LEN, udp::CSUM_OFFSET));
    }
    let len = TcpHeader::at(frame, at.l4)?.header_len();
    (len >= TcpHeader::LEN).then_some((len, tcp::CSUM_OFFSET))
}

/// Sets the length of an IP packet whose transport part is `transport_len` long, and moves its identification on by `i`.
fn fix_ip(bytes: &mut [u8], l3: usize, l4: usize, v6: bool, transport_len: usize, i: usize) {
    let header = l4 - l3;
    if v6 {
        if let Some(ip) = Ipv6Header::at_mut(bytes, l3) {
            ip.payload_len.set((header - Ipv6Header::LEN + transport_len) as u16);
        }
    } else if let Some(ip) = Ipv4Header::at_mut(bytes, l3) {
        ip.total_len.set((header + transport_len) as u16);
        ip.id.set(ip.id.get().wrapping_add(i as u16));
        ipv4::fix_checksum(&mut bytes[l3..l4]);
    }
}

pub(super) fn store(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

fn locate_from(frame: &[u8], inner: usize, bare: bool) -> Option<Located> {
    let bytes = frame.get(inner..)?;
    let at = if bare { locate_bare(bytes) } else { locate(bytes) }?;
    Some(Located { l3: at.l3 + inner, l4: at.l4 + inner, end: at.end + inner, ..at })
}

/// Whether the outer IP header is version 6.
pub(super) fn is_v6(frame: &[u8], encap: &Encap) -> bool {
    frame.get(usize::from(encap.l3)).is_some_and(|b| b >> 4 == 6)
}

/// `encap` if its headers have room where it says.
pub(super) fn checked(frame: &[u8], encap: Encap) -> Option<Encap> {
    let (l3, l4, inner) = (usize::from(encap.l3), usize::from(encap.l4), usize::from(encap.inner));
    let ip = if is_v6(frame, &encap) { Ipv6Header::LEN } else { Ipv4Header::LEN };
    let ihl_fits =
        is_v6(frame, &encap) || Ipv4Header::at(frame, l3)?.header_len() == l4.checked_sub(l3)?;
    let tunnel = match encap.carrier {
        Carrier::Udp | Carrier::Gtpu => UdpHeader::LEN,
        Carrier::Gre if encap.csum => GRE_CSUM_LEN,
        Carrier::Gre => GRE_LEN,
        Carrier::Ipv6 => 0,
    };
    (l3 + ip <= l4 && ihl_fits && l4 + tunnel <= inner && inner <= frame.len()).then_some(encap)
}

/// The pseudo-header's part of the outer checksum (nothing for GRE); `None` when the headers do not fit.
pub(super) fn outer_pseudo(frame: &[u8], encap: &Encap) -> Option<Sum> {
    let len = frame.len().checked_sub(usize::from(encap.l4))?;
    let l3 = usize::from(encap.l3);
    if !encap.carrier.is_udp() {
        Some(Sum::default())
    } else if is_v6(frame, encap) {
        Some(Ipv6Header::at(frame, l3)?.pseudo(ip_proto::UDP, len))
    } else {
        Some(Ipv4Header::at(frame, l3)?.pseudo(len))
    }
}

/// See [`super::find_tunnel`].
pub(super) fn find_tunnel(frame: &[u8], csum: Csum) -> Option<Encap> {
    let Csum::Partial { start, .. } = csum else { return None };
    let outer = locate(frame)?;
    if outer.proto != ip_proto::UDP
        || outer.fragment != Fragment::No
        || usize::from(start) <= outer.l4
    {
        return None;
    }
    let header = outer.l4 + UdpHeader::LEN;
    let udp = UdpHeader::at(frame, outer.l4)?;
    // VXLAN's header is 8 bytes; Geneve's says in its first byte how many words of options follow. VXLAN with the generic protocol
    // extension may carry packets that begin with their IP header.
    let options = usize::from(frame.get(header)? & 0x3f) * 4;
    let ends = [header + 8, header + 8 + options];
    let mut places = [false, true].into_iter().flat_map(|bare| ends.map(|inner| (inner, bare)));
    let (inner, bare) = places.find(|&(inner, bare)| {
        locate_from(frame, inner, bare).is_some_and(|at| at.l4 == usize::from(start))
    })?;
    let offset = |at: usize| u16::try_from(at).ok();
    Some(Encap {
        l3: offset(outer.l3)?,
        l4: offset(outer.l4)?,
        inner: offset(inner)?,
        carrier: if udp.dst.get() == gtpu::PORT { Carrier::Gtpu } else { Carrier::Udp },
        csum: udp.csum.get() != 0,
        bare,
    })
}
