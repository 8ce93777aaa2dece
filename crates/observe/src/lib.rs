//! What every program shares around its proper work: where files lie, options, logging, counters for people, and being a
//! daemon.
//!
//! Read in this order: [`dirs`], [`version`], [`options`], [`vlog`] (logging), [`rate`] (logging, but not too much),
//! [`coverage`] and [`memory`] (counters as people see them), [`alarm`] (timeouts), [`daemon`], [`signals`], [`commands`] (all of this at the control
//! socket).

pub mod alarm;
pub mod commands;
pub mod coverage;
pub mod daemon;
pub mod dirs;
pub mod memory;
pub mod options;
pub mod rate;
pub mod signals;
pub mod version;
pub mod vlog;

pub use daemon::{Daemon, DaemonOptions};
pub use options::{HasArg, Opt, Options};
pub use rate::RateLimit;
pub use signals::Signals;
pub use vlog::Vlog;
