//! Guests by shared memory: the back end of vhost-user.
//!
//! # What
//! A hypervisor (or any other *front end*) connects by a Unix socket, hands over its guest's memory, and says where in it the
//! guest's virtqueues are. From then on frames pass by copies between that memory and our buffers, without a system call. A
//! [`Port`] is what a guest's network card is plugged into; it is there before the guest and stays after it. A [`Session`] is
//! one front end's connection to it.
//!
//! # Why our own
//! The libraries that exist pop one descriptor at a time through several layers, which costs more than all the rest of a
//! packet's way, know no packed rings, and give up the connection over orders of messages that hypervisors do use.
//!
//! # Who may do what
//! Two parties: a *control* thread, which follows the protocol, and *workers*, which move frames. They meet in a [`Queue`]'s lock,
//! taken once per batch. The control side swaps memory and rings only under that lock, so nothing is unmapped while a worker copies.
//!
//! # Trust
//! Neither the guest (rings) nor the front end (messages, descriptors) is trusted; `ring`, [`memory`] and [`message`] say how
//! each is met. One thing is beyond what can be checked: the event descriptors by which we call the guest share their flags with the
//! front end, which could make a call of ours wait. They must be event counters, and are set not to wait when they come.
//!
//! # Layout
//! [`memory`] (the only unsafe code), [`features`], [`ring`] (split and packed rings, frames through them), [`queue`] and [`port`]
//! (what workers use), [`message`] and [`channel`] (the protocol's bytes), [`session`] (its meaning), [`inflight`]. `frontend`, a feature, is
//! the other side, for tests.

pub mod channel;
pub mod features;
pub mod inflight;
pub mod memory;
pub mod message;
pub mod port;
pub mod queue;
pub mod ring;
pub mod session;

pub use features::{Features, bit};
pub use memory::Memory;
pub use port::Port;
pub use queue::Queue;
pub use session::Session;

#[cfg(any(test, feature = "frontend"))]
pub mod frontend;
#[cfg(test)]
mod tests;
