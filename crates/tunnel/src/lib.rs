//! Tunnels, as pure tables and functions: what the switch must know to wrap a packet for another host and to recognise one
//! that arrives.
//!
//! # What
//! A tunnel port is not a device. Sending through it means: find the [`Endpoint`]'s remote address in the [`Routes`], learn
//! which bridge leads there and with which source address, find the next hop's hardware address among the [`Neighbours`],
//! build the outer header once ([`encap`]), and go on as a packet of the underlay bridge. Receiving means: a packet for one
//! of the host's own addresses and a tunnel's UDP port is unwrapped and matched with an endpoint ([`Endpoints`]).
//!
//! # Design
//! Tables are plain values with a [`base::Version`] that grows when an answer may differ from before; whoever compiled an
//! answer into a flow compares versions. Time is an argument, requests that must be sent are returned. [`state`] asks the
//! same tables what a person asks: is this tunnel up, and if not, why.
//!
//! Read in this order: [`endpoint`], [`endpoints`], [`route`], [`neighbour`], [`encap`], [`state`].

pub mod ecn;
pub mod encap;
pub mod endpoint;
pub mod endpoints;
pub mod fit;
pub mod neighbour;
pub mod peers;
pub mod prefix;
pub mod reassembly;
pub mod route;
pub mod state;
pub mod waiting;

pub use encap::{Outer, SourcePorts};
pub use endpoint::{
    Arrival, Carries, Endpoint, InKey, Key, Kind, Local, OptionError, OutKey, Remote, Sizes, Tos,
    Ttl,
};
pub use endpoints::{DuplicateEndpoint, EndpointId, Endpoints, Listener};
pub use neighbour::{Lookup, NeighbourState, Neighbours, Observed, Solicit};
pub use peers::Peers;
pub use prefix::Prefix;
pub use reassembly::Reassembly;
pub use route::{NextHop, Route, Routes};
pub use state::{Reason, TunnelState, TunnelStates};
pub use waiting::Waiting;
