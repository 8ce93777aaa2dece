//! Whether it pays to keep packets open for others to join, over several batches.
//!
//! It does while there are several packets of each flow in a turn. With more flows than there are places most packets are joined
//! by none, and looking after them costs more than sending them. So a sample is taken: when too few were joined, packets go
//! as they come for a while, and then another sample tells whether that has changed.

/// Packets of a sample.
const SAMPLE: usize = 2048;
/// One in so many of them must have been joined to another.
const WORTH: usize = 4;
/// Packets that then go as they come: sampling costs a small part of that.
const REST: usize = 32 * SAMPLE;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    seen: usize,
    joined: usize,
    rest: usize,
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
            *self = Self { rest: if pays { 0 } else { REST }, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_when_little_joins_and_tries_again() {
        let mut gathering = Gathering::default();
        for _ in 0..2 * SAMPLE / 32 {
            assert!(gathering.pays(32));
            gathering.note(32, 28);
        }
        for _ in 0..SAMPLE / 32 {
            assert!(gathering.pays(32));
            gathering.note(32, 2);
        }
        for _ in 0..REST / 32 {
            assert!(!gathering.pays(32));
        }
        assert!(gathering.pays(32));
    }
}
