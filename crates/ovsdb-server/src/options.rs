//! The command line.

use std::ffi::OsString;
use std::path::Path;

use base::Clock;
use observe::daemon::{self, DaemonOptions};
use observe::options::{COMMON, Opt, Options};
use observe::{Vlog, dirs, version};
use ovsdb::log::change::ChangedValues;

use crate::{Config, PROGRAM};

const OWN: &[Opt] = &[
    Opt::value("remote"),
    Opt::value("run"),
    Opt::value("config-file"),
    Opt::value("sync-from"),
    Opt::value("sync-exclude-tables"),
    Opt::flag("active"),
    Opt::flag("no-dbs"),
    Opt::flag("disable-file-column-diff"),
    Opt::optional("record"),
    Opt::optional("replay"),
];

/// What a command line asks for.
pub(crate) enum CommandLine {
    /// To serve.
    Serve(Box<(Config, DaemonOptions)>),
    /// To print this and exit.
    Print(String),
}

/// Reads a command line.
pub(crate) fn parse(
    args: impl IntoIterator<Item = OsString>,
    vlog: &Vlog,
    clock: &Clock,
) -> Result<CommandLine, String> {
    let tables = [OWN, COMMON, daemon::OPTIONS, daemon::VLOG_OPTIONS, daemon::SSL_OPTIONS];
    let mut options = Options::new(&tables, args);
    let mut config = Config::new(Vec::new(), clock.clone());
    let mut daemon = DaemonOptions::default();
    let mut no_databases = false;
    while let Some(option) = options.next()? {
        match option.name {
            "help" => return Ok(CommandLine::Print(usage())),
            "version" => return Ok(CommandLine::Print(version::text(PROGRAM))),
            "remote" => config.remotes.push(option.arg().to_owned()),
            "config-file" => config.file = Some(dirs::absolute(Path::new(option.arg()))),
            "run" => config.run = Some(option.arg().to_owned()),
            "sync-from" => config.sync.from = Some(option.arg().to_owned()),
            "sync-exclude-tables" => option.arg().clone_into(&mut config.sync.exclude_tables),
            "active" => config.sync.active = true,
            "no-dbs" => no_databases = true,
            "disable-file-column-diff" => config.changed_values = ChangedValues::Whole,
            "record" | "replay" => {
                return Err(format!(
                    "--{} is Open vSwitch's own way to find its bugs, and not built here",
                    option.name
                ));
            }
            name if config.keys.take(name, option.arg())? => {}
            _ => {
                daemon.take(&option, vlog)?;
            }
        }
    }
    for database in options.operands() {
        if !config.databases.contains(&database) {
            config.databases.push(database);
        }
    }
    if config.file.is_some() {
        let others = [
            (!config.databases.is_empty(), "databases on the command line"),
            (!config.remotes.is_empty(), "--remote"),
            (config.sync.from.is_some(), "--sync-from"),
            (!config.sync.exclude_tables.is_empty(), "--sync-exclude-tables"),
            (config.sync.active, "--active"),
        ];
        if let Some((_, other)) = others.iter().find(|(given, _)| *given) {
            return Err(format!("--config-file and {other} are mutually exclusive"));
        }
    } else if config.databases.is_empty() && !no_databases {
        config.databases.push(dirs::dbdir().join("conf.db").display().to_string());
    }
    Ok(CommandLine::Serve(Box::new((config, daemon))))
}

fn usage() -> String {
    let default = dirs::dbdir().join("conf.db");
    format!(
        "{PROGRAM}: Open vSwitch database server\n\
         usage: {PROGRAM} [OPTIONS] [DATABASE...]\n\
         where each DATABASE is a database file in ovsdb format,\n\
         or relay:DB:REMOTE[,REMOTE...] for a copy of what a REMOTE has.\n\
         The default DATABASE, if none is given, is\n{}.\n\
         \nJSON-RPC options (may be specified any number of times):\n\
         \x20 --remote=REMOTE         connect or listen to REMOTE\n\
         \x20 --config-file=FILE      read all that is to be served from FILE instead\n\
         \nREMOTE is one of:\n\
         \x20 punix:FILE              listen on Unix domain socket FILE\n\
         \x20 ptcp:PORT[:IP]          listen to TCP PORT on IP\n\
         \x20 unix:FILE               connect to Unix domain socket FILE\n\
         \x20 tcp:HOST:PORT           connect to PORT at HOST\n\
         \x20 pssl:PORT[:IP]          listen for TLS to TCP PORT on IP\n\
         \x20 ssl:HOST:PORT           connect by TLS to PORT at HOST\n\
         \x20 db:DB,TABLE,COLUMN      the remotes that COLUMN of TABLE in database DB lists\n\
         {}{}\n\
         Syncing options:\n\
         \x20 --sync-from=SERVER      copy the databases of the active SERVER; start as its backup\n\
         \x20 --sync-exclude-tables=DB:TABLE,...  do not copy these tables\n\
         \x20 --active                with --sync-from, start as the active server\n\
         Other options:\n\
         \x20 --disable-file-column-diff  write changed columns to files whole\n\
         \x20 --no-dbs                serve no DATABASE at first, not even the default one\n\
         \x20 --run COMMAND           run COMMAND as subprocess then exit\n\
         \x20 -h, --help              display this help message\n\
         \x20 -V, --version           display version information\n",
        Path::new(&default).display(),
        daemon::usage(PROGRAM),
        daemon::vlog_usage(PROGRAM)
    )
}
