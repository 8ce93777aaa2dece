//! A flow-mod as tables understand it.

use std::sync::Arc;

use classifier::Sparse;
use openflow::message::FlowMod;
use openflow::message::flow_mod::{Command, Head};
use openflow::{Code, Field, Instructions, Match};

use crate::options::Options;
use crate::pattern::{LAYOUT, terms};
use crate::program::INTERNAL_TABLE;

/// What rules match only if they are the switch's own: it changes what the packets of their own making meet.
const NOT_FOR_CONTROLLERS: [Field; 2] = [Field::RecircId, Field::DpHash];

/// See the module. Small, and what it shares with others is not copied: a bundle can hold a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// All but what rules match and do.
    pub head: Head,
    pub(crate) pattern: Asked,
    /// Whether it matches what controllers' rules may not.
    pub(crate) is_foreign: bool,
    pub(crate) instructions: Arc<Instructions>,
}

/// What rules are to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// As tables keep it.
    Pattern(Sparse),
    /// With options of tunnels: where those are in keys is known when it is done, by the bridge's TLV table of that moment.
    Options(Arc<Match>),
}

impl Asked {
    fn new(matching: &Match) -> Asked {
        match terms(matching, &Options::NONE) {
            Some(terms) => Asked::Pattern(Sparse::from_terms(&LAYOUT, terms)),
            None => Asked::Options(Arc::new(matching.clone())),
        }
    }

    /// As tables keep it; `None` on an option that there is no place for.
    pub(crate) fn pattern(&self, options: &Options) -> Option<Sparse> {
        match self {
            Asked::Pattern(pattern) => Some(pattern.clone()),
            Asked::Options(matching) => {
                terms(matching, options).map(|terms| Sparse::from_terms(&LAYOUT, terms))
            }
        }
    }

    /// The pattern, if it is the same whatever the TLV table says.
    pub(crate) fn fixed(self) -> Option<Sparse> {
        match self {
            Asked::Pattern(pattern) => Some(pattern),
            Asked::Options(_) => None,
        }
    }
}

impl Request {
    /// What a flow-mod asks.
    pub fn new(flow_mod: &FlowMod) -> Request {
        Request {
            head: flow_mod.head(),
            pattern: Asked::new(&flow_mod.matching),
            is_foreign: NOT_FOR_CONTROLLERS.iter().any(|field| flow_mod.matching.has(*field)),
            instructions: Arc::new(flow_mod.instructions.clone()),
        }
    }

    /// Whether controllers may add such a rule at all, whatever rules there are.
    ///
    /// # Errors
    /// `OFPBRC_EPERM` if they may not.
    pub fn permitted(&self) -> Result<(), Code> {
        let is_own = self.is_foreign || self.head.table == INTERNAL_TABLE;
        if is_own && self.head.command == Command::Add { Err(Code::OFPBRC_EPERM) } else { Ok(()) }
    }
}
