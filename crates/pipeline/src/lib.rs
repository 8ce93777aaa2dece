//! What a switch is configured to be: bridges, their ports and policies, as one immutable [`Snapshot`].
//!
//! # What
//! A snapshot is everything that translation needs to know and that only configuration changes. What traffic changes (MAC
//! tables, neighbours, statistics) is elsewhere.
//!
//! # Why immutable
//! Translators read without locks, and a translation is made from one configuration, never from half of the next. A change
//! builds a new snapshot with the next [`base::Version`]; whoever compiled flows from the old one compares versions.
//!
//! # Design
//! A snapshot belongs to one datapath (datapath port numbers mean nothing outside of theirs). [`SnapshotBuilder`] is the only
//! way to make one; it refuses what cannot be (two ports with one number, a tunnel that cannot be told from another), so that
//! readers need not check.
//!
//! What controllers have put into a bridge, its rules, groups and meters, changes too often for that: it is a [`Program`].

mod bridge;
mod builder;
mod eviction;
mod group;
mod hashing;
mod key;
pub mod meter;
mod moves;
mod options;
mod pattern;
mod port;
mod program;
mod reading;
mod request;
mod rule;
mod shares;
mod snapshot;
mod table;
mod told;
mod vlan;
mod written;

pub use classifier::Sparse;

pub use bridge::{Aggregate, Bridge, BridgeId, FailMode};
pub use builder::{BuildError, PortSpec, PortSpecKind, SnapshotBuilder};
pub use group::{Group, GroupUsage};
pub use hashing::{Seeded, Words};
pub use key::{Bits, Key, KeyMask, Registers, WORDS, is_held};
pub use meter::Meter;
pub use options::Options;
pub use pattern::{MatchKey, matching};
pub use port::{OfPort, Port, PortConfig, PortKind, PortRef};
pub use program::{
    BANDS, Books, Change, Changes, Edit, Failed, INTERNAL_TABLE, METERS, Miss, Overflow, Program,
    Removed, TABLES, TableSet, TableSettings, Touched, Vacancy, sends_to, uses_group,
};
pub use reading::Reading;
pub use request::Request;
pub use rule::{Rule, Usage};
pub use shares::Shares;
pub use snapshot::Snapshot;
pub use table::Table;
pub use told::{Event, PacketIn};
pub use vlan::{BadVlan, PriorityTags, Vid, VlanMode, VlanSet};
pub use written::Written;
