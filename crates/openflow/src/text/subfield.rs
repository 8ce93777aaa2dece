//! Parts of fields: `NXM_NX_REG0[0..15]`, `reg0[3]`, `reg0[]`.

use std::fmt;

use super::number::parse;
use crate::action::Subfield;
use crate::field::Field;

impl fmt::Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.wire_name())?;
        if self.from == 0 && self.bits == self.field.row().bits {
            f.write_str("[]")
        } else if self.bits == 1 {
            write!(f, "[{}]", self.from)
        } else {
            write!(f, "[{}..{}]", self.from, self.from + self.bits - 1)
        }
    }
}

/// A field by any of its names.
pub fn parse_field(name: &str) -> Option<Field> {
    Field::by_header_name(name).map(|(field, _)| field).or_else(|| Field::by_name(name))
}

/// Reads a part of a field and gives what follows.
pub fn take(text: &str) -> Result<(Subfield, &str), String> {
    let end = text.find(['[', '-']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let field = parse_field(name).ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
    let Some(range) = rest.strip_prefix('[') else { return Ok((Subfield::whole(field), rest)) };
    let syntax = || format!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]");
    let (range, rest) = range.split_once(']').ok_or_else(syntax)?;
    let (from, to) = match range.split_once("..") {
        _ if range.is_empty() => (0, field.row().bits - 1),
        Some((from, to)) => (parse(from).ok_or_else(syntax)?, parse(to).ok_or_else(syntax)?),
        None => {
            let bit = parse(range).ok_or_else(syntax)?;
            (bit, bit)
        }
    };
    if from > to {
        return Err(format!("{text}: starting bit {from} is after ending bit {to}"));
    }
    let bits = field.row().bits;
    for (which, bit) in [("starting", from), ("ending", to)] {
        if bit >= bits {
            return Err(format!(
                "{text}: {which} bit {bit} is not valid because field is only {bits} bits wide"
            ));
        }
    }
    Ok((Subfield { field, from, bits: to - from + 1 }, rest))
}

/// A part of a field and nothing else; without brackets, the whole field.
pub fn parse_subfield(text: &str) -> Result<Subfield, String> {
    let text = text.trim();
    if !text.contains('[') {
        return parse_field(text)
            .map(Subfield::whole)
            .ok_or_else(|| format!("{text}: unknown field `{text}'"));
    }
    match take(text)? {
        (subfield, "") => Ok(subfield),
        (_, rest) => Err(format!("{text}: trailing garbage `{rest}'")),
    }
}
