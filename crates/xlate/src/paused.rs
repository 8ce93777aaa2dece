//! What a packet that waits for a controller goes on with, as the controller keeps it meanwhile: a [`Continuation`].
//!
//! # Why
//! The switch remembers nothing of such a packet. All that it must know comes back with the packet, perhaps by another
//! connection, perhaps to a switch that has been restarted since, perhaps changed: nothing in it is trusted more than actions
//! that a controller writes into a rule.

use openflow::message::continuation::{Continuation, Rest};
use openflow::port::Port;
use openflow::{Action, Field, Instructions, Value};
use pipeline::{BridgeId, Key};

use crate::action::set::output_of;
use crate::frozen::{Frozen, Kept, Step};
use crate::stack::Stack;

/// The cookie of what is of no rule.
const NO_COOKIE: u64 = u64::MAX;

impl Frozen {
    /// This, for a controller to keep. `bridge` is [`pipeline::Bridge::uuid`], `key` the packet as it left.
    pub fn to_continuation(&self, bridge: [u32; 4], key: &flow::FlowKey) -> Continuation {
        Continuation {
            bridge: Some(bridge),
            stack: self.stack.to_bytes(),
            mirrors: 0,
            conntracked: key.ct_state != 0,
            rest: rest(&self.steps),
            action_set: self.set.clone(),
            datapath_port: Some(key.in_port),
        }
    }

    /// What a controller has kept, with what it says of the packet that comes back.
    pub fn of_continuation(all: &Continuation, bridge: BridgeId, key: &Key) -> Frozen {
        let mut registers = key.registers;
        registers.actset_output = output_of(&all.action_set);
        Frozen {
            bridge,
            table: 0,
            cookie: Some(0),
            registers,
            options: Kept::All,
            tunnel: key.flow.tunnel,
            tunnel_set: flow::Mask::exact().0.tunnel,
            is_hashed: false,
            stack: Stack::of_bytes(&all.stack),
            set: all.action_set.clone(),
            steps: steps(&all.rest),
            message: None,
            leaves_by: None,
        }
    }
}

/// Steps as actions, as far as there are actions for them.
fn rest(steps: &[Step]) -> Vec<Rest> {
    let mut all = Vec::new();
    let mut now = Rest::default();
    for step in steps {
        // Instructions come last.
        let fits = match step {
            Step::Within(..) => false,
            Step::WriteActions(_) => now.instructions.write_actions.is_none(),
            Step::ClearActions => now.instructions == Instructions::default(),
            _ => now.instructions.is_empty(),
        };
        if !fits {
            let empty = Rest { table: now.table, cookie: now.cookie, ..Rest::default() };
            let done = std::mem::replace(&mut now, empty);
            all.extend(Some(done).filter(|done| !done.is_empty()));
        }
        match step {
            Step::Within(table, cookie) => {
                (now.table, now.cookie) = (*table, cookie.unwrap_or(NO_COOKIE));
            }
            Step::ClearActions => now.instructions.clear_actions = true,
            Step::WriteActions(actions) => now.instructions.write_actions = Some(actions.clone()),
            Step::Action(action) => now.actions.push(action.clone()),
            Step::Meter(id) => now.actions.push(Action::Meter(*id)),
            Step::WriteMetadata(value, mask) => now.actions.push(Action::SetField {
                field: Field::Metadata,
                value: Value::Int((*value).into()),
                mask: Value::Int((*mask).into()),
            }),
            Step::GotoTable(table) | Step::Table(table) => {
                let port = Port::IN_PORT;
                now.actions.push(Action::Resubmit { port, table: *table, with_ct: false });
            }
        }
    }
    all.extend(Some(now).filter(|now| !now.is_empty()));
    all
}

fn steps(all: &[Rest]) -> Vec<Step> {
    let mut steps = Vec::new();
    for Rest { table, cookie, actions, instructions } in all {
        steps.push(Step::Within(*table, Some(*cookie).filter(|cookie| *cookie != NO_COOKIE)));
        steps.extend(instructions.meter.map(Step::Meter));
        let apply = actions.iter().chain(&instructions.apply);
        steps.extend(apply.cloned().map(Step::Action));
        steps.extend(instructions.clear_actions.then_some(Step::ClearActions));
        steps.extend(instructions.write_actions.clone().map(Step::WriteActions));
        let metadata = instructions.write_metadata;
        steps.extend(metadata.map(|(value, mask)| Step::WriteMetadata(value, mask)));
        steps.extend(instructions.goto_table.map(Step::GotoTable));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::Version;
    use openflow::wire::{Reader, Writer, continuation};

    #[test]
    fn every_step_survives_every_version() {
        let output = |n: u16| Action::Output { port: Port(n), max_len: 0 };
        let kept = vec![
            Step::Action(Action::PopPbb),
            Step::Action(output(1)),
            Step::WriteActions(vec![output(2), Action::Group(7)]),
            Step::ClearActions,
            Step::Within(3, Some(9)),
            Step::Meter(4),
            Step::Action(Action::Clone(vec![output(5), Action::CopyTtlOut])),
            Step::WriteActions(vec![Action::PopPbb]),
            Step::Within(8, None),
            Step::WriteMetadata(5, 0xff),
            Step::GotoTable(6),
        ];
        let state = Frozen { steps: kept, ..empty() };
        let given = state.to_continuation([1, 2, 3, 4], &flow::FlowKey::default());
        let whole = plain(&steps(&given.rest));
        assert_eq!(whole.iter().filter(|step| !matches!(step, Step::Within(..))).count(), 9);
        for version in Version::ALL {
            let mut w = Writer::new();
            continuation::write(&mut w, &given, version);
            let bytes = w.into_bytes();
            let back = continuation::read(Reader::new(&bytes, "continuation"), version).unwrap();
            assert_eq!(plain(&steps(&back.rest)), whole, "{version:?}");
        }
    }

    #[test]
    fn what_the_action_set_sends_is_known_again() {
        let action_set = vec![Action::Output { port: Port(3), max_len: 0 }];
        let all = Continuation { action_set, ..Continuation::default() };
        let frozen = Frozen::of_continuation(&all, BridgeId(1), &Key::default());
        assert_eq!(frozen.registers.actset_output, 3);
    }

    fn empty() -> Frozen {
        Frozen::of_continuation(&Continuation::default(), BridgeId(1), &Key::default())
    }

    /// With each change of place said once, and whatever writes a field as bits of it.
    fn plain(steps: &[Step]) -> Vec<Step> {
        let mut place = None;
        let is_news = |step: &&Step| match step {
            Step::Within(..) => place.replace((*step).clone()).as_ref() != Some(*step),
            _ => true,
        };
        let all = steps.iter().filter(is_news).cloned();
        all.map(|step| match step {
            Step::Action(Action::Load { dst, value }) => Step::Action(Action::SetField {
                field: dst.field,
                value: Value::shifted(dst.field.row().width, value.into(), dst.from),
                mask: dst.mask(),
            }),
            step => step,
        })
        .collect()
    }
}
