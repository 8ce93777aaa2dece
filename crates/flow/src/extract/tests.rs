//! One test per line of what hostile and odd packets must do. What they expect was compared with Open vSwitch 3.1.

use packet::wire::arp::ArpFrame;
use packet::wire::icmpv6::NeighbourFrame;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;

const DST: [u8; 6] = [0x50, 0x54, 0, 0, 0, 0x0a];
const SRC: [u8; 6] = [0x50, 0x54, 0, 0, 0, 9];
const UDP: [u8; 8] = [0, 1, 0, 2, 0, 8, 0, 0];
const TCP: [u8; 20] = [0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0x5f, 0xff, 0, 6, 0, 0, 0, 0];

fn eth(eth_type: u16, payload: &[u8]) -> Vec<u8> {
    [EthernetHeader::new(DST, SRC, eth_type).as_bytes(), payload].concat()
}

fn v4(proto: u8, payload: &[u8], edit: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let mut ip =
        Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), proto, 64, payload.len());
    edit(&mut ip);
    eth(0x0800, &[ip.as_bytes(), payload].concat())
}

fn v6(next: u8, payload: &[u8], edit: impl FnOnce(&mut Ipv6Header)) -> Vec<u8> {
    let mut ip = Ipv6Header::new(
        "fe80::1".parse().unwrap(),
        "fe80::2".parse().unwrap(),
        next,
        64,
        payload.len(),
    );
    edit(&mut ip);
    eth(0x86dd, &[ip.as_bytes(), payload].concat())
}

fn key(frame: &[u8]) -> FlowKey {
    both(frame).0
}

fn both(frame: &[u8]) -> (FlowKey, Layers) {
    extract(frame, &Metadata::port(DpPort(7))).unwrap()
}

/// (nw_src, proto, tp_src, tp_dst)
fn seen(frame: &[u8]) -> (u32, u8, u16, u16) {
    let k = key(frame);
    (k.nw_src, k.nw_proto, k.tp_src, k.tp_dst)
}

const IP1: u32 = 0x0a00_0001;

#[test]
fn fewer_than_14_bytes_are_no_packet() {
    for n in 0..14 {
        assert!(extract(&vec![0; n], &Metadata::default()).is_none());
    }
    let (k, layers) = both(&eth(0x0800, b""));
    assert_eq!((k.eth_type, k.eth_dst, k.eth_src, k.in_port), (0x0800, DST, SRC, 7));
    assert_eq!(layers, Layers { l3: None, l4: None, end: 14 });
}

#[test]
fn a_service_tag_is_read_and_nothing_behind_it() {
    let inner = v4(17, &UDP, |_| ());
    let tag = [0x48, 0, 0, 100];
    let frame = eth(0x88e7, &[&tag, inner.as_slice()].concat());
    let (k, layers) = both(&frame);
    assert_eq!((k.eth_type, k.ipv6_label, k.nw_src), (0x88e7, 0x4800_0064, 0));
    assert_eq!((layers.l3, layers.l4), (None, None));
    let behind_a_tag = eth(0x88a8, &[&[0, 10, 0x88, 0xe7], tag.as_slice(), &inner].concat());
    let k = key(&behind_a_tag);
    assert_eq!((k.vlans[0].vid(), k.eth_type, k.ipv6_label), (10, 0x88e7, 0x4800_0064));
    for cut in 0..4 {
        assert_eq!(key(&frame[..14 + cut]).ipv6_label, 0, "{cut} bytes of it");
    }
}

#[test]
fn extension_headers_are_told() {
    use packet::wire::ipv6::extension::{AUTH, HOP_BY_HOP, NO_NEXT};
    let chain = [&[51, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 0, 0, 0, 0, 0, 0], UDP.as_slice()].concat();
    let k = key(&v6(0, &chain, |_| ()));
    assert_eq!((k.ipv6_exthdr, k.nw_proto, k.tp_dst), (HOP_BY_HOP | AUTH, 17, 2));
    assert_eq!(key(&v6(17, &UDP, |_| ())).ipv6_exthdr, 0);
    assert_eq!(key(&v6(59, b"", |_| ())).ipv6_exthdr, NO_NEXT);
    assert_eq!(key(&v6(0, &chain[..7], |_| ())).ipv6_exthdr, 0, "a chain that does not fit");
}

#[test]
fn metadata_comes_from_the_caller_and_back() {
    let meta = Metadata {
        in_port: DpPort(3),
        recirc_id: RecircId(9),
        dp_hash: 1,
        skb_mark: 2,
        skb_priority: 4,
        packet_type: 1 << 16 | 0x1234,
        tunnel: TunnelKey { id: 5, ip_dst: 6, ..TunnelKey::default() },
    };
    assert_eq!(Metadata::of(&extract(&[0; 14], &meta).unwrap().0), meta);
}

#[test]
fn lengths_instead_of_types() {
    let snap = |llc: &[u8]| key(&eth(50, &[llc, &v4(17, &UDP, |_| ())[14..]].concat()));
    assert_eq!(key(&eth(0x5ff, &[0; 50])).eth_type, 0x05ff);
    assert_eq!(snap(&[0x42, 0x42, 3]).eth_type, 0x05ff);
    assert_eq!(snap(&[0xaa, 0xaa, 3, 0, 0, 1, 8, 0]).eth_type, 0x05ff);
    assert_eq!(snap(&[0xaa, 0xaa, 3, 0, 0, 0, 1, 0]).eth_type, 0x05ff);
    assert_eq!(key(&eth(50, &[0xaa, 0xaa, 3, 0, 0, 0, 8])).eth_type, 0x05ff);
    let k = snap(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
    assert_eq!((k.eth_type, k.nw_src, k.tp_dst), (0x0800, IP1, 2));
}

#[test]
fn vlan_tags() {
    let ip = v4(17, &UDP, |_| ());
    let tagged = |tags: &[u8]| [&ip[..12], tags, &ip[12..]].concat();
    let k = key(&tagged(&[0x81, 0, 0xe0, 5]));
    assert_eq!(
        (k.vlans[0], k.vlans[1], k.tp_dst),
        (Vlan { tpid: 0x8100, tci: 0xf005 }, Vlan::default(), 2)
    );
    let double = tagged(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]);
    let (k, layers) = both(&double);
    assert_eq!(k.vlans, [Vlan { tpid: 0x88a8, tci: 0x1005 }, Vlan { tpid: 0x8100, tci: 0x1006 }]);
    assert_eq!((k.eth_type, layers.l3, layers.l4), (0x0800, Some(22), Some(42)));
    // As far as one is told to look.
    let k = extract_with(&double, &Metadata::default(), 1).unwrap().0;
    assert_eq!((k.eth_type, k.vlans[1].is_present(), k.nw_src), (0x8100, false, 0));
    let k = extract_with(&double, &Metadata::default(), 0).unwrap().0;
    assert_eq!((k.eth_type, k.vlans[0].is_present()), (0x88a8, false));
    assert_eq!(key(&tagged(&[0x81, 0, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7])).eth_type, 0x8100);
}

#[test]
fn a_cut_vlan_tag_is_a_type() {
    for cut in 0..4 {
        let k = key(&eth(0x8100, &[0, 5, 8, 0][..cut]));
        assert_eq!((k.eth_type, k.vlans[0].is_present()), (0x8100, false));
    }
    let k = key(&eth(0x8100, &[0, 5, 8, 0]));
    assert_eq!((k.eth_type, k.vlans[0].vid(), k.nw_src), (0x0800, 5, 0));
}

#[test]
fn mpls_labels() {
    let labels = |bytes: &[u8]| key(&eth(0x8847, bytes)).mpls;
    let (a, b) = (0x0000_5040_u32, 0x0000_6140_u32);
    let stack = |entries: &[u32]| entries.iter().flat_map(|e| e.to_be_bytes()).collect::<Vec<_>>();
    assert_eq!(labels(&stack(&[b, a])), [b, 0, 0, 0], "nothing behind the bottom");
    assert_eq!(labels(&stack(&[a, a, a, b])), [a, a, a, 0], "three at most");
    assert_eq!(labels(&stack(&[a, a])), [a, a, 0, 0], "no bottom");
    assert_eq!(labels(&[]), [0; 4]);
    assert_eq!(labels(&stack(&[a, a])[..6]), [a, 0, 0, 0]);
}

#[test]
fn ipv4_whole() {
    let (k, layers) = both(&v4(17, &UDP, |ip| ip.tos = 0xb9));
    assert_eq!(
        (k.nw_src, k.nw_dst, k.nw_proto, k.nw_tos, k.nw_ttl),
        (IP1, 0x0a00_0002, 17, 0xb9, 64)
    );
    assert_eq!((k.tp_src, k.tp_dst, k.ip_frag), (1, 2, 0));
    assert_eq!(layers, Layers { l3: Some(14), l4: Some(34), end: 42 });
    // Padding, up to a whole MTU of it (CVE-2020-35498), changes nothing but is told.
    for pad in [1, 255, 256, 1458, 65_000] {
        let mut padded = v4(17, &UDP, |ip| ip.tos = 0xb9);
        padded.resize(42 + pad, 0xee);
        assert_eq!(both(&padded), (k, layers));
    }
}

#[test]
fn ipv4_lengths_that_lie_leave_the_type_alone() {
    let lies: [fn(&mut Ipv4Header); 5] = [
        |ip| ip.version_ihl = 0x44,
        |ip| ip.version_ihl = 0x4f,
        |ip| ip.total_len = 19.into(),
        |ip| ip.total_len = 0.into(),
        |ip| ip.total_len = 29.into(),
    ];
    for lie in lies {
        let frame = v4(17, &UDP, lie);
        let (k, layers) = both(&frame);
        let want = FlowKey {
            in_port: 7,
            eth_dst: DST,
            eth_src: SRC,
            eth_type: 0x0800,
            ..FlowKey::default()
        };
        assert_eq!((k, layers), (want, Layers { l3: None, l4: None, end: 42 }));
    }
    assert_eq!(seen(&v4(17, &UDP, |_| ())[..33]).0, 0);
}

#[test]
fn ipv4_oddities_that_are_no_lies() {
    assert_eq!(seen(&v4(17, &UDP, |ip| ip.version_ihl = 0x55)), (IP1, 17, 1, 2), "version");
    assert_eq!(seen(&v4(17, &UDP, |ip| ip.csum = 0xdead.into())), (IP1, 17, 1, 2), "checksum");
    assert_eq!(seen(&v4(17, &UDP, |ip| ip.ttl = 0)), (IP1, 17, 1, 2), "ttl");
    assert_eq!(
        seen(&v4(17, &[&[1, 1, 1, 0], &UDP[..]].concat(), |ip| ip.version_ihl = 0x46)),
        (IP1, 17, 1, 2),
        "options"
    );
    assert_eq!(seen(&v4(0, &UDP, |_| ())), (IP1, 0, 0, 0), "protocol 0 (CVE-2023-1668)");
    let (k, layers) = both(&v4(17, &UDP, |ip| ip.total_len = 20.into()));
    assert_eq!(
        (k.nw_src, k.tp_src, layers.l4, layers.end),
        (IP1, 0, None, 34),
        "an empty packet and padding"
    );
}

#[test]
fn ipv4_fragments() {
    for (bits, frag, ports, l4) in [
        (0x4000, 0, (1, 2), true),
        (0x8000, 0, (1, 2), true),
        (0x2000, frag::ANY, (1, 2), true),
        (0x2001, frag::ANY | frag::LATER, (0, 0), false),
        (0x0001, frag::ANY | frag::LATER, (0, 0), false),
    ] {
        let (k, layers) = both(&v4(17, &UDP, |ip| ip.frag = bits.into()));
        assert_eq!(
            (k.nw_proto, k.ip_frag, (k.tp_src, k.tp_dst), layers.l4.is_some()),
            (17, frag, ports, l4),
            "{bits:#x}"
        );
    }
}

#[test]
fn transport_headers_whole_and_cut() {
    for (proto, bytes, want) in [
        (17, &UDP[..], (1, 2)),
        (17, &UDP[..7], (0, 0)),
        (17, &[0, 1, 0, 2, 0, 1, 0, 0], (1, 2)), // a length below 8 is the host's business
        (17, &[0, 1, 0, 2, 0xff, 0xff, 0, 0], (1, 2)),
        (6, &TCP[..], (1, 2)),
        (6, &TCP[..19], (0, 0)),
        (132, &TCP[..12], (1, 2)),
        (132, &TCP[..11], (0, 0)),
        (47, &UDP[..], (0, 0)),
    ] {
        for frame in [v4(proto, bytes, |_| ()), v6(proto, bytes, |_| ())] {
            let (k, layers) = both(&frame);
            assert_eq!((k.nw_proto, (k.tp_src, k.tp_dst)), (proto, want), "{bytes:?}");
            assert_eq!(layers.l4.is_some(), want != (0, 0) || proto == 47);
        }
    }
}

#[test]
fn tcp_flags_have_12_bits_and_data_offsets_must_fit() {
    assert_eq!(key(&v4(6, &TCP, |_| ())).tcp_flags, 0xfff);
    for offset in [0x00, 0x40, 0x60, 0xf0] {
        let mut tcp = TCP;
        tcp[12] = offset;
        let k = key(&v4(6, &tcp, |_| ()));
        assert_eq!((k.nw_proto, k.tp_src, k.tcp_flags), (6, 0, 0), "{offset:#x}");
    }
}

#[test]
fn icmp_and_igmp() {
    assert_eq!(seen(&v4(1, &[8, 1, 0, 0, 0, 0, 0, 0], |_| ())), (IP1, 1, 8, 1));
    assert_eq!(seen(&v4(1, &[8, 1, 0, 0, 0, 0, 0], |_| ())), (IP1, 1, 0, 0));
    assert_eq!(seen(&v4(2, &[0x16, 1, 0, 0, 0, 0, 0, 0], |_| ())), (IP1, 2, 0, 0));
    assert_eq!(
        seen(&v4(58, &[128, 1, 0, 0, 0, 0, 0, 0], |_| ())),
        (IP1, 58, 0, 0),
        "ICMPv6 on IPv4 is nothing"
    );
    let k = key(&v6(1, &[8, 1, 0, 0, 0, 0, 0, 0], |_| ()));
    assert_eq!((k.nw_proto, k.tp_src, k.tp_dst), (1, 0, 0), "nor is ICMP on IPv6");
    // IGMPv3 with a group count that lies: nobody reads it.
    assert_eq!(seen(&v4(2, &[0x22, 0, 0, 0, 0, 0, 0xff, 0xff], |_| ())).1, 2);
}

fn ext(next: u8, len: u8) -> Vec<u8> {
    [&[next, len][..], &vec![0; 6 + 8 * usize::from(len)]].concat()
}

#[test]
fn ipv6_extension_headers() {
    let udp_at = |next, headers: &[u8]| {
        let (k, layers) = both(&v6(next, &[headers, &UDP].concat(), |_| ()));
        assert_eq!((k.nw_proto, k.tp_src, k.tp_dst), (17, 1, 2));
        assert_eq!(layers.l4, Some(54 + headers.len() as u16));
    };
    udp_at(17, &[]);
    udp_at(0, &ext(17, 0));
    udp_at(0, &[ext(60, 0), ext(43, 1), ext(17, 3)].concat());
    udp_at(51, &[17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let hundred = [vec![ext(60, 0); 99].concat(), ext(17, 0)].concat();
    udp_at(60, &hundred);
    // Unknown and terminal ones end the walk.
    for next in [50, 59, 135] {
        assert_eq!(key(&v6(next, &ext(17, 0), |_| ())).nw_proto, next);
    }
}

#[test]
fn ipv6_chains_that_lie_leave_the_addresses() {
    for (next, chain) in [
        (0, ext(17, 0)[..7].to_vec()),
        (0, vec![17, 9, 0, 0, 0, 0, 0, 0]),
        (51, vec![17, 200, 0, 0, 0, 0, 0, 0]),
    ] {
        let (k, layers) = both(&v6(next, &chain, |ip| ip.version_class_label = 0x6ab1_2345.into()));
        assert_eq!((k.ipv6_src[15], k.ipv6_dst[15]), (1, 2));
        assert_eq!((k.nw_proto, k.nw_ttl, k.nw_tos, k.ipv6_label, k.ip_frag), (0, 0, 0, 0, 0));
        assert_eq!((layers.l3, layers.l4), (Some(14), None));
    }
}

#[test]
fn ipv6_lengths() {
    let k = key(&v6(17, &UDP, |ip| ip.version_class_label = 0x4ab1_2345.into()));
    assert_eq!(
        (k.nw_tos, k.ipv6_label, k.tp_dst),
        (0xab, 0x1_2345, 2),
        "the version is not looked at"
    );
    let k = key(&v6(17, &UDP, |ip| ip.payload_len = 9.into()));
    assert_eq!((k.ipv6_src, k.nw_proto), ([0; 16], 0), "longer than the frame");
    assert_eq!(key(&v6(17, &[], |_| ())[..53]).ipv6_src, [0; 16], "cut");
    for len in [0, 4] {
        let k = key(&v6(17, &UDP, |ip| ip.payload_len = len.into()));
        assert_eq!((k.nw_proto, k.tp_src), (17, 0));
    }
    let jumbo =
        v6(0, &[&[17, 0, 0xc2, 4, 0, 1, 0, 0], &UDP[..]].concat(), |ip| ip.payload_len = 0.into());
    assert_eq!(
        (key(&jumbo).ipv6_src[15], key(&jumbo).nw_proto),
        (1, 0),
        "jumbograms are not spoken"
    );
    let mut padded = v6(17, &UDP, |_| ());
    padded.extend([0xee; 99]);
    assert_eq!(both(&padded).1.end, 62);
}

#[test]
fn ipv6_fragments() {
    let frag = |offset_more: u8, next: u8, rest: &[u8]| {
        key(&v6(44, &[&[next, 0, 0, offset_more, 0, 0, 0, 1], rest].concat(), |_| ()))
    };
    let k = frag(0, 17, &UDP);
    assert_eq!((k.nw_proto, k.ip_frag, k.tp_src), (17, 0, 1), "atomic");
    let k = frag(1, 17, &UDP);
    assert_eq!((k.nw_proto, k.ip_frag, k.tp_src), (17, frag::ANY, 1), "first");
    let k = frag(8, 17, &UDP);
    assert_eq!((k.nw_proto, k.ip_frag, k.tp_src), (44, frag::ANY | frag::LATER, 0), "later");
    let k = frag(1, 44, &[&[17, 0, 0, 8, 0, 0, 0, 1], &UDP[..]].concat());
    assert_eq!(
        (k.nw_proto, k.ip_frag),
        (44, frag::ANY | frag::LATER),
        "a fragment inside a fragment"
    );
    let k = frag(1, 60, &[&ext(17, 0), &UDP[..]].concat());
    assert_eq!((k.nw_proto, k.ip_frag, k.tp_src), (17, frag::ANY, 1));
}

#[test]
fn neighbour_discovery() {
    let target = "fe80::99".parse().unwrap();
    let ns = NeighbourFrame::solicitation(SRC, "fe80::1".parse().unwrap(), target);
    let k = key(ns.as_bytes());
    assert_eq!(
        (k.tp_src, k.tp_dst, k.nd_target, k.arp_sha, k.arp_tha),
        (135, 0, target.octets(), SRC, [0; 6])
    );
    // CVE-2023-5366: with a code it is no neighbour discovery.
    let mut coded = ns;
    coded.icmp.code = 1;
    let k = key(coded.as_bytes());
    assert_eq!((k.tp_src, k.tp_dst, k.nd_target, k.arp_sha), (135, 1, [0; 16], [0; 6]));
    // An option given twice voids it all; option walks that lie are in packet's own tests.
    let twice = [
        &[135, 0, 0, 0, 0, 0, 0, 0][..],
        &target.octets(),
        &[1, 1, 2, 0, 0, 0, 0, 7, 1, 1, 2, 0, 0, 0, 0, 7],
    ]
    .concat();
    let k = key(&v6(58, &twice, |_| ()));
    assert_eq!((k.tp_src, k.nd_target, k.arp_sha), (135, [0; 16], [0; 6]));
    let k = key(&v6(58, &twice[..23], |_| ()));
    assert_eq!((k.tp_src, k.nd_target), (135, [0; 16]));
    for cut in [3, 4, 7] {
        assert_eq!(key(&v6(58, &twice[..cut], |_| ())).tp_src, 0);
    }
    // MLDv2 with a record count that lies.
    assert_eq!(key(&v6(58, &[143, 0, 0, 0, 0, 0, 0xff, 0xff], |_| ())).tp_src, 143);
}

#[test]
fn arp() {
    let good = ArpFrame::reply(SRC, [1, 2, 3, 4].into(), DST, [5, 6, 7, 8].into());
    let (k, layers) = both(good.as_bytes());
    assert_eq!(
        (k.nw_src, k.nw_dst, k.nw_proto, k.arp_sha, k.arp_tha),
        (0x0102_0304, 0x0506_0708, 2, SRC, DST)
    );
    assert_eq!((layers.l3, layers.l4), (Some(14), None));
    let mut rarp = good;
    rarp.ethernet.eth_type = 0x8035.into();
    assert_eq!(key(rarp.as_bytes()).nw_src, 0x0102_0304);
    for op in [256, 300] {
        let mut big = good;
        big.arp.op = op.into();
        assert_eq!(key(big.as_bytes()).nw_proto, 0);
    }
    let lies: [fn(&mut ArpFrame); 4] = [
        |f| f.arp.hardware = 2.into(),
        |f| f.arp.protocol = 0x86dd.into(),
        |f| f.arp.hardware_len = 5,
        |f| f.arp.protocol_len = 5,
    ];
    for lie in lies {
        let mut f = good;
        lie(&mut f);
        let k = key(f.as_bytes());
        assert_eq!((k.eth_type, k.nw_src, k.nw_proto, k.arp_sha), (0x0806, 0, 0, [0; 6]));
    }
    assert_eq!(key(&good.as_bytes()[..41]).nw_src, 0);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let typed = (
        prop_oneof![
            Just(0x0800u16),
            Just(0x86dd),
            Just(0x8100),
            Just(0x88a8),
            Just(0x8847),
            Just(0x0806),
            Just(60u16)
        ],
        proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(0x45), Just(0), Just(17), Just(6)],
            0..200,
        ),
    )
        .prop_map(|(t, p)| eth(t, &p));
    let real = prop_oneof![
        Just(v4(6, &TCP, |_| ())),
        Just(v6(0, &[ext(44, 0), ext(17, 0)].concat(), |_| ()))
    ];
    let flipped =
        (real, proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6))
            .prop_map(|(mut f, edits)| {
                for (at, to) in edits {
                    let at = at.index(f.len());
                    f[at] = to;
                }
                f
            });
    prop_oneof![typed, flipped, proptest::collection::vec(any::<u8>(), 0..100)]
}

proptest! {
    #[test]
    fn any_bytes_give_a_key_and_true_layers(frame in any_frame()) {
        let Some((key, layers)) = extract(&frame, &Metadata::default()) else {
            prop_assert!(frame.len() < 14);
            return Ok(());
        };
        let end = layers.end as usize;
        prop_assert!(end <= frame.len());
        prop_assert!(layers.l3.is_none_or(|l3| usize::from(l3) < end));
        if let Some(l4) = layers.l4 {
            prop_assert!(layers.l3.is_some() && l4 > layers.l3.unwrap());
            let need = match key.nw_proto { 6 => 20, 17 => 8, 132 => 12, 1 | 2 if key.is_ipv4() => 8, 58 if key.is_ipv6() => 8, _ => 0 };
            prop_assert!(usize::from(l4) + need <= end);
        }
        // Nothing behind the IP packet is looked at.
        if layers.l4.is_some() {
            prop_assert_eq!(extract(&frame[..end], &Metadata::default()), Some((key, layers)));
        }
    }

    #[test]
    fn cutting_a_frame_never_panics(frame in any_frame()) {
        for cut in 0..frame.len() {
            let _ = extract(&frame[..cut], &Metadata::default());
        }
    }
}
