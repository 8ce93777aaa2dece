//! The options of the program, those before the first command.

use std::ffi::OsString;
use std::time::Duration;

use observe::daemon::{self, SSL_OPTIONS, VLOG_OPTIONS};
use observe::options::{HasArg, Opt, Options};
use observe::{Vlog, dirs};

use super::command::{Local, commands};
use super::help;
use super::{Fatal, PROGRAM, fatal};
use crate::table::{self, Format, Style};

/// Our own options, in the order in which getopt lists what an abbreviation may mean.
pub(super) const OPTIONS: &[Opt] = &[
    Opt::value("db"),
    Opt::flag("no-syslog"),
    Opt::flag("no-wait"),
    Opt::flag("dry-run"),
    Opt::flag("oneline"),
    Opt::flag("force"),
    Opt::value("timeout").short('t'),
    Opt::flag("retry"),
    Opt::flag("help").short('h'),
    Opt::flag("commands"),
    Opt::flag("options"),
    Opt::flag("leader-only"),
    Opt::flag("no-leader-only"),
    Opt::flag("shuffle-remotes"),
    Opt::flag("no-shuffle-remotes"),
    Opt::flag("version").short('V'),
];

/// What the command line says before the first command.
pub(super) struct Global {
    pub(super) db: String,
    pub(super) wait: bool,
    pub(super) dry_run: bool,
    pub(super) oneline: bool,
    /// Do what the checks of settings would refuse.
    pub(super) force: bool,
    pub(super) retry: bool,
    /// Of a database with several servers, only the one that leads will do.
    pub(super) leader_only: bool,
    /// Of several servers, any may be tried first.
    pub(super) shuffle_remotes: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) tls: stream::tls::Settings,
    pub(super) style: Style,
}

/// A command line.
pub(super) enum Line {
    /// Something to do: options, options of the first command, and the words of the commands.
    Run(Box<Global>, Vec<Local>, Vec<String>),
    /// Something to print.
    Print(String),
}

/// Every option that may stand before the first command; those of commands among them.
pub(super) fn all() -> Vec<Opt> {
    let mut all: Vec<Opt> = [OPTIONS, VLOG_OPTIONS, table::OPTIONS, SSL_OPTIONS].concat();
    for option in commands().flat_map(|command| command.options) {
        let name = option.trim_start_matches('-');
        let opt = match name.strip_suffix('=') {
            Some(name) => Opt::value(name),
            None => Opt::flag(name),
        };
        if all.iter().all(|other| other.long != opt.long) {
            all.push(opt);
        }
    }
    all
}

pub(super) fn parse(args: impl IntoIterator<Item = OsString>, vlog: &Vlog) -> Result<Line, Fatal> {
    let known = all();
    let mut options = Options::new(&[&known], args).stop_at_operand();
    let mut global = Global {
        db: dirs::default_db_remote(),
        wait: true,
        dry_run: false,
        oneline: false,
        force: false,
        retry: false,
        leader_only: true,
        shuffle_remotes: true,
        timeout: timeout_from_environment(),
        tls: stream::tls::Settings::default(),
        style: Style::new(Format::List),
    };
    let mut local: Vec<Local> = Vec::new();
    while let Some(option) = options.next().map_err(Fatal::new)? {
        match option.name {
            "db" => global.db = option.arg().to_owned(),
            "no-syslog" => vlog.set("vsctl:syslog:warn").map_err(Fatal::new)?,
            "no-wait" => global.wait = false,
            "dry-run" => global.dry_run = true,
            "oneline" => global.oneline = true,
            "force" => global.force = true,
            "retry" => global.retry = true,
            "timeout" => global.timeout = timeout(option.arg())?,
            "help" => return Ok(Line::Print(help::help())),
            "commands" => return Ok(Line::Print(help::command_list())),
            "options" => return Ok(Line::Print(help::option_list(&known))),
            "version" => return Ok(Line::Print(help::version())),
            "leader-only" => global.leader_only = true,
            "no-leader-only" => global.leader_only = false,
            "shuffle-remotes" => global.shuffle_remotes = true,
            "no-shuffle-remotes" => global.shuffle_remotes = false,
            _ if daemon::take_vlog_option(&option, vlog).map_err(Fatal::new)? => {}
            _ if global.style.take(&option).map_err(Fatal::new)? => {}
            name if global.tls.take(name, option.arg()).map_err(Fatal::new)? => {}
            name => {
                let name = format!("--{name}");
                // Here, unlike behind "--", the reference lets the last one win.
                local.retain(|(other, _)| *other != name);
                local.push((name, option.value.clone()));
            }
        }
    }
    Ok(Line::Run(Box::new(global), local, options.operands()))
}

/// Zero, like no timeout, waits for ever.
fn timeout(text: &str) -> Result<Option<Duration>, Fatal> {
    match text.parse::<u32>() {
        Ok(seconds) => {
            Ok(Some(Duration::from_secs(seconds.into())).filter(|timeout| !timeout.is_zero()))
        }
        Err(_) => fatal!("value {text} on -t or --timeout is invalid"),
    }
}

fn timeout_from_environment() -> Option<Duration> {
    timeout(&std::env::var("OVS_CTL_TIMEOUT").ok()?).ok()?
}

/// `--name=ARG` and `-n ARG`, one a line, as shell completion reads them.
pub(super) fn describe(option: &Opt) -> Vec<String> {
    let (equals, space) = if option.arg == HasArg::No { ("", "") } else { ("=ARG", " ARG") };
    let long = format!("--{}{equals}", option.long);
    std::iter::once(long).chain(option.short.map(|short| format!("-{short}{space}"))).collect()
}

/// The program's name in front of a message, as every OVS program prints it.
pub(super) fn complain(err: &mut dyn std::io::Write, message: &str) {
    // Nowhere to complain about a failure to complain.
    let _ = writeln!(err, "{PROGRAM}: {message}");
}
