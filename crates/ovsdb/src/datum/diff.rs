//! Differences between two values of a column, as `update2` notifications and database files carry them.
//!
//! For a column that holds at most one element the difference is simply the new value. For others it is what is in only
//! one of the two; a key whose value changed appears with its new value. Applying a difference toggles: what is there
//! goes, what is not comes, a key with another value gets the new one.

use std::cmp::Ordering;

use super::Datum;
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
            Self::from_sorted_map(toggle(self.as_map(), new.as_map(), |(key, _)| key, |_, new| Some(new)))
        } else {
            Self::from_sorted_set(toggle(self.as_set(), new.as_set(), |atom| atom, |_, _| None))
        }
    }

    /// Applies what [`Datum::diff_to`] returned. The result is not checked against the constraints of `ty`.
    #[must_use]
    pub fn apply_diff(&self, diff: &Self, ty: &ColumnType) -> Self {
        // The operation is its own inverse, but for changed values, where in both directions the second operand wins.
        self.diff_to(diff, ty)
    }
}

/// The merge of two sorted slices without the elements that are in both. For elements of equal key that are not equal,
/// `changed` decides.
fn toggle<T: Clone + PartialEq>(
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> &Atom,
    changed: impl Fn(T, T) -> Option<T>,
) -> Vec<T> {
    let mut out = Vec::new();
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
        match key(a).cmp(key(b)) {
            Ordering::Less => out.extend(old.next().cloned()),
            Ordering::Greater => out.extend(new.next().cloned()),
            Ordering::Equal => {
                if a != b {
                    out.extend(changed((*a).clone(), (*b).clone()));
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
