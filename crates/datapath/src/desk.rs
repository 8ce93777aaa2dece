//! What a worker shares with the control side.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::history::Shelf;
use crate::mailbox::Mailbox;
use crate::stats::Published;
use crate::usage::Usage;

/// How a worker rests when it has nothing to do (`other_config:pmd-sleep-max`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sleep {
    /// Until it is woken by a packet or a command: costs nothing.
    #[default]
    UntilWoken,
    /// It looks by itself, resting between two looks for longer and longer, at most this long; zero: without rest. No sender
    /// is asked for a wake-up.
    AtMost(Duration),
}

impl Sleep {
    /// The longest rest that can be asked for.
    pub const MAX: Duration = Duration::from_micros(10_000);

    fn to_bits(self) -> u64 {
        match self {
            Self::UntilWoken => u64::MAX,
            Self::AtMost(time) => time.min(Self::MAX).as_nanos() as u64,
        }
    }

    fn from_bits(bits: u64) -> Self {
        match bits {
            u64::MAX => Self::UntilWoken,
            nanos => Self::AtMost(Duration::from_nanos(nanos)),
        }
    }
}

/// See the module's essay.
pub(crate) struct Desk {
    /// Which of the datapath's desks it is. Another worker may sit here later.
    pub(crate) slot: usize,
    pub(crate) mailbox: Mailbox,
    pub(crate) published: Published,
    /// Cycles that went into packets, but not into any queue's: commands, looking about.
    pub(crate) overhead: Usage,
    /// What each turn cost, if that is asked for.
    pub(crate) shelf: Shelf,
    sleep: AtomicU64,
}

/// The desks of all workers, by slot.
pub(crate) type Desks = Vec<Option<Arc<Desk>>>;

impl Desk {
    pub(crate) fn new(slot: usize, sleep: Sleep) -> io::Result<Self> {
        Ok(Self {
            slot,
            mailbox: Mailbox::new()?,
            published: Published::default(),
            overhead: Usage::default(),
            shelf: Shelf::default(),
            sleep: AtomicU64::new(sleep.to_bits()),
        })
    }

    /// How the worker rests.
    pub(crate) fn sleep(&self) -> Sleep {
        Sleep::from_bits(self.sleep.load(Ordering::Relaxed))
    }

    /// Changes that. The worker is to be woken, for it may be resting in the old way.
    pub(crate) fn set_sleep(&self, sleep: Sleep) {
        self.sleep.store(sleep.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_rest_survive_their_encoding() {
        for sleep in [
            Sleep::UntilWoken,
            Sleep::AtMost(Duration::ZERO),
            Sleep::AtMost(Duration::from_micros(50)),
            Sleep::AtMost(Sleep::MAX),
        ] {
            assert_eq!(Sleep::from_bits(sleep.to_bits()), sleep);
        }
        let long = Sleep::AtMost(Duration::MAX);
        assert_eq!(Sleep::from_bits(long.to_bits()), Sleep::AtMost(Sleep::MAX));
    }
}
