//! What `ovs-appctl` can ask of the daemon: one table, one function per command, grouped by what they are about.

mod absent;
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
    absent::add(&mut registry);
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
    registry.add(command.appctl, command.usage, command.min, command.max, move |daemon, args| {
        match args.iter().take_while(|arg| is_option(arg)).find(|arg| !is_known(arg)) {
            Some(unknown) => unixctl::Reply::Error(format!("Unrecognized option {unknown}")),
            None => run(daemon, args).into(),
        }
    });
}

fn is_option(arg: &str) -> bool {
    arg.len() > 1 && arg.starts_with('-')
}

/// Whether it is an option of the commands of that list; they all take those of each other.
fn is_known(option: &str) -> bool {
    const LONG: [&str; 6] =
        ["--clear", "--may-create", "--more", "--names", "--no-names", "--statistics"];
    LONG.contains(&option) || option[1..].chars().all(|c| matches!(c, 'm' | 's'))
}

/// What stands behind the options.
fn operands(args: &Args) -> Vec<&str> {
    args.iter().map(|arg| &**arg).skip_while(|arg| is_option(arg)).collect()
}

/// The arguments as plain strings.
fn strings(args: &Args) -> Vec<&str> {
    args.iter().map(|a| &**a).collect()
}
