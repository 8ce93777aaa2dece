//! One OpenFlow connection, whichever side called the other: from bytes to whole messages and back.
//!
//! # Layers
//! 1. [`framer`]: cuts a stream of bytes into messages by the length in their header.
//! 2. [`session`]: greets, agrees on a version, answers echo requests if asked to, watches that the peer keeps to the version.
//!    Pure: bytes go in, messages come out, what is to be sent waits in a buffer. It knows neither sockets nor time.
//! 3. [`connection`]: a session on a non-blocking [`stream::Stream`], for loops that sleep in a poller.
//! 4. [`client`]: the same for programs that have nothing else to do: it blocks, and pairs questions with their answers.
//!
//! # What is deliberately absent
//! Messages pass as bytes: what they mean is the crate `openflow`'s, and whoever prints or executes them decodes them. Connecting
//! again, probing and roles belong to who owns the connection.

pub mod client;
pub mod connection;
pub mod framer;
pub mod session;
mod versions;

pub use client::Client;
pub use connection::Connection;
pub use session::{Echo, Failure, Session};
pub use versions::Versions;

#[cfg(test)]
mod tests;
