//! Actions that make rules.

use super::Subfield;
use crate::field::Value;
use crate::message::flow_mod::DEFAULT_PRIORITY;

/// Where a part of the new rule comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The packet.
    Field(Subfield),
    /// Here.
    Immediate(Value),
}

/// What of the new rule it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Something to match.
    Match(Subfield),
    /// A field to set.
    Load(Subfield),
    /// A port to send to.
    Output,
}

/// One part of the new rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// How many bits; as many as source and destination have.
    pub bits: u32,
    /// From where.
    pub source: Source,
    /// To where.
    pub destination: Destination,
}

/// A rule to make for each packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Learn {
    pub idle_timeout: u16,
    pub hard_timeout: u16,
    pub fin_idle_timeout: u16,
    pub fin_hard_timeout: u16,
    pub priority: u16,
    pub cookie: u64,
    pub table: u8,
    pub send_flow_rem: bool,
    /// The learned rules go when this one goes.
    pub delete_learned: bool,
    /// How many rules of this cookie there may be; 0 for any number.
    pub limit: u32,
    /// The bit that says whether the limit allowed it.
    pub result: Option<Subfield>,
    pub specs: Vec<Spec>,
}

impl Default for Learn {
    fn default() -> Self {
        Learn {
            idle_timeout: 0,
            hard_timeout: 0,
            fin_idle_timeout: 0,
            fin_hard_timeout: 0,
            priority: DEFAULT_PRIORITY,
            cookie: 0,
            table: 1,
            send_flow_rem: false,
            delete_learned: false,
            limit: 0,
            result: None,
            specs: Vec::new(),
        }
    }
}
