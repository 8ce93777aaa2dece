//! Options of Geneve headers, while their packets are in a worker's hands.
//!
//! # Why
//! A header may have 252 bytes of options, and hardly one in a million has any. To have room for them in every key would cost
//! every packet. So keys hold a number that names a set of options ([`flow::TunnelKey::options`]), and whoever has to know what is
//! in it, the slow path, is told with the missed packet.
//!
//! # Design
//! The number is a hash under a secret of the datapath's, the same in all workers: nobody can make two sets with one number. A
//! worker remembers the sets of the packets that it unwraps until they are looked up, which is soon: in a table of fixed size,
//! where each set has eight places. What has been overwritten by then is as good as a damaged header.
//!
//! # Flows
//! A flow looks at some of the options, and at some of their bits: that is its [`Sight`]. In its key is the number of what it
//! sees, a hash of that under the same secret. So where a packet with options is looked up, it has a number for each sight that
//! flows have, besides the one of its own; and who has no options, nearly every packet, is looked up as if there were no sights.
//! A packet without any option has the number 0 to whoever looks.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use flow::OptionMask;
use packet::wire::geneve::OPTIONS_MAX;

/// Groups of places.
const GROUPS: usize = 64;
/// Places in a group.
const WAYS: usize = 8;

/// Sights whose numbers a set remembers.
const SIGHTS: usize = 4;

/// How some flows look at options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) mask: OptionMask,
    /// The mask's own number.
    pub(crate) number: u64,
}

/// The secret that names are made with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(RandomState);

impl Names {
    /// The number of these options, all of them as they are; 0 for none.
    pub(crate) fn whole(&self, options: &[u8]) -> u64 {
        if options.is_empty() { 0 } else { self.0.hash_one(options) | 1 }
    }

    /// To look at options with this mask.
    pub(crate) fn sight(&self, mask: &OptionMask) -> Sight {
        Sight { mask: mask.clone(), number: self.0.hash_one(mask) | 1 }
    }

    /// The number of what is seen of these options.
    pub(crate) fn seen(&self, sight: &Sight, options: &[u8]) -> u64 {
        if options.is_empty() {
            return 0;
        }
        let mut hasher = self.0.build_hasher();
        sight.number.hash(&mut hasher);
        sight.mask.each_seen(options, |piece| hasher.write(piece));
        hasher.finish() | 1
    }
}

#[derive(Clone)]
struct Set {
    name: u64,
    /// When it was last seen, in sets seen.
    seen: u64,
    /// Numbers of sights, and of what they see.
    sights: [(u64, u64); SIGHTS],
    /// Which of those is forgotten next.
    turn: u8,
    len: u8,
    bytes: [u8; OPTIONS_MAX],
}

/// See the module's essay.
pub(crate) struct OptionTable {
    names: Names,
    /// Empty until there are options at all.
    places: Vec<Set>,
    seen: u64,
}

impl OptionTable {
    /// All workers of a datapath have the same `names`.
    pub(crate) fn new(names: Names) -> Self {
        Self { names, places: Vec::new(), seen: 0 }
    }

    /// The number of these options, 0 for none; what it stands for is remembered for a while.
    #[inline]
    pub(crate) fn name(&mut self, options: &[u8]) -> u64 {
        if options.is_empty() { 0 } else { self.remember(options) }
    }

    #[inline(never)]
    fn remember(&mut self, options: &[u8]) -> u64 {
        let name = self.names.whole(options);
        if self.places.is_empty() {
            let (sights, turn) = ([(0, 0); SIGHTS], 0);
            let empty = Set { name: 0, seen: 0, sights, turn, len: 0, bytes: [0; OPTIONS_MAX] };
            self.places.resize(GROUPS * WAYS, empty);
        }
        self.seen += 1;
        let seen = self.seen;
        let group = self.group(name);
        let group = self.places.get_mut(group).unwrap_or_default();
        let mut oldest: Option<&mut Set> = None;
        for set in group {
            if set.name == name {
                set.seen = seen;
                return name;
            }
            if oldest.as_ref().is_none_or(|old| set.seen < old.seen) {
                oldest = Some(set);
            }
        }
        if let Some(set) = oldest
            && let Some(bytes) = set.bytes.get_mut(..options.len())
        {
            bytes.copy_from_slice(options);
            (set.name, set.seen, set.len) = (name, seen, options.len() as u8);
            set.sights = [(0, 0); SIGHTS];
        }
        name
    }

    /// The options of this number, none for 0. `None`: they are forgotten.
    pub(crate) fn get(&self, name: u64) -> Option<&[u8]> {
        if name == 0 {
            return Some(&[]);
        }
        let set = self.places.get(self.group(name))?.iter().find(|set| set.name == name)?;
        set.bytes.get(..usize::from(set.len))
    }

    /// The number of what is seen of the options of this number. `None`: they are forgotten, or there are none.
    pub(crate) fn seen(&mut self, name: u64, sight: &Sight) -> Option<u64> {
        let group = self.group(name);
        let set = self.places.get_mut(group)?.iter_mut().find(|set| set.name == name)?;
        if let Some((_, seen)) = set.sights.iter().find(|(number, _)| *number == sight.number) {
            return Some(*seen);
        }
        let options =
            set.bytes.get(..usize::from(set.len)).filter(|options| !options.is_empty())?;
        let seen = self.names.seen(sight, options);
        set.sights[usize::from(set.turn) % SIGHTS] = (sight.number, seen);
        set.turn = set.turn.wrapping_add(1);
        Some(seen)
    }

    fn group(&self, name: u64) -> std::ops::Range<usize> {
        let first = (name >> 32) as usize % GROUPS * WAYS;
        first..first + WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_seen_is_known() {
        let mut table = OptionTable::new(Names::default());
        assert_eq!((table.name(&[]), table.get(0)), (0, Some(&[][..])));
        assert_eq!(table.get(7), None);
        for n in 0u32..5000 {
            let options = n.to_be_bytes().repeat(1 + n as usize % 60);
            let name = table.name(&options);
            assert_eq!(table.get(name), Some(&options[..]));
            assert_eq!(table.name(&options), name);
        }
        assert_eq!(table.places.len(), GROUPS * WAYS, "it does not grow");
    }

    #[test]
    fn workers_agree() {
        let own = Names::default();
        let mut tables = [0; 2].map(|_| OptionTable::new(own.clone()));
        let names = tables.each_mut().map(|t| t.name(b"\x01\x02\x80\0"));
        assert_eq!(names[0], names[1]);
        assert_ne!(OptionTable::new(Names::default()).name(b"\x01\x02\x80\0"), names[0]);
    }

    /// What the table remembers of sights is what they see, however many there are.
    #[test]
    fn sights_tell_what_they_look_at() {
        let names = Names::default();
        let mut table = OptionTable::new(names.clone());
        let option = |kind: u8, value: u8| [1, 2, kind, 1, 0, 0, 0, value];
        let sights: Vec<_> = (0..2 * SIGHTS as u8)
            .map(|kind| {
                let mut mask = OptionMask::default();
                mask.look(0x102, kind, &[0, 0, 0, 0xf]);
                names.sight(&mask)
            })
            .collect();
        let one = [option(0, 5), option(1, 6)].concat();
        let alike = [option(1, 0x16), option(9, 9), option(0, 0x25)].concat();
        let other = option(0, 6);
        for _ in 0..3 {
            for (kind, sight) in sights.iter().enumerate() {
                let mut seen = |options: &[u8]| {
                    let name = table.name(options);
                    table.seen(name, sight).unwrap()
                };
                let first = seen(&one);
                assert_eq!(first, names.seen(sight, &one));
                assert_eq!(first, seen(&alike), "{kind}");
                assert_eq!(first == seen(&other), kind > 1, "{kind}");
            }
        }
        let all: std::collections::HashSet<_> =
            sights.iter().map(|sight| names.seen(sight, &one)).collect();
        assert_eq!(all.len(), sights.len(), "no number is of two sights");
        assert_eq!((names.seen(&sights[0], &[]), table.seen(0, &sights[0])), (0, None));
    }
}
