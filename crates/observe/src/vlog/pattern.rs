//! Patterns: how a line looks. `%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m`

use super::level::{Facility, Level, PerDestination};
use std::fmt::Write;
use std::time::Duration;

/// All that a pattern can show.
pub struct Line<'a> {
    /// `%A`
    pub program: &'a str,
    /// `%c`
    pub module: &'a str,
    /// `%p`
    pub level: Level,
    /// `%m`
    pub message: &'a str,
    /// `%t`, `%T`: the thread or process, empty for the main one.
    pub subprogram: &'a str,
    /// `%N`
    pub serial: u64,
    /// `%d`, `%D`: time since 1970.
    pub wall: Duration,
    /// `%r`: time since the program started.
    pub uptime: Duration,
}

/// A pattern, parsed.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Escape { what: What, left: bool, zeros: bool, width: usize },
}

#[derive(Clone, Debug)]
enum What {
    Program,
    Priority,
    Module,
    /// By strftime.
    Date {
        format: String,
        utc: bool,
    },
    Host,
    Serial,
    Level,
    Pid,
    Uptime,
    Subprogram,
    SubprogramInBrackets,
    Message,
}

/// Wider fields than this are somebody's mistake.
const WIDTH_MAX: usize = 1000;
const DEFAULT_DATE: &str = "%Y-%m-%d %H:%M:%S.###";

/// The patterns that the reference starts with.
pub fn defaults() -> PerDestination<Pattern> {
    PerDestination {
        console: Pattern::new("%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m"),
        syslog: Pattern::new("ovs|%05N|%c%T|%p|%m"),
        file: Pattern::new("%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m"),
    }
}

impl Pattern {
    /// Parses; anything is a pattern, for what is no escape stands for itself.
    pub fn new(text: &str) -> Pattern {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('%') {
            pieces.push(Piece::Literal(literal.to_owned()));
            rest = parse_escape(after, &mut pieces);
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        Pattern { text: text.to_owned(), pieces }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the line, without a newline at its end.
    pub fn format(&self, line: &Line<'_>, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Escape { what, left, zeros, width } => {
                    let start = out.len();
                    what.format(line, out);
                    pad(out, start, *left, *zeros, *width);
                }
            }
        }
    }
}

/// Parses what stands behind a `%`; returns what follows.
fn parse_escape<'a>(mut rest: &'a str, pieces: &mut Vec<Piece>) -> &'a str {
    let mut flag = |c| match rest.strip_prefix(c) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    };
    let (left, zeros) = (flag('-'), flag('0'));
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at(digits);
    let width = number.parse().unwrap_or(0).min(WIDTH_MAX);
    let mut chars = after.chars();
    let Some(c) = chars.next() else { return "" };
    let mut rest = chars.as_str();
    let what = match c {
        'A' => What::Program,
        'B' => What::Priority,
        'c' => What::Module,
        'd' | 'D' => {
            let braces = rest.strip_prefix('{').and_then(|r| r.split_once('}'));
            let (format, after) = braces.unwrap_or((DEFAULT_DATE, rest));
            rest = after;
            What::Date { format: format.to_owned(), utc: c == 'D' }
        }
        'E' => What::Host,
        'm' => What::Message,
        'N' => What::Serial,
        'p' => What::Level,
        'P' => What::Pid,
        'r' => What::Uptime,
        't' => What::Subprogram,
        'T' => What::SubprogramInBrackets,
        'n' => return literal("\n", rest, pieces),
        _ => return literal(c.encode_utf8(&mut [0; 4]), rest, pieces),
    };
    pieces.push(Piece::Escape { what, left, zeros, width });
    rest
}

fn literal<'a>(text: &str, rest: &'a str, pieces: &mut Vec<Piece>) -> &'a str {
    pieces.push(Piece::Literal(text.to_owned()));
    rest
}

fn pad(out: &mut String, start: usize, left: bool, zeros: bool, width: usize) {
    let len = out.get(start..).map_or(0, |s| s.chars().count());
    let missing = width.saturating_sub(len);
    if missing == 0 {
        return;
    }
    let fill = if zeros { "0" } else { " " }.repeat(missing);
    if left {
        out.push_str(&fill);
    } else {
        out.insert_str(start, &fill);
    }
}

impl What {
    fn format(&self, line: &Line<'_>, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            What::Program => out.write_str(line.program),
            What::Priority => write!(out, "{}", Facility::LOCAL0.0 * 8 + line.level.severity()),
            What::Module => out.write_str(line.module),
            What::Date { format, utc } => return date(format, *utc, line.wall, out),
            What::Host => out.write_str(&hostname()),
            What::Serial => write!(out, "{}", line.serial),
            What::Level => out.write_str(line.level.name()),
            What::Pid => write!(out, "{}", std::process::id()),
            What::Uptime => write!(out, "{}", line.uptime.as_millis()),
            What::Subprogram if line.subprogram.is_empty() => out.write_str("main"),
            What::Subprogram => out.write_str(line.subprogram),
            What::SubprogramInBrackets if line.subprogram.is_empty() => Ok(()),
            What::SubprogramInBrackets => write!(out, "({})", line.subprogram),
            What::Message => out.write_str(line.message),
        };
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Appends a time since 1970 in a format of strftime's, with a digit of the fraction of the second for each `#`.
pub fn date(format: &str, utc: bool, wall: Duration, out: &mut String) {
    let timestamp =
        i64::try_from(wall.as_secs()).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let Some(timestamp) = timestamp else { return };
    let zone = if utc { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() };
    let text = match jiff::fmt::strtime::format(format, &timestamp.to_zoned(zone)) {
        Ok(text) => text,
        Err(_) => format.to_owned(), // a conversion that does not exist: show what was written
    };
    let millis = format!("{:03}", wall.subsec_millis());
    let mut digits = millis.chars();
    out.extend(text.chars().map(|c| match c {
        '#' => digits.next().unwrap_or('0'),
        c => {
            digits = millis.chars();
            c
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(pattern: &str, subprogram: &str) -> String {
        let line = Line {
            program: "ovs-vswitchd",
            module: "bridge",
            level: Level::Warn,
            message: "hello",
            subprogram,
            serial: 7,
            wall: Duration::from_millis(1_767_225_600_042),
            uptime: Duration::from_millis(1500),
        };
        let mut out = String::new();
        Pattern::new(pattern).format(&line, &mut out);
        out
    }

    #[test]
    fn the_default_line() {
        let file = defaults().file;
        assert_eq!(show(file.text(), ""), "2026-01-01T00:00:00.042Z|00007|bridge|WARN|hello");
        assert_eq!(
            show(file.text(), "handler1"),
            "2026-01-01T00:00:00.042Z|00007|bridge(handler1)|WARN|hello"
        );
    }

    /// Observed with the reference.
    #[test]
    fn escapes_flags_and_widths() {
        assert_eq!(
            show("[%A][%B][%c][%N][%5N][%-5N][%05N]", ""),
            "[ovs-vswitchd][132][bridge][7][    7][7    ][00007]"
        );
        assert_eq!(
            show("[%p][%-6p|][%r][%t][%T][%t]%n[%%][%z]%q%", ""),
            "[WARN][WARN  |][1500][main][][main]\n[%][z]q"
        );
        assert_eq!(show("%t%T %D{%H:%M:%S.#####}", "x"), "x(x) 00:00:00.04200");
        assert_eq!(show("%D", ""), "2026-01-01 00:00:00.042");
        assert_eq!(show("%D{%", ""), "2026-01-01 00:00:00.042{");
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern(text in "[%{}#0-9A-Za-zé -]{0,40}") {
            show(&text, "x");
        }
    }
}
