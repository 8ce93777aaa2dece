//! Watching rules: a controller asks to hear of changes, and hears of them.

use super::flow_mod::{ALL_TABLES, ANY_GROUP};
use crate::action::Instructions;
use crate::matching::Match;
use crate::port::Port;

/// What a monitor tells. At least one of `add`, `delete` and `modify` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct MonitorFlags {
    /// The rules that are there already.
    pub initial: bool,
    pub add: bool,
    pub delete: bool,
    pub modify: bool,
    /// With actions.
    pub actions: bool,
    /// One's own changes as all others; without it, in short.
    pub own: bool,
    /// One's own changes alone; since OpenFlow 1.4.
    pub only_own: bool,
}

/// What to do with a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MonitorCommand {
    Add,
    Modify,
    Delete,
}

/// A question for changes of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorRequest {
    /// The controller's name for it.
    pub id: u32,
    /// What to do; only [`MonitorCommand::Add`] before OpenFlow 1.4.
    pub command: MonitorCommand,
    /// What to tell.
    pub flags: MonitorFlags,
    /// Rules that send to it; [`Port::NONE`]: any.
    pub out_port: Port,
    /// The same, of groups; since OpenFlow 1.4.
    pub out_group: u32,
    /// Which table; [`ALL_TABLES`] for all.
    pub table: u8,
    /// What rules match, or less of it.
    pub matching: Match,
}

impl MonitorRequest {
    /// Of all changes of all rules.
    pub fn new(id: u32) -> MonitorRequest {
        MonitorRequest {
            id,
            command: MonitorCommand::Add,
            flags: MonitorFlags {
                initial: true,
                add: true,
                delete: true,
                modify: true,
                actions: true,
                own: true,
                only_own: false,
            },
            out_port: Port::NONE,
            out_group: ANY_GROUP,
            table: ALL_TABLES,
            matching: Match::any(),
        }
    }
}

/// What happened to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FlowEvent {
    /// It was there before; since OpenFlow 1.4.
    Initial,
    Added,
    Deleted,
    Modified,
}

impl FlowEvent {
    /// As people call it.
    pub fn name(self) -> &'static str {
        ["INITIAL", "ADDED", "DELETED", "MODIFIED"][self as usize]
    }
}

/// A rule, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowChange {
    /// What happened.
    pub event: FlowEvent,
    /// Why it went, if it did: as in [`REMOVED`](super::stats::REMOVED).
    pub reason: u16,
    /// Its priority.
    pub priority: u16,
    /// Seconds without packets, after which it goes.
    pub idle_timeout: u16,
    /// Seconds after which it goes.
    pub hard_timeout: u16,
    /// Where it is.
    pub table: u8,
    /// Its cookie.
    pub cookie: u64,
    /// What it matches.
    pub matching: Match,
    /// What it does, if that is told.
    pub instructions: Instructions,
}

/// What a monitor tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowUpdate {
    /// A rule changed.
    Full(Box<FlowChange>),
    /// The controller's own change with this transaction was carried out.
    Abbreviated(u32),
    /// There is too much to tell, some will be left out; since OpenFlow 1.4.
    Paused,
    /// Everything is told again; since OpenFlow 1.4.
    Resumed,
}
