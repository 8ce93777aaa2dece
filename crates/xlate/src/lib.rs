//! The compiler: what a bridge's configuration and tables say about a packet, as datapath actions and the mask of all packets
//! for which they hold.
//!
//! # What
//! [`translate`] takes a packet's [`flow::FlowKey`] and walks it through the bridge that it came in by: MAC learning and
//! forwarding ([`FailMode::Standalone`](pipeline::FailMode)), patch wires into other bridges, tunnels out through the
//! underlay bridge and in again. The result is a [`Translation`]: [`flow::Action`]s, a [`flow::Mask`], what the packet teaches
//! the switch ([`Effect`]), and what is to be credited when more such packets pass ([`Use`]).
//!
//! # Why a mask
//! The datapath applies the actions to every packet that agrees with this one on the mask's bits. So every decision must add
//! what it looked at, and nothing more: too narrow a mask forwards packets wrongly, too wide a one sends every packet up here.
//!
//! # Design
//! Pure: reads [`pipeline::Snapshot`] and [`Tables`], writes nothing. It never fails; the worst is a drop that says why. Depth
//! and work are bounded ([`MAX_DEPTH`], [`MAX_RESUBMITS`]), so a loop of patch wires costs little and ends in a drop.

mod request;
pub mod trace;

pub use request::*;

/// Most bridges that a packet may pass one inside the other.
pub const MAX_DEPTH: u32 = 64;
/// Most bridge passages of one translation altogether.
pub const MAX_RESUBMITS: u32 = 4096;
