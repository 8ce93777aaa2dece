//! What a table is, as constants, and the schema text made from them (RFC 7047 section 3.2).
//!
//! These types only *describe*; `ovsdb` is what parses, checks and stores. Everything here is `const`, so the whole schema
//! costs nothing at start-up and a mistake in it is a compile error or a failed test, never a surprise at run time.

use std::fmt::Write;

/// "unlimited" as an upper bound on the number of elements.
pub const UNLIMITED: u32 = u32::MAX;

/// The atomic types of OVSDB that this schema uses (it has no reals).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomic {
    /// 64-bit signed integer.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// UTF-8 text.
    String,
    /// A reference to a row, or any UUID.
    Uuid,
}

impl Atomic {
    fn name(self) -> &'static str {
        match self {
            Atomic::Integer => "integer",
            Atomic::Boolean => "boolean",
            Atomic::String => "string",
            Atomic::Uuid => "uuid",
        }
    }
}

/// A reference to another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefDef {
    /// The table referred to.
    pub table: &'static str,
    /// A weak reference does not keep its row alive.
    pub weak: bool,
}

/// One atom with its constraints: an OVSDB `<base-type>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseDef {
    /// What kind of atom.
    pub atomic: Atomic,
    /// Smallest integer allowed.
    pub min: Option<i64>,
    /// Largest integer allowed.
    pub max: Option<i64>,
    /// The only strings allowed; empty means any.
    pub choices: &'static [&'static str],
    /// The table a UUID points into.
    pub refers: Option<RefDef>,
}

impl BaseDef {
    /// An atom without constraints.
    pub const fn of(atomic: Atomic) -> Self {
        Self { atomic, min: None, max: None, choices: &[], refers: None }
    }

    fn is_plain(&self) -> bool {
        *self == Self::of(self.atomic)
    }

    fn write_json(&self, out: &mut String) {
        let _ = write!(out, r#"{{"type":"{}""#, self.atomic.name());
        if !self.choices.is_empty() {
            let _ = write!(out, r#","enum":["set",["{}"]]"#, self.choices.join(r#"",""#));
        }
        if let Some(min) = self.min {
            let _ = write!(out, r#","minInteger":{min}"#);
        }
        if let Some(max) = self.max {
            let _ = write!(out, r#","maxInteger":{max}"#);
        }
        if let Some(refers) = self.refers {
            let _ = write!(out, r#","refTable":"{}""#, refers.table);
            if refers.weak {
                out.push_str(r#","refType":"weak""#);
            }
        }
        out.push('}');
    }
}

/// The type of a column: one atom, or between `min` and `max` of them, or pairs of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeDef {
    /// The element, or the key of a map.
    pub key: BaseDef,
    /// The value of a map.
    pub value: Option<BaseDef>,
    /// Fewest elements: 0 or 1.
    pub min: u32,
    /// Most elements, or [`UNLIMITED`].
    pub max: u32,
}

impl TypeDef {
    /// Exactly one `key`.
    pub const fn scalar(key: BaseDef) -> Self {
        Self { key, value: None, min: 1, max: 1 }
    }

    fn write_json(&self, out: &mut String) {
        if self.key.is_plain() && self.value.is_none() && (self.min, self.max) == (1, 1) {
            let _ = write!(out, r#""{}""#, self.key.atomic.name());
            return;
        }
        out.push_str(r#"{"key":"#);
        self.key.write_json(out);
        if let Some(value) = &self.value {
            out.push_str(r#","value":"#);
            value.write_json(out);
        }
        if (self.min, self.max) != (1, 1) {
            let _ = write!(out, r#","min":{}"#, self.min);
            match self.max {
                UNLIMITED => out.push_str(r#","max":"unlimited""#),
                max => drop(write!(out, r#","max":{max}"#)),
            }
        }
        out.push('}');
    }
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct ColumnDef {
    /// The name in the database.
    pub name: &'static str,
    /// What the column is for, one sentence or two.
    pub doc: &'static str,
    /// Its type.
    pub ty: TypeDef,
    /// Lost when the database server restarts: status, not configuration.
    pub ephemeral: bool,
    /// May change after the row was inserted.
    pub mutable: bool,
}

/// What the table definitions say about a column after its type.
impl ColumnDef {
    /// A mutable, persistent column.
    pub const fn new(name: &'static str, doc: &'static str, ty: TypeDef) -> Self {
        Self { name, doc, ty, ephemeral: false, mutable: true }
    }

    /// Not kept over a restart of the database server.
    #[must_use]
    pub const fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// Fixed at insertion.
    #[must_use]
    pub const fn immutable(mut self) -> Self {
        self.mutable = false;
        self
    }

    /// The integers allowed, inclusive (the keys, for a map).
    #[must_use]
    pub const fn range(mut self, min: i64, max: i64) -> Self {
        self.ty.key.min = Some(min);
        self.ty.key.max = Some(max);
        self
    }

    /// The smallest integer allowed.
    #[must_use]
    pub const fn at_least(mut self, min: i64) -> Self {
        self.ty.key.min = Some(min);
        self
    }

    /// The integers allowed as a map's values, inclusive.
    #[must_use]
    pub const fn values(mut self, min: i64, max: i64) -> Self {
        if let Some(value) = &mut self.ty.value {
            value.min = Some(min);
            value.max = Some(max);
        }
        self
    }

    /// The strings allowed (the keys, for a map).
    #[must_use]
    pub const fn one_of(mut self, choices: &'static [&'static str]) -> Self {
        self.ty.key.choices = choices;
        self
    }

    /// Holds strong references to rows of `table`, as its map values if it is a map.
    #[must_use]
    pub const fn refers(mut self, table: &'static str) -> Self {
        let refers = Some(RefDef { table, weak: false });
        match &mut self.ty.value {
            Some(value) => value.refers = refers,
            None => self.ty.key.refers = refers,
        }
        self
    }

    /// Holds weak references to rows of `table`.
    #[must_use]
    pub const fn weakly_refers(mut self, table: &'static str) -> Self {
        self.ty.key.refers = Some(RefDef { table, weak: true });
        self
    }

    /// A set that may not be empty.
    #[must_use]
    pub const fn not_empty(mut self) -> Self {
        self.ty.min = 1;
        self
    }

    /// The most elements a set may have.
    #[must_use]
    pub const fn at_most(mut self, max: u32) -> Self {
        self.ty.max = max;
        self
    }

    fn write_json(&self, out: &mut String) {
        let _ = write!(out, r#""{}":{{"type":"#, self.name);
        self.ty.write_json(out);
        if self.ephemeral {
            out.push_str(r#","ephemeral":true"#);
        }
        if !self.mutable {
            out.push_str(r#","mutable":false"#);
        }
        out.push('}');
    }
}

/// One table.
#[derive(Clone, Copy, Debug)]
pub struct TableDef {
    /// The name in the database.
    pub name: &'static str,
    /// What a row stands for.
    pub doc: &'static str,
    /// Its columns, in reading order.
    pub columns: &'static [ColumnDef],
    /// Rows stay even if nothing refers to them.
    pub root: bool,
    /// The most rows, or [`UNLIMITED`].
    pub max_rows: u32,
    /// The columns whose values together are unique in the table; empty for none.
    pub index: &'static [&'static str],
}

impl TableDef {
    /// A table whose rows live as long as something refers to them.
    pub const fn new(name: &'static str, doc: &'static str, columns: &'static [ColumnDef]) -> Self {
        Self { name, doc, columns, root: false, max_rows: UNLIMITED, index: &[] }
    }

    /// Rows stay even if nothing refers to them.
    #[must_use]
    pub const fn root(mut self) -> Self {
        self.root = true;
        self
    }

    /// At most one row.
    #[must_use]
    pub const fn single(mut self) -> Self {
        self.max_rows = 1;
        self
    }

    /// These columns together are unique.
    #[must_use]
    pub const fn index(mut self, columns: &'static [&'static str]) -> Self {
        self.index = columns;
        self
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&'static ColumnDef> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn write_json(&self, out: &mut String) {
        let _ = write!(out, "  \"{}\":{{\n   \"columns\":{{", self.name);
        for (i, column) in self.columns.iter().enumerate() {
            out.push_str(if i == 0 { "\n    " } else { ",\n    " });
            column.write_json(out);
        }
        out.push('}');
        if self.root {
            out.push_str(",\n   \"isRoot\":true");
        }
        if self.max_rows != UNLIMITED {
            let _ = write!(out, ",\n   \"maxRows\":{}", self.max_rows);
        }
        if !self.index.is_empty() {
            let _ = write!(out, ",\n   \"indexes\":[[\"{}\"]]", self.index.join("\",\""));
        }
        out.push('}');
    }
}

/// The schema of database `name`, as the text of a schema file.
///
/// The `cksum` member is the POSIX checksum and length of the same text without that member, so that tools which compare
/// checksums see a changed definition.
pub fn schema_text(name: &str, version: &str, tables: &[&TableDef]) -> String {
    let mut body = String::with_capacity(32 * 1024);
    body.push_str(" \"tables\":{\n");
    for (i, table) in tables.iter().enumerate() {
        if i > 0 {
            body.push_str(",\n");
        }
        table.write_json(&mut body);
    }
    body.push_str("}}\n");
    let head = format!("{{\"name\":\"{name}\",\n \"version\":\"{version}\",\n");
    let (crc, length) = posix_cksum(format!("{head}{body}").as_bytes());
    format!("{head} \"cksum\":\"{crc} {length}\",\n{body}")
}

/// What `cksum(1)` prints for `bytes`: CRC-32 with polynomial 0x04c11db7 over the data and its length (POSIX.1-2017, cksum).
fn posix_cksum(bytes: &[u8]) -> (u32, usize) {
    fn feed(crc: u32, byte: u8) -> u32 {
        (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
            (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    }
    let mut crc = bytes.iter().fold(0, |crc, &byte| feed(crc, byte));
    let mut length = bytes.len();
    while length != 0 {
        crc = feed(crc, (length & 0xff) as u8);
        length >>= 8;
    }
    (!crc, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cksum_is_the_one_of_posix() {
        // printf 123456789 | cksum
        assert_eq!(posix_cksum(b"123456789"), (930_766_865, 9));
        assert_eq!(posix_cksum(b""), (4_294_967_295, 0));
    }

    #[test]
    fn types_are_written_as_rfc_7047_has_them() {
        let column = ColumnDef::new(
            "tag",
            "",
            TypeDef { min: 0, ..TypeDef::scalar(BaseDef::of(Atomic::Integer)) },
        );
        let mut out = String::new();
        column.range(0, 4095).ephemeral().write_json(&mut out);
        assert_eq!(
            out,
            r#""tag":{"type":{"key":{"type":"integer","minInteger":0,"maxInteger":4095},"min":0,"max":1},"ephemeral":true}"#
        );
    }
}
