//! Cutting an IP packet into fragments: IPv4 (RFC 791, 3.2), which routers may cut as well, and IPv6 (RFC 8200, 4.5), which only
//! its sender may.

use zerocopy::IntoBytes;

use crate::wire::ipv4::{self, Ipv4Header, frag_bit};
use crate::wire::ipv6::{FragmentHeader, Ipv6Header};
use crate::wire::{Fragment, Header, Located, ip_proto, locate};
use crate::{Buf, Packet};

/// Cuts a frame whose outermost packet is IPv4 that may be cut into frames of which each has at most `most` bytes from its IP
/// header on, appended to `out` in order. `alloc` gives an empty buffer with at least the room asked for behind its headroom.
/// False, and nothing is appended: it is no such packet, its checksum is unfinished, it has options, or not even eight bytes fit.
pub fn fragment(
    packet: &Packet,
    most: usize,
    mut alloc: impl FnMut(usize) -> Buf,
    out: &mut Vec<Packet>,
) -> bool {
    let frame = packet.bytes();
    let Some(at) = locate(frame).filter(|at| !at.v6 && packet.offload.is_complete()) else {
        return false;
    };
    let Some(ip) = Ipv4Header::at(frame, at.l3).copied() else { return false };
    // Of options some are for the first fragment alone: nobody sends such any more.
    let plain = ip.header_len() == Ipv4Header::LEN && ip.frag.get() & frag_bit::DF == 0;
    let share = most.saturating_sub(Ipv4Header::LEN) / 8 * 8;
    let (Some(link), Some(payload)) = (frame.get(..at.l3), frame.get(at.l4..at.end)) else {
        return false;
    };
    if !plain || share == 0 {
        return false;
    }
    let first = ip.frag.get() & frag_bit::OFFSET;
    let more = ip.fragment() != Fragment::No && ip.frag.get() & frag_bit::MF != 0;
    let count = payload.len().div_ceil(share);
    for (i, piece) in payload.chunks(share).enumerate() {
        let mut header = ip;
        let offset = usize::from(first) + i * share / 8;
        let is_last = i + 1 == count && !more;
        let bits = offset as u16 & frag_bit::OFFSET | if is_last { 0 } else { frag_bit::MF };
        header.total_len = ((Ipv4Header::LEN + piece.len()) as u16).into();
        header.frag = bits.into();
        let mut bytes = [0; Ipv4Header::LEN];
        bytes.copy_from_slice(header.as_bytes());
        ipv4::fix_checksum(&mut bytes);
        let mut buf = alloc(link.len() + Ipv4Header::LEN + piece.len());
        for part in [link, &bytes, piece] {
            buf.extend(part);
        }
        let mut cut = Packet::new(buf);
        cut.offload.plain = packet.offload.plain;
        out.push(cut);
    }
    count > 0
}

/// Cuts a frame whose outermost packet is IPv6, and our own, into frames of which each has at most `most` bytes from its IP header
/// on, appended to `out` in order, with a fragment header behind what every node on the way reads (a routing header). `id` is the
/// packet's, which none lately had between the same ends. False, and nothing is appended: it is no such packet, its checksum is
/// unfinished, it is a fragment, or not even eight bytes fit.
pub fn fragment_v6(
    packet: &Packet,
    most: usize,
    id: u32,
    mut alloc: impl FnMut(usize) -> Buf,
    out: &mut Vec<Packet>,
) -> bool {
    let frame = packet.bytes();
    let whole = |at: &Located| at.v6 && at.fragment == Fragment::No;
    let Some(at) = locate(frame).filter(|at| whole(at) && packet.offload.is_complete()) else {
        return false;
    };
    let Some((next_at, rest)) = behind_routing(frame, &at) else { return false };
    let headers = rest - at.l3 + FragmentHeader::LEN;
    let share = most.saturating_sub(headers) / 8 * 8;
    let (Some(front), Some(payload)) = (frame.get(..rest), frame.get(rest..at.end)) else {
        return false;
    };
    if share == 0 || payload.is_empty() {
        return false;
    }
    let count = payload.len().div_ceil(share);
    for (i, piece) in payload.chunks(share).enumerate() {
        let more = u16::from(i + 1 < count);
        let header = FragmentHeader {
            next: front[next_at],
            reserved: 0,
            // In units of eight bytes, and three bits to the left.
            offset_more: ((i * share) as u16 | more).into(),
            id: id.into(),
        };
        let mut buf = alloc(front.len() + FragmentHeader::LEN + piece.len());
        for part in [front, header.as_bytes(), piece] {
            buf.extend(part);
        }
        let bytes = buf.as_mut_slice();
        bytes[next_at] = ip_proto::FRAGMENT;
        if let Some(ip) = Ipv6Header::at_mut(bytes, at.l3) {
            ip.payload_len = ((headers - Ipv6Header::LEN + piece.len()) as u16).into();
        }
        let mut cut = Packet::new(buf);
        cut.offload.plain = packet.offload.plain;
        out.push(cut);
    }
    true
}

/// Where the field is that says what comes next, and where that is, behind the headers that nodes on the way read.
fn behind_routing(frame: &[u8], at: &Located) -> Option<(usize, usize)> {
    const NEXT: usize = 6;
    let (mut next_at, mut rest) = (at.l3 + NEXT, at.l3 + Ipv6Header::LEN);
    while matches!(*frame.get(next_at)?, ip_proto::HOP_BY_HOP | ip_proto::ROUTING) {
        let words = usize::from(*frame.get(rest + 1)?);
        (next_at, rest) = (rest, rest + (words + 1) * 8);
    }
    (rest <= at.l4).then_some((next_at, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::checksum;
    use crate::wire::ethernet::{EthernetHeader, eth_type};
    use proptest::prelude::*;

    fn datagram(payload: &[u8], bits: u16) -> Packet {
        let mut ip = Ipv4Header::new(
            [10, 0, 0, 1].into(),
            [10, 0, 0, 2].into(),
            ip_proto::UDP,
            64,
            payload.len(),
        );
        ip.frag = bits.into();
        ip.id = 77.into();
        let mut bytes = ip.as_bytes().to_vec();
        ipv4::fix_checksum(&mut bytes);
        let ethernet = EthernetHeader::new([2; 6], [4; 6], eth_type::IPV4);
        Packet::from_frame(&[ethernet.as_bytes(), &bytes, payload].concat())
    }

    fn cut(packet: &Packet, most: usize) -> Option<Vec<Packet>> {
        let mut out = Vec::new();
        fragment(packet, most, |n| Buf::with_capacity(64, n), &mut out).then_some(out)
    }

    /// Puts fragments together again: (offset of the first in bytes, payload, whether more follow).
    fn join(pieces: &[Packet]) -> (usize, Vec<u8>, bool) {
        let mut all = Vec::new();
        let mut start = None;
        let mut more = true;
        for piece in pieces {
            let frame = piece.bytes();
            assert_eq!(checksum(&frame[14..34]), 0);
            let ip = Ipv4Header::at(frame, 14).unwrap();
            let offset = usize::from(ip.frag.get() & frag_bit::OFFSET) * 8;
            assert_eq!(offset, *start.get_or_insert(offset) + all.len());
            assert_eq!(ip.id.get(), 77);
            more = ip.frag.get() & frag_bit::MF != 0;
            all.extend(&frame[34..14 + usize::from(ip.total_len.get())]);
        }
        (start.unwrap(), all, more)
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(len in 1usize..9000, most in 28usize..2000, at in 0u16..100, more in any::<bool>()) {
            let len = if more { len.div_ceil(8) * 8 } else { len };
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let packet = datagram(&payload, at | if more { frag_bit::MF } else { 0 });
            let pieces = cut(&packet, most).unwrap();
            prop_assert!(pieces.iter().all(|p| p.buf.len() - 14 <= most));
            prop_assert_eq!(join(&pieces), (usize::from(at) * 8, payload, more));
        }

        #[test]
        fn any_bytes_are_cut_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..90), most in 0usize..70) {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45];
            frame.extend(bytes);
            cut(&Packet::from_frame(&frame), most);
        }
    }

    /// A packet with a routing header of so many addresses, or none.
    fn packet_v6(segments: usize, payload: &[u8]) -> Packet {
        let (src, dst) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let mut routing = vec![ip_proto::UDP, 2 * segments as u8, 4, 0, 0, 0, 0, 0];
        routing.resize(8 + 16 * segments, 7);
        let (next, routing) = match segments {
            0 => (ip_proto::UDP, &[][..]),
            _ => (ip_proto::ROUTING, &routing[..]),
        };
        let ip = Ipv6Header::new(src, dst, next, 64, routing.len() + payload.len());
        let ethernet = EthernetHeader::new([2; 6], [4; 6], eth_type::IPV6);
        Packet::from_frame(&[ethernet.as_bytes(), ip.as_bytes(), routing, payload].concat())
    }

    fn cut_v6(packet: &Packet, most: usize) -> Option<Vec<Packet>> {
        let mut out = Vec::new();
        fragment_v6(packet, most, 0x1234_5678, |n| Buf::with_capacity(64, n), &mut out)
            .then_some(out)
    }

    proptest! {
        #[test]
        fn the_parts_of_ipv6_are_the_whole(len in 1usize..9000, most in 1280usize..2000, segments in 0usize..4) {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let pieces = cut_v6(&packet_v6(segments, &payload), most).unwrap();
            let front = 14 + 40 + if segments == 0 { 0 } else { 8 + 16 * segments };
            let mut all: Vec<u8> = Vec::new();
            for (i, piece) in pieces.iter().enumerate() {
                let frame = piece.bytes();
                let at = locate(frame).unwrap();
                prop_assert!(at.end == frame.len() && at.end - at.l3 <= most);
                let header = FragmentHeader::at(frame, front).unwrap();
                let bits = header.offset_more.get();
                prop_assert_eq!(usize::from(bits & !7), all.len());
                prop_assert_eq!(bits & 7, u16::from(i + 1 < pieces.len()));
                prop_assert_eq!((header.next, header.id.get()), (ip_proto::UDP, 0x1234_5678));
                all.extend(&frame[front + 8..]);
            }
            prop_assert_eq!(all, payload);
        }

        #[test]
        fn any_bytes_of_ipv6_are_cut_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), most in 0usize..120) {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60];
            frame.extend(bytes);
            cut_v6(&Packet::from_frame(&frame), most);
        }
    }

    #[test]
    fn what_must_not_be_cut_is_not() {
        let pieces = cut_v6(&packet_v6(0, &[0; 2000]), 1280).unwrap();
        assert!(cut_v6(&pieces[0], 1000).is_none(), "it is a fragment");
        assert!(cut_v6(&datagram(&[0; 2000], 0), 1000).is_none());
        assert!(cut(&packet_v6(0, &[0; 2000]), 1280).is_none(), "routers do not cut IPv6");
        assert!(cut(&datagram(&[0; 2000], frag_bit::DF), 1000).is_none());
        assert!(cut(&datagram(&[0; 2000], 0), 27).is_none());
        assert_eq!(cut(&datagram(&[0; 2000], 0), 1000).unwrap().len(), 3);
    }
}
