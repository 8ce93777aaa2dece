//! The parser's short way, for a document that lies whole in one piece, as nearly all do: it remembers nothing but where it is.
//!
//! Whatever is unusual (an error, an end, great depth) is left to the long way, which starts over and is the one that knows errors.

use super::parse::{ENDS_PLAIN, finish_string};
use super::{Json, Object, number};
use smol_str::SmolStr;

/// What is deeper takes the long way, which needs no call stack.
const DEPTH_MAX: usize = 32;
/// Integers of so many digits fit whatever they are.
const DIGITS_FEW: usize = 18;

/// Takes the document that `text` begins with, and the number of its bytes. `items` and `members` are for finished parts, and are
/// left as they were.
pub(super) fn document(
    text: &[u8],
    items: &mut Vec<Json>,
    members: &mut Vec<(SmolStr, Json)>,
) -> Option<(Json, usize)> {
    let (items_before, members_before) = (items.len(), members.len());
    let mut quick = Quick { rest: text, items, members };
    let document = match quick.next()? {
        b'[' => quick.array(DEPTH_MAX),
        b'{' => quick.object(DEPTH_MAX),
        _ => None,
    };
    let len = text.len() - quick.rest.len();
    items.truncate(items_before);
    members.truncate(members_before);
    Some((document?, len))
}

struct Quick<'a> {
    rest: &'a [u8],
    items: &'a mut Vec<Json>,
    members: &'a mut Vec<(SmolStr, Json)>,
}

impl Quick<'_> {
    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            if !matches!(first, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*first);
            }
        }
    }

    /// A value that begins with `first`.
    fn value(&mut self, first: u8, depth: usize) -> Option<Json> {
        match first {
            b'"' => self.string().map(Json::String),
            b'[' => self.array(depth.checked_sub(1)?),
            b'{' => self.object(depth.checked_sub(1)?),
            b'-' | b'0'..=b'9' => self.number(first),
            b't' => self.keyword(b"rue", Json::Bool(true)),
            b'f' => self.keyword(b"alse", Json::Bool(false)),
            b'n' => self.keyword(b"ull", Json::Null),
            _ => None,
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        let start = self.items.len();
        let mut first = self.next()?;
        while first != b']' || self.items.len() > start {
            let value = self.value(first, depth)?;
            self.items.push(value);
            match self.next()? {
                b']' => break,
                b',' => first = self.next()?,
                _ => return None,
            }
        }
        Some(Json::Array(self.items.drain(start..).collect()))
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let start = self.members.len();
        let mut first = self.next()?;
        while first != b'}' || self.members.len() > start {
            if first != b'"' {
                return None;
            }
            let name = self.string()?;
            if self.next()? != b':' {
                return None;
            }
            let first_of_value = self.next()?;
            let value = self.value(first_of_value, depth)?;
            self.members.push((name, value));
            match self.next()? {
                b'}' => break,
                b',' => first = self.next()?,
                _ => return None,
            }
        }
        Some(Json::Object(Object::from_tail(self.members, start)))
    }

    /// What stands behind the opening quote.
    fn string(&mut self) -> Option<SmolStr> {
        let mut len = 0;
        let mut escapes = false;
        loop {
            let byte = *self.rest.get(len)?;
            if !ENDS_PLAIN[usize::from(byte)] {
                len += 1;
            } else if byte == b'"' {
                break;
            } else if byte == b'\\' && *self.rest.get(len + 1)? >= 0x20 {
                escapes = true;
                len += 2;
            } else {
                return None;
            }
        }
        let (body, rest) = self.rest.split_at(len);
        self.rest = rest.get(1..)?;
        finish_string(body, escapes).ok()
    }

    fn number(&mut self, first: u8) -> Option<Json> {
        let part_of_number = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let len = self.rest.iter().position(|b| !part_of_number(b))?;
        let (behind, rest) = self.rest.split_at(len);
        self.rest = rest;
        if matches!(first, b'1'..=b'9') && len < DIGITS_FEW && behind.iter().all(u8::is_ascii_digit)
        {
            let add = |n: i64, digit: &u8| n * 10 + i64::from(digit - b'0');
            return Some(Json::Integer(behind.iter().fold(i64::from(first - b'0'), add)));
        }
        let mut word = vec![first];
        word.extend_from_slice(behind);
        number::parse(std::str::from_utf8(&word).ok()?).ok()
    }

    fn keyword(&mut self, behind: &[u8], value: Json) -> Option<Json> {
        let rest = self.rest.strip_prefix(behind)?;
        self.rest = rest;
        (!rest.first()?.is_ascii_lowercase()).then_some(value)
    }
}
