//! Changing rules.

use crate::action::Instructions;
use crate::matching::Match;
use crate::port::Port;

/// The priority of rules for which none is said.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// Any group.
pub const ANY_GROUP: u32 = 0xffff_ffff;

/// All tables.
pub const ALL_TABLES: u8 = 255;

/// What to do with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Command {
    Add,
    Modify,
    ModifyStrict,
    Delete,
    DeleteStrict,
}

impl Command {
    /// By its number on the wire.
    pub fn from_number(number: u8) -> Option<Command> {
        use Command::*;
        [Add, Modify, ModifyStrict, Delete, DeleteStrict].get(usize::from(number)).copied()
    }

    /// Whether rules go.
    pub fn deletes(self) -> bool {
        matches!(self, Command::Delete | Command::DeleteStrict)
    }
}

/// Flags of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Flags {
    pub send_flow_rem: bool,
    pub check_overlap: bool,
    pub emergency: bool,
    pub reset_counts: bool,
    pub no_packet_counts: bool,
    pub no_byte_counts: bool,
}

/// A change of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What to do.
    pub command: Command,
    /// Which table; [`ALL_TABLES`] for any, where the version leaves it open.
    pub table: u8,
    /// What rules match.
    pub matching: Match,
    /// Among rules that match the same packets, the highest wins.
    pub priority: u16,
    /// Of new and changed rules. All ones: as it was.
    pub new_cookie: u64,
    /// Value and mask, of rules to change or delete.
    pub cookie: (u64, u64),
    /// Seconds without packets; 0 for ever.
    pub idle_timeout: u16,
    /// Seconds; 0 for ever.
    pub hard_timeout: u16,
    /// The least important rules go first when a table is full.
    pub importance: u16,
    /// The packet that the switch kept.
    pub buffer: Option<u32>,
    /// Of rules to delete: only those that send to it. [`Port::NONE`]: any.
    pub out_port: Port,
    /// The same, of groups. [`ANY_GROUP`]: any.
    pub out_group: u32,
    /// What else is asked.
    pub flags: Flags,
    /// What the rule does.
    pub instructions: Instructions,
}

/// All of a flow-mod but what rules match and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in FlowMod
pub struct Head {
    pub command: Command,
    pub table: u8,
    pub priority: u16,
    pub new_cookie: u64,
    pub cookie: (u64, u64),
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub importance: u16,
    pub buffer: Option<u32>,
    pub out_port: Port,
    pub out_group: u32,
    pub flags: Flags,
}

impl Head {
    /// One that does `command` to everything.
    pub fn new(command: Command) -> Head {
        Head {
            command,
            table: ALL_TABLES,
            priority: DEFAULT_PRIORITY,
            new_cookie: if command == Command::Add { 0 } else { u64::MAX },
            cookie: (0, 0),
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            buffer: None,
            out_port: Port::NONE,
            out_group: ANY_GROUP,
            flags: Flags::default(),
        }
    }

    /// The whole of it.
    pub fn with(self, matching: Match, instructions: Instructions) -> FlowMod {
        let Head {
            command, table, priority, new_cookie, cookie, idle_timeout, hard_timeout, ..
        } = self;
        let Head { importance, buffer, out_port, out_group, flags, .. } = self;
        FlowMod {
            command,
            table,
            matching,
            priority,
            new_cookie,
            cookie,
            idle_timeout,
            hard_timeout,
            importance,
            buffer,
            out_port,
            out_group,
            flags,
            instructions,
        }
    }
}

impl FlowMod {
    /// One that does `command` to everything.
    pub fn new(command: Command) -> FlowMod {
        Head::new(command).with(Match::any(), Instructions::default())
    }

    /// All but what rules match and do.
    pub fn head(&self) -> Head {
        Head {
            command: self.command,
            table: self.table,
            priority: self.priority,
            new_cookie: self.new_cookie,
            cookie: self.cookie,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            importance: self.importance,
            buffer: self.buffer,
            out_port: self.out_port,
            out_group: self.out_group,
            flags: self.flags,
        }
    }
}
