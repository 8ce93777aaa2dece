//! Sets of kinds of actions: what a switch, a table or a group can do.

use crate::version::Version;

/// A set of kinds of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ActionSet(u32);

/// Bit numbers of a kind of action: in OpenFlow 1.0, in 1.1, in 1.2, and since 1.3.
struct Row {
    name: &'static str,
    numbers: [Option<u8>; 4],
}

const fn row(name: &'static str, of10: i8, of11: i8, of12: i8) -> Row {
    since_13(name, of10, of11, of12, of12)
}

const fn since_13(name: &'static str, of10: i8, of11: i8, of12: i8, of13: i8) -> Row {
    const fn some(number: i8) -> Option<u8> {
        if number < 0 { None } else { Some(number as u8) }
    }
    Row { name, numbers: [some(of10), some(of11), some(of12), some(of13)] }
}

/// All kinds, in the order in which they are listed.
const ROWS: [Row; 29] = [
    row("output", 0, 0, 0),
    row("group", -1, 22, 22),
    row("enqueue", 11, -1, -1),
    row("set_field", -1, -1, 25),
    row("set_vlan_vid", 1, 1, -1),
    row("set_vlan_pcp", 2, 2, -1),
    row("strip_vlan", 3, 18, 18),
    row("push_vlan", -1, 17, 17),
    row("mod_dl_src", 4, 3, -1),
    row("mod_dl_dst", 5, 4, -1),
    row("mod_nw_src", 6, 5, -1),
    row("mod_nw_dst", 7, 6, -1),
    row("mod_nw_tos", 8, 7, -1),
    row("mod_nw_ecn", -1, 8, -1),
    row("mod_nw_ttl", -1, 23, 23),
    row("mod_tp_src", 9, 9, -1),
    row("mod_tp_dst", 10, 10, -1),
    row("dec_ttl", -1, 24, 24),
    row("set_mpls_label", -1, 13, -1),
    row("set_mpls_tc", -1, 14, -1),
    row("set_mpls_ttl", -1, 15, 15),
    row("dec_mpls_ttl", -1, 16, 16),
    row("push_mpls", -1, 19, 19),
    row("pop_mpls", -1, 20, 20),
    row("set_queue", -1, 21, 21),
    // Open vSwitch has none of these.
    row("copy_ttl_out", -1, 11, 11),
    row("copy_ttl_in", -1, 12, 12),
    since_13("push_pbb", -1, -1, -1, 26),
    since_13("pop_pbb", -1, -1, -1, 27),
];

impl Row {
    fn number(&self, version: Version) -> Option<u8> {
        self.numbers[version.index().min(3)]
    }
}

impl ActionSet {
    /// All that `version` has a number for.
    pub fn all(version: Version) -> ActionSet {
        ActionSet::from_bits(u32::MAX, version)
    }

    /// From a version's bits; what it has no action for is left out.
    pub fn from_bits(bits: u32, version: Version) -> ActionSet {
        ROWS.iter()
            .enumerate()
            .filter(|(_, row)| row.number(version).is_some_and(|n| bits >> n & 1 == 1))
            .fold(ActionSet(0), |set, (i, _)| ActionSet(set.0 | 1 << i))
    }

    /// The set with the kind of action that has this number in `version`, if there is one.
    #[must_use]
    pub fn with_number(self, number: u16, version: Version) -> ActionSet {
        let bits = 1u32.checked_shl(number.into()).unwrap_or(0);
        ActionSet(self.0 | ActionSet::from_bits(bits, version).0)
    }

    /// A version's bits.
    pub fn to_bits(self, version: Version) -> u32 {
        self.numbers(version).fold(0, |bits, number| bits | 1 << number)
    }

    /// The numbers in `version`, ascending.
    pub fn numbers(self, version: Version) -> impl Iterator<Item = u8> {
        (0..32).filter(move |number| {
            ROWS.iter()
                .enumerate()
                .any(|(i, row)| self.0 >> i & 1 == 1 && row.number(version) == Some(*number))
        })
    }

    /// The names, in the order in which they are listed.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ROWS.iter().enumerate().filter(move |(i, _)| self.0 >> i & 1 == 1).map(|(_, row)| row.name)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_as_far_as_the_version_knows_them() {
        let known = [0xfff, 0x1ff_ffff, 0x3ff_9801, 0xfff_9801, 0xfff_9801, 0xfff_9801];
        for (version, known) in Version::ALL.into_iter().zip(known) {
            let all = ActionSet::all(version);
            assert_eq!(all.to_bits(version), known, "{version}");
            assert_eq!(all.numbers(version).count() as u32, known.count_ones());
        }
        let set = ActionSet::default().with_number(18, Version::V13).with_number(99, Version::V13);
        assert_eq!(set.names().collect::<Vec<_>>(), ["strip_vlan"]);
    }
}
