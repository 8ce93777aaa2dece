//! Flows come from misses; statistics; commands are in force when they return.

use std::time::Duration;

use base::Instant;
use flow::{Action, DpPort, FlowKey, SlowReason};

use super::device::NOTHING;
use super::*;
use crate::{FlowStats, MissReason};

#[test]
fn a_miss_becomes_a_flow_and_its_packet_is_not_lost() {
    let bed = Bed::new(2, NOTHING);
    bed.port(1).arrive(numbered(1));
    let miss = bed.miss();
    assert_eq!((miss.in_port(), miss.reason), (DpPort(1), MissReason::NoFlow));
    assert_eq!((miss.key.in_port, miss.key.tp_dst), (1, 80));
    let flow = bed.put(from_port(1), to_port(2));
    bed.dp.resume(miss, to_port(2).into());
    assert_eq!(number(&bed.port(2).sent(1)[0]), 1);
    bed.clock.warp(Duration::from_secs(1));
    bed.port(1).arrive(numbered(2));
    bed.port(1).arrive(numbered(3));
    assert!(bed.port(2).sent(1).iter().all(|p| number(p) > 1));
    bed.quiesce();
    let bytes = 2 * numbered(0).buf.len() as u64;
    let used = Some(Instant::from_millis(2000));
    assert_eq!(flow.stats(), FlowStats { packets: 2, bytes, used, tcp_flags: 0 });
    let stats = bed.dp.stats();
    assert_eq!((stats.hit, stats.missed, stats.lost, stats.received), (2, 1, 0, 3));
    assert_eq!((stats.flows, stats.masks), (1, 1));
    bed.assert_drops(&[]);
}

#[test]
fn the_second_packet_of_a_connection_hits_the_exact_match_cache() {
    let bed = Bed::new(2, NOTHING);
    bed.put(from_port(1), to_port(2));
    for n in 0..10 {
        bed.port(1).arrive(numbered(n));
        bed.port(2).sent(1);
    }
    bed.quiesce();
    assert_eq!((bed.dp.stats().hit, bed.dp.stats().exact_hits), (10, 9));
}

#[test]
fn flows_are_in_force_when_put_and_gone_when_removed() {
    let bed = Bed::new(2, NOTHING);
    for n in 0..100 {
        let flow = bed.put(from_port(1), to_port(2));
        bed.port(1).arrive(numbered(n));
        assert_eq!(number(&bed.port(2).sent(1)[0]), n);
        bed.dp.remove_flow(&flow);
        bed.port(1).arrive(numbered(n));
        assert_eq!(number(&bed.miss().packet), n);
    }
    bed.assert_drops(&[]);
    assert_eq!(bed.dp.stats().missed, 100);
}

#[test]
fn new_actions_take_effect_and_statistics_go_on() {
    let bed = Bed::new(3, NOTHING);
    let old = bed.put(from_port(1), to_port(2));
    bed.port(1).arrive(numbered(1));
    bed.port(2).sent(1);
    let new = bed.put(from_port(1), to_port(3));
    assert!(!old.is_live() && new.is_live());
    bed.port(1).arrive(numbered(2));
    bed.port(3).sent(1);
    bed.quiesce();
    assert_eq!((new.stats().packets, bed.dp.flow_count()), (2, 1));
    assert_eq!(bed.dp.flow(new.ufid()).map(|f| f.version()), Some(Version(1)));
    bed.dp.remove_flow(&old); // long gone: nothing happens
    assert_eq!(bed.dp.flow_count(), 1);
    bed.dp.flush();
    assert!(bed.dp.flows().is_empty() && !new.is_live());
    bed.port(1).arrive(numbered(3));
    assert_eq!(number(&bed.miss().packet), 3);
}

#[test]
fn refusals_are_told() {
    use crate::PutError;
    let bed = Bed::with(1, NOTHING, |c| (c.flow_limit, c.mask_limit) = (2, 1));
    bed.put(from_port(1), to_port(2));
    let put = |key| bed.dp.put_flow(key, to_port(2).into(), Version(0));
    assert_eq!(put(from_recirc(1)).unwrap_err(), PutError::TooManyMasks { limit: 1 });
    bed.put(from_port(2), to_port(2));
    assert_eq!(put(from_port(3)).unwrap_err(), PutError::TooManyFlows { limit: 2 });
    bed.dp.flush();
    assert!(put(from_recirc(1)).is_ok());
}

#[test]
fn packets_of_the_switchs_own() {
    let bed = Bed::new(2, NOTHING);
    bed.dp.inject(numbered(1), FlowKey::default(), Some(to_port(2).into()));
    assert_eq!(number(&bed.port(2).sent(1)[0]), 1);
    // Without actions: as if received. The rest of the key is read from the packet.
    let metadata = FlowKey { in_port: 1, skb_mark: 7, tp_dst: 9, ..FlowKey::default() };
    bed.dp.inject(numbered(2), metadata, None);
    let miss = bed.miss();
    assert_eq!((miss.key.in_port, miss.key.skb_mark, miss.key.tp_dst), (1, 7, 80));
    bed.put(from_port(1), to_port(2));
    bed.dp.inject(numbered(3), metadata, None);
    assert_eq!(number(&bed.port(2).sent(1)[0]), 3);
}

#[test]
fn flows_can_send_every_packet_to_the_slow_path() {
    let bed = Bed::new(2, NOTHING);
    bed.put(from_port(1), vec![Action::Output(DpPort(2)), Action::Userspace(SlowReason::Action)]);
    bed.port(1).arrive(numbered(1));
    let miss = bed.miss();
    assert_eq!(miss.reason, MissReason::Action(SlowReason::Action));
    assert_eq!(bed.port(2).sent(1).len(), 1);
    bed.assert_drops(&[]);
    assert_eq!(bed.dp.stats().missed, 0);
}

#[test]
fn one_ports_flood_leaves_room_for_anothers_first_packet() {
    let bed = Bed::with(2, NOTHING, |c| c.miss_queue = 64);
    bed.port(1).arrive_all((0..200).map(numbered));
    bed.quiesce();
    bed.port(2).arrive(numbered(999));
    bed.quiesce();
    let first: Vec<_> = bed.dp.misses().pop(2, LONG).iter().map(|m| m.in_port().0).collect();
    assert!(first.contains(&2), "{first:?}");
    assert_eq!(bed.dp.misses().lost(), [(DpPort(1), 200 - 64)]);
    assert_eq!(bed.dp.stats().lost, 200 - 64);
    bed.assert_drops(&[(DropReason::UpcallError, 200 - 64)]);
}
