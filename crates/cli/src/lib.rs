//! The command-line programs: one module per program, each a thin grammar over the libraries.
//!
//! `src/bin/` holds only `main` functions. Every program is `run(args, env, out, err) -> exit code`-shaped, so that tests
//! (and the all-in-one `ferroswitch`) call it without a process.

pub mod appctl;
pub mod dpctl;
pub mod hexdumps;
pub mod ofctl;
pub mod ovsdb_client;
pub mod ovsdb_tool;
pub mod pki;
mod schema_file;
pub mod table;
pub mod testcontroller;
pub mod vsctl;
