//! Names as people type them: of tables, of columns, and `column:key=value`.
//!
//! Any unambiguous beginning of a table's or column's name will do; case does not matter, and `-` and `_` are the same.

use ovsdb::{ColumnId, ColumnSchema, Schema, TableId};

use super::{Fatal, fatal};

/// How well `typed` matches `name`: not at all, as a beginning, but for case and dashes, or exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    None,
    Beginning,
    Loose,
    Exact,
}

fn normal(c: u8) -> u8 {
    if c == b'-' { b'_' } else { c.to_ascii_lowercase() }
}

fn match_name(name: &str, typed: &str) -> Match {
    let begins = typed.len() <= name.len()
        && name.bytes().zip(typed.bytes()).all(|(n, t)| normal(n) == normal(t));
    match begins {
        _ if name == typed => Match::Exact,
        true if name.len() == typed.len() => Match::Loose,
        true => Match::Beginning,
        false => Match::None,
    }
}

/// The names that match best.
fn best<'a, T>(names: impl Iterator<Item = (&'a str, T)>, typed: &str) -> Vec<(&'a str, T)> {
    let mut level = Match::Beginning;
    let mut found = Vec::new();
    for (name, item) in names {
        let this = match_name(name, typed);
        if this > level {
            found.clear();
            level = this;
        }
        if this == level {
            found.push((name, item));
        }
    }
    found
}

fn list<T>(found: &[(&str, T)]) -> String {
    found.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The table that `typed` means.
pub(super) fn table(schema: &Schema, typed: &str) -> Result<TableId, Fatal> {
    let names = schema.table_ids().map(|id| (&**schema.table(id).name(), id));
    let found = best(names, typed);
    match found[..] {
        [(_, id)] => Ok(id),
        [] => fatal!("unknown table \"{typed}\""),
        _ => fatal!("\"{typed}\" matches multiple table names: {}", list(&found)),
    }
}

/// The column of `table` that `typed` means.
pub(super) fn column(schema: &Schema, table: TableId, typed: &str) -> Result<ColumnId, Fatal> {
    let table = schema.table(table);
    let found = best(table.named_columns().map(|(id, column)| (&*column.name, id)), typed);
    match found[..] {
        [(_, id)] => Ok(id),
        [] => fatal!("{} does not contain a column whose name matches \"{typed}\"", table.name()),
        _ => fatal!(
            "{} contains more than one column whose name matches \"{typed}\": {}",
            table.name(),
            list(&found)
        ),
    }
}

/// The description of a column.
pub(super) fn described(schema: &Schema, table: TableId, column: ColumnId) -> &ColumnSchema {
    schema.table(table).column(column)
}

/// The columns in the argument of `--columns`; `_uuid` is one.
pub(super) fn column_list(
    schema: &Schema,
    table: TableId,
    typed: &str,
) -> Result<Vec<ColumnId>, Fatal> {
    let names = typed.split([',', ' ']).filter(|name| !name.is_empty());
    let ids = names.map(|name| match name {
        _ if name.eq_ignore_ascii_case("_uuid") => Ok(ColumnId::UUID),
        name => column(schema, table, name),
    });
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() { fatal!("must specify at least one column name") } else { Ok(ids) }
}

/// `column[:key][OPERATOR value]`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Term<'a> {
    pub(super) column: ColumnId,
    pub(super) key: Option<&'a str>,
    pub(super) operator: &'static str,
    pub(super) value: &'a str,
}

/// Takes apart `column[:key]`, with nothing behind.
pub(super) fn place<'a>(
    schema: &Schema,
    table: TableId,
    arg: &'a str,
) -> Result<(ColumnId, Option<&'a str>), Fatal> {
    let (column, key, rest) = head(schema, table, arg)?;
    if !rest.is_empty() {
        return fatal!("{arg}: trailing garbage \"{rest}\" in argument");
    }
    Ok((column, key))
}

/// Takes apart `column[:key]OPERATOR value`.
pub(super) fn term<'a>(
    schema: &Schema,
    table: TableId,
    arg: &'a str,
    operators: &[&'static str],
) -> Result<Term<'a>, Fatal> {
    let (column, key, rest) = head(schema, table, arg)?;
    let operator = operators.iter().filter(|op| rest.starts_with(**op)).max_by_key(|op| op.len());
    let split = operator.map(|op| (*op, rest.strip_prefix(*op).unwrap_or_default()));
    match split {
        Some((operator, value)) if !value.is_empty() => Ok(Term { column, key, operator, value }),
        _ => {
            let mut choices = String::new();
            for (i, op) in operators.iter().enumerate() {
                choices.push_str(match i {
                    0 => "",
                    i if i + 1 == operators.len() => ", or ",
                    _ => ", ",
                });
                choices.push_str(&format!("\"{op}\""));
            }
            fatal!("{arg}: argument does not end in {choices} followed by a value.")
        }
    }
}

type Head<'a> = (ColumnId, Option<&'a str>, &'a str);

fn head<'a>(schema: &Schema, table: TableId, arg: &'a str) -> Result<Head<'a>, Fatal> {
    let (name, rest) = word(arg)?;
    if name.is_empty() {
        return fatal!("{arg}: missing column name");
    }
    let id = column(schema, table, name)?;
    match rest.strip_prefix(':') {
        None => Ok((id, None, rest)),
        Some(rest) => {
            let (key, rest) = word(rest)?;
            Ok((id, Some(key), rest))
        }
    }
}

/// Splits off a quoted string with its quotes, or everything up to a delimiter.
fn word(text: &str) -> Result<(&str, &str), Fatal> {
    if !text.starts_with('"') {
        let end = text.find(|c| ":=, []{}!<>".contains(c)).unwrap_or(text.len());
        return Ok(text.split_at(end));
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(text.split_at(at + 1)),
            _ => {}
        }
    }
    fatal!("{text}: quoted string extends past end of argument")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> (std::sync::Arc<Schema>, TableId) {
        let schema = vswitch_schema::schema();
        let id = schema.table_id("Bridge").unwrap();
        (schema, id)
    }

    #[test]
    fn names_may_be_abbreviated_and_dashed() {
        let (schema, id) = bridge();
        let name =
            |typed| column(&schema, id, typed).map(|c| schema.table(id).column(c).name.to_string());
        assert_eq!(name("fail-mode").unwrap(), "fail_mode");
        assert_eq!(name("FAIL").unwrap(), "fail_mode");
        assert_eq!(name("datapath_id").unwrap(), "datapath_id");
        assert_eq!(
            name("n").unwrap_err().message,
            r#"Bridge contains more than one column whose name matches "n": name, netflow"#
        );
        assert_eq!(table(&schema, "br").unwrap(), id);
        assert_eq!(table(&schema, "bridges").unwrap_err().message, r#"unknown table "bridges""#);
        assert_eq!(
            table(&schema, "c").unwrap_err().message,
            r#""c" matches multiple table names: CT_Timeout_Policy, CT_Zone, Controller"#
        );
        // "Port" is exact although nothing else begins so; "Q" is ambiguous; "queue" is not "QoS".
        assert!(table(&schema, "q").is_err() && table(&schema, "qu").is_ok());
    }

    #[test]
    fn terms_are_taken_apart() {
        let (schema, id) = bridge();
        let config = column(&schema, id, "other_config").unwrap();
        let of = |arg| term(&schema, id, arg, &["="]);
        let good = of(r#"other-config:"a=b"=c=d"#).unwrap();
        assert_eq!(
            good,
            Term { column: config, key: Some(r#""a=b""#), operator: "=", value: "c=d" }
        );
        for (arg, message) in [
            (
                "other_config:x",
                r#"other_config:x: argument does not end in "=" followed by a value."#,
            ),
            (
                "other_config:x=",
                r#"other_config:x=: argument does not end in "=" followed by a value."#,
            ),
            ("=x", "=x: missing column name"),
            (r#"other_config:"x"#, r#""x: quoted string extends past end of argument"#),
        ] {
            assert_eq!(of(arg).unwrap_err().message, message);
        }
        assert_eq!(term(&schema, id, "name<=x", &["<", "<=", "="]).unwrap().operator, "<=");
        assert_eq!(
            place(&schema, id, "name garbage").unwrap_err().message,
            r#"name garbage: trailing garbage " garbage" in argument"#
        );
        assert!(column_list(&schema, id, ", ,").is_err());
        assert_eq!(column_list(&schema, id, "_uuid, name").unwrap().len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_argument_breaks_the_parser(arg in "\\PC{0,40}|[a-z_]{1,12}(:\"?[a-z=]{0,5}\"?)?[{}=<>!]{0,3}\\PC{0,5}") {
            let (schema, id) = bridge();
            let _ = term(&schema, id, &arg, &["=", "!=", "{=}"]);
            let _ = place(&schema, id, &arg);
            let _ = column_list(&schema, id, &arg);
            let _ = table(&schema, &arg);
        }
    }
}
