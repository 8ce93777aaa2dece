//! The state machine against flows that are played.

use proptest::prelude::*;

use super::*;

const PASS: Duration = Duration::from_millis(500);

/// A gate with traffic before it.
struct Play {
    keeper: Keeper,
    seen: Seen,
    now: Instant,
    shut: bool,
    /// Datagrams a second that do not come close behind others.
    apart: u64,
    orders: Vec<Order>,
}

impl Play {
    fn new(kind: Kind) -> Self {
        let now = Instant::from_millis(1000);
        let seen = Seen { open: kind == Kind::Port, ..Seen::default() };
        let (shut, orders) = (kind != Kind::Port, Vec::new());
        Self { keeper: Keeper::new(kind, seen, now), seen, now, shut, apart: 5_000, orders }
    }

    /// Packets come for the time of a pass, so many a second by the kernel or by workers, whoever has them. `unfit`: the last
    /// one closes the gate. `busy`: workers never hold nothing.
    fn pass(&mut self, kernel: u64, workers: u64, unfit: bool, busy: bool) -> Order {
        self.now = self.now + PASS;
        let come = if self.seen.open { kernel } else { workers } / 2;
        if self.seen.open {
            self.seen.ran += come;
            self.seen.near += come.saturating_sub(self.apart / 2);
        } else {
            self.seen.workers += come;
            self.seen.passed += if self.shut { 0 } else { come };
        }
        if unfit && !self.shut {
            (self.seen.open, self.seen.passed) = (false, self.seen.passed + 1);
        }
        let order = self.keeper.pass(self.seen, self.now);
        self.seen.opened = order == Order::Wait && self.seen.opened;
        match order {
            Order::Open => self.shut = false,
            Order::Shut => (self.seen.open, self.shut) = (false, true),
            Order::Force => self.seen.open = true,
            Order::Wait | Order::Again => {}
        }
        if matches!(order, Order::Open | Order::Again) && !busy {
            (self.seen.open, self.seen.opened) = (true, true);
        }
        self.orders.push(order);
        order
    }

    /// The share of so many passes during which the gate was open, in percent.
    fn open_share(&mut self, passes: u32, rates: (u64, u64)) -> u32 {
        let open = (0..passes).filter(|_| {
            self.pass(rates.0, rates.1, false, false);
            self.seen.open
        });
        open.count() as u32 * 100 / passes
    }
}

#[test]
fn a_modest_flow_goes_to_the_kernel_and_stays() {
    for kind in [Kind::Other, Kind::Datagrams, Kind::Joined] {
        let mut play = Play::new(kind);
        assert_eq!(play.pass(0, 50_000, false, false), Order::Open);
        assert_eq!(play.open_share(100, (40_000, 40_000)), 100);
        assert!(play.orders[1..].iter().all(|order| *order == Order::Wait));
    }
}

#[test]
fn a_storm_of_datagrams_stays_with_workers_who_deliver_more() {
    let mut play = Play::new(Kind::Joined);
    assert_eq!(play.open_share(100, (150_000, 400_000)), 0, "from the beginning");
    assert_eq!(play.open_share(2, (0, 100)), 100, "until it calms down");
    // And when it has begun in the kernel.
    play.pass(150_000, 400_000, false, false);
    assert_eq!(play.orders.last(), Some(&Order::Shut));
    assert_eq!(play.open_share(1000, (150_000, 400_000)), 0);
    // What is no UDP is not asked.
    let mut play = Play::new(Kind::Other);
    assert_eq!(play.open_share(100, (150_000, 400_000)), 100);
}

#[test]
fn a_storm_that_nobody_joins_goes_to_whoever_delivers_more() {
    let mut play = Play::new(Kind::Datagrams);
    assert_eq!(play.pass(700_000, 350_000, false, false), Order::Open);
    let share = play.open_share(2000, (700_000, 350_000));
    assert!((97..100).contains(&share), "{share} %");
    // It is not tried with workers at once: what they did before is known.
    assert!(play.orders[1..30].iter().all(|order| *order == Order::Wait), "{:?}", play.orders);
    // A switch whose kernel is the slower one.
    let mut play = Play::new(Kind::Datagrams);
    let share = play.open_share(2000, (200_000, 350_000));
    assert!(share < 3, "{share} %");
    assert_eq!(play.orders[..3], [Order::Open, Order::Wait, Order::Shut]);
}

#[test]
fn who_is_faster_in_the_kernel_is_seldom_tried_elsewhere() {
    let mut play = Play::new(Kind::Datagrams);
    play.pass(0, 100, false, false);
    // Somebody who sends at a fixed rate gets as many through by workers, or fewer.
    for workers in [20_000, 130_000] {
        let share = play.open_share(2000, (130_000, workers));
        assert!((97..100).contains(&share), "{share} % with {workers}");
    }
    // Somebody who waits for answers never has two on the way.
    let mut play = Play::new(Kind::Datagrams);
    play.apart = 130_000;
    play.pass(0, 100, false, false);
    assert_eq!(play.open_share(2000, (130_000, 20_000)), 100);
}

#[test]
fn a_gate_that_closes_again_and_again_rests_longer_and_longer() {
    for kind in [Kind::Other, Kind::Datagrams, Kind::Joined, Kind::Port] {
        let mut play = Play::new(kind);
        let mut opened = Vec::new();
        for at in 0..400 {
            let order = play.pass(100, 100, play.seen.open, false);
            if matches!(order, Order::Open | Order::Again) {
                opened.push(at);
            }
        }
        let apart: Vec<_> = opened.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(apart.is_sorted() && apart.last() == Some(&17), "{kind:?}: {apart:?}");
        assert!(opened.len() < 40, "{kind:?}: {opened:?}");
        // Once calm, it is trusted again.
        for _ in 0..60 {
            play.pass(100, 100, false, false);
        }
        play.pass(100, 100, true, false);
        assert_eq!(play.orders.last(), Some(&Order::Again), "{kind:?}");
    }
}

#[test]
fn only_what_puts_order_right_itself_is_forced() {
    for (kind, forced) in [(Kind::Other, true), (Kind::Datagrams, false), (Kind::Port, false)] {
        let mut play = Play::new(kind);
        play.pass(0, 100, true, true);
        for _ in 0..20 {
            play.pass(100, 100, false, true);
        }
        assert_eq!(play.orders.contains(&Order::Force), forced, "{kind:?}: {:?}", play.orders);
        // Nobody comes by: nothing to do.
        let mut play = Play::new(kind);
        play.pass(0, 2, false, true);
        assert!((0..20).all(|_| play.pass(0, 0, false, true) == Order::Wait));
    }
}

proptest! {
    /// Whatever comes: a port's gate is never shut or begun anew, and nothing is opened again while it rests.
    #[test]
    fn orders_make_sense(
        kind in prop_oneof![Just(Kind::Other), Just(Kind::Datagrams), Just(Kind::Port)],
        passes in prop::collection::vec((0..500_000u64, 0..500_000u64, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let mut play = Play::new(kind);
        for (kernel, workers, unfit, busy) in passes {
            let was_shut = play.shut;
            let (was_open, opened) = (play.seen.open, play.seen.opened);
            let order = play.pass(kernel, workers, unfit, busy);
            match order {
                Order::Shut => prop_assert!(kind != Kind::Port && !was_shut),
                Order::Open => prop_assert!(kind != Kind::Port && was_shut),
                Order::Force => prop_assert!(kind == Kind::Other && !opened && !was_shut),
                Order::Again => prop_assert!(!was_shut && (!was_open || unfit)),
                Order::Wait => {}
            }
        }
    }
}
