//! Differences between two values of a column, as `update2` notifications and database files carry them.
//!
//! For a column that holds at most one element the difference is simply the new value. For others it is what is in only
//! one of the two; a key whose value changed appears with its new value. Applying a difference toggles: what is there
//! goes, what is not comes, a key with another value gets the new one.

use std::cmp::Ordering;

use super::large::{Change, changes};
use super::{Datum, Repr};
use crate::{Atom, ColumnType};

impl Datum {
    /// What turns `self` into `new` for a column of type `ty`.
    #[must_use]
    pub fn diff_to(&self, new: &Self, ty: &ColumnType) -> Self {
        if !ty.is_composite() || self.is_empty() {
            new.clone()
        } else if new.is_empty() {
            self.clone()
        } else if ty.is_map() {
            Self::from_sorted_map(toggle(self.as_map(), new.as_map()))
        } else {
            let changed = changes(self.runs(), new.runs()).map(|change| match change {
                Change::Removed(atom) | Change::Added(atom) => atom.clone(),
            });
            Self::from_sorted_set(changed.collect())
        }
    }

    /// Applies what [`Datum::diff_to`] returned. The result is not checked against the constraints of `ty`.
    #[must_use]
    pub fn apply_diff(&self, diff: &Self, ty: &ColumnType) -> Self {
        if let Repr::Large(large) = &self.0
            && diff.len() < self.len() / 8
            && ty.is_composite()
        {
            let (gone, come): (Vec<_>, Vec<_>) =
                diff.elements().partition(|atom| large.contains(atom));
            return Self::from_large(large.without(gone.into_iter()).with(come.into_iter()));
        }
        // The operation is its own inverse, but for changed values, where in both directions the second operand wins.
        self.diff_to(diff, ty)
    }
}

/// The merge of two maps without the pairs that are in both. Where a key's value changed, the new one stays.
fn toggle(old: &[(Atom, Atom)], new: &[(Atom, Atom)]) -> Vec<(Atom, Atom)> {
    let mut out = Vec::new();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        match a.0.cmp(&b.0) {
            Ordering::Less => out.extend(old.next().cloned()),
            Ordering::Greater => out.extend(new.next().cloned()),
            Ordering::Equal => {
                if a.1 != b.1 {
                    out.push((*b).clone());
                }
                old.next();
                new.next();
            }
        }
    }
    out.extend(old.cloned());
    out.extend(new.cloned());
    out
}
