//! Segmentation against a naive model, and against joining.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::Carrier;
use crate::checksum::{self, Sum};
use crate::gro::{self, Gro, Options};
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{TcpHeader, flag};
use crate::wire::vxlan::VxlanHeader;
use crate::wire::{Located, ip_proto, locate};

fn alloc(len: usize) -> Buf {
    Buf::with_capacity(HEADROOM, len)
}

/// What a packet is made of, independent of how it is cut.
#[derive(Clone, Debug)]
struct Spec {
    v6: bool,
    udp: bool,
    vlan: bool,
    options: usize,
    flags: u16,
    seq: u32,
    id: u16,
    payload: Vec<u8>,
}

fn v6(n: u16) -> std::net::Ipv6Addr {
    std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)
}

fn ip(is_v6: bool, ends: (u8, u8), proto: u8, id: u16, body: &[u8]) -> Vec<u8> {
    if is_v6 {
        let h = Ipv6Header::new(v6(ends.0.into()), v6(ends.1.into()), proto, 64, body.len());
        return [h.as_bytes(), body].concat();
    }
    let mut h = Ipv4Header::new(
        [10, 0, 0, ends.0].into(),
        [10, 0, 0, ends.1].into(),
        proto,
        64,
        body.len(),
    );
    h.set_id(id);
    [h.as_bytes(), body].concat()
}

fn link(is_v6: bool, vlan: bool, ip: &[u8]) -> Vec<u8> {
    let eth_type = if is_v6 { 0x86dd } else { 0x0800 };
    let tag: &[u8] = if vlan { &[0x81, 0, 0, 5] } else { &[] };
    let e = EthernetHeader::new([2; 6], [4; 6], eth_type);
    [&e.as_bytes()[..12], tag, &e.as_bytes()[12..], ip].concat()
}

/// The frame with a complete checksum, made in the plainest way.
fn build(s: &Spec) -> Vec<u8> {
    let transport = if s.udp {
        [UdpHeader::new(1000, 2000, s.payload.len()).as_bytes(), &s.payload].concat()
    } else {
        let words = 5 + s.options as u16;
        let tcp = TcpHeader {
            src: 1000.into(),
            dst: 2000.into(),
            seq: s.seq.into(),
            ack: 77.into(),
            offset_flags: (words << 12 | s.flags).into(),
            window: 500.into(),
            csum: 0.into(),
            urgent: 0.into(),
        };
        [tcp.as_bytes(), &vec![1; s.options * 4], &s.payload].concat()
    };
    let proto = if s.udp { 17 } else { 6 };
    let mut frame = link(s.v6, s.vlan, &ip(s.v6, (1, 2), proto, s.id, &transport));
    let at = locate(&frame).unwrap();
    let field = at.l4 + if s.udp { 6 } else { 16 };
    let csum = naive_transport(&frame, &at);
    frame[field..field + 2].copy_from_slice(&csum.to_be_bytes());
    frame
}

/// The transport checksum as RFC 768 and 9293 define it, with the field as it is.
fn naive_transport(frame: &[u8], at: &Located) -> u16 {
    let mut bytes = frame[at.l4..at.end].to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let (addresses, len) = if at.v6 { (8..40, at.end - at.l4) } else { (12..20, at.end - at.l4) };
    bytes.extend(&frame[at.l3 + addresses.start..at.l3 + addresses.end]);
    bytes.extend([0, at.proto, 0, 0]);
    bytes.extend((len as u16).to_be_bytes());
    let mut sum: u32 = bytes.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 if at.proto == 17 || bytes.is_empty() => 0xffff,
        sum => sum,
    }
}

/// The packet as a guest's stack hands it out: pseudo-header sum in place, one frame.
fn super_packet(s: &Spec, size: u16) -> Packet {
    let mut packet = Packet::from_frame(&build(s));
    let at = locate(packet.bytes()).unwrap();
    let offset = if s.udp { 6 } else { 16 };
    let pseudo = at.pseudo(packet.bytes(), at.end - at.l4).unwrap().fold();
    packet.buf.as_mut_slice()[at.l4 + offset..][..2].copy_from_slice(&pseudo.to_be_bytes());
    let kind = match (s.udp, s.v6) {
        (true, _) => GsoKind::Udp,
        (_, false) => GsoKind::Tcp4,
        _ => GsoKind::Tcp6,
    };
    packet.offload = Offload {
        csum: Csum::Partial { start: at.l4 as u16, offset: offset as u16 },
        gso: Some(Gso { kind, size, ecn: false }),
        encap: None,
        plain: false,
    };
    packet
}

/// The segments as they must be, each built from scratch.
fn expected(s: &Spec, size: u16) -> Vec<Vec<u8>> {
    let chunks: Vec<&[u8]> = s.payload.chunks(size.into()).collect();
    let n = chunks.len();
    let one = |(i, chunk): (usize, &&[u8])| {
        let mut flags = s.flags;
        if i + 1 < n {
            flags &= !(flag::FIN | flag::PSH);
        }
        if i > 0 {
            flags &= !flag::CWR;
        }
        build(&Spec {
            flags,
            seq: s.seq.wrapping_add((i * usize::from(size)) as u32),
            id: s.id.wrapping_add(i as u16),
            payload: chunk.to_vec(),
            ..s.clone()
        })
    };
    chunks.iter().enumerate().map(one).collect()
}

/// Outer headers as a datapath pushes them, lengths for the packet as it is.
fn encapsulate(packet: &mut Packet, outer_v6: bool, csum: bool, vni: u32) {
    let inner_len = packet.buf.len();
    let vxlan = VxlanHeader::new(vni);
    let udp = UdpHeader::new(54321, 4789, 8 + inner_len.min(60_000));
    let body = [udp.as_bytes(), vxlan.as_bytes()].concat();
    let mut outer = link(outer_v6, false, &ip(outer_v6, (8, 9), 17, 900, &body));
    let l3 = 14;
    let l4 = outer.len() - 16;
    if csum {
        outer[l4 + 6..l4 + 8].copy_from_slice(&[0xde, 0xad]); // to be overwritten
    }
    let n = outer.len() as u16;
    packet.buf.push_front(outer.len()).copy_from_slice(&outer);
    packet.offload.pushed(n);
    packet.offload.encap = Some(Encap {
        l3: l3 as u16,
        l4: l4 as u16,
        inner: n,
        carrier: Carrier::Udp,
        csum,
        bare: false,
    });
    fix_lengths(packet.buf.as_mut_slice(), l3, l4, outer_v6);
}

fn fix_lengths(frame: &mut [u8], l3: usize, l4: usize, v6: bool) {
    let total = frame.len();
    let udp_len = ((total - l4) as u16).to_be_bytes();
    frame[l4 + 4..l4 + 6].copy_from_slice(&udp_len);
    if v6 {
        frame[l3 + 4..l3 + 6].copy_from_slice(&udp_len);
    } else {
        Ipv4Header::at_mut(frame, l3).unwrap().set_total_len((total - l3) as u16);
    }
}

/// Checks all that a receiver would check of a frame, and gives its transport part's place.
fn check_frame(frame: &[u8]) -> Located {
    let at = locate(frame).unwrap();
    assert_eq!(at.end, frame.len(), "IP length");
    if !at.v6 {
        assert_eq!(checksum::checksum(&frame[at.l3..at.l4]), 0, "IP header checksum");
    }
    if at.proto == 17 {
        assert_eq!(usize::from(UdpHeader::at(frame, at.l4).unwrap().len.get()), at.end - at.l4);
        if UdpHeader::at(frame, at.l4).unwrap().csum.get() == 0 {
            return at;
        }
    }
    let mut sum = at.pseudo(frame, at.end - at.l4).unwrap();
    sum.add(checksum::sum(&frame[at.l4..at.end]));
    assert_eq!(sum.checksum(), 0, "transport checksum");
    at
}

fn spec() -> impl Strategy<Value = Spec> {
    let flags = prop_oneof![
        Just(flag::ACK),
        Just(flag::ACK | flag::PSH),
        Just(flag::ACK | flag::FIN | flag::CWR),
        Just(0x0ff)
    ];
    let payload = (1usize..6000, any::<u8>())
        .prop_map(|(n, x)| (0..n).map(|i| (i as u8).wrapping_mul(31) ^ x).collect());
    (any::<(bool, bool, bool)>(), 0usize..11, flags, any::<(u32, u16)>(), payload).prop_map(
        |((v6, udp, vlan), options, flags, (seq, id), payload)| Spec {
            v6,
            udp,
            vlan,
            options,
            flags,
            seq,
            id,
            payload,
        },
    )
}

fn bytes(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(|p| p.bytes().to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn segments_are_those_of_the_naive_model(s in spec(), size in 100u16..2000) {
        let packet = super_packet(&s, size);
        let mut out = vec![];
        segment(&packet, Checksums::Complete, alloc, &mut out).unwrap();
        prop_assert_eq!(bytes(&out), expected(&s, size));
        let complete = Offload { csum: Csum::Verified, ..Offload::default() };
        prop_assert!(out.iter().all(|p| p.offload == complete));
        prop_assert_eq!(wire_len(&packet), out[0].buf.len());
        // Left partial and then completed one by one they are the same.
        let mut partial = vec![];
        segment(&packet, Checksums::Partial, alloc, &mut partial).unwrap();
        for p in &mut partial {
            prop_assert!(!p.offload.is_complete());
            complete_csum(p).unwrap();
        }
        // (0 and 0xffff are one number in this arithmetic: compare where TCP may have written either)
        for (a, b) in partial.iter().zip(&out) {
            check_frame(a.bytes());
            prop_assert_eq!(a.buf.len(), b.buf.len());
        }
    }

    #[test]
    fn segments_join_to_what_they_were(s in spec(), size in 100u16..2000) {
        let s = Spec { flags: s.flags & (flag::ACK | flag::PSH) | flag::ACK, ..s };
        let packet = super_packet(&s, size);
        let mut segments = vec![];
        segment(&packet, Checksums::Complete, alloc, &mut segments).unwrap();
        let several = segments.len() > 1;
        let single = segments[0].clone();
        let (mut gro, mut out) = (Gro::new(Options { udp: true, ..Options::default() }), vec![]);
        for mut segment in segments {
            segment.offload.csum = Csum::Complete; // as from a wire
            gro.packet(segment, alloc, &mut out);
        }
        gro.flush(&mut out);
        prop_assert!(s.udp && out.len() <= 2 || out.len() == 1);
        if s.payload.len() <= 64 * usize::from(size) {
            prop_assert_eq!(out[0].bytes(), if several { packet.bytes() } else { single.bytes() });
            prop_assert_eq!(out[0].offload.gso, packet.offload.gso.filter(|_| several));
        }
    }

    #[test]
    fn under_a_tunnel_every_segment_verifies_outside_and_inside(
        s in spec(), size in 100u16..2000, outer_v6: bool, csum: bool, partial: bool,
    ) {
        let mut packet = super_packet(&s, size);
        encapsulate(&mut packet, outer_v6, csum, 0x1234);
        let df = size % 2 == 0;
        if !outer_v6 && !df {
            Ipv4Header::at_mut(packet.buf.as_mut_slice(), 14).unwrap().frag = 0.into();
        }
        let encap = packet.offload.encap.unwrap();
        let mut out = vec![];
        let checksums = if partial { Checksums::Partial } else { Checksums::Complete };
        segment(&packet, checksums, alloc, &mut out).unwrap();
        let mut inner = vec![];
        for (i, p) in out.iter_mut().enumerate() {
            if partial {
                prop_assert_eq!(p.offload.encap, None, "the outer headers are done");
                complete_csum(p).unwrap();
            }
            let at = check_frame(p.bytes());
            prop_assert_eq!((at.l3, at.l4), (usize::from(encap.l3), usize::from(encap.l4)));
            prop_assert_eq!(UdpHeader::at(p.bytes(), at.l4).unwrap().csum.get() != 0, csum);
            if !outer_v6 {
                let id = Ipv4Header::at(p.bytes(), at.l3).unwrap().id.get();
                prop_assert_eq!(id, if df { 900 } else { 900 + i as u16 });
            }
            prop_assert_eq!(VxlanHeader::at(p.bytes(), at.l4 + 8).unwrap().vni(), 0x1234);
            inner.push(p.bytes()[usize::from(encap.inner)..].to_vec());
        }
        if partial {
            inner.iter().for_each(|f| { check_frame(f); });
        } else {
            prop_assert_eq!(inner, expected(&s, size));
        }
    }

    #[test]
    fn outer_super_packets_carry_the_segments(s in spec(), size in 40u16..2000, outer_v6: bool, csum: bool) {
        let mut packet = super_packet(&s, size);
        encapsulate(&mut packet, outer_v6, csum, 7);
        let encap = packet.offload.encap.unwrap();
        let mut out = vec![];
        to_outer_udp(&packet, alloc, &mut out).unwrap();
        let mut inner = vec![];
        for p in &mut out {
            let l4 = usize::from(encap.l4);
            let udp_payload = p.buf.len() - l4 - 8;
            prop_assert!(udp_payload <= MAX_UDP_PAYLOAD);
            let gso = p.offload.gso.take();
            let size = gso.map_or(udp_payload as u16, |g| g.size);
            let found: Vec<Vec<u8>> = gro::datagrams(p.bytes(), l4, p.buf.len(), size).map(<[u8]>::to_vec).collect();
            prop_assert!(found.len() <= MAX_UDP_SEGMENTS);
            prop_assert_eq!(gso.is_some(), found.len() > 1);
            if gso.is_some() || csum {
                prop_assert_eq!(p.offload.csum, Csum::Partial { start: encap.l4, offset: 6 });
            }
            // As one datagram (which is how its checksum field was prepared) it verifies when completed.
            complete_csum(p).unwrap();
            let at = check_frame(p.bytes());
            prop_assert_eq!(at.l4, l4);
            for datagram in found {
                prop_assert_eq!(VxlanHeader::view(&datagram).unwrap().vni(), 7);
                inner.push(datagram[8..].to_vec());
            }
        }
        prop_assert_eq!(inner, expected(&s, size));
    }

    #[test]
    fn hostile_offload_state_is_refused_or_cut_but_never_panics(
        s in spec(), size: u16, kind in 0usize..3, cut in any::<prop::sample::Index>(), offsets: [u16; 5], flip in any::<(prop::sample::Index, u8)>(),
        encap: Option<(u8, bool, bool)>, start: Option<(u16, u16)>,
    ) {
        let mut packet = super_packet(&s, 1);
        packet.buf.truncate(cut.index(packet.buf.len() + 1));
        if !packet.buf.is_empty() {
            let at = flip.0.index(packet.buf.len());
            packet.buf.as_mut_slice()[at] = flip.1;
        }
        let kind = [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp][kind];
        packet.offload.gso = Some(Gso { kind, size, ecn: false });
        packet.offload.encap = encap.map(|(carrier, csum, bare)| {
            let carrier = [Carrier::Udp, Carrier::Gtpu, Carrier::Gre, Carrier::Ipv6][usize::from(carrier % 4)];
            Encap { l3: offsets[0] % 64, l4: offsets[1] % 128, inner: offsets[2] % 256, carrier, csum, bare }
        });
        if let Some((start, offset)) = start {
            packet.offload.csum = Csum::Partial { start, offset };
        }
        let mut out = vec![];
        let _ = segment(&packet, Checksums::Complete, alloc, &mut out);
        let _ = to_outer_udp(&packet, alloc, &mut out);
        let _ = wire_len(&packet);
        packet.offload.gso = None;
        let _ = complete_outer(&mut packet.clone());
        let _ = complete_csum(&mut packet);
    }
}

fn plain(payload: usize) -> Spec {
    let payload = (0..payload).map(|i| i as u8).collect();
    Spec {
        v6: false,
        udp: false,
        vlan: false,
        options: 3,
        flags: flag::ACK | flag::PSH,
        seq: u32::MAX - 999,
        id: 65_530,
        payload,
    }
}

#[test]
fn a_64k_packet_over_vxlan_is_two_even_super_packets() {
    let mut packet = super_packet(&plain(64_000), 1398);
    encapsulate(&mut packet, false, false, 0);
    let mut out = vec![];
    to_outer_udp(&packet, alloc, &mut out).unwrap();
    let sizes: Vec<usize> = out.iter().map(|p| p.buf.len()).collect();
    // 8 VXLAN + 14 + 20 + 32 + 1398 = 1472: a 1500-byte outer packet. 46 of them, at most 44 together.
    assert_eq!(out[0].offload.gso.unwrap().size, 1472);
    assert_eq!(sizes, [42 + 23 * 1472, 42 + 22 * 1472 + 74 + 64_000 - 45 * 1398]);
    assert_eq!(Ipv4Header::at(out[1].bytes(), 14).unwrap().id.get(), 900);
}

#[test]
fn a_single_segment_needs_no_super_packet() {
    let mut packet = super_packet(&plain(500), 1398);
    encapsulate(&mut packet, false, false, 0);
    let mut out = vec![];
    to_outer_udp(&packet, alloc, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].offload, Offload { csum: Csum::Verified, ..Offload::default() });
    assert_eq!(
        UdpHeader::at(out[0].bytes(), 34).unwrap().csum.get(),
        0,
        "no outer checksum, as asked"
    );
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let mut out = vec![];
    let mut try_it = |edit: &dyn Fn(&mut Packet)| {
        let mut packet = super_packet(&plain(6000), 1000);
        edit(&mut packet);
        let result = segment(&packet, Checksums::Complete, alloc, &mut out).err();
        assert_eq!(out.is_empty(), result.is_some());
        out.clear();
        result
    };
    let gso = |kind, size| Some(Gso { kind, size, ecn: false });
    assert_eq!(try_it(&|_| ()), None);
    assert_eq!(try_it(&|p| p.offload.gso = None), Some(Unfit::NotSuper));
    assert_eq!(try_it(&|p| p.offload.gso = gso(GsoKind::Tcp6, 1000)), Some(Unfit::Headers));
    assert_eq!(try_it(&|p| p.offload.gso = gso(GsoKind::Udp, 1000)), Some(Unfit::Headers));
    assert_eq!(try_it(&|p| p.offload.gso = gso(GsoKind::Tcp4, 0)), Some(Unfit::SegmentSize));
    assert_eq!(try_it(&|p| p.offload.gso = gso(GsoKind::Tcp4, 2)), Some(Unfit::SegmentSize));
    assert_eq!(
        try_it(&|p| p.buf.as_mut_slice()[46] = 0x40),
        Some(Unfit::Headers),
        "TCP data offset 4"
    );
    assert_eq!(try_it(&|p| p.buf.as_mut_slice()[20] = 0x20), Some(Unfit::Headers), "a fragment");
    assert_eq!(try_it(&|p| p.buf.truncate(100)), Some(Unfit::Headers));
    let mut packet = super_packet(&plain(6000), 1000);
    assert_eq!(to_outer_udp(&packet, alloc, &mut out), Err(Unfit::NotUdpTunnel));
    packet.offload.gso = None;
    packet.offload.csum = Csum::Partial { start: 34, offset: 6_100 };
    assert_eq!(complete_csum(&mut packet), Err(Unfit::CsumOffset));
}

#[test]
fn cwr_is_the_firsts_fin_and_psh_the_lasts() {
    let s = Spec { flags: 0x0ff, ..plain(2500) };
    let mut out = vec![];
    segment(&super_packet(&s, 1000), Checksums::Complete, alloc, &mut out).unwrap();
    let flags: Vec<u16> =
        out.iter().map(|p| TcpHeader::at(p.bytes(), 34).unwrap().flags()).collect();
    assert_eq!(flags, [0x0f6, 0x076, 0x07f]);
}

/// A kernel's VXLAN device sends a TCP super-packet whose offload state is about the inner headers. To decapsulate it is to pull
/// bytes; to forward or cut it as it is, the tunnel must be found.
#[test]
fn a_kernels_tunnel_super_packet_decapsulates_by_pulling() {
    let inner = super_packet(&plain(6000), 1398);
    for csum in [false, true] {
        let mut packet = inner.clone();
        encapsulate(&mut packet, false, csum, 5);
        let named = packet.offload.encap.take();
        assert_eq!(
            packet.offload.csum,
            Csum::Partial { start: 84, offset: 16 },
            "as the kernel hands it to a packet socket"
        );
        let found = find_tunnel(packet.bytes(), packet.offload.csum);
        assert_eq!(found, named);
        let mut cut = vec![];
        segment(&packet, Checksums::Complete, alloc, &mut cut).unwrap();
        assert_eq!(cut.len(), 5);
        cut.iter().for_each(|p| {
            check_frame(p.bytes());
            check_frame(&p.bytes()[50..]);
        });
        packet.buf.pull_front(50);
        packet.offload.pulled(50);
        assert_eq!((packet.bytes(), packet.offload), (inner.bytes(), inner.offload));
    }
    assert_eq!(
        find_tunnel(inner.bytes(), inner.offload.csum),
        None,
        "not every partial checksum is a tunnel's"
    );
}

#[test]
fn a_partial_packet_under_a_tunnel_gets_its_outer_checksum_without_its_payload() {
    for outer_v6 in [false, true] {
        let mut packet = super_packet(&plain(701), 1398);
        packet.offload.gso = None;
        encapsulate(&mut packet, outer_v6, true, 5);
        complete_outer(&mut packet).unwrap();
        assert_eq!(packet.offload.encap, None);
        assert!(
            matches!(packet.offload.csum, Csum::Partial { .. }),
            "the inner one is the device's"
        );
        complete_csum(&mut packet).unwrap();
        let at = check_frame(packet.bytes());
        assert_ne!(UdpHeader::at(packet.bytes(), at.l4).unwrap().csum.get(), 0);
        check_frame(&packet.bytes()[at.l4 + 16..]);
    }
}

#[test]
fn the_outer_checksum_of_a_complete_packet_can_be_computed_or_left() {
    let mut packet = Packet::from_frame(&build(&plain(701)));
    encapsulate(&mut packet, false, true, 5);
    let encap = packet.offload.encap.unwrap();
    let mut computed = packet.clone();
    complete_csum(&mut computed).unwrap();
    check_frame(computed.bytes());
    packet.offload.encap = None;
    defer_udp_csum(&mut packet, encap).unwrap();
    assert_eq!(packet.offload.csum, Csum::Partial { start: 34, offset: 6 });
    complete_csum(&mut packet).unwrap();
    assert_eq!(packet.bytes(), computed.bytes());
}

#[test]
fn gre_has_its_checksum_elsewhere() {
    let mut packet = super_packet(&plain(3000), 1000);
    // C and K bits, Ethernet; checksum, reserved, key.
    let gre = [0xa0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 9];
    let total = packet.buf.len() + 12;
    let mut outer =
        Ipv4Header::new([10, 0, 0, 8].into(), [10, 0, 0, 9].into(), ip_proto::GRE, 64, 12);
    outer.set_total_len((total + 20) as u16);
    let outer = link(false, false, &[outer.as_bytes(), &gre].concat());
    packet.buf.push_front(46).copy_from_slice(&outer);
    packet.offload.pushed(46);
    packet.offload.encap =
        Some(Encap { l3: 14, l4: 34, inner: 46, carrier: Carrier::Gre, csum: true, bare: false });
    let mut out = vec![];
    segment(&packet, Checksums::Complete, alloc, &mut out).unwrap();
    assert_eq!(out.len(), 3);
    for p in &out {
        assert_eq!(checksum::checksum(&p.bytes()[34..]), 0, "GRE checksum");
        assert_eq!(checksum::checksum(&p.bytes()[14..34]), 0);
        check_frame(&p.bytes()[46..]);
    }
    assert_eq!(to_outer_udp(&packet, alloc, &mut out), Err(Unfit::NotUdpTunnel));
}

#[test]
fn sums_of_pieces_add_up() {
    let mut a = checksum::sum(&[1, 2, 3, 4]);
    a.add(checksum::sum(&[5, 6, 7]));
    assert_eq!(a.fold(), checksum::sum(&[1, 2, 3, 4, 5, 6, 7]).fold());
    let _ = Sum::default();
}
