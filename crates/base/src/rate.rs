//! Token buckets: the one rate limiter.

use crate::Instant;

/// Lets `burst` events through at once and `per_second` in the long run.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: u64,
    burst: u64,
    /// Thousandths of a token... times 1e6: nanotokens, so that slow rates lose nothing to rounding.
    level: u128,
    last: Instant,
}

const NANO: u128 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_second: u64, burst: u64, now: Instant) -> Self {
        Self { per_second, burst, level: u128::from(burst) * NANO, last: now }
    }

    /// Takes `n` tokens if there are that many.
    pub fn take(&mut self, n: u64, now: Instant) -> bool {
        let gained = now.since(self.last).as_nanos() * u128::from(self.per_second);
        self.level = (self.level + gained).min(u128::from(self.burst) * NANO);
        self.last = self.last.max(now);
        let cost = u128::from(n) * NANO;
        let enough = self.level >= cost;
        if enough {
            self.level -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut b = TokenBucket::new(10, 3, Instant::from_millis(0));
        assert!((0..3).all(|_| b.take(1, Instant::from_millis(0))));
        assert!(!b.take(1, Instant::from_millis(99)));
        assert!(b.take(1, Instant::from_millis(100)));
        assert!(!b.take(1, Instant::from_millis(100)));
    }
}
