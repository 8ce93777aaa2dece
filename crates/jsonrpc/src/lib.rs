//! JSON-RPC 1.0 as Open vSwitch speaks it: values, messages, connections, and sessions that reconnect.
//!
//! Read in this order: [`json`] (values, parser, printer), [`message`] (requests and replies), [`connection`] (messages over a
//! byte stream), [`reconnect`] (when to connect, probe and give up, as a pure state machine), [`session`] (all of these
//! together, for daemons), [`client`] (one connection that blocks, for command-line programs).

pub mod client;
pub mod connection;
pub mod json;
pub mod message;
pub mod reconnect;
pub mod session;

pub use client::Client;
pub use connection::{Connection, ConnectionError, Limits};
pub use json::{Json, Object};
pub use message::Message;
pub use reconnect::Reconnect;
pub use session::Session;
/// Text of any length, short text without an allocation; what strings in [`Json`] are.
pub use smol_str::SmolStr;
