//! What `-v` options and `vlog/set` arguments say.

use super::Vlog;
use super::level::{Destination, Facility, Level};

/// What separates the words of a specification.
const DELIMITERS: [char; 3] = [' ', ',', ':'];

pub(super) fn apply(vlog: &Vlog, spec: &str) -> Result<(), String> {
    let trimmed = spec.trim_start_matches(DELIMITERS);
    let (first, rest) = trimmed.split_once(DELIMITERS).unwrap_or((trimmed, ""));
    if first.eq_ignore_ascii_case("PATTERN") {
        return apply_pattern(vlog, rest);
    }
    if first.eq_ignore_ascii_case("FACILITY") {
        let facility = Facility::named(rest).ok_or("invalid facility")?;
        vlog.sinks().syslog.set_facility(facility);
        return Ok(());
    }
    apply_levels(vlog, spec)
}

fn apply_pattern(vlog: &Vlog, rest: &str) -> Result<(), String> {
    let (word, pattern) = rest.split_once(DELIMITERS).unwrap_or((rest, ""));
    let destination = match Destination::named(word) {
        None if word.eq_ignore_ascii_case("any") => None,
        None => return Err(format!("unknown destination \"{word}\"")),
        some => some,
    };
    vlog.set_pattern(destination, pattern);
    Ok(())
}

fn apply_levels(vlog: &Vlog, spec: &str) -> Result<(), String> {
    let (mut level, mut destination, mut module) = (None, None, None);
    for word in spec.split(DELIMITERS).filter(|w| !w.is_empty() && !w.eq_ignore_ascii_case("any")) {
        if let Some(found) = Destination::named(word) {
            once(&mut destination, found, "cannot specify multiple destinations")?;
        } else if let Some(found) = Level::named(word) {
            once(&mut level, found, "cannot specify multiple levels")?;
        } else if let Some(found) = vlog.module_named(word) {
            once(&mut module, found, "cannot specify multiple modules")?;
        } else {
            return Err(format!("no destination, level, or module \"{word}\""));
        }
    }
    vlog.set_level(module.as_deref(), destination, level.unwrap_or(Level::Dbg));
    Ok(())
}

fn once<T>(slot: &mut Option<T>, value: T, otherwise: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(otherwise.to_owned()),
    }
}
