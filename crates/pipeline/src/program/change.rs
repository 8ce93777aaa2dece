//! What has happened to a program.

use std::sync::Arc;

use super::Touched;
use crate::group::Group;
use crate::meter::Meter;
use crate::rule::Rule;

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

/// One thing that has happened.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Change {
    Added(Arc<Rule>),
    /// Before and after.
    Modified(Arc<Rule>, Arc<Rule>),
    Removed(Arc<Rule>, Removed),
    /// A group before and after: added, modified or (`None` after) removed.
    Group(Option<Arc<Group>>, Option<Arc<Group>>),
    /// A meter before and after.
    Meter(Option<Arc<Meter>>, Option<Arc<Meter>>),
    /// A table has less room left than it was to have (`low`), or has enough again (OpenFlow 1.4, 7.3.4.1).
    Vacancy {
        table: u8,
        low: bool,
    },
}

impl Change {
    /// Adds to `touched` what it has changed of what packets meet.
    pub(super) fn touch(&self, touched: &mut Touched) {
        match self {
            Change::Added(rule) | Change::Modified(_, rule) | Change::Removed(rule, _) => {
                touched.rule(rule.table, &rule.pattern);
            }
            Change::Group(..) | Change::Meter(..) => touched.beyond(),
            Change::Vacancy { .. } => {}
        }
    }
}

/// What has happened, in order.
pub type Changes = Vec<Change>;
