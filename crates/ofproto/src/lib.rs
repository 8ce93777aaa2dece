//! One OpenFlow switch per bridge: who may talk to it, what they are told, and how their messages become changes.
//!
//! # Layers
//! 1. [`switch`]: what this crate needs of the rest of the daemon, as a trait. It is all that is seen of packets.
//! 2. [`peer`]: what is known of one controller: protocol, role, what it wants to hear of, its open bundles.
//! 3. [`bridge`]: a bridge and its peers. Pure: a message goes in, messages for any peers come out. The `requests` below it
//!    are one file per family of messages.
//! 4. [`multipart`]: answers of any length, made piece by piece as the peer reads.
//! 5. [`server`]: the thread that owns all connections of all bridges: listeners, controllers that are called, probes, limits.
//!
//! # Why one thread
//! What controllers do to a bridge must happen in some order, and a bridge's rules have one writer at a time anyhow. One thread
//! that serves every connection for a bounded while in turn needs no locks between peers, and a thousand idle controllers cost
//! it nothing. What takes long (a barrier waits until caches obey) is done by a second thread; meanwhile that peer alone is not
//! listened to, which keeps its messages in order.
//!
//! # Bounds
//! A peer that does not read gets no more packets (they are counted), is not read from either, and is given up at last. A
//! bundle holds so many messages and so many bytes, a peer so many bundles.

pub mod bridge;
pub mod multipart;
pub mod pacer;
mod partial;
pub mod peer;
mod requests;
pub mod server;
pub mod switch;

#[cfg(test)]
mod tests;

pub use bridge::{Bridge, Settings, Step};
pub use peer::{Kind, PeerId};
pub use server::{Configuration, Controller, InBand, OpenFlow, Status};
pub use switch::{Event, PacketIn, Switch};
