//! Actions on groups, without a worker around them.

use crate::act::options::{Names, OptionTable};
use std::sync::Arc;

use flow::{Action, DpPort, DropCause, FlowKey, Mask, RecircId, SlowReason, Vlan};
use packet::{Packet, gso};

use super::push::tests::header;
use super::{Executor, Work};
use crate::drops::{DropCounters, DropReason};
use crate::meters::Replica;
use crate::miss::MissReason;
use crate::tests::device::{EVERYTHING, MemDevice};
use crate::tests::frames::{Ip, TCP4, UDP4, assert_sound, frame, partial, payload, super_packet};
use flow::TunnelProtocol;

/// An executor with devices 1 to 3 and tunnel 9, and what it has dropped.
struct Bench {
    exec: Executor,
    devices: Vec<Arc<MemDevice>>,
    drops: DropCounters,
}

impl Bench {
    fn new() -> Self {
        let mut exec = Executor::new(Replica::default(), OptionTable::new(Names::default()));
        let devices: Vec<_> =
            (1..=3).map(|i| MemDevice::new(&format!("mem{i}"), EVERYTHING)).collect();
        for (device, i) in devices.iter().zip(1..) {
            exec.ports.add_device(DpPort(i), netdev::Device::tx_queue(&**device).unwrap());
        }
        exec.ports.add_tunnel(DpPort(9), TunnelProtocol::Vxlan);
        Self { exec, devices, drops: DropCounters::new(&base::Counters::default()) }
    }

    fn act(&mut self, packets: Vec<Packet>, actions: &[Action]) {
        let key = FlowKey { in_port: 5, skb_mark: 1, ..FlowKey::default() };
        let mut keys = vec![key; packets.len()];
        let mut group: Vec<_> =
            packets.into_iter().zip(0..).map(|(packet, key)| Work { packet, key }).collect();
        self.exec.act(actions, &mut group, &mut keys, 0);
        assert!(group.is_empty());
        self.exec.ports.flush_all(&mut self.exec.buffers, &mut self.exec.tally);
        self.exec.tally.flush(&self.drops);
    }

    /// What came out of device `i`.
    fn out(&self, i: usize) -> Vec<Vec<u8>> {
        self.devices[i - 1].sent(0).iter().map(|p| p.bytes().to_vec()).collect()
    }

    /// What re-enters: keys and packets.
    fn rounds(&mut self) -> Vec<(FlowKey, Packet, u8)> {
        let mut all = Vec::new();
        while let Some(round) = self.exec.next_round() {
            all.extend(round.keys.into_iter().zip(round.packets).map(|(k, p)| (k, p, round.depth)));
        }
        all
    }
}

fn some() -> Vec<Packet> {
    [b"a", b"b"].iter().map(|b| Packet::from_frame(&frame(UDP4, *b))).collect()
}

fn bytes(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(|p| p.bytes().to_vec()).collect()
}

#[test]
fn edits_on_a_clone_do_not_show_in_the_original() {
    let mut b = Bench::new();
    let tag = Vlan::new(0x8100, 7, 0);
    let list = vec![Action::PushVlan(tag), Action::Output(DpPort(1))];
    b.act(
        some(),
        &[
            Action::Clone(list),
            Action::Output(DpPort(2)),
            Action::PushVlan(tag),
            Action::Output(DpPort(3)),
        ],
    );
    assert_eq!(b.out(2), bytes(&some()));
    let tagged = b.out(1);
    assert_eq!(tagged[0].len(), some()[0].buf.len() + 4);
    assert_eq!(b.out(3), tagged);
}

#[test]
fn metadata_set_on_a_clone_does_not_leak() {
    let mut b = Bench::new();
    let mark = |m| FlowKey { skb_mark: m, ..FlowKey::default() };
    let set = Action::Set(Box::new((mark(4), Mask(mark(6)))));
    b.act(
        some(),
        &[Action::Clone(vec![set, Action::Recirc(RecircId(1))]), Action::Recirc(RecircId(2))],
    );
    let seen: Vec<_> =
        b.rounds().iter().map(|(k, _, d)| (k.recirc_id, k.skb_mark, k.in_port, *d)).collect();
    assert_eq!(seen, [(1, 5, 5, 1), (1, 5, 5, 1), (2, 1, 5, 1), (2, 1, 5, 1)]);
}

#[test]
fn truncation_is_for_the_next_output_alone() {
    let mut b = Bench::new();
    b.act(some(), &[Action::Trunc(20), Action::Output(DpPort(1)), Action::Output(DpPort(2))]);
    assert_eq!(b.out(1), bytes(&some()).iter().map(|f| f[..20].to_vec()).collect::<Vec<_>>());
    assert_eq!(b.out(2), bytes(&some()));
    b.act(some(), &[Action::Trunc(3), Action::Output(DpPort(1))]);
    assert_eq!(b.out(1)[0].len(), 14);
}

#[test]
fn the_slow_path_gets_copies_as_edited_so_far() {
    let mut b = Bench::new();
    let push = Action::PushVlan(Vlan::new(0x8100, 7, 0));
    b.act(
        some(),
        &[
            push,
            Action::Userspace(SlowReason::Neighbour(3)),
            Action::PopVlan,
            Action::Output(DpPort(1)),
        ],
    );
    assert_eq!(b.out(1), bytes(&some()));
    let misses = std::mem::take(&mut b.exec.misses);
    assert_eq!(misses.len(), 2);
    assert_eq!(misses[0].packet.buf.len(), some()[0].buf.len() + 4);
    assert_eq!(misses[1].reason, MissReason::Action(SlowReason::Neighbour(3)));
    assert!(misses[0].packet.buf.footprint() < 1000, "a copy of its own size");
}

#[test]
fn every_drop_has_its_name() {
    let mut nested = vec![Action::Output(DpPort(1))];
    for _ in 0..20 {
        nested = vec![Action::Clone(nested)];
    }
    let bad_header = Arc::new(flow::TnlPush { l3: 100, ..header(false, false) });
    let cases: Vec<(Vec<Action>, DropReason)> = vec![
        (vec![], DropReason::Pipeline),
        (vec![Action::Drop(DropCause::Pipeline)], DropReason::Pipeline),
        (vec![Action::Drop(DropCause::TunnelNoNeighbour)], DropReason::TunnelNeighCacheMiss),
        (vec![Action::Output(DpPort(77))], DropReason::InvalidPort),
        (vec![Action::Output(DpPort(9))], DropReason::InvalidPort),
        (vec![Action::Output(DpPort::NONE)], DropReason::InvalidPort),
        (vec![Action::TnlPop(DpPort(77))], DropReason::InvalidTnlPort),
        (vec![Action::TnlPop(DpPort(1))], DropReason::InvalidTnlPort),
        (vec![Action::TnlPop(DpPort(9))], DropReason::TunnelPopError),
        (vec![Action::TnlPush(bad_header)], DropReason::TunnelPushError),
        (nested, DropReason::RecursionTooDeep),
    ];
    for (actions, reason) in cases {
        let mut b = Bench::new();
        b.act(some(), &actions);
        assert_eq!(b.drops.snapshot(), [(reason, 2)], "{actions:?}");
    }
}

#[test]
fn the_list_of_rounds_is_bounded() {
    let mut b = Bench::new();
    let many: Vec<Action> = (0..3000).map(|_| Action::Recirc(RecircId(1))).collect();
    b.act(some(), &many);
    assert_eq!(b.rounds().len(), super::REENTER_MAX);
    assert_eq!(b.drops.snapshot(), [(DropReason::RecircError, 6000 - super::REENTER_MAX as u64)]);
}

#[test]
fn a_tunnel_in_a_tunnel_is_sound_on_the_wire() {
    let mut b = Bench::new();
    let tnl = Arc::new(header(false, true));
    let p = super_packet(TCP4, &payload(5000), 1000);
    let actions = [Action::TnlPush(tnl.clone()), Action::TnlPush(tnl), Action::Output(DpPort(1))];
    b.act(vec![p], &actions);
    let out = b.devices[0].sent(1);
    assert!(b.drops.snapshot().is_empty());
    let mut segments = Vec::new();
    for p in &out {
        gso::segment(
            p,
            gso::Checksums::Complete,
            |n| packet::Buf::with_capacity(0, n),
            &mut segments,
        )
        .unwrap();
    }
    assert_eq!(segments.len(), 5);
    for s in &segments {
        crate::tests::frames::assert_sound(s.bytes());
        crate::tests::frames::assert_sound(&s.bytes()[50..]);
        crate::tests::frames::assert_sound(&s.bytes()[100..]);
    }
}

#[test]
fn decapsulated_segments_are_joined_within_one_way_and_in_order() {
    let mut b = Bench::new();
    let outer = |vni: u8, packet: Packet| {
        let mut tnl = header(false, false);
        tnl.header[42 + 6] = vni;
        let mut p = packet;
        super::push::push(&mut p, &tnl, &FlowKey::default(), &mut 0).unwrap();
        p
    };
    let data = payload(1000);
    let segment = |i: u32| Packet::from_frame(&frame(Ip { seq: 7 + i * 1000, ..TCP4 }, &data));
    // Three of one network, one of another between them, and something that is not joined.
    let udp = || Packet::from_frame(&frame(UDP4, b"ping"));
    let group = vec![
        outer(1, segment(0)),
        outer(1, segment(1)),
        outer(2, udp()),
        outer(1, segment(2)),
        outer(1, segment(3)),
    ];
    b.act(group, &[Action::TnlPop(DpPort(9))]);
    let seen: Vec<_> = b
        .rounds()
        .iter()
        .map(|(k, p, d)| (k.tunnel.id, p.buf.len(), p.offload.gso.is_some(), k.in_port, *d))
        .collect();
    let pair = 54 + 2000;
    assert_eq!(seen, [(1, pair, true, 9, 1), (2, 46, false, 9, 1), (1, pair, true, 9, 1)]);
    assert!(b.drops.snapshot().is_empty());
}

#[test]
fn small_packets_share_an_outer_super_packet_where_the_device_cuts_it() {
    let small = |i: u8| partial(UDP4, &[i; 18]);
    let odd = Packet::from_frame(&frame(UDP4, &[9; 40]));
    let packets = || vec![small(1), small(2), small(3), odd.clone(), small(4)];
    for csum in [false, true] {
        let mut b = Bench::new();
        let push = Action::TnlPush(Arc::new(header(false, csum)));
        b.act(packets(), &[push.clone(), Action::Output(DpPort(1))]);
        let out = b.devices[0].sent(1);
        assert_eq!(
            out.iter().map(|p| p.offload.gso.is_some()).collect::<Vec<_>>(),
            [true, true],
            "a shorter one may end a super-packet"
        );
        let mut datagrams = Vec::new();
        for p in &out {
            let whole = gso::segment(
                p,
                gso::Checksums::Complete,
                |n| packet::Buf::with_capacity(0, n),
                &mut datagrams,
            );
            if whole.is_err() {
                let mut single = p.clone();
                gso::complete_csum(&mut single).unwrap();
                datagrams.push(single);
            }
        }
        // The wire sees what it would have seen, in order.
        let inner: Vec<_> = datagrams.iter().map(|p| p.bytes()[50..].to_vec()).collect();
        let mut want = packets();
        want.iter_mut().for_each(|p| gso::complete_csum(p).unwrap());
        assert_eq!(inner, bytes(&want));
        datagrams.iter().for_each(|p| assert_sound(p.bytes()));
        // Where something else follows, or the packet is alone, they stay apart.
        b.act(
            packets(),
            &[push.clone(), Action::PushVlan(Vlan::new(0x8100, 1, 0)), Action::Output(DpPort(1))],
        );
        assert!(b.devices[0].sent(5).iter().all(|p| p.offload.gso.is_none()));
        b.act(vec![small(1)], &[push, Action::Output(DpPort(1))]);
        let alone = b.devices[0].sent(1);
        assert!(
            matches!(alone[0].offload.csum, packet::Csum::Partial { start: 84, .. }),
            "not finished early"
        );
        assert!(b.drops.snapshot().is_empty());
    }
}

#[test]
fn small_packets_to_a_stranger_stay_apart_on_a_wire_that_cuts_nothing() {
    let mut b = Bench::new();
    let veth = MemDevice::new("veth", netdev::Accepts { finishes: false, ..EVERYTHING });
    b.exec.ports.add_device(DpPort(4), netdev::Device::tx_queue(&*veth).unwrap());
    let small = || (0..5).map(|i| partial(UDP4, &[i; 18])).collect::<Vec<_>>();
    for (peer_offloads, packets) in [(false, 5), (true, 1)] {
        let push = Arc::new(flow::TnlPush { peer_offloads, ..header(false, false) });
        b.act(small(), &[Action::TnlPush(push), Action::Output(DpPort(4))]);
        let out = veth.sent(packets);
        assert_eq!(out.len(), packets);
        assert!(out.iter().all(|p| p.offload.is_complete() != peer_offloads));
    }
}

mod fit;
mod steps;
/// Packets with a key each, of as many flows as `flows`; the third cannot be encapsulated or decapsulated.
fn batch(flows: u16, outer: bool) -> (Vec<Packet>, Vec<FlowKey>) {
    let packet = |n: u8| {
        let mut p = Packet::from_frame(&frame(UDP4, &[n; 30]));
        match (outer, n == 2) {
            (true, false) => {
                super::push::push(&mut p, &header(false, false), &FlowKey::default(), &mut 0)
                    .unwrap();
                gso::complete_csum(&mut p).unwrap();
                p.offload = packet::Offload::default();
            }
            (true, true) => {}
            (false, false) => {}
            (false, true) => p.buf.extend(&[0; 65_500]),
        }
        p
    };
    let key = |n: u16| FlowKey { in_port: 5, skb_mark: 1, tp_src: n % flows, ..FlowKey::default() };
    ((0..6).map(packet).collect(), (0..6).map(key).collect())
}

#[test]
fn whole_batches_are_encapsulated_as_groups_are() {
    for flows in [6, 2] {
        let push = header(false, false);
        let (packets, mut keys) = batch(flows, false);
        let mut by_group = Bench::new();
        let works = packets.iter().cloned().zip(0..);
        let mut group: Vec<_> = works.map(|(packet, key)| Work { packet, key }).collect();
        let actions = [Action::TnlPush(Arc::new(push.clone())), Action::Output(DpPort(1))];
        by_group.exec.act(&actions, &mut group, &mut keys, 0);
        let mut whole = Bench::new();
        let mut rest = packets.clone();
        assert!(whole.exec.push_on(&push, DpPort(1), &mut rest, &keys));
        assert!(rest.is_empty());
        let [one, other] = [&mut by_group, &mut whole].map(|b| {
            b.exec.ports.flush_all(&mut b.exec.buffers, &mut b.exec.tally);
            b.exec.tally.flush(&b.drops);
            let sent = b.devices[0].sent(0).into_iter().map(|p| (p.buf, p.offload));
            (sent.collect::<Vec<_>>(), b.drops.snapshot())
        });
        assert_eq!(one, other);
        assert_eq!(one.1, [(DropReason::TunnelTooBig, 1)]);
        assert_eq!(one.0.iter().any(|(_, offload)| offload.gso.is_some()), flows == 2, "joined");
    }
    // What may have to be taken apart goes the long way.
    let mut b = Bench::new();
    let (mut packets, keys) =
        (vec![super_packet(TCP4, &payload(3000), 1000)], [FlowKey::default()]);
    assert!(!b.exec.push_on(&header(false, false), DpPort(1), &mut packets, &keys));
    assert_eq!(packets.len(), 1);
}

#[test]
fn whole_batches_are_decapsulated_as_groups_are() {
    let (packets, mut keys) = batch(6, true);
    let mut by_group = Bench::new();
    let works = packets.iter().cloned().zip(0..);
    let mut group: Vec<_> = works.map(|(packet, key)| Work { packet, key }).collect();
    by_group.exec.act(&[Action::TnlPop(DpPort(9))], &mut group, &mut keys, 0);
    let mut whole = Bench::new();
    let mut round =
        super::Round { packets: packets.clone(), keys: keys.clone(), ..Default::default() };
    assert!(whole.exec.pop_on(DpPort(9), &mut round));
    assert!(round.packets.is_empty());
    let [one, other] = [&mut by_group, &mut whole].map(|b| {
        let rounds = b.rounds().into_iter().map(|(key, p, depth)| (key, p.buf, p.offload, depth));
        let rounds: Vec<_> = rounds.collect();
        b.exec.tally.flush(&b.drops);
        (rounds, b.drops.snapshot())
    });
    assert_eq!(one, other);
    assert_eq!((one.0.len(), one.1.as_slice()), (5, &[(DropReason::TunnelPopError, 1)][..]));
    assert!(one.0.iter().all(|(key, ..)| key.tunnel.id == 42 && key.skb_mark == 1));
    // What may be joined goes the long way, and so does what has no tunnel to come out of.
    let (packets, keys) = batch(2, true);
    let mut round = super::Round { packets, keys, ..Default::default() };
    assert!(!whole.exec.pop_on(DpPort(9), &mut round));
    assert!(!whole.exec.pop_on(DpPort(1), &mut round));
    assert_eq!(round.packets.len(), 6);
}
