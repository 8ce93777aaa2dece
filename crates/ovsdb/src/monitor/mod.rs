//! Monitors: a client's request to be told of changes (RFC 7047 section 4.1.5, and Open vSwitch's `monitor_cond` and
//! `monitor_cond_since`, ovsdb-server(7)).
//!
//! # Design
//! A [`Spec`] is what a client wants to see, without who it is: a thousand clients that ask for the same share one spec, and
//! for each change of the database one encoded text. The [`history`] keeps the latest changes; a monitor is a spec and a
//! position in it. What a client is told is the difference between two positions, so a client that is slow to read simply
//! gets several transactions in one update, and memory stays bounded by the history.
//!
//! - [`parse`]: the requests; [`encode`]: the updates; [`history`]: positions.

pub mod encode;
pub mod history;
pub mod parse;

#[cfg(test)]
mod tests;

use crate::condition::Condition;
use crate::schema::{ColumnId, TableId};

/// Which generation of the monitor protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `monitor`: old and new values in `update`.
    Plain,
    /// `monitor_cond`: conditions, and differences in `update2`.
    Conditional,
    /// `monitor_cond_since`: the same with transaction identifiers in `update3`.
    Since,
}

impl Version {
    /// The notification's method.
    pub const fn update_method(self) -> &'static str {
        match self {
            Self::Plain => "update",
            Self::Conditional => "update2",
            Self::Since => "update3",
        }
    }
}

/// What happened to a row, from the point of view of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// It was there when the monitor began.
    Initial = 1,
    /// It appeared.
    Insert = 2,
    /// It disappeared.
    Delete = 4,
    /// It changed.
    Modify = 8,
}

/// A set of [`Event`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Select(u8);

impl Select {
    /// No event.
    pub const NONE: Self = Self(0);

    /// True if `event` is in the set.
    pub const fn has(self, event: Event) -> bool {
        self.0 & event as u8 != 0
    }

    fn with(self, event: Event, wanted: bool) -> Self {
        if wanted { Self(self.0 | event as u8) } else { self }
    }

    fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A column that a monitor shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MonitoredColumn {
    /// Which.
    pub id: ColumnId,
    /// In which events.
    pub select: Select,
}

/// What a monitor shows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableSpec {
    /// Which.
    pub table: TableId,
    /// Its columns.
    pub columns: Vec<MonitoredColumn>,
    /// The events that any column is shown in.
    pub select: Select,
    /// Which rows; any clause suffices.
    pub condition: Condition,
}

/// What a monitor shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// How.
    pub version: Version,
    /// Of what, sorted by table.
    pub tables: Vec<TableSpec>,
}

impl Spec {
    /// What is shown of `table`.
    pub fn table(&self, table: TableId) -> Option<&TableSpec> {
        let at = self.tables.binary_search_by_key(&table, |spec| spec.table).ok()?;
        self.tables.get(at)
    }
}
