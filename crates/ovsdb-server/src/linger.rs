//! Waiting for clients that are quick to ask again.

use std::io;
use std::time::Duration;

use stream::{Event, Poller};

/// How often to look before sleeping. It takes some ten microseconds, and about so long a client takes that waits for each answer
/// before it says the next thing; to be woken would take the server as long again.
const LOOKS: u32 = 30;
/// Looking is given up when it was in vain so often in a row..
const VAIN_MAX: u32 = 8;
/// ..and tried again after so many turns.
const REST: u32 = 100;

/// When to look again before sleeping: while that mostly finds something.
#[derive(Debug, Default)]
pub(crate) struct Linger {
    /// How often looking has been in vain since it last was not.
    vain: u32,
    /// For how many turns not to look.
    rest: u32,
}

impl Linger {
    /// As [`Poller::wait`].
    pub(crate) fn wait(
        &mut self,
        poller: &Poller,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        // When the last sleep ended without an event, nobody has been answered who could ask again.
        if timeout == Some(Duration::ZERO) || events.is_empty() || !self.looks() {
            return poller.wait(timeout, events);
        }
        for _ in 0..LOOKS {
            poller.wait(Some(Duration::ZERO), events)?;
            if !events.is_empty() {
                self.vain = 0;
                return Ok(());
            }
        }
        self.vain += 1;
        if self.vain >= VAIN_MAX {
            self.rest = REST;
        }
        poller.wait(timeout, events)
    }

    fn looks(&mut self) -> bool {
        self.rest = self.rest.saturating_sub(1);
        self.rest == 0
    }
}
