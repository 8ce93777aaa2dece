//! `ovsdb-client`: asks a database server, by hand or from scripts.
//!
//! A command line is `[OPTIONS] COMMAND [SERVER] [DATABASE] ARGS`. Server and database may be left out; whether the next
//! argument is a server shows by its form, whether it is a database by asking the server. [`COMMANDS`] says for each command
//! what it needs and how many arguments are its own.
//!
//! Read in this order: this file (grammar), `connect` (server and database), then one file per family of commands.

mod backup;
mod connect;
mod data;
mod lock;
mod monitor;
mod schema;
mod wait;
mod watch;

use crate::table::{self, Format, Printer, Style, Table};
use jsonrpc::client::ClientError;
use jsonrpc::{Client, Json};
use observe::options::{COMMON, Opt, Options, Parsed};
use observe::{DaemonOptions, Vlog, alarm, daemon, dirs, version};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

const PROGRAM: &str = "ovsdb-client";

const OWN_OPTIONS: &[Opt] = &[
    Opt::flag("timestamp"),
    Opt::flag("force"),
    Opt::flag("leader-only"),
    Opt::flag("no-leader-only"),
    Opt::flag("db-change-aware"),
    Opt::flag("no-db-change-aware"),
    Opt::value("timeout").short('t'),
];

/// What a command wants found before it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// The server's name, not a connection.
    Name,
    Server,
    Database,
}

struct Command {
    name: &'static str,
    needs: Needs,
    /// How many arguments there are behind server and database.
    args: (usize, usize),
    run: fn(&mut Call<'_>) -> Result<(), String>,
    usage: &'static str,
    help: &'static str,
}

const ANY: usize = usize::MAX;

#[rustfmt::skip] // a table
const COMMANDS: &[Command] = &[
    Command { name: "list-dbs", needs: Needs::Server, args: (0, 0), run: schema::list_dbs,
        usage: "[SERVER]", help: "list the databases on SERVER" },
    Command { name: "get-schema", needs: Needs::Database, args: (0, 0), run: schema::get_schema,
        usage: "[SERVER] [DATABASE]", help: "print DATABASE's schema" },
    Command { name: "get-schema-version", needs: Needs::Database, args: (0, 0), run: schema::get_version,
        usage: "[SERVER] [DATABASE]", help: "print the version of DATABASE's schema" },
    Command { name: "get-schema-cksum", needs: Needs::Database, args: (0, 0), run: schema::get_cksum,
        usage: "[SERVER] [DATABASE]", help: "print the checksum of DATABASE's schema" },
    Command { name: "list-tables", needs: Needs::Database, args: (0, 0), run: schema::list_tables,
        usage: "[SERVER] [DATABASE]", help: "list DATABASE's tables" },
    Command { name: "list-columns", needs: Needs::Database, args: (0, 1), run: schema::list_columns,
        usage: "[SERVER] [DATABASE] [TABLE]", help: "list the columns of TABLE or of all tables" },
    Command { name: "transact", needs: Needs::Server, args: (1, 1), run: data::transact,
        usage: "[SERVER] TRANSACTION", help: "run TRANSACTION (a JSON array) and print the results" },
    Command { name: "query", needs: Needs::Server, args: (1, 1), run: data::query,
        usage: "[SERVER] TRANSACTION", help: "likewise, but change nothing" },
    Command { name: "monitor", needs: Needs::Database, args: (1, ANY), run: monitor::monitor,
        usage: "[SERVER] [DATABASE] TABLE [COLUMN,...]...\n    monitor [SERVER] [DATABASE] ALL",
        help: "print the rows of TABLE (or of all tables) and then every change;\n    COLUMNs may \
               include !initial, !insert, !delete, !modify" },
    Command { name: "monitor-cond", needs: Needs::Database, args: (2, 3), run: monitor::monitor_cond,
        usage: "[SERVER] [DATABASE] CONDITION TABLE [COLUMN,...]",
        help: "likewise, for rows that match CONDITION" },
    Command { name: "monitor-cond-since", needs: Needs::Database, args: (2, 4), run: monitor::monitor_cond_since,
        usage: "[SERVER] [DATABASE] [LASTID] CONDITION TABLE [COLUMN,...]",
        help: "likewise, from after the transaction LASTID" },
    Command { name: "wait", needs: Needs::Name, args: (2, 2), run: wait::wait,
        usage: "[SERVER] DATABASE STATE",
        help: "wait until DATABASE is \"added\", \"connected\" or \"removed\"" },
    Command { name: "convert", needs: Needs::Server, args: (1, 1), run: schema::convert,
        usage: "[SERVER] SCHEMA", help: "convert the database that file SCHEMA names to SCHEMA" },
    Command { name: "needs-conversion", needs: Needs::Server, args: (1, 1), run: schema::needs_conversion,
        usage: "[SERVER] SCHEMA", help: "tell whether that would change anything" },
    Command { name: "dump", needs: Needs::Database, args: (0, ANY), run: data::dump,
        usage: "[SERVER] [DATABASE] [TABLE [COLUMN]...]", help: "print the contents of DATABASE" },
    Command { name: "backup", needs: Needs::Database, args: (0, 0), run: backup::backup,
        usage: "[SERVER] [DATABASE] > SNAPSHOT", help: "write DATABASE as a database file" },
    Command { name: "restore", needs: Needs::Database, args: (0, 0), run: backup::restore,
        usage: "[SERVER] [DATABASE] < SNAPSHOT", help: "replace the contents of DATABASE by SNAPSHOT's" },
    Command { name: "lock", needs: Needs::Server, args: (1, 1), run: lock::lock,
        usage: "[SERVER] LOCK", help: "wait for LOCK, then hold it" },
    Command { name: "steal", needs: Needs::Server, args: (1, 1), run: lock::steal,
        usage: "[SERVER] LOCK", help: "take LOCK from whoever holds it" },
    Command { name: "unlock", needs: Needs::Server, args: (1, 1), run: lock::unlock,
        usage: "[SERVER] LOCK", help: "give LOCK back" },
];

/// What the options say.
struct Settings {
    style: Style,
    timestamp: bool,
    force: bool,
    leader_only: bool,
    /// Whether the server is to tell monitors when their database goes away, instead of ending the connection.
    db_change_aware: bool,
    timeout: Option<std::time::Duration>,
    daemon: DaemonOptions,
    vlog: Vlog,
    clock: base::Clock,
}

/// A command about to run.
struct Call<'a> {
    settings: &'a Settings,
    out: &'a mut dyn Write,
    /// The server as the user named it.
    server: String,
    client: Option<Client>,
    database: String,
    args: Vec<String>,
}

impl Call<'_> {
    /// The connection, which commands that need a server have.
    fn client(&mut self) -> Result<&mut Client, String> {
        self.client.as_mut().ok_or_else(|| "not connected".to_owned())
    }

    fn arg(&self, index: usize) -> &str {
        self.args.get(index).map(String::as_str).unwrap_or_default()
    }

    /// Sends a request and waits for its result.
    fn request(&mut self, method: &str, params: Vec<Json>) -> Result<Json, String> {
        let style = self.settings.style.clone();
        self.client()?.transact(method, params).map_err(|error| match error {
            ClientError::Refused(error) => {
                format!("transaction returned error: {}", style.json(&error))
            }
            other => format!("transaction failed ({other})"),
        })
    }

    fn print(&mut self, text: &str) -> Result<(), String> {
        let done = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        done.map_err(|_| "write to stdout failed".to_owned())
    }

    fn print_json(&mut self, json: &Json) -> Result<(), String> {
        let text = self.settings.style.json(json) + "\n";
        self.print(&text)
    }

    fn print_table(&mut self, table: &Table) -> Result<(), String> {
        let mut text = String::new();
        Printer::new(self.settings.style.clone()).print(table, &mut text);
        self.print(&text)
    }
}

/// Runs the program with these arguments (its own name not among them).
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    match execute(args, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            let _ = writeln!(err, "{PROGRAM}: {text}"); // nowhere else to complain
            ExitCode::FAILURE
        }
    }
}

fn execute(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> Result<(), String> {
    let clock = base::Clock::real();
    let mut settings = Settings {
        style: Style::new(Format::Table),
        timestamp: false,
        force: false,
        leader_only: true,
        db_change_aware: true,
        timeout: None,
        daemon: DaemonOptions::default(),
        vlog: Vlog::install(PROGRAM, &clock),
        clock,
    };
    let tables = [
        COMMON,
        OWN_OPTIONS,
        daemon::VLOG_OPTIONS,
        daemon::OPTIONS,
        daemon::SSL_OPTIONS,
        table::OPTIONS,
    ];
    // It has no --unixctl, as the reference has none.
    let mut options = Options::new(&tables, args).without("unixctl");
    while let Some(option) = options.next()? {
        let text = match option.name {
            "help" => usage(),
            "version" => version::text(PROGRAM),
            _ => {
                settings.take(&option)?;
                continue;
            }
        };
        return out.write_all(text.as_bytes()).map_err(|_| "write to stdout failed".to_owned());
    }
    let mut operands = options.operands();
    if operands.is_empty() {
        return Err("missing command name; use --help for help".to_owned());
    }
    let name = operands.remove(0);
    if name == "help" {
        return out.write_all(usage().as_bytes()).map_err(|_| "write to stdout failed".to_owned());
    }
    let command = COMMANDS.iter().find(|c| c.name == name);
    let command =
        command.ok_or_else(|| format!("unknown command '{name}'; use --help for help"))?;
    run_command(command, operands, &settings, out)
}

fn run_command(
    command: &Command,
    operands: Vec<String>,
    settings: &Settings,
    out: &mut dyn Write,
) -> Result<(), String> {
    let detaching = settings.daemon.detaches();
    if !detaching && let Some(timeout) = alarm::timeout(settings.timeout) {
        alarm::start(timeout);
    }
    let mut call = Call {
        settings,
        out,
        server: dirs::default_db_remote(),
        client: None,
        database: String::new(),
        args: operands,
    };
    connect::find_server(command, &mut call)?;
    if command.needs != Needs::Name {
        connect::connect(command, &mut call)?;
    }
    let (min, max) = command.args;
    if !(min..=max).contains(&call.args.len()) {
        return Err(format!("invalid syntax for '{}' (use --help for help)", command.name));
    }
    (command.run)(&mut call)
}

impl Settings {
    fn take(&mut self, option: &Parsed) -> Result<(), String> {
        match option.name {
            "timestamp" => self.timestamp = true,
            "force" => self.force = true,
            "leader-only" => self.leader_only = true,
            "no-leader-only" => self.leader_only = false,
            "db-change-aware" => self.db_change_aware = true,
            "no-db-change-aware" => self.db_change_aware = false,
            "timeout" => self.timeout = Some(alarm::parse(option.arg(), 't')?),
            _ if self.style.take(option)? => {}
            _ => {
                self.daemon.take(option, &self.vlog)?;
            }
        }
        Ok(())
    }

    /// The time to show above a table, if times are to be shown.
    fn time(&self) -> Option<std::time::Duration> {
        self.timestamp.then(|| self.clock.wall())
    }
}

fn usage() -> String {
    let commands = COMMANDS.iter().map(|c| format!("\n  {} {}\n    {}\n", c.name, c.usage, c.help));
    format!(
        "{PROGRAM}: Open vSwitch database JSON-RPC client\n\
         usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\
         \nCommands:\n{}\
         \nThe default SERVER is {}.\n\
         The default DATABASE is Open_vSwitch.\n\
         \nSERVER is unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT (connect), punix:FILE, ptcp:PORT[:IP],\n\
         pssl:PORT[:IP] (wait to be connected to), or several joined by ',' to try in turn.\n\
         \nOutput formatting options:\n\
         \x20 -f, --format=FORMAT     \"table\" (the default), \"list\", \"html\", \"csv\" or \"json\"\n\
         \x20 -d, --data=FORMAT       cells as \"string\" (the default), \"bare\" or \"json\"\n\
         \x20 --no-headings           omit the heading row\n\
         \x20 --pretty                print JSON with line breaks and indentation\n\
         \x20 --bare                  equivalent to \"--format=list --data=bare --no-headings\"\n\
         \x20 --max-column-width=N    cut wider cells of a table\n\
         \x20 --timestamp             show when the \"monitor\" commands' changes came\n{}{}\
         \nOther options:\n\
         \x20 -t, --timeout=SECS      give up after SECS seconds\n\
         \x20 --force                 \"restore\" even if the schemas differ\n\
         \x20 --no-leader-only        accept any member of a cluster\n\
         \x20 --no-db-change-aware    monitors end with their connection when databases come and go\n\
         \x20 -h, --help              display this help message\n\
         \x20 -V, --version           display version information\n",
        commands.collect::<String>(),
        dirs::default_db_remote(),
        daemon::usage(PROGRAM),
        daemon::vlog_usage(PROGRAM),
    )
}
