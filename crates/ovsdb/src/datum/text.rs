//! Datums as people type and read them: `5`, `[1, 2]`, `{a=b, c="d e"}`.
//!
//! Texts of errors and rules of quoting are those of Open vSwitch's command line tools. Items are separated by commas,
//! white space or both; a set or map may stand in brackets; a word needs quotes unless it looks like an identifier.

use jsonrpc::json::number::format_real;
use jsonrpc::json::text::{quote, unescape};

use super::Datum;
use super::json::NamedUuids;
use crate::{Atom, AtomType, BaseType, ColumnType, Real, Uuid};

/// A range such as `1-4096` may stand for this many integers.
const RANGE_MAX: u64 = 4096;

/// What is wrong with a text, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError(pub String);

impl std::fmt::Display for TextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TextError {}

fn fail<T>(message: impl Into<String>) -> Result<T, TextError> {
    Err(TextError(message.into()))
}

/// The atom as text; strings are quoted unless they are plain words.
pub fn atom_to_text(atom: &Atom) -> String {
    match atom {
        Atom::String(value) if needs_quotes(value) => quote(value),
        other => atom_to_bare(other),
    }
}

/// The atom as text, never quoted.
pub fn atom_to_bare(atom: &Atom) -> String {
    match atom {
        Atom::Integer(value) => value.to_string(),
        Atom::Real(value) => format_real(value.get()),
        Atom::Boolean(value) => value.to_string(),
        Atom::String(value) => value.to_string(),
        Atom::Uuid(value) => value.to_string(),
    }
}

/// True unless `text` is a word that cannot be taken for anything but a string.
pub fn needs_quotes(text: &str) -> bool {
    let mut bytes = text.bytes();
    let plain = bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
    !plain || text == "true" || text == "false" || text.parse::<Uuid>().is_ok()
}

/// Parses an atom that is the whole of `text`, and checks its constraint. `@name` is understood as a UUID if `names` is given.
pub fn atom_from_text(
    text: &str,
    base: &BaseType,
    names: Option<&mut dyn NamedUuids>,
) -> Result<Atom, TextError> {
    let atom = match base.atom {
        AtomType::Integer => match text.trim_ascii_start().parse() {
            Ok(value) => Atom::Integer(value),
            Err(_) => return fail(format!("\"{text}\" is not a valid integer")),
        },
        AtomType::Real => match text.trim_ascii_start().parse().ok().and_then(Real::new) {
            Some(value) => Atom::Real(value),
            None => return fail(format!("\"{text}\" is not a valid real number")),
        },
        AtomType::Boolean => match text {
            "true" | "yes" | "on" | "1" => Atom::Boolean(true),
            "false" | "no" | "off" | "0" => Atom::Boolean(false),
            _ => {
                return fail(format!(
                    "\"{text}\" is not a valid boolean (use \"true\" or \"false\")"
                ));
            }
        },
        AtomType::String => Atom::from(string_from_text(text)?),
        AtomType::Uuid => match (text.strip_prefix('@'), names, text.parse::<Uuid>()) {
            (Some(_), Some(names), _) => Atom::Uuid(names.uuid_for(text, base)),
            (_, _, Ok(uuid)) => Atom::Uuid(uuid),
            _ => return fail(format!("\"{text}\" is not a valid UUID")),
        },
    };
    check(base, &atom)?;
    Ok(atom)
}

fn check(base: &BaseType, atom: &Atom) -> Result<(), TextError> {
    base.check(atom).map_err(|error| TextError(error.to_string()))
}

fn string_from_text(text: &str) -> Result<String, TextError> {
    if text.is_empty() {
        return fail(
            "An empty string is not valid as input; use \"\" to represent the empty string",
        );
    }
    let Some(body) = text.strip_prefix('"') else {
        return Ok(text.to_owned());
    };
    let Some(body) = body.strip_suffix('"') else {
        return fail(format!("{text}: missing quote at end of quoted string"));
    };
    unescape(body).map_err(|problem| TextError(format!("{text}: {problem}")))
}

impl Datum {
    /// The value as text: `value`, `[value, ..]` or `{key=value, ..}`.
    pub fn to_text(&self, ty: &ColumnType) -> String {
        let pairs = self
            .as_map()
            .iter()
            .map(|(key, value)| format!("{}={}", atom_to_text(key), atom_to_text(value)));
        let items: Vec<_> = self.elements().map(atom_to_text).chain(pairs).collect();
        let items = items.join(", ");
        if ty.is_map() {
            format!("{{{items}}}")
        } else if ty.n_max > 1 || self.is_empty() {
            format!("[{items}]")
        } else {
            items
        }
    }

    /// The value as bare words separated by spaces.
    pub fn to_bare(&self) -> String {
        let pairs = self
            .as_map()
            .iter()
            .map(|(key, value)| format!("{}={}", atom_to_bare(key), atom_to_bare(value)));
        let items: Vec<_> = self.elements().map(atom_to_bare).chain(pairs).collect();
        items.join(" ")
    }

    /// Parses what [`Datum::to_text`] writes, with the freedoms that people take, and checks the constraints of `ty`.
    pub fn from_text(
        text: &str,
        ty: &ColumnType,
        names: Option<&mut dyn NamedUuids>,
    ) -> Result<Self, TextError> {
        Reader { whole: text, rest: text, ty, names }.read()
    }
}

struct Reader<'a, 'n> {
    whole: &'a str,
    rest: &'a str,
    ty: &'a ColumnType,
    names: Option<&'n mut dyn NamedUuids>,
}

impl<'a> Reader<'a, '_> {
    fn read(mut self) -> Result<Datum, TextError> {
        self.skip_spaces();
        let end = self.open()?;
        let mut keys = Vec::new();
        let mut pairs = Vec::new();
        while let Some(next) = self.peek().filter(|c| Some(*c) != end) {
            if is_delimiter(next) {
                return self.unexpected(next);
            }
            self.read_item(&mut keys, &mut pairs)?;
            self.skip_spaces();
            if self.skip(',') {
                self.skip_spaces();
            }
        }
        self.close(end)?;
        let n = keys.len() + pairs.len();
        let unit = if self.ty.is_map() { "pair(s)" } else { "value(s)" };
        if (n as u64) < u64::from(self.ty.n_min) {
            return fail(format!(
                "{}: {n} {unit} specified but the minimum number is {}",
                self.whole, self.ty.n_min
            ));
        }
        if n as u64 > u64::from(self.ty.n_max) {
            return fail(format!(
                "{}: {n} {unit} specified but the maximum number is {}",
                self.whole, self.ty.n_max
            ));
        }
        let duplicate = |what| move |_| TextError(format!("{}: {what}", self.whole));
        if self.ty.is_map() {
            Datum::try_map(pairs).map_err(duplicate("map contains duplicate key"))
        } else {
            Datum::try_set(keys).map_err(duplicate("set contains duplicate value"))
        }
    }

    /// Takes the opening bracket, if there is one, and returns its counterpart.
    fn open(&mut self) -> Result<Option<char>, TextError> {
        match (self.peek(), self.ty.is_map()) {
            (Some('{'), true) => self.rest = &self.rest[1..],
            (Some('['), false) => self.rest = &self.rest[1..],
            (Some(bracket @ ('{' | '[')), _) => return self.unexpected(bracket),
            _ => return Ok(None),
        }
        self.skip_spaces();
        Ok(Some(if self.ty.is_map() { '}' } else { ']' }))
    }

    fn close(&mut self, end: Option<char>) -> Result<(), TextError> {
        let Some(end) = end else { return Ok(()) };
        if !self.skip(end) {
            return fail(format!("{}: missing \"{end}\" at end of data", self.whole));
        }
        self.skip_spaces();
        if self.rest.is_empty() {
            Ok(())
        } else {
            fail(format!("{}: trailing garbage after \"{end}\"", self.whole))
        }
    }

    fn read_item(
        &mut self,
        keys: &mut Vec<Atom>,
        pairs: &mut Vec<(Atom, Atom)>,
    ) -> Result<(), TextError> {
        let start = self.rest;
        let word = self.word()?;
        let Some(value_base) = &self.ty.value else {
            if self.ty.key.atom == AtomType::Integer {
                return read_integers(word, &self.ty.key, keys);
            }
            keys.push(self.atom(word, &self.ty.key)?);
            return Ok(());
        };
        let key = self.atom(word, &self.ty.key)?;
        self.skip_spaces();
        if !self.skip('=') {
            // The reference's message ends where the text does, in a NUL.
            return match self.peek() {
                Some(c) => fail(format!("{start}: syntax error at \"{c}\" expecting \"=\"")),
                None => fail(format!("{start}: syntax error at \"")),
            };
        }
        self.skip_spaces();
        let word = self.word()?;
        pairs.push((key, self.atom(word, value_base)?));
        Ok(())
    }

    fn atom(&mut self, word: &str, base: &BaseType) -> Result<Atom, TextError> {
        match &mut self.names {
            Some(names) => atom_from_text(word, base, Some(&mut **names)),
            None => atom_from_text(word, base, None),
        }
    }

    /// Takes a quoted string with its quotes, or everything up to a delimiter.
    fn word(&mut self) -> Result<&'a str, TextError> {
        let end = if self.rest.starts_with('"') {
            match end_of_quoted(self.rest) {
                Some(end) => end,
                None => {
                    return fail(format!(
                        "{}: quoted string extends past end of argument",
                        self.rest
                    ));
                }
            }
        } else {
            self.rest.find(is_delimiter).unwrap_or(self.rest.len())
        };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    fn unexpected<T>(&self, c: char) -> Result<T, TextError> {
        fail(format!("{}: unexpected \"{c}\" parsing {}", self.whole, self.ty.to_english()))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

fn is_delimiter(c: char) -> bool {
    ":=, []{}!<>".contains(c)
}

/// The length of the quoted string that `text` begins with, quotes included.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// Parses `7` or `3-9`.
fn read_integers(word: &str, base: &BaseType, out: &mut Vec<Atom>) -> Result<(), TextError> {
    if let Ok(value) = word.parse() {
        check(base, &Atom::Integer(value))?;
        out.push(Atom::Integer(value));
        return Ok(());
    }
    // The minus that separates is the first one behind a digit.
    let dash = word.as_bytes().windows(2).position(|two| matches!(two, [b'0'..=b'9', b'-']));
    let ends = dash.and_then(|at| {
        Some((word.get(..at + 1)?.parse().ok()?, word.get(at + 2..)?.parse().ok()?))
    });
    let Some((first, last)): Option<(i64, i64)> = ends else {
        return fail(format!("\"{word}\" is not a valid integer or range"));
    };
    if last < first {
        return fail(format!("\"{word}\" is not a valid range. Range end cannot be before start."));
    }
    for end in [first, last] {
        check(base, &Atom::Integer(end))?;
    }
    if last.abs_diff(first) >= RANGE_MAX {
        return fail(format!(
            "\"{word}\" is not a valid range. Range size cannot be greater than {RANGE_MAX}."
        ));
    }
    for value in first..=last {
        check(base, &Atom::Integer(value))?;
        out.push(Atom::Integer(value));
    }
    Ok(())
}
