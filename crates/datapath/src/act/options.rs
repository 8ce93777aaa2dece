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

use std::hash::{BuildHasher, RandomState};

use packet::wire::geneve::OPTIONS_MAX;

/// Groups of places.
const GROUPS: usize = 64;
/// Places in a group.
const WAYS: usize = 8;

#[derive(Clone)]
struct Set {
    name: u64,
    /// When it was last seen, in sets seen.
    seen: u64,
    len: u8,
    bytes: [u8; OPTIONS_MAX],
}

/// See the module's essay.
pub(crate) struct OptionTable {
    hasher: RandomState,
    /// Empty until there are options at all.
    places: Vec<Set>,
    seen: u64,
}

impl OptionTable {
    /// All workers of a datapath have the same `hasher`.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { hasher, places: Vec::new(), seen: 0 }
    }

    /// The number of these options, 0 for none; what it stands for is remembered for a while.
    #[inline]
    pub(crate) fn name(&mut self, options: &[u8]) -> u64 {
        if options.is_empty() { 0 } else { self.remember(options) }
    }

    #[inline(never)]
    fn remember(&mut self, options: &[u8]) -> u64 {
        let name = name_of(&self.hasher, options);
        if self.places.is_empty() {
            let empty = Set { name: 0, seen: 0, len: 0, bytes: [0; OPTIONS_MAX] };
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

    fn group(&self, name: u64) -> std::ops::Range<usize> {
        let first = (name >> 32) as usize % GROUPS * WAYS;
        first..first + WAYS
    }
}

/// The number of options in all tables with that hasher; 0 for none.
pub(crate) fn name_of(hasher: &RandomState, options: &[u8]) -> u64 {
    if options.is_empty() { 0 } else { hasher.hash_one(options) | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_seen_is_known() {
        let mut table = OptionTable::new(RandomState::new());
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
        let hasher = RandomState::new();
        let mut tables = [0; 2].map(|_| OptionTable::new(hasher.clone()));
        let names = tables.each_mut().map(|t| t.name(b"\x01\x02\x80\0"));
        assert_eq!(names[0], names[1]);
        assert_ne!(OptionTable::new(RandomState::new()).name(b"\x01\x02\x80\0"), names[0]);
    }
}
