//! Schemas from JSON.

use jsonrpc::{Json, Object};

use super::{ColumnId, ColumnSchema, Schema, TableSchema, check_name, normalize};
use crate::members::{Members, any, id};
use crate::types::{Constraint, RefType, Reference, UNLIMITED};
use crate::{AtomType, BaseType, ColumnType, Datum, Error, ErrorKind, Real};

impl Schema {
    /// Parses a `<database-schema>`.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        let mut members = Members::new(json, &"database schema")?;
        let name = members.required("name", id)?;
        let version = members.optional("version", Json::as_str)?.unwrap_or_default();
        let cksum = members.optional("cksum", Json::as_str)?.unwrap_or_default();
        let tables = members.required("tables", Json::as_object)?;
        members.finish()?;
        if !version.is_empty() && version.parse::<super::SchemaVersion>().is_err() {
            return Err(Error::syntax(
                json,
                format!("schema version \"{version}\" not in format x.y.z"),
            ));
        }
        let tables = tables.iter().map(|(name, table)| {
            check_name(name).map_err(|error| error.about(json))?;
            TableSchema::from_json(name, table)
        });
        Self::new(name, version, cksum, tables.collect::<Result<_, _>>()?)
    }
}

impl TableSchema {
    /// Parses the `<table-schema>` of the table called `name`.
    pub fn from_json(name: &str, json: &Json) -> Result<Self, Error> {
        let what = format!("table schema for table {name}");
        let mut members = Members::new(json, &what)?;
        let columns = members.required("columns", Json::as_object)?;
        let max_rows = members.optional("maxRows", Json::as_i64)?;
        let is_root = members.optional("isRoot", Json::as_bool)?.unwrap_or(false);
        let indexes = members.optional("indexes", Json::as_array)?.unwrap_or_default();
        members.finish()?;

        let max_rows = match max_rows {
            None => u32::MAX,
            Some(n) if n <= 0 => return Err(Error::syntax(json, "maxRows must be at least 1")),
            Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
        };
        let columns = parse_columns(columns, json)?;
        let mut table = Self::new(name, columns).map_err(|error| error.about(json))?;
        for index in indexes {
            let ids = column_set(index, &table)?;
            table.add_index(ids).map_err(|error| error.about(json))?;
        }
        Ok(table.with_root(is_root).with_max_rows(max_rows))
    }
}

fn parse_columns(columns: &Object, table_json: &Json) -> Result<Vec<ColumnSchema>, Error> {
    let columns = columns.iter().map(|(name, column)| {
        check_name(name).map_err(|error| error.about(table_json))?;
        ColumnSchema::from_json(name, column)
    });
    columns.collect()
}

/// Parses an array of distinct column names.
pub(crate) fn column_set(json: &Json, table: &TableSchema) -> Result<Vec<ColumnId>, Error> {
    let malformed = || Error::syntax(json, "array of distinct column names expected");
    let names = json.as_array().ok_or_else(malformed)?;
    let mut ids = Vec::with_capacity(names.len());
    let mut seen = vec![false; table.columns().len()];
    for name in names {
        let name = name.as_str().ok_or_else(malformed)?;
        let Some(id) = table.column_id(name) else {
            return Err(Error::syntax(json, format!("{name} is not a valid column name")));
        };
        if std::mem::replace(&mut seen[id.index()], true) {
            return Err(malformed());
        }
        ids.push(id);
    }
    Ok(ids)
}

impl ColumnSchema {
    /// Parses the `<column-schema>` of the column called `name`.
    pub fn from_json(name: &str, json: &Json) -> Result<Self, Error> {
        let what = format!("schema for column {name}");
        let mut members = Members::new(json, &what)?;
        let mutable = members.optional("mutable", Json::as_bool)?.unwrap_or(true);
        let ephemeral = members.optional("ephemeral", Json::as_bool)?.unwrap_or(false);
        let ty = members.required("type", string_or_object)?;
        members.finish()?;
        Ok(Self { name: name.into(), ty: ColumnType::from_json(ty)?, ephemeral, mutable })
    }
}

fn string_or_object(json: &Json) -> Option<&Json> {
    matches!(json, Json::String(_) | Json::Object(_)).then_some(json)
}

fn integer_or_string(json: &Json) -> Option<&Json> {
    matches!(json, Json::Integer(_) | Json::String(_)).then_some(json)
}

fn real(json: &Json) -> Option<Real> {
    json.as_f64().and_then(Real::new)
}

impl ColumnType {
    /// Parses a `<type>`.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        if json.as_str().is_some() {
            return Ok(Self::scalar(atom_type(json)?));
        }
        let mut members = Members::new(json, &"ovsdb type")?;
        let key = members.required("key", string_or_object)?;
        let value = members.optional("value", string_or_object)?;
        let min = members.optional("min", Json::as_i64)?;
        let max = members.optional("max", integer_or_string)?;
        members.finish()?;

        let ty = Self {
            key: BaseType::from_json(key)?,
            value: value.map(BaseType::from_json).transpose()?,
            n_min: min.map_or(Ok(1), |n| bound(&Json::from(n)))?,
            n_max: match max {
                None => 1,
                Some(text) if text.as_str() == Some("unlimited") => UNLIMITED,
                Some(number) => bound(number)?,
            },
        };
        if ty.n_min > 1 || ty.n_max < 1 {
            return Err(Error::syntax(json, "ovsdb type fails constraint checks"));
        }
        Ok(ty)
    }
}

fn bound(json: &Json) -> Result<u32, Error> {
    let number = json.as_i64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n != UNLIMITED);
    number.ok_or_else(|| Error::syntax(json, "bad min or max value"))
}

fn atom_type(json: &Json) -> Result<AtomType, Error> {
    let name = json.as_str().unwrap_or_default();
    AtomType::from_name(name)
        .ok_or_else(|| Error::syntax(json, format!("\"{name}\" is not an atomic-type")))
}

impl BaseType {
    /// Parses a `<base-type>`.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        if json.as_str().is_some() {
            return Ok(Self::plain(atom_type(json)?));
        }
        let mut members = Members::new(json, &"ovsdb type")?;
        let atom = atom_type(members.required("type", |json| json.as_str().map(|_| json))?)?;
        let constraint = match members.optional("enum", any)? {
            Some(values) => {
                let ty = ColumnType { n_max: UNLIMITED, ..ColumnType::scalar(atom) };
                Constraint::Enum(Datum::from_json(values, &ty, None)?)
            }
            None => Self::bounds_from_json(atom, json, &mut members)?,
        };
        members.finish()?;
        Ok(normalize(Self { atom, constraint }))
    }

    fn bounds_from_json(
        atom: AtomType,
        json: &Json,
        members: &mut Members<'_>,
    ) -> Result<Constraint, Error> {
        let exceeds = |what: &str| Error::syntax(json, format!("min{what} exceeds max{what}"));
        Ok(match atom {
            AtomType::Integer => {
                let min = members.optional("minInteger", Json::as_i64)?.unwrap_or(i64::MIN);
                let max = members.optional("maxInteger", Json::as_i64)?.unwrap_or(i64::MAX);
                if min > max {
                    return Err(exceeds("Integer"));
                }
                Constraint::Integer { min, max }
            }
            AtomType::Real => {
                // The ends of the range of doubles are no bounds.
                let min = members.optional("minReal", real)?.filter(|min| min.get() != f64::MIN);
                let max = members.optional("maxReal", real)?.filter(|max| max.get() != f64::MAX);
                if min.zip(max).is_some_and(|(min, max)| min > max) {
                    return Err(exceeds("Real"));
                }
                Constraint::Real { min, max }
            }
            AtomType::String => {
                let min_len = length(members, "minLength")?.unwrap_or(0);
                let max_len = length(members, "maxLength")?.unwrap_or(u32::MAX);
                if min_len > max_len {
                    return Err(exceeds("Length"));
                }
                Constraint::String { min_len, max_len }
            }
            AtomType::Uuid => match members.optional("refTable", id)? {
                None => Constraint::None,
                Some(table) => {
                    let ref_type = match members.optional("refType", Json::as_str)? {
                        None | Some("strong") => RefType::Strong,
                        Some("weak") => RefType::Weak,
                        Some(other) => {
                            let details =
                                format!("refType must be \"strong\" or \"weak\" (not \"{other}\")");
                            return Err(Error::syntax(json, details));
                        }
                    };
                    Constraint::Reference(Reference { table: table.into(), ref_type })
                }
            },
            AtomType::Boolean => Constraint::None,
        })
    }
}

fn length(members: &mut Members<'_>, name: &str) -> Result<Option<u32>, Error> {
    let Some(number) = members.optional(name, |json| json.as_i64().map(|_| json))? else {
        return Ok(None);
    };
    let length = number.as_i64().and_then(|n| u32::try_from(n).ok());
    let details = format!("{name} out of valid range 0 to {}", u32::MAX);
    length.map(Some).ok_or_else(|| Error::new(ErrorKind::Syntax, details).about(number))
}
