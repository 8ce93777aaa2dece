//! What `ovs-appctl` can ask of the daemon: one table, one function per command, grouped by what they are about.

mod admin;
mod bonds;
mod bridges;
mod by_hand;
mod datapaths;
mod flows;
mod history;
mod openflow;
mod process;
mod routes;
mod testing;
mod trace;
mod tracking;
mod tunnels;
pub mod turn_log;
mod variants;
mod workers;

use unixctl::{Args, Registry};

use crate::daemon::Daemon;

/// All commands of the switch daemon (those that every daemon has are added by `observe`).
pub fn registry() -> Registry<Daemon> {
    let mut registry = Registry::new();
    process::add(&mut registry);
    bridges::add(&mut registry);
    bonds::add(&mut registry);
    datapaths::add(&mut registry);
    flows::add(&mut registry);
    by_hand::add(&mut registry);
    tracking::add(&mut registry);
    variants::add(&mut registry);
    routes::add(&mut registry);
    tunnels::add(&mut registry);
    openflow::add(&mut registry);
    workers::add(&mut registry);
    turn_log::add(&mut registry);
    testing::add(&mut registry);
    admin::add(&mut registry);
    trace::add(&mut registry);
    registry
}

/// Adds a command of the list that `ovs-dpctl` has as well.
fn add_dpctl<R: Into<unixctl::Reply> + 'static>(
    registry: &mut Registry<Daemon>,
    name: &str,
    run: fn(&mut Daemon, &Args) -> R,
) {
    let Some(command) = flow::dpctl::find(name) else { return };
    // Options come beside what is counted.
    let most = command.max.saturating_add(4);
    registry.add(command.appctl, command.usage, command.min, most, run);
}

/// The arguments as plain strings.
fn strings(args: &Args) -> Vec<&str> {
    args.iter().map(|a| &**a).collect()
}
