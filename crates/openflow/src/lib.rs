//! OpenFlow: the language that controllers and `ovs-ofctl` speak to a bridge.
//!
//! # What
//! One [`Message`] for all versions of OpenFlow, 1.0 to 1.5, and for Nicira's extensions; what is in it: [`Match`], [`Action`],
//! [`Instructions`](action::Instructions); and two ways to write it:
//!
//! - [`wire`]: bytes. The only place that knows versions. [`wire::decode`] and [`wire::encode`].
//! - [`text`]: what `ovs-ofctl` reads and prints.
//!
//! Both lean on one table of [fields](field): name, width, mask, prerequisites, numbers on the wire.
//!
//! # Why so
//! A switch that keeps the version of a rule's author in its tables asks "which version?" everywhere. Here a rule is what it
//! means. A [`Protocol`] is chosen once per connection, and only encoders look at it.
//!
//! What a peer or an operator says is taken for an attack until it is parsed: a [`Reader`](wire::Reader) cannot read beyond
//! what it was given, actions nest [so deep](wire::action::DEEPEST) and no deeper, an error says what was read, where, what
//! stood there, and which of OpenFlow's codes it is.
//!
//! This crate is a function of its arguments: no sockets, no threads, no clock. Connections and state are other crates'.
//!
//! # What is here
//! Every field that ovs-fields(7) of Open vSwitch 3.1 lists, but `skb_priority` on the wire, which has no number there. Matches
//! in all five forms. All actions and instructions of all versions and of Nicira, but PBB's and those that copy TTLs, which Open
//! vSwitch refuses as well. Every message that `ovs-ofctl ofp-print` of that release knows: one table ([`wire`]'s `shape`) says
//! which number each has in which version. Names of ports and tables in text, both ways: [`text::names`].
//!
//! What nobody here knows is refused with the code that the standards give: messages, actions and instructions always,
//! properties where a switch is asked to do something. In what a switch tells, unknown properties and fields are left out.
//!
//! # What is not here yet
//! OpenFlow 1.5's status of controllers and features of bundles. Intel's counters of packet sizes. Flushing connections by mark
//! or label. Registers 16 to 31 and what is made of them. Matching the mere presence of a tunnel option. Names of ports in
//! `set_field` and `learn`.

pub mod action;
pub mod consistency;
pub mod error;
pub mod field;
pub mod matching;
pub mod message;
pub mod port;
pub mod text;
pub mod version;
pub mod wire;

pub use action::{Action, Instructions, Subfield};
pub use error::{Code, Error};
pub use field::{Field, Value};
pub use matching::Match;
pub use message::Message;
pub use port::Port;
pub use version::{Protocol, Protocols, Version};
