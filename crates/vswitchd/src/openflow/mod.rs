//! OpenFlow's place in the daemon: what the crate `ofproto` is told of bridges, and what it asks of them.
//!
//! Controllers' connections have a thread of their own, which sees a bridge through a [`BridgeSwitch`]. What only the daemon's
//! loop can do (devices are its own) comes to it by a [`Mailbox`].

mod bridge;
mod mailbox;
mod settings;

pub use bridge::{BridgeSwitch, PlaneEvents, PortHandle};
pub use mailbox::{Mailbox, PortChange};
pub(crate) use settings::tls;
pub use settings::{Complaint, Wanted, read};
