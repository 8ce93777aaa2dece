//! The daemon.

use std::ffi::OsString;
use std::process::ExitCode;

use base::Clock;
use observe::daemon::{DaemonOptions, Keep};
use observe::{Vlog, version};

use crate::options::{CommandLine, parse};
use crate::{Config, PROGRAM, Server};

/// Runs the program; `args` are the command line's without the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let clock = Clock::real();
    let vlog = Vlog::install(PROGRAM, &clock);
    let outcome = match parse(args, &vlog, &clock) {
        Ok(CommandLine::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(CommandLine::Serve(what)) => serve(what.0, &what.1, &vlog),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PROGRAM}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut config: Config, options: &DaemonOptions, vlog: &Vlog) -> Result<(), String> {
    let mut daemon = options.start(vlog, Keep::Ports)?;
    config.unixctl = options.unixctl_path(vlog);
    let mut server = Server::new(&config, vlog)?;
    server.catch_signals()?;
    daemon.ready()?;
    // What lives as long as a command is a tool of that command; nobody looks for its version in a log.
    if config.run.is_none() {
        log::info!(target: "ovsdb_server", "{}", version::line(PROGRAM));
    }
    server.serve()
}
