//! Layer 2 state machines, pure: they take packets' facts and `now`, and return what changed.
//!
//! [`MacTable`] learns where stations are. [`Bond`] makes one link of several, and [`Lacp`] asks the other end whether it agrees;
//! a [`Aggregate`] is a port that has either or both. Spanning tree and multicast snooping are their future neighbours.

pub mod aggregate;
pub mod bond;
pub mod hash;
pub mod lacp;
pub mod mac_table;

pub use aggregate::Aggregate;
pub use bond::Bond;
pub use lacp::Lacp;
pub use mac_table::{FdbStats, Learned, MacConfig, MacEntry, MacTable, SetStatic};
