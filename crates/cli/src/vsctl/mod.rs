//! `ovs-vsctl`: configures the switch by changing its database.
//!
//! # What
//! A command line is a chain of commands that become one transaction. Most people's only contact with the switch is this
//! program, and scripts parse its every word, so commands, grammar, texts and exit codes are those of Open vSwitch. What is ours:
//! settings are checked against the table of what exists before anything is sent, and a run takes few round trips (one to
//! see what the commands need, one to commit).
//!
//! # Design
//! 1. [`options`], [`command`]: the command line becomes calls of rows of the command table;
//! 2. each call adds what it must see to the interest ([`command::Needs`]);
//! 3. with the replica at hand all calls run in order on one transaction ([`db`], [`context`]), reading their own writes;
//! 4. [`settings`]: what was set is checked;
//! 5. the transaction is committed; if what was seen has changed meanwhile, back to 3;
//! 6. output is printed, and the switch is waited for, which then tells what it could not do.
//!
//! The commands: [`switch`], [`bridge`], [`port`], [`conntrack`], [`connections`], [`auto_attach`], and [`generic`] ones that work on
//! any table.
//!
//! # Exit codes
//! 0; 1 for errors; 2 from `br-exists`; 65 if the switch could not carry out a change that is in the database; 142 (SIGALRM) on
//! `--timeout`.

mod auto_attach;
mod bridge;
mod command;
mod condition;
mod connections;
mod conntrack;
mod context;
mod db;
mod generic;
mod glance;
mod help;
mod model;
mod names;
mod options;
mod port;
mod record;
mod run;
mod settings;
mod switch;
mod symbols;

pub use run::run;

const PROGRAM: &str = "ovs-vsctl";

/// Ends the run with a message and exit code 1.
#[derive(Debug)]
struct Fatal {
    message: String,
}

impl Fatal {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// `Err(Fatal)` with a formatted message, of whatever `Result` is wanted.
macro_rules! fatal {
    ($($arg:tt)+) => { Err($crate::vsctl::Fatal::new(format!($($arg)+))) };
}
use fatal;

/// Why a command does not simply go on.
#[derive(Debug)]
enum Stop {
    Fatal(Fatal),
    /// End at once with this exit code, silently.
    Exit(u8),
    /// The database is not yet as it should be: run again when it has changed.
    TryAgain,
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}
