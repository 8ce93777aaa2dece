//! What a flow's packets are like where they are looked up in a table, to tell whether a rule that comes or goes there can matter.
//!
//! # Why
//! Controllers change rules by the thousand a second, and most of them match none of the packets that a given flow is for. To
//! translate every flow anew that was looked up in the table would cost more than all else that a change costs.
//!
//! # Why it is right
//! A rule that a key does not match has no part in the search for that key: it is not found, is no clause of a conjunction that
//! is, and does not hide another. So a change of rules that match *no* packet of a flow, at *no* lookup of its translation in
//! their table, leaves each of these lookups its answer, and with it the translation. (The mask may be narrower than a new
//! translation's would be, for it is made of what was looked at then, or wider, for a search may look at more once the rule is
//! there; but the flow is for the packets that it is for, and each of them is still done right by.)
//!
//! That a rule does not match is known by a single bit. Of these bits of the key at a lookup it is known what they are, whichever
//! packet of the flow it is:
//!
//! - All registers. They begin as zeros (or as the frozen state has them that the flow's number stands for), and what is written
//!   to them is a constant or was looked at.
//! - The packet's bits that the flow matches, where at the lookup they are as they were received: either nobody has written
//!   them, or what was written is the same for all packets of the flow, and happens to be what was there.
//!
//! Left out is what moves without being looked at: VLAN tags that are not in their places, labels, the ports of fragments; the
//! options of the tunnel that the packet came through, which the key does not hold that the flow matches; and a tunnel's outer
//! packet, which is not that one. Nor does the number of a conjunction count, for a search tries the packet with others than its
//! own.

use std::mem::offset_of;

use flow::{FlowKey, MaskedKey, frag};
use pipeline::{Key, Registers, Sparse};
use smallvec::SmallVec;

use crate::packet::Packet;

/// See the module. Words are those of [`Key`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Words of registers that are not zero.
    registers: SmallVec<[(u8, u64); 4]>,
    /// Words of the packet, and the bits of them that may not be as received.
    changed: SmallVec<[(u8, u64); 3]>,
    /// Whether it is another packet than was received.
    is_outer: bool,
    /// Whether it has options of the tunnel that it came through.
    has_options: bool,
}

/// Where labels are, of which nothing is known.
const LABELS: std::ops::Range<usize> =
    offset_of!(FlowKey, mpls) / 8..offset_of!(FlowKey, mpls) / 8 + 2;
const VLANS: usize = offset_of!(FlowKey, vlans) / 8;
const PORTS: usize = offset_of!(FlowKey, tp_src) / 8;
/// The number of a conjunction: its word in a key, and its bits there.
const CONJUNCTION: usize = offset_of!(Key, registers) / 8 + offset_of!(Registers, conj_id) / 8;
/// Where tunnels' options are in a key.
const OPTIONS: std::ops::Range<usize> = {
    let first = offset_of!(Key, registers) / 8 + offset_of!(Registers, options_present) / 8;
    first..first + 33
};

/// Whether this word of a key is of what moves within packets, or is looked at with others: [`Packet::look`] knows how.
pub(crate) fn moves(word: usize) -> bool {
    word == VLANS || LABELS.contains(&word) || OPTIONS.contains(&word)
}

/// Words that are looked at together.
const CHUNK: usize = 8;

/// Says of each word that is not zero where it is.
#[inline]
fn each_set(words: &[u64], mut found: impl FnMut(usize, u64)) {
    let (chunks, rest) = words.as_chunks::<CHUNK>();
    let at_rest = words.len() - rest.len();
    for (chunk, first) in chunks.iter().zip((0..).step_by(CHUNK)) {
        // Nearly all are zero.
        if chunk.iter().fold(0, |all, word| all | word) != 0 {
            (first..).zip(chunk).filter(|(_, word)| **word != 0).for_each(|(i, w)| found(i, *w));
        }
    }
    (at_rest..).zip(rest).filter(|(_, word)| **word != 0).for_each(|(i, word)| found(i, *word));
}

const OTHER_THAN_CONJUNCTION: u64 =
    !((u32::MAX as u64) << (8 * (offset_of!(Registers, conj_id) % 8)));

impl View {
    /// Of a packet that was received as `received`.
    pub(crate) fn of(packet: &Packet, received: &FlowKey, is_outer: bool) -> Self {
        let (flow, registers) = packet.key.words().split_at(flow::WORDS);
        let has_options = packet.has_options;
        let mut this = Self { is_outer, has_options, ..Self::default() };
        each_set(registers, |i, word| this.registers.push(((flow::WORDS + i) as u8, word)));
        if is_outer {
            return this;
        }
        // What has become other than it was received, or may have.
        let mut bits = *received.words();
        bits.iter_mut().zip(flow).for_each(|(was, now)| *was ^= now);
        if !packet.has_tags_in_place() {
            bits[VLANS] = u64::MAX;
        }
        if packet.key.flow.ip_frag & frag::ANY != 0 {
            bits[PORTS] = u64::MAX;
        }
        each_set(&bits, |i, bits| this.changed.push((i as u8, bits)));
        this
    }

    /// Whether a rule that matches this may be met by a packet of that flow, which is looked up like this.
    pub fn may_meet(&self, flow: &MaskedKey, pattern: &Sparse) -> bool {
        pattern.terms().all(|(i, value, mask)| {
            let (word, known) = self.known(flow, i);
            (word ^ value) & mask & known == 0
        })
    }

    /// A word of the key, and which of its bits are known to be so.
    fn known(&self, flow: &MaskedKey, i: usize) -> (u64, u64) {
        let of = |list: &[(u8, u64)]| {
            list.iter().find(|(word, _)| usize::from(*word) == i).map_or(0, |(_, bits)| *bits)
        };
        match (flow.key().words().get(i), flow.mask().0.words().get(i)) {
            (Some(_), _) if self.is_outer || LABELS.contains(&i) => (0, 0),
            (Some(word), Some(mask)) => (*word, mask & !of(&self.changed)),
            // Which of these the flow matches its key does not say.
            _ if OPTIONS.contains(&i) && self.has_options => (0, 0),
            _ if i == CONJUNCTION => (of(&self.registers), OTHER_THAN_CONJUNCTION),
            _ => (of(&self.registers), u64::MAX),
        }
    }
}
