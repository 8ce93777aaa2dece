//! MAC learning: which port a station (VLAN, MAC address) was last heard on.
//!
//! # Why
//! A bridge without rules forwards by this table. It is filled by whoever sends packets, so it must stay bounded, and one
//! port must not be able to push everybody else's stations out by inventing addresses (IEEE 802.1D says nothing of that;
//! people who run networks do).
//!
//! # Design
//! Entries live in a hash map by (VLAN, MAC); order of age is kept by when an entry was heard, and one ordered set of that per
//! port. When the table is full the victim is the least recently used entry of the port that has most entries:
//! a flooding port evicts its own. Entries expire [`MacConfig::aging`] after they were last heard of, and are gone from
//! lookups at that very moment, whether [`MacTable::expire`] ran or not.
//!
//! The table tells *change* (a new station, a move, an expiry: forwarding decisions differ, [`MacTable::version`] grows) from
//! *refresh* (heard again at the same place), because the first must reach the datapath's cached flows and the second is what
//! happens a million times a day.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::hash::Hash;
use std::time::Duration;

use base::{Instant, Version};
use packet::wire::ethernet::{Mac, MacText, is_multicast};

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

/// By so much an entry may seem older than it is.
pub const REFRESH: Duration = Duration::from_millis(100);

/// So long a station is not taken to have moved behind a bond by what it said everywhere.
const ANNOUNCED: Duration = Duration::from_secs(5);

/// What came of [`MacTable::learn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Known at this very port; its age starts anew.
    Refreshed,
    /// A station not known before.
    New,
    /// Known elsewhere until now.
    Moved,
    /// Nothing was learned: the source is a group address, or the entry is static, or newer.
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
    /// Order of use among those heard at one time; unique.
    stamp: u64,
}

impl<P> MacEntry<P> {
    fn age_order(&self) -> (Instant, u64) {
        (self.heard.unwrap_or_default(), self.stamp)
    }
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

/// Stations by (when heard, order of use).
type ByAge = BTreeMap<(Instant, u64), (u16, Mac)>;

/// The table of one bridge; `P` names a port.
#[derive(Clone, Debug)]
pub struct MacTable<P> {
    config: MacConfig,
    entries: HashMap<(u16, Mac), MacEntry<P>>,
    /// Learned entries per port, the longest unheard first. Static ones are not here: nothing evicts them.
    by_port: HashMap<P, ByAge>,
    /// Until when stations count as having told by themselves where they are; no more of them than entries.
    announced: HashMap<(u16, Mac), Instant>,
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
            announced: HashMap::new(),
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

    /// The settings in force.
    pub fn config(&self) -> MacConfig {
        self.config
    }

    /// Counts.
    pub fn stats(&self) -> FdbStats {
        self.stats
    }

    /// Sets the counts to zero.
    pub fn clear_stats(&mut self) {
        self.stats = FdbStats::default();
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries are static.
    pub fn static_len(&self) -> usize {
        self.entries.len() - self.by_port.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Where a station is.
    pub fn lookup(&self, vlan: u16, mac: Mac, now: Instant) -> Option<P> {
        self.entries.get(&(vlan, mac)).filter(|e| self.is_alive(e, now)).map(|e| e.port)
    }

    /// All entries, the longest unused first.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Mac, &MacEntry<P>)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(_, e)| e.age_order());
        all.into_iter().map(|((vlan, mac), e)| (*vlan, *mac, e))
    }

    fn is_alive(&self, entry: &MacEntry<P>, now: Instant) -> bool {
        entry.heard.is_none_or(|heard| now < heard + self.config.aging)
    }

    fn changed(&mut self) {
        self.version = self.version.next();
    }

    /// A packet from `mac` came in by `port` at `now`. That may lie in the past (flow statistics tell late): what was heard
    /// since counts more.
    pub fn learn(&mut self, vlan: u16, mac: Mac, port: P, now: Instant) -> Learned {
        if is_multicast(&mac) {
            return Learned::Refused;
        }
        let key = (vlan, mac);
        let outcome = match self.entries.get(&key).copied() {
            Some(old) if old.heard.is_none() => return Learned::Refused,
            Some(old) if !self.is_alive(&old, now) => {
                self.unlink(key);
                self.stats.expired += 1;
                Learned::New
            }
            Some(old) if old.heard > Some(now) && old.port == port => return Learned::Refreshed,
            Some(old) if old.heard > Some(now) => return Learned::Refused,
            Some(old) => {
                self.unlink(key);
                if old.port == port { Learned::Refreshed } else { Learned::Moved }
            }
            None => Learned::New,
        };
        if outcome == Learned::New && !self.make_room() {
            return Learned::Refused;
        }
        self.link(key, port, now);
        self.stats.learned += u64::from(outcome == Learned::New);
        self.stats.moved += u64::from(outcome == Learned::Moved);
        if outcome.changed() {
            self.changed();
        }
        outcome
    }

    /// Whether [`MacTable::learn`] would do more than let an entry be heard a little (less than [`REFRESH`]) later: whoever may not
    /// write can ask this first.
    pub fn has_news(&self, vlan: u16, mac: Mac, port: P, now: Instant) -> bool {
        match self.entries.get(&(vlan, mac)) {
            None => !is_multicast(&mac),
            Some(entry) => entry.heard.is_some_and(|heard| {
                entry.port != port || now.since(heard) >= REFRESH || !self.is_alive(entry, now)
            }),
        }
    }

    /// A station has told everybody where it is, by gratuitous ARP, and not through a bond.
    pub fn announce(&mut self, vlan: u16, mac: Mac, now: Instant) {
        if self.entries.contains_key(&(vlan, mac)) {
            self.announced.insert((vlan, mac), now + ANNOUNCED);
        }
    }

    /// Whether a station told that a moment ago: what comes back of it by a bond does not move the station.
    pub fn has_announced(&self, vlan: u16, mac: Mac, now: Instant) -> bool {
        self.announced.get(&(vlan, mac)).is_some_and(|until| now < *until)
    }

    fn next_stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }

    fn link(&mut self, key: (u16, Mac), port: P, now: Instant) {
        let entry = MacEntry { port, heard: Some(now), stamp: self.next_stamp() };
        self.entries.insert(key, entry);
        self.by_port.entry(port).or_default().insert(entry.age_order(), key);
    }

    /// Removes an entry for good.
    fn forget(&mut self, key: (u16, Mac)) {
        self.announced.remove(&key);
        self.unlink(key);
    }

    fn unlink(&mut self, key: (u16, Mac)) -> Option<MacEntry<P>> {
        let entry = self.entries.remove(&key)?;
        if let Some(of_port) = self.by_port.get_mut(&entry.port) {
            of_port.remove(&entry.age_order());
            if of_port.is_empty() {
                self.by_port.remove(&entry.port);
            }
        }
        Some(entry)
    }

    /// Sees to it that one more entry fits; fails when all entries are static.
    fn make_room(&mut self) -> bool {
        self.evict_down_to(self.config.max_entries.saturating_sub(1))
    }

    /// Evicts learned entries, each the longest unused one of the port that has most; fails when only static ones are left.
    fn evict_down_to(&mut self, len: usize) -> bool {
        while self.entries.len() > len {
            let crowded = self.by_port.iter().max_by_key(|(port, of_port)| (of_port.len(), **port));
            let Some(victim) = crowded.and_then(|(_, of_port)| of_port.values().next().copied())
            else {
                return false;
            };
            self.forget(victim);
            self.stats.evicted += 1;
            self.changed();
        }
        true
    }

    /// Forgets who was not heard of for too long. Says whether there was anybody.
    pub fn expire(&mut self, now: Instant) -> bool {
        let dead: Vec<_> = self
            .by_port
            .values()
            .flat_map(|of_port| {
                let oldest_first = of_port.values();
                oldest_first
                    .take_while(|k| self.entries.get(k).is_some_and(|e| !self.is_alive(e, now)))
            })
            .copied()
            .collect();
        for key in &dead {
            self.forget(*key);
        }
        self.stats.expired += dead.len() as u64;
        let announced = self.announced.len();
        self.announced.retain(|_, until| now < *until);
        if !dead.is_empty() || self.announced.len() != announced {
            self.changed();
        }
        !dead.is_empty()
    }

    /// When [`MacTable::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.by_port.values().filter_map(|of_port| of_port.values().next());
        oldest.filter_map(|key| self.entries.get(key)?.heard).min().map(|t| t + self.config.aging)
    }

    /// Fixes a station to a port; it neither ages nor moves.
    pub fn set_static(&mut self, vlan: u16, mac: Mac, port: P) -> SetStatic {
        let key = (vlan, mac);
        match self.unlink(key) {
            Some(same) if same.heard.is_none() && same.port == port => {
                self.entries.insert(key, same);
                return SetStatic::Unchanged;
            }
            Some(_) => {}
            None if !self.make_room() => return SetStatic::Full,
            None => {}
        }
        let stamp = self.next_stamp();
        self.entries.insert(key, MacEntry { port, heard: None, stamp });
        self.changed();
        SetStatic::Changed
    }

    /// Removes a static entry. Says whether there was one.
    pub fn remove_static(&mut self, vlan: u16, mac: Mac) -> bool {
        let key = (vlan, mac);
        let found = self.entries.get(&key).is_some_and(|e| e.heard.is_none());
        if found {
            self.entries.remove(&key);
            self.changed();
        }
        found
    }

    /// Forgets everything but static entries. Says whether there was anything.
    pub fn flush(&mut self) -> bool {
        self.retain(|e| e.heard.is_none())
    }

    /// A port is gone, or means something else now: forgets its stations, static ones too. Says whether there were any.
    pub fn forget_port(&mut self, port: P) -> bool {
        self.retain(|e| e.port != port)
    }

    fn retain(&mut self, keep: impl Fn(&MacEntry<P>) -> bool) -> bool {
        let gone: Vec<_> =
            self.entries.iter().filter(|(_, e)| !keep(e)).map(|(key, _)| *key).collect();
        for key in &gone {
            self.forget(*key);
        }
        if !gone.is_empty() {
            self.changed();
        }
        !gone.is_empty()
    }

    /// Takes new settings; a smaller table evicts at once.
    pub fn set_config(&mut self, config: MacConfig) {
        let config = config.clamped();
        if config == self.config {
            return;
        }
        self.config = config;
        self.evict_down_to(config.max_entries);
        self.changed();
    }
}

impl<P: Copy + Eq + Hash + Ord + fmt::Display> MacTable<P> {
    /// `fdb/show`, as the reference prints it.
    pub fn show(&self, now: Instant) -> String {
        let mut out = String::from(" Port  VLAN  MAC                Age\n");
        for (vlan, mac, entry) in self.iter().filter(|(_, _, e)| self.is_alive(e, now)) {
            let _ = write!(out, "{:>5}  {vlan:>4}  {}  ", entry.port, MacText(&mac));
            let _ = match entry.heard {
                Some(heard) => writeln!(out, "{:>3}", now.since(heard).as_secs()),
                None => writeln!(out, "static"),
            };
        }
        out
    }

    /// `fdb/stats-show`, as the reference prints it.
    pub fn show_stats(&self, bridge: &str) -> String {
        let FdbStats { learned, expired, evicted, moved } = self.stats;
        let (len, max, fixed) = (self.len(), self.config.max_entries, self.static_len());
        format!(
            "Statistics for bridge \"{bridge}\":\n\
             \x20 Current/maximum MAC entries in the table: {len}/{max}\n\
             \x20 Current static MAC entries in the table : {fixed}\n\
             \x20 Total number of learned MAC entries     : {learned}\n\
             \x20 Total number of expired MAC entries     : {expired}\n\
             \x20 Total number of evicted MAC entries     : {evicted}\n\
             \x20 Total number of port moved MAC entries  : {moved}\n"
        )
    }
}

#[cfg(test)]
mod tests;
