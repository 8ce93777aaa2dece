//! The program around the daemon: options, help, going to the background.

use std::ffi::OsString;
use std::process::ExitCode;

use base::Clock;
use observe::daemon::{Keep, OPTIONS, SSL_OPTIONS, VLOG_OPTIONS, usage, vlog_usage};
use observe::options::{COMMON, Parsed};
use observe::{DaemonOptions, Opt, Options, Signals, Vlog, dirs, version};
use stream::Endpoint;
use unixctl::Server;

use crate::commands;
use crate::daemon::{Options as DaemonSetup, Runner};
use crate::desired::{DummyMode, DummyOverride};
use crate::switch::Setup;

/// The program's name, for texts and file names.
pub const PROGRAM: &str = "ovs-vswitchd";

/// The options that concern the switch itself.
pub const SWITCH_OPTIONS: &[Opt] = &[
    Opt::optional("enable-dummy"),
    Opt::flag("disable-system"),
    Opt::flag("disable-system-route"),
    Opt::flag("mlockall"),
    Opt::flag("unlimited-stack"),
    Opt::value("dpdk"),
    Opt::value("workers"),
];

/// Runs it. Returns when the daemon has ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let clock = Clock::real();
    let vlog = Vlog::install(PROGRAM, &clock);
    match start(args, clock, &vlog) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{PROGRAM}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn start(
    args: impl IntoIterator<Item = OsString>,
    clock: Clock,
    vlog: &Vlog,
) -> Result<ExitCode, String> {
    let Some(Parse { daemon, switch, database }) = parse(args, vlog)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let process = daemon.start(vlog, Keep::Devices)?;
    serve(database, switch, &daemon, process, clock, vlog)
}

/// Runs the switch in this process until it is told to end: everything after options and going to the background.
pub fn serve(
    database: Endpoint,
    switch: SwitchOptions,
    daemon: &DaemonOptions,
    mut process: observe::Daemon,
    clock: Clock,
    vlog: &Vlog,
) -> Result<ExitCode, String> {
    let signals = Signals::install().map_err(|e| format!("cannot catch signals: {e}"))?;
    let setup = Setup { run_dir: dirs::rundir(), ..switch.setup };
    let setup = DaemonSetup { database, tls: daemon.tls(), dummy: switch.dummy, setup };
    let mut runner =
        Runner::new(setup, clock, Some(signals), Some(vlog.clone())).map_err(|e| e.to_string())?;
    if let Some(path) = daemon.unixctl_path(vlog) {
        let mut registry = commands::registry();
        observe::commands::add_common(&mut registry, vlog);
        let server = Server::open(&path, registry)
            .map_err(|e| format!("{}: {}", path.display(), stream::strerror(&e)))?;
        runner.serve(server);
    }
    if !daemon.detaches() {
        process.ready()?;
    }
    let mut failure = None;
    let ran = runner.run(|| failure = process.ready().err());
    match failure {
        Some(why) => Err(why),
        None => ran.map(|()| ExitCode::SUCCESS).map_err(|e| e.to_string()),
    }
}

/// What the command line asks for.
struct Parse {
    daemon: DaemonOptions,
    switch: SwitchOptions,
    database: Endpoint,
}

fn parse(args: impl IntoIterator<Item = OsString>, vlog: &Vlog) -> Result<Option<Parse>, String> {
    let mut options =
        Options::new(&[SWITCH_OPTIONS, OPTIONS, VLOG_OPTIONS, SSL_OPTIONS, COMMON], args);
    let mut daemon = DaemonOptions::default();
    let mut switch = SwitchOptions::default();
    while let Some(option) = options.next()? {
        match option.name {
            "help" => {
                print(&help());
                return Ok(None);
            }
            "version" => {
                print(&version::text(PROGRAM));
                return Ok(None);
            }
            _ if switch.take(&option)? || daemon.take(&option, vlog)? => {}
            other => return Err(format!("--{other}: not understood")),
        }
    }
    let operands = options.operands();
    let database = match operands.as_slice() {
        [] => dirs::default_db_remote(),
        [one] => one.clone(),
        _ => {
            return Err("at most one non-option argument accepted; use --help for usage".to_owned());
        }
    };
    let database: Endpoint = database.parse().map_err(|e: stream::EndpointError| e.to_string())?;
    Ok(Some(Parse { daemon, switch, database: database.in_dir(&dirs::rundir()) }))
}

/// The values of [`SWITCH_OPTIONS`].
#[derive(Clone, Debug, Default)]
pub struct SwitchOptions {
    dummy: DummyMode,
    setup: Setup,
}

impl SwitchOptions {
    /// Takes an option of [`SWITCH_OPTIONS`]; says whether it was one.
    pub fn take(&mut self, option: &Parsed) -> Result<bool, String> {
        match option.name {
            "enable-dummy" => {
                self.dummy.enabled = true;
                self.dummy.over = match option.value.as_deref() {
                    None => DummyOverride::None,
                    Some("override") => DummyOverride::All,
                    Some("system") => DummyOverride::System,
                    Some(other) => {
                        return Err(format!(
                            "--enable-dummy={other}: must be \"override\" or \"system\""
                        ));
                    }
                };
            }
            "disable-system" => self.dummy.no_system = true,
            "disable-system-route" => self.setup.no_system_routes = true,
            "mlockall" | "unlimited-stack" => {} // nothing here needs them; scripts pass them
            "dpdk" => {
                return Err(
                    "--dpdk: DPDK is started by a setting (other_config:dpdk-init=true), in builds that have it"
                        .to_owned(),
                );
            }
            "workers" => {
                let n = option.arg().parse().ok().filter(|n| (1..=64).contains(n));
                self.setup.workers = n.ok_or("--workers: must be a number from 1 to 64")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What `--help` says about [`SWITCH_OPTIONS`].
pub fn switch_usage() -> &'static str {
    "\nSwitch options:\n\
     \x20 --workers=N             threads that move packets (default: half of the processors, at most 4)\n\
     \x20 --enable-dummy[=override|system]\n\
     \x20                         devices and a datapath for tests\n\
     \x20 --disable-system        do not open devices of the host\n\
     \x20 --disable-system-route  do not follow the kernel's routes\n"
}

fn help() -> String {
    let remote = dirs::default_db_remote();
    format!(
        "{PROGRAM}: the switch daemon of ferroswitch, compatible with Open vSwitch\n\
         usage: {PROGRAM} [OPTIONS] [DATABASE]\n\
         where DATABASE is a socket on which ovsdb-server is listening (default: \"{remote}\").\n\
         {}{}{}\n\
         Other options:\n\
         \x20 -h, --help              display this help message\n\
         \x20 -V, --version           display version information\n",
        switch_usage(),
        usage(PROGRAM),
        vlog_usage(PROGRAM)
    )
}

#[allow(clippy::print_stdout)] // what was asked for
fn print(text: &str) {
    print!("{text}");
}
