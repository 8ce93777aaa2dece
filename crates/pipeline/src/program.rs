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
//! # Versions
//! [`Program::version`] grows with every change that could change a translation's answer.

use std::sync::Arc;

use base::{Instant, Version};
use openflow::message::FlowMod;
use openflow::message::flow_mod::{ALL_TABLES, Command};
use openflow::{Action, Code, Error, Instructions, Port};

use crate::key::{Key, KeyMask, MatchKey};
use crate::rule::{Rule, Usage};
use crate::table::Table;

/// How many tables a bridge has for controllers: 0 to 253; 254 is the switch's own.
pub const TABLES: u8 = 254;

/// See the module.
#[derive(Debug)]
pub struct Program {
    /// Made when they get their first rule.
    tables: Vec<Option<Box<Table>>>,
    seed: u64,
    version: Version,
}

/// Why a rule is gone. The numbers are OpenFlow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Removed {
    Idle = 0,
    Hard = 1,
    Delete = 2,
    GroupDelete = 3,
    MeterDelete = 4,
    Eviction = 5,
}

/// One thing that has happened to a rule.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Change {
    Added(Arc<Rule>),
    /// Before and after.
    Modified(Arc<Rule>, Arc<Rule>),
    Removed(Arc<Rule>, Removed),
}

/// What has happened, in order.
pub type Changes = Vec<Change>;

impl Program {
    /// No rules. The seed should be secret: see [`classifier::Rules::new`].
    pub fn new(seed: u64) -> Self {
        let tables = std::iter::repeat_with(|| None).take(256).collect();
        Self { tables, seed, version: Version::default() }
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
        self.table(table)?.lookup(key, looked)
    }

    /// Does what a controller asks, or nothing of it.
    pub fn flow_mod(&mut self, request: &FlowMod, now: Instant) -> Result<Changes, Error> {
        let pattern = MatchKey::new(&request.matching)
            .ok_or_else(|| refuse(Code::NXFMFC_INVALID_TLV_FIELD, "tunnel option"))?;
        let changes = match request.command {
            Command::Add => self.add(request, pattern, now)?,
            _ => self.delete(request, &pattern),
        };
        if !changes.is_empty() {
            self.version = self.version.next();
        }
        Ok(changes)
    }

    fn add(
        &mut self,
        request: &FlowMod,
        pattern: MatchKey,
        now: Instant,
    ) -> Result<Changes, Error> {
        let table = if request.table == ALL_TABLES { 0 } else { request.table };
        let rule = Arc::new(Rule {
            table,
            priority: request.priority.into(),
            matching: request.matching.clone(),
            pattern,
            cookie: request.new_cookie,
            idle_timeout: request.idle_timeout,
            hard_timeout: request.hard_timeout,
            importance: request.importance,
            flags: request.flags,
            instructions: Arc::new(request.instructions.clone()),
            created: now,
            modified: now,
            usage: Arc::new(Usage::new(now)),
        });
        let seed = self.seed;
        let slot = &mut self.tables[usize::from(table)];
        let place = slot.get_or_insert_with(|| Box::new(Table::new(seed)));
        Ok(match place.insert(rule.clone()) {
            Some(old) => vec![Change::Modified(old, rule)],
            None => vec![Change::Added(rule)],
        })
    }

    fn delete(&mut self, request: &FlowMod, pattern: &MatchKey) -> Changes {
        let all = request.table == ALL_TABLES;
        let strict = request.command == Command::DeleteStrict;
        let mut changes = Vec::new();
        for (id, table) in (0u8..).zip(&mut self.tables) {
            let Some(table) = table.as_deref_mut().filter(|_| all || id == request.table) else {
                continue;
            };
            let gone: Vec<_> = table
                .rules()
                .filter(|rule| !rule.is_hidden() && (!strict || rule.pattern == *pattern))
                .cloned()
                .collect();
            for rule in gone {
                table.remove(&rule);
                changes.push(Change::Removed(rule, Removed::Delete));
            }
        }
        changes
    }
}

fn refuse(code: Code, what: &'static str) -> Error {
    Error { code, what, at: 0, bytes: Vec::new() }
}
