//! Many messages as one.

use base::Instant;
use openflow::Error;
use openflow::message::group::GroupMod;
use openflow::message::meter::MeterMod;

use super::{Changes, Program};
use crate::request::Request;

/// A message that changes a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Edit {
    Flow(Request),
    Group(GroupMod),
    Meter(MeterMod),
}

/// Which message of a bundle cannot be done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its place among them.
    pub index: usize,
    /// What is wrong with it.
    pub error: Error,
}

impl Program {
    /// Does all that these messages ask, in their order and as one version; or nothing (OpenFlow 1.4, 6.8).
    ///
    /// # Errors
    /// The first message that fails, given what those before it have done.
    pub fn bundle(&mut self, edits: &[Edit], now: Instant) -> Result<Changes, Failed> {
        self.whole(|this, changes| {
            edits.iter().enumerate().try_for_each(|(index, edit)| {
                let done = match edit {
                    Edit::Flow(request) => this.flow_mod_step(request, now, changes),
                    Edit::Group(request) => this.group_mod_step(request, now, changes),
                    Edit::Meter(request) => this.meter_mod_step(request, now, changes),
                };
                done.map_err(|error| Failed { index, error })
            })
        })
    }
}
