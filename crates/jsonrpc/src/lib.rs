//! JSON-RPC 1.0 as Open vSwitch speaks it: the value type, framing, sessions that reconnect.
//!
//! Read in this order: [`json`] (values, parser, printer).

pub mod json;

pub use json::{Json, Object};
