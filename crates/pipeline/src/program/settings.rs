//! What is set about a table, apart from its rules: by the database (`Flow_Table` of ovs-vswitchd.conf.db(5)) and by controllers
//! (table-mods).

use classifier::Part;
use openflow::Field;

use super::{Change, Changes, Program};
use crate::eviction::Evictor;
use crate::pattern::part;

/// What becomes of packets that meet no rule (before OpenFlow 1.3, which has rules for that).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Miss {
    /// As the version of the controller has it.
    #[default]
    Default,
    /// To the controllers.
    Controller,
    /// On to the next table.
    Continue,
    /// Dropped.
    Drop,
}

/// What a full table does with a new rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Refuses it.
    #[default]
    Refuse,
    /// Makes room: a rule with a timeout goes, out of the largest of the groups that these fields make, the least important
    /// and then the soonest to expire.
    Evict(Vec<Field>),
}

/// Events of a table that runs out of room, and has room again: free percents of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacancy {
    /// Below so much it is short of room.
    pub down: u8,
    /// Above so much it has room again.
    pub up: u8,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// Its name; empty for none.
    pub name: String,
    /// How many rules it can have; `None`: as many as there is memory for.
    pub limit: Option<u32>,
    /// What it does when there are so many.
    pub overflow: Overflow,
    /// Whether a controller has asked for eviction (OpenFlow 1.4), which does without groups.
    pub evict: bool,
    /// What a controller wants to know of its room (OpenFlow 1.4).
    pub vacancy: Option<Vacancy>,
    /// What becomes of packets that meet no rule.
    pub miss: Miss,
    /// Fields whose prefixes are kept in tries.
    pub prefixes: Vec<Field>,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            limit: None,
            overflow: Overflow::Refuse,
            evict: false,
            vacancy: None,
            miss: Miss::Default,
            prefixes: PREFIXES.to_vec(),
        }
    }
}

/// The fields whose prefixes are kept in tries unless something else is set.
const PREFIXES: [Field; 4] = [Field::IpDst, Field::IpSrc, Field::Ipv6Dst, Field::Ipv6Src];

impl TableSettings {
    pub(super) fn parts(&self) -> Vec<Part> {
        self.prefixes.iter().filter_map(|field| part(*field)).collect()
    }

    /// Whether a full table makes room.
    pub fn evicts(&self) -> bool {
        self.evict || matches!(self.overflow, Overflow::Evict(_))
    }

    /// The fields that make groups of which rules are evicted; `None` if a full table does not make room.
    pub(super) fn evicted_by(&self) -> Option<Vec<Field>> {
        match &self.overflow {
            Overflow::Evict(fields) => Some(fields.clone()),
            Overflow::Refuse => self.evict.then(Vec::new),
        }
    }
}

impl Program {
    /// What becomes of packets that meet no rule of a table: never [`Miss::Default`].
    pub fn on_miss(&self, table: u8) -> Miss {
        match self.settings.get(&table).map_or(Miss::Default, |settings| settings.miss) {
            Miss::Default if self.tells_misses => Miss::Controller,
            Miss::Default => Miss::Drop,
            set => set,
        }
    }

    /// Whether packets that meet no rule go to the controllers where nothing else is set: so it is before OpenFlow 1.3.
    pub fn tells_misses(&self) -> bool {
        self.tells_misses
    }

    /// See [`Program::tells_misses`].
    pub fn tell_misses(&mut self, told: bool) {
        if self.tells_misses != told {
            self.tells_misses = told;
            self.changed();
        }
    }

    /// Whether controllers may be reached through the bridge itself.
    pub fn is_in_band(&self) -> bool {
        self.in_band
    }

    /// See [`Program::is_in_band`].
    pub fn set_in_band(&mut self, in_band: bool) {
        if self.in_band != in_band {
            self.in_band = in_band;
            self.changed();
        }
    }

    /// A table's settings.
    pub fn settings(&self, table: u8) -> TableSettings {
        self.settings.get(&table).cloned().unwrap_or_default()
    }

    /// Sets a table up. Rules in excess of its limit go if it evicts and they can; others stay until something else removes
    /// them.
    pub fn configure(
        &mut self,
        table: u8,
        settings: TableSettings,
        _now: base::Instant,
    ) -> Changes {
        let parts = settings.parts();
        let before = self.settings.get(&table).and_then(|s| s.evicted_by());
        let evicted_by = settings.evicted_by();
        let same_miss = self.settings(table).miss == settings.miss;
        if settings == TableSettings::default() {
            self.settings.remove(&table);
        } else {
            self.settings.insert(table, settings);
        }
        if let Some(Some(place)) = self.tables.get_mut(usize::from(table)) {
            place.set_prefixes(&parts);
            if evicted_by != before {
                place.set_evictor(evicted_by.map(|fields| Evictor::new(&fields)));
            }
        }
        if !same_miss {
            self.changed();
        }
        let done: Result<Changes, std::convert::Infallible> = self.whole(|this, changes| {
            this.shrink(table, changes);
            Ok(())
        });
        let mut changes = done.unwrap_or_default();
        self.watch_vacancy(&mut changes);
        changes
    }

    /// The table of that name.
    pub fn table_by_name(&self, name: &str) -> Option<u8> {
        self.settings.iter().find(|(_, s)| !name.is_empty() && s.name == name).map(|(id, _)| *id)
    }

    /// Tells of tables that have become short of room, or no longer are.
    pub(super) fn watch_vacancy(&mut self, changes: &mut Changes) {
        for (table, settings) in &self.settings {
            let (Some(vacancy), Some(limit)) = (settings.vacancy, settings.limit) else {
                self.crowded.remove(table);
                continue;
            };
            let place = self.tables.get(usize::from(*table)).and_then(|t| t.as_deref());
            let used = place.map_or(0, |t| t.len() as u64);
            let free = u64::from(limit).saturating_sub(used) * 100;
            let percent = |p: u8| u64::from(p) * u64::from(limit);
            let low = self.crowded.entry(*table).or_default();
            if !*low && free < percent(vacancy.down) || *low && free > percent(vacancy.up) {
                *low = !*low;
                changes.push(Change::Vacancy { table: *table, low: *low });
            }
        }
    }
}
