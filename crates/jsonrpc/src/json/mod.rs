//! JSON values with Open vSwitch's rules.
//!
//! # What
//! [`Json`] is an immutable tree whose clones are cheap (every container and long string is reference-counted; a short string
//! lies in the value itself, for names and words such as "uuid" are most of what there is), because one database update goes to
//! many monitors and a reply is often built from parts of a request.
//!
//! # Rules that differ from other JSON libraries
//! - Numbers: whatever is a whole number in the range of `i64` is an [`Json::Integer`], however it was written (`1.0`,
//!   `1e5`); the rest is [`Json::Real`] and prints with 15 significant digits.
//! - Objects are sorted by member name, which is how the OVSDB tools print them; of duplicate names the last wins.
//! - A document is an object or an array, nested at most [`MAX_DEPTH`] deep. NUL, unescaped control characters, lone surrogates
//!   and bytes that are not UTF-8 are refused.
//!
//! # Where
//! [`parse`](mod@parse): incremental parser, with the reference's error texts, and a short way for what has arrived whole. [`print`](mod@print): compact and pretty text.

mod macros;
pub mod number;
pub mod object;
pub mod parse;
pub mod print;
mod quick;
pub mod text;

use std::sync::Arc;

use smol_str::SmolStr;

pub use object::Object;
pub use parse::{MAX_DEPTH, ParseError, Parser};
pub use text::unescape;

/// A JSON value. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number in the range of `i64`.
    Integer(i64),
    /// Any other number; always finite. Make one with [`Json::real`], which keeps whole numbers out of here.
    Real(f64),
    /// A string; never contains NUL when it was parsed.
    String(SmolStr),
    /// An array.
    Array(Arc<[Json]>),
    /// An object.
    Object(Object),
}

impl Json {
    /// Parses one whole document (an object or an array), refusing trailing garbage.
    pub fn parse(text: &str) -> Result<Json, ParseError> {
        Self::parse_bytes(text.as_bytes())
    }

    /// As [`Json::parse`], for bytes that may not be UTF-8 (which is then an error).
    pub fn parse_bytes(text: &[u8]) -> Result<Json, ParseError> {
        parse::parse_document(text)
    }

    /// A number: an [`Json::Integer`] if it is whole and fits, else a [`Json::Real`]; `null` if it is not finite, which JSON
    /// cannot say.
    pub fn real(value: f64) -> Json {
        if !value.is_finite() {
            Json::Null
        } else {
            number::whole(value).map_or(Json::Real(value), Json::Integer)
        }
    }

    /// An array of anything that converts.
    pub fn array<T: Into<Json>>(items: impl IntoIterator<Item = T>) -> Json {
        items.into_iter().map(Into::into).collect()
    }

    /// An object from pairs; of duplicate names the last wins.
    pub fn object<K: Into<SmolStr>, V: Into<Json>>(
        members: impl IntoIterator<Item = (K, V)>,
    ) -> Json {
        Json::Object(members.into_iter().collect())
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Json::Bool(b) = self { Some(*b) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        if let Json::Integer(n) = self { Some(*n) } else { None }
    }

    /// Any number, as a float.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Integer(n) => Some(*n as f64),
            Json::Real(r) => Some(*r),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Json::String(s) = self { Some(s) } else { None }
    }

    /// The string as it is kept, cheap to clone, if it is one.
    pub fn as_smol_str(&self) -> Option<&SmolStr> {
        if let Json::String(s) = self { Some(s) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Json::Array(a) = self { Some(a) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Json::Object(o) = self { Some(o) } else { None }
    }

    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }

    /// The element at that index, if this is an array that long.
    pub fn at(&self, index: usize) -> Option<&Json> {
        self.as_array()?.get(index)
    }

    /// "null", "boolean", "number", "string", "array" or "object": for error messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Integer(_) | Json::Real(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }
}

impl std::str::FromStr for Json {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Json, ParseError> {
        Json::parse(text)
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Json {
        Json::Array(items.into_iter().map(Into::into).collect())
    }
}

macro_rules! from_integer {
    ($($t:ty),*) => { $(
        impl From<$t> for Json {
            fn from(n: $t) -> Json { Json::Integer(i64::from(n)) }
        }
    )* };
}
from_integer!(i8, u8, i16, u16, i32, u32, i64);

impl From<usize> for Json {
    fn from(n: usize) -> Json {
        i64::try_from(n).map_or(Json::Integer(i64::MAX), Json::Integer)
    }
}

impl From<f64> for Json {
    fn from(r: f64) -> Json {
        Json::real(r)
    }
}

impl From<bool> for Json {
    fn from(b: bool) -> Json {
        Json::Bool(b)
    }
}

impl From<&str> for Json {
    fn from(s: &str) -> Json {
        Json::String(s.into())
    }
}

impl From<String> for Json {
    fn from(s: String) -> Json {
        Json::String(s.into())
    }
}

impl From<&String> for Json {
    fn from(s: &String) -> Json {
        Json::String(s.as_str().into())
    }
}

impl From<Arc<str>> for Json {
    fn from(s: Arc<str>) -> Json {
        Json::String(s.into())
    }
}

impl From<&Arc<str>> for Json {
    fn from(s: &Arc<str>) -> Json {
        Json::String(s.clone().into())
    }
}

impl From<SmolStr> for Json {
    fn from(s: SmolStr) -> Json {
        Json::String(s)
    }
}

impl From<&SmolStr> for Json {
    fn from(s: &SmolStr) -> Json {
        Json::String(s.clone())
    }
}

impl From<Object> for Json {
    fn from(o: Object) -> Json {
        Json::Object(o)
    }
}

impl From<&Json> for Json {
    fn from(j: &Json) -> Json {
        j.clone()
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Json {
        items.into_iter().collect()
    }
}

impl<T: Into<Json>, const N: usize> From<[T; N]> for Json {
    fn from(items: [T; N]) -> Json {
        items.into_iter().collect()
    }
}

/// `None` is `null`.
impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

#[cfg(test)]
mod tests;
