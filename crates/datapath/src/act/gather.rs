//! Whether it pays to keep packets open for others to join, over several batches.
//!
//! It does while there are several packets of each flow in a turn. With more flows than there are places most packets are joined
//! by none, and looking after them costs more than sending them. So a sample is taken: when too few were joined, packets go
//! as they come for a while, and then another sample tells whether that has changed.

/// Packets of a sample.
const SAMPLE: usize = 2048;
/// One in so many of them must have been joined to another.
const WORTH: usize = 4;
/// Packets that then go as they come: sampling costs a small part of that. Twice as many each time that the next sample says the
/// same, up to so many times.
const REST: usize = 32 * SAMPLE;
const REST_TIMES_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    seen: usize,
    joined: usize,
    rest: usize,
    /// How many times as long as at first the last rest was; 0: it pays.
    times: usize,
}

impl Gathering {
    /// Whether to keep open what comes of the next `packets`.
    pub(super) fn pays(&mut self, packets: usize) -> bool {
        let pays = self.rest == 0;
        self.rest = self.rest.saturating_sub(packets);
        pays
    }

    /// How many of those were joined to others.
    pub(super) fn note(&mut self, packets: usize, joined: usize) {
        self.seen += packets;
        self.joined += joined;
        if self.seen >= SAMPLE {
            let pays = self.joined * WORTH >= self.seen;
            let times = if pays { 0 } else { (2 * self.times).clamp(1, REST_TIMES_MAX) };
            *self = Self { rest: times * REST, times, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_when_little_joins_and_tries_again() {
        let mut gathering = Gathering::default();
        sample(&mut gathering, 28);
        sample(&mut gathering, 28);
        for times in [1, 2, 4, 8, 8] {
            sample(&mut gathering, 2);
            for _ in 0..times * REST / 32 {
                assert!(!gathering.pays(32));
            }
        }
        // It has paid once: a rest is short again.
        sample(&mut gathering, 28);
        sample(&mut gathering, 2);
        for _ in 0..REST / 32 {
            assert!(!gathering.pays(32));
        }
        assert!(gathering.pays(32));
    }

    /// Of 32 packets each, `joined` are.
    fn sample(gathering: &mut Gathering, joined: usize) {
        for _ in 0..SAMPLE / 32 {
            assert!(gathering.pays(32));
            gathering.note(32, joined);
        }
    }
}
