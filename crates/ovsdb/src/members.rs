//! Taking a JSON object apart member by member, and complaining about what is missing, wrong or left over.

use std::fmt::Display;

use jsonrpc::{Json, Object};

use crate::{Error, ErrorKind};

/// Reads the members of one object; [`Members::finish`] refuses those that nobody asked for.
pub(crate) struct Members<'a> {
    json: &'a Json,
    object: &'a Object,
    what: &'a dyn Display,
    /// One bit for each of the first 64 members; no object of the protocol has more.
    used: u64,
    /// An error about the object was made: members that were not asked for are of no more interest.
    failed: bool,
}

impl<'a> Members<'a> {
    /// `what` names the object in errors.
    pub(crate) fn new(json: &'a Json, what: &'a dyn Display) -> Result<Self, Error> {
        match json.as_object() {
            Some(object) => Ok(Self { json, object, what, used: 0, failed: false }),
            None => Err(Error::new(
                ErrorKind::Syntax,
                format!("Parsing {what} failed: Object expected."),
            )),
        }
    }

    /// The member `name`, if present. `accept` picks the values of the right type.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        accept: impl FnOnce(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(at) = self.object.members().iter().position(|(n, _)| **n == *name) else {
            return Ok(None);
        };
        if at < 64 {
            self.used |= 1 << at;
        }
        let value = self.object.members().get(at).and_then(|(_, value)| accept(value));
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(self.error(format!("Type mismatch for member '{name}'."))),
        }
    }

    /// The member `name`, which must be present.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        accept: impl FnOnce(&'a Json) -> Option<T>,
    ) -> Result<T, Error> {
        let value = self.optional(name, accept)?;
        match value {
            Some(value) => Ok(value),
            None => Err(self.error(format!("Required '{name}' member is missing."))),
        }
    }

    /// The object itself.
    pub(crate) fn json(&self) -> &'a Json {
        self.json
    }

    /// A syntax error about the object.
    pub(crate) fn error(&mut self, details: impl Display) -> Error {
        self.failed = true;
        Error::syntax(self.json, format!("Parsing {} failed: {details}", self.what))
    }

    /// Refuses members that were not asked for.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        let members = self.object.members().iter().enumerate();
        let mut unused =
            members.filter(|(i, _)| *i >= 64 || self.used & 1 << i == 0).map(|(_, (name, _))| name);
        let Some(first) = unused.next() else { return Ok(()) };
        let problem = match unused.count() {
            0 => format!("Member '{first}' is present but not allowed here."),
            1 => format!("Member '{first}' and 1 other member are present but not allowed here."),
            n => {
                format!("Member '{first}' and {n} other members are present but not allowed here.")
            }
        };
        Err(self.error(problem))
    }
}

/// Accepts anything.
pub(crate) fn any(json: &Json) -> Option<&Json> {
    Some(json)
}

/// Accepts arrays, as JSON.
pub(crate) fn array(json: &Json) -> Option<&Json> {
    json.as_array().map(|_| json)
}

/// Accepts objects, as JSON.
pub(crate) fn object(json: &Json) -> Option<&Json> {
    json.as_object().map(|_| json)
}

/// Accepts strings that are identifiers.
pub(crate) fn id(json: &Json) -> Option<&str> {
    json.as_str().filter(|text| crate::schema::is_id(text))
}
