//! `ovsdb-server`: the database server's sockets, files and command line around [`ovsdb::server`].
//!
//! # Design
//! One thread, one loop ([`Server::serve`]): wait for sockets and deadlines, read what clients sent, let the database commit it
//! all at once, send what came of it. The library decides everything that has to do with databases; here is only what it
//! must not know: endpoints, descriptors, files, time.
//!
//! - [`config`]: what to serve where; [`options`]: the same from a command line; [`config_file`]: from a file, which [`reload`]
//!   follows;
//! - [`network`]: clients and listeners, [`alarms`]: when to look at which; [`remotes`]: which there should be, and [`keys`]: with which keys, also when the
//!   database says so;
//! - [`source`]: a connection to a server whose database is copied here, for [`relays`] and for [`replication`];
//! - [`commands`]: the control socket; [`program`]: the daemon.
//!
//! A program that embeds the server (`ferroswitch run`) makes a [`Server`] from a [`Config`] and calls [`Server::serve`] on a
//! thread of its own; a [`Stop`] ends it.

mod alarms;
mod child;
mod commands;
mod compactions;
mod config;
mod config_file;
mod core;
mod keys;
mod linger;
mod network;
mod options;
mod program;
mod relays;
mod reload;
mod remotes;
mod replication;
mod server;
mod source;
mod status;

pub use config::{Config, SyncOptions};
pub use keys::KeyOptions;
pub use program::run;
pub use server::{Server, Stop};

/// The program's name.
pub const PROGRAM: &str = "ovsdb-server";
