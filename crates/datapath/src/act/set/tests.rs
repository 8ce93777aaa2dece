//! Every field, in every state of the checksum.

use flow::extract::{Metadata, extract};
use flow::{FlowKey, Mask};
use packet::wire::icmpv6::NeighbourFrame;
use packet::wire::ip_proto;
use packet::{Csum, Packet, gso};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::apply;
use crate::tests::frames::{
    Ip, TCP4, TCP6, UDP4, UDP6, assert_sound, csum_field, frame, partial, payload,
};

const KINDS: [Ip; 6] = [
    TCP4,
    UDP4,
    TCP6,
    UDP6,
    Ip { proto: ip_proto::ICMP, ..TCP4 },
    Ip { proto: ip_proto::ICMPV6, ..TCP6 },
];

fn key(bytes: &[u8]) -> FlowKey {
    extract(bytes, &Metadata::default()).unwrap().0
}

fn set(packet: &mut Packet, value: &FlowKey, mask: &FlowKey) {
    apply(value, &Mask(*mask), packet, &mut FlowKey::default());
}

/// Random values for all fields that can be set on this kind of packet (others would change its kind).
fn edit(words: [u64; 12], kind: Ip) -> FlowKey {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    let mut k = FlowKey {
        eth_src: bytes[..6].try_into().unwrap(),
        eth_dst: bytes[6..12].try_into().unwrap(),
        nw_tos: bytes[12],
        nw_ttl: bytes[13],
        tp_src: u16::from_ne_bytes([bytes[14], bytes[15]]),
        tp_dst: u16::from_ne_bytes([bytes[16], bytes[17]]),
        ..FlowKey::default()
    };
    if kind.proto == ip_proto::ICMP || kind.proto == ip_proto::ICMPV6 {
        // Types that are not neighbour discovery, one byte each.
        (k.tp_src, k.tp_dst) = (k.tp_src & 0x03, k.tp_dst & 0xff);
    }
    if kind.v6 {
        k.ipv6_src = bytes[32..48].try_into().unwrap();
        k.ipv6_dst = bytes[48..64].try_into().unwrap();
        k.ipv6_label = u32::from_ne_bytes(bytes[64..68].try_into().unwrap()) & 0xf_ffff;
    } else {
        k.nw_src = u32::from_ne_bytes(bytes[32..36].try_into().unwrap());
        k.nw_dst = u32::from_ne_bytes(bytes[36..40].try_into().unwrap());
    }
    k
}

proptest! {
    #[test]
    fn edited_packets_are_sound_and_have_the_fields_asked_for(
        kind in 0..KINDS.len(),
        values: [u64; 12],
        masks: [u64; 12],
        len in 0..70usize,
    ) {
        let kind = KINDS[kind];
        let (value, mask) = (edit(values, kind), edit(masks, kind));
        let bytes = frame(kind, &payload(len));
        let before = key(&bytes);
        let mut packet = Packet::from_frame(&bytes);
        set(&mut packet, &value, &mask);
        assert_sound(packet.bytes());
        let mut want = before;
        for ((w, v), m) in want.words_mut().iter_mut().zip(value.words()).zip(mask.words()) {
            *w = (*w & !m) | (v & m);
        }
        prop_assert_eq!(key(packet.bytes()), want);
        // The same edit with the checksum left to the device, then completed: the same packet, but for a checksum's two ways
        // of writing zero.
        if kind.proto == ip_proto::TCP || kind.proto == ip_proto::UDP {
            let mut unfinished = partial(kind, &payload(len));
            set(&mut unfinished, &value, &mask);
            let is_partial = matches!(unfinished.offload.csum, Csum::Partial { .. });
            prop_assert!(is_partial);
            gso::complete_csum(&mut unfinished).unwrap();
            assert_sound(unfinished.bytes());
            prop_assert_eq!(key(unfinished.bytes()), want);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), values: [u64; 12], kind in 0..KINDS.len()) {
        let mut p = Packet::from_frame(&bytes);
        let everything = FlowKey { nd_target: [0xff; 16], arp_sha: [0xff; 6], ..edit([u64::MAX; 12], KINDS[kind]) };
        set(&mut p, &edit(values, KINDS[kind]), &everything);
        prop_assert_eq!(p.buf.len(), bytes.len());
    }

    #[test]
    fn no_cut_makes_it_panic(kind in 0..KINDS.len(), at in 0..100usize, v: u8, cut in 0..100usize) {
        let mut bytes = frame(KINDS[kind], &payload(30));
        let n = bytes.len();
        bytes[at % n] = v;
        bytes.truncate(cut);
        set(&mut Packet::from_frame(&bytes), &edit([7; 12], KINDS[kind]), &edit([u64::MAX; 12], KINDS[kind]));
    }
}

#[test]
fn udp_without_checksum_stays_without() {
    let mut bytes = frame(UDP4, b"hello");
    let field = csum_field(&bytes).unwrap();
    bytes[field..field + 2].fill(0);
    let mut p = Packet::from_frame(&bytes);
    set(
        &mut p,
        &FlowKey { nw_src: 1, tp_dst: 9, ..FlowKey::default() },
        &FlowKey { nw_src: !0, tp_dst: !0, ..FlowKey::default() },
    );
    assert_eq!(p.bytes()[field..field + 2], [0, 0]);
    assert_eq!((key(p.bytes()).nw_src, key(p.bytes()).tp_dst), (1, 9));
}

#[test]
fn later_fragments_change_addresses_and_no_payload() {
    let mut bytes = frame(TCP4, &payload(40));
    bytes[14 + 6..14 + 8].copy_from_slice(&[0x00, 0x10]);
    packet::wire::ipv4::fix_checksum(&mut bytes[14..34]);
    let mut p = Packet::from_frame(&bytes);
    set(
        &mut p,
        &FlowKey { nw_dst: 1, tp_src: 1, ..FlowKey::default() },
        &FlowKey { nw_dst: !0, tp_src: !0, ..FlowKey::default() },
    );
    assert_sound(p.bytes());
    assert_eq!(p.bytes()[34..], bytes[34..]);
}

#[test]
fn arp_and_neighbour_discovery() {
    use packet::wire::arp::ArpFrame;
    let ip = |n| std::net::Ipv4Addr::new(10, 0, 0, n);
    let mut p = Packet::from_frame(ArpFrame::request([1; 6], ip(1), ip(2)).as_bytes());
    let value = FlowKey { nw_proto: 2, nw_src: 5, arp_sha: [7; 6], ..FlowKey::default() };
    let mask = FlowKey { nw_proto: !0, nw_src: !0, arp_sha: [0xff; 6], ..FlowKey::default() };
    set(&mut p, &value, &mask);
    let k = key(p.bytes());
    assert_eq!((k.nw_proto, k.nw_src, k.nw_dst, k.arp_sha), (2, 5, ip(2).to_bits(), [7; 6]));

    let (me, you) = ("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
    let mut p = Packet::from_frame(NeighbourFrame::solicitation([1; 6], me, you).as_bytes());
    assert_sound(p.bytes());
    let value = FlowKey { nd_target: [9; 16], arp_sha: [8; 6], ..FlowKey::default() };
    let mask = FlowKey { nd_target: [0xff; 16], arp_sha: [0xff; 6], ..FlowKey::default() };
    set(&mut p, &value, &mask);
    assert_sound(p.bytes());
    let k = key(p.bytes());
    assert_eq!((k.nd_target, k.arp_sha), ([9; 16], [8; 6]));
}

#[test]
fn metadata_is_set_in_the_key_alone() {
    let bytes = frame(UDP4, b"x");
    let mut p = Packet::from_frame(&bytes);
    let mut k = FlowKey { skb_mark: 0xf0, ..FlowKey::default() };
    let mut value = FlowKey { skb_mark: 0x05, ..FlowKey::default() };
    let mut mask = Mask(FlowKey { skb_mark: 0x0f, ..FlowKey::default() });
    (value.tunnel.id, mask.0.tunnel.id) = (7, !0);
    apply(&value, &mask, &mut p, &mut k);
    assert_eq!((k.skb_mark, k.tunnel.id), (0xf5, 7));
    assert_eq!(p.bytes(), bytes);
}
