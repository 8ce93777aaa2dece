//! Packets of one flow leave in the order in which they came, whatever happens to the flow meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use super::device::NOTHING;
use super::*;

/// Answers all misses from port 1 with a flow to port 2 until told to stop.
fn handle(dp: &Datapath, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let misses = dp.misses().pop(16, Duration::from_millis(20));
        if misses.is_empty() {
            continue;
        }
        // A translation that takes its time, so that more packets arrive meanwhile.
        std::thread::sleep(Duration::from_micros(300));
        let mut answers = dp.answers();
        answers.put_flow(from_port(1), to_port(2).into(), Version(1)).unwrap();
        for miss in misses {
            answers.resume(miss, to_port(2).into());
        }
    }
}

/// All packets up to `n`, in order.
#[track_caller]
fn assert_order(bed: &Bed, n: u32) {
    let out = bed.port(2).sent(n as usize);
    assert_eq!(out.len(), n as usize);
    let wrong = out.iter().zip(0..).find(|(packet, place)| number(packet) != *place);
    assert!(
        wrong.is_none(),
        "packet {:?} at place {:?}",
        wrong.map(|(p, _)| number(p)),
        wrong.map(|(_, at)| at)
    );
}

#[test]
fn while_a_flow_is_installed_and_flushed_again_and_again() {
    let bed = Bed::with(2, NOTHING, |c| c.miss_queue = 100_000);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| handle(&bed.dp, &stop));
        let mut n = 0;
        for round in 0..60 {
            for _ in 0..round % 7 + 1 {
                bed.port(1).arrive_all((n..n + 40).map(numbered));
                n += 40;
                std::thread::yield_now();
            }
            // In the middle of the traffic only now and then: what is at the handler while the flow dies comes back in order
            // because it is answered all at once.
            if round % 3 == 0 {
                bed.dp.flush();
            }
        }
        assert_order(&bed, n);
        stop.store(true, Ordering::SeqCst);
    });
    bed.assert_drops(&[]);
}

#[test]
fn what_waits_in_the_queue_is_taken_back_before_what_is_newer() {
    let bed = Bed::new(2, NOTHING);
    bed.port(1).arrive_all((0..5).map(numbered));
    bed.quiesce();
    // The handler has the first in hand; the others still wait.
    let first = bed.miss();
    let mut answers = bed.dp.answers();
    answers.put_flow(from_port(1), to_port(2).into(), Version(1)).unwrap();
    answers.resume(first, to_port(2).into());
    bed.port(1).arrive_all((5..8).map(numbered));
    drop(answers);
    bed.quiesce();
    // Those of 5..8 that came before the answers missed, too; order holds either way.
    assert_order(&bed, 8);
    assert!(bed.dp.misses().is_empty());
}

/// More than may re-enter at a time.
const MANY: u32 = 6_000;

#[test]
fn however_many_wait_none_is_lost_when_their_flow_comes() {
    let bed = Bed::with(2, NOTHING, |c| c.miss_queue = 100_000);
    bed.port(1).arrive_all((0..MANY).map(numbered));
    bed.quiesce();
    assert_eq!(bed.dp.misses().len(), MANY as usize);
    bed.put(from_port(1), to_port(2));
    assert_order(&bed, MANY);
    bed.assert_drops(&[]);
}

#[test]
fn however_many_the_switch_has_enter_at_once_none_is_lost() {
    let bed = Bed::with(3, NOTHING, |c| c.workers = 1);
    bed.put(from_port(1), to_port(2));
    bed.put(from_port(3), Vec::new());
    // While the worker is busy receiving, so that it finds all of them in one go.
    let dp = bed.dp.clone();
    bed.port(3).flood(numbered(0), 1, move || {
        let metadata = FlowKey { in_port: 1, ..FlowKey::default() };
        (0..MANY).for_each(|n| dp.inject(numbered(n), metadata, None));
    });
    assert_order(&bed, MANY);
}

#[test]
fn resumed_packets_go_before_packets_received_later() {
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    bed.port(1).arrive_all([numbered(0), numbered(1)]);
    bed.quiesce();
    let misses = bed.dp.misses().pop(10, LONG);
    bed.put(from_port(1), to_port(2));
    for miss in misses {
        bed.dp.resume(miss, to_port(2).into());
    }
    bed.port(1).arrive_all((2..6).map(numbered));
    assert_order(&bed, 6);
}
