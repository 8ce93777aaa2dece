//! The datapath: workers that move packets from port to port as flows say.
//!
//! # What
//! A [`Datapath`] owns worker threads. Each worker owns receive queues, a transmit queue for every port, an exact-match cache
//! and a replica of the megaflow table. A packet's road (see `worker::engine`):
//!
//! ```text
//! receive a batch -> extract keys -> exact-match cache -> megaflows -> group by flow -> act -> transmit, once per round
//!                                                            \-> miss -> bounded queue -> slow path -> put_flow, resume
//! ```
//!
//! # Why so
//! Nothing that is shared is written per packet: statistics are per worker and summed by readers, tables are replicas fed by
//! a queue of commands, so that lookups need no atomics. The slow path is reached by a queue and answers by commands; the
//! datapath never calls upward and knows nothing of OpenFlow, bridges or the database.
//!
//! # Order
//! Packets of one flow leave in the order in which they came, also while the flow is being installed: a worker obeys commands
//! after it has received a batch and before it looks that batch up, and takes back from the miss queue what a new flow
//! answers. When the kernel takes a flow over, nothing of it is held here (`opening`).

mod act;
mod answers;
mod assign;
mod buffers;
mod cache;
mod config;
mod control;
mod counts;
mod desk;
mod drops;
mod entry;
mod history;
mod keeper;
mod mailbox;
mod meters;
mod miss;
mod offload;
mod opening;
mod peers;
mod ports;
mod resolve;
mod schedule;
mod staff;
mod stats;
mod suspicion;
mod table;
mod transmit;
mod usage;
mod worker;

pub use answers::Answers;
pub use assign::Assign;
pub use config::Config;
pub use control::Datapath;
pub use counts::{Counts, FlowStats};
pub use desk::Sleep;
pub use drops::DropReason;
pub use entry::{Flow, Matching, Ufid};
pub use history::{History, Measure, Span};
pub use meters::{
    BANDS_MAX, Band, BandKind, METERS_MAX, MeterConfig, MeterError, MeterStats, MeterUnit,
};
pub use miss::{Claim, Miss, MissQueue, MissReason};
pub use offload::{Active, Offloaded};
pub use ports::{PortInfo, PortKind, Tunnel};
pub use resolve::Resolver;
pub use schedule::{AutoBalance, Schedule};
pub use staff::{QueueInfo, Share, WorkerInfo};
pub use stats::{DpStats, Perf, Stage};
pub use suspicion::{Suspicion, Suspicions, Watch};
pub use table::PutError;

#[cfg(test)]
mod tests;
