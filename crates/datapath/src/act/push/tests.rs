//! What goes under a header comes out on the wire whole, whoever finishes it.

use flow::{DpPort, FlowKey, TnlPush, TunnelProtocol};
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use packet::wire::{Header, ip_proto, locate};
use packet::{Csum, Packet, gso};
use zerocopy::IntoBytes;

use super::push;
use crate::drops::DropReason;
use crate::tests::frames::{TCP4, TCP6, UDP4, assert_sound, frame, partial, payload, super_packet};

/// A header as the slow path prepares it.
pub(crate) fn header(v6: bool, csum: bool) -> TnlPush {
    let ethertype = if v6 { eth_type::IPV6 } else { eth_type::IPV4 };
    let mut bytes = EthernetHeader::new([4; 6], [3; 6], ethertype).as_bytes().to_vec();
    if v6 {
        let (src, dst) = ("fd01::1".parse().unwrap(), "fd01::2".parse().unwrap());
        bytes.extend_from_slice(Ipv6Header::new(src, dst, ip_proto::UDP, 64, 16).as_bytes());
    } else {
        let (src, dst) = ([172, 16, 0, 1].into(), [172, 16, 0, 2].into());
        bytes.extend_from_slice(Ipv4Header::new(src, dst, ip_proto::UDP, 64, 16).as_bytes());
    }
    let l4 = bytes.len() as u16;
    bytes.extend_from_slice(UdpHeader::new(0, 4789, 8).as_bytes());
    bytes.extend_from_slice(VxlanHeader::new(42).as_bytes());
    TnlPush {
        tnl_port: DpPort(9),
        out_port: DpPort(1),
        header: bytes,
        l3: 14,
        l4,
        protocol: TunnelProtocol::Vxlan,
        bare: false,
        csum,
        src_ports: (32768, 61000),
        sequence: None,
        labels_flows: false,
        peer_offloads: false,
        fit: flow::Fit::default(),
    }
}

fn pushed(mut packet: Packet, tnl: &TnlPush) -> Packet {
    push(&mut packet, tnl, &FlowKey::default(), &mut 0).unwrap();
    packet
}

/// The frame within, of a complete packet.
fn inner(packet: &Packet) -> &[u8] {
    let at = locate(packet.bytes()).unwrap();
    &packet.bytes()[at.l4 + UdpHeader::LEN + VxlanHeader::LEN..at.end]
}

#[test]
fn single_packets_are_sound_outside_and_inside() {
    for (v6, csum) in [(false, false), (false, true), (true, false), (true, true)] {
        let tnl = header(v6, csum);
        for kind in [TCP4, UDP4, TCP6] {
            for n in [0, 1, 33, 1000] {
                let whole = frame(kind, &payload(n));
                for original in [Packet::from_frame(&whole), partial(kind, &payload(n))] {
                    let mut p = pushed(original, &tnl);
                    assert!(p.offload.encap.is_none(), "nothing is left to do outside");
                    gso::complete_csum(&mut p).unwrap();
                    assert_sound(p.bytes());
                    let at = locate(p.bytes()).unwrap();
                    let udp = UdpHeader::at(p.bytes(), at.l4).unwrap();
                    assert_eq!(udp.csum.get() != 0, csum);
                    assert!((32768..=61000).contains(&udp.src.get()));
                    assert_eq!(inner(&p), whole, "{kind:?} {n} v6 {v6} csum {csum}");
                }
            }
        }
    }
}

#[test]
fn the_payload_of_an_unfinished_packet_is_not_finished_early() {
    let p = pushed(partial(TCP4, &payload(100)), &header(false, true));
    let at = (50 + 34) as u16;
    assert_eq!(p.offload.csum, Csum::Partial { start: at, offset: 16 });
    let p = pushed(Packet::from_frame(&frame(TCP4, &payload(100))), &header(false, true));
    assert_eq!(
        p.offload.csum,
        Csum::Partial { start: 34, offset: 6 },
        "the outer one is left to the device"
    );
}

#[test]
fn super_packets_become_sound_segments() {
    for (v6, csum) in [(false, false), (false, true), (true, true)] {
        for kind in [TCP4, TCP6, UDP4] {
            let data = payload(20_000);
            let p = pushed(super_packet(kind, &data, 1400), &header(v6, csum));
            let mut segments = Vec::new();
            gso::segment(
                &p,
                gso::Checksums::Complete,
                |n| packet::Buf::with_capacity(0, n),
                &mut segments,
            )
            .unwrap();
            assert_eq!(segments.len(), 15);
            let mut joined = Vec::new();
            for s in &segments {
                assert_sound(s.bytes());
                assert_sound(inner(s));
                let at = locate(inner(s)).unwrap();
                joined.extend_from_slice(
                    &inner(s)[at.l4 + if kind.proto == ip_proto::TCP { 20 } else { 8 }..at.end],
                );
            }
            assert_eq!(joined, data);
        }
    }
}

#[test]
fn identification_only_where_fragments_may_happen() {
    let mut tnl = header(false, false);
    let mut id = 7;
    let mut p = Packet::from_frame(&frame(UDP4, b"x"));
    push(&mut p, &tnl, &FlowKey::default(), &mut id).unwrap();
    assert_eq!((id, Ipv4Header::at(p.bytes(), 14).unwrap().id.get()), (7, 0x4653));
    tnl.header[14 + 6] = 0; // may be fragmented
    for want in [8, 9] {
        let mut p = Packet::from_frame(&frame(UDP4, b"x"));
        push(&mut p, &tnl, &FlowKey::default(), &mut id).unwrap();
        assert_eq!(Ipv4Header::at(p.bytes(), 14).unwrap().id.get(), want);
        assert_sound(p.bytes());
    }
}

#[test]
fn source_ports_stay_in_range_and_tell_flows_apart() {
    let port = |key: &FlowKey, range| super::source_port(key, range);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..1000 {
        let key = FlowKey { eth_type: 0x0800, nw_proto: 6, tp_src: n, ..FlowKey::default() };
        assert_eq!(port(&key, (5, 5)), 5);
        let p = port(&key, (32768, 61000));
        assert!((32768..=61000).contains(&p));
        assert_eq!(
            p,
            port(&FlowKey { nw_ttl: 9, tcp_flags: 2, in_port: 3, ..key }, (32768, 61000))
        );
        seen.insert(p);
        port(&key, (0, u16::MAX));
        port(&key, (10, 2)); // a range that is none: the lower end
    }
    assert!(seen.len() > 950, "{}", seen.len());
    // All fragments of a datagram take the same way.
    let first = FlowKey { ip_frag: 1, tp_src: 7, ..FlowKey::default() };
    assert_eq!(
        port(&first, (0, 60000)),
        port(&FlowKey { ip_frag: 3, ..FlowKey::default() }, (0, 60000))
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let tnl = header(false, false);
    let refused = |mut p: Packet, tnl: &TnlPush| push(&mut p, tnl, &FlowKey::default(), &mut 0);
    assert_eq!(refused(Packet::from_frame(&vec![0; 65_530]), &tnl), Err(DropReason::TunnelTooBig));
    let small = || Packet::from_frame(&frame(UDP4, b"x"));
    assert_eq!(
        refused(small(), &TnlPush { l3: 60, ..tnl.clone() }),
        Err(DropReason::TunnelPushError)
    );
    assert_eq!(
        refused(small(), &TnlPush { l4: 50, ..tnl.clone() }),
        Err(DropReason::TunnelPushError)
    );
    assert_eq!(
        refused(small(), &TnlPush { header: vec![0; 600], ..tnl.clone() }),
        Err(DropReason::TunnelPushError)
    );
    assert_eq!(
        refused(small(), &TnlPush { protocol: TunnelProtocol::Gre, csum: true, ..tnl.clone() }),
        Err(DropReason::TunnelPushError)
    );
    assert_eq!(refused(small(), &tnl), Ok(()));
}

#[test]
fn headers_bear_our_mark_where_it_costs_nothing() {
    let whole = Packet::from_frame(&frame(UDP4, b"x"));
    let df = header(false, false);
    let mut fragile = df.clone();
    fragile.header[14 + 6] = 0;
    let id = |p: &Packet| u16::from_be_bytes([p.bytes()[18], p.bytes()[19]]);
    let (first, second) = (pushed(whole.clone(), &df), pushed(whole.clone(), &df));
    assert_ne!(id(&first), 0);
    assert_eq!(id(&first), id(&second));
    let mut ids = 7;
    let mut p = whole.clone();
    push(&mut p, &fragile, &FlowKey::default(), &mut ids).unwrap();
    assert_eq!((id(&p), ids), (8, 8), "one that may be fragmented");
    let six = pushed(whole, &header(true, true));
    assert_ne!(Ipv6Header::at(six.bytes(), 14).unwrap().flow_label(), 0);
    // Each segment bears it too.
    let mut segments = Vec::new();
    let big = pushed(super_packet(TCP4, &payload(5000), 1000), &df);
    gso::segment(
        &big,
        gso::Checksums::Complete,
        |n| packet::Buf::with_capacity(0, n),
        &mut segments,
    )
    .unwrap();
    assert_eq!(segments.iter().map(id).collect::<Vec<_>>(), [id(&first); 5]);
}

#[test]
fn what_is_unfinished_under_a_strangers_header_says_so() {
    let friend = TnlPush { peer_offloads: true, ..header(false, false) };
    let stranger = header(false, false);
    let complete = || Packet::from_frame(&frame(TCP4, b"x"));
    let cases = [
        (pushed(complete(), &stranger), false),
        (pushed(complete(), &header(false, true)), true),
        (pushed(partial(TCP4, b"x"), &stranger), true),
        (pushed(super_packet(TCP4, &payload(5000), 1000), &stranger), true),
        (pushed(partial(TCP4, b"x"), &friend), false),
        (pushed(super_packet(TCP4, &payload(5000), 1000), &friend), false),
        // Two tunnels, one in the other: the reader behind both is the inner one's.
        (pushed(pushed(partial(TCP4, b"x"), &stranger), &friend), true),
    ];
    for (i, (p, plain)) in cases.iter().enumerate() {
        assert_eq!(p.offload.plain, *plain, "case {i}");
    }
}
