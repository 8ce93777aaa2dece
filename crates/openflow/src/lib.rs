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
//! vSwitch refuses as well. The messages of [`Message`].
//!
//! # What is not here yet
//! Groups, queues, table features and table-mods, flow monitors, asynchronous configuration, role status, `NXT_RESUME`,
//! conntrack flushes of more than a zone, IPFIX statistics: such messages are refused as unknown. What tables could do before
//! OpenFlow 1.3 is not printed. Registers 16 to 31 and what is made of
//! them. Names of ports and tables in text. Matching the mere presence of a tunnel option.

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
