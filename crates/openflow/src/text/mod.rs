//! Text as `ovs-ofctl` reads and writes it.

pub mod action;
pub mod color;
pub mod ct_flush;
pub mod exact;
mod fields;
pub mod flow;
pub mod group;
pub mod key_value;
pub mod matching;
pub mod message;
pub mod monitor;
pub mod names;
pub mod number;
pub mod oxm;
mod port;
pub mod subfield;
pub mod table;
pub mod unmatched;
pub mod value;
