//! MAC learning: which port a station (VLAN, MAC address) was last heard on.
//!
//! # Why
//! A bridge without rules forwards by this table. It is filled by whoever sends packets, so it must stay bounded, and one
//! port must not be able to push everybody else's stations out by inventing addresses (IEEE 802.1D says nothing of that;
//! people who run networks do).
//!
//! # Design
//! Entries live in a hash map by (VLAN, MAC); order of age is kept by a use counter (`stamp`) per entry and one ordered set
//! of stamps per port. When the table is full the victim is the least recently used entry of the port that has most entries:
//! a flooding port evicts its own. Entries expire [`MacConfig::aging`] after they were last heard of, and are gone from
//! lookups at that very moment, whether [`MacTable::expire`] ran or not.
//!
//! The table tells *change* (a new station, a move, an expiry: forwarding decisions differ, [`MacTable::version`] grows) from
//! *refresh* (heard again at the same place), because the first must reach the datapath's cached flows and the second is what
//! happens a million times a day.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use base::{Instant, Version};
use packet::wire::ethernet::{Mac, MacText};

/// Settings of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacConfig {
    /// How long a station is remembered after it was last heard (`other_config:mac-aging-time`).
    pub aging: Duration,
    /// Most entries at once (`other_config:mac-table-size`).
    pub max_entries: usize,
}

impl Default for MacConfig {
    fn default() -> Self {
        Self { aging: Duration::from_secs(300), max_entries: 8192 }
    }
}

impl MacConfig {
    /// Brings both settings into the range that the reference documents: 15 s to 1 h, 10 to 1,000,000 entries.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            aging: self.aging.clamp(Duration::from_secs(15), Duration::from_secs(3600)),
            max_entries: self.max_entries.clamp(10, 1_000_000),
        }
    }
}

/// What came of [`MacTable::learn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Known at this very port; its age starts anew.
    Refreshed,
    /// A station not known before.
    New,
    /// Known elsewhere until now.
    Moved,
    /// Nothing was learned: the source is a group address, or the entry is static, or locked by a gratuitous ARP.
    Refused,
}

impl Learned {
    /// Whether forwarding decisions may differ from before.
    pub fn changed(self) -> bool {
        matches!(self, Self::New | Self::Moved)
    }
}

/// What came of [`MacTable::set_static`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetStatic {
    /// Was so already.
    Unchanged,
    /// Entered, or replaced what was there.
    Changed,
    /// The table is full of static entries.
    Full,
}

/// One station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacEntry<P> {
    /// Where it was heard.
    pub port: P,
    /// When it was last heard; `None` for a static entry, which never ages.
    pub heard: Option<Instant>,
    /// Until when packets that came over a bond must not move it.
    locked_until: Option<Instant>,
    /// Order of use; unique.
    stamp: u64,
}

/// Counts since the table was made or [`MacTable::clear_stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdbStats {
    /// Entries ever learned.
    pub learned: u64,
    /// Entries that aged out.
    pub expired: u64,
    /// Entries pushed out of a full table.
    pub evicted: u64,
    /// Entries that changed port.
    pub moved: u64,
}

/// The table of one bridge; `P` names a port.
#[derive(Clone, Debug)]
pub struct MacTable<P> {
    config: MacConfig,
    entries: HashMap<(u16, Mac), MacEntry<P>>,
    /// Learned entries per port in order of use: stamp -> station. Static ones are not here: nothing evicts them.
    by_port: HashMap<P, BTreeMap<u64, (u16, Mac)>>,
    next_stamp: u64,
    version: Version,
    stats: FdbStats,
}

impl<P> Default for MacTable<P> {
    fn default() -> Self {
        Self {
            config: MacConfig::default(),
            entries: HashMap::new(),
            by_port: HashMap::new(),
            next_stamp: 0,
            version: Version::default(),
            stats: FdbStats::default(),
        }
    }
}

impl<P: Copy + Eq + Hash + Ord> MacTable<P> {
    /// An empty table.
    pub fn new(config: MacConfig) -> Self {
        Self { config: config.clamped(), ..Self::default() }
    }

    /// Grows whenever an answer of [`MacTable::lookup`] may differ from before.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where a station is.
    pub fn lookup(&self, vlan: u16, mac: Mac, now: Instant) -> Option<P> {
        self.entries.get(&(vlan, mac)).filter(|e| self.is_alive(e, now)).map(|e| e.port)
    }

    fn is_alive(&self, entry: &MacEntry<P>, now: Instant) -> bool {
        entry.heard.is_none_or(|heard| now < heard + self.config.aging)
    }
}
