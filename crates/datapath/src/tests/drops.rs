//! Each way for a packet to end, through the whole datapath; all counters are compared.

use flow::{Action, DpPort, DropCause, FlowKey, RecircId, SlowReason};
use packet::{Csum, Gso, GsoKind};

use super::device::NOTHING;
use super::*;

#[test]
fn runts() {
    let bed = Bed::new(2, NOTHING);
    bed.put(from_port(1), to_port(2));
    let frames = (0..14).map(|n| Packet::from_frame(&vec![0; n]));
    bed.port(1).arrive_all(frames.chain([numbered(1)]));
    assert_eq!(number(&bed.port(2).sent(1)[0]), 1, "the others of the batch go on");
    bed.assert_drops(&[(DropReason::RxInvalidPacket, 14)]);
    assert_eq!(bed.dp.stats().hit, 1);
}

#[test]
fn recirculation_without_end() {
    let bed = Bed::new(1, NOTHING);
    bed.put(from_port(1), vec![Action::Recirc(RecircId(1))]);
    bed.put(from_recirc(1), vec![Action::Recirc(RecircId(1))]);
    bed.port(1).arrive_all((0..40).map(numbered));
    bed.assert_drops(&[(DropReason::RecircError, 40)]);
    assert_eq!(bed.dp.stats().hit, 40 * 9);
}

#[test]
fn fan_out_that_doubles_each_round_is_bounded() {
    let bed = Bed::new(1, NOTHING);
    let twice = vec![Action::Recirc(RecircId(1)); 8];
    bed.put(from_port(1), twice.clone());
    bed.put(from_recirc(1), twice);
    bed.port(1).arrive(numbered(1));
    bed.quiesce();
    let drops = bed.dp.drops();
    assert!(matches!(drops[..], [(DropReason::RecircError, _)]), "{drops:?}");
}

#[test]
fn recirculated_packets_are_looked_up_again() {
    let bed = Bed::new(3, NOTHING);
    bed.put(from_port(1), vec![Action::Output(DpPort(2)), Action::Recirc(RecircId(5))]);
    bed.put(from_recirc(5), to_port(3));
    bed.port(1).arrive_all((0..3).map(numbered));
    assert_eq!(bed.port(2).sent(3).iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(bed.port(3).sent(3).iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
    bed.assert_drops(&[]);
}

#[test]
fn what_flows_drop() {
    let causes = [
        (DropCause::Pipeline, DropReason::Pipeline),
        (DropCause::RecursionTooDeep, DropReason::RecursionTooDeep),
        (DropCause::BridgeNotFound, DropReason::BridgeNotFound),
        (DropCause::TunnelNoRoute, DropReason::TunnelRoutingFailed),
        (DropCause::TunnelNoDevice, DropReason::TunnelNoDevice),
        (DropCause::TunnelHeader, DropReason::TunnelHeaderBuildFailed),
        (DropCause::TunnelNoNeighbour, DropReason::TunnelNeighCacheMiss),
        (DropCause::UnknownTunnel, DropReason::UnknownTunnel),
        (DropCause::VlanNotAllowed, DropReason::VlanNotAllowed),
        (DropCause::PortDisabled, DropReason::PortDown),
        (DropCause::ReservedMulticast, DropReason::ReservedMulticast),
        (DropCause::Hairpin, DropReason::Hairpin),
        (DropCause::UnknownPort, DropReason::UnknownPort),
        (DropCause::InvalidEcn, DropReason::Congestion),
    ];
    for (cause, reason) in causes {
        let bed = Bed::with(1, NOTHING, |c| c.workers = 1);
        bed.put(from_port(1), vec![Action::Drop(cause)]);
        bed.port(1).arrive_all((0..3).map(numbered));
        bed.assert_drops(&[(reason, 3)]);
    }
}

#[test]
fn full_queues_to_the_slow_path() {
    let bed = Bed::with(2, NOTHING, |c| c.miss_queue = 4);
    bed.put(from_port(2), vec![Action::Userspace(SlowReason::Protocol(flow::Protocol::Lacp))]);
    bed.port(1).arrive_all((0..10).map(numbered));
    bed.port(2).arrive_all((0..7).map(numbered));
    bed.assert_drops(&[(DropReason::UpcallError, 6), (DropReason::UserspaceActionError, 3)]);
    assert_eq!((bed.dp.stats().missed, bed.dp.stats().lost), (10, 6));
    assert_eq!(bed.dp.misses().lost(), [(DpPort(1), 6), (DpPort(2), 3)]);
}

#[test]
fn devices_limits_and_lies_about_segments() {
    let bed = Bed::new(2, NOTHING);
    bed.put(from_port(1), to_port(2));
    let long = Packet::from_frame(&frames::frame(frames::UDP4, &[0; 1600]));
    let mut lie = numbered(1);
    lie.offload.gso = Some(Gso { kind: GsoKind::Tcp4, size: 100, ecn: false });
    let mut outside = numbered(2);
    outside.offload.csum = Csum::Partial { start: 60_000, offset: 16 };
    bed.port(1).arrive_all([long, lie, outside, numbered(3)]);
    assert_eq!(number(&bed.port(2).sent(1)[0]), 3);
    bed.assert_drops(&[(DropReason::TooBig, 1), (DropReason::OffloadError, 2)]);
}

#[test]
fn ports_that_are_not_there() {
    let bed = Bed::new(1, NOTHING);
    bed.put(from_port(1), vec![Action::Output(DpPort(8)), Action::TnlPop(DpPort(8))]);
    bed.port(1).arrive(numbered(1));
    bed.assert_drops(&[(DropReason::InvalidPort, 1), (DropReason::InvalidTnlPort, 1)]);
}

#[test]
fn packets_handed_back_beyond_all_measure() {
    let bed = Bed::with(1, NOTHING, |c| c.workers = 1);
    let actions: std::sync::Arc<[Action]> = vec![Action::Drop(DropCause::Pipeline)].into();
    for n in 0..20_000 {
        bed.dp.inject(numbered(n), FlowKey::default(), Some(actions.clone()));
    }
    bed.quiesce();
    let sum: u64 = bed.dp.drops().iter().map(|(_, n)| n).sum();
    assert_eq!(sum, 20_000, "each was run or refused by name: {:?}", bed.dp.drops());
}
