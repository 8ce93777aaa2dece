//! `ovs-appctl`: sends a command to a running daemon's control socket and prints the answer.

use jsonrpc::{Json, json};
use observe::options::{LISTING, Opt, Options};
use observe::vlog::{Destination, Level};
use observe::{Vlog, alarm, daemon, dirs, version};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use unixctl::{Client, Refused};

const PROGRAM: &str = "ovs-appctl";

/// In the order in which getopt lists what an abbreviation may mean.
const OPTIONS: &[&[Opt]] = &[
    &[Opt::value("target").short('t'), Opt::value("format").short('f'), Opt::flag("pretty")],
    &[Opt::flag("help").short('h'), LISTING, Opt::flag("version").short('V')],
    &[Opt::value("timeout").short('T')],
    daemon::VLOG_OPTIONS,
];

/// What the command line says.
struct Request {
    target: String,
    json: bool,
    pretty: bool,
    timeout: Option<Duration>,
    command: String,
    args: Vec<String>,
}

/// Either something to do or something to print.
enum CommandLine {
    Send(Request),
    Print(String),
}

/// How it went wrong.
enum Failure {
    /// We could not ask: exit code 1.
    Fatal(String),
    /// The daemon refused: its text, exit code 2.
    Refused { text: String, target: String },
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Fatal(text)
    }
}

/// Runs the program with these arguments (its own name not among them).
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let vlog = Vlog::install(PROGRAM, &base::Clock::real());
    vlog.set_level(None, Some(Destination::Console), Level::Warn);
    // A reader that has gone away is no reason to complain.
    match execute(args, &vlog) {
        Ok(text) => {
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            ExitCode::SUCCESS
        }
        Err(Failure::Fatal(text)) => {
            let _ = writeln!(err, "{PROGRAM}: {text}");
            ExitCode::FAILURE
        }
        Err(Failure::Refused { text, target }) => {
            let _ = writeln!(err, "{text}{PROGRAM}: {target}: server returned an error");
            ExitCode::from(2)
        }
    }
}

fn execute(args: impl IntoIterator<Item = OsString>, vlog: &Vlog) -> Result<String, Failure> {
    let request = match parse(args, vlog)? {
        CommandLine::Print(text) => return Ok(text),
        CommandLine::Send(request) => request,
    };
    if let Some(timeout) = alarm::timeout(request.timeout) {
        alarm::start(timeout);
    }
    send(&request)
}

fn parse(args: impl IntoIterator<Item = OsString>, vlog: &Vlog) -> Result<CommandLine, String> {
    let mut options = Options::new(OPTIONS, args).stop_at_operand();
    let mut target = "ovs-vswitchd".to_owned();
    let (mut json, mut pretty, mut timeout) = (false, false, None);
    while let Some(option) = options.next()? {
        match option.name {
            "target" => target = option.arg().to_owned(),
            "format" => json = parse_format(option.arg())?,
            "pretty" => pretty = true,
            "timeout" => timeout = Some(alarm::parse(option.arg(), 'T')?),
            "help" => return Ok(CommandLine::Print(usage())),
            "option" => return Ok(CommandLine::Print(options.listing())),
            "version" => return Ok(CommandLine::Print(version::text(PROGRAM))),
            _ => {
                daemon::take_vlog_option(&option, vlog)?;
            }
        }
    }
    if pretty && !json {
        return Err("--pretty requires --format=json (use --help for help)".to_owned());
    }
    let mut operands = options.operands().into_iter();
    let command = operands
        .next()
        .ok_or("at least one non-option argument is required (use --help for help)")?;
    let args = operands.collect();
    Ok(CommandLine::Send(Request { target, json, pretty, timeout, command, args }))
}

fn parse_format(text: &str) -> Result<bool, String> {
    match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err(format!("value {text} on -f or --format is invalid")),
    }
}

fn usage() -> String {
    format!(
        "{PROGRAM}, for querying and controlling Open vSwitch daemons\n\
         usage: {PROGRAM} [TARGET] COMMAND [ARG...]\n\
         Targets:\n\
         \x20 -t, --target=TARGET  program whose pidfile to look for, or path of a socket\n\
         \x20                      (default: ovs-vswitchd)\n\
         Common commands:\n\
         \x20 list-commands      the commands that the target knows\n\
         \x20 version            the target's version\n\
         \x20 vlog/list          what is logged where\n\
         \x20 vlog/list-pattern  what log lines look like\n\
         \x20 vlog/set [SPEC]    change what is logged: up to one module name, one of 'syslog',\n\
         \x20                    'console', 'file', and one of 'off', 'emer', 'err', 'warn',\n\
         \x20                    'info', 'dbg', joined by ':'\n\
         \x20 vlog/reopen        open the log file anew, after it was rotated\n\
         Other options:\n\
         \x20 -T, --timeout=SECS     give up after SECS seconds\n\
         \x20 -f, --format=FORMAT    print the answer as \"text\" (the default) or \"json\"\n\
         \x20 --pretty               print JSON with line breaks and indentation\n\
         \x20 -o, --option           list all options\n\
         \x20 -h, --help             print this help\n\
         \x20 -V, --version          print version information\n{}",
        daemon::vlog_usage(PROGRAM)
    )
}

/// The path of a target's control socket: the target itself if it is absolute, else by way of its pidfile.
fn socket_of(target: &str) -> Result<PathBuf, String> {
    if target.starts_with('/') {
        return Ok(target.into());
    }
    let pidfile = dirs::rundir().join(format!("{target}.pid"));
    let pid = daemon::pidfile::read(&pidfile).map_err(|e| {
        if matches!(e, daemon::pidfile::PidfileError::Io(_)) {
            log::warn!(target: "daemon_unix", "{}: open: {e}", pidfile.display());
        }
        format!("cannot read pidfile \"{}\" ({e})", pidfile.display())
    })?;
    Ok(dirs::rundir().join(format!("{target}.{pid}.ctl")))
}

fn send(request: &Request) -> Result<String, Failure> {
    let socket = socket_of(&request.target)?;
    let mut client = Client::connect(&socket).map_err(|why| {
        log::warn!(target: "unixctl", "failed to connect to {}", socket.display());
        format!("cannot connect to \"{}\" ({why})", socket.display())
    })?;
    let target = &request.target;
    let broken = |why: String| {
        log::warn!(target: "unixctl", "error communicating with unix:{}: {why}", socket.display());
        format!("{target}: transaction error ({why})")
    };
    if request.json {
        // A daemon that does not know of formats answers text, which is wrapped below.
        let _ = client.want_json().map_err(broken)?;
    }
    let args = request.args.iter().map(String::as_str);
    match client.transact(&request.command, args).map_err(broken)? {
        Ok(result) => show(request, result),
        Err(Refused(text)) => Err(Failure::Refused { text, target: target.clone() }),
    }
}

fn show(request: &Request, result: Json) -> Result<String, Failure> {
    let json = match result {
        Json::String(text) if !request.json => return Ok(text.to_string()),
        Json::String(text) => json!({"reply": text, "reply-format": "plain"}),
        json if request.json => json,
        other => {
            let kind = other.type_name();
            log::warn!(target: "unixctl", "{}: unexpected result type in JSON rpc reply: {kind}", request.target);
            return Err(Failure::Fatal(format!(
                "{}: transaction error (Invalid argument)",
                request.target
            )));
        }
    };
    Ok(if request.pretty { format!("{json:#}\n") } else { format!("{json}\n") })
}
