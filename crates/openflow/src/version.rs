//! Versions of OpenFlow, and the protocols (a version and how it writes flows) that can carry something.

use std::fmt;

/// A version of OpenFlow. Nothing but `wire`, and the choice of a protocol, looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Version {
    V10 = 1,
    V11,
    V12,
    V13,
    V14,
    V15,
}

impl Version {
    /// All, the oldest first.
    pub const ALL: [Version; 6] =
        [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// The version with this number on the wire.
    pub fn from_wire(number: u8) -> Option<Version> {
        Version::ALL.into_iter().find(|v| *v as u8 == number)
    }

    /// `OpenFlow13`, in upper or lower case.
    pub fn parse(text: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.to_string().eq_ignore_ascii_case(text))
    }

    /// Its place among all versions.
    pub fn index(self) -> usize {
        self as usize - 1
    }

    /// `1.3`
    pub fn dotted(self) -> &'static str {
        ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"][self.index()]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFlow1{}", self.index())
    }
}

/// A version together with how flows are written in it. Only OpenFlow 1.0 leaves a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Protocol {
    /// OpenFlow 1.0 as the standard has it.
    Of10,
    /// OpenFlow 1.0 with the table's number in the command.
    Of10Table,
    /// OpenFlow 1.0 with Nicira's flow-mod and extensible match.
    Nxm,
    /// Both extensions.
    NxmTable,
    Of11,
    Of12,
    Of13,
    Of14,
    Of15,
}

impl Protocol {
    /// All, in the order in which they are preferred.
    pub const ALL: [Protocol; 9] = [
        Protocol::Of10,
        Protocol::Of10Table,
        Protocol::Nxm,
        Protocol::NxmTable,
        Protocol::Of11,
        Protocol::Of12,
        Protocol::Of13,
        Protocol::Of14,
        Protocol::Of15,
    ];

    /// The version of its messages.
    pub fn version(self) -> Version {
        match self {
            Protocol::Of10 | Protocol::Of10Table | Protocol::Nxm | Protocol::NxmTable => {
                Version::V10
            }
            Protocol::Of11 => Version::V11,
            Protocol::Of12 => Version::V12,
            Protocol::Of13 => Version::V13,
            Protocol::Of14 => Version::V14,
            Protocol::Of15 => Version::V15,
        }
    }

    /// Whether a flow-mod's command carries a table's number.
    pub fn has_table(self) -> bool {
        !matches!(self, Protocol::Of10 | Protocol::Nxm)
    }

    /// Whether flow-mods are Nicira's.
    pub fn is_nxm(self) -> bool {
        matches!(self, Protocol::Nxm | Protocol::NxmTable)
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Of10 => "OpenFlow10-table_id",
            Protocol::Of10Table => "OpenFlow10+table_id",
            Protocol::Nxm => "NXM-table_id",
            Protocol::NxmTable => "NXM+table_id",
            Protocol::Of11 => "OpenFlow11",
            Protocol::Of12 => "OXM-OpenFlow12",
            Protocol::Of13 => "OXM-OpenFlow13",
            Protocol::Of14 => "OXM-OpenFlow14",
            Protocol::Of15 => "OXM-OpenFlow15",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocols(u16);

impl Protocols {
    /// All of them.
    pub const ANY: Protocols = Protocols(0x1ff);
    /// None of them.
    pub const NONE: Protocols = Protocols(0);
    /// OpenFlow 1.0 without extensible matches.
    pub const OF10: Protocols = Protocols(0b11);
    /// OpenFlow 1.0 with Nicira's extensible matches.
    pub const NXM: Protocols = Protocols(0b1100);
    /// OpenFlow 1.1.
    pub const OF11: Protocols = Protocols(0b1_0000);
    /// OpenFlow 1.2 and later.
    pub const OXM: Protocols = Protocols(0b1_1110_0000);
    /// OpenFlow 1.3 and later.
    pub const OF13_UP: Protocols = Protocols(0b1_1100_0000);
    /// OpenFlow 1.4 and later.
    pub const OF14_UP: Protocols = Protocols(0b1_1000_0000);
    /// OpenFlow 1.5.
    pub const OF15_UP: Protocols = Protocols(0b1_0000_0000);
    /// Whose flow-mods name a table.
    pub const WITH_TABLE: Protocols = Protocols(0b1_1111_1010);

    /// Those of a version.
    pub fn of_version(version: Version) -> Protocols {
        Protocol::ALL
            .into_iter()
            .filter(|p| p.version() == version)
            .fold(Protocols::NONE, |set, p| set.or(Protocols(1 << p as u16)))
    }

    /// This one alone.
    pub fn only(protocol: Protocol) -> Protocols {
        Protocols(1 << protocol as u16)
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Protocols) -> Protocols {
        Protocols(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub const fn or(self, other: Protocols) -> Protocols {
        Protocols(self.0 | other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `protocol` is among them.
    pub fn has(self, protocol: Protocol) -> bool {
        self.0 & (1 << protocol as u16) != 0
    }

    /// The one to use.
    pub fn preferred(self) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|p| self.has(*p))
    }
}

impl fmt::Display for Protocols {
    /// Families first, by the names that `ovs-ofctl` has for them; then what is left over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FAMILIES: [(Protocols, &str); 4] = [
            (Protocols::ANY, "any"),
            (Protocols::OF10, "OpenFlow10"),
            (Protocols::NXM, "NXM"),
            (Protocols::OXM, "OXM"),
        ];
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut left = *self;
        let mut comma = "";
        for (family, name) in FAMILIES {
            if left.and(family) == family {
                write!(f, "{comma}{name}")?;
                left = Protocols(left.0 & !family.0);
                comma = ",";
            }
        }
        for protocol in Protocol::ALL.into_iter().filter(|p| left.has(*p)) {
            write!(f, "{comma}{protocol}")?;
            comma = ",";
        }
        Ok(())
    }
}
