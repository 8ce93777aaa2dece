//! Time in which a worker wanted to run and somebody else had its processor.
//!
//! The cycle counter goes on meanwhile, so whoever's turn it was would seem dear, and wait for a long time until others have
//! cost as much. To ask how long a thread has run takes a system call; it is made only after turns that took suspiciously long.

use sys::cycles;

/// All as of the last time that it was asked for.
#[derive(Debug, Default)]
pub(super) struct Absence {
    nanos: u64,
    cycles: u64,
    slept: u64,
}

impl Absence {
    /// Cycles of absence since the last call. `slept`: cycles that the worker has slept of its own will, in all. `hz`: how many
    /// make a second. By the worker's thread.
    pub(super) fn since_last(&mut self, slept: u64, hz: u64) -> u64 {
        let now = Self { nanos: cycles::thread_nanos(), cycles: cycles::now(), slept };
        let absent = now.after(self, hz);
        *self = now;
        absent
    }

    fn after(&self, before: &Self, hz: u64) -> u64 {
        let nanos = u128::from(self.nanos.saturating_sub(before.nanos));
        let ran = (nanos * u128::from(hz) / 1_000_000_000) as u64;
        let gone = self.cycles.wrapping_sub(before.cycles);
        gone.saturating_sub(ran).saturating_sub(self.slept.saturating_sub(before.slept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_who_neither_runs_nor_sleeps() {
        let before = Absence { nanos: 1_000, cycles: 10_000, slept: 500 };
        // Two cycles a nanosecond: of 10,000 cycles it ran for 6,000 and slept for 1,500.
        let now = Absence { nanos: 4_000, cycles: 20_000, slept: 2_000 };
        assert_eq!(now.after(&before, 2_000_000_000), 2_500);
        // Clocks that do not agree to the last tick.
        assert_eq!(now.after(&before, 4_000_000_000), 0);
    }
}
