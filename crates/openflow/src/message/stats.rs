//! What a switch counts.

use super::flow_mod::{ALL_TABLES, ANY_GROUP, Flags};
use super::table::TableFeatures;
use crate::action::Instructions;
use crate::matching::Match;
use crate::port::Port;

/// Time as messages have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duration {
    /// Seconds.
    pub seconds: u32,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

/// What a switch says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Desc {
    pub manufacturer: String,
    pub hardware: String,
    pub software: String,
    pub serial_number: String,
    pub datapath: String,
}

/// A question for rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStatsRequest {
    /// Which table; [`ALL_TABLES`] for all.
    pub table: u8,
    /// Rules that send to it; [`Port::NONE`]: any.
    pub out_port: Port,
    /// The same, of groups.
    pub out_group: u32,
    /// Value and mask.
    pub cookie: (u64, u64),
    /// What rules match, or less of it.
    pub matching: Match,
    /// In OpenFlow 1.0: in Nicira's form.
    pub nicira: bool,
}

impl Default for FlowStatsRequest {
    fn default() -> Self {
        FlowStatsRequest {
            table: ALL_TABLES,
            out_port: Port::NONE,
            out_group: ANY_GROUP,
            cookie: (0, 0),
            matching: Match::any(),
            nicira: false,
        }
    }
}

/// A rule, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    /// Where it is.
    pub table: u8,
    /// How old it is; `None` where it is not said.
    pub duration: Option<Duration>,
    /// Its priority.
    pub priority: u16,
    /// Seconds without packets, after which it goes.
    pub idle_timeout: u16,
    /// Seconds after which it goes.
    pub hard_timeout: u16,
    /// The least important go first.
    pub importance: u16,
    /// Seconds since a packet came; Nicira's.
    pub idle_age: Option<u16>,
    /// Seconds since it changed; Nicira's.
    pub hard_age: Option<u16>,
    /// Its flags.
    pub flags: Flags,
    /// Its cookie.
    pub cookie: u64,
    /// Packets; `None` when nobody counts them.
    pub packets: Option<u64>,
    /// Bytes; `None` when nobody counts them.
    pub bytes: Option<u64>,
    /// What it matches.
    pub matching: Match,
    /// What it does.
    pub instructions: Instructions,
}

/// What a rule has counted, and as much of it as tells which rule it is; since OpenFlow 1.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCounters {
    /// Where it is.
    pub table: u8,
    /// Why it is told.
    pub reason: CountersReason,
    /// Its priority.
    pub priority: u16,
    /// How old it is; `None` where it is not said.
    pub duration: Option<Duration>,
    /// Seconds since a packet came.
    pub idle_age: Option<u16>,
    /// Packets; `None` when nobody counts them.
    pub packets: Option<u64>,
    /// Bytes; `None` when nobody counts them.
    pub bytes: Option<u64>,
    /// What it matches.
    pub matching: Match,
}

/// Why a rule's counters are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CountersReason {
    /// Somebody asked.
    #[default]
    Request,
    /// They have come to what the rule's author wanted to hear of.
    Trigger,
}

/// Sums over rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateReply {
    /// Packets; `None` when nobody counts them.
    pub packets: Option<u64>,
    /// Bytes; `None` when nobody counts them.
    pub bytes: Option<u64>,
    /// Rules.
    pub flows: u32,
    /// In OpenFlow 1.0: in Nicira's form.
    pub nicira: bool,
}

/// A table's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Which.
    pub table: u8,
    /// Its name, where it is said.
    pub name: String,
    /// How many rules it can have, where it is said.
    pub max_entries: Option<u32>,
    /// How many it has.
    pub active: u32,
    /// Packets that were looked up.
    pub lookups: u64,
    /// Packets that a rule matched.
    pub matched: u64,
    /// What it can do, as far as that stands here: before OpenFlow 1.3. The name and room for rules are the fields above.
    pub features: Option<Box<TableFeatures>>,
}

/// A port's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStats {
    /// Which.
    pub port: Port,
    /// Received and sent packets, bytes, drops, errors (all ones: nobody counts); then frame errors, overruns, CRC errors and
    /// collisions.
    pub counters: [u64; 12],
    /// Since when.
    pub duration: Option<Duration>,
    /// What the device counts besides, each with its name; since OpenFlow 1.4.
    pub custom: Vec<(String, u64)>,
}

/// A rule that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// What it matched.
    pub matching: Match,
    /// Its cookie.
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why: [`REMOVED`].
    pub reason: u8,
    /// Where it was, if that is said.
    pub table: Option<u8>,
    /// How old it was.
    pub duration: Duration,
    /// As it was set up.
    pub idle_timeout: u16,
    /// As it was set up; 0 where it is not said.
    pub hard_timeout: u16,
    /// Packets; `None` when nobody counted them.
    pub packets: Option<u64>,
    /// Bytes; `None` when nobody counted them.
    pub bytes: Option<u64>,
    /// In OpenFlow 1.0: in Nicira's form.
    pub nicira: bool,
}

/// Why rules go.
pub const REMOVED: [&str; 6] =
    ["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"];
