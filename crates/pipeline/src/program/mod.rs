//! What controllers have programmed into a bridge: its tables of rules, its groups, its meters.
//!
//! # What
//! A [`Program`] is the state behind OpenFlow. Messages change it ([`Program::flow_mod`] and its like), a message wholly or not
//! at all; translation reads it ([`Program::lookup`], [`Program::group`]); time passes over it ([`Program::expire`]).
//! What happened comes back as [`Changes`], for whoever tells controllers of it.
//!
//! # Why not in the snapshot
//! A snapshot is made anew when the operator changes the configuration, now and then. Rules come by the ten thousand a second,
//! and each must cost its own size, not the table's. So a program is changed in place, by one writer, and whoever reads it
//! while a bundle is being committed waits for the whole of it.
//!
//! # All or nothing
//! Every change goes through a few steps (`store`), each of which is a [`Change`] that can be undone. A message, or a
//! [bundle](Program::bundle) of them, that fails half way undoes its changes, last first.
//!
//! # Versions
//! [`Program::version`] grows with every message or bundle that could change a translation's answer, once.

mod aside;
mod bundle;
mod change;
mod check;
mod eviction;
mod expiry;
mod flow_mod;
mod fragment;
mod group_mod;
mod index;
mod learned;
mod meter_mod;
mod option_mod;
mod select;
mod settings;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod touched;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Instant, Version};
use classifier::Shapes;
use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::{Action, Code, Error, Instructions, Port};

pub use aside::Books;
pub use bundle::{Edit, Failed};
pub use change::{Change, Changes, Removed};
pub use select::{sends_to, uses_group};
pub use settings::{Miss, Overflow, TableSettings, Vacancy};
pub(crate) use store::for_each_action;
pub use touched::{TableSet, Touched};

use crate::group::Group;
use crate::key::{Key, KeyMask, WORDS};
use crate::meter::Meter;
use crate::options::Options;
use crate::pattern::LAYOUT;
use crate::rule::Rule;
use crate::table::Table;
use expiry::Timers;
use flow::frag;
use fragment::FragmentRule;
use index::Index;
use learned::{Learners, Limits};
use openflow::message::switch::Fragments;
use shared::Shared;

/// How many tables a bridge has for controllers: 0 to 253; 254 is the switch's own.
pub const TABLES: u8 = 254;

/// The switch's own table.
pub const INTERNAL_TABLE: u8 = 254;

/// How many meters a bridge can have, and how many bands each.
pub const METERS: u32 = 0x4_0000;
/// How many bands a meter can have.
pub const BANDS: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct Program {
    /// Made when they get their first rule.
    tables: Vec<Option<Box<Table>>>,
    settings: BTreeMap<u8, TableSettings>,
    /// Tables with less room than their settings call for.
    crowded: BTreeMap<u8, bool>,
    groups: BTreeMap<u32, Arc<Group>>,
    meters: BTreeMap<u32, Arc<Meter>>,
    /// Rules by cookie, and by the groups and meters that they use.
    cookies: Index<u64>,
    group_users: Index<u32>,
    meter_users: Index<u32>,
    learners: Learners,
    limits: Limits,
    shapes: Shapes<WORDS>,
    instructions: Shared,
    timers: Timers,
    fragments: FragmentRule,
    tells_misses: bool,
    in_band: bool,
    options: Arc<Options>,
    seed: u64,
    next_id: u64,
    version: Version,
    touched: Touched,
}

impl Program {
    /// No rules. The seed should be secret: see [`classifier::Rules::new`].
    pub fn new(seed: u64) -> Self {
        let mut this = Self {
            tables: std::iter::repeat_with(|| None).take(256).collect(),
            settings: BTreeMap::new(),
            crowded: BTreeMap::new(),
            groups: BTreeMap::new(),
            meters: BTreeMap::new(),
            cookies: Index::new(seed),
            group_users: Index::new(seed),
            meter_users: Index::new(seed),
            learners: Learners::default(),
            limits: Limits::default(),
            shapes: Shapes::new(&LAYOUT),
            instructions: Shared::new(seed),
            timers: Timers::default(),
            fragments: FragmentRule::default(),
            tells_misses: false,
            in_band: false,
            options: Arc::default(),
            seed,
            next_id: 0,
            version: Version::default(),
            touched: Touched::default(),
        };
        this.add_internal();
        this
    }

    /// What a bridge without controllers does unless it is told to be secure: one rule, NORMAL for everything.
    pub fn standalone(seed: u64, now: Instant) -> Self {
        let mut this = Self::new(seed);
        let normal = Action::Output { port: Port::NORMAL, max_len: 0 };
        let flow_mod = FlowMod {
            table: 0,
            priority: 0,
            instructions: Instructions::apply(vec![normal]),
            ..FlowMod::new(Command::Add)
        };
        // A rule that matches all and outputs to NORMAL cannot be refused.
        let _ = this.flow_mod(&flow_mod, now);
        this
    }

    /// Grows with every change of what packets meet.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What has changed since this was last asked. Nothing, if the version is the same.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    /// Something that is in no one table has changed.
    fn changed(&mut self) {
        self.version = self.version.next();
        self.touched.beyond();
    }

    /// A table; `None` while it has never held a rule.
    pub fn table(&self, id: u8) -> Option<&Table> {
        self.tables.get(usize::from(id))?.as_deref()
    }

    /// The tables that hold or have held rules, by number.
    pub fn tables(&self) -> impl Iterator<Item = (u8, &Table)> {
        (0..=u8::MAX).zip(&self.tables).filter_map(|(id, t)| Some((id, t.as_deref()?)))
    }

    /// The rule that a packet meets in a table. Adds to `looked` what the answer depends on.
    pub fn lookup(&self, table: u8, key: &Key, looked: &mut KeyMask) -> Option<&Arc<Rule>> {
        if key.flow.ip_frag & frag::ANY != 0 && self.fragments.mode != Fragments::NxMatch {
            return self.lookup_fragment(table, key, looked);
        }
        self.table(table)?.lookup(key, looked)
    }

    /// A group.
    pub fn group(&self, id: u32) -> Option<&Arc<Group>> {
        self.groups.get(&id)
    }

    /// All groups, by number.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// A meter.
    pub fn meter(&self, id: u32) -> Option<&Arc<Meter>> {
        self.meters.get(&id)
    }

    /// All meters, by number.
    pub fn meters(&self) -> impl Iterator<Item = &Arc<Meter>> {
        self.meters.values()
    }

    /// Does something wholly or not at all, as one version.
    fn whole<E>(
        &mut self,
        f: impl FnOnce(&mut Self, &mut Changes) -> Result<(), E>,
    ) -> Result<Changes, E> {
        let mut changes = Changes::new();
        match f(self, &mut changes) {
            Ok(()) => {
                self.forget_learned(&mut changes);
                if !changes.is_empty() {
                    self.version = self.version.next();
                    changes.iter().for_each(|change| change.touch(&mut self.touched));
                    self.watch_vacancy(&mut changes);
                }
                Ok(changes)
            }
            Err(error) => {
                self.undo(changes);
                self.learners.forgive();
                Err(error)
            }
        }
    }
}

fn refuse(code: Code, what: &'static str) -> Error {
    Error { code, what, at: 0, bytes: Vec::new() }
}
