//! States that packets come back to which are of no flow, and whose numbers nobody else holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use xlate::{Frozen, Use};

/// How long a packet may be under way without a flow that says so.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// Packets under way that are remembered.
const MOST_UNDER_WAY: usize = 16_384;

/// They are held for a while.
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
