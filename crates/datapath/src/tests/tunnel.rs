//! Two switches with a wire between them: what enters one as a packet of any kind leaves the other the same.

use std::net::Ipv4Addr;

use flow::{Action, DpPort, FlowKey, Mask, MaskedKey, TnlPush, TunnelProtocol};
use netdev::Accepts;
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use packet::wire::{ip_proto, locate};
use packet::{Csum, GsoKind};
use zerocopy::IntoBytes;

use super::device::{EVERYTHING, NOTHING};
use super::frames::{
    Ip, TCP4, TCP6, UDP4, UDP6, assert_sound, frame, partial, payload, super_packet,
};
use super::*;
use crate::Tunnel;

const VM: usize = 1;
const WIRE: usize = 2;
const TUNNEL: u32 = 9;

fn header(csum: bool) -> Arc<TnlPush> {
    let ip = |n| Ipv4Addr::new(172, 16, 0, n);
    let mut header = EthernetHeader::new([4; 6], [3; 6], eth_type::IPV4).as_bytes().to_vec();
    header.extend_from_slice(Ipv4Header::new(ip(1), ip(2), ip_proto::UDP, 64, 16).as_bytes());
    header.extend_from_slice(UdpHeader::new(0, 4789, 8).as_bytes());
    header.extend_from_slice(VxlanHeader::new(42).as_bytes());
    Arc::new(TnlPush {
        tnl_port: DpPort(TUNNEL),
        out_port: DpPort(WIRE as u32),
        header,
        l3: 14,
        l4: 34,
        protocol: TunnelProtocol::Vxlan,
        bare: false,
        csum,
        src_ports: (32768, 61000),
        sequence: None,
        labels_flows: false,
        peer_offloads: false,
        fit: flow::Fit::default(),
    })
}

/// A switch that sends what its VM says into the tunnel, and what comes out of the tunnel to its VM.
fn host(vm: Accepts, wire: Accepts, csum: bool) -> Bed {
    let mut bed = Bed::with(0, NOTHING, |_| ());
    bed.devices = vec![MemDevice::new("vm", vm), MemDevice::new("wire", wire)];
    for (device, i) in bed.devices.iter().zip(1..) {
        bed.dp.add_port(DpPort(i), device.clone()).unwrap();
    }
    bed.dp.add_tunnel_port(DpPort(TUNNEL), Tunnel::vxlan()).unwrap();
    bed.put(
        from_port(VM as u32),
        vec![Action::TnlPush(header(csum)), Action::Output(DpPort(WIRE as u32))],
    );
    bed.put(from_port(WIRE as u32), vec![Action::TnlPop(DpPort(TUNNEL))]);
    // As a translation matches a tunnel: network, endpoints, flags.
    let mut key = FlowKey { in_port: TUNNEL, ..FlowKey::default() };
    let mut mask = Mask(FlowKey { in_port: u32::MAX, ..FlowKey::default() });
    (key.tunnel.id, mask.0.tunnel.id) = (42, u64::MAX);
    (key.tunnel.ip_src, mask.0.tunnel.ip_src) = (0xac10_0001, u32::MAX);
    (key.tunnel.ip_dst, mask.0.tunnel.ip_dst) = (0xac10_0002, u32::MAX);
    (key.tunnel.flags, mask.0.tunnel.flags) = (flow::tunnel_flag::KEY, flow::tunnel_flag::KEY);
    bed.put(MaskedKey::new(&key, &mask), to_port(VM as u32));
    bed
}

/// Transport payload of a complete frame, or of a super-packet.
fn data(bytes: &[u8], ip: Ip) -> &[u8] {
    let at = locate(bytes).unwrap();
    &bytes[at.l4 + if ip.proto == ip_proto::TCP { 20 } else { 8 }..at.end]
}

/// Sends one packet through; gives what crossed the wire and what came out.
fn through(a: &Bed, b: &Bed, packet: Packet) -> (Vec<Packet>, Vec<Packet>) {
    a.port(VM).arrive(packet);
    a.quiesce();
    assert_eq!(a.dp.drops(), []);
    let wire = a.port(WIRE).sent(1);
    b.port(WIRE).arrive_all(wire.iter().cloned());
    b.quiesce();
    (wire, b.port(VM).sent(1))
}

/// The wires that there are: tunnel segmentation, outer UDP segmentation, checksums, nothing.
fn wires() -> [(&'static str, Accepts); 4] {
    let uso = Accepts { tunnel: false, ..EVERYTHING };
    let csum = Accepts { csum: true, ..NOTHING };
    [("tunnel", EVERYTHING), ("uso", uso), ("csum", csum), ("nothing", NOTHING)]
}

#[test]
fn single_packets_arrive_unchanged_over_every_wire() {
    for (name, accepts) in wires() {
        for csum in [false, true] {
            let (a, b) = (host(NOTHING, accepts, csum), host(NOTHING, accepts, csum));
            for ip in [TCP4, UDP4, TCP6, UDP6] {
                for packet in
                    [Packet::from_frame(&frame(ip, &payload(600))), partial(ip, &payload(600))]
                {
                    let (_, out) = through(&a, &b, packet);
                    assert_eq!(out.len(), 1);
                    assert_eq!(
                        out[0].bytes(),
                        frame(ip, &payload(600)),
                        "{name} csum {csum} {ip:?}"
                    );
                }
            }
            a.assert_drops(&[]);
            b.assert_drops(&[]);
        }
    }
}

#[test]
fn super_packets_cross_every_wire_and_are_super_packets_again() {
    let sent = payload(60_000);
    for (name, accepts) in wires() {
        for csum in [false, true] {
            let (a, b) = (host(EVERYTHING, accepts, csum), host(EVERYTHING, accepts, csum));
            for ip in [TCP4, TCP6, UDP4] {
                let (wire, out) = through(&a, &b, super_packet(ip, &sent, 1380));
                let context = format!("{name} csum {csum} {ip:?}");
                let received: Vec<u8> =
                    out.iter().flat_map(|p| data(p.bytes(), ip).to_vec()).collect();
                assert_eq!(received, sent, "{context}");
                if ip.proto == ip_proto::TCP {
                    assert!(out.len() <= 2, "{context}: {} packets come out", out.len());
                    assert!(
                        out.iter().all(|p| p.offload.gso.is_some_and(|g| g.size == 1380)),
                        "{context}"
                    );
                }
                match name {
                    "tunnel" if ip.proto == ip_proto::TCP => assert_eq!(wire.len(), 1, "{context}"),
                    "tunnel" | "uso" => assert!(wire.len() <= 3, "{context}: {}", wire.len()),
                    _ => assert_eq!(wire.len(), 44, "{context}"),
                }
                if name == "nothing" {
                    wire.iter().for_each(|p| assert_sound(p.bytes()));
                }
            }
            a.assert_drops(&[]);
            b.assert_drops(&[]);
        }
    }
}

#[test]
fn super_packets_end_as_complete_segments_at_a_port_that_takes_nothing() {
    let (a, b) = (host(EVERYTHING, EVERYTHING, true), host(NOTHING, EVERYTHING, true));
    let sent = payload(20_000);
    let (_, out) = through(&a, &b, super_packet(TCP4, &sent, 1400));
    assert_eq!(out.len(), 15);
    out.iter().for_each(|p| assert_sound(p.bytes()));
    assert_eq!(out.iter().flat_map(|p| data(p.bytes(), TCP4).to_vec()).collect::<Vec<_>>(), sent);
}

#[test]
fn a_kernel_peers_shapes_are_understood() {
    let b = host(EVERYTHING, EVERYTHING, false);
    let a = host(EVERYTHING, EVERYTHING, true);
    // Outer checksum left undone, as over veth.
    let (wire, out) = through(&a, &b, Packet::from_frame(&frame(TCP4, b"hello")));
    assert!(matches!(wire[0].offload.csum, Csum::Partial { start: 34, offset: 6 }));
    assert_eq!(out[0].bytes(), frame(TCP4, b"hello"));
    // A tunnel super-packet whose outer headers nobody names.
    a.port(VM).arrive(super_packet(TCP4, &payload(30_000), 1400));
    let mut wire = a.port(WIRE).sent(1);
    wire[0].offload.encap = None;
    b.port(WIRE).arrive(wire.remove(0));
    let out = b.port(VM).sent(1);
    assert_eq!(out[0].bytes(), super_packet(TCP4, &payload(30_000), 1400).bytes());
    assert!(out[0].offload.gso.is_some_and(|g| g.kind == GsoKind::Tcp4 && g.size == 1400));
    b.assert_drops(&[]);
}

#[test]
fn forged_outer_headers_are_dropped_by_name_and_others_go_on() {
    let b = host(NOTHING, NOTHING, false);
    let a = host(NOTHING, NOTHING, true);
    let (wire, _) = through(&a, &b, Packet::from_frame(&frame(UDP4, b"good")));
    let mut good = wire[0].clone();
    good.offload.csum = Csum::Complete; // nobody has vouched for it
    let forged: Vec<Packet> =
        [(40, 0xff), (42, 0x00), (43, 0x01), (49, 0x07), (14, 0x46), (38, 0x7f), (23, 6)]
            .into_iter()
            .map(|(at, v)| {
                let mut p = good.clone();
                p.buf.as_mut_slice()[at] = v;
                p
            })
            .collect();
    let n = forged.len() as u64;
    b.port(WIRE).arrive_all(forged.into_iter().chain([good]));
    assert_eq!(b.port(VM).sent(1).len(), 1);
    b.assert_drops(&[(DropReason::TunnelPopError, n)]);
}

#[test]
fn too_long_for_the_wire_is_named() {
    let a = host(EVERYTHING, EVERYTHING, false);
    a.port(VM).arrive(Packet::from_frame(&frame(UDP4, &payload(1472))));
    a.port(VM).arrive(super_packet(TCP4, &payload(9000), 1460));
    a.assert_drops(&[(DropReason::TooBig, 2)]);
}

/// Several of a flow in one batch would be joined, were they shorter.
#[test]
fn what_is_too_long_is_counted_one_by_one() {
    let a = host(NOTHING, EVERYTHING, false);
    let (long, short) = (frame(UDP4, &payload(1472)), frame(UDP4, &payload(18)));
    let batch = [&long, &short, &long, &long, &short].map(|bytes| Packet::from_frame(bytes));
    a.port(VM).arrive_all(batch);
    a.assert_drops(&[(DropReason::TooBig, 3)]);
    let segments = |p: &Packet| p.offload.gso.map_or(1, |gso| p.buf.len() / usize::from(gso.size));
    assert_eq!(a.port(WIRE).sent(1).iter().map(segments).sum::<usize>(), 2);
}

#[test]
fn a_tunnel_to_oneself_ends() {
    let bed = host(NOTHING, NOTHING, false);
    // What comes out of the tunnel goes into it again, without end.
    bed.dp.flush();
    bed.put(
        from_port(VM as u32),
        vec![Action::TnlPush(header(false)), Action::TnlPop(DpPort(TUNNEL))],
    );
    bed.put(
        from_port(TUNNEL),
        vec![Action::TnlPush(header(false)), Action::TnlPop(DpPort(TUNNEL))],
    );
    bed.port(VM).arrive(numbered(1));
    bed.assert_drops(&[(DropReason::RecircError, 1)]);
}

/// A wire that hands over what it is given.
const VETH: Accepts = Accepts { tunnel: false, finishes: false, ..EVERYTHING };

/// Gives the tunnel output a header for an end of that kind; one that may be fragmented bears no mark.
fn wrap_for(bed: &Bed, peer_offloads: bool, df: bool) {
    let mut push = TnlPush { peer_offloads, ..TnlPush::clone(&header(false)) };
    push.header[14 + 6] = if df { 0x40 } else { 0 };
    let actions = vec![Action::TnlPush(Arc::new(push)), Action::Output(DpPort(WIRE as u32))];
    bed.put(from_port(VM as u32), actions);
}

#[test]
fn strangers_get_plain_packets_and_show_who_they_are() {
    let (a, b) = (host(EVERYTHING, VETH, false), host(EVERYTHING, VETH, false));
    let sent = payload(20_000);
    wrap_for(&a, false, true);
    for packet in [partial(TCP4, b"syn"), super_packet(TCP4, &sent, 1400)] {
        let n = if packet.offload.gso.is_some() { 15 } else { 1 };
        a.port(VM).arrive(packet);
        let wire = a.port(WIRE).sent(n);
        assert_eq!(wire.len(), n);
        for p in &wire {
            assert!(p.offload.is_complete());
            assert_sound(p.bytes());
            assert_sound(&p.bytes()[50..]);
        }
        b.port(WIRE).arrive_all(wire);
    }
    b.quiesce();
    // Plain as they were, they bore our mark.
    let us = std::net::IpAddr::from([172, 16, 0, 1]);
    assert_eq!(b.dp.peers().1, [us]);
    assert!(b.dp.misses().wait(LONG), "the slow path is woken by news");
    assert!(!b.dp.misses().wait(Duration::ZERO), "once");
    b.assert_drops(&[]);
    // So what goes back (there is one address here) goes as it is.
    wrap_for(&a, true, true);
    let (wire, out) = through(&a, &b, super_packet(TCP4, &sent, 1400));
    assert_eq!(wire.len(), 1);
    assert!(wire[0].offload.gso.is_some_and(|g| g.kind == GsoKind::Udp));
    let received: Vec<u8> = out.iter().flat_map(|p| data(p.bytes(), TCP4).to_vec()).collect();
    assert!(received.ends_with(&sent));
}

#[test]
fn whoever_shows_no_sign_for_a_while_is_forgotten() {
    let (a, b) = (host(EVERYTHING, VETH, false), host(EVERYTHING, VETH, false));
    wrap_for(&a, false, false);
    a.port(VM).arrive(partial(TCP4, b"x"));
    let plain = a.port(WIRE).sent(1);
    wrap_for(&a, false, true);
    a.port(VM).arrive(partial(TCP4, b"x"));
    let marked = a.port(WIRE).sent(1);
    let hear = |packet: &Packet, n: usize| {
        b.port(WIRE).arrive_all(std::iter::repeat_n(packet.clone(), n));
        b.quiesce();
        b.dp.peers().1.len()
    };
    assert_eq!(hear(&plain[0], 100), 0);
    assert_eq!(hear(&marked[0], 1), 1);
    let version = b.dp.peers_version();
    assert_eq!(hear(&plain[0], 100), 1);
    b.clock.warp(Duration::from_secs(11));
    assert_eq!(hear(&plain[0], 100), 0);
    assert!(b.dp.peers_version() > version);
}

#[test]
fn what_a_stranger_did_not_finish_reaches_the_guest_as_unfinished() {
    let b = host(EVERYTHING, VETH, false);
    let a = host(EVERYTHING, VETH, false);
    // As a switch without offload state forwards it: a guest's unfinished bytes with nothing said about them.
    wrap_for(&a, false, false);
    let original = partial(TCP4, b"hello");
    a.port(VM).arrive(Packet::from_frame(original.bytes()));
    let wire = a.port(WIRE).sent(1);
    b.port(WIRE).arrive(wire[0].clone());
    let out = b.port(VM).sent(1);
    assert_eq!((out[0].bytes(), out[0].offload), (original.bytes(), original.offload));
    // A guest that wants all finished gets that.
    let b = host(NOTHING, VETH, false);
    b.port(WIRE).arrive_all(wire);
    assert_eq!(b.port(VM).sent(1)[0].bytes(), frame(TCP4, b"hello"));
}

#[test]
fn flows_that_come_mixed_are_joined_each_by_itself_and_in_order() {
    const FLOWS: u16 = 32;
    const EACH: u8 = 8;
    let (a, b) = (host(NOTHING, EVERYTHING, false), host(NOTHING, EVERYTHING, false));
    let small = |flow: u16, n: u8| frame(Ip { sport: 1000 + flow, ..UDP4 }, &[n; 18]);
    let mixed = (0..EACH).flat_map(|n| (0..FLOWS).map(move |flow| small(flow, n)));
    // Nothing that the worker is told may come between.
    a.port(VM).arrive(numbered(0));
    a.quiesce();
    a.port(WIRE).sent(1);
    a.port(VM).arrive_all(mixed.map(|bytes| Packet::from_frame(&bytes)));
    let mut wire = Vec::new();
    while wire.len() < usize::from(FLOWS) {
        wire.extend(a.port(WIRE).sent(1));
    }
    a.quiesce();
    assert_eq!(wire.len(), usize::from(FLOWS));
    assert!(wire.iter().all(|p| p.offload.gso.is_some_and(|gso| gso.kind == GsoKind::Udp)));
    b.port(WIRE).arrive_all(wire);
    b.quiesce();
    let out = b.port(VM).sent(usize::from(FLOWS) * usize::from(EACH));
    for flow in 0..FLOWS {
        let port = (1000 + flow).to_be_bytes();
        let got = out.iter().map(Packet::bytes).filter(|bytes| bytes[34..36] == port);
        let got: Vec<_> =
            got.inspect(|bytes| assert_sound(bytes)).map(|b| b[42..].to_vec()).collect();
        assert_eq!(got, (0..EACH).map(|n| vec![n; 18]).collect::<Vec<_>>(), "flow {flow}");
    }
    a.assert_drops(&[]);
    b.assert_drops(&[]);
}

#[test]
fn what_is_not_joined_is_overtaken_by_nothing_of_its_flow() {
    let a = host(NOTHING, EVERYTHING, false);
    // Longer ones between the small: each ends what is open of its flow.
    let lens = [18, 18, 40, 18, 300, 18, 18, 18];
    let packets = (0..40u8).map(|n| frame(UDP4, &vec![n; lens[usize::from(n) % lens.len()]]));
    a.port(VM).arrive_all(packets.clone().map(|bytes| Packet::from_frame(&bytes)));
    a.quiesce();
    let mut got = Vec::new();
    for packet in a.port(WIRE).sent(1) {
        let size = packet.offload.gso.map_or(usize::MAX, |gso| usize::from(gso.size));
        let datagrams = packet.bytes()[42..].chunks(size);
        got.extend(datagrams.map(|datagram| datagram[8..].to_vec()));
    }
    assert_eq!(got, packets.collect::<Vec<_>>());
}
