//! Command-line options by the rules of GNU `getopt_long`, with its error texts.
//!
//! # Why not a library
//! Scripts rely on what getopt does: long options may be abbreviated, short ones joined, arguments of optional-argument options
//! only attached, non-options may stand between (or end the options, program by program), errors come in order, so that
//! `--version --nonsense` prints the version. No library at hand does all of these and prints the same errors.
//!
//! A program's options are one table or several joined ([`Opt`]); [`Options::next`] yields them by their long names.

use std::ffi::OsString;

/// Whether an option has an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasArg {
    /// Never.
    No,
    /// Always.
    Required,
    /// Only if attached: `--name=ARG`, `-nARG`.
    Optional,
}

/// An option that exists.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// `--long`
    pub long: &'static str,
    /// `-s`
    pub short: Option<char>,
    /// Its argument.
    pub arg: HasArg,
}

impl Opt {
    /// An option without argument.
    pub const fn flag(long: &'static str) -> Opt {
        Opt { long, short: None, arg: HasArg::No }
    }

    /// An option with an argument.
    pub const fn value(long: &'static str) -> Opt {
        Opt { long, short: None, arg: HasArg::Required }
    }

    /// An option that may have an argument.
    pub const fn optional(long: &'static str) -> Opt {
        Opt { long, short: None, arg: HasArg::Optional }
    }

    /// The same option with a short name too.
    pub const fn short(mut self, short: char) -> Opt {
        self.short = Some(short);
        self
    }
}

/// `--help` and `--version`, which every program has.
pub const COMMON: &[Opt] = &[Opt::flag("help").short('h'), Opt::flag("version").short('V')];

/// `--option`, by which some programs list what they take.
pub const LISTING: Opt = Opt::flag("option").short('o');

/// What stands where on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The long name.
    pub name: &'static str,
    /// Its argument.
    pub value: Option<String>,
}

impl Parsed {
    /// The argument of an option that always has one.
    pub fn arg(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// A command line being read.
pub struct Options {
    table: Vec<Opt>,
    stop_at_operand: bool,
    args: std::vec::IntoIter<String>,
    /// The rest of a group of short options.
    group: String,
    operands: Vec<String>,
}

impl Options {
    /// Reads `args` (the program's name not among them) by the joined `tables`.
    pub fn new(tables: &[&[Opt]], args: impl IntoIterator<Item = OsString>) -> Options {
        // What is not UTF-8 cannot be meant for us; the replacement character will show in the error.
        let args: Vec<String> =
            args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect();
        let mut table: Vec<Opt> = Vec::new();
        for option in tables.iter().copied().flatten() {
            // What several tables have counts once, where it stands first.
            if table.iter().all(|known| known.long != option.long) {
                table.push(*option);
            }
        }
        Options {
            table,
            stop_at_operand: false,
            args: args.into_iter(),
            group: String::new(),
            operands: Vec::new(),
        }
    }

    /// Has the first operand end the options, for programs whose commands have options of their own.
    #[must_use]
    pub fn stop_at_operand(mut self) -> Options {
        self.stop_at_operand = true;
        self
    }

    /// Removes an option that a joined table has but this program has not.
    #[must_use]
    pub fn without(mut self, long: &str) -> Options {
        self.table.retain(|o| o.long != long);
        self
    }

    /// The next option, or an error text as getopt prints it (behind the program's name).
    #[allow(clippy::should_implement_trait)] // reads like one, but hands the operands out at the end
    pub fn next(&mut self) -> Result<Option<Parsed>, String> {
        loop {
            if !self.group.is_empty() {
                return self.short_option().map(Some);
            }
            let Some(arg) = self.args.next() else { return Ok(None) };
            if arg == "--" {
                self.operands.extend(self.args.by_ref());
                return Ok(None);
            }
            if let Some(long) = arg.strip_prefix("--") {
                return self.long_option(long).map(Some);
            }
            match arg.strip_prefix('-') {
                Some(group) if !group.is_empty() => self.group = group.to_owned(),
                _ => {
                    self.operands.push(arg);
                    if self.stop_at_operand {
                        self.operands.extend(self.args.by_ref());
                    }
                }
            }
        }
    }

    /// What [`LISTING`] asks for: each option by its long name and its short one.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        for option in &self.table {
            let (long, short) = match option.arg {
                HasArg::No => ("", ""),
                HasArg::Required => ("=ARG", "ARG"),
                HasArg::Optional => ("=[ARG]", "[ARG]"),
            };
            text += &format!("--{}{long}\n", option.long);
            if let Some(c) = option.short {
                text += &format!("-{c} {short}\n");
            }
        }
        text
    }

    /// The operands: what is no option, in order.
    pub fn operands(self) -> Vec<String> {
        self.operands
    }

    fn short_option(&mut self) -> Result<Parsed, String> {
        let mut group = self.group.chars();
        let c = group.next().unwrap_or_default();
        let rest = group.as_str().to_owned();
        let Some(option) = self.table.iter().find(|o| o.short == Some(c)).copied() else {
            self.group = rest;
            return Err(format!("invalid option -- '{c}'"));
        };
        if option.arg == HasArg::No {
            self.group = rest;
            return Ok(Parsed { name: option.long, value: None });
        }
        self.group.clear();
        let value = match (option.arg, rest.is_empty()) {
            (_, false) => Some(rest),
            (HasArg::Required, true) => {
                let next = self.args.next();
                Some(next.ok_or_else(|| format!("option requires an argument -- '{c}'"))?)
            }
            _ => None,
        };
        Ok(Parsed { name: option.long, value })
    }

    fn long_option(&mut self, text: &str) -> Result<Parsed, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let option = self.find_long(name, text)?;
        match (option.arg, value) {
            (HasArg::No, Some(_)) => {
                Err(format!("option '--{}' doesn't allow an argument", option.long))
            }
            (HasArg::Required, None) => {
                let next = self.args.next();
                let value =
                    next.ok_or_else(|| format!("option '--{}' requires an argument", option.long))?;
                Ok(Parsed { name: option.long, value: Some(value) })
            }
            (_, value) => Ok(Parsed { name: option.long, value }),
        }
    }

    fn find_long(&self, name: &str, text: &str) -> Result<Opt, String> {
        if let Some(exact) = self.table.iter().find(|o| o.long == name) {
            return Ok(*exact);
        }
        let candidates: Vec<&Opt> =
            self.table.iter().filter(|o| o.long.starts_with(name)).collect();
        match candidates.as_slice() {
            [] => Err(format!("unrecognized option '--{text}'")),
            [one] => Ok(**one),
            many => {
                let possible: Vec<String> =
                    many.iter().map(|o| format!("'--{}'", o.long)).collect();
                Err(format!(
                    "option '--{text}' is ambiguous; possibilities: {}",
                    possible.join(" ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Opt] = &[
        Opt::value("target").short('t'),
        Opt::value("timeout").short('T'),
        Opt::optional("verbose").short('v'),
        Opt::flag("detach"),
    ];

    fn options(line: &str) -> Options {
        Options::new(&[TABLE, COMMON], line.split_whitespace().map(OsString::from))
    }

    /// The options as `name=value`, then an error or the operands.
    fn read(mut options: Options) -> String {
        let mut out = Vec::new();
        loop {
            match options.next() {
                Ok(Some(Parsed { name, value })) => out.push(match value {
                    Some(value) => format!("{name}={value}"),
                    None => name.to_owned(),
                }),
                Ok(None) => break,
                Err(error) => return [out, vec![format!("! {error}")]].concat().join(", "),
            }
        }
        [out, vec![format!("| {}", options.operands().join(" "))]].concat().join(", ")
    }

    #[test]
    fn options_and_operands_mix() {
        assert_eq!(
            read(options("a -t x --detach b -vdbg -v c")),
            "target=x, detach, verbose=dbg, verbose, | a b c"
        );
        assert_eq!(read(options("--tar=x -hV -- -t")), "target=x, help, version, | -t");
        assert_eq!(read(options("-tx - --timeout 5")), "target=x, timeout=5, | -");
        assert_eq!(
            read(options("-T5 cmd --detach").stop_at_operand()),
            "timeout=5, | cmd --detach"
        );
        assert_eq!(read(options("--verbose x --verbose=y")), "verbose, verbose=y, | x");
    }

    #[test]
    fn errors_read_as_getopts() {
        for (line, error) in [
            ("--nope=1", "unrecognized option '--nope=1'"),
            ("-x", "invalid option -- 'x'"),
            ("-T", "option requires an argument -- 'T'"),
            ("--target", "option '--target' requires an argument"),
            ("--detach=1", "option '--detach' doesn't allow an argument"),
            ("--t=x", "option '--t=x' is ambiguous; possibilities: '--target' '--timeout'"),
            ("--ver", "option '--ver' is ambiguous; possibilities: '--verbose' '--version'"),
        ] {
            assert_eq!(read(options(line)), format!("! {error}"));
        }
        assert_eq!(read(options("-V --nope")), "version, ! unrecognized option '--nope'");
    }
}
