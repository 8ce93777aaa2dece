//! Time, and waiting for conditions.

use std::sync::OnceLock;
use std::time::Duration;

use base::{Clock, Instant};

use crate::{Error, Result};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

/// The time now on the one clock of this process.
pub fn now() -> Instant {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(Clock::real).now()
}

/// Looks at `condition` until it yields a value, at most for `limit`. `what` completes "waited in vain for ...".
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = now() + limit;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if now() >= deadline {
            return Err(Error::Timeout { what: what.to_owned(), seconds: limit.as_secs_f64() });
        }
        std::thread::sleep(POLL);
    }
}
