//! `ovsdb-tool`: makes, reads and changes database files without a server.
//!
//! Start scripts create and upgrade the switch's database with it, people look through a database's history. Commands, texts
//! and exit codes are Open vSwitch's. What changes a file takes the same lock as a server would, so neither can pull the file
//! away from under the other.
//!
//! - [`cluster`]: what can be told of clustered databases' files;
//! - [`files`]: creating, compacting, converting, telling what is in a file;
//! - [`transact`]: transactions without a server; [`show_log`]: a file's history;
//! - [`help`].

mod cluster;
mod files;
mod help;
mod show_log;
mod transact;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use base::Clock;
use observe::options::{COMMON, HasArg, Opt, Options};
use observe::vlog::{Destination, Level};
use observe::{Vlog, daemon, dirs, version};
use ovsdb::Uuid;

const PROGRAM: &str = "ovsdb-tool";

const OWN: &[Opt] = &[
    Opt { long: "more", short: Some('m'), arg: HasArg::No },
    Opt::value("rbac-role"),
    Opt::value("cid"),
    Opt::value("election-timer"),
];

/// How a command that did its work ends.
enum End {
    /// Exit code 0.
    Yes,
    /// Exit code 2: the answer to a question is no.
    No,
}

/// What commands work with.
struct Context<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    clock: Clock,
    /// How often `-m` was given.
    verbosity: usize,
    /// The role that transactions have to be allowed to; without one everything is.
    role: Option<String>,
}

/// The arguments of a command.
struct Args(Vec<String>);

impl Args {
    fn get(&self, i: usize) -> Option<&str> {
        self.0.get(i).map(String::as_str)
    }

    /// The database that argument `i` names, or the default one.
    fn database(&self, i: usize) -> String {
        self.get(i).map_or_else(|| default_database().display().to_string(), str::to_owned)
    }

    /// The schema that argument `i` names, or the default one.
    fn schema(&self, i: usize) -> String {
        self.get(i).map_or_else(|| default_schema().display().to_string(), str::to_owned)
    }
}

fn default_database() -> PathBuf {
    dirs::dbdir().join("conf.db")
}

fn default_schema() -> PathBuf {
    dirs::pkgdatadir().join("vswitch.ovsschema")
}

type Run = fn(&mut Context<'_>, &Args) -> Result<End, String>;

struct Command {
    name: &'static str,
    /// What `list-commands` says of the arguments.
    usage: &'static str,
    min: usize,
    max: usize,
    run: Run,
}

/// In the reference's order, which `list-commands` shows.
#[rustfmt::skip] // a table
const COMMANDS: &[Command] = &[
    Command { name: "create", usage: "[db [schema]]", min: 0, max: 2, run: files::create },
    Command { name: "create-cluster", usage: "db contents local", min: 3, max: 3, run: files::refuse_clusters },
    Command { name: "join-cluster", usage: "db name local remote...", min: 4, max: usize::MAX, run: files::refuse_clusters },
    Command { name: "compact", usage: "[db [dst]]", min: 0, max: 2, run: files::compact },
    Command { name: "convert", usage: "[db [schema [dst]]]", min: 0, max: 3, run: files::convert },
    Command { name: "needs-conversion", usage: "", min: 0, max: 2, run: files::needs_conversion },
    Command { name: "db-name", usage: "[db]", min: 0, max: 1, run: files::db_name },
    Command { name: "db-version", usage: "[db]", min: 0, max: 1, run: files::db_version },
    Command { name: "db-cksum", usage: "[db]", min: 0, max: 1, run: files::db_cksum },
    Command { name: "db-cid", usage: "db", min: 1, max: 1, run: cluster::db_cid },
    Command { name: "db-sid", usage: "db", min: 1, max: 1, run: cluster::db_sid },
    Command { name: "db-local-address", usage: "db", min: 1, max: 1, run: cluster::db_local_address },
    Command { name: "db-is-clustered", usage: "db", min: 1, max: 1, run: files::is_clustered },
    Command { name: "db-is-standalone", usage: "db", min: 1, max: 1, run: files::is_standalone },
    Command { name: "schema-name", usage: "[schema]", min: 0, max: 1, run: files::schema_name },
    Command { name: "schema-version", usage: "[schema]", min: 0, max: 1, run: files::schema_version },
    Command { name: "schema-cksum", usage: "[schema]", min: 0, max: 1, run: files::schema_cksum },
    Command { name: "query", usage: "[db] trns", min: 1, max: 2, run: transact::query },
    Command { name: "transact", usage: "[db] trns", min: 1, max: 2, run: transact::transact },
    Command { name: "show-log", usage: "[db]", min: 0, max: 1, run: show_log::show_log },
    Command { name: "check-cluster", usage: "db...", min: 1, max: usize::MAX, run: files::refuse_clusters },
    Command { name: "compare-versions", usage: "a op b", min: 3, max: 3, run: files::compare_versions },
    Command { name: "help", usage: "", min: 0, max: usize::MAX, run: help::help },
    Command { name: "list-commands", usage: "", min: 0, max: usize::MAX, run: help::list_commands },
    Command { name: "cluster-to-standalone", usage: "db clusterdb", min: 2, max: 2, run: files::refuse_clusters },
];

/// Runs the program; `args` are the command line's without the program's name.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let clock = Clock::real();
    let vlog = Vlog::install(PROGRAM, &clock);
    vlog.set_level(None, Some(Destination::Console), Level::Warn);
    let mut context = Context { out, err, clock, verbosity: 0, role: None };
    let result = execute(&mut context, args, &vlog);
    // A reader that has gone away is no reason to complain.
    let _ = context.out.flush();
    match result {
        Ok(End::Yes) => ExitCode::SUCCESS,
        Ok(End::No) => ExitCode::from(2),
        Err(text) => {
            let _ = writeln!(context.err, "{PROGRAM}: {text}");
            ExitCode::FAILURE
        }
    }
}

fn execute(
    context: &mut Context<'_>,
    args: impl IntoIterator<Item = OsString>,
    vlog: &Vlog,
) -> Result<End, String> {
    let mut options = Options::new(&[OWN, COMMON, daemon::VLOG_OPTIONS], args);
    while let Some(option) = options.next()? {
        match option.name {
            "more" => context.verbosity += 1,
            "rbac-role" => {
                context.role = Some(option.arg().to_owned()).filter(|role| !role.is_empty());
            }
            // Of use for clusters alone, which are refused below.
            "cid" if option.arg().parse::<Uuid>().is_err() => {
                return Err(format!("{}: not a valid UUID", option.arg()));
            }
            "election-timer" if !is_election_timer(option.arg()) => {
                return Err("ovsdb error: election timer must be between 100 and 600000, in msec."
                    .to_owned());
            }
            "cid" | "election-timer" => {}
            "help" => return help::help(context, &Args(Vec::new())),
            "version" => return context.print(&version::text(PROGRAM)),
            _ => {
                daemon::take_vlog_option(&option, vlog)?;
            }
        }
    }
    let mut words = options.operands().into_iter();
    let name = words.next().ok_or("missing command name; use --help for help")?;
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help"));
    };
    let args = Args(words.collect());
    if args.0.len() < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.0.len() > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max));
    }
    (command.run)(context, &args)
}

fn is_election_timer(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|ms| (100..=600_000).contains(&ms))
}

impl Context<'_> {
    fn print(&mut self, text: &str) -> Result<End, String> {
        let _ = self.out.write_all(text.as_bytes());
        Ok(End::Yes)
    }

    /// Says something that is no error beside the output.
    fn say(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }

    /// The time for the log, in milliseconds since 1970.
    fn date(&self) -> i64 {
        i64::try_from(self.clock.wall().as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests;
