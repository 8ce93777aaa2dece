//! `ovs-testcontroller`: a simple OpenFlow controller for trying switches.
//!
//! # How it is cut
//! - [`options`]: the command line.
//! - [`learning`]: what the controller makes of one switch: a pure state machine.
//! - [`serve`]: sockets: who is called, who calls, and the loop that listens to all of them.
//!
//! What it sends is what Open vSwitch's program of that name sends, with two exceptions, where that does not do what its manual
//! says: `--normal` learns, so that there are destinations to leave to the switch, and `--mute` keeps silent.

mod learning;
mod options;
mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use base::Clock;
use observe::Vlog;

const PROGRAM: &str = "ovs-testcontroller";

/// Runs the program; `args` are the command line's without the program's name.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let clock = Clock::real();
    let vlog = Vlog::install(PROGRAM, &clock);
    let result = match options::read(args, &vlog) {
        Ok(options::Wish::Say(text)) => {
            // A reader that has gone away is no reason to complain.
            let _ = out.write_all(text.as_bytes());
            Ok(())
        }
        Ok(options::Wish::Serve(settings)) => serve::serve(&settings, &clock, &vlog),
        Err(text) => Err(text),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            let _ = writeln!(err, "{PROGRAM}: {text}");
            ExitCode::FAILURE
        }
    }
}
