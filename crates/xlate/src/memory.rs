//! What tables have said to packets before, for those that come with them.
//!
//! # Why
//! Packets that no flow knows come in batches, and most of a batch goes the same way through the same tables. A search tries a
//! dozen masks; to see that its answer is the same for the next packet takes a few comparisons.
//!
//! # Why it is right
//! A search says which bits of the key its answer depends on, and any key that has the same bits there has the same answer. So
//! the same bits are what the lookup of a packet has looked at to which the answer is remembered. All that is within one borrow
//! of the tables: nothing changes meanwhile.

use std::sync::Arc;

use pipeline::{BridgeId, Key, KeyMask, Rule};
use smallvec::SmallVec;

use crate::view::{View, moves};

/// Lookups that are remembered: a few ways through a pipeline.
const MOST: usize = 64;

/// See the module. To be given to one translation after the other.
#[derive(Debug, Default)]
pub struct Memory<'a> {
    /// In the order in which they were made.
    answers: Vec<Answer<'a>>,
    /// Where the next is likely to be: behind the last.
    next: usize,
    /// What the first packet was like, first, then, and so on; and how often this one has been looked at.
    views: Vec<Arc<View>>,
    viewed: usize,
}

/// What a table has said.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    bridge: BridgeId,
    table: u8,
    /// Words of the key, the bits of them that tell, and what those are.
    pub(crate) looked: SmallVec<[(u8, u64, u64); 6]>,
    /// Whether any of them is of what moves within packets.
    pub(crate) moves: bool,
    /// The rule that packets meet.
    pub(crate) rule: Option<&'a Arc<Rule>>,
}

impl Answer<'_> {
    fn is_for(&self, bridge: BridgeId, table: u8, key: &Key) -> bool {
        let words = key.words();
        let same = |(i, mask, bits): &(u8, u64, u64)| words[usize::from(*i)] & mask == *bits;
        self.table == table && self.bridge == bridge && self.looked.iter().all(same)
    }

    /// The bits that tell.
    pub(crate) fn mask(&self) -> KeyMask {
        let mut mask = KeyMask::any();
        let words = mask.0.words_mut();
        self.looked.iter().for_each(|(i, bits, _)| words[usize::from(*i)] = *bits);
        mask
    }
}

impl<'a> Memory<'a> {
    /// The next packet comes.
    pub(crate) fn begin(&mut self) {
        self.next = 0;
        self.viewed = 0;
    }

    /// What the packet is like: shared with the first, if that was like it at the same point of its way.
    pub(crate) fn share(&mut self, view: View) -> Arc<View> {
        let at = self.viewed;
        self.viewed += 1;
        match self.views.get(at) {
            Some(known) if **known == view => known.clone(),
            Some(_) => Arc::new(view),
            None if at < MOST => {
                self.views.push(Arc::new(view));
                self.views[at].clone()
            }
            None => Arc::new(view),
        }
    }

    /// How many lookups are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// What a table has to say of a packet with this key, if it is known.
    pub(crate) fn recall(&mut self, bridge: BridgeId, table: u8, key: &Key) -> Option<&Answer<'a>> {
        let is_it = |answer: &Answer<'_>| answer.is_for(bridge, table, key);
        let at = match self.answers.get(self.next) {
            Some(answer) if is_it(answer) => self.next,
            _ => self.answers.iter().position(is_it)?,
        };
        self.next = at + 1;
        self.answers.get(at)
    }

    /// A table has said this of a packet with this key, having looked at so much.
    pub(crate) fn note(
        &mut self,
        (bridge, table): (BridgeId, u8),
        key: &Key,
        mask: &KeyMask,
        rule: Option<&'a Arc<Rule>>,
    ) {
        if self.answers.len() >= MOST {
            return;
        }
        let mut looked: SmallVec<[_; 6]> = SmallVec::new();
        let masks = mask.words().chunks(8).zip(key.words().chunks(8));
        for (at, (masks, words)) in (0..).step_by(8).zip(masks) {
            // Nearly all are zero.
            if masks.iter().fold(0, |all, bits| all | bits) != 0 {
                let tell = (at..).zip(masks.iter().zip(words)).filter(|(_, (bits, _))| **bits != 0);
                looked.extend(tell.map(|(i, (bits, word))| (i, *bits, word & bits)));
            }
        }
        let moves = looked.iter().any(|(i, ..): &(u8, u64, u64)| moves(usize::from(*i)));
        self.answers.push(Answer { bridge, table, looked, moves, rule });
        self.next = self.answers.len();
    }
}
