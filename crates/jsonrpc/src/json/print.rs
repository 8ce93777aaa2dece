//! From values to text: compact (the wire, the log file) and pretty (for people). Members always come sorted by name.

use super::{Json, number, text};
use std::fmt;

impl Json {
    /// Appends the compact text, without any white space.
    pub fn write_compact(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(true) => out.push_str("true"),
            Json::Bool(false) => out.push_str("false"),
            Json::Integer(n) => out.push_str(itoa::Buffer::new().format(*n)),
            Json::Real(r) if r.is_finite() => out.push_str(&number::format_real(*r)),
            Json::Real(_) => out.push_str("null"),
            Json::String(s) => text::quote_into(s, out),
            Json::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write_compact(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    text::quote_into(name, out);
                    out.push(':');
                    value.write_compact(out);
                }
                out.push('}');
            }
        }
    }

    /// The text with line breaks and indentation as the OVSDB tools' `--pretty` has it; no newline at the end.
    pub fn to_pretty(&self) -> String {
        let mut out = String::new();
        self.write_pretty(0, &mut out);
        out
    }

    fn write_pretty(&self, indent: usize, out: &mut String) {
        match self {
            Json::Array(items) if !items.is_empty() => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    new_line(i, indent + 2, out);
                    item.write_pretty(indent + 2, out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                if members.is_empty() {
                    new_line(0, indent + 2, out); // as the reference has it
                }
                for (i, (name, value)) in members.iter().enumerate() {
                    new_line(i, indent + 2, out);
                    text::quote_into(name, out);
                    out.push_str(": ");
                    value.write_pretty(indent + 2, out);
                }
                out.push('}');
            }
            _ => self.write_compact(out),
        }
    }
}

fn new_line(index: usize, indent: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

/// The compact text; `{:#}` gives the pretty one.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&self.to_pretty());
        }
        let mut out = String::new();
        self.write_compact(&mut out);
        f.write_str(&out)
    }
}
