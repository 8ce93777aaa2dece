//! Names of ports and tables, which a switch's configuration gives them. With them, text can say `output:eth0` for `output:1`.
//!
//! A name that is not unique names nothing, and a name that could be taken for something else is written in quotation marks.

use std::collections::BTreeMap;
use std::fmt;

use super::number::parse;
use crate::port::Port;

/// Names both ways. Without any, numbers are printed, and only numbers are understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    ports: Map<u16>,
    tables: Map<u8>,
}

/// One kind of names, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Map<N> {
    names: BTreeMap<N, String>,
    /// `None`: more than one has it.
    numbers: BTreeMap<String, Option<N>>,
}

impl<N> Default for Map<N> {
    fn default() -> Self {
        Map { names: BTreeMap::new(), numbers: BTreeMap::new() }
    }
}

impl<N: Ord + Copy> Map<N> {
    fn add(&mut self, number: N, name: &str) {
        if name.is_empty() || self.names.contains_key(&number) {
            return;
        }
        self.names.insert(number, name.to_owned());
        let unique = !self.numbers.contains_key(name);
        self.numbers.insert(name.to_owned(), unique.then_some(number));
    }

    fn name(&self, number: N) -> Option<&str> {
        let name = self.names.get(&number)?;
        self.number(name).map(|_| name.as_str())
    }

    fn number(&self, name: &str) -> Option<N> {
        self.numbers.get(name).copied().flatten()
    }
}

static NONE: Names = Names {
    ports: Map { names: BTreeMap::new(), numbers: BTreeMap::new() },
    tables: Map { names: BTreeMap::new(), numbers: BTreeMap::new() },
};

impl Names {
    /// No names at all.
    pub fn none() -> &'static Names {
        &NONE
    }

    /// Gives a port a name. The first one counts.
    pub fn add_port(&mut self, port: Port, name: &str) {
        self.ports.add(port.0, name);
    }

    /// Gives a table a name. The first one counts.
    pub fn add_table(&mut self, table: u8, name: &str) {
        self.tables.add(table, name);
    }

    /// A port's name or number, to print. Reserved numbers have words of their own, `LOCAL` for the bridge's port.
    pub fn port(&self, port: Port) -> Shown<'_, Port> {
        let name = self.ports.name(port.0).filter(|_| port < Port::MAX);
        Shown { name, number: port }
    }

    /// A table's name or number, to print.
    pub fn table(&self, table: u8) -> Shown<'_, u8> {
        Shown { name: self.tables.name(table), number: table }
    }

    /// Reads a port: a number, a word that stands for a reserved one, or a name.
    pub fn parse_port(&self, text: &str) -> Option<Port> {
        super::port::read(text).or_else(|| self.port_by_name(text))
    }

    /// The port of this name, if that is what it is.
    pub(super) fn port_by_name(&self, text: &str) -> Option<Port> {
        self.ports.number(&unquoted(text)?).map(Port)
    }

    /// Reads a table: a number or a name.
    pub fn parse_table(&self, text: &str) -> Option<u8> {
        let table = parse(text).or_else(|| self.tables.number(&unquoted(text)?));
        match (table, text.parse::<i64>()) {
            (None, Ok(number)) if number < 0 => {
                log::warn!(target: "ofp_table", "Negative value {number} is not a valid table number.");
            }
            (None, Ok(number)) => {
                log::warn!(target: "ofp_table", "table {number} is outside the supported range 0 through 255");
            }
            _ => {}
        }
        table
    }
}

/// A number with its name, if it has one.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a, N> {
    name: Option<&'a str>,
    number: N,
}

impl<N> Shown<'_, N> {
    /// Whether a name will be printed.
    pub fn has_name(&self) -> bool {
        self.name.is_some()
    }
}

impl<N: fmt::Display> fmt::Display for Shown<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            None => self.number.fmt(f),
            Some(name) if is_plain(name) => f.write_str(name),
            Some(name) => write_quoted(f, name),
        }
    }
}

/// A letter, then letters and digits: nothing that means something to who reads it.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// As a JSON string.
fn write_quoted(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in name.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// A name as it is written: in quotation marks or not. `None` when they do not fit together.
fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let inside = rest.strip_suffix('"')?;
    let mut name = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        name.push(match c {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                c @ ('"' | '\\' | '/') => c,
                _ => return None,
            },
            c => c,
        });
    }
    Some(name)
}

/// Something to print with names: matches, actions, instructions and what they are made of.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a, T: ?Sized>(pub &'a T, pub &'a Names);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_could_be_something_else() {
        let mut names = Names::default();
        for (port, name) in [(1, "eth0"), (2, "br-int"), (3, "a\"b\\"), (4, "same"), (5, "same")] {
            names.add_port(Port(port), name);
        }
        names.add_port(Port::LOCAL, "br0");
        let shown = |port: u16| names.port(Port(port)).to_string();
        assert_eq!([1, 2, 3, 4, 6].map(shown), ["eth0", "\"br-int\"", "\"a\\\"b\\\\\"", "4", "6"]);
        for port in [1, 2, 3, 4, 5, 6] {
            assert_eq!(names.parse_port(&shown(port)), Some(Port(port)));
        }
        assert_eq!((shown(0xfffe), names.parse_port("br0")), ("LOCAL".into(), Some(Port::LOCAL)));
        for (text, port) in [
            ("br-int", Some(2)),
            ("LOCAL", Some(0xfffe)),
            ("same", None),
            ("\"eth0", None),
            ("eth1", None),
        ] {
            assert_eq!(names.parse_port(text), port.map(Port), "{text}");
        }
    }

    #[test]
    fn tables_have_names_of_their_own() {
        let mut names = Names::default();
        names.add_table(7, "acl");
        assert_eq!(
            (names.table(7).to_string(), names.table(8).to_string()),
            ("acl".into(), "8".into())
        );
        assert_eq!((names.parse_table("acl"), names.parse_table("9")), (Some(7), Some(9)));
        assert_eq!((names.parse_table("x"), names.parse_table("256")), (None, None));
    }
}
