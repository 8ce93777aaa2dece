//! Packets that wait for a controller's word: what they will go on with. The controller gets a ticket; a controller that keeps
//! tickets for ever finds the oldest ones stale.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Instant;
use xlate::{Frozen, Use};

/// Tickets that are good.
const MOST: usize = 16_384;
/// How long a packet may be under way without a flow that says so.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// Packets under way that are remembered.
const MOST_UNDER_WAY: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Paused(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    states: VecDeque<Arc<Frozen>>,
    /// The ticket of the first of them.
    first: u64,
}

impl Paused {
    /// The ticket of a packet that goes on with this.
    pub(crate) fn keep(&self, frozen: Arc<Frozen>) -> Vec<u8> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.states.len() >= MOST {
            waiting.states.pop_front();
            waiting.first += 1;
        }
        let ticket = waiting.first + waiting.states.len() as u64;
        waiting.states.push_back(frozen);
        ticket.to_be_bytes().to_vec()
    }

    /// What the packet goes on with whose ticket this is.
    pub(crate) fn take(&self, ticket: &[u8]) -> Option<Arc<Frozen>> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = u64::from_be_bytes(ticket.try_into().ok()?);
        let place = usize::try_from(ticket.checked_sub(waiting.first)?).ok()?;
        waiting.states.get(place).cloned()
    }
}

/// States that packets of no flow come back to: held for a while.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(VecDeque<(Instant, Arc<Frozen>)>);

impl UnderWay {
    /// A packet is on its way to these.
    pub(crate) fn hold(&mut self, uses: &[Use], now: Instant) {
        self.expire(now);
        for used in uses {
            if let Use::Frozen(_, frozen) = used {
                if self.0.len() >= MOST_UNDER_WAY {
                    self.0.pop_front();
                }
                self.0.push_back((now + UNDER_WAY, frozen.clone()));
            }
        }
    }

    /// Lets go of those whose packets must have come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(until, _)| *until <= now) {
            self.0.pop_front();
        }
    }
}
