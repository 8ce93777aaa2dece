//! The value of one column of one row: a set of atoms, or a map from atom to atom.
//!
//! # Design
//! A scalar is a set of exactly one. Sets and maps are kept sorted and without duplicates, so that equality is equality
//! of representation and union, difference and comparison are merges. The common cases (nothing, one atom) live inside
//! the 24 bytes of the [`Datum`] itself; larger ones are shared, because a row's versions, the monitors' history and a
//! client's replica mostly hold the same values. A datum does not know its column's type: whatever needs it (JSON,
//! text, constraints) takes a [`ColumnType`].
//!
//! Large sets are kept in a form of their own, in which versions that differ little share most of their memory
//! (`large.rs`).
//!
//! - [`json`]: `<value>` of RFC 7047 in both directions;
//! - [`text`]: the form that people type and read, `{a=b, c=d}`;
//! - [`diff`]: what changed, as the `update2` notification and the database file say it.

pub mod diff;
pub mod json;
mod large;
pub mod text;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use self::large::{Change, LARGE_MIN, Large, Run, changes};
use crate::{Atom, ColumnType, Error, ErrorKind, Uuid};

/// A sorted set or map of atoms. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Datum(Repr);

/// `Set` has two elements or more, `Map` one or more; both sorted, keys distinct. Only between `Set` and `Large` is there a
/// choice.
#[derive(Clone, Debug)]
enum Repr {
    Empty,
    One(Atom),
    Set(Arc<[Atom]>),
    Large(Arc<Large>),
    Map(Arc<[(Atom, Atom)]>),
}

impl PartialEq for Repr {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::One(a), Self::One(b)) => a == b,
            (Self::Set(a), Self::Set(b)) => same(a, b),
            (Self::Large(a), Self::Large(b)) => same(a, b),
            (Self::Large(large), Self::Set(set)) | (Self::Set(set), Self::Large(large)) => {
                large.len() == set.len() && large.chunks().flatten().eq(set.iter())
            }
            (Self::Map(a), Self::Map(b)) => same(a, b),
            _ => false,
        }
    }
}

/// A row's versions share what has not changed, so that most of what is compared need not be looked at.
fn same<T: PartialEq + ?Sized>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

impl Eq for Repr {}

impl Hash for Repr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let runs: [&[Atom]; 1];
        let chunks: Vec<Run<'_>>;
        let runs: &[Run<'_>] = match self {
            Self::Map(pairs) => return pairs.hash(state),
            Self::Empty => &[],
            Self::One(atom) => {
                runs = [std::slice::from_ref(atom)];
                &runs
            }
            Self::Set(atoms) => {
                runs = [atoms];
                &runs
            }
            Self::Large(large) => {
                chunks = large.runs();
                &chunks
            }
        };
        runs.iter().copied().flatten().for_each(|atom| atom.hash(state));
    }
}

/// Two elements of a set, or two keys of a map, are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate;

impl Datum {
    /// The empty set, which is also the empty map.
    pub const EMPTY: Self = Self(Repr::Empty);

    /// A set of what `atoms` yields, duplicates dropped.
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let mut atoms: Vec<_> = atoms.into_iter().collect();
        if !atoms.is_sorted_by(|a, b| a < b) {
            atoms.sort_unstable();
            atoms.dedup();
        }
        Self::from_sorted_set(atoms)
    }

    /// A set of `atoms`, which must be distinct.
    pub fn try_set(mut atoms: Vec<Atom>) -> Result<Self, Duplicate> {
        if !atoms.is_sorted_by(|a, b| a < b) {
            atoms.sort_unstable();
            if atoms.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
                return Err(Duplicate);
            }
        }
        Ok(Self::from_sorted_set(atoms))
    }

    /// A map of what `pairs` yields; of pairs with the same key the first stays.
    pub fn map(pairs: impl IntoIterator<Item = (Atom, Atom)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.dedup_by(|later, kept| later.0 == kept.0);
        }
        Self::from_sorted_map(pairs)
    }

    /// A map of `pairs`, whose keys must be distinct.
    pub fn try_map(mut pairs: Vec<(Atom, Atom)>) -> Result<Self, Duplicate> {
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            if pairs.windows(2).any(|two| matches!(two, [a, b] if a.0 == b.0)) {
                return Err(Duplicate);
            }
        }
        Ok(Self::from_sorted_map(pairs))
    }

    fn from_sorted_set(atoms: Vec<Atom>) -> Self {
        match <[Atom; 1]>::try_from(atoms) {
            Ok([atom]) => Self(Repr::One(atom)),
            Err(atoms) if atoms.is_empty() => Self::EMPTY,
            Err(atoms) if atoms.len() > LARGE_MIN => {
                Self(Repr::Large(Arc::new(Large::from_sorted(&atoms))))
            }
            Err(atoms) => Self(Repr::Set(atoms.into())),
        }
    }

    /// A set that was large and may have ceased to be.
    fn from_large(large: Large) -> Self {
        if large.len() > LARGE_MIN / 2 {
            Self(Repr::Large(Arc::new(large)))
        } else {
            Self::from_sorted_set(large.chunks().flatten().cloned().collect())
        }
    }

    fn from_sorted_map(pairs: Vec<(Atom, Atom)>) -> Self {
        if pairs.is_empty() { Self::EMPTY } else { Self(Repr::Map(pairs.into())) }
    }

    /// The number of elements or pairs.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::One(_) => 1,
            Repr::Set(atoms) => atoms.len(),
            Repr::Large(large) => large.len(),
            Repr::Map(pairs) => pairs.len(),
        }
    }

    /// True without any element.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// The elements of a set, in order; nothing for a map. For a set of many elements the slice has to be made first:
    /// [`Datum::elements`] costs less.
    pub fn as_set(&self) -> &[Atom] {
        match &self.0 {
            Repr::Large(large) => large.flat(),
            _ => self.small_set(),
        }
    }

    fn small_set(&self) -> &[Atom] {
        match &self.0 {
            Repr::Empty | Repr::Map(_) | Repr::Large(_) => &[],
            Repr::One(atom) => std::slice::from_ref(atom),
            Repr::Set(atoms) => atoms,
        }
    }

    /// The elements of a set, in order; nothing for a map.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &Atom> {
        let large = if let Repr::Large(large) = &self.0 { Some(large) } else { None };
        // One of the two is empty.
        self.small_set().iter().chain(large.into_iter().flat_map(|large| large.chunks().flatten()))
    }

    /// The elements of a set in pieces, as few as there are.
    fn runs(&self) -> Vec<Run<'_>> {
        match &self.0 {
            Repr::Large(large) => large.runs(),
            _ => vec![self.small_set()],
        }
    }

    /// The elements of two sets that only `self` and that only `new` has.
    pub(crate) fn set_changes<'a>(&'a self, new: &'a Self) -> (Vec<&'a Atom>, Vec<&'a Atom>) {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for change in changes(self.runs(), new.runs()) {
            match change {
                Change::Removed(atom) => removed.push(atom),
                Change::Added(atom) => added.push(atom),
            }
        }
        (removed, added)
    }

    /// The pairs of a map, in order of their keys; nothing for a set.
    pub fn as_map(&self) -> &[(Atom, Atom)] {
        if let Repr::Map(pairs) = &self.0 { pairs } else { &[] }
    }

    /// The elements of a set or the keys of a map, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Atom> {
        // One of the two is empty.
        self.elements().chain(self.as_map().iter().map(|(key, _)| key))
    }

    /// Every atom: elements, keys and values.
    pub fn atoms(&self) -> impl Iterator<Item = &Atom> {
        self.elements().chain(self.as_map().iter().flat_map(|(key, value)| [key, value]))
    }

    /// The value of a map's `key`.
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        let pairs = self.as_map();
        let at = pairs.binary_search_by(|pair| pair.0.cmp(key)).ok()?;
        pairs.get(at).map(|(_, value)| value)
    }

    /// The value of a map's `key`, for maps from string to string.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        let pairs = self.as_map();
        let at = pairs.binary_search_by(|pair| pair.0.as_str().cmp(&Some(key))).ok()?;
        pairs.get(at)?.1.as_str()
    }

    /// True if a set has this element, or a map this key.
    pub fn contains_key(&self, key: &Atom) -> bool {
        match &self.0 {
            Repr::Empty => false,
            Repr::One(atom) => atom == key,
            Repr::Set(atoms) => atoms.binary_search(key).is_ok(),
            Repr::Large(large) => large.contains(key),
            Repr::Map(pairs) => pairs.binary_search_by(|pair| pair.0.cmp(key)).is_ok(),
        }
    }

    /// The only element of a set of one.
    pub fn as_scalar(&self) -> Option<&Atom> {
        if let Repr::One(atom) = &self.0 { Some(atom) } else { None }
    }

    /// The only element, if it is an integer.
    pub fn as_integer(&self) -> Option<i64> {
        self.as_scalar()?.as_integer()
    }

    /// The only element, if it is a real.
    pub fn as_real(&self) -> Option<f64> {
        self.as_scalar()?.as_real()
    }

    /// The only element, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        self.as_scalar()?.as_bool()
    }

    /// The only element, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_scalar()?.as_str()
    }

    /// The only element, if it is a UUID.
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.as_scalar()?.as_uuid()
    }

    /// The UUIDs among the elements, keys and values.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> {
        self.atoms().filter_map(Atom::as_uuid)
    }

    /// True if every element (for maps: every pair) of `part` is in `self`.
    pub fn includes(&self, part: &Self) -> bool {
        part.len() <= self.len()
            && part.elements().all(|atom| self.contains_key(atom))
            && part.as_map().iter().all(|(key, value)| self.get(key) == Some(value))
    }

    /// True if no element (for maps: no pair) of `part` is in `self`.
    pub fn excludes(&self, part: &Self) -> bool {
        !part.elements().any(|atom| self.contains_key(atom))
            && !part.as_map().iter().any(|(key, value)| self.get(key) == Some(value))
    }

    /// What is in either. A key that both maps have keeps the value of `self`.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || self == other {
            self.clone()
        } else if self.is_empty() {
            other.clone()
        } else if let Repr::Large(large) = &self.0
            && other.len() < self.len() / 8
        {
            Self(Repr::Large(Arc::new(large.with(other.elements()))))
        } else if self.as_map().is_empty() {
            Self::from_sorted_set(merge(self.elements(), other.elements(), |a, b| a.cmp(b)))
        } else {
            Self::from_sorted_map(merge(self.as_map().iter(), other.as_map().iter(), |a, b| {
                a.0.cmp(&b.0)
            }))
        }
    }

    /// What is in `self` but not in `other`. From a map, `other` takes away equal pairs if it is a map, and keys if it is
    /// a set.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        if let Repr::Large(large) = &self.0
            && other.len() < self.len() / 8
        {
            return Self::from_large(large.without(other.keys()));
        }
        if self.as_map().is_empty() {
            return Self::from_sorted_set(
                self.elements().filter(|a| !other.contains_key(a)).cloned().collect(),
            );
        }
        let taken = |(key, value): &(Atom, Atom)| match other.as_map() {
            [] => other.contains_key(key),
            _ => other.get(key) == Some(value),
        };
        Self::from_sorted_map(self.as_map().iter().filter(|pair| !taken(pair)).cloned().collect())
    }

    /// A map with `key` set to `value`.
    #[must_use]
    pub fn with_pair(&self, key: Atom, value: Atom) -> Self {
        Self(Repr::Map(Arc::new([(key, value)]))).union(self)
    }

    /// The same set or map without `key`.
    #[must_use]
    pub fn without_key(&self, key: &Atom) -> Self {
        if self.contains_key(key) {
            self.difference(&Self::from(key.clone()))
        } else {
            self.clone()
        }
    }

    /// Checks the number of elements and each of them against `ty`.
    pub fn check(&self, ty: &ColumnType) -> Result<(), Error> {
        self.check_len(ty)?;
        self.keys().try_for_each(|key| ty.key.check(key))?;
        match &ty.value {
            Some(base) => self.as_map().iter().try_for_each(|(_, value)| base.check(value)),
            None => Ok(()),
        }
    }

    /// Checks the number of elements against `ty`.
    pub fn check_len(&self, ty: &ColumnType) -> Result<(), Error> {
        let n = self.len();
        if (n as u64) < u64::from(ty.n_min) || n as u64 > u64::from(ty.n_max) {
            let problem = format!("Attempted to store {n} elements in {}.", ty.to_english());
            return Err(Error::new(ErrorKind::ConstraintViolation, problem));
        }
        Ok(())
    }

    /// True for a set so large that its versions share most of their memory.
    pub(crate) const fn shares_memory(&self) -> bool {
        matches!(self.0, Repr::Large(_))
    }

    /// An estimate of the memory that this value holds beyond its own 24 bytes, in bytes.
    pub fn heap_size(&self) -> usize {
        let text: usize = self.atoms().filter_map(Atom::as_str).map(|text| text.len() + 16).sum();
        let atoms = match &self.0 {
            Repr::Empty | Repr::One(_) => 0,
            Repr::Set(atoms) => 16 + size_of_val::<[Atom]>(atoms),
            Repr::Large(large) => size_of::<Atom>() * large.len(),
            Repr::Map(pairs) => 16 + size_of_val::<[(Atom, Atom)]>(pairs),
        };
        text + atoms
    }
}

/// Shorter values sort first, then by keys, then by values.
impl Ord for Datum {
    fn cmp(&self, other: &Self) -> Ordering {
        let values = |datum: &Self| {
            datum.as_map().iter().map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        self.len()
            .cmp(&other.len())
            .then_with(|| self.keys().cmp(other.keys()))
            .then_with(|| values(self).cmp(&values(other)))
    }
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The sorted union of two sorted sequences; of equal elements the left one stays.
fn merge<'a, T: Clone + 'a>(
    left: impl Iterator<Item = &'a T>,
    right: impl Iterator<Item = &'a T>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<T> {
    let mut out = Vec::with_capacity(left.size_hint().0 + right.size_hint().0);
    let (mut left, mut right) = (left.peekable(), right.peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match compare(a, b) {
            Ordering::Less => out.extend(left.next().cloned()),
            Ordering::Greater => out.extend(right.next().cloned()),
            Ordering::Equal => {
                out.extend(left.next().cloned());
                right.next();
            }
        }
    }
    out.extend(left.cloned());
    out.extend(right.cloned());
    out
}

impl Default for Datum {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl From<Atom> for Datum {
    fn from(atom: Atom) -> Self {
        Self(Repr::One(atom))
    }
}

impl From<Option<Atom>> for Datum {
    fn from(atom: Option<Atom>) -> Self {
        atom.map_or(Self::EMPTY, Self::from)
    }
}

macro_rules! from_scalar {
    ($($scalar:ty),*) => { $(
        impl From<$scalar> for Datum {
            fn from(value: $scalar) -> Self {
                Self::from(Atom::from(value))
            }
        }
    )* };
}
from_scalar!(i64, bool, &str, String, Uuid);
