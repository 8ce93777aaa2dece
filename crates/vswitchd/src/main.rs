//! `ovs-vswitchd`: the switch daemon.

use std::process::ExitCode;

/// Flows and rules are made by one thread and let go by another, by the hundred thousand: this costs less there than the C
/// library's, and gives back what is free.
#[global_allocator]
static ALLOCATOR: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

fn main() -> ExitCode {
    vswitchd::program::run(std::env::args_os().skip(1))
}
