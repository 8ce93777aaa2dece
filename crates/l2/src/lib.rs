//! Layer 2 state machines, pure: they take packets' facts and `now`, and return what changed.
//!
//! Today there is one: [`MacTable`], which learns where stations are. Spanning tree, LACP, bonds and multicast snooping are
//! its future neighbours.

pub mod mac_table;

pub use mac_table::{FdbStats, Learned, MacConfig, MacEntry, MacTable, SetStatic};
