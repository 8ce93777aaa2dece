//! What was put at the other end of an interface, packets and bytes, of which the interface itself knows nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sys::bpf::SharedMap;

/// Counts from the time when it was made.
#[derive(Clone, Debug)]
pub struct Tally {
    table: Arc<SharedMap>,
    number: u32,
    begun: [u64; WORDS],
}

/// The place of each number in an entry of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    Packets = 0,
    Bytes = 1,
}

pub(crate) const WORDS: usize = 2;

impl Tally {
    pub(crate) fn new(table: &Arc<SharedMap>, number: u32) -> Self {
        let mut this = Self { table: table.clone(), number, begun: [0; WORDS] };
        this.begun = this.sent();
        this
    }

    /// Packets (a super-packet is one), and bytes of frames without tags that are kept beside them: as the kernel counts.
    pub fn sent(&self) -> [u64; 2] {
        let mut sent = [Word::Packets, Word::Bytes].map(|word| {
            self.table.word(self.number, word as usize).map_or(0, |n| n.load(Ordering::Relaxed))
        });
        for (now, begun) in sent.iter_mut().zip(self.begun) {
            *now = now.wrapping_sub(begun);
        }
        sent
    }
}
