//! The datapath language as text, as `ovs-appctl dpctl/dump-flows` prints it and `netdev-dummy/receive` reads it.
//!
//! # What
//! [`FlowText`] prints a key with its mask, [`ActionsText`] a list of actions; [`parse_flow`] and [`parse_actions`] read both
//! back. The form is the reference's, learnt by running it: attribute names, which numbers are decimal, when a mask is left
//! out. Where two of its versions differ the newer form is printed and both are read.
//!
//! # Design
//! An attribute such as `ipv4(src=..,ttl=..)` is a row of a table (`field`): name, and per field name, place in the key, width
//! and notation. The same rows drive printing and parsing, of flows and of `set(..)` actions. What is not of that form (VLAN and
//! MPLS stacks, tunnels, flag words) has its own pair of functions in `special` and `tunnel`.
//!
//! # Values outside the mask
//! The reference prints the key of the packet that made the flow, not the masked key: `ipv4(src=10.0.0.1/255.0.0.0)`. So
//! [`FlowText`] takes key and mask apart; whoever keeps flows for listing keeps the original key.

mod action;
mod ct;
mod field;
mod geneve;
mod key;
mod nsh;
mod parse;
mod push;
mod special;
mod tunnel;
mod userspace;

pub use action::{ActionsText, parse_actions};
pub use key::FlowText;
pub use parse::{flow_options, parse_flow, parse_hex_packet};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::key::DpPort;

/// Names of datapath ports.
pub trait PortNames {
    /// The name of a port, if it has one.
    fn name(&self, port: DpPort) -> Option<Cow<'_, str>>;
    /// The port of a name.
    fn port(&self, name: &str) -> Option<DpPort>;
}

/// No names: ports are numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers;

impl PortNames for Numbers {
    fn name(&self, _: DpPort) -> Option<Cow<'_, str>> {
        None
    }
    fn port(&self, _: &str) -> Option<DpPort> {
        None
    }
}

impl PortNames for BTreeMap<DpPort, String> {
    fn name(&self, port: DpPort) -> Option<Cow<'_, str>> {
        self.get(&port).map(|name| name.as_str().into())
    }
    fn port(&self, name: &str) -> Option<DpPort> {
        self.iter().find(|(_, n)| *n == name).map(|(port, _)| *port)
    }
}

/// A port as its name or number.
struct PortText<'a>(DpPort, &'a dyn PortNames);

impl fmt::Display for PortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.name(self.0) {
            Some(name) => f.write_str(&name),
            None => write!(f, "{}", self.0.0),
        }
    }
}

/// A port from its number or name.
fn parse_port(text: &str, names: &dyn PortNames) -> Option<DpPort> {
    let text = text.trim();
    text.parse().ok().map(DpPort).or_else(|| names.port(text))
}

/// Text that is not a flow or not actions. Says from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The text from the attribute or action on that could not be read.
    pub at: String,
    /// What is wrong with it, where we know better than "syntax error".
    pub why: Option<String>,
}

impl SyntaxError {
    fn at(text: &str) -> Self {
        Self { at: text.to_owned(), why: None }
    }

    fn because(text: &str, why: impl Into<String>) -> Self {
        Self { at: text.to_owned(), why: Some(why.into()) }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "syntax error at {}", self.at)?;
        match &self.why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SyntaxError {}

#[cfg(test)]
mod tests;
