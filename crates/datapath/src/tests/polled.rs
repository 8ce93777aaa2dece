//! Queues whose senders speak only when asked to.

use std::sync::atomic::{AtomicBool, Ordering};

use super::device::NOTHING;
use super::*;
use crate::{Schedule, Sleep};

#[test]
fn what_came_before_anybody_asked_is_found() {
    let bed = Bed::with(1, NOTHING, |c| c.workers = 1);
    let polled = MemDevice::polled("polled");
    polled.arrive(numbered(7));
    bed.put(from_port(9), to_port(1));
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    assert_eq!(number(&bed.port(1).sent(1)[0]), 7);
    assert_eq!(polled.signals(), 0);
}

#[test]
fn a_sleeping_worker_is_woken_every_time() {
    let polled = MemDevice::polled("polled");
    let bed = Bed::with(1, NOTHING, |c| c.workers = 1);
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    bed.put(from_port(9), to_port(1));
    // Each is sent when the one before has been answered: the worker sleeps in between, or is about to.
    for n in 0..2000 {
        polled.arrive(numbered(n));
        assert_eq!(number(&bed.port(1).sent(1)[0]), n);
    }
    assert!(polled.signals() <= 2000);
}

#[test]
fn bursts_cost_few_signals_and_lose_nothing() {
    let polled = MemDevice::polled("polled");
    let bed = Bed::with(1, NOTHING, |c| c.workers = 1);
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    bed.put(from_port(9), to_port(1));
    for n in 0..20_000 {
        polled.arrive(numbered(n));
    }
    let mut seen = Vec::new();
    while seen.len() < 20_000 {
        seen.extend(bed.port(1).sent(1).iter().map(number));
    }
    assert!(seen.iter().copied().eq(0..20_000));
    assert!(polled.signals() < 20_000, "{} signals", polled.signals());
}

#[test]
fn polled_queues_are_asked_while_others_keep_the_worker_awake() {
    let polled = MemDevice::polled("polled");
    let bed = Bed::with(3, NOTHING, |c| c.workers = 1);
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    bed.put(from_port(1), to_port(2));
    bed.put(from_port(9), to_port(3));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..100_000_000).step_by(32) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                bed.port(1).arrive_all((n..n + 32).map(numbered));
                bed.port(2).sent(32);
            }
        });
        for n in 0..1000 {
            polled.arrive(numbered(n));
            assert_eq!(number(&bed.port(3).sent(1)[0]), n);
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn silent_queues_are_not_asked_for_ever() {
    const BATCHES: usize = 10_000;
    let polled = MemDevice::polled("polled");
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    bed.put(from_port(1), vec![Action::Drop(flow::DropCause::Pipeline)]);
    bed.put(from_port(9), to_port(2));
    let (done, is_done) = std::sync::mpsc::channel();
    let mut left = BATCHES;
    // Without a pause, so that the worker does not come to sleep.
    bed.port(1).flood(numbered(0), BATCHES, move || {
        left -= 1;
        if left == 0 {
            done.send(()).unwrap();
        }
    });
    is_done.recv_timeout(LONG).unwrap();
    assert!(polled.looks() < BATCHES / 2, "{} looks", polled.looks());
    polled.arrive(numbered(7));
    assert_eq!(number(&bed.port(2).sent(1)[0]), 7);
}

#[test]
fn dormant_queues_are_not_asked_before_they_speak() {
    let polled = MemDevice::polled("polled");
    polled.lie_dormant();
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    let sleep = Sleep::AtMost(Duration::ZERO);
    bed.dp.set_schedule(Schedule { sleep, ..Schedule::default() }).unwrap();
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    bed.put(from_port(1), to_port(2));
    bed.put(from_port(9), to_port(2));
    bed.quiesce();
    let looks = polled.looks();
    for n in 0..1000 {
        bed.port(1).arrive(numbered(n));
        bed.port(2).sent(1);
    }
    assert_eq!(polled.looks(), looks, "but for barriers");
    polled.arrive(numbered(7));
    assert_eq!(number(&bed.port(2).sent(1)[0]), 7);
}
