//! Misses that are answered in the worker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::device::NOTHING;
use super::*;
use crate::{Answers, Resolver};

/// Sends what is missed to port 2, but for some calls when it would take waiting.
struct Here {
    calls: AtomicUsize,
    /// Every so many calls it cannot.
    fails: usize,
    puts: bool,
}

impl Here {
    fn on(bed: &Bed, fails: usize, puts: bool) -> Arc<Self> {
        let here = Arc::new(Self { calls: AtomicUsize::new(0), fails, puts });
        bed.dp.set_resolver(Some(here.clone()));
        here
    }
}

impl Resolver for Here {
    fn resolve(&self, misses: Vec<Miss>, mut answers: Answers<'_>) -> Result<(), Vec<Miss>> {
        if self.calls.fetch_add(1, Ordering::SeqCst) % self.fails == self.fails - 1 {
            return Err(misses);
        }
        for miss in misses {
            if self.puts {
                let key = from_port(miss.in_port().0);
                answers.put_flow(key, to_port(2).into(), Version(1)).unwrap();
            }
            answers.resume(miss, to_port(2).into());
        }
        Ok(())
    }
}

#[test]
fn a_flow_that_was_made_in_the_worker_answers_the_next_packet() {
    let bed = Bed::with(2, NOTHING, |config| config.workers = 1);
    let here = Here::on(&bed, 100, true);
    for n in 0..3 {
        bed.port(1).arrive(numbered(n));
        assert_eq!(number(&bed.port(2).sent(1)[0]), n);
    }
    assert_eq!(here.calls.load(Ordering::SeqCst), 1);
    bed.dp.set_resolver(None);
    bed.dp.flush();
    bed.port(1).arrive(numbered(3));
    assert_eq!(number(&bed.miss().packet), 3, "it goes to the queue again");
    bed.assert_drops(&[]);
}

/// What the worker cannot answer a handler does, and packets of the port that come meanwhile wait for that.
#[test]
fn packets_stay_in_order_wherever_they_are_answered() {
    let bed = Bed::with(2, NOTHING, |config| {
        config.workers = 1;
        config.miss_queue = 100_000;
    });
    let here = Here::on(&bed, 3, false);
    let (stop, handled) = (AtomicBool::new(false), AtomicUsize::new(0));
    const ALL: u32 = 20_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                bed.dp.misses().wait(Duration::from_millis(20));
                let mut claim = bed.dp.misses().claim(16, 1);
                let mut answers = bed.dp.answers();
                for miss in claim.take() {
                    handled.fetch_add(1, Ordering::SeqCst);
                    answers.resume(miss, to_port(2).into());
                }
                std::thread::yield_now();
                // Answers first, then the claim: in the other order the next packet could overtake these.
                drop(answers);
                drop(claim);
            }
        });
        for n in (0..ALL).step_by(10) {
            bed.port(1).arrive_all((n..n + 10).map(numbered));
            std::thread::yield_now();
        }
        let out = bed.port(2).sent(ALL as usize);
        stop.store(true, Ordering::SeqCst);
        let wrong = out.iter().zip(0..).find(|(packet, place)| number(packet) != *place);
        assert!(wrong.is_none() && out.len() == ALL as usize, "{:?}", wrong.map(|(_, at)| at));
    });
    let (calls, handled) = (here.calls.load(Ordering::SeqCst), handled.load(Ordering::SeqCst));
    assert!(calls > 0 && handled > 0, "{calls} calls, {handled} by the handler");
    bed.dp.set_resolver(None);
}

/// Another's answer may lie in the mailbox, to an older packet of the same port: it is not overtaken.
#[test]
fn answers_go_behind_what_waits_in_the_mailbox() {
    struct After(Datapath);
    impl Resolver for After {
        fn resolve(&self, misses: Vec<Miss>, mut answers: Answers<'_>) -> Result<(), Vec<Miss>> {
            for miss in misses {
                let older = numbered(number(&miss.packet) + 100);
                self.0.inject(older, FlowKey::default(), Some(to_port(2).into()));
                answers.resume(miss, to_port(2).into());
            }
            Ok(())
        }
    }
    let bed = Bed::with(2, NOTHING, |config| config.workers = 1);
    bed.dp.set_resolver(Some(Arc::new(After(bed.dp.clone()))));
    bed.port(1).arrive(numbered(1));
    let sent: Vec<_> = bed.port(2).sent(2).iter().map(number).collect();
    assert_eq!(sent, [101, 1]);
    bed.dp.set_resolver(None);
}

/// What comes round again is answered at once as well, but not for ever.
#[test]
fn what_is_missed_again_and_again_is_for_the_slow_path() {
    /// Sends packets round until they have been round so often.
    struct Round {
        calls: AtomicUsize,
        enough: u32,
    }
    impl Resolver for Round {
        fn resolve(&self, misses: Vec<Miss>, mut answers: Answers<'_>) -> Result<(), Vec<Miss>> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            for miss in misses {
                let id = miss.key.recirc_id;
                let again = || vec![Action::Recirc(RecircId(id + 1))];
                let actions = if id < self.enough { again() } else { to_port(2) };
                answers.resume(miss, actions.into());
            }
            Ok(())
        }
    }
    let bed = Bed::with(2, NOTHING, |config| config.workers = 1);
    let round = |enough| {
        let round = Arc::new(Round { calls: AtomicUsize::new(0), enough });
        bed.dp.set_resolver(Some(round.clone()));
        bed.port(1).arrive(numbered(enough));
        round
    };
    let few = round(3);
    assert_eq!(number(&bed.port(2).sent(1)[0]), 3);
    assert_eq!(few.calls.load(Ordering::SeqCst), 4);
    let many = round(u32::MAX);
    assert_eq!(bed.miss().key.recirc_id, 8);
    assert_eq!(many.calls.load(Ordering::SeqCst), 8);
    bed.dp.set_resolver(None);
    bed.assert_drops(&[]);
}
