//! The control socket: how `ovs-appctl` talks to a running daemon.
//!
//! # Protocol
//! JSON-RPC 1.0 over a Unix-domain socket named `PROGRAM.PID.ctl` in the run directory. A request's method is the command, its
//! params are the arguments, all strings. The result is text that ends in a newline, or an error of the same kind. The command
//! `set-options --format json` (Open vSwitch 3.5 and later) makes the rest of that connection's results JSON values; a command
//! that has none to offer has its text wrapped as `{"reply": TEXT, "reply-format": "plain"}`.
//!
//! Read in this order: [`registry`] (a daemon's commands), [`server`] (the socket), [`client`].

pub mod client;
pub mod registry;
pub mod server;

pub use client::{Client, Refused};
pub use registry::{Args, Deferred, Format, Registry, Reply};
pub use server::Server;
