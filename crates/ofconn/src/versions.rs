//! Sets of OpenFlow versions, as hellos carry them.

use std::fmt;

use openflow::{Protocols, Version};

/// A set of versions: bit N for version N on the wire, of which there may be some that we do not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Versions(pub u32);

impl Versions {
    /// All that we know.
    pub const ALL: Versions = Versions(0b111_1110);

    /// Those that some protocol of the set belongs to.
    pub fn of(protocols: Protocols) -> Versions {
        let has = |v: &Version| !protocols.and(Protocols::of_version(*v)).is_empty();
        Versions(Version::ALL.into_iter().filter(has).fold(0, |set, v| set | 1 << v as u32))
    }

    /// This one alone.
    pub fn only(version: Version) -> Versions {
        Versions(1 << version as u32)
    }

    /// Whether `version` is in it.
    pub fn has(self, version: Version) -> bool {
        self.0 & 1 << version as u32 != 0
    }

    /// The highest that we know.
    pub fn highest(self) -> Option<Version> {
        Version::ALL.into_iter().rev().find(|v| self.has(*v))
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Versions) -> Versions {
        Versions(self.0 & other.0)
    }
}

impl fmt::Display for Versions {
    /// `version 0x04`, `version 0x06 and earlier`, `versions 0x01, 0x03`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = (0..32).filter(|n| self.0 >> n & 1 == 1).collect();
        match numbers[..] {
            [] => f.write_str("no versions"),
            [one] => write!(f, "version 0x{one:02x}"),
            // All from 1.0 on.
            [1, .., last] if numbers.len() == last as usize => {
                write!(f, "version 0x{last:02x} and earlier")
            }
            _ => {
                let texts: Vec<String> = numbers.iter().map(|n| format!("0x{n:02x}")).collect();
                write!(f, "versions {}", texts.join(", "))
            }
        }
    }
}
