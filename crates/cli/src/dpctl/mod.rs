//! `ovs-dpctl`: looks at the kernel's datapaths, of which there are none for this switch: its datapaths are the switch daemon's
//! own, which `ovs-appctl dpctl/..` shows and changes by the same commands. What needs no datapath is done here.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use base::Clock;
use flow::dpctl::{self, COMMANDS};
use observe::options::{LISTING, Opt, Options};
use observe::vlog::{Destination, Level};
use observe::{Vlog, alarm, daemon, version};

const PROGRAM: &str = "ovs-dpctl";

/// In the order in which `--option` lists them.
const OWN: &[Opt] = &[
    Opt::flag("statistics").short('s'),
    Opt::flag("clear"),
    Opt::flag("may-create"),
    Opt::flag("read-only"),
    Opt::flag("more").short('m'),
    Opt::flag("names"),
    Opt::flag("no-names"),
    Opt::value("timeout").short('t'),
    Opt::flag("help").short('h'),
    LISTING,
    Opt::flag("version").short('V'),
];

/// Runs the program with these arguments (its own name not among them).
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let vlog = Vlog::install(PROGRAM, &Clock::real());
    vlog.set_level(None, Some(Destination::Console), Level::Warn);
    let Done { text, errors, failed } = execute(args, &vlog);
    // A reader that has gone away is no reason to complain.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    for error in &errors {
        let _ = writeln!(err, "{PROGRAM}: {error}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What is printed, what is complained of after that, and whether it went wrong.
struct Done {
    text: String,
    errors: Vec<String>,
    failed: bool,
}

fn fails(why: impl Into<String>) -> Done {
    Done { text: String::new(), errors: vec![why.into()], failed: true }
}

fn says(text: String) -> Done {
    Done { text, errors: Vec::new(), failed: false }
}

fn execute(args: impl IntoIterator<Item = OsString>, vlog: &Vlog) -> Done {
    match words(args, vlog) {
        Ok(Ok((words, read_only))) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            command(&words, read_only)
        }
        Ok(Err(text)) => says(text),
        Err(why) => fails(why),
    }
}

/// The words that are no options, and whether nothing may be changed; or a text that was all that was wanted.
fn words(
    args: impl IntoIterator<Item = OsString>,
    vlog: &Vlog,
) -> Result<Result<(Vec<String>, bool), String>, String> {
    let mut options = Options::new(&[OWN, daemon::VLOG_OPTIONS], args);
    let (mut timeout, mut read_only) = (None, false);
    while let Some(option) = options.next()? {
        match option.name {
            "help" => return Ok(Err(usage())),
            "option" => return Ok(Err(options.listing())),
            "version" => return Ok(Err(version::text(PROGRAM))),
            "timeout" => timeout = Some(alarm::parse(option.arg(), 't')?),
            // How datapaths are shown and changed, of which there are none.
            "statistics" | "more" | "names" | "no-names" | "clear" | "may-create" => {}
            "read-only" => read_only = true,
            _ => drop(daemon::take_vlog_option(&option, vlog)?),
        }
    }
    if let Some(timeout) = alarm::timeout(timeout) {
        alarm::start(timeout);
    }
    Ok(Ok((options.operands(), read_only)))
}

fn command(words: &[&str], read_only: bool) -> Done {
    let Some((name, args)) = words.split_first() else {
        return fails("missing command name; use --help for help");
    };
    let Some(command) = dpctl::find(name) else {
        return fails(format!("unknown command '{name}'; use --help for help"));
    };
    if args.len() < command.min {
        return fails(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        return fails(format!("'{name}' command takes at most {} arguments", command.max));
    }
    if read_only && command.writes() {
        return fails(format!("'{name}' command does not work in read only mode"));
    }
    match (*name, args) {
        ("help", _) => says(usage()),
        ("list-commands", _) => says(dpctl::list_of_dpctl()),
        ("parse-actions", args) => {
            let (text, error) = dpctl::again(args);
            Done { text, failed: error.is_some(), errors: error.into_iter().collect() }
        }
        ("normalize-actions", [flow, actions, ..]) => {
            let (text, error) = dpctl::normalized(flow, actions);
            Done { text, failed: error.is_some(), errors: error.into_iter().collect() }
        }
        _ => without_datapath(name, args),
    }
}

/// Everything else is about datapaths.
fn without_datapath(name: &str, args: &[&str]) -> Done {
    const NONE: &str = "No such file or directory";
    let search = || log::warn!(target: "dpif", "failed to enumerate system datapaths: {NONE}");
    let named = args.first().copied().unwrap_or_default();
    let why_not = |name: &str| {
        // Those of a kind that is not the kernel's are in the daemon.
        let is_kernels = !name.contains('@') || name.starts_with("system@");
        if is_kernels { NONE } else { "No such device" }
    };
    let why = why_not(named);
    let errors = match name {
        "show" if !args.is_empty() => {
            let opening =
                |name: &&str| format!("opening datapath {name} failed ({})", why_not(name));
            args.iter().map(opening).collect()
        }
        "dump-flows" if args.iter().any(|arg| arg.starts_with("type=")) => {
            vec!["Invalid argument 'type'. Use 'ovs-appctl dpctl/dump-flows' instead.".to_owned()]
        }
        "cache-get-size" | "cache-set-size" if !args.is_empty() => {
            vec![format!("Opening datapath {named} failed ({why})")]
        }
        "dump-dps" | "cache-get-size" | "show" => {
            search();
            Vec::new()
        }
        "add-dp" => vec![format!("add_dp ({why})")],
        "del-dp" | "add-if" | "del-if" | "set-if" => {
            vec![format!("opening datapath ({why})")]
        }
        _ => {
            search();
            let none = (!is_name(name, args)).then(|| "no datapaths exist".to_owned());
            let not_found = ["datapath not found (Invalid argument)".to_owned()];
            let cannot = (name == "flush-conntrack")
                .then(|| "Cannot open dpif (Invalid argument)".to_owned());
            none.into_iter().chain(not_found).chain(cannot).collect()
        }
    };
    Done { text: String::new(), errors, failed: true }
}

/// Whether the first argument can only be a datapath's name.
fn is_name(name: &str, args: &[&str]) -> bool {
    let most = dpctl::find(name).map_or(0, |command| command.max);
    match name {
        "dump-flows" | "dump-conntrack" | "flush-conntrack" | "ct-stats-show" | "ct-bkts" => {
            args.first().is_some_and(|arg| !arg.contains('='))
        }
        _ => !args.is_empty() && args.len() == most,
    }
}

fn usage() -> String {
    let mut commands = String::new();
    for command in COMMANDS {
        let line = format!("  {} {}", command.name(), command.usage);
        commands += &format!("{}\n", line.trim_end());
    }
    format!(
        "{PROGRAM}: Open vSwitch datapath management utility\n\
         usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\
         The switch's datapaths are in its daemon: ask it with 'ovs-appctl dpctl/COMMAND'. Of the kernel's there are none.\n\
         \n\
         Commands:\n\
         {commands}\
         \n\
         Options:\n\
         \x20 -s, --statistics            print statistics of ports and flows\n\
         \x20 -m, --more                  print more of flows\n\
         \x20 --names, --no-names         call ports by names, or by numbers only\n\
         \x20 --may-create                mod-flow adds a flow that is not there\n\
         \x20 --clear                     mod-flow begins to count anew\n\
         \x20 --read-only                 refuse commands that change something\n\
         \x20 -t, --timeout=SECS          give up after SECS seconds\n\
         {}\n\
         Other options:\n\
         \x20 -o, --option                list all options\n\
         \x20 -h, --help                  print this help\n\
         \x20 -V, --version               print version information\n",
        daemon::vlog_usage(PROGRAM)
    )
}
