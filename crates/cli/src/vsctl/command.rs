//! Commands: the table of all of them, and a command line cut into calls.
//!
//! A line is `[options] command args -- [options] command args ..`. Each command is one row of a table ([`Command`]), which
//! decides what is accepted, what must be asked from the database beforehand, what is done, and what `--help` and
//! `--commands` say.

use std::collections::BTreeMap;

use ovsdb::{ColumnId, Schema, TableId};
use ovsdb_idl::Interest;
use ovsdb_idl::interest::Attention;

use super::context::Ctx;
use super::{Fatal, Stop, fatal};

/// One command.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// The arguments in words; see [`Arity`] for their grammar.
    pub(super) usage: &'static str,
    /// Its options: `--flag`, or `--value=` for one with an argument.
    pub(super) options: &'static [&'static str],
    /// What it does, for `--help`.
    pub(super) doc: &'static str,
    /// What it must see of the database.
    pub(super) needs: NeedsFn,
    /// Does it.
    pub(super) run: RunFn,
}

type NeedsFn = fn(&mut Needs<'_>, &Call) -> Result<(), Fatal>;
type RunFn = fn(&mut Ctx<'_, '_>) -> Result<(), Stop>;

impl Command {
    pub(super) const fn new(
        name: &'static str,
        usage: &'static str,
        options: &'static [&'static str],
        doc: &'static str,
        needs: NeedsFn,
        run: RunFn,
    ) -> Self {
        Self { name, usage, options, doc, needs, run }
    }
}

/// Every command under its heading, in the order of `--help`.
pub(super) const GROUPS: &[(&str, &[Command])] = &[
    ("Open vSwitch commands", super::switch::COMMANDS),
    ("Bridge commands", super::bridge::COMMANDS),
    ("Port commands (a bond is considered to be a single port)", super::port::PORTS),
    ("Interface commands (a bond consists of multiple interfaces)", super::port::INTERFACES),
    ("Datapath and conntrack zone commands", super::conntrack::COMMANDS),
    ("Controller commands", super::connections::CONTROLLERS),
    ("Manager commands", super::connections::MANAGERS),
    ("SSL commands", super::connections::SSL),
    ("Auto Attach commands", super::auto_attach::COMMANDS),
    ("Database commands", super::generic::COMMANDS),
];

/// Every command.
pub(super) fn commands() -> impl Iterator<Item = &'static Command> {
    GROUPS.iter().flat_map(|(_, commands)| *commands)
}

/// How often an argument may stand: `ARG` once, `[ARG]` at most once, `ARG...` once or more, `[ARG]...` any number of times.
/// Brackets inside of a word (`COLUMN[:KEY]`) only show what a part of it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arity {
    One,
    Optional,
    Some,
    Any,
}

/// The arguments that a command's usage names.
pub(super) fn arguments(usage: &str) -> impl Iterator<Item = (&str, Arity)> {
    usage.split(' ').filter(|word| !word.is_empty()).map(|word| {
        let (word, repeats) = match word.strip_suffix("...") {
            Some(word) => (word, true),
            None => (word, false),
        };
        // "[a][b]" is not one pair of brackets.
        let inner = word
            .strip_prefix('[')
            .and_then(|word| word.strip_suffix(']'))
            .filter(|inner| is_balanced(inner));
        match (inner, repeats) {
            (Some(inner), true) => (inner, Arity::Any),
            (Some(inner), false) => (inner, Arity::Optional),
            (None, true) => (word, Arity::Some),
            (None, false) => (word, Arity::One),
        }
    })
}

fn is_balanced(text: &str) -> bool {
    let mut depth = 0i32;
    text.chars().all(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth >= 0
    }) && depth == 0
}

/// The fewest and the most arguments that a usage allows; `None` means any number.
fn counts(usage: &str) -> (usize, Option<usize>) {
    let fewest =
        arguments(usage).filter(|(_, arity)| matches!(arity, Arity::One | Arity::Some)).count();
    let repeats = arguments(usage).any(|(_, arity)| matches!(arity, Arity::Some | Arity::Any));
    (fewest, (!repeats).then(|| arguments(usage).count()))
}

/// One command of a command line.
pub(super) struct Call {
    pub(super) command: &'static Command,
    /// Its arguments, without its name.
    pub(super) args: Vec<String>,
    options: BTreeMap<&'static str, Option<String>>,
}

impl Call {
    /// Whether the flag `--option` is there.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// The argument of `--option=`.
    pub(super) fn option(&self, option: &str) -> Option<&str> {
        self.options.get(option)?.as_deref()
    }

    /// The argument at `index`, or "".
    pub(super) fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// The arguments from `index` on.
    pub(super) fn args_from(&self, index: usize) -> &[String] {
        self.args.get(index..).unwrap_or_default()
    }

    /// The call as one would type it.
    pub(super) fn text(&self) -> String {
        let options = self.options.iter().map(|(name, value)| match value {
            Some(value) => format!("{}{value}", name),
            None => (*name).to_owned(),
        });
        let words: Vec<_> = options
            .chain([self.command.name.to_owned()])
            .chain(self.args.iter().cloned())
            .collect();
        escape(&words)
    }
}

/// `words` joined by spaces; those that a shell would take apart are quoted.
pub(super) fn escape<S: AsRef<str>>(words: &[S]) -> String {
    let quote = |word: &S| {
        let word = word.as_ref();
        if !word.contains([' ', '\t', '\r', '\n', '\x0b', '\\', '\'', '"']) {
            return word.to_owned();
        }
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A command's option as it stands before the first command, where options are those of the program: name and argument.
pub(super) type Local = (String, Option<String>);

/// Cuts `words` into calls; `local` are options that stood among the program's and are the first command's.
pub(super) fn parse(words: &[String], local: Vec<Local>) -> Result<Vec<Call>, Fatal> {
    let mut calls = Vec::new();
    let mut local = Some(local).filter(|local| !local.is_empty());
    for words in words.split(|word| word == "--") {
        if !words.is_empty() {
            calls.push(parse_call(words, local.take().unwrap_or_default())?);
        } else if local.is_some() {
            return fatal!("missing command name (use --help for help)");
        }
    }
    if calls.is_empty() { fatal!("missing command name (use --help for help)") } else { Ok(calls) }
}

fn parse_call(words: &[String], mut given: Vec<Local>) -> Result<Call, Fatal> {
    let at = words.iter().position(|word| !word.starts_with('-')).unwrap_or(words.len());
    let (options, rest) = words.split_at(at);
    for word in options {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if given.iter().any(|(other, _)| other == name) {
            return fatal!("'{word}' option specified multiple times");
        }
        given.push((name.to_owned(), value));
    }
    let Some((name, args)) = rest.split_first() else {
        return fatal!("missing command name (use --help for help)");
    };
    let Some(command) = commands().find(|command| command.name == name) else {
        return fatal!("unknown command '{name}'; use --help for help");
    };
    let options =
        given.into_iter().map(|given| known_option(command, given)).collect::<Result<_, _>>()?;
    check_count(command, args)?;
    Ok(Call { command, args: args.to_vec(), options })
}

fn known_option(
    command: &Command,
    (name, value): Local,
) -> Result<(&'static str, Option<String>), Fatal> {
    for option in command.options {
        match (option.strip_suffix('='), &value) {
            (Some(stem), Some(_)) if stem == name => return Ok((option, value)),
            (Some(stem), None) if stem == name => {
                return fatal!("missing argument to '{name}' option on '{}' command", command.name);
            }
            (None, None) if *option == name => return Ok((option, None)),
            (None, Some(_)) if *option == name => {
                return fatal!("'{name}' option on '{}' does not accept an argument", command.name);
            }
            _ => {}
        }
    }
    fatal!("'{}' command has no '{name}' option", command.name)
}

fn check_count(command: &Command, args: &[String]) -> Result<(), Fatal> {
    let (fewest, most) = counts(command.usage);
    if args.len() < fewest {
        return fatal!("'{}' command requires at least {fewest} arguments", command.name);
    }
    if let Some(most) = most.filter(|most| args.len() > *most) {
        let late_option = args.iter().any(|arg| arg.starts_with('-'));
        let note = " (note that options must precede command names and follow a \"--\" argument)";
        return fatal!(
            "'{}' command takes at most {most} arguments{}",
            command.name,
            if late_option { note } else { "" }
        );
    }
    Ok(())
}

/// What the commands of a run must see of the database.
pub(super) struct Needs<'i> {
    pub(super) interest: &'i mut Interest,
}

impl Needs<'_> {
    pub(super) fn schema(&self) -> std::sync::Arc<Schema> {
        self.interest.schema().clone()
    }

    pub(super) fn column(&mut self, table: TableId, column: ColumnId) {
        self.interest.add(table, column, Attention::Alert);
    }

    pub(super) fn every_column(&mut self, table: TableId) {
        self.interest.add_columns(table);
    }

    pub(super) fn table(&mut self, table: TableId) {
        self.interest.add_table(table);
    }

    /// Columns by the names in this program's text.
    pub(super) fn named(&mut self, table: &str, columns: &[&str]) {
        let schema = self.schema();
        let Some(table) = schema.table_id(table) else { return };
        self.table(table);
        for column in columns {
            if let Some(column) = schema.table(table).column_id(column) {
                self.column(table, column);
            }
        }
    }

    /// What tells whether the switch could set up a new interface.
    pub(super) fn new_interfaces(&mut self) {
        self.named("Interface", &["name", "ofport", "error"]);
    }

    /// What [`Model`](super::model::Model) is read from.
    pub(super) fn model(&mut self) {
        for (table, columns) in super::model::COLUMNS {
            self.named(table, columns);
        }
    }
}

/// For commands that see nothing.
pub(super) fn nothing(_: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    Ok(())
}

/// For commands about bridges, ports and interfaces.
pub(super) fn model(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.model();
    Ok(())
}

/// For commands that add interfaces.
pub(super) fn new_interfaces(needs: &mut Needs<'_>, _: &Call) -> Result<(), Fatal> {
    needs.model();
    needs.new_interfaces();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Vec<String>, String> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        let calls = parse(&words, Vec::new()).map_err(|fatal| fatal.message)?;
        Ok(calls.iter().map(Call::text).collect())
    }

    #[test]
    fn a_line_is_cut_at_double_dashes() {
        assert_eq!(
            line("list-br -- -- --may-exist add-br br0 --").unwrap(),
            ["list-br", "--may-exist add-br br0"]
        );
        for (text, error) in [
            ("", "missing command name (use --help for help)"),
            ("-- --if-exists", "missing command name (use --help for help)"),
            ("foo", "unknown command 'foo'; use --help for help"),
            ("--may-exist list-br", "'list-br' command has no '--may-exist' option"),
            ("--id create qos", "missing argument to '--id' option on 'create' command"),
            (
                "--may-exist=1 add-br x",
                "'--may-exist' option on 'add-br' does not accept an argument",
            ),
            ("--id=@a --id=@b create qos x=y", "'--id=@b' option specified multiple times"),
            ("add-br", "'add-br' command requires at least 1 arguments"),
            ("add-br a b c d", "'add-br' command takes at most 3 arguments"),
            (
                "add-br a b c --d",
                "'add-br' command takes at most 3 arguments (note that options must precede command names and follow a \
                 \"--\" argument)",
            ),
        ] {
            assert_eq!(line(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn commands_are_told_apart_and_described() {
        let mut names = std::collections::BTreeSet::new();
        for command in commands() {
            assert!(names.insert(command.name), "{} twice", command.name);
            assert!(!command.doc.is_empty());
        }
        assert_eq!(counts("BRIDGE KEY [VALUE]"), (2, Some(3)));
        assert_eq!(counts("TABLE RECORD COLUMN[:KEY]=VALUE..."), (3, None));
        assert_eq!(counts("[BRIDGE] PORT|IFACE"), (1, Some(2)));
        assert_eq!(counts("TABLE RECORD COLUMN [KEY=]VALUE..."), (4, None));
        assert_eq!(counts(""), (0, Some(0)));
        assert_eq!(escape(&["a b", "c\"", "d"]), "\"a b\" \"c\\\"\" d");
    }

    proptest::proptest! {
        #[test]
        fn no_line_breaks_the_parser(words in proptest::collection::vec("\\PC{0,12}|--|--id=@x|set|add-port|list", 0..8)) {
            let mut interest = Interest::none(vswitch_schema::schema());
            if let Ok(calls) = parse(&words, Vec::new()) {
                for call in &calls {
                    let _ = (call.command.needs)(&mut Needs { interest: &mut interest }, call);
                    let _ = call.text();
                }
            }
        }
    }
}
