//! JSON objects: an immutable, reference-counted array of members sorted by name.
//!
//! Most objects have a handful of members, where a sorted array is smaller and faster than any map; the big ones (a table
//! update with a hundred thousand rows) are built once, sorted once and then searched by bisection.

use super::Json;
use smol_str::SmolStr;
use std::fmt;
use std::sync::Arc;

/// An object: members sorted by name, names unique. Cloning is cheap. Built from an iterator of pairs.
#[derive(Clone, PartialEq)]
pub struct Object(Arc<[(SmolStr, Json)]>);

impl Object {
    /// An object without members.
    pub fn new() -> Object {
        Object(Arc::new([]))
    }

    /// Takes members in any order; of duplicate names the last wins.
    pub fn from_members(mut members: Vec<(SmolStr, Json)>) -> Object {
        Object::from_tail(&mut members, 0)
    }

    /// As [`Object::from_members`], taking the members from `start` on off the end of a vector.
    pub(super) fn from_tail(members: &mut Vec<(SmolStr, Json)>, start: usize) -> Object {
        let tail = members.get_mut(start..).unwrap_or_default();
        if tail.is_sorted_by(|a, b| a.0 < b.0) {
            return Object(members.drain(start..).collect());
        }
        tail.sort_by(|a, b| a.0.cmp(&b.0)); // stable: equal names keep their order
        let mut unique: Vec<(SmolStr, Json)> = members.drain(start..).collect();
        unique.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = std::mem::take(&mut later.1);
            }
            same
        });
        Object(unique.into())
    }

    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.get_member(name).map(|(_, value)| value)
    }

    /// The member of that name together with its name.
    pub fn get_member(&self, name: &str) -> Option<&(SmolStr, Json)> {
        // Few members: comparing all beats bisection, for most names differ in length.
        if self.0.len() <= 8 {
            return self.0.iter().find(|(n, _)| **n == *name);
        }
        let i = self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        self.0.get(i)
    }

    /// Whether there is a member of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members in order of name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&SmolStr, &Json)> + ExactSizeIterator {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &SmolStr> + ExactSizeIterator {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values in order of name.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Json> + ExactSizeIterator {
        self.0.iter().map(|(_, value)| value)
    }

    /// The members in order of name.
    pub fn members(&self) -> &[(SmolStr, Json)] {
        &self.0
    }

    /// A copy with one member added or replaced. Linear: build large objects from an iterator instead.
    #[must_use]
    pub fn with(&self, name: impl Into<SmolStr>, value: impl Into<Json>) -> Object {
        let mut members = self.0.to_vec();
        members.push((name.into(), value.into()));
        Object::from_members(members)
    }

    /// A copy lacking that member.
    #[must_use]
    pub fn without(&self, name: &str) -> Object {
        Object(self.0.iter().filter(|(n, _)| **n != *name).cloned().collect())
    }
}

impl Default for Object {
    fn default() -> Object {
        Object::new()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<SmolStr>, V: Into<Json>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Object {
        Object::from_members(members.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = &'a (SmolStr, Json);
    type IntoIter = std::slice::Iter<'a, (SmolStr, Json)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl std::ops::Index<&str> for Object {
    type Output = Json;
    /// The member of that name, or `null`; never panics.
    fn index(&self, name: &str) -> &Json {
        static NULL: Json = Json::Null;
        self.get(name).unwrap_or(&NULL)
    }
}
