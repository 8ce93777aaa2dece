//! Which bits of a pattern's words are which bytes of a match: the same for all matches of a kind.

use classifier::Sparse;
use openflow::field::prereq::whole_mask;
use openflow::field::value::low_ones;
use openflow::wire::Slot;

use crate::key::{Place, place};

/// What goes where.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Move {
    /// Bits of a word, as a number in network order.
    Number { term: usize, shift: u32, mask: u64, at: usize, len: usize },
    /// The same of a port, which has sixteen bits here and 32 there.
    Port { term: usize, shift: u32, at: usize },
    /// Bytes of a word, in the order that they have in memory.
    Bytes { term: usize, from: usize, at: usize, len: usize },
}

impl Move {
    /// From words to bytes.
    pub(crate) fn write(&self, values: &[u64], all: &mut [u8]) {
        let word = |term: usize| values.get(term).copied().unwrap_or(0);
        let (at, bytes) = match *self {
            Move::Number { term, shift, mask, at, len } => {
                // The last `len` bytes of eight.
                let number = (word(term) >> shift & mask).rotate_right(8 * len as u32);
                (at..at + len, number.to_be_bytes())
            }
            Move::Port { term, shift, at } => {
                let port = openflow::Port((word(term) >> shift) as u16).to_wire32();
                (at..at + 4, (u64::from(port) << 32).to_be_bytes())
            }
            Move::Bytes { term, from, at, len } => {
                (at..at + len, (word(term) >> (8 * from)).to_le_bytes())
            }
        };
        if let Some(to) = all.get_mut(at) {
            let len = to.len().min(bytes.len());
            to[..len].copy_from_slice(&bytes[..len]);
        }
    }

    /// From bytes to words, which have zeros there.
    pub(crate) fn read(&self, all: &[u8], values: &mut [u64]) {
        // `len` bytes, at most eight, as they lie in memory.
        let bytes = |at: usize, len: usize| {
            let mut eight = [0; 8];
            let from = all.get(at..at + len).unwrap_or_default();
            eight.iter_mut().zip(from).for_each(|(to, byte)| *to = *byte);
            eight
        };
        let number = |at: usize, len: usize| {
            u64::from_be_bytes(bytes(at, len)).checked_shr(64 - 8 * len as u32).unwrap_or(0)
        };
        let (term, bits) = match *self {
            Move::Number { term, shift, mask, at, len } => {
                (term, (number(at, len) & mask) << shift)
            }
            Move::Port { term, shift, at } => (term, (number(at, 4) & 0xffff) << shift),
            Move::Bytes { term, from, at, len } => {
                (term, u64::from_le_bytes(bytes(at, len)) << (8 * from))
            }
        };
        if let Some(word) = values.get_mut(term) {
            *word |= bits;
        }
    }
}

/// The moves of one slot of a match that is this pattern. `None` for a field of which it is not known where it lives.
pub(crate) fn moves_of(slot: Slot, pattern: &Sparse, moves: &mut Vec<Move>) -> Option<()> {
    let term = |word: usize| pattern.terms().position(|(own, ..)| own == word);
    let mut number = |offset: usize, shift: u32, mask: u64, at: usize, len: usize| {
        let shift = 8 * (offset % 8) as u32 + shift;
        // Where the pattern says nothing of a word it has zeros, as the template has.
        if let Some(term) = term(offset / 8) {
            moves.push(Move::Number { term, shift, mask, at, len });
        }
    };
    let field = slot.field;
    if let Some((first, count)) = field.registers() {
        for i in 0..count {
            let Place::Int { offset, .. } = place(openflow::Field::reg(first + i))? else {
                return None;
            };
            number(offset, 0, u32::MAX.into(), slot.at + 4 * i, 4);
        }
        return Some(());
    }
    let (owner, up) = if place(field).is_some() { (field, 0) } else { field.row().home };
    match place(owner)? {
        Place::Int { offset, bytes, shift } if offset % 8 + bytes <= 8 && slot.len <= 8 => {
            // Some have fewer bits here than there.
            let mask = whole_mask(field).int() & low_ones(8 * bytes as u32 - shift) >> up;
            number(offset, shift + up, mask as u64, slot.at, slot.len);
        }
        Place::Int { .. } => return None,
        Place::Port32 { offset } => {
            if let Some(term) = term(offset / 8) {
                moves.push(Move::Port { term, shift: 8 * (offset % 8) as u32, at: slot.at });
            }
        }
        Place::Bytes { offset } => {
            let mut done = 0;
            while done < slot.len {
                let (word, from) = ((offset + done) / 8, (offset + done) % 8);
                let len = (8 - from).min(slot.len - done);
                if let Some(term) = term(word) {
                    moves.push(Move::Bytes { term, from, at: slot.at + done, len });
                }
                done += len;
            }
        }
    }
    Some(())
}
