//! Comparing what somebody wrote with the table of settings.

use std::fmt;

use super::together::contradiction;
use super::{Kind, Setting, interface_type, settings};

/// A setting that cannot be right. Displayed, it says what is wrong and what would be right; who is wrong (table and record) the
/// caller puts in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What was probably meant, if something near it exists.
    pub suggestion: Option<&'static str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.suggestion {
            Some(word) => write!(f, "; did you mean \"{word}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// What [`check`] thinks of a setting that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The switch knows it, and the value is one it takes.
    Known,
    /// The switch does not know it: some other program's.
    Foreign,
    /// It passes, but is probably not what was meant; the text says why.
    Hint(String),
}

/// `column`, or `column:key`.
fn place(column: &str, key: &str) -> String {
    if key.is_empty() { column.to_owned() } else { format!("{column}:{key}") }
}

/// Checks the value of one setting: of a string column (`key` empty) or of a key in a map of strings. `interface_type` is the
/// Interface's `type` column and ignored for other tables.
pub fn check(
    table: &str,
    column: &str,
    key: &str,
    value: &str,
    interface_type: &str,
) -> Result<Verdict, Refusal> {
    let here = || settings().filter(|setting| setting.table == table && setting.column == column);
    let ty = if interface_type.is_empty() { "system" } else { interface_type };
    let mut known = here().filter(|setting| setting.has_key(key)).peekable();
    if known.peek().is_none() {
        return unknown_key(table, column, key, ty, here());
    }
    match known.clone().find(|setting| setting.applies_to(ty)) {
        Some(setting) => check_value(setting, key, value),
        // An interface type that nobody knows has its own error; its options cannot be judged.
        None if super::interface_type(ty).is_none() => Ok(Verdict::Foreign),
        None => {
            let types: Vec<_> = known.flat_map(|setting| setting.on).copied().collect();
            Err(Refusal {
                message: format!(
                    "{} means nothing for an interface of type {ty}, only for {}",
                    place(column, key),
                    types.join(", ")
                ),
                suggestion: None,
            })
        }
    }
}

fn check_value(setting: &Setting, key: &str, value: &str) -> Result<Verdict, Refusal> {
    let place = place(setting.column, key);
    if let Kind::Obsolete(why) = setting.kind {
        return Ok(Verdict::Hint(format!("{place} has no effect: {why}")));
    }
    if setting.kind.accepts(value) {
        return Ok(Verdict::Known);
    }
    Err(Refusal {
        message: format!("{place}={} is not valid: it must be {}", quoted(value), setting.kind),
        suggestion: nearest(value, setting.kind.words().iter().copied()),
    })
}

fn unknown_key(
    table: &str,
    column: &str,
    key: &str,
    ty: &str,
    known: impl Iterator<Item = &'static Setting> + Clone,
) -> Result<Verdict, Refusal> {
    let judged_type = interface_type(ty).is_some();
    let keys =
        known.filter(|setting| !judged_type || setting.applies_to(ty)).map(|setting| setting.key);
    if table == "Interface" && column == "options" {
        if !judged_type {
            return Ok(Verdict::Foreign);
        }
        return Err(Refusal {
            message: format!("{} is not an option of interfaces of type {ty}", place(column, key)),
            suggestion: nearest(key, keys),
        });
    }
    Ok(match slip(key, keys) {
        Some(known) => Verdict::Hint(format!(
            "{} is not a setting of the switch; did you mean \"{known}\"?",
            place(column, key)
        )),
        None => Verdict::Foreign,
    })
}

/// Checks a whole Interface: its type, what that type needs, what contradicts, and each option.
pub fn check_interface<'a>(
    ty: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if let Err(refusal) = check("Interface", "type", "", ty, ty) {
        return vec![refusal];
    }
    for (key, value) in options.clone() {
        refusals.extend(check("Interface", "options", key, value, ty).err());
    }
    refusals.extend(missing_option(ty, options));
    refusals
}

/// What an Interface of type `ty` with these options lacks, or what in them contradicts itself.
pub fn missing_option<'a>(
    ty: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
) -> Option<Refusal> {
    let get = |wanted: &str| {
        options.clone().into_iter().find(|(key, _)| *key == wanted).map(|(_, value)| value)
    };
    let ty = interface_type(ty)?;
    let refusal = |message| Some(Refusal { message, suggestion: None });
    for key in ty.required {
        if get(key).is_none() {
            return refusal(format!("an interface of type {} needs options:{key}", ty.name));
        }
    }
    contradiction(ty.name, get).and_then(refusal)
}

fn quoted(value: &str) -> String {
    // Values come from a command line or a database client: no control characters on the terminal.
    if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        format!("{value:?}")
    } else {
        value.to_owned()
    }
}

/// Strings longer than this are not compared: nobody misspells that much, and the comparison is quadratic.
const LONGEST_COMPARED: usize = 64;

/// The candidate nearest to `word`, if it is near at all: at most a third of its letters wrong, or three.
fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    closest(word, candidates)
        .filter(|&(distance, known)| distance <= (known.len().max(word.len()) / 3).clamp(2, 3))
        .map(|(_, known)| known)
}

/// The candidate that `word` is a slip of the pen for: one or two letters wrong, in a word long enough for that to mean something.
fn slip(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let most = if word.len() > 7 { 2 } else { 1 };
    closest(word, candidates.filter(|key| key.len() > 3))
        .filter(|&(distance, _)| distance <= most)
        .map(|(_, known)| known)
}

fn closest(
    word: &str,
    candidates: impl Iterator<Item = &'static str>,
) -> Option<(usize, &'static str)> {
    if word.len() > LONGEST_COMPARED {
        return None;
    }
    // `-` and `_` are one letter here: keys use both, and people mix them up.
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .filter(|known| !known.is_empty() && !known.ends_with('*'))
        .map(|known| (strsim::osa_distance(&word, &plain(known)), known))
        .min_by_key(|&(distance, _)| distance)
}
