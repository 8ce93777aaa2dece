//! Between virtio-net headers (virtio 1.3, section 5.1.6) and [`Offload`].
//!
//! # What
//! [`decode`] judges a received frame by its header, [`encode`] writes the header for a frame to be sent. Both are for the
//! header's first ten bytes, which packet sockets and taps share, in the byte order of this machine.
//!
//! # Why
//! The header of a frame from a tap was written by a guest. The kernel checks a good deal of it but not all, and other kernels
//! check less. Everything that later code takes for granted is established here, once: checksum offsets are inside the frame,
//! a super-packet's segment size is not 0, its transport header is where the header says and of the kind it says, and its
//! checksum is partial. What does not hold is [`Malformed`], a counted drop.
//!
//! # Design
//! Plain frames cost two comparisons. Only super-packets have their headers looked at, once per 64 KiB. That look also finds
//! super-packets that the host's own tunnel devices sent: their header describes the *inner* packet, and the outer headers are
//! described by [`Encap`].

use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ip_proto::{GRE, SCTP, TCP, UDP};
use packet::wire::vlan::is_vlan;
use packet::wire::{Fragment, Header, Located, locate, locate_bare, tcp, udp};
use packet::{Carrier, Csum, Encap, Gso, GsoKind, Offload, Packet};
use sys::mmsg::HEAD;

/// Length of the header before frames of our taps: one more field, of no use to us.
pub const TAP_HEAD: usize = 12;

/// Length of the header that can describe tunnel super-packets (virtio 1.3 draft, `VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO`).
pub(crate) const TUNNEL_HEAD: usize = 24;

const NEEDS_CSUM: u8 = 1;
/// In the header's flags: the checksum has been checked and is right.
pub const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
const GSO_ECN: u8 = 0x80;
const GSO_UDP_TUNNEL4: u8 = 0x20;
const GSO_UDP_TUNNEL6: u8 = 0x40;

/// Why a received frame is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Too short for an Ethernet header.
    Runt,
    /// The checksum field is not inside the frame.
    ChecksumBeyondFrame,
    /// A super-packet with segments of 0 bytes.
    NoSegmentSize,
    /// A kind of super-packet that we never agreed to receive.
    SegmentKind(u8),
    /// A super-packet whose headers are not what its kind says.
    Headers,
}

/// What is unfinished in a received `frame` with that header. The frame is written to only where a super-packet came with a
/// complete checksum: its field then becomes the pseudo-header's part, so that all super-packets are alike.
pub fn decode(head: &[u8; HEAD], frame: &mut [u8]) -> Result<Offload, Malformed> {
    if frame.len() < EthernetHeader::LEN {
        return Err(Malformed::Runt);
    }
    let half = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
    let csum = if head[0] & NEEDS_CSUM != 0 {
        let (start, offset) = (half(6), half(8));
        if usize::from(start) + usize::from(offset) + 2 > frame.len() {
            return Err(Malformed::ChecksumBeyondFrame);
        }
        partial(frame, start, offset)
    } else if head[0] & DATA_VALID != 0 {
        Csum::Verified
    } else {
        Csum::Complete
    };
    if head[1] == GSO_NONE {
        return Ok(Offload { csum, ..Offload::default() });
    }
    let gso = Gso { kind: gso_kind(head[1])?, size: half(4), ecn: head[1] & GSO_ECN != 0 };
    if gso.size == 0 {
        return Err(Malformed::NoSegmentSize);
    }
    super_packet(frame, csum, gso).ok_or(Malformed::Headers)
}

/// A checksum to be finished. SCTP's is of another kind (RFC 9260, appendix A), which only the sender's own kernel can put off:
/// nobody after us would know. So it is finished here.
pub(crate) fn partial(frame: &mut [u8], start: u16, offset: u16) -> Csum {
    const SCTP_OFFSET: u16 = 8;
    let csum = Csum::Partial { start, offset };
    if offset != SCTP_OFFSET {
        return csum;
    }
    let Some(at) = locate(frame).filter(|at| at.proto == SCTP && at.l4 == usize::from(start))
    else {
        return csum;
    };
    let Some(packet) = frame.get_mut(at.l4..at.end).filter(|p| p.len() >= 12) else { return csum };
    packet[8..12].fill(0);
    let crc = crc32c(packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    Csum::Verified
}

/// The CRC of SCTP: Castagnoli's polynomial, reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut crc = i as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

fn gso_kind(gso_type: u8) -> Result<GsoKind, Malformed> {
    match gso_type & !GSO_ECN {
        GSO_TCP4 => Ok(GsoKind::Tcp4),
        GSO_TCP6 => Ok(GsoKind::Tcp6),
        GSO_UDP => Ok(GsoKind::Udp),
        _ => Err(Malformed::SegmentKind(gso_type)),
    }
}

/// Checks a super-packet's headers against what is said of it.
pub(crate) fn super_packet(frame: &mut [u8], csum: Csum, gso: Gso) -> Option<Offload> {
    let outer = locate(frame)?;
    let (proto, offset) = match gso.kind {
        GsoKind::Udp => (UDP, udp::CSUM_OFFSET),
        GsoKind::Tcp4 | GsoKind::Tcp6 => (TCP, tcp::CSUM_OFFSET),
    };
    let fits = |at: &Located| {
        let ip = match gso.kind {
            GsoKind::Tcp4 => !at.v6,
            GsoKind::Tcp6 => at.v6,
            GsoKind::Udp => true,
        };
        ip && at.proto == proto && at.fragment == Fragment::No
    };
    let csum = match csum {
        Csum::Partial { .. } => csum,
        _ if fits(&outer) => make_partial(frame, &outer, offset)?,
        _ => return None,
    };
    let Csum::Partial { start, offset: field } = csum else { return None };
    transport_len(frame, usize::from(start), gso.kind)?;
    let (encap, at) = if usize::from(start) == outer.l4 {
        (None, outer)
    } else {
        let (encap, inner) = tunnel(frame, &outer, csum, usize::from(start))?;
        (Some(encap), inner)
    };
    (field == offset && fits(&at)).then_some(Offload { csum, gso: Some(gso), encap, plain: false })
}

/// Turns the checksum of the packet at `at` into a partial one.
fn make_partial(frame: &mut [u8], at: &Located, offset: u16) -> Option<Csum> {
    let sum = at.pseudo(frame, at.end - at.l4)?.fold();
    let field = at.l4 + usize::from(offset);
    frame.get_mut(field..field + 2)?.copy_from_slice(&sum.to_be_bytes());
    Some(Csum::Partial { start: u16::try_from(at.l4).ok()?, offset })
}

/// Finds the outer headers of a packet whose inner transport header is at `start`, and the inner ones. Tunnels are told by
/// structure, not by port number: behind the outer header must be an Ethernet frame, or an IP packet, whose transport header is
/// just there.
fn tunnel(frame: &[u8], outer: &Located, csum: Csum, start: usize) -> Option<(Encap, Located)> {
    let encap = packet::gso::find_tunnel(frame, csum).or_else(|| gre(frame, outer))?;
    let inside = frame.get(usize::from(encap.inner)..)?;
    let inner = if encap.bare { locate_bare(inside) } else { locate(inside) }?;
    (usize::from(encap.inner) + inner.l4 == start).then_some((encap, inner))
}

/// The tunnel, if what follows the outer IP header is GRE (RFC 2784, RFC 2890).
fn gre(frame: &[u8], outer: &Located) -> Option<Encap> {
    if outer.proto != GRE {
        return None;
    }
    let &[flags, _, a, b] = frame.get(outer.l4..)?.first_chunk()?;
    let carried = u16::from_be_bytes([a, b]);
    let (csum, optional) =
        (flags & 0x80 != 0, [0x80, 0x20, 0x10].iter().filter(|&bit| flags & bit != 0).count());
    let inner = u16::try_from(outer.l4 + 4 + 4 * optional).ok()?;
    Some(Encap {
        l3: u16::try_from(outer.l3).ok()?,
        l4: u16::try_from(outer.l4).ok()?,
        inner,
        carrier: Carrier::Gre,
        csum,
        bare: [eth_type::IPV4, eth_type::IPV6].contains(&carried),
    })
}

/// Length of the transport header at `start` of a super-packet; `None` when it is not wholly inside the frame.
fn transport_len(frame: &[u8], start: usize, kind: GsoKind) -> Option<usize> {
    let len = match kind {
        GsoKind::Udp => 8,
        GsoKind::Tcp4 | GsoKind::Tcp6 => usize::from(frame.get(start + 12)? >> 4) * 4,
    };
    let least = if kind == GsoKind::Udp { 8 } else { 20 };
    (len >= least && start + len <= frame.len()).then_some(len)
}

/// Why a packet cannot be handed to the kernel as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its offload state needs software: a super-packet in a tunnel, or one without a partial checksum.
    Finish,
    /// Its segments (or itself, if it is none) would be longer than the device can send.
    TooLong,
    /// Its offload state contradicts its bytes: a defect of the sender's.
    Broken,
}

/// The header for a packet, and a check that what will be on the wire is at most `frame_max` bytes long (judged for
/// super-packets alone: of plain frames the kernel knows better).
pub fn encode(frame: &[u8], offload: &Offload, frame_max: u32) -> Result<[u8; HEAD], Unfit> {
    let mut head = [0; HEAD];
    let mut put = |at: usize, value: u16| head[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    let Csum::Partial { start, offset } = offload.csum else {
        return if offload.gso.is_some() { Err(Unfit::Finish) } else { Ok(head) };
    };
    if usize::from(start) + usize::from(offset) + 2 > frame.len() {
        return Err(Unfit::Broken);
    }
    put(6, start);
    put(8, offset);
    if let Some(gso) = offload.gso {
        if offload.encap.is_some() {
            return Err(Unfit::Finish);
        }
        segmented(&mut head, frame, gso, start, frame_max)?;
    }
    head[0] = NEEDS_CSUM;
    Ok(head)
}

/// The header for a TCP super-packet in a UDP tunnel without an outer checksum: inner packet as in [`encode`], and where outer
/// transport and inner network headers are. [`Unfit::Finish`]: it is something else.
pub(crate) fn encode_tunnel(
    frame: &[u8],
    offload: &Offload,
    frame_max: u32,
) -> Result<[u8; TUNNEL_HEAD], Unfit> {
    let (Some(gso), Some(encap), Csum::Partial { start, offset }) =
        (offload.gso, offload.encap, offload.csum)
    else {
        return Err(Unfit::Finish);
    };
    // Behind a VLAN tag the kernel would look for the outer header where there is none.
    let untagged = usize::from(encap.l3) == EthernetHeader::LEN;
    if gso.kind == GsoKind::Udp
        || encap.carrier != Carrier::Udp
        || encap.bare
        || encap.csum
        || !untagged
    {
        return Err(Unfit::Finish);
    }
    let inner = frame.get(usize::from(encap.inner)..).and_then(locate).ok_or(Unfit::Broken)?;
    let inner_l3 = usize::from(encap.inner) + inner.l3;
    let version = frame.get(usize::from(encap.l3)).ok_or(Unfit::Broken)? >> 4;
    let mut head = [0; HEAD];
    head[6..8].copy_from_slice(&start.to_ne_bytes());
    head[8..10].copy_from_slice(&offset.to_ne_bytes());
    segmented(&mut head, frame, gso, start, frame_max)?;
    head[0] = NEEDS_CSUM;
    head[1] |= if version == 6 { GSO_UDP_TUNNEL6 } else { GSO_UDP_TUNNEL4 };
    let mut whole = [0; TUNNEL_HEAD];
    whole[..HEAD].copy_from_slice(&head);
    whole[20..22].copy_from_slice(&encap.l4.to_ne_bytes());
    let inner_l3 = u16::try_from(inner_l3).map_err(|_| Unfit::Broken)?;
    whole[22..24].copy_from_slice(&inner_l3.to_ne_bytes());
    Ok(whole)
}

/// Fills in what a header says of segmentation; the transport header is at `start`.
fn segmented(
    head: &mut [u8; HEAD],
    frame: &[u8],
    gso: Gso,
    start: u16,
    frame_max: u32,
) -> Result<(), Unfit> {
    let mut put = |at: usize, value: u16| head[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    let headers = usize::from(start)
        + transport_len(frame, usize::from(start), gso.kind).ok_or(Unfit::Broken)?;
    if headers + usize::from(gso.size) > longest(frame, frame_max) {
        return Err(Unfit::TooLong);
    }
    put(2, u16::try_from(headers).map_err(|_| Unfit::Broken)?);
    put(4, gso.size);
    head[1] = match gso.kind {
        GsoKind::Tcp4 => GSO_TCP4,
        GsoKind::Tcp6 => GSO_TCP6,
        GsoKind::Udp => GSO_UDP,
    } | if gso.ecn { GSO_ECN } else { 0 };
    Ok(())
}

/// Whether a packet that is no super-packet is longer than the device's frames may be.
pub fn is_too_long(packet: &Packet, frame_max: u32) -> bool {
    packet.offload.gso.is_none() && packet.buf.len() > longest(packet.bytes(), frame_max)
}

/// What of `frame_max` a frame may use: the room for a VLAN tag is for a tag alone.
fn longest(frame: &[u8], frame_max: u32) -> usize {
    let tagged = EthernetHeader::view(frame).is_some_and(|eth| is_vlan(eth.eth_type.get()));
    (frame_max as usize).saturating_sub(if tagged { 0 } else { 4 })
}

/// Puts a VLAN tag that the kernel had taken off back behind the addresses.
pub fn insert_vlan(packet: &mut Packet, tpid: u16, tci: u16) {
    const ADDRESSES: usize = 12;
    if packet.buf.len() < ADDRESSES {
        return;
    }
    packet.buf.insert_gap(ADDRESSES, 4);
    let tag = &mut packet.buf.as_mut_slice()[ADDRESSES..ADDRESSES + 4];
    tag[..2].copy_from_slice(&tpid.to_be_bytes());
    tag[2..].copy_from_slice(&tci.to_be_bytes());
    packet.offload.pushed(4);
}

#[cfg(test)]
#[path = "vnet_tests.rs"]
pub(crate) mod tests;
