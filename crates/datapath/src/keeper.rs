//! When a gate ([`offload::Gate`]) is to be opened, and when left alone: a state machine without clock or kernel.
//!
//! ```text
//!             rested, and slow             workers hold nothing of it
//!   Resting ------------------> Opening ------------------------------> Open
//!    ^   ^                       ^   ^                                 |  |
//!    |   |                       |   +-- closed itself, once ----------+  |
//!    |   +-- closed itself, once more -- | -----------------------------+  |
//!    |                           |                                        |
//!    +-- workers do more -- Trial, by workers <----- fast ----------------+
//! ```
//!
//! # Who is faster
//! For most UDP the kernel is: it takes less time for a packet, and a round trip less than half. But where somebody sends small
//! datagrams into a tunnel as fast as he can, workers put many of them under one header and deliver two or three times as many.
//! Nothing tells the one from the other but trying. So what is fast there already ([`FEW`]) stays where it is; and what becomes
//! fast in the kernel ([`MANY`]) is left to workers until the next pass: if they deliver more, it stays there, and if not it goes
//! back and is not tried again for long. Where nothing can be joined a flow goes to the kernel however fast it is, and comes back
//! for a while if workers did more before.
//!
//! # Flows that mix
//! A gate that has closed by itself had something unfit come: a super-packet, a fragment. If that happens now and then, it is
//! opened again at once. Each time that it does not stay open for long it rests twice as long as before.
//!
//! # What cannot wait
//! A long TCP transfer may keep its worker's queue filled, so that there is never a moment in which nothing is held. As TCP
//! puts order right itself, it does not wait longer than [`PATIENCE`].

use std::time::Duration;

use base::Instant;

/// Datagrams a second, close behind others, above which it is tried whether workers deliver more. Somebody who waits for answers has
/// none, and what is sent as fast as can be has hardly any others.
const MANY: u64 = 40_000;
/// Datagrams a second below which a flow goes to the kernel.
pub(crate) const FEW: u64 = 60_000;
/// How long a trial holds: at first, and at most.
const HOLDS: (Duration, Duration) = (Duration::from_secs(16), Duration::from_secs(256));

/// How long TCP waits for a moment in which workers hold nothing of it.
const PATIENCE: Duration = Duration::from_millis(1000);
/// A gate that has been open for as long has no past.
const CALM: Duration = Duration::from_secs(10);
/// How long it rests at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// What a gate stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What of a flow is not UDP.
    Other,
    /// A flow's UDP.
    Datagrams,
    /// The same, of which workers join many under one header.
    Joined,
    /// A port's UDP. Such a gate always counts.
    Port,
}

/// What is seen of a gate. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) open: bool,
    /// Whether workers have opened it since they were last told to; it may be closed again.
    pub(crate) opened: bool,
    /// Packets that the filter let through and counted.
    pub(crate) passed: u64,
    /// Packets that came while it was open.
    pub(crate) ran: u64,
    /// Of these, datagrams that came close behind another.
    pub(crate) near: u64,
    /// Datagrams that workers had dropped in order to open it, and whether they are at it.
    pub(crate) drained: u64,
    pub(crate) draining: bool,
    /// Packets of the flow, of any kind, that workers have had.
    pub(crate) workers: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Wait,
    /// Begin to count, and have workers open it.
    Open,
    /// Have workers open it, again.
    Again,
    /// Open it, whatever workers hold.
    Force,
    /// Shut it.
    Shut,
}

/// Keeps one gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper {
    kind: Kind,
    state: State,
    /// How long the next rest lasts.
    rest: Duration,
    /// No trial before, and how long the next one holds.
    proven: Instant,
    holds: Duration,
    /// Packets a second that workers had when the gate was last begun with.
    rival: u64,
    before: Seen,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting {
        until: Instant,
    },
    Opening {
        since: Instant,
    },
    Open {
        since: Instant,
    },
    /// Packets a second that the kernel has run.
    Trial {
        kernel: u64,
    },
}

impl Keeper {
    /// For a gate of which `before` was seen `at` that time.
    pub(crate) fn new(kind: Kind, before: Seen, at: Instant) -> Self {
        let state = match kind {
            Kind::Port => State::Open { since: at },
            Kind::Other | Kind::Datagrams | Kind::Joined => State::Resting { until: at },
        };
        let (rest, holds) = (Duration::ZERO, HOLDS.0);
        Self { kind, state, rest, proven: at, holds, rival: 0, before, at }
    }

    /// Whether workers may have datagrams dropped in order to open it, where they get more than they can do.
    pub(crate) fn may_drain(&self) -> bool {
        matches!(self.kind, Kind::Datagrams | Kind::Joined)
    }

    /// To be called about twice a second.
    pub(crate) fn pass(&mut self, seen: Seen, now: Instant) -> Order {
        let before = std::mem::replace(&mut self.before, seen);
        let time = now.since(std::mem::replace(&mut self.at, now));
        let counted = seen.passed.saturating_sub(before.passed);
        let by_kernel = per_second(counted + seen.ran.saturating_sub(before.ran), time);
        let near = per_second(seen.near.saturating_sub(before.near), time);
        let by_workers = per_second(seen.workers.saturating_sub(before.workers), time);
        let is_udp = matches!(self.kind, Kind::Datagrams | Kind::Joined);
        let was_open = matches!(self.state, State::Open { .. });
        if let State::Opening { .. } = self.state
            && (seen.open || seen.opened)
        {
            self.state = State::Open { since: now };
        }
        match self.state {
            State::Resting { until }
                if now < until || self.kind == Kind::Joined && by_workers > FEW =>
            {
                Order::Wait
            }
            State::Resting { .. } => self.begin(by_workers, now),
            State::Trial { kernel } if by_workers > more_than(kernel) => {
                // What is joined stays as long as it is fast.
                let hold = if self.kind == Kind::Joined { Duration::ZERO } else { self.hold() };
                self.state = State::Resting { until: now + hold };
                Order::Wait
            }
            State::Trial { .. } => {
                self.proven = now + self.hold();
                self.begin(0, now)
            }
            // What workers did just before is as good as a trial.
            State::Open { .. } if is_udp && was_open && seen.open && self.rival > FEW => {
                let hold = self.hold();
                if std::mem::take(&mut self.rival) > more_than(by_kernel) {
                    self.state = State::Resting { until: now + hold };
                    return Order::Shut;
                }
                self.proven = now + hold;
                Order::Wait
            }
            State::Opening { .. } | State::Open { .. }
                if is_udp && near > MANY && now >= self.proven && self.rival <= FEW =>
            {
                self.state = State::Trial { kernel: by_kernel };
                Order::Shut
            }
            State::Opening { .. } if seen.draining => Order::Wait,
            // Not even that has helped.
            State::Opening { .. } if seen.drained > before.drained => {
                self.rest = self.rest.max(REST.0);
                self.rest(now)
            }
            State::Opening { since } if counted > 0 => {
                let tired = self.kind == Kind::Other && now.since(since) >= PATIENCE;
                if !tired {
                    return Order::Again;
                }
                self.state = State::Open { since: now };
                Order::Force
            }
            State::Opening { .. } => Order::Wait,
            State::Open { since } => {
                if now.since(since) >= CALM {
                    self.rest = Duration::ZERO;
                }
                match seen.open {
                    true => Order::Wait,
                    // Once is no habit.
                    false if self.rest.is_zero() => {
                        self.rest = REST.0;
                        self.state = State::Opening { since: now };
                        Order::Again
                    }
                    false => self.rest(now),
                }
            }
        }
    }

    /// How long the trial that has just ended holds.
    fn hold(&mut self) -> Duration {
        let next = (self.holds * 2).min(HOLDS.1);
        std::mem::replace(&mut self.holds, next)
    }

    fn begin(&mut self, by_workers: u64, now: Instant) -> Order {
        self.rival = by_workers;
        self.state = State::Opening { since: now };
        // A port's gate counts all the time.
        if self.kind == Kind::Port { Order::Again } else { Order::Open }
    }

    fn rest(&mut self, now: Instant) -> Order {
        self.state = State::Resting { until: now + self.rest };
        self.rest = (self.rest * 2).min(REST.1);
        if self.kind == Kind::Port { Order::Wait } else { Order::Shut }
    }
}

/// What a rate must be above to count as more than this.
fn more_than(rate: u64) -> u64 {
    rate + rate / 4
}

/// Packets a second.
pub(crate) fn per_second(packets: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    packets.saturating_mul(1000) / millis
}

#[cfg(test)]
mod tests;
