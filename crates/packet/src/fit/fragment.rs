//! Cutting an IPv4 datagram into fragments (RFC 791, 3.2).

use zerocopy::IntoBytes;

use crate::wire::ipv4::{self, Ipv4Header, frag_bit};
use crate::wire::{Fragment, Header, locate};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::checksum;
    use crate::wire::ethernet::{EthernetHeader, eth_type};
    use crate::wire::ip_proto;
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

    #[test]
    fn what_must_not_be_cut_is_not() {
        assert!(cut(&datagram(&[0; 2000], frag_bit::DF), 1000).is_none());
        assert!(cut(&datagram(&[0; 2000], 0), 27).is_none());
        assert_eq!(cut(&datagram(&[0; 2000], 0), 1000).unwrap().len(), 3);
    }
}
