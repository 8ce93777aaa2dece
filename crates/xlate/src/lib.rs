//! The compiler: what a bridge's configuration and tables say about a packet, as datapath actions and the mask of all packets
//! for which they hold.
//!
//! # What
//! [`translate`] takes a packet's [`flow::FlowKey`] and walks it through the program of the bridge that it came in by: rules,
//! groups and meters, NORMAL's learning and forwarding, patch wires into other bridges, tunnels out through the underlay bridge
//! and in again. The result is a [`Translation`]: [`flow::Action`]s, a [`flow::Mask`], what the packet teaches the switch
//! ([`Effect`]), and what is to be credited when more such packets pass ([`Use`]).
//!
//! # Why a mask
//! The datapath applies the actions to every packet that agrees with this one on the mask's bits. So every decision must add
//! what it looked at, and nothing more: too narrow a mask sends every packet up here, too wide a one forwards packets wrongly.
//! (A property test takes random packets under a mask and compares what they translate to.)
//!
//! # Design
//! Pure: reads [`pipeline::Snapshot`] and [`Tables`], and writes nothing but numbers of [`frozen`] states. It never fails; the
//! worst is a drop that says why. Depth and work are bounded ([`MAX_DEPTH`], [`MAX_RESUBMITS`], [`MAX_ACTIONS`]), so a loop of
//! resubmits, groups or patch wires costs little and ends in a drop.
//!
//! Read in this order: [`request`] (the types), `walk` (the state of a translation), `run` (from rule to rule), `action` (what
//! each does), `commit` (what became of the packet, as datapath actions), `ingress`, `normal`, `output`, `native` (tunnels out),
//! `terminate` (tunnels in), [`frozen`] (packets that come back), `explain` (for people).

mod action;
mod aggregate;
mod commit;
mod explain;
mod fit;
pub mod frozen;
mod hash;
mod in_band;
mod ingress;
mod inject;
mod memory;
mod native;
mod normal;
mod output;
mod packet;
mod paused;
pub mod request;
mod run;
mod stack;
mod terminate;
pub mod trace;
mod view;
mod walk;
mod ways;

pub use aggregate::hashed;
pub use explain::{Explained, Resumed, Taught, describe, explain, flow_text, options_of};
pub use frozen::{Frozen, Frozens};
pub use inject::{translate_packet_out, translate_resumed};
pub use memory::Memory;
pub use request::{
    Aggregates, Effect, Entered, Fork, Grouped, Learn, LearnRule, MacTables, Met, MeterIds, Needed,
    Programs, Request, Resolve, Shorten, Tables, Translation, Use, Wait,
};
pub use run::REASON_EXPLICIT_MISS;
pub use terminate::show_listeners;
pub use view::View;
pub use walk::{
    MAX_ACTIONS, MAX_DEPTH, MAX_RESUBMITS, translate, translate_tunnel_output, translate_with,
};

#[cfg(test)]
mod tests;
