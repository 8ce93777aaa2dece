//! What is refused before a rule or a group is taken: references to what is not there. Whether actions fit packets, and whether
//! `goto_table` goes forward, the decoder has seen to ([`openflow::consistency`]).
//!
//! As with Open vSwitch, a rule must find its groups and its meters; ports need not exist, nor the meters of packets for
//! controllers, nor what buckets of groups refer to, for groups come and go in any order.

use openflow::{Action, Code, Error, Instructions};

use super::store::{Reference, flatten, for_each_action, for_each_reference};
use super::{Program, option_mod, refuse};

/// Whether the program has what a rule uses.
pub(super) fn check(program: &Program, all: &Instructions) -> Result<(), Error> {
    let mut first = Ok(());
    for_each_action(all, |action| {
        if let (Ok(()), Err(code)) = (&first, option_mod::check(action, &program.options)) {
            first = Err(refuse(code, "tunnel option"));
        }
    });
    for_each_reference(all, |reference| {
        let missing = match reference {
            Reference::Group(id) if program.group(id).is_none() => {
                refuse(Code::OFPBAC_BAD_OUT_GROUP, "group")
            }
            Reference::Meter(id) if program.meter(id).is_none() => {
                refuse(Code::OFPMMFC_INVALID_METER, "meter")
            }
            _ => return,
        };
        if first.is_ok() {
            first = Err(missing);
        }
    });
    first
}

impl Program {
    /// Whether what these instructions use is there: to ask before a packet is sent by them. Rules are asked by themselves.
    ///
    /// # Errors
    /// `OFPBAC_BAD_OUT_GROUP`, `OFPMMFC_INVALID_METER`.
    pub fn check(&self, instructions: &Instructions) -> Result<(), Error> {
        check(self, instructions)
    }
}

/// The groups that actions go to.
pub(super) fn groups_of(actions: &[Action]) -> Vec<u32> {
    let mut groups = Vec::new();
    flatten(actions, &mut |action| {
        if let Action::Group(id) = action {
            groups.push(*id);
        }
    });
    groups
}
