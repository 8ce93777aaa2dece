//! Whatever comes in whatever order: either the very packet comes out, or nothing.

use packet::fit;
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::{Buf, Packet as Frame};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;

/// A datagram, as a frame.
fn datagram(v6: bool, len: usize, id: u16) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|i| (i * 7 + i / 256) as u8).collect();
    let (ip, kind) = if v6 {
        let (src, dst) = ("fd00::2".parse().unwrap(), "fd00::1".parse().unwrap());
        (Ipv6Header::new(src, dst, ip_proto::UDP, 64, len).as_bytes().to_vec(), eth_type::IPV6)
    } else {
        let mut ip =
            Ipv4Header::new([10, 0, 0, 2].into(), [10, 0, 0, 1].into(), ip_proto::UDP, 64, len);
        (ip.frag, ip.id) = (0.into(), id.into());
        let mut bytes = ip.as_bytes().to_vec();
        ipv4::fix_checksum(&mut bytes);
        (bytes, eth_type::IPV4)
    };
    [EthernetHeader::new([2; 6], [4; 6], kind).as_bytes(), &ip, &payload].concat()
}

fn pieces(frame: &[u8], most: usize, id: u16) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let packet = Frame::from_frame(frame);
    let alloc = |n| Buf::with_capacity(64, n);
    let cut = match frame[12..14] == [8, 0] {
        true => fit::fragment(&packet, most, alloc, &mut out),
        false => fit::fragment_v6(&packet, most, id.into(), alloc, &mut out),
    };
    assert!(cut);
    out.iter().map(|p| p.bytes().to_vec()).collect()
}

fn ours(_: &IpAddr, proto: u8, _: &[u8]) -> bool {
    proto == ip_proto::UDP
}

fn others(_: &IpAddr, _: u8, _: &[u8]) -> bool {
    false
}

const NOW: Instant = Instant::from_millis(1000);

proptest! {
    #[test]
    fn in_any_order_and_twice_they_are_the_whole(
        v6 in any::<bool>(),
        len in 2000usize..9000,
        most in 1280usize..2000,
        order in any::<u64>(),
    ) {
        let whole = datagram(v6, len, 5);
        let mut all = pieces(&whole, most, 5);
        let twice = all[order as usize % all.len()].clone();
        all.push(twice);
        // A shuffle of few.
        let mut seed = order;
        for i in (1..all.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            all.swap(i, (seed >> 33) as usize % (i + 1));
        }
        let mut reassembly = Reassembly::default();
        let mut found = Vec::new();
        for piece in &all {
            let taken = reassembly.take(piece, ours, NOW);
            prop_assert_eq!((taken.dropped, taken.foreign.len()), (0, 0));
            found.extend(taken.whole);
        }
        prop_assert_eq!(&found[..1], &[whole]);
        // At most the one that came twice is left.
        prop_assert!(reassembly.packets.len() <= 1);
        reassembly.expire(NOW + PATIENCE);
        prop_assert_eq!((reassembly.packets.len(), reassembly.bytes), (0, 0));
    }

    #[test]
    fn any_fragments_end_in_bounds(
        all in proptest::collection::vec((any::<bool>(), 0u16..4, 0u16..200, any::<bool>(), 0usize..40), 0..60),
        tail in proptest::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut reassembly = Reassembly::default();
        let (mut came, mut gone) = (0, 0);
        for (v6, id, offset, more, len) in all {
            let mut frame = datagram(v6, 8 * len + if more { 0 } else { len % 8 }, id);
            if v6 {
                let header = FragmentHeader {
                    next: ip_proto::UDP,
                    reserved: 0,
                    offset_more: ((offset * 8) | u16::from(more)).into(),
                    id: u32::from(id).into(),
                };
                frame[20] = ip_proto::FRAGMENT;
                frame.splice(54..54, header.as_bytes().iter().copied());
                let payload = frame.len() - 54;
                frame[18..20].copy_from_slice(&(payload as u16).to_be_bytes());
            } else {
                let bits = offset | if more { frag_bit::MF } else { 0 };
                frame[20..22].copy_from_slice(&bits.to_be_bytes());
            }
            came += 1;
            let taken = reassembly.take(&frame, ours, NOW);
            gone += taken.dropped;
            prop_assert!(reassembly.bytes <= MAX_BYTES && gone <= came);
            if let Some(whole) = taken.whole {
                prop_assert_eq!(locate(&whole).map(|at| at.fragment), Some(Fragment::No));
            }
        }
        reassembly.take(&tail, ours, NOW);
        reassembly.expire(NOW + PATIENCE);
        prop_assert_eq!((reassembly.packets.len(), reassembly.bytes), (0, 0));
    }

    #[test]
    fn damaged_fragments_are_no_harm(v6 in any::<bool>(), at in 12usize..80, byte in any::<u8>(), cut in 0usize..1400) {
        let whole = datagram(v6, 3000, 9);
        let mut reassembly = Reassembly::default();
        for mut piece in pieces(&whole, 1280, 9) {
            piece[at] = byte;
            piece.truncate(cut.max(14));
            reassembly.take(&piece, ours, NOW);
        }
    }
}

#[test]
fn what_overlaps_is_dropped_altogether() {
    let mut reassembly = Reassembly::default();
    let narrow = pieces(&datagram(true, 3000, 7), 1280, 7);
    let wide = pieces(&datagram(true, 3000, 7), 1400, 7);
    assert_eq!(reassembly.take(&narrow[0], ours, NOW), Taken::default());
    let taken = reassembly.take(&wide[1], ours, NOW);
    assert_eq!(taken, Taken::default(), "there may be something between");
    let taken = reassembly.take(&narrow[1], ours, NOW);
    assert_eq!((taken.dropped, taken.whole), (3, None));
    // What comes later of it is dropped as well, until its time is over.
    for piece in &narrow {
        assert_eq!(reassembly.take(piece, ours, NOW).dropped, 1);
    }
    let later = NOW + PATIENCE;
    let wholes: Vec<_> =
        narrow.iter().filter_map(|piece| reassembly.take(piece, ours, later).whole).collect();
    assert_eq!(wholes, [datagram(true, 3000, 7)]);
}

/// Over IPv4 there are senders that give all their packets one number: a fragment that is lost is no end of them.
#[test]
fn packets_of_one_number_are_told_apart_by_their_order() {
    let mut reassembly = Reassembly::default();
    let all: Vec<_> =
        [2000, 2400, 2008].map(|len| (pieces(&datagram(false, len, 0), 1280, 0), len)).into();
    let mut take = |piece: &[u8]| reassembly.take(piece, ours, NOW);
    for (pieces, len) in &all {
        assert_eq!(take(&pieces[0]), Taken::default());
        assert_eq!(take(&pieces[1]).whole, Some(datagram(false, *len, 0)));
    }
    // The second half of the first is lost.
    assert_eq!(take(&all[0].0[0]), Taken::default());
    let mut other = all[1].0[0].clone();
    other[100] ^= 1;
    assert_eq!(take(&other).dropped, 1);
    assert!(take(&all[1].0[1]).whole.is_some());
    assert_eq!((reassembly.packets.len(), reassembly.bytes), (0, 0));
}

#[test]
fn the_same_place_with_other_bytes_is_an_attack() {
    for (v6, lost) in [(false, 1), (true, 2)] {
        let mut reassembly = Reassembly::default();
        let mut all = pieces(&datagram(v6, 3000, 7), 1280, 7);
        reassembly.take(&all[1], ours, NOW);
        all[1][100] ^= 1;
        assert_eq!(reassembly.take(&all[1], ours, NOW).dropped, lost);
    }
}

/// Who else fragments between the same hosts counts on: numbers come again.
#[test]
fn a_number_of_somebody_elses_packet_is_used_again() {
    for v6 in [false, true] {
        let mut reassembly = Reassembly::default();
        let whole = datagram(v6, 2000, 7);
        let all = pieces(&whole, 1280, 7);
        assert_eq!(reassembly.take(&all[0], others, NOW).foreign.len(), 1);
        assert_eq!(reassembly.take(&all[1], others, NOW).foreign.len(), 1);
        assert_eq!(reassembly.take(&all[0], ours, NOW), Taken::default());
        assert_eq!(reassembly.take(&all[1], ours, NOW).whole, Some(whole));
    }
}

#[test]
fn fragments_of_others_go_on_in_order() {
    let all = pieces(&datagram(false, 3000, 7), 1280, 7);
    let mut reassembly = Reassembly::default();
    assert_eq!(reassembly.take(&all[1], others, NOW), Taken::default(), "nobody knows yet");
    let taken = reassembly.take(&all[0], others, NOW);
    assert_eq!(taken.foreign, [all[1].clone(), all[0].clone()]);
    assert_eq!(reassembly.take(&all[2], others, NOW).foreign, [all[2].clone()]);
    assert_eq!(reassembly.bytes, 0);
}

#[test]
fn what_stays_incomplete_is_lost_in_time() {
    let all = pieces(&datagram(true, 3000, 7), 1280, 7);
    let mut reassembly = Reassembly::default();
    reassembly.take(&all[0], ours, NOW);
    assert_eq!(reassembly.deadline(), Some(NOW + PATIENCE));
    assert_eq!(reassembly.expire(NOW + PATIENCE / 2), 0);
    assert_eq!(reassembly.expire(NOW + PATIENCE), 1);
    assert_eq!(reassembly.deadline(), None);
}

#[test]
fn a_flood_finds_no_room() {
    let mut reassembly = Reassembly::default();
    let mut dropped = 0;
    for id in 0..6000 {
        let all = pieces(&datagram(false, 9000, id), 8000, id);
        dropped += reassembly.take(&all[0], ours, NOW).dropped;
        assert!(reassembly.packets.len() <= MAX_PACKETS && reassembly.bytes <= MAX_BYTES);
    }
    assert_eq!(dropped + reassembly.packets.len(), 6000);
}
