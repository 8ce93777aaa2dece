//! Typed rows: what is generated from a schema, and what it does in front of a server.
//!
//! `garden.rs` is written anew by `FERROSWITCH_BLESS=1 cargo test -p ovsdb-idl --test rows`.

/// What `garden.ovsschema` makes.
#[rustfmt::skip]
pub mod garden;
mod generated;
mod round_trip;
mod with_server;

use std::sync::Arc;

use jsonrpc::Json;
use ovsdb::Schema;

const SCHEMA: &str = include_str!("garden.ovsschema");

fn schema() -> Arc<Schema> {
    parse(SCHEMA)
}

fn parse(text: &str) -> Arc<Schema> {
    Schema::from_json(&Json::parse(text).unwrap()).unwrap().into()
}
