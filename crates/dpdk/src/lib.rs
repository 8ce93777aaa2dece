//! DPDK's devices as plain queues of bytes; empty unless built with the feature `dpdk`.
//!
//! # What
//! [`start`] starts DPDK, [`Port::open`] a device by its device arguments; [`Port::recv`] shows received packets, [`Port::send`]
//! takes copies of packets. What Rust cannot call is in `shim.c`.
//!
//! # Why optional
//! DPDK is a large C library, tied to the version it was built with. Whoever has no card that needs it is better served by
//! AF_XDP, and the default build needs nothing but Rust.
//!
//! # Threads
//! A queue may be used by one thread at a time; the types say so by exclusive borrows ([`Rx`], [`Tx`]). All else is DPDK's own
//! control interface, which a lock in [`Port`] serialises. DPDK itself exists once in a process: the one state that is not a
//! value here.

#[cfg(feature = "dpdk")]
mod port;
#[cfg(feature = "dpdk")]
pub use port::{Link, Port, Queues, Rx, Stats, Tx, start, version};

/// Whether this build has DPDK.
pub const AVAILABLE: bool = cfg!(feature = "dpdk");
