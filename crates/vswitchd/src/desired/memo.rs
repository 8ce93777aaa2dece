//! What was made of each port's rows, so that a change costs what has changed.
//!
//! Nearly always one row of hundreds is new. A port whose rows are the very ones that were read last time is not read again, and
//! the plan sees by its address that it is the same. Only what made no trouble is remembered: problems are told anew each time,
//! and what was kept from before for want of a sensible setting depends on more than the rows.

use std::sync::Arc;

use ovsdb::Uuid;
use vswitch_schema::tables;

use super::{DatapathKind, Port};
use crate::rows::{Map, Rows};

/// Ports by their rows. Empty, it only costs time.
#[derive(Debug, Default)]
pub struct Memo {
    ports: Map<Uuid, Made>,
}

/// A port and what it was made of.
#[derive(Debug)]
struct Made {
    place: (String, DatapathKind),
    row: Arc<tables::Port>,
    interfaces: Vec<Arc<tables::Interface>>,
    port: Arc<Port>,
}

impl Memo {
    /// The port that these rows made on that bridge, if they are still the same.
    pub(super) fn recall(
        &self,
        place: (&str, DatapathKind),
        row: &Arc<tables::Port>,
        interfaces: &[&Arc<tables::Interface>],
    ) -> Option<&Arc<Port>> {
        let made = self.ports.get(&row.uuid)?;
        let same = Arc::ptr_eq(&made.row, row)
            && made.interfaces.len() == interfaces.len()
            && made.interfaces.iter().zip(interfaces).all(|(was, is)| Arc::ptr_eq(was, is))
            && (made.place.0.as_str(), made.place.1) == place;
        same.then_some(&made.port)
    }

    /// Remembers what rows made.
    pub(super) fn keep(
        &mut self,
        place: (&str, DatapathKind),
        row: &Arc<tables::Port>,
        interfaces: &[&Arc<tables::Interface>],
        port: &Arc<Port>,
    ) {
        let made = Made {
            place: (place.0.to_owned(), place.1),
            row: row.clone(),
            interfaces: interfaces.iter().map(|row| Arc::clone(row)).collect(),
            port: port.clone(),
        };
        self.ports.insert(row.uuid, made);
    }

    /// Forgets ports whose rows are gone.
    pub(super) fn retain(&mut self, rows: &Rows) {
        if self.ports.len() > rows.ports.len() {
            self.ports.retain(|id, _| rows.ports.contains_key(id));
        }
    }
}
