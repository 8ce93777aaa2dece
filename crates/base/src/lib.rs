//! Small vocabulary shared by every crate: time as a value, versions, rate limits, named counters.
//!
//! Nothing here does I/O. [`Clock`] is the only place in the workspace that asks the operating system for the time, so a
//! whole switch can run on a virtual clock.

pub mod clock;
pub mod counter;
pub mod rate;

pub use clock::{Clock, Instant};
pub use counter::{Counter, Counters};
pub use rate::TokenBucket;

/// A generation number: whoever holds a value derived from a table compares its version with the table's to learn whether
/// the value still stands. Versions only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
