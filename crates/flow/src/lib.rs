//! The datapath language: what a flow matches on ([`FlowKey`], [`Mask`], [`MaskedKey`]) and what it does ([`Action`]).
//!
//! `xlate` writes it, `datapath` runs it, `text` prints and parses it as `ovs-dpctl` does. Flows and actions are plain data
//! without references into an executor, so that another engine could run them.

pub mod action;
pub mod compose;
pub mod ct;
pub mod dpctl;
pub mod extract;
pub mod hash;
pub mod key;
pub mod nsh;
pub mod options;
pub mod push;
pub mod text;

pub use action::{
    Action, Direction, DropCause, FlowSample, HashMethod, PacketIn, Protocol, SlowReason,
};
pub use ct::Ct;
pub use extract::{Layers, Metadata, extract, extract_into, extract_with};
pub use key::{
    DpPort, FlowKey, Mask, MaskedKey, RecircId, TunnelKey, Vlan, WORDS, erspan_bits, frag,
    tcp_flag, tunnel_flag,
};
pub use nsh::{NshKey, NshPush};
pub use options::OptionMask;
pub use push::{Fit, Sequence, TnlPush, TunnelProtocol};
