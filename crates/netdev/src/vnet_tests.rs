use super::*;
use packet::Packet;
use packet::wire::ip_proto;
use proptest::prelude::*;

/// A header as the kernel writes it.
fn head(flags: u8, gso_type: u8, gso_size: u16, start: u16, offset: u16) -> [u8; HEAD] {
    let mut h = [flags, gso_type, 0, 0, 0, 0, 0, 0, 0, 0];
    for (at, v) in [(4, gso_size), (6, start), (8, offset)] {
        h[at..at + 2].copy_from_slice(&v.to_ne_bytes());
    }
    h
}

fn ethernet(eth_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    f.extend(eth_type.to_be_bytes());
    f.extend(payload);
    f
}

fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0];
    p.extend(((20 + payload.len()) as u16).to_be_bytes());
    p.extend([0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    p.extend(payload);
    p
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x60, 0, 0, 0];
    p.extend((payload.len() as u16).to_be_bytes());
    p.extend([next, 64]);
    p.extend([0xfe; 32]);
    p.extend(payload);
    p
}

fn tcp(len: usize) -> Vec<u8> {
    let mut t = vec![0; 20 + len];
    t[12] = 5 << 4;
    t
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut u = vec![0x12, 0x34, 0x12, 0xb5];
    u.extend(((8 + payload.len()) as u16).to_be_bytes());
    u.extend([0, 0]);
    u.extend(payload);
    u
}

pub(crate) fn tcp4(len: usize) -> Vec<u8> {
    ethernet(0x0800, &ipv4(ip_proto::TCP, &tcp(len)))
}

pub(crate) fn udp4(payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(ip_proto::UDP, &udp(payload)))
}

pub(crate) fn udp6(payload: &[u8]) -> Vec<u8> {
    ethernet(0x86dd, &ipv6(ip_proto::UDP, &udp(payload)))
}

fn vxlan(inner: &[u8]) -> Vec<u8> {
    let mut v = vec![8, 0, 0, 0, 0, 0, 7, 0];
    v.extend(inner);
    ethernet(0x0800, &ipv4(ip_proto::UDP, &udp(&v)))
}

fn geneve(inner: &[u8]) -> Vec<u8> {
    let mut v = vec![2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    v.extend(inner);
    ethernet(0x0800, &ipv4(ip_proto::UDP, &udp(&v)))
}

fn gre(inner: &[u8]) -> Vec<u8> {
    let mut g = vec![0x20, 0, 0x65, 0x58, 0, 0, 0, 7];
    g.extend(inner);
    ethernet(0x0800, &ipv4(ip_proto::GRE, &g))
}

/// VXLAN with the generic protocol extension around a frame's IPv4 packet, as the kernel's device sends it.
fn vxlan_gpe(inner: &[u8]) -> Vec<u8> {
    let mut v = vec![0x0c, 0, 0, 1, 0, 0, 7, 0];
    v.extend(&inner[14..]);
    ethernet(0x0800, &ipv4(ip_proto::UDP, &udp(&v)))
}

/// GRE around a frame's IPv4 packet, as routers send it.
fn gre_of_ip(inner: &[u8]) -> Vec<u8> {
    let mut g = vec![0, 0, 8, 0];
    g.extend(&inner[14..]);
    ethernet(0x0800, &ipv4(ip_proto::GRE, &g))
}

fn partial_at(start: u16, offset: u16) -> Csum {
    Csum::Partial { start, offset }
}

fn super_packet(kind: GsoKind, size: u16, start: u16, offset: u16) -> Offload {
    Offload {
        csum: partial_at(start, offset),
        gso: Some(Gso { kind, size, ecn: false }),
        encap: None,
        plain: false,
    }
}

#[test]
fn headers_of_true_packets() {
    let udp4 = ethernet(0x0800, &ipv4(ip_proto::UDP, &udp(&[0; 4000])));
    let tcp6 = ethernet(0x86dd, &ipv6(ip_proto::TCP, &tcp(4000)));
    let plain = Offload::default();
    let encap = |l3, l4, inner, udp| {
        let carrier = if udp { Carrier::Udp } else { Carrier::Gre };
        Some(Encap { l3, l4, inner, carrier, csum: false, bare: false })
    };
    let bare = |inner, udp| encap(14, 34, inner, udp).map(|encap| Encap { bare: true, ..encap });
    let cases = [
        ("complete", head(0, 0, 0, 0, 0), tcp4(10), plain),
        ("verified", head(2, 0, 0, 0, 0), tcp4(10), Offload { csum: Csum::Verified, ..plain }),
        ("partial", head(1, 0, 0, 34, 16), tcp4(10), Offload { csum: partial_at(34, 16), ..plain }),
        (
            "partial of a packet that is not IP",
            head(1, 0, 0, 14, 2),
            ethernet(0x88b5, &[0; 4]),
            Offload { csum: partial_at(14, 2), ..plain },
        ),
        ("TSO", head(1, 1, 1448, 34, 16), tcp4(4000), super_packet(GsoKind::Tcp4, 1448, 34, 16)),
        (
            "TSO over IPv6",
            head(1, 4, 1428, 54, 16),
            tcp6,
            super_packet(GsoKind::Tcp6, 1428, 54, 16),
        ),
        ("USO", head(1, 5, 1000, 34, 6), udp4, super_packet(GsoKind::Udp, 1000, 34, 6)),
        (
            "TSO in VXLAN",
            head(1, 1, 1398, 84, 16),
            vxlan(&tcp4(4000)),
            Offload { encap: encap(14, 34, 50, true), ..super_packet(GsoKind::Tcp4, 1398, 84, 16) },
        ),
        (
            "TSO in Geneve with options",
            head(1, 1, 1390, 92, 16),
            geneve(&tcp4(4000)),
            Offload { encap: encap(14, 34, 58, true), ..super_packet(GsoKind::Tcp4, 1390, 92, 16) },
        ),
        (
            "TSO in VXLAN without an Ethernet header",
            head(1, 1, 1398, 70, 16),
            vxlan_gpe(&tcp4(4000)),
            Offload { encap: bare(50, true), ..super_packet(GsoKind::Tcp4, 1398, 70, 16) },
        ),
        (
            "TSO in GRE without an Ethernet header",
            head(1, 1, 1398, 58, 16),
            gre_of_ip(&tcp4(4000)),
            Offload { encap: bare(38, false), ..super_packet(GsoKind::Tcp4, 1398, 58, 16) },
        ),
        (
            "TSO in GRE with a key",
            head(1, 1, 1390, 76, 16),
            gre(&tcp4(4000)),
            Offload {
                encap: encap(14, 34, 42, false),
                ..super_packet(GsoKind::Tcp4, 1390, 76, 16)
            },
        ),
        (
            "USO in VXLAN",
            head(1, 5, 1000, 84, 6),
            vxlan(&ethernet(0x0800, &ipv4(17, &udp(&[0; 4000])))),
            Offload { encap: encap(14, 34, 50, true), ..super_packet(GsoKind::Udp, 1000, 84, 6) },
        ),
    ];
    for (what, head, mut frame, want) in cases {
        assert_eq!(decode(&head, &mut frame), Ok(want), "{what}");
        if want.encap.is_none() && want.csum != Csum::Verified {
            let again = encode(&frame, &want, 1518).unwrap();
            assert_eq!(
                (again[0], again[1], &again[4..]),
                (head[0], head[1], &head[4..]),
                "{what}: there and back"
            );
        }
    }
}

#[test]
fn ecn_is_kept() {
    let mut frame = tcp4(4000);
    let h = head(1, GSO_TCP4 | GSO_ECN, 1448, 34, 16);
    let offload = decode(&h, &mut frame).unwrap();
    assert!(offload.gso.unwrap().ecn);
    assert_eq!(encode(&frame, &offload, 1518).unwrap()[1], GSO_TCP4 | GSO_ECN);
}

#[test]
fn a_super_packet_with_a_complete_checksum_gets_a_partial_one() {
    let mut frame = tcp4(4000);
    let offload = decode(&head(2, 1, 1448, 0, 0), &mut frame).unwrap();
    assert_eq!(offload, super_packet(GsoKind::Tcp4, 1448, 34, 16));
    // 10.0.0.1 + 10.0.0.2, protocol 6, 4020 bytes.
    let want = (0x0a00u32 + 0x0001 + 0x0a00 + 0x0002 + 6 + 4020) as u16;
    assert_eq!(frame[50..52], want.to_be_bytes());
}

#[test]
fn sctp_checksums_are_finished_at_once() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let mut sctp = vec![0x12, 0x34, 0x56, 0x78, 0, 0, 0, 9, 1, 2, 3, 4, 0, 0, 0, 4];
    let mut frame = ethernet(0x0800, &ipv4(132, &sctp));
    frame.extend([0xff; 6]); // link-layer padding does not count
    assert_eq!(decode(&head(1, 0, 0, 34, 8), &mut frame).unwrap().csum, Csum::Verified);
    sctp[8..12].fill(0);
    assert_eq!(frame[42..46], crc32c(&sctp).to_le_bytes());
    // Anything else with a checksum there is an ordinary one.
    let mut other = ethernet(0x0800, &ipv4(200, &[7; 16]));
    assert_eq!(decode(&head(1, 0, 0, 34, 8), &mut other).unwrap().csum, partial_at(34, 8));
    let mut short = ethernet(0x0800, &ipv4(132, &[7; 10]));
    assert_eq!(decode(&head(1, 0, 0, 34, 8), &mut short).unwrap().csum, partial_at(34, 8));
}

#[test]
fn headers_that_lie_are_refused() {
    let short_tcp = ethernet(0x0800, &ipv4(ip_proto::TCP, &[0; 19]));
    let mut fragment = tcp4(4000);
    fragment[20] = 0x20;
    let mut long_options = tcp4(0);
    long_options[46] = 15 << 4;
    let cases = [
        ("runt", head(0, 0, 0, 0, 0), vec![0; 13], Malformed::Runt),
        ("empty", head(1, 1, 1, 1, 1), vec![], Malformed::Runt),
        ("checksum beyond frame", head(1, 0, 0, 60, 16), tcp4(0), Malformed::ChecksumBeyondFrame),
        (
            "checksum half beyond frame",
            head(1, 0, 0, 37, 16),
            tcp4(0),
            Malformed::ChecksumBeyondFrame,
        ),
        (
            "checksum far beyond frame",
            head(1, 1, 1, 65535, 65535),
            tcp4(0),
            Malformed::ChecksumBeyondFrame,
        ),
        ("no segment size", head(1, 1, 0, 34, 16), tcp4(4000), Malformed::NoSegmentSize),
        ("UFO", head(1, 3, 1448, 34, 6), tcp4(4000), Malformed::SegmentKind(3)),
        ("unknown kind", head(1, 0x7f, 1448, 34, 16), tcp4(4000), Malformed::SegmentKind(0x7f)),
        ("ECN of nothing", head(1, 0x80, 1448, 34, 16), tcp4(4000), Malformed::SegmentKind(0x80)),
        (
            "TSO without TCP",
            head(1, 1, 100, 34, 16),
            ethernet(0x0800, &ipv4(17, &udp(&[0; 900]))),
            Malformed::Headers,
        ),
        ("USO without UDP", head(1, 5, 100, 34, 6), tcp4(4000), Malformed::Headers),
        ("TSO over the other IP", head(1, 4, 100, 34, 16), tcp4(4000), Malformed::Headers),
        ("TSO with UDP's checksum field", head(1, 1, 100, 34, 6), tcp4(4000), Malformed::Headers),
        (
            "checksum start in the IP header",
            head(1, 1, 100, 33, 16),
            tcp4(4000),
            Malformed::Headers,
        ),
        ("checksum start in the payload", head(1, 1, 100, 54, 16), tcp4(4000), Malformed::Headers),
        ("TCP header cut short", head(2, 1, 100, 0, 0), short_tcp, Malformed::Headers),
        ("TCP options beyond frame", head(1, 1, 100, 34, 16), long_options, Malformed::Headers),
        ("a fragment", head(1, 1, 100, 34, 16), fragment, Malformed::Headers),
        ("not IP", head(1, 1, 100, 34, 16), ethernet(0x88b5, &[0; 200]), Malformed::Headers),
        ("inner header elsewhere", head(1, 1, 100, 85, 16), vxlan(&tcp4(4000)), Malformed::Headers),
    ];
    for (what, head, mut frame, want) in cases {
        assert_eq!(decode(&head, &mut frame), Err(want), "{what}");
    }
}

#[test]
fn what_the_kernel_cannot_take_is_told_apart() {
    let frame = tcp4(4000);
    let tso = super_packet(GsoKind::Tcp4, 1460, 34, 16);
    assert!(encode(&frame, &tso, 1518).is_ok());
    assert_eq!(
        encode(&frame, &tso, 1517),
        Err(Unfit::TooLong),
        "the room for a tag is not for payload"
    );
    let mut tagged = frame.clone();
    tagged.splice(12..12, [0x81, 0, 0, 1]);
    assert!(encode(&tagged, &super_packet(GsoKind::Tcp4, 1460, 38, 16), 1518).is_ok());
    let encap =
        Some(Encap { l3: 14, l4: 34, inner: 50, carrier: Carrier::Udp, csum: false, bare: false });
    assert_eq!(encode(&vxlan(&frame), &Offload { encap, ..tso }, 9018), Err(Unfit::Finish));
    assert_eq!(encode(&frame, &Offload { csum: Csum::Complete, ..tso }, 1518), Err(Unfit::Finish));
    assert_eq!(encode(&frame[..40], &tso, 1518), Err(Unfit::Broken));
    assert_eq!(encode(&frame[..52], &tso, 1518), Err(Unfit::Broken));
}

#[test]
fn a_tag_moves_what_is_behind_it() {
    let inner = vxlan(&tcp4(4000));
    let mut frame = inner.clone();
    let offload = decode(&head(1, 1, 1398, 84, 16), &mut frame).unwrap();
    let mut p = Packet { offload, ..Packet::from_frame(&frame) };
    insert_vlan(&mut p, 0x88a8, 0x2064);
    assert_eq!(p.bytes()[..12], inner[..12]);
    assert_eq!(p.bytes()[12..16], [0x88, 0xa8, 0x20, 0x64]);
    assert_eq!(p.bytes()[16..], inner[12..]);
    assert_eq!(p.offload.csum, partial_at(88, 16));
    assert_eq!(
        p.offload.encap,
        Some(Encap { l3: 18, l4: 38, inner: 54, carrier: Carrier::Udp, csum: false, bare: false })
    );
    // What the tag made of the packet is what a look at the packet finds.
    let mut tagged = p.bytes().to_vec();
    assert_eq!(decode(&head(1, 1, 1398, 88, 16), &mut tagged), Ok(p.offload));
}

proptest! {
    #[test]
    fn no_header_and_frame_panic(head: [u8; HEAD], frame in proptest::collection::vec(any::<u8>(), 0..300), max: u32) {
        let mut frame = frame;
        if let Ok(offload) = decode(&head, &mut frame) {
            if let Csum::Partial { start, offset } = offload.csum {
                prop_assert!(usize::from(start) + usize::from(offset) + 2 <= frame.len());
            } else {
                prop_assert!(offload.gso.is_none(), "a super-packet without a partial checksum");
            }
            prop_assert!(offload.gso.is_none_or(|gso| gso.size > 0));
            let _ = encode(&frame, &offload, max);
        }
    }

    #[test]
    fn near_truths_do_not_panic(
        h in prop_oneof![Just(head(1, 1, 1398, 84, 16)), Just(head(1, 5, 100, 84, 6)), Just(head(2, 1, 9, 0, 0))],
        at in 0usize..130, to: u8, cut in 0usize..130,
    ) {
        for mut frame in [vxlan(&tcp4(20)), geneve(&tcp4(20)), gre(&tcp4(20)), tcp4(40)] {
            if let Some(b) = frame.get_mut(at) {
                *b = to;
            }
            frame.truncate(cut.max(1));
            let _ = decode(&h, &mut frame);
        }
    }
}
