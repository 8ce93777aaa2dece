//! The parser's short way, for a document that lies whole in one piece, as nearly all do: it remembers nothing but where it is.
//!
//! Whatever is unusual (an error, an end, great depth) is left to the long way, which starts over and is the one that knows errors.

use super::parse::{ENDS_PLAIN, Fed, finish_string};
use super::{Json, Object, number};
use smol_str::SmolStr;

/// What is deeper takes the long way, which needs no call stack.
const DEPTH_MAX: usize = 32;
/// Integers of so many digits fit whatever they are.
const DIGITS_FEW: usize = 18;
/// Most documents are no longer, and to look for where text ceases to be UTF-8 in what follows them would be in vain.
const SHORT: usize = 1 << 10;

/// Takes the document that `text` begins with, and the number of its bytes. An object that has no members but `names`, and none of
/// them twice, comes as its members, in the order of `names`, if there are any `names`. `items` and `members` are for finished parts,
/// and are left as they were.
pub(super) fn document<const N: usize>(
    text: &[u8],
    names: [&str; N],
    items: &mut Vec<Json>,
    members: &mut Vec<(SmolStr, Json)>,
) -> Option<(Fed<N>, usize)> {
    let looks = [Some(SHORT), None].into_iter();
    looks.filter(|most| most.is_none_or(|most| most < text.len())).find_map(|most| {
        let text = utf8(text.get(..most.unwrap_or(text.len()))?);
        let (items_before, members_before) = (items.len(), members.len());
        let mut quick = Quick { text, at: 0, items, members };
        let document = quick.document(names);
        let len = quick.at;
        items.truncate(items_before);
        members.truncate(members_before);
        Some((document?, len))
    })
}

/// As much as is UTF-8.
fn utf8(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_else(|error| {
        let valid = text.get(..error.valid_up_to()).unwrap_or_default();
        std::str::from_utf8(valid).unwrap_or_default()
    })
}

struct Quick<'a> {
    text: &'a str,
    at: usize,
    items: &'a mut Vec<Json>,
    members: &'a mut Vec<(SmolStr, Json)>,
}

impl<'a> Quick<'a> {
    fn document<const N: usize>(&mut self, names: [&str; N]) -> Option<Fed<N>> {
        let first = self.next()?;
        if N > 0 && first == b'{' {
            let begin = self.at;
            if let Some(members) = self.members_of(names) {
                return Some(Fed::Members(members));
            }
            self.at = begin;
        }
        let document = match first {
            b'[' => self.array(DEPTH_MAX),
            b'{' => self.object(DEPTH_MAX),
            _ => None,
        };
        document.map(Fed::Document)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = self.peek()?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    /// A value that begins with `first`.
    fn value(&mut self, first: u8, depth: usize) -> Option<Json> {
        match first {
            b'"' => self.string().map(Json::String),
            b'[' => self.array(depth.checked_sub(1)?),
            b'{' => self.object(depth.checked_sub(1)?),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.keyword("rue", Json::Bool(true)),
            b'f' => self.keyword("alse", Json::Bool(false)),
            b'n' => self.keyword("ull", Json::Null),
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
            let name = self.name(first)?;
            let name = finish_string(name.body, name.escapes).ok()?;
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

    /// The members of an object that has no others but these, and none twice.
    fn members_of<const N: usize>(&mut self, names: [&str; N]) -> Option<[Option<Json>; N]> {
        let mut values = [const { None }; N];
        let mut first = self.next()?;
        loop {
            let name = self.name(first)?;
            let place = names.iter().position(|known| *known == name.body)?;
            let first_of_value = self.next()?;
            let value = self.value(first_of_value, DEPTH_MAX - 1)?;
            if values.get_mut(place)?.replace(value).is_some() {
                return None;
            }
            match self.next()? {
                b'}' => return Some(values),
                b',' => first = self.next()?,
                _ => return None,
            }
        }
    }

    /// A name, which begins with `first`, and the colon behind it.
    fn name(&mut self, first: u8) -> Option<Literal<'a>> {
        if first != b'"' {
            return None;
        }
        let name = self.literal()?;
        (self.next()? == b':').then_some(name)
    }

    fn string(&mut self) -> Option<SmolStr> {
        let literal = self.literal()?;
        finish_string(literal.body, literal.escapes).ok()
    }

    /// A string as it is written, behind its opening quote.
    fn literal(&mut self) -> Option<Literal<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start;
        let mut escapes = false;
        loop {
            let byte = *bytes.get(end)?;
            if !ENDS_PLAIN[usize::from(byte)] {
                end += 1;
            } else if byte == b'"' {
                break;
            } else if byte == b'\\' && *bytes.get(end + 1)? >= 0x20 {
                escapes = true;
                end += 2;
            } else {
                return None;
            }
        }
        self.at = end + 1;
        Some(Literal { body: self.text.get(start..end)?, escapes })
    }

    /// A number, of which the first byte has been read.
    fn number(&mut self) -> Option<Json> {
        let start = self.at - 1;
        let rest = self.text.as_bytes().get(start..)?;
        let mut n = 0;
        for (len, byte) in rest.iter().enumerate() {
            match byte {
                // A number that begins with zero has an end there, or is none.
                b'0'..=b'9' if len < DIGITS_FEW && (n > 0 || *byte != b'0') => {
                    n = n * 10 + i64::from(byte - b'0');
                }
                b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' => break,
                _ => {
                    self.at = start + len;
                    return Some(Json::Integer(n));
                }
            }
        }
        let part_of_number = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let len = rest.iter().position(|b| !part_of_number(b))?;
        self.at = start + len;
        number::parse(self.text.get(start..self.at)?).ok()
    }

    fn keyword(&mut self, behind: &str, value: Json) -> Option<Json> {
        let rest = self.text.get(self.at..)?.strip_prefix(behind)?;
        self.at += behind.len();
        (!rest.as_bytes().first()?.is_ascii_lowercase()).then_some(value)
    }
}

/// A string's inside as it is written.
struct Literal<'a> {
    body: &'a str,
    escapes: bool,
}
