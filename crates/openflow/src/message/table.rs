//! Tables: how they are set up, and what they can do.

use std::collections::BTreeSet;

use super::actions::ActionSet;
use crate::field::Field;

/// What is done with packets that no rule matches, in OpenFlow 1.1 and 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableMiss {
    /// They go to the controller.
    Controller,
    /// They go to the next table.
    Continue,
    /// They are dropped.
    Drop,
}

impl TableMiss {
    /// All, by number.
    pub const ALL: [TableMiss; 3] = [TableMiss::Controller, TableMiss::Continue, TableMiss::Drop];

    /// The name.
    pub fn name(self) -> &'static str {
        ["controller", "continue", "drop"][self as usize]
    }
}

/// How full a table is, in percent of free room, when the controller hears of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vacancy {
    /// When there is less than that.
    pub down: u8,
    /// When there is more than that again.
    pub up: u8,
    /// What there is now; 0 in changes.
    pub now: u8,
}

/// By what rules are chosen that make room for others: names of bits.
pub const EVICTION: [&str; 3] = ["OTHER", "IMPORTANCE", "LIFETIME"];

/// A change of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMod {
    /// Which; 255 for all.
    pub table: u8,
    /// What is done with packets that no rule matches; in OpenFlow 1.1 and 1.2.
    pub miss: Option<TableMiss>,
    /// Whether a full table makes room; since OpenFlow 1.4.
    pub eviction: Option<bool>,
    /// Bits of [`EVICTION`], if they are said.
    pub eviction_flags: Option<u32>,
    /// Whether the controller hears how full the table is; since OpenFlow 1.4.
    pub vacancy_events: Option<bool>,
    /// When.
    pub vacancy: Option<Vacancy>,
}

/// How a table is set up; since OpenFlow 1.4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableDesc {
    /// Which.
    pub table: u8,
    /// Whether it makes room when it is full.
    pub eviction: bool,
    /// Bits of [`EVICTION`], if they are said.
    pub eviction_flags: Option<u32>,
    /// Whether controllers hear how full it is.
    pub vacancy_events: bool,
    /// When.
    pub vacancy: Option<Vacancy>,
}

/// Why a controller hears of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum TableReason {
    VacancyDown,
    VacancyUp,
}

/// A table is full, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Which of both.
    pub reason: TableReason,
    /// The table.
    pub desc: TableDesc,
}

/// Instructions, by bit of [`InstructionFeatures::instructions`].
pub const INSTRUCTIONS: [&str; 6] =
    ["meter", "apply_actions", "clear_actions", "write_actions", "write_metadata", "goto_table"];

/// What actions can do in a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionFeatures {
    /// Which there are.
    pub actions: ActionSet,
    /// Which fields can be set.
    pub set_fields: BTreeSet<Field>,
}

/// What rules can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstructionFeatures {
    /// Tables that follow.
    pub next: BTreeSet<u8>,
    /// A bit for each of [`INSTRUCTIONS`].
    pub instructions: u8,
    /// In the action set.
    pub write: ActionFeatures,
    /// At once.
    pub apply: ActionFeatures,
}

/// What a table does with its features, in a request of OpenFlow 1.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FeaturesCommand {
    #[default]
    Replace,
    Modify,
    Enable,
    Disable,
}

impl FeaturesCommand {
    /// All, by number.
    pub const ALL: [FeaturesCommand; 4] = [
        FeaturesCommand::Replace,
        FeaturesCommand::Modify,
        FeaturesCommand::Enable,
        FeaturesCommand::Disable,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        ["replace", "modify", "enable", "disable"][self as usize]
    }
}

/// What a table can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFeatures {
    /// Which.
    pub table: u8,
    /// What to do; since OpenFlow 1.5.
    pub command: Option<FeaturesCommand>,
    /// OpenFlow 1.5's bits: ingress 1, egress 2, and the first egress table 16.
    pub features: u32,
    /// Its name.
    pub name: String,
    /// Bits of metadata that it can match.
    pub metadata_match: u64,
    /// Bits of metadata that it can write.
    pub metadata_write: u64,
    /// What is done with packets that no rule matches; in statistics of OpenFlow 1.1 and 1.2.
    pub miss_config: Option<TableMiss>,
    /// Whether it can make room; since OpenFlow 1.4.
    pub eviction: Option<bool>,
    /// Whether it can tell how full it is; since OpenFlow 1.4.
    pub vacancy_events: Option<bool>,
    /// How many rules it can have; 0 where that is not said.
    pub max_entries: u32,
    /// Whether what follows is said at all: a table that says nothing, and one that can do nothing, differ.
    pub has_properties: bool,
    /// What rules can do.
    pub hit: InstructionFeatures,
    /// What the rule for packets that no other matches can do.
    pub miss: InstructionFeatures,
    /// Fields that rules can match.
    pub matching: BTreeSet<Field>,
    /// Those of them that can be matched in part.
    pub masked: BTreeSet<Field>,
    /// Those of them that need not be matched.
    pub wildcard: BTreeSet<Field>,
}
