//! Outer headers, good and hostile.

use flow::{FlowKey, TnlPush, TunnelKey, tunnel_flag};
use packet::wire::ipv4::fix_checksum;
use packet::wire::{Header, ip_proto};
use packet::{Csum, Gso, GsoKind, Packet, gso};
use proptest::prelude::*;

use super::{Outer, judge, may_be_joined};
use crate::act::push::{push, tests::header};
use crate::tests::frames::{TCP4, UDP4, UDP6, frame, partial, payload, super_packet};
use flow::TunnelProtocol;

const VXLAN: TunnelProtocol = TunnelProtocol::Vxlan;

/// Under outer headers, complete.
fn wrapped(inner: &[u8], tnl: &TnlPush) -> Packet {
    let mut p = Packet::from_frame(inner);
    push(&mut p, tnl, &FlowKey::default(), &mut 0).unwrap();
    gso::complete_csum(&mut p).unwrap();
    p.offload.csum = Csum::Complete;
    p
}

fn popped(mut p: Packet) -> Option<(Outer, Packet)> {
    let outer = judge(&p, VXLAN)?;
    outer.strip(&mut p).then_some((outer, p))
}

#[test]
fn what_was_pushed_comes_back_and_the_key_knows_the_way() {
    let whole = frame(UDP4, b"payload");
    for (v6, csum) in [(false, false), (false, true), (true, false), (true, true)] {
        let outside = wrapped(&whole, &header(v6, csum));
        let mut t = TunnelKey::default();
        judge(&outside, VXLAN).unwrap().tell(&outside, &mut t);
        assert_eq!(popped(outside).unwrap().1.bytes(), whole);
        assert_eq!((t.id, t.tp_dst, t.ttl, t.tos), (42, 4789, 64, 0));
        assert_eq!(t.flags, tunnel_flag::KEY | if csum { tunnel_flag::CSUM } else { 0 });
        assert_eq!(t.ip_src != 0, !v6);
        assert_eq!(t.ipv6_dst != [0; 16], v6);
    }
}

#[test]
fn what_is_inside_is_known_at_a_glance() {
    for (inner, joins) in [(TCP4, true), (UDP4, true), (UDP6, true)] {
        let outside = wrapped(&frame(inner, b"payload"), &header(false, false));
        assert_eq!(may_be_joined(&outside, VXLAN), joins);
    }
    let mut unsummed = frame(UDP4, b"payload");
    unsummed[40..42].fill(0);
    assert!(!may_be_joined(&wrapped(&unsummed, &header(false, false)), VXLAN));
    assert!(!may_be_joined(&wrapped(&frame(TCP4, b""), &header(false, false)), VXLAN));
    // Behind such outer headers it would take more than a glance.
    assert!(may_be_joined(&wrapped(&unsummed, &header(true, false)), VXLAN));
}

#[test]
fn unfinished_checksums_outside_and_inside_are_accepted() {
    // Outside: as a kernel's tunnel device sends it over veth. The field holds the pseudo-header's sum only.
    let mut p = Packet::from_frame(&frame(TCP4, b"payload"));
    push(&mut p, &header(false, true), &FlowKey::default(), &mut 0).unwrap();
    assert!(matches!(p.offload.csum, Csum::Partial { start: 34, .. }));
    let (_, p) = popped(p).unwrap();
    assert_eq!((p.bytes(), p.offload.csum), (frame(TCP4, b"payload").as_slice(), Csum::Complete));
    // Inside.
    let original = partial(TCP4, b"payload");
    let mut p = original.clone();
    push(&mut p, &header(false, false), &FlowKey::default(), &mut 0).unwrap();
    let (_, p) = popped(p).unwrap();
    assert_eq!((p.bytes(), p.offload), (original.bytes(), original.offload));
}

#[test]
fn a_kernels_tunnel_super_packet_is_stripped_whole() {
    let original = super_packet(TCP4, &payload(30_000), 1400);
    let mut p = original.clone();
    push(&mut p, &header(false, true), &FlowKey::default(), &mut 0).unwrap();
    p.offload.encap = None; // as a packet socket hands it in
    let (_, p) = popped(p).unwrap();
    assert_eq!((p.bytes(), p.offload), (original.bytes(), original.offload));
}

#[test]
fn a_super_packet_of_datagrams_holds_every_frame() {
    let mut p = super_packet(TCP4, &payload(30_000), 1400);
    push(&mut p, &header(false, true), &FlowKey::default(), &mut 0).unwrap();
    let mut datagrams = Vec::new();
    gso::to_outer_udp(&p, |n| packet::Buf::with_capacity(0, n), &mut datagrams).unwrap();
    let mut n = 0;
    for p in &datagrams {
        assert!(matches!(p.offload.gso, Some(Gso { kind: GsoKind::Udp, .. })));
        let outer = judge(p, VXLAN).unwrap();
        assert!(outer.is_many());
        n += outer.frames(p, || panic!("refused")).count();
    }
    assert_eq!((n, datagrams.len()), (22, 1));
    // One datagram in the middle that is for another network, or nothing at all.
    let p = &mut datagrams[0];
    let outer = judge(p, VXLAN).unwrap();
    let size = usize::from(p.offload.gso.unwrap().size);
    p.buf.as_mut_slice()[42 + size + 6] ^= 1;
    p.buf.as_mut_slice()[42 + 2 * size] = 0;
    let mut refused = 0;
    let left = outer.frames(p, || refused += 1).count();
    assert_eq!((left, refused), (20, 2));
}

#[test]
fn hostile_outer_headers_are_refused() {
    let good = || wrapped(&frame(UDP4, b"payload"), &header(false, false));
    assert!(judge(&good(), VXLAN).is_some());
    type Edit = fn(&mut [u8]);
    let edits: &[(&str, Edit)] = &[
        ("not UDP", |f| f[14 + 9] = ip_proto::TCP),
        ("first fragment", |f| f[14 + 6] = 0x20),
        ("later fragment", |f| f[14 + 7] = 1),
        ("IP header longer than the packet", |f| f[14] = 0x4f),
        ("IP header shorter than a header", |f| f[14] = 0x44),
        ("IP length beyond the frame", |f| f[14 + 2] = 9),
        ("IP length within the header", |f| f[14 + 2..14 + 4].copy_from_slice(&[0, 10])),
        ("UDP length beyond the IP packet", |f| f[38] = 1),
        ("UDP length below a header", |f| f[38..40].copy_from_slice(&[0, 7])),
        ("UDP length without an inner Ethernet header", |f| f[38..40].copy_from_slice(&[0, 29])),
        ("wrong UDP checksum", |f| f[40] = 1),
        ("no I flag", |f| f[42] = 0),
        ("G and P flags", |f| f[42] = 0x8c),
        ("reserved flag", |f| f[43] = 1),
        ("reserved byte behind the VNI", |f| f[49] = 1),
        ("ARP", |f| f[13] = 6),
    ];
    for (what, edit) in edits {
        let mut p = good();
        edit(p.buf.as_mut_slice());
        fix_checksum(&mut p.buf.as_mut_slice()[14..34]);
        assert_eq!(judge(&p, VXLAN), None, "{what}");
    }
    let mut p = good();
    p.buf.as_mut_slice()[14 + 8] ^= 1;
    assert_eq!(judge(&p, VXLAN), None, "wrong IP header checksum");
    let mut p = wrapped(&frame(UDP4, b"payload"), &header(false, true));
    *p.buf.as_mut_slice().last_mut().unwrap() ^= 1;
    assert_eq!(judge(&p, VXLAN), None, "payload that the checksum does not fit");
    p.offload.csum = Csum::Verified;
    assert!(judge(&p, VXLAN).is_some(), "somebody vouched for it");
}

#[test]
fn padding_is_not_part_of_the_inner_frame() {
    let whole = frame(UDP6, b"x");
    let mut p = wrapped(&whole, &header(false, false));
    p.buf.extend(&[0; 20]);
    assert_eq!(popped(p).unwrap().1.bytes(), whole);
    // UDP shorter than IP: what is between belongs to nobody.
    let mut p = wrapped(&whole, &header(false, false));
    let len = u16::from_be_bytes([p.bytes()[38], p.bytes()[39]]) - 3;
    p.buf.as_mut_slice()[38..40].copy_from_slice(&len.to_be_bytes());
    assert_eq!(popped(p).unwrap().1.bytes(), &whole[..whole.len() - 3]);
}

#[test]
fn offload_state_that_makes_no_sense_inside_is_refused() {
    let mut p = wrapped(&frame(TCP4, &payload(3000)), &header(false, false));
    p.offload.gso = Some(Gso { kind: GsoKind::Tcp4, size: 1400, ecn: false });
    assert!(popped(p.clone()).is_none(), "TCP segmentation without a checksum start inside");
    p.offload.csum = Csum::Partial { start: 34, offset: 6 };
    assert!(popped(p).is_none(), "TCP segmentation of the outer UDP");
    for (start, offset) in [(14, 6), (34, 16), (36, 6)] {
        let mut p = wrapped(&frame(UDP4, b"x"), &header(false, false));
        p.offload.csum = Csum::Partial { start, offset };
        assert!(popped(p).is_none(), "a checksum at {start} + {offset}");
    }
}

#[test]
fn every_cut_is_refused_or_a_whole_inner_header() {
    let p = wrapped(&frame(UDP4, &payload(20)), &header(false, false));
    for n in 0..p.buf.len() {
        let mut cut = p.clone();
        cut.buf.truncate(n);
        assert!(judge(&cut, VXLAN).is_none(), "{n}");
    }
    assert_eq!(packet::wire::vxlan::VxlanHeader::LEN, 8);
}

proptest! {
    #[test]
    fn the_short_way_to_a_packet_leads_where_the_long_one_does(at in 0..40usize, v: u8, len in 0..120usize) {
        let mut p = wrapped(&frame(UDP4, &payload(20)), &header(false, false));
        p.buf.as_mut_slice()[at] = v;
        p.buf.truncate(len);
        let short = super::locate_plain(p.bytes());
        prop_assert!(short.is_none() || short == super::locate(p.bytes()));
    }

    #[test]
    fn any_bytes_any_state(
        at in 0..60usize, v: u8, len in 0..200usize, kind in 0..4u8, size: u16, start: u16, offset: u16, csum in 0..3u8,
    ) {
        let mut p = wrapped(&frame(UDP4, &payload(60)), &header(false, false));
        p.buf.as_mut_slice()[at] = v;
        p.buf.truncate(len);
        p.offload.csum = [Csum::Complete, Csum::Verified, Csum::Partial { start, offset }][usize::from(csum)];
        let kind = [None, Some(GsoKind::Tcp4), Some(GsoKind::Tcp6), Some(GsoKind::Udp)][usize::from(kind)];
        p.offload.gso = kind.map(|kind| Gso { kind, size: size.max(1), ecn: false });
        if let Some(outer) = judge(&p, VXLAN) {
            if outer.is_many() {
                for f in outer.frames(&p, || ()) {
                    prop_assert!(f.len() >= 14);
                }
            } else if outer.strip(&mut p) {
                prop_assert!(p.buf.len() >= 14);
            }
        }
    }
}

/// A header without DF bears no mark.
fn strangers_header(csum: bool) -> TnlPush {
    let mut tnl = header(false, csum);
    tnl.header[14 + 6] = 0;
    tnl
}

#[test]
fn what_a_stranger_never_finished_is_taken_as_unfinished() {
    for kind in [TCP4, UDP4, UDP6] {
        let original = partial(kind, b"payload");
        for csum in [false, true] {
            let (outer, p) = popped(wrapped(original.bytes(), &strangers_header(csum))).unwrap();
            assert_eq!(outer.offloads, Some(false));
            assert_eq!((p.bytes(), p.offload), (original.bytes(), original.offload), "{kind:?}");
        }
        // Complete ones stay what they are, and so do those of somebody who says what is unfinished.
        let whole = frame(kind, b"payload");
        let (_, p) = popped(wrapped(&whole, &strangers_header(false))).unwrap();
        assert_eq!(p.offload.csum, Csum::Complete);
        let (outer, p) = popped(wrapped(original.bytes(), &header(true, true))).unwrap();
        assert_eq!(outer.offloads, Some(true));
        assert_eq!(p.offload.csum, Csum::Complete);
    }
    // With bytes behind its end it is not what a guest handed out.
    let mut padded = partial(TCP4, b"").bytes().to_vec();
    padded.resize(60, 0);
    let (_, p) = popped(wrapped(&padded, &strangers_header(false))).unwrap();
    assert_eq!(p.offload.csum, Csum::Complete);
}

mod protocols {
    //! Every protocol's header, made of its text.

    use std::sync::Arc;

    use flow::text::{Numbers, parse_actions};
    use flow::{Action, erspan_bits};

    use super::*;

    const V4: &str = "eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01,dl_type=0x0800),\
        ipv4(src=10.0.0.1,dst=10.0.0.2,proto=PROTO,tos=0,ttl=64,frag=0x4000)";
    const V6: &str = "eth(dst=02:00:00:00:00:02,src=02:00:00:00:00:01,dl_type=0x86dd),\
        ipv6(src=fd00::1,dst=fd00::2,label=0,proto=PROTO,tclass=0x0,hlimit=64)";

    fn tnl(size: usize, ip: &str, proto: u8, rest: &str) -> TnlPush {
        let ip = ip.replace("PROTO", &proto.to_string());
        let text =
            format!("tnl_push(tnl_port(1),header(size={size},type=1,{ip},{rest}),out_port(2))");
        match parse_actions(&text, &Numbers).unwrap_or_else(|e| panic!("{text}: {e}")).pop() {
            Some(Action::TnlPush(push)) => Arc::unwrap_or_clone(push),
            other => panic!("{other:?}"),
        }
    }

    /// Each protocol, over IPv4 and IPv6, with what its header's text is and how long it is.
    fn all() -> Vec<TnlPush> {
        let udp = |port: u16, csum: &str| format!("udp(src=0,dst={port},csum={csum}),");
        let mut all = Vec::new();
        for (ip, len) in [(V4, 34), (V6, 54)] {
            for (proto, more, rest) in [
                (17, 16, udp(6081, "0x0") + "geneve(vni=0x7b)"),
                (17, 16, udp(6081, "0xffff") + "geneve(oam,vni=0x7b)"),
                (
                    17,
                    24,
                    udp(6081, "0x0")
                        + "geneve(crit,vni=0x7b,options({class=0x102,type=0x80,len=4,0xa}))",
                ),
                (17, 16, udp(4789, "0x0") + "vxlan(flags=0x88080005,vni=0x7b)"),
                (17, 16, udp(4789, "0xffff") + "vxlan(flags=0xc000003,vni=0x7b)"),
                (17, 16, udp(4789, "0x0") + "vxlan(flags=0xc000001,vni=0x7b)"),
                (17, 16, udp(2152, "0x0") + "gtpu(flags=0x30,msgtype=255,teid=0x7b)"),
                (47, 4, "gre((flags=0x0,proto=0x6558))".to_owned()),
                (47, 16, "gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x7b,seq=0x0)".to_owned()),
                (47, 8, "gre((flags=0x2000,proto=0x800),key=0x7b)".to_owned()),
                (47, 16, "erspan(ver=1,sid=0x7b,idx=0x3)".to_owned()),
                (47, 20, "erspan(ver=2,sid=0x7b,dir=1,hwid=0x4)".to_owned()),
            ] {
                all.push(tnl(len + more, ip, proto, &rest));
            }
        }
        all.push(tnl(54 + 24, V6, 43, "srv6(segments_left=0,segs(fd00::2))"));
        all
    }

    fn inside(tnl: &TnlPush) -> Vec<u8> {
        let whole = frame(UDP4, b"payload");
        if tnl.bare { whole[14..].to_vec() } else { whole }
    }

    #[test]
    fn what_was_pushed_comes_back() {
        for tnl in all() {
            let inside = inside(&tnl);
            let outside = wrapped(&inside, &tnl);
            let outer = judge(&outside, tnl.protocol).unwrap_or_else(|| panic!("{tnl:?}"));
            let mut t = TunnelKey::default();
            outer.tell(&outside, &mut t);
            assert_eq!(outer.packet_type() != 0, tnl.bare, "{tnl:?}");
            let options = outer.options(&outside).to_vec();
            let mut p = outside;
            assert!(outer.strip(&mut p));
            assert_eq!(p.bytes(), inside, "{tnl:?}");
            let has_key = t.flags & tunnel_flag::KEY != 0;
            assert_eq!(t.id, if has_key { 0x7b } else { 0 }, "{tnl:?}");
            match tnl.protocol {
                TunnelProtocol::Geneve => {
                    assert_eq!(t.flags & tunnel_flag::CRITICAL != 0, !options.is_empty());
                }
                TunnelProtocol::Erspan => assert_ne!(t.erspan(erspan_bits::VERSION), 0),
                TunnelProtocol::Gtpu => assert_eq!((t.gtpu_flags, t.gtpu_msgtype), (0x30, 255)),
                _ => {}
            }
        }
    }

    #[test]
    fn every_cut_of_every_protocol_is_refused() {
        for tnl in all() {
            let whole = wrapped(&inside(&tnl), &tnl);
            for n in 0..whole.buf.len() {
                let mut cut = whole.clone();
                cut.buf.truncate(n);
                assert!(judge(&cut, tnl.protocol).is_none(), "{n} {tnl:?}");
            }
        }
    }

    #[test]
    fn lies_are_refused() {
        type Lie = (&'static str, usize, u8);
        let check = |tnl: &TnlPush, lies: &[Lie]| {
            let good = wrapped(&inside(tnl), tnl);
            assert!(judge(&good, tnl.protocol).is_some(), "{tnl:?}");
            for (what, at, byte) in lies {
                let mut p = good.clone();
                p.buf.as_mut_slice()[*at] = *byte;
                assert_eq!(judge(&p, tnl.protocol), None, "{what}");
            }
        };
        let udp = "udp(src=0,dst=1,csum=0x0),";
        let options = format!("{udp}geneve(vni=0x7b,options({{class=0x102,type=0x1,len=4,0xa}}))");
        check(
            &tnl(58, V4, 17, &options),
            &[
                ("version", 42, 0x42),
                ("options beyond the end", 42, 0x3f),
                ("an option beyond the options", 53, 2),
                ("not Ethernet", 44, 8),
            ],
        );
        let gtpu = format!("{udp}gtpu(flags=0x30,msgtype=255,teid=0x7b)");
        check(
            &tnl(50, V4, 17, &gtpu),
            &[
                ("version 2", 42, 0x50),
                ("GTP'", 42, 0x20),
                ("longer than UDP", 44, 9),
                ("extension headers of no length", 42, 0x34),
                ("not IP", 50, 0x55),
            ],
        );
        check(
            &tnl(42, V4, 47, "gre((flags=0x2000,proto=0x6558),key=0x7b)"),
            &[("version 1", 35, 1), ("routing", 34, 0x60), ("recursion", 34, 0x27)],
        );
        check(
            &tnl(50, V4, 47, "gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x7b,seq=0x0)"),
            &[("wrong checksum", 60, 0xee)],
        );
        check(
            &tnl(50, V4, 47, "erspan(ver=1,sid=0x7b,idx=0x3)"),
            &[("version 2 in a header of version 1", 42, 0x20), ("no sequence number", 34, 0)],
        );
        check(
            &tnl(78, V6, 43, "srv6(segments_left=0,segs(fd00::2))"),
            &[
                ("segments left", 57, 1),
                ("more listed than there is room for", 58, 2),
                ("another routing header", 56, 0),
            ],
        );
    }

    /// As Open vSwitch 3.1 does: the checksum first, and then what it should have covered.
    #[test]
    fn a_checksum_from_before_the_last_field_is_right() {
        let gre = tnl(50, V4, 47, "gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x7b,seq=0x0)");
        let gtpu = |ip: &str, len: usize| {
            tnl(
                len,
                ip,
                17,
                "udp(src=0,dst=2152,csum=0xffff),gtpu(flags=0x30,msgtype=255,teid=0x7b)",
            )
        };
        for (tnl, csum, field, bytes) in
            [(gre, 38, 46, 4), (gtpu(V4, 50), 40, 44, 2), (gtpu(V6, 70), 60, 64, 2)]
        {
            let mut p = wrapped(&inside(&tnl), &tnl);
            let frame = p.buf.as_mut_slice();
            let covered = field..field + bytes;
            if bytes == 4 {
                frame[covered.clone()].copy_from_slice(&[1, 2, 3, 4]);
            } else {
                let taken_out: [u8; 2] = frame[covered.clone()].try_into().unwrap();
                let old = u16::from_be_bytes([frame[csum], frame[csum + 1]]);
                let early = packet::checksum::update16(old, u16::from_be_bytes(taken_out), 0);
                frame[csum..csum + 2].copy_from_slice(&early.to_be_bytes());
            }
            assert!(judge(&p, tnl.protocol).is_some(), "{tnl:?}");
            // Of anything else it still says whether it is damaged.
            let end = p.buf.len();
            for at in (tnl.l4.into()..end).filter(|at| !covered.contains(at)) {
                let mut damaged = p.clone();
                damaged.buf.as_mut_slice()[at] ^= 0x10;
                assert_eq!(judge(&damaged, tnl.protocol), None, "{at} {tnl:?}");
            }
        }
    }

    #[test]
    fn signalling_stays_in_its_header() {
        let tnl =
            tnl(50, V4, 17, "udp(src=0,dst=2152,csum=0x0),gtpu(flags=0x30,msgtype=1,teid=0x0)");
        let mut p = wrapped(b"", &tnl);
        let before = p.bytes().to_vec();
        let outer = judge(&p, tnl.protocol).unwrap();
        assert!(outer.packet_type() == 0 && outer.strip(&mut p));
        assert_eq!(p.bytes(), before);
    }

    #[test]
    fn numbers_go_on() {
        let tnl = tnl(46, V4, 47, "gre((flags=0x3000,proto=0x6558),key=0x7b,seq=0x0)");
        let number = |p: &Packet| u32::from_be_bytes(*p.bytes()[42..].first_chunk().unwrap());
        let small = || wrapped(&inside(&tnl), &tnl);
        assert_eq!([number(&small()), number(&small())], [0, 1]);
        let mut big = super_packet(TCP4, &payload(3000), 1000);
        push(&mut big, &tnl, &FlowKey::default(), &mut 0).unwrap();
        let mut parts = vec![];
        let alloc = |n| packet::Buf::with_capacity(64, n);
        gso::segment(&big, gso::Checksums::Complete, alloc, &mut parts).unwrap();
        let numbers: Vec<_> = parts.iter().map(number).collect();
        assert_eq!(numbers, [2, 3, 4]);
        assert!(number(&small()) > 4);
    }

    proptest! {
        /// Whatever the outer headers say, they are refused or what is inside lies within the packet.
        #[test]
        fn damaged_headers_do_no_harm(
            which in 0usize..25, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let all = all();
            let tnl = &all[which % all.len()];
            let mut p = wrapped(&inside(tnl), tnl);
            for (at, byte) in flips {
                let header = tnl.header.len() + 8;
                let at = 14 + at.index(header - 14);
                p.buf.as_mut_slice()[at] ^= byte;
            }
            if tnl.l4 == 34 { fix_checksum(&mut p.buf.as_mut_slice()[14..34]); }
            if let Some(outer) = judge(&p, tnl.protocol) {
                let mut t = TunnelKey::default();
                outer.tell(&p, &mut t);
                let _ = outer.options(&p).len();
                outer.frames(&p, || ()).for_each(drop);
                let before = p.buf.len();
                if outer.strip(&mut p) { prop_assert!(p.buf.len() <= before); }
            }
        }
    }
}
