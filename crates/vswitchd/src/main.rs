//! `ovs-vswitchd`: the switch daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    vswitchd::program::run(std::env::args_os().skip(1))
}
