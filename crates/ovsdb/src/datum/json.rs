//! Datums as JSON: `<value>` of RFC 7047 section 5.1.

use jsonrpc::Json;
use jsonrpc::json::text::quote_into;

use super::{Datum, Repr};
use crate::schema::is_id;
use crate::{Atom, AtomType, BaseType, ColumnType, Error, ErrorKind, Real, Uuid};

/// Turns the names that a transaction (or a command line) gave to rows-to-be into UUIDs.
pub trait NamedUuids {
    /// The UUID for `name`, made up when the name is new. `base` is the type of the place that mentions it.
    fn uuid_for(&mut self, name: &str, base: &BaseType) -> Uuid;
}

impl Datum {
    /// Parses a `<value>` of type `ty` and checks its constraints. `["named-uuid", ..]` is understood if `names` is given.
    pub fn from_json(
        json: &Json,
        ty: &ColumnType,
        mut names: Option<&mut dyn NamedUuids>,
    ) -> Result<Self, Error> {
        let items = match (&ty.value, tagged(json)) {
            (None, Some(("set", items))) => items,
            (None, _) if starts_with_tag(json, "set") => return Err(expected_array(json, "set")),
            (None, _) => return Ok(Self::from(atom_from_json(json, &ty.key, names)?)),
            (Some(_), Some(("map", items))) => items,
            (Some(_), _) => return Err(expected_array(json, "map")),
        };
        let items = items.as_array().ok_or_else(|| expected_array(json, class(ty)))?;
        check_count(json, items.len(), ty)?;
        let Some(value_base) = &ty.value else {
            let atoms =
                items.iter().map(|item| atom_from_json(item, &ty.key, reborrow(&mut names)));
            return Self::try_set(atoms.collect::<Result<_, _>>()?)
                .map_err(|_| Error::new(ErrorKind::Ovsdb, "set contains duplicate"));
        };
        let pairs = items.iter().map(|item| {
            let Some([key, value]) = item.as_array() else {
                return Err(Error::syntax(item, "expected 2-element array"));
            };
            let key = atom_from_json(key, &ty.key, reborrow(&mut names))?;
            Ok((key, atom_from_json(value, value_base, reborrow(&mut names))?))
        });
        Self::try_map(pairs.collect::<Result<_, _>>()?)
            .map_err(|_| Error::new(ErrorKind::Ovsdb, "map contains duplicate key"))
    }

    /// The `<value>` for a column of type `ty`.
    pub fn to_json(&self, ty: &ColumnType) -> Json {
        if ty.is_map() {
            let pairs = self
                .as_map()
                .iter()
                .map(|(key, value)| Json::array([atom_to_json(key), atom_to_json(value)]));
            return Json::array([Json::from("map"), pairs.collect()]);
        }
        match &self.0 {
            Repr::One(atom) => atom_to_json(atom),
            _ => Json::array([Json::from("set"), self.elements().map(atom_to_json).collect()]),
        }
    }

    /// Appends what [`Datum::to_json`] would print, without building it.
    pub fn write_json(&self, ty: &ColumnType, out: &mut String) {
        if ty.is_map() {
            out.push_str("[\"map\",[");
            for (i, (key, value)) in self.as_map().iter().enumerate() {
                out.push_str(if i == 0 { "[" } else { ",[" });
                write_atom(key, out);
                out.push(',');
                write_atom(value, out);
                out.push(']');
            }
            out.push_str("]]");
        } else if let Repr::One(atom) = &self.0 {
            write_atom(atom, out);
        } else {
            out.push_str("[\"set\",[");
            for (i, atom) in self.elements().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_atom(atom, out);
            }
            out.push_str("]]");
        }
    }
}

/// A fresh loan of an optional borrow, for use in a loop.
fn reborrow<'a>(names: &'a mut Option<&mut dyn NamedUuids>) -> Option<&'a mut dyn NamedUuids> {
    match names {
        Some(names) => Some(&mut **names),
        None => None,
    }
}

fn class(ty: &ColumnType) -> &'static str {
    if ty.is_map() { "map" } else { "set" }
}

/// Splits `[tag, content]`.
fn tagged(json: &Json) -> Option<(&str, &Json)> {
    match json.as_array()? {
        [tag, content] => Some((tag.as_str()?, content)),
        _ => None,
    }
}

fn starts_with_tag(json: &Json, tag: &str) -> bool {
    json.at(0).and_then(Json::as_str) == Some(tag)
}

fn expected_array(json: &Json, class: &str) -> Error {
    Error::syntax(json, format!("expected [\"{class}\", <array>]"))
}

fn check_count(json: &Json, n: usize, ty: &ColumnType) -> Result<(), Error> {
    if n as u64 >= u64::from(ty.n_min) && n as u64 <= u64::from(ty.n_max) {
        return Ok(());
    }
    let class = class(ty);
    let rule = match (ty.n_min, ty.n_max) {
        (1, 1) => "exactly one member".to_owned(),
        (min, max) => format!("{min} to {max} members"),
    };
    Err(Error::syntax(json, format!("{class} must have {rule} but {n} are present")))
}

/// Parses an `<atom>` of type `base` and checks its constraint.
pub fn atom_from_json(
    json: &Json,
    base: &BaseType,
    names: Option<&mut dyn NamedUuids>,
) -> Result<Atom, Error> {
    let atom = match (base.atom, json) {
        (AtomType::Integer, Json::Integer(value)) => Atom::Integer(*value),
        (AtomType::Real, Json::Integer(value)) => {
            Real::new(*value as f64).map(Atom::Real).ok_or_else(|| mismatch(json, base))?
        }
        (AtomType::Real, Json::Real(value)) => {
            Real::new(*value).map(Atom::Real).ok_or_else(|| mismatch(json, base))?
        }
        (AtomType::Boolean, Json::Bool(value)) => Atom::Boolean(*value),
        (AtomType::String, Json::String(value)) => Atom::String(value.clone()),
        (AtomType::Uuid, _) => Atom::Uuid(uuid_from_json(json, base, names)?),
        _ => return Err(mismatch(json, base)),
    };
    base.check(&atom)?;
    Ok(atom)
}

fn mismatch(json: &Json, base: &BaseType) -> Error {
    Error::syntax(json, format!("expected {}", base.atom.name()))
}

fn uuid_from_json(
    json: &Json,
    base: &BaseType,
    names: Option<&mut dyn NamedUuids>,
) -> Result<Uuid, Error> {
    let tagged = tagged(json).and_then(|(tag, content)| Some((tag, content.as_str()?)));
    match (tagged, names) {
        (Some(("uuid", text)), _) => {
            text.parse().map_err(|_| Error::syntax(json, format!("\"{text}\" is not a valid UUID")))
        }
        (Some(("named-uuid", name)), Some(names)) if is_id(name) => Ok(names.uuid_for(name, base)),
        (Some(("named-uuid", _)), Some(_)) => {
            Err(Error::syntax(json, "named-uuid string is not a valid <id>"))
        }
        _ => Err(Error::syntax(json, "expected [\"uuid\", <string>]")),
    }
}

/// The `<atom>`.
pub fn atom_to_json(atom: &Atom) -> Json {
    match atom {
        Atom::Integer(value) => Json::from(*value),
        Atom::Real(value) => real_to_json(*value),
        Atom::Boolean(value) => Json::from(*value),
        Atom::String(value) => Json::from(value),
        Atom::Uuid(value) => uuid_to_json(*value),
    }
}

/// Whole numbers of more than 15 digits stay reals, which print with as many digits as a double surely has.
fn real_to_json(real: Real) -> Json {
    let value = real.get();
    if value.abs() < 1e15 { Json::real(value) } else { Json::Real(value) }
}

/// `["uuid", "<text>"]`
pub fn uuid_to_json(uuid: Uuid) -> Json {
    Json::array([Json::from("uuid"), Json::from(uuid.to_string())])
}

fn write_atom(atom: &Atom, out: &mut String) {
    match atom {
        Atom::Integer(value) => Json::from(*value).write_compact(out),
        Atom::Real(value) => real_to_json(*value).write_compact(out),
        Atom::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Atom::String(value) => quote_into(value, out),
        Atom::Uuid(value) => {
            out.push_str("[\"uuid\",\"");
            value.push_to(out);
            out.push_str("\"]");
        }
    }
}
