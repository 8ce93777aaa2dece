//! `--help`, `--commands`, `--options`, `--version`, all made from the tables of commands and options.

use std::fmt::Write;

use observe::options::Opt;
use observe::{daemon, dirs, version};

use super::command::{Arity, GROUPS, arguments, commands};
use super::record::{WAYS, Way};
use super::{PROGRAM, options};

/// The column at which descriptions begin.
const WIDTH: usize = 30;

pub(super) fn help() -> String {
    let mut text = format!(
        "{PROGRAM}: configures and queries the switch\nusage: {PROGRAM} [OPTIONS] COMMAND [ARG...] [-- COMMAND [ARG...]]...\n"
    );
    for (heading, commands) in GROUPS {
        let _ = writeln!(text, "\n{heading}:");
        for command in *commands {
            let flags = command.options.iter().map(|option| match option.strip_suffix('=') {
                Some(option) => format!("[{option}=ARG] "),
                None => format!("[{option}] "),
            });
            let usage = format!("{}{} {}", flags.collect::<String>(), command.name, command.usage);
            let usage = usage.trim_end();
            if usage.len() < WIDTH {
                let _ = writeln!(text, "  {usage:<WIDTH$}{}", command.doc);
            } else {
                let _ = writeln!(text, "  {usage}\n{:1$}{2}", "", WIDTH + 2, command.doc);
            }
        }
    }
    records(&mut text);
    let _ = write!(
        text,
        "\nOptions:\n\
         \x20 --db=DATABASE               connect to DATABASE\n\
         \x20                             (default: {})\n\
         \x20 --no-wait                   do not wait until the switch has applied the change\n\
         \x20 --retry                     keep trying to connect to the server\n\
         \x20 -t, --timeout=SECS          give up after SECS seconds\n\
         \x20 --dry-run                   do not change the database\n\
         \x20 --oneline                   print exactly one line for each command\n\
         \x20 --force                     set even what cannot be right, with a warning\n",
        dirs::default_db_remote()
    );
    text.push_str(
        "\nOutput of list and find:\n\
         \x20 -f, --format=FORMAT         list (default), table, html, csv or json\n\
         \x20 -d, --data=FORMAT           values as string (default), bare or json\n\
         \x20 --no-headings               omit the names of columns\n\
         \x20 --bare                      same as --format=list --data=bare --no-headings\n\
         \x20 --pretty                    indent JSON\n\
         \x20 --max-column-width=N        cut cells of --format=table to N bytes\n",
    );
    text.push_str(&daemon::vlog_usage(PROGRAM));
    text.push_str("  --no-syslog             same as --verbose=vsctl:syslog:warn\n");
    text.push_str("\nDATABASE is unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT, punix:FILE, ptcp:PORT[:IP] or pssl:PORT[:IP].\n");
    text.push_str("\nOther options:\n  -h, --help                  print this text\n  -V, --version               print the version\n");
    text
}

fn records(text: &mut String) {
    text.push_str("\nA RECORD is named by its UUID, by the first digits of that, by \".\" if it is the only one, or\n");
    for (table, ways) in WAYS.iter().filter(|(_, ways)| !ways.is_empty()) {
        let ways = ways.iter().map(|way| match way {
            Way::By(column) => format!("by {column}"),
            Way::Via(referrer, name, _) => format!("by the {name} of its {referrer}"),
        });
        let _ = writeln!(text, "  {table:<WIDTH$}{}", ways.collect::<Vec<_>>().join(", "));
    }
}

/// One command a line, as shell completion reads them: options, name, arguments with marks (`!` needed, `?` optional, `*` any number,
/// `+` one or more).
pub(super) fn command_list() -> String {
    let mut text = String::new();
    for command in commands() {
        for option in command.options {
            let _ = write!(text, "[{option}] ");
        }
        let _ = writeln!(text, ",{},{}", command.name, marked(command.usage));
    }
    text
}

fn marked(usage: &str) -> String {
    let words = arguments(usage).map(|(word, arity)| {
        let mark = match arity {
            Arity::One => '!',
            Arity::Optional => '?',
            Arity::Some => '+',
            Arity::Any => '*',
        };
        format!("{mark}{}", word.replace('[', "?").replace(']', ""))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// One option a line.
pub(super) fn option_list(all: &[Opt]) -> String {
    // Options of commands come with the commands.
    let of_commands: Vec<_> = commands().flat_map(|command| command.options).collect();
    let is_ours = |opt: &&Opt| {
        !of_commands.iter().any(|o| o.trim_start_matches('-').trim_end_matches('=') == opt.long)
    };
    let lines: Vec<_> = all.iter().filter(is_ours).flat_map(options::describe).collect();
    lines.join("\n") + "\n"
}

pub(super) fn version() -> String {
    format!("{}DB Schema {}\n", version::text(PROGRAM), vswitch_schema::VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_marked_for_completion() {
        assert_eq!(marked("BRIDGE KEY [VALUE]"), "!BRIDGE !KEY ?VALUE");
        assert_eq!(
            marked("TABLE RECORD [COLUMN[:KEY]=VALUE]..."),
            "!TABLE !RECORD *COLUMN?:KEY=VALUE"
        );
        assert_eq!(
            marked("TABLE RECORD COLUMN [KEY=]VALUE..."),
            "!TABLE !RECORD !COLUMN +?KEY=VALUE"
        );
        assert_eq!(marked(""), "");
    }

    #[test]
    fn help_names_every_command() {
        let help = help();
        for command in commands() {
            assert!(help.contains(command.name), "{}", command.name);
        }
    }
}
