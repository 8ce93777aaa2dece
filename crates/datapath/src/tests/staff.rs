//! Workers that come, go and fail, and receive queues that move between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use super::device::{Many, NOTHING};
use super::*;
use crate::{Assign, AutoBalance, Schedule, Sleep};

/// The processors (or names) of the workers.
fn cores(dp: &Datapath) -> Vec<usize> {
    dp.workers_info(60).iter().map(|w| w.core).collect()
}

/// Which worker's processor serves each queue of a port.
fn homes(dp: &Datapath, port: u32) -> Vec<usize> {
    let mut queues: Vec<_> = dp
        .workers_info(60)
        .iter()
        .flat_map(|w| w.queues.iter().map(|q| (q.port.0, q.queue, w.core)))
        .filter(|(p, _, _)| *p == port)
        .collect();
    queues.sort();
    queues.into_iter().map(|(_, _, core)| core).collect()
}

fn pin(dp: &Datapath, port: u32, core: usize) {
    dp.set_affinity(DpPort(port), &BTreeMap::from([(0, core)]));
    assert_eq!(homes(dp, port), [core]);
}

/// Lets `n` numbered packets arrive at port 1 while `disturb` is called again and again, and sees them all come out of port 2 in
/// order.
fn stream(bed: &Bed, n: u32, disturb: impl FnMut() + Send) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut disturb = disturb;
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                disturb();
            }
        });
        scope.spawn(|| {
            for first in (0..n).step_by(16) {
                while bed.port(1).waiting() > 256 {
                    std::thread::yield_now();
                }
                bed.port(1).arrive_all((first..n.min(first + 16)).map(numbered));
            }
        });
        let mut next = 0;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while next < n {
                for packet in bed.port(2).sent(1) {
                    assert_eq!(number(&packet), next);
                    next += 1;
                }
            }
        }));
        done.store(true, Ordering::SeqCst);
        if let Err(failed) = result {
            std::panic::resume_unwind(failed);
        }
    });
}

#[test]
fn queues_move_without_loss_or_disorder() {
    let bed = Bed::with(2, NOTHING, |c| c.workers = 3);
    bed.put(from_port(1), to_port(2));
    let all = cores(&bed.dp);
    let mut turn = 0;
    stream(&bed, 60_000, || {
        turn += 1;
        pin(&bed.dp, 1, all[turn % all.len()]);
    });
    bed.assert_drops(&[]);
}

#[test]
fn order_is_kept_while_the_slow_path_answers_and_queues_move() {
    let bed = Bed::with(2, NOTHING, |c| (c.workers, c.miss_queue) = (2, 100_000));
    let all = cores(&bed.dp);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let missed = bed.dp.misses().pop(8, Duration::from_millis(1));
                let mut answers = bed.dp.answers();
                for miss in missed {
                    let actions: Arc<[Action]> = to_port(2).into();
                    answers.put_flow(from_port(1), actions.clone(), Version(1)).unwrap();
                    answers.resume(miss, actions);
                }
            }
        });
        let mut turn = 0;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            stream(&bed, 30_000, || {
                turn += 1;
                pin(&bed.dp, 1, all[turn % all.len()]);
                bed.dp.flows().iter().for_each(|flow| bed.dp.remove_flow(flow));
            });
        }));
        stop.store(true, Ordering::SeqCst);
        if let Err(failed) = result {
            std::panic::resume_unwind(failed);
        }
    });
    assert!(bed.dp.stats().missed > 10, "{:?}", bed.dp.stats());
    bed.assert_drops(&[]);
}

#[test]
fn workers_come_and_go_without_loss_or_disorder() {
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    bed.put(from_port(1), to_port(2));
    let allowed = sys::affinity::allowed().unwrap();
    let masks: Vec<Option<BTreeSet<usize>>> = vec![
        Some(allowed.iter().copied().take(1).collect()),
        Some(allowed.iter().copied().take(4).collect()),
        Some(allowed.iter().copied().rev().take(1).collect()),
        None,
    ];
    let mut turn = 0;
    stream(&bed, 60_000, || {
        turn += 1;
        let cores = masks[turn % masks.len()].clone();
        let wanted = cores.as_ref().map_or(1, BTreeSet::len);
        bed.dp.set_schedule(Schedule { cores, ..Schedule::default() }).unwrap();
        assert_eq!(bed.dp.workers(), wanted);
    });
    bed.assert_drops(&[]);
    // What those that left have counted is not lost.
    assert_eq!((bed.dp.stats().received, bed.dp.stats().missed), (60_000, 0));
    assert_eq!(bed.dp.flows()[0].stats().packets, 60_000);
}

#[test]
fn a_new_worker_knows_flows_ports_and_tunnels() {
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    bed.put(from_port(1), to_port(2));
    let first = cores(&bed.dp)[0];
    bed.dp.set_schedule(Schedule { cores: Some([first].into()), ..Schedule::default() }).unwrap();
    bed.port(1).arrive(numbered(1));
    bed.port(2).sent(1);
    bed.quiesce();
    assert_eq!((bed.dp.stats().hit, bed.dp.stats().missed), (1, 0));
}

/// Guests with many queues use their first ones, so these are not all given to one worker.
#[test]
fn first_queues_of_ports_are_apart() {
    let bed = Bed::new(0, NOTHING);
    for port in 1..=4 {
        let queues = (0..4).map(|n| MemDevice::new(&format!("p{port}q{n}"), NOTHING)).collect();
        bed.dp.add_port(DpPort(port), Arc::new(Many(queues))).unwrap();
    }
    let of_number = |n: usize| (1..=4).map(|port| homes(&bed.dp, port)[n]).collect::<Vec<_>>();
    let busy = cores(&bed.dp);
    for n in 0..4 {
        let homes = of_number(n);
        for core in &busy {
            assert_eq!(homes.iter().filter(|home| *home == core).count(), 2, "{n}: {homes:?}");
        }
    }
}

#[test]
fn pinned_queues_have_their_worker_to_themselves() {
    let bed = Bed::with(1, NOTHING, |c| c.workers = 2);
    let many = (0..3).map(|i| MemDevice::new(&format!("many{i}"), NOTHING)).collect();
    bed.dp.add_port(DpPort(7), Arc::new(Many(many))).unwrap();
    let all = cores(&bed.dp);
    bed.dp.set_affinity(DpPort(7), &BTreeMap::from([(1, all[1]), (2, 999)]));
    assert_eq!(homes(&bed.dp, 7), [all[0], all[1], all[0]]);
    assert_eq!(homes(&bed.dp, 1), [all[0]]);
    let isolated: Vec<_> = bed.dp.workers_info(60).iter().map(|w| w.isolated).collect();
    assert_eq!(isolated, [false, true]);
    // A port that comes later keeps away too.
    bed.dp.add_port(DpPort(8), MemDevice::new("late", NOTHING)).unwrap();
    assert_eq!(homes(&bed.dp, 8), [all[0]]);
    let share = Schedule { assign: Assign::Group, share_pinned: true, ..Schedule::default() };
    bed.dp.set_schedule(share).unwrap();
    assert!(bed.dp.workers_info(60).iter().all(|w| !w.isolated));
    bed.dp.set_affinity(DpPort(7), &BTreeMap::new());
    assert!(bed.dp.workers_info(60).iter().all(|w| w.queues.len() >= 2));
}

#[test]
fn a_worker_that_fails_goes_on_with_its_ports() {
    let bed = Bed::with(3, NOTHING, |c| c.workers = 1);
    let flow = bed.put(from_port(1), to_port(2));
    bed.put(from_port(3), to_port(2));
    bed.port(1).panic(1);
    bed.port(1).arrive(numbered(1));
    assert_eq!(number(&bed.port(2).sent(1)[0]), 1);
    // Commands behind one that fails are obeyed all the same.
    bed.dp.panic_for_tests();
    bed.dp.remove_flow(&flow);
    bed.port(3).arrive(numbered(2));
    assert_eq!(number(&bed.port(2).sent(1)[0]), 2);
    bed.port(1).arrive(numbered(3));
    assert_eq!(number(&bed.miss().packet), 3);
    // A queue that never works is given up, and others go on.
    bed.port(1).panic(usize::MAX);
    for n in 0..20 {
        bed.port(1).arrive(numbered(n));
        bed.port(3).arrive(numbered(n));
        assert_eq!(number(&bed.port(2).sent(1)[0]), n);
    }
    bed.dp.remove_port(DpPort(1)).unwrap();
    assert_eq!(bed.port(1).queues(), 0);
    assert!(bed.dp.stats().received >= 22);
}

#[test]
fn usage_shows_after_a_window_and_load_is_spread() {
    let bed = Bed::with(4, NOTHING, |c| c.workers = 2);
    let auto = AutoBalance { load: 0, ..AutoBalance::default() };
    let schedule = Schedule { auto_balance: Some(auto), ..Schedule::default() };
    bed.dp.set_schedule(schedule).unwrap();
    (1..=4).for_each(|port| drop(bed.put(from_port(port), to_port(2))));
    assert_eq!(homes(&bed.dp, 3), homes(&bed.dp, 1), "the third came to the first's worker");
    let usage = |port: u32| {
        let info = bed.dp.workers_info(60);
        let mut queues = info.iter().flat_map(|w| &w.queues);
        queues.find(|q| q.port.0 == port).unwrap().usage
    };
    assert_eq!(usage(1).percent(), None, "no window is over");
    for _ in 0..100 {
        for port in [1, 3] {
            bed.port(port).arrive_all((0..32).map(numbered));
        }
        bed.quiesce();
    }
    bed.clock.warp(Duration::from_secs(5));
    assert!(usage(1).used > 0 && usage(1).percent().is_some());
    assert_eq!(usage(2).used, 0);
    assert!(!bed.dp.auto_balance(bed.clock.now()), "it is not time yet");
    bed.clock.warp(Duration::from_secs(54));
    assert!(bed.dp.auto_balance(bed.clock.now()));
    assert_ne!(homes(&bed.dp, 3), homes(&bed.dp, 1));
    // A minute later nothing is known any more, and nothing moves.
    bed.clock.warp(Duration::from_secs(70));
    assert!(!bed.dp.auto_balance(bed.clock.now()));
}

#[test]
fn every_way_to_rest_moves_packets() {
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    bed.put(from_port(1), to_port(2));
    let polled = MemDevice::polled("polled");
    bed.dp.add_port(DpPort(9), polled.clone()).unwrap();
    bed.put(from_port(9), to_port(2));
    for sleep in [
        Sleep::AtMost(Duration::from_micros(200)),
        Sleep::AtMost(Duration::ZERO),
        Sleep::UntilWoken,
        Sleep::AtMost(Duration::from_micros(10)),
    ] {
        bed.dp.set_schedule(Schedule { sleep, ..Schedule::default() }).unwrap();
        let signals = polled.signals();
        for n in 0..50 {
            bed.port(1).arrive(numbered(n));
            assert_eq!(number(&bed.port(2).sent(1)[0]), n);
            polled.arrive(numbered(n));
            assert_eq!(number(&bed.port(2).sent(1)[0]), n);
        }
        if sleep != Sleep::UntilWoken {
            assert!(polled.signals() <= signals + 1, "nobody is asked for wake-ups");
        }
    }
}

#[test]
fn cleared_counts_begin_at_zero_and_the_datapaths_go_on() {
    let bed = Bed::with(2, NOTHING, |c| c.workers = 1);
    bed.put(from_port(1), to_port(2));
    bed.port(1).arrive(numbered(1));
    bed.quiesce();
    let perf = || bed.dp.workers_info(60)[0].perf;
    assert_eq!((perf().received, perf().hit(), perf().sent, perf().passes), (1, 1, 1, 1));
    assert!(perf().stages.iter().take(3).all(|cycles| *cycles > 0), "{:?}", perf());
    bed.dp.clear_perf(None);
    assert_eq!((perf().received, perf().hit()), (0, 0));
    assert_eq!((bed.dp.stats().received, bed.dp.stats().hit), (1, 1));
}
