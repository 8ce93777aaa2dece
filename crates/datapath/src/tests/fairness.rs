//! One port's flood costs another port of the same worker nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::device::NOTHING;
use super::*;

/// Packets that the polite port's device keeps until somebody takes them: a very small ring.
const RING: usize = 2;

const BATCHES: u32 = 2000;

/// Floods port 1, and lets a packet arrive at port 2 whenever a batch was taken from port 1: no clock but the flood itself. Says
/// how many had no room.
fn flood(bed: &Bed) -> u32 {
    let polite = bed.devices[1].clone();
    let lost = Arc::new(AtomicU32::new(0));
    let (seen, mut next) = (lost.clone(), 0);
    bed.port(1).flood(numbered(0), BATCHES as usize, move || {
        if polite.waiting() < RING {
            polite.arrive(numbered(next));
            next += 1;
        } else {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    // Waits in every queue until it is empty, so that the worker gets to it.
    bed.quiesce();
    lost.load(Ordering::Relaxed)
}

#[test]
fn a_flood_of_hits_takes_nothing_from_a_polite_port() {
    let bed = Bed::with(3, NOTHING, |config| config.workers = 1);
    // Dear packets: each is copied many times before it is dropped.
    let copies = (0..8).map(|_| Action::Clone(to_port(9)));
    bed.put(
        from_port(1),
        copies.chain([Action::Drop(flow::DropCause::Pipeline)]).collect::<Vec<_>>(),
    );
    bed.put(from_port(2), to_port(3));
    assert_eq!(flood(&bed), 0, "packets of the polite port had no room");
    let got: Vec<_> = bed.port(3).sent(BATCHES as usize).iter().map(number).collect();
    assert_eq!(got, (0..BATCHES).collect::<Vec<_>>(), "all, in order");
}

#[test]
fn a_flood_of_misses_takes_nothing_from_a_polite_port() {
    let bed = Bed::with(3, NOTHING, |config| config.workers = 1);
    bed.put(from_port(2), to_port(3));
    assert_eq!(flood(&bed), 0, "packets of the polite port had no room");
    assert_eq!(bed.port(3).sent(BATCHES as usize).len(), BATCHES as usize);
    let lost = bed.dp.misses().lost();
    assert!(lost.iter().all(|(port, n)| *port == DpPort(1) && *n > 0), "{lost:?}");
    assert!(!lost.is_empty(), "the flood was none");
    // Whoever has a first packet to be translated gets a turn at once, whatever waits for port 1.
    bed.port(3).arrive(numbered(7));
    bed.quiesce();
    let turns: Vec<_> = bed.dp.misses().pop(2, LONG).iter().map(|m| m.in_port()).collect();
    assert_eq!(turns, [DpPort(1), DpPort(3)]);
}

/// Where misses are answered in the worker, those of a port's flood make others wait for no more than a batch.
#[test]
fn a_flood_of_misses_that_the_worker_may_answer_takes_nothing_from_a_polite_port() {
    struct Nowhere(Mutex<Sender<usize>>);
    impl crate::Resolver for Nowhere {
        fn resolve(&self, misses: Vec<Miss>, _: crate::Answers<'_>) -> Result<(), Vec<Miss>> {
            let _ = self.0.lock().unwrap().send(misses.len());
            Ok(())
        }
    }
    let bed = Bed::with(3, NOTHING, |config| config.workers = 1);
    let (answered, answers) = channel();
    bed.dp.set_resolver(Some(Arc::new(Nowhere(Mutex::new(answered)))));
    bed.put(from_port(2), to_port(3));
    bed.port(1).arrive(numbered(0));
    assert_eq!(answers.recv_timeout(LONG), Ok(1), "nobody else waits");
    assert_eq!(flood(&bed), 0, "packets of the polite port had no room");
    assert_eq!(bed.port(3).sent(BATCHES as usize).len(), BATCHES as usize);
}
