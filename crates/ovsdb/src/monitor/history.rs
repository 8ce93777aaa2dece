//! The latest transactions of a database, for monitors that are behind and for clients that come back.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::row::Row;
use crate::schema::TableId;
use crate::transaction::{Changes, RowChange};
use crate::{Datum, Uuid};

/// At least so many transactions are kept for clients that ask what happened since one of them.
const KEPT_MIN: usize = 100;
/// At most so many are kept for monitors that are behind.
const KEPT_MAX: usize = 16 * 1024;
/// At most so much is kept for monitors that are behind, in bytes as far as is known.
const WEIGHT_MAX: usize = 64 << 20;
/// At most so much is kept for clients that ask what happened, where no monitor is behind.
const WEIGHT_KEPT: usize = 2 << 20;

/// A point between two transactions, counted from the start of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

/// A transaction and what keeping it costs.
#[derive(Debug)]
struct Kept {
    changes: Arc<Changes>,
    weight: usize,
}

/// The latest transactions.
#[derive(Debug, Default)]
pub struct History {
    /// Before the oldest kept transaction.
    start: Position,
    kept: VecDeque<Kept>,
    weight: usize,
    merged: Option<(Position, Arc<Changes>)>,
}

impl History {
    /// Before the oldest transaction that is kept: who is further behind cannot catch up.
    pub fn start(&self) -> Position {
        self.start
    }

    /// Behind the newest transaction.
    pub fn end(&self) -> Position {
        Position(self.start.0 + self.kept.len() as u64)
    }

    /// The newest transaction, or zero if none is kept.
    pub fn last_id(&self) -> Uuid {
        self.kept.back().map_or(Uuid::ZERO, |kept| kept.changes.id)
    }

    /// The position behind the transaction `id`.
    pub fn find(&self, id: Uuid) -> Option<Position> {
        let at = self.kept.iter().rposition(|kept| kept.changes.id == id)?;
        Some(Position(self.start.0 + at as u64 + 1))
    }

    /// Adds a transaction.
    pub fn push(&mut self, changes: Arc<Changes>) {
        let weight = weight(&changes);
        self.weight += weight;
        self.kept.push_back(Kept { changes, weight });
        self.merged = None;
    }

    /// Forgets what neither clients that come back nor a monitor at `needed` (the one that is furthest behind) asks for, and
    /// whatever passes the bounds.
    pub fn trim(&mut self, needed: Position) {
        while let Some(oldest) = self.kept.front() {
            let is_needed =
                self.start >= needed && self.kept.len() <= KEPT_MAX && self.weight <= WEIGHT_MAX;
            let is_cheap = self.kept.len() <= KEPT_MIN && self.weight <= WEIGHT_KEPT;
            if is_needed || is_cheap {
                break;
            }
            self.weight -= oldest.weight;
            self.kept.pop_front();
            self.start.0 += 1;
        }
    }

    /// Everything that happened after `from`, as one transaction; `None` if that is not known any more.
    pub fn since(&mut self, from: Position) -> Option<Arc<Changes>> {
        let behind = usize::try_from(self.end().0.checked_sub(from.0)?).ok()?;
        if behind > self.kept.len() {
            return None;
        }
        if behind <= 1 {
            let latest = self.kept.back().filter(|_| behind == 1);
            return Some(latest.map(|kept| Arc::clone(&kept.changes)).unwrap_or_default());
        }
        if let Some((position, merged)) = &self.merged
            && *position == from
        {
            return Some(Arc::clone(merged));
        }
        let merged = Arc::new(merge(
            self.kept.iter().skip(self.kept.len() - behind).map(|kept| &kept.changes),
        ));
        self.merged = Some((from, Arc::clone(&merged)));
        Some(merged)
    }
}

/// What keeping `changes` costs: the new versions of rows, for the old ones are the new ones of earlier transactions or of
/// the database. Elements of large sets are left out: most are shared.
fn weight(changes: &Changes) -> usize {
    changes.rows.iter().map(|change| size_of::<RowChange>() + row_weight(change)).sum()
}

fn row_weight(change: &RowChange) -> usize {
    let Some(new) = &change.new else { return 0 };
    let own = |value: &Datum| if value.shares_memory() { 0 } else { value.heap_size() };
    // Columns that did not change share their values with the old version.
    let held: usize = match &change.old {
        Some(_) => change.columns().iter().map(|id| own(new.get(*id))).sum(),
        None => new.values().iter().map(own).sum(),
    };
    std::mem::size_of_val(new.values()) + held
}

/// Several transactions as one: each row from its first old to its last new version.
fn merge<'a>(transactions: impl Iterator<Item = &'a Arc<Changes>>) -> Changes {
    let mut rows: Vec<(TableId, Uuid, Option<Row>, Option<Row>)> = Vec::new();
    let mut places = HashMap::new();
    let mut id = Uuid::ZERO;
    for changes in transactions {
        id = changes.id;
        for change in &changes.rows {
            let place = *places.entry((change.table, change.uuid)).or_insert(rows.len());
            match rows.get_mut(place) {
                Some((_, _, _, new)) => new.clone_from(&change.new),
                None => {
                    rows.push((change.table, change.uuid, change.old.clone(), change.new.clone()));
                }
            }
        }
    }
    rows.retain(|(_, _, old, new)| old.is_some() || new.is_some());
    rows.sort_by_key(|(table, ..)| *table);
    let change = |(table, uuid, old, new)| RowChange::new(table, uuid, old, new);
    Changes { id, rows: rows.into_iter().map(change).collect() }
}
