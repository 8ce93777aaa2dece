//! What a guest's network card is plugged into: a number of queue pairs, of which the guest uses some.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use crate::features::Features;
use crate::queue::Queue;
use crate::ring::net::Tally;

/// Queue pairs that a port has at most.
pub const PAIRS: usize = 16;

/// The two directions of one queue pair.
#[derive(Clone, Debug)]
pub struct Pair {
    /// To the guest: its receive queue, of an even number.
    pub to_guest: Arc<Queue>,
    /// From the guest: its transmit queue, of an odd number.
    pub from_guest: Arc<Queue>,
}

/// What is to be known of the guest that is plugged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// A front end is connected.
    pub connected: bool,
    /// What was agreed upon.
    pub features: Features,
    /// The sizes of the rings that it has set up, by number.
    pub rings: Vec<u32>,
    /// The longest payload that it receives, if it says so.
    pub mtu: Option<u16>,
    /// The memory node that its first ring is on, if the system says.
    pub node: Option<usize>,
    /// The pairs whose rings towards the guest run.
    pub receiving: Vec<usize>,
}

impl Guest {
    /// Frames can reach the guest.
    pub fn is_up(&self) -> bool {
        !self.receiving.is_empty()
    }
}

/// A port.
#[derive(Debug)]
pub struct Port {
    pairs: Vec<Pair>,
    guest: Mutex<Guest>,
    attention: Arc<OwnedFd>,
}

impl Port {
    /// A port without a guest, with as many queue pairs as a port can have.
    pub fn new() -> io::Result<Self> {
        Self::with_pairs(PAIRS)
    }

    /// One with fewer; with one at least.
    pub fn with_pairs(pairs: usize) -> io::Result<Self> {
        let attention = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let queue = || Queue::new(attention.clone()).map(Arc::new);
        let pair = |_| Ok(Pair { to_guest: queue()?, from_guest: queue()? });
        let pairs = (0..pairs.clamp(1, PAIRS)).map(pair).collect::<io::Result<_>>()?;
        Ok(Self { pairs, guest: Mutex::default(), attention })
    }

    /// The queue pairs.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The queue with the number that the protocol uses: 2N towards the guest, 2N+1 from it.
    pub fn queue(&self, number: usize) -> Option<&Arc<Queue>> {
        let pair = self.pairs.get(number / 2)?;
        Some(if number.is_multiple_of(2) { &pair.to_guest } else { &pair.from_guest })
    }

    fn lock(&self) -> MutexGuard<'_, Guest> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the guest now.
    pub fn guest(&self) -> Guest {
        self.lock().clone()
    }

    pub(crate) fn set_guest(&self, guest: Guest) {
        *self.lock() = guest;
    }

    /// All that went to the guest, and all that came from it, since the port was made.
    pub fn tallies(&self) -> [Tally; 2] {
        let sum = |queue: fn(&Pair) -> &Queue| {
            self.pairs.iter().map(|pair| queue(pair).tally()).fold(Tally::default(), |a, b| Tally {
                packets: a.packets + b.packets,
                bytes: a.bytes + b.bytes,
                malformed: a.malformed + b.malformed,
                too_long: a.too_long + b.too_long,
            })
        };
        [sum(|pair| &pair.to_guest), sum(|pair| &pair.from_guest)]
    }

    /// Readable when the guest's memory has gone away, so that the connection is to be ended, or when there is something to
    /// [`Port::settle`].
    pub fn attention(&self) -> BorrowedFd<'_> {
        self.attention.as_fd()
    }

    /// Lowers [`Port::attention`].
    pub fn clear_attention(&self) {
        let _ = rustix::io::read(&self.attention, &mut [0u8; 8]); // not raised: just as well
    }

    /// Has the memory that packets pass through be made of huge pages.
    pub fn settle(&self) {
        for Pair { to_guest, from_guest } in &self.pairs {
            for queue in [to_guest, from_guest] {
                queue.settle();
            }
        }
    }

    /// Whether the memory of its guest has gone away in part.
    pub fn is_damaged(&self) -> bool {
        self.pairs.iter().any(|pair| pair.to_guest.is_damaged() || pair.from_guest.is_damaged())
    }
}
