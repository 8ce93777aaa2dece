//! When a gate ([`offload::Gate`]) is to be opened, and when left alone: a state machine without clock or kernel.
//!
//! ```text
//!            rested, and slow enough            open, say the workers
//!   Resting ------------------------> Opening ----------------------> Open
//!      ^                                 | too fast                    | closed by itself, or too fast
//!      +---------------------------------+-----------------------------+
//! ```
//!
//! # Who is faster
//! UDP of a high rate stays with workers: they put many small datagrams under one header, which carries half as many again as the
//! kernel does one by one, and the sender's processor is spared the work. Below, the kernel takes less time for a packet, and a round trip half as long. [`MOST`]
//! and [`FEW`] are a fraction of what the kernel can do on a small machine, so that a flow which wants more shows it.
//!
//! # Flows that mix
//! A gate that has closed by itself had something unfit come: a super-packet, a fragment. If that happens now and then, it is
//! opened again with the next pass. Each time that it does not stay open for long it rests twice as long as before.
//!
//! # What cannot wait
//! A long TCP transfer may keep its worker's queue filled, so that there is never a moment in which nothing is held. As TCP
//! puts order right itself, it does not wait longer than [`PATIENCE`].

use std::time::Duration;

use base::Instant;

/// Datagrams a second above which a flow does not stay in the kernel ..
const MOST: u64 = 100_000;
/// .. and below which it goes there.
pub(crate) const FEW: u64 = 60_000;

/// How long TCP waits for a moment in which workers hold nothing of it.
const PATIENCE: Duration = Duration::from_millis(1000);
/// A gate that has been open for as long has no past.
const CALM: Duration = Duration::from_secs(10);
/// The first rest that is longer than until the next pass, and the longest.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// What a gate stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What of a flow is not UDP.
    Other,
    /// A flow's UDP.
    Datagrams,
    /// A port's UDP. Such a gate always counts.
    Port,
}

/// What is seen of a gate. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) open: bool,
    /// Packets that the filter let through and counted.
    pub(crate) passed: u64,
    /// Packets that came while it was open.
    pub(crate) ran: u64,
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
    before: Seen,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting { until: Instant },
    Opening { since: Instant },
    Open { since: Instant },
}

impl Keeper {
    /// For a gate of which `before` was seen `at` that time.
    pub(crate) fn new(kind: Kind, before: Seen, at: Instant) -> Self {
        let state = match kind {
            Kind::Port => State::Open { since: at },
            Kind::Other | Kind::Datagrams => State::Resting { until: at },
        };
        Self { kind, state, rest: Duration::ZERO, before, at }
    }

    /// To be called about twice a second.
    pub(crate) fn pass(&mut self, seen: Seen, now: Instant) -> Order {
        let before = std::mem::replace(&mut self.before, seen);
        let time = now.since(std::mem::replace(&mut self.at, now));
        let counted = seen.passed.saturating_sub(before.passed);
        let come = match self.state {
            State::Resting { .. } => seen.workers.saturating_sub(before.workers),
            _ => counted + seen.ran.saturating_sub(before.ran),
        };
        let is_above = |most| self.kind == Kind::Datagrams && per_second(come, time) > most;
        if let State::Opening { .. } = self.state
            && seen.open
        {
            self.state = State::Open { since: now };
        }
        match self.state {
            State::Resting { until } if now < until || is_above(FEW) => Order::Wait,
            State::Resting { .. } => {
                self.state = State::Opening { since: now };
                if self.kind == Kind::Port { Order::Again } else { Order::Open }
            }
            _ if is_above(MOST) => self.rest(now),
            State::Opening { since } if self.kind == Kind::Other && counted > 0 => {
                let tired = now.since(since) >= PATIENCE;
                if tired { Order::Force } else { Order::Again }
            }
            State::Opening { .. } if counted > 0 => Order::Again,
            State::Opening { .. } => Order::Wait,
            State::Open { since } => {
                if now.since(since) >= CALM {
                    self.rest = Duration::ZERO;
                }
                if seen.open { Order::Wait } else { self.rest(now) }
            }
        }
    }

    fn rest(&mut self, now: Instant) -> Order {
        self.state = State::Resting { until: now + self.rest };
        let (first, longest) = REST;
        self.rest = (self.rest * 2).clamp(first, longest);
        if self.kind == Kind::Port { Order::Wait } else { Order::Shut }
    }
}

/// Packets a second.
pub(crate) fn per_second(packets: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    packets.saturating_mul(1000) / millis
}
