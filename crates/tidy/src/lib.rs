//! The repository's rules, as tests.
//!
//! # What
//! `cargo test -p tidy` reads the tree as text and refuses what CONTRIBUTING.md and ARCHITECTURE.md rule out: a pure crate with
//! a socket, `unsafe` outside of `sys`, a dependency against the reading order, a page that does not describe what the programs
//! can do. The rules are in `tests/rules/`, a file for each kind of thing that they look at.
//!
//! # Why
//! What only people remember is forgotten. A rule that a machine checks needs no discussion in review.
//!
//! # Design
//! Reading text instead of parsing Rust is enough for these rules and takes no time. [`tree`] finds crates and files, [`source`]
//! tells code from comments, strings and tests. [`settings_page`] is the one thing that is also *made* here: the manual page of
//! the database, from the tables in `vswitch-schema`.
//!
//! A page that is out of date is written anew by `FERROSWITCH_BLESS=1 cargo test -p tidy`.

pub mod settings_page;
pub mod source;
pub mod tree;
