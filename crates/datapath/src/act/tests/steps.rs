//! What OpenFlow asks for beyond forwarding: labels, headers, choices, meters.

use std::time::Duration;

use base::Instant;
use flow::nsh::NshKey;
use flow::text::{Numbers, parse_actions};
use flow::{DropCause, Mask};
use packet::wire::locate;

use super::*;
use crate::meters::{Band, BandKind, MeterConfig, MeterUnit, Meters};
use crate::tests::frames::TCP6;

fn list(text: &str) -> Vec<Action> {
    parse_actions(text, &Numbers).unwrap()
}

/// What re-enters, as it would be looked up.
fn seen(b: &mut Bench) -> Vec<FlowKey> {
    let key = |(key, packet, _): (FlowKey, Packet, u8)| {
        flow::extract(packet.bytes(), &flow::Metadata::of(&key)).unwrap().0
    };
    b.rounds().into_iter().map(key).collect()
}

#[test]
fn super_packets_are_whole_segments_under_a_label_and_a_service_header() {
    let push = "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)";
    let nsh = "push_nsh(mdtype=2,np=3,spi=0x1,si=1,md2=0x01020304),\
               push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)";
    for ip in [TCP4, UDP4, TCP6] {
        for (push, behind) in [(push, 18), (nsh, 14 + 12)] {
            let mut b = Bench::new();
            b.act(vec![super_packet(ip, &payload(5000), 1000)], &list(&format!("{push},1")));
            let out = b.out(1);
            assert_eq!(out.len(), 5, "{push}");
            for sent in out {
                let inside = if behind == 18 {
                    // Put the Ethernet header in front of the IP packet again.
                    let eth_type: [u8; 2] = if ip.v6 { [0x86, 0xdd] } else { [8, 0] };
                    [&sent[..12], &eth_type, &sent[18..]].concat()
                } else {
                    sent[behind..].to_vec()
                };
                assert_sound(&inside);
                assert_eq!(locate(&inside).unwrap().end, inside.len());
            }
            // A checksum left to the device is computed before.
            let mut b = Bench::new();
            b.act(vec![partial(ip, b"abc")], &list(&format!("{push},1")));
            let sent = b.devices[0].sent(0);
            assert!(sent[0].offload.is_complete());
        }
    }
}

#[test]
fn segments_go_different_ways_with_keys_of_their_own() {
    let mut b = Bench::new();
    // The last segment is short.
    let packet = super_packet(TCP4, &payload(2100), 1000);
    let text = "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847),\
                check_pkt_len(size=500,gt(set(skb_mark(0x7)),recirc(0x1)),le(recirc(0x2)))";
    b.act(vec![packet], &list(text));
    let keys: Vec<_> = seen(&mut b).iter().map(|k| (k.recirc_id, k.skb_mark, k.eth_type)).collect();
    assert_eq!(keys, [(1, 7, 0x8847), (1, 7, 0x8847), (2, 1, 0x8847)]);
}

#[test]
fn labels_come_off_as_they_went_on_below_the_tag() {
    let mut b = Bench::new();
    let text = "push_vlan(vid=5,pcp=1),push_mpls(label=1,tc=0,ttl=9,bos=1,eth_type=0x8847),\
                push_mpls(label=2,tc=0,ttl=9,bos=0,eth_type=0x8848),clone(recirc(0x1)),\
                pop_mpls(eth_type=0x8847),pop_mpls(eth_type=0x800),pop_vlan,1";
    b.act(some(), &list(text));
    assert_eq!(b.out(1), bytes(&some()));
    let key = seen(&mut b)[0];
    assert_eq!((key.vlans[0].vid(), key.eth_type), (5, 0x8848));
    assert_eq!(key.mpls, [2 << 12 | 9, 1 << 12 | 0x109, 0, 0]);
}

#[test]
fn a_service_header_is_put_on_looked_at_and_taken_off() {
    let mut b = Bench::new();
    let push = "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4),\
                push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)";
    b.act(
        some(),
        &list(&format!("{push},clone(recirc(0x1)),pop_eth,clone(recirc(0x2)),pop_nsh(),1")),
    );
    assert_eq!(b.out(1), bytes(&some()));
    let keys = seen(&mut b);
    let nsh =
        NshKey { flags: 0, ttl: 63, mdtype: 1, np: 3, path: 0x12_34ff, context: [1, 2, 3, 4] };
    let types = |k: &FlowKey| (k.recirc_id, k.packet_type, k.eth_type);
    let seen: Vec<_> = keys.iter().map(types).collect();
    assert_eq!(
        seen,
        [(1, 0, 0x894f), (1, 0, 0x894f), (2, 0x1_894f, 0x894f), (2, 0x1_894f, 0x894f)]
    );
    assert!(keys.iter().all(|k| k.nsh() == nsh));
    assert_eq!((keys[2].eth_src, keys[0].eth_src), ([0; 6], [0, 0, 0, 0, 0, 1]));
}

#[test]
fn what_is_without_an_ethernet_header_is_read_as_what_it_is_and_not_sent() {
    let mut b = Bench::new();
    b.act(some(), &list("pop_eth,1,recirc(0x1)"));
    assert_eq!(b.drops.snapshot(), [(DropReason::NoEthernet, 2)]);
    let key = seen(&mut b)[0];
    assert_eq!((key.packet_type, key.eth_type, key.tp_dst), (0x1_0800, 0x0800, UDP4.dport));
    // It is edited as such.
    let mut b = Bench::new();
    let text = "pop_eth,set(ipv4(ttl=3)),push_eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),1";
    b.act(some(), &list(text));
    let out = b.out(1);
    assert_sound(&out[0]);
    assert_eq!((out[0][22], &out[0][..6]), (3, &[0, 0, 0, 0, 0, 2][..]));
    // A tag is no part of it.
    let mut b = Bench::new();
    b.act(some(), &list("push_vlan(vid=5,pcp=0),pop_eth,pop_vlan,1"));
    assert_eq!(b.out(1), bytes(&some()));
}

#[test]
fn a_frame_goes_through_a_backbone_as_it_is() {
    let mut b = Bench::new();
    let text = "push_vlan(vid=5,pcp=1),push_pbb(tci=0x20000000),set(pbb(tci=0x64/0xffffff)),\
                set(eth(src=00:00:00:00:00:01)),push_vlan(tpid=0x88a8,vid=9,pcp=0),clone(recirc(0x1)),\
                pop_pbb,pop_vlan,1";
    b.act(some(), &list(text));
    assert_eq!(b.out(1), bytes(&some()));
    let key = seen(&mut b)[0];
    assert_eq!((key.vlans[0].vid(), key.vlans[1]), (9, Default::default()));
    assert_eq!((key.eth_src, key.eth_type), ([0, 0, 0, 0, 0, 1], 0x88e7));
    assert_eq!(key.ipv6_label, 0x2000_0064);
}

#[test]
fn no_backbone_no_customer() {
    for text in ["pop_pbb,1", "pop_eth,pop_pbb,1"] {
        let mut b = Bench::new();
        b.act(some(), &list(text));
        assert_eq!(b.drops.snapshot(), [(DropReason::PbbDecapError, 2)], "{text}");
    }
}

#[test]
fn hops_are_copied_to_labels_and_back() {
    let mut b = Bench::new();
    let push = "push_mpls(label=1,tc=0,ttl=9,bos=1,eth_type=0x8847)";
    b.act(some(), &list(&format!("{push},copy_ttl_in,pop_mpls(eth_type=0x800),1")));
    let mut want = Bench::new();
    want.act(some(), &list("set(ipv4(ttl=9)),1"));
    assert_eq!(b.out(1), want.out(1));
    let mut b = Bench::new();
    b.act(some(), &list(&format!("{push},copy_ttl_out,recirc(0x1)")));
    assert!(seen(&mut b).iter().all(|k| k.mpls[0] == 1 << 12 | 0x140), "as the packets' own");
}

#[test]
fn no_service_header_no_decapsulation() {
    for text in ["pop_nsh(),1", "pop_eth,pop_nsh(),1", "push_nsh(mdtype=1,np=9),pop_nsh(),1"] {
        let mut b = Bench::new();
        b.act(some(), &list(text));
        assert_eq!(b.drops.snapshot(), [(DropReason::NshDecapError, 2)], "{text}");
    }
}

#[test]
fn what_the_slow_path_gets_can_be_cut() {
    let mut b = Bench::new();
    let up = "userspace(pid=0,slow_path(action))";
    b.act(vec![partial(TCP4, b"abc")], &list(&format!("trunc(20),{up},{up},1")));
    let whole = partial(TCP4, b"abc").bytes().len();
    let seen: Vec<_> = b.exec.misses.iter().map(|m| m.packet.buf.len()).collect();
    assert_eq!(seen, [20, whole]);
    assert!(b.exec.misses[0].packet.offload.is_complete());
    assert_eq!(b.out(1)[0].len(), whole);
}

#[test]
fn there_is_no_connection_tracker() {
    let mut b = Bench::new();
    b.act(some(), &list("ct_clear,1,ct(commit),2"));
    assert_eq!((b.out(1).len(), b.out(2).len()), (2, 0));
    assert_eq!(b.drops.snapshot(), [(DropReason::NoConntrack, 2)]);
}

#[test]
fn length_counts_what_is_on_the_wire() {
    let mut b = Bench::new();
    let short = Packet::from_frame(&frame(UDP4, b"a"));
    let long = Packet::from_frame(&frame(UDP4, &payload(1000)));
    let of_short = super_packet(TCP4, &payload(3000), 100);
    b.act(vec![short, long, of_short], &list("check_pkt_len(size=500,gt(1),le(2)),3"));
    assert_eq!((b.out(1).len(), b.out(2).len(), b.out(3).len()), (1, 2, 3));
}

#[test]
fn samples_are_as_many_as_asked_for_and_edits_on_them_do_not_show() {
    let mut b = Bench::new();
    let text = "sample(sample=25.0%,actions(push_vlan(vid=5,pcp=0),1)),2";
    for _ in 0..500 {
        b.act(some(), &list(text));
        assert_eq!(b.out(2), bytes(&some()));
    }
    let n = b.out(1).len();
    assert!((180..320).contains(&n), "{n} of 1000");
    let mut b = Bench::new();
    b.act(some(), &list("sample(sample=0.0%,actions(1)),sample(sample=100.0%,actions(2))"));
    assert_eq!((b.out(1).len(), b.out(2)), (0, bytes(&some())));
    let never = Action::Sample { probability: 0, actions: vec![Action::Drop(DropCause::Hairpin)] };
    b.act(some(), &[never]);
    assert_eq!(b.drops.snapshot(), [], "a sample that is not taken is no drop");
}

#[test]
fn the_hash_is_of_the_packet_as_it_is() {
    let mut b = Bench::new();
    let text = "hash(l4(0)),clone(recirc(0x1)),set(ipv4(src=9.9.9.9)),hash(l4(0)),recirc(0x2)";
    b.act(some(), &list(text));
    let keys = seen(&mut b);
    let hash = |i: usize| flow::hash::of(flow::HashMethod::L4, &keys[i], 0);
    assert_eq!(keys[0].dp_hash, hash(0));
    assert_eq!(keys[2].dp_hash, hash(2));
    assert_ne!(keys[0].dp_hash, keys[2].dp_hash);
}

/// A bench with meter 1.
fn metered(unit: MeterUnit, kind: BandKind, rate: u32, burst: u32) -> (Bench, Arc<Meters>) {
    let meters = Arc::new(Meters::default());
    let config = MeterConfig { unit, bands: vec![Band { kind, rate, burst }] };
    meters.set(1, &config, Instant::from_millis(1000)).unwrap();
    let mut b = Bench::new();
    b.exec.meters = Replica::new(meters.clone());
    b.exec.now = Instant::from_millis(1000);
    (b, meters)
}

#[test]
fn a_meter_drops_what_is_over_and_counts() {
    let (mut b, meters) = metered(MeterUnit::Packets, BandKind::Drop, 10, 3);
    let packets = || [some(), some()].concat();
    b.act(packets(), &list("meter(1),1,meter(7),2"));
    assert_eq!((b.out(1), b.out(2).len()), (bytes(&packets()[..3]), 3));
    b.exec.now = Instant::from_millis(1200);
    b.act(packets(), &list("meter(1),1"));
    assert_eq!(b.out(1).len(), 2);
    assert_eq!(b.drops.snapshot(), [(DropReason::Meter, 3)]);
    let (stats, len) = (meters.stats(1, b.exec.now).unwrap(), some()[0].buf.len() as u64);
    assert_eq!((stats.packets, stats.bytes, stats.bands), (8, 8 * len, vec![(3, 3 * len)]));
    assert_eq!(stats.age, Duration::from_millis(200));
}

#[test]
fn of_a_super_packet_the_segments_that_fit_pass() {
    let (mut b, meters) = metered(MeterUnit::Packets, BandKind::Drop, 10, 8);
    let packet = || super_packet(TCP4, &payload(5000), 1000);
    b.act(vec![packet()], &list("meter(1),1"));
    assert_eq!(b.out(1).len(), 1, "whole");
    b.act(vec![packet()], &list("meter(1),1"));
    let out = b.out(1);
    assert_eq!(out.len(), 3);
    out.iter().for_each(|segment| assert_sound(segment));
    let stats = meters.stats(1, b.exec.now).unwrap();
    let wire = 10 * (1000 + 54);
    assert_eq!((stats.packets, stats.bytes, stats.bands[0].0), (10, wire, 2));
}

#[test]
fn a_remark_raises_the_drop_precedence_of_assured_forwarding() {
    let af = |class: u8, precedence: u8| class << 5 | precedence << 3;
    // Code point before, by how much, after.
    let cases = [
        (af(1, 1), 1, af(1, 2)),
        (af(4, 1), 9, af(4, 3)),
        (af(2, 3) | 2, 1, af(2, 3) | 2),
        (0, 1, 0),
        (46 << 2, 1, 46 << 2),
        (5 << 5, 1, 5 << 5),
    ];
    for ip in [UDP4, TCP6] {
        for (before, by, after) in cases {
            let (mut b, _) = metered(MeterUnit::Kilobits, BandKind::DscpRemark(by), 0, 0);
            let tos = |tos| FlowKey { nw_tos: tos, ..FlowKey::default() };
            let set = Action::Set(Box::new((tos(before), Mask(tos(0xff)))));
            let packet = Packet::from_frame(&frame(ip, b"x"));
            b.act(vec![packet], &[set, Action::Meter(1), Action::Output(DpPort(1))]);
            let out = b.out(1);
            assert_sound(&out[0]);
            let (key, _) = flow::extract(&out[0], &flow::Metadata::default()).unwrap();
            assert_eq!(key.nw_tos, after, "{before:#x}");
        }
    }
}
