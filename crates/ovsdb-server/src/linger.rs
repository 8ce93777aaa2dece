//! Waiting for clients that are quick to ask again.

use std::io;
use std::time::Duration;

use stream::Event;

use crate::core::Core;

/// How often to look at everybody before sleeping. It takes some ten microseconds, and about so long a client takes that waits for
/// each answer before it says the next thing; to be woken would take the server as long again.
const LOOKS: u32 = 10;
/// How often to listen to who was answered last after each of these: that is one system call less than to be told to listen.
const LISTENS: u32 = 3;
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
    /// Listening has found something.
    heard: bool,
}

impl Linger {
    /// Until something happens, as [`stream::Poller::wait`] has it, or until who was answered last has said something, which is then
    /// dealt with.
    pub(crate) fn wait(
        &mut self,
        core: &mut Core,
        timeout: Option<Duration>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        // When the last sleep ended without an event, nobody has been answered who could ask again.
        let answered = std::mem::take(&mut self.heard) || !events.is_empty();
        if timeout == Some(Duration::ZERO) || !answered || !self.looks() {
            return core.network.poller().wait(timeout, events);
        }
        for _ in 0..LOOKS {
            // First everybody: nobody is forgotten for one who always has something to say.
            core.network.poller().wait(Some(Duration::ZERO), events)?;
            self.heard = events.is_empty() && (0..LISTENS).any(|_| core.hear_again());
            if self.heard || !events.is_empty() {
                self.vain = 0;
                return Ok(());
            }
        }
        self.vain += 1;
        if self.vain >= VAIN_MAX {
            self.rest = REST;
        }
        core.network.poller().wait(timeout, events)
    }

    fn looks(&mut self) -> bool {
        self.rest = self.rest.saturating_sub(1);
        self.rest == 0
    }
}
