//! Layer 2 state machines, pure: they take packets' facts and `now`, and return what changed.
//!
//! [`MacTable`] learns where stations are. [`Bond`] makes one link of several, and [`Lacp`] asks the other end whether it agrees;
//! a [`Bundle`] is a port that has either or both. Spanning tree and multicast snooping are their future neighbours.

pub mod bond;
pub mod bundle;
pub mod hash;
pub mod lacp;
pub mod mac_table;

pub use bond::Bond;
pub use bundle::Bundle;
pub use lacp::Lacp;
pub use mac_table::{FdbStats, Learned, MacConfig, MacEntry, MacTable, SetStatic};
