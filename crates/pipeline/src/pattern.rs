//! Matches as masked words, and back.
//!
//! Rules keep what they match as a [`Sparse`] key alone: a match of five fields would take half a kilobyte as its author wrote
//! it. [`matching`] gives it back.

use std::mem::offset_of;
use std::sync::LazyLock;

use classifier::{Layout, Part, Sparse, Terms};
use flow::FlowKey;
use openflow::field::value::low_ones;
use openflow::{Field, Match};

use crate::key::{Key, KeyMask, Place, Registers, WORDS, is_held, place};
use crate::options::Options;

/// A match as masked words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatchKey {
    /// The values; zero outside of the mask.
    pub key: Key,
    /// The bits that count.
    pub mask: KeyMask,
}

impl MatchKey {
    /// `None` if the match is on an option of a tunnel that `options` does not know, or on more than there is of it.
    pub fn new(matching: &Match, options: &Options) -> Option<Self> {
        let mut this = Self { key: Key::default(), mask: KeyMask::any() };
        for (field, value, mask) in matching.entries() {
            if !is_held(field) {
                options.check_value(field, value, mask).ok()?;
                options.set(&mut this.key, field, value, mask);
                options.add_to(&mut this.mask, field, mask);
                continue;
            }
            this.key.set(field, value, mask);
            this.mask.add(field, mask);
        }
        Some(this)
    }

    /// The same as tables keep it.
    pub fn sparse(&self) -> Sparse {
        Sparse::new(&LAYOUT, self.key.words(), self.mask.words())
    }

    /// Whether a packet with this key is meant.
    pub fn matches(&self, key: &Key) -> bool {
        let masks = self.mask.words().iter().zip(self.key.words());
        masks.zip(key.words()).all(|((mask, value), word)| word & mask == *value)
    }
}

/// The words of keys that a match is about, as [`MatchKey`] has them, which see.
pub(crate) fn terms(matching: &Match, options: &Options) -> Option<Terms> {
    let mut terms = Terms::new();
    for (field, value, mask) in matching.entries() {
        if field.tun_metadata_index().is_some() {
            for (offset, value, mask) in options.terms(field, value, mask)? {
                put(&mut terms, offset, value, mask);
            }
            continue;
        }
        let (value, mask) = (value.int(), mask.int());
        // Bits as they lie in memory, the first byte lowest.
        let (offset, value, mask) = match place(field)? {
            Place::Int { offset, bytes, shift } => {
                let room = low_ones(8 * bytes as u32);
                (offset, value << shift & room, mask << shift & room)
            }
            Place::Bytes { offset } => {
                let spare = 8 * 16usize.saturating_sub(field.bytes()) as u32;
                let turned = |n: u128| n.swap_bytes() >> spare;
                (offset, turned(value), turned(mask))
            }
            Place::Port32 { offset } => {
                (offset, value & 0xffff, if mask == 0 { 0 } else { 0xffff })
            }
        };
        put(&mut terms, offset, value, mask);
    }
    Some(terms)
}

/// Sets bits from the byte `offset` on, which may reach into following words.
fn put(terms: &mut Terms, offset: usize, mut value: u128, mut mask: u128) {
    let mut shift = 8 * (offset % 8) as u32;
    let mut word = (offset / 8) as u8;
    while mask != 0 {
        let (v, m) = ((value << shift) as u64, (mask << shift) as u64);
        match terms.iter_mut().find(|(own, ..)| *own == word) {
            Some((_, old, selected)) => (*old, *selected) = (*old & !m | v, *selected | m),
            None if m != 0 => terms.push((word, v, m)),
            None => {}
        }
        (value, mask) = (value >> (64 - shift), mask >> (64 - shift));
        (shift, word) = (0, word + 1);
    }
}

/// What a pattern matches, in the controller's language.
pub fn matching(pattern: &Sparse, options: &Options) -> Match {
    let (mut key, mut mask) = (Key::default(), KeyMask::any());
    let mut matching = Match::any();
    for (i, value, bits) in pattern.terms() {
        if let (Some(key), Some(mask)) = (key.words_mut().get_mut(i), mask.0.words_mut().get_mut(i))
        {
            (*key, *mask) = (value, bits);
        }
    }
    // A field in two words may be met twice, which says the same twice.
    for (i, _, selected) in pattern.terms() {
        let owners = OWNERS.get(i).into_iter().flatten();
        for &(field, _) in owners.filter(|(_, own)| own & selected != 0) {
            let bits = mask.0.get(field);
            if !bits.is_zero() && key.may_have(field) {
                matching.set(field, &key.get(field), &bits);
            }
        }
    }
    options.describe(&key, &mask, &mut matching);
    matching
}

/// The fields of which a word holds bits, and which bits.
static OWNERS: LazyLock<Vec<Vec<(Field, u64)>>> = LazyLock::new(|| {
    let mut owners = vec![Vec::new(); WORDS];
    for &field in Field::ALL.iter().filter(|field| is_held(**field)) {
        // ECN shares its byte with `nw_tos`, which leaves it out.
        let own = field.row().home.0 == field || field == Field::NwEcn;
        let multiple = field.registers().is_some_and(|(_, count)| count > 1);
        if own && !multiple {
            let mut whole = KeyMask::any();
            whole.add_whole(field);
            for (all, bits) in owners.iter_mut().zip(whole.words()).filter(|(_, b)| **b != 0) {
                all.push((field, *bits));
            }
        }
    }
    owners
});

/// The part of the key that a field is, if tables can have a trie of it.
pub(crate) fn part(field: Field) -> Option<Part> {
    match place(field)? {
        Place::Int { offset, bytes, shift } => {
            let (word, inside) = (offset / 8, 8 * (offset % 8) as u32);
            (inside + 8 * bytes as u32 <= 64).then(|| Part::Number {
                word,
                shift: inside + shift,
                bits: field.row().bits,
            })
        }
        Place::Bytes { offset } if offset % 8 == 0 && field.bytes() == 16 => {
            Some(Part::Bytes { word: offset / 8 })
        }
        _ => None,
    }
}

const FLOW: usize = offset_of!(Key, flow);
const REGISTERS: usize = offset_of!(Key, registers);

/// Where things are: first what is beside the packet, then its link layer, its network layer, its ports.
pub(crate) static LAYOUT: Layout<WORDS> = Layout {
    stages: stages(),
    ports: Some({
        let at = FLOW + offset_of!(FlowKey, tp_src);
        assert!(offset_of!(FlowKey, tp_dst) == offset_of!(FlowKey, tp_src) + 2 && at % 8 <= 4);
        Part::Pair { word: at / 8, shift: 8 * (at % 8) as u32 }
    }),
    conjunction: Some({
        let at = REGISTERS + offset_of!(Registers, conj_id);
        assert!(at.is_multiple_of(4));
        Part::Number { word: at / 8, shift: 8 * (at % 8) as u32, bits: 32 }
    }),
};

const fn stages() -> [u8; WORDS] {
    const LINK: usize = FLOW + offset_of!(FlowKey, eth_dst);
    // Labels too come behind the Ethernet type, without which they are none.
    const NETWORK: usize = FLOW + offset_of!(FlowKey, mpls);
    const PORTS: usize = FLOW + offset_of!(FlowKey, tp_src);
    const CONNECTION: usize = REGISTERS + offset_of!(Registers, ct_nw_src);
    let mut stages = [2; WORDS];
    let mut i = 0;
    while i < WORDS {
        let (at, end) = (8 * i, 8 * i + 8);
        if at < LINK || at >= REGISTERS && at < CONNECTION {
            stages[i] = 0;
        } else if at < NETWORK {
            stages[i] = 1;
        } else if at <= PORTS && PORTS < end {
            stages[i] = 3;
        }
        i += 1;
    }
    stages
}
