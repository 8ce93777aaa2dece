//! Continuations as bytes: properties in the property of a packet-in that holds them.
//!
//! The properties are Open vSwitch's, in its order, but for one that it does not have and steps over: what the connection's version
//! has no action for (to write into the action set, to clear it; meters before OpenFlow 1.5). Open vSwitch leaves such things out,
//! or puts them among the actions so that it cannot read them again.

use super::action::{self, Context};
use super::property::{self, Property, PropertyKind};
use super::{Reader, Writer};
use crate::action::{Action, Instructions};
use crate::error::{Code, Result};
use crate::message::continuation::{Continuation, LONGEST, Rest};
use crate::version::Version;

/// Numbers of the properties. The lower half of numbers is for what need not be understood.
mod part {
    pub(super) const BRIDGE: u16 = 0x8000;
    pub(super) const STACK: u16 = 0x8001;
    pub(super) const MIRRORS: u16 = 0x8002;
    pub(super) const CONNTRACKED: u16 = 0x8003;
    pub(super) const TABLE: u16 = 0x8004;
    pub(super) const COOKIE: u16 = 0x8005;
    pub(super) const ACTIONS: u16 = 0x8006;
    pub(super) const ACTION_SET: u16 = 0x8007;
    pub(super) const DATAPATH_PORT: u16 = 0x8008;
    /// Ours: instructions as in the version that has most, whatever the connection's.
    pub(super) const INSTRUCTIONS: u16 = 0x80f0;
}

/// The version of [`part::INSTRUCTIONS`].
const OURS: Version = Version::V15;

/// Reads what [`write`] writes, from the first byte behind the padding that precedes it.
///
/// # Errors
/// Properties of wrong length, and actions that make no sense.
pub fn read(mut r: Reader<'_>, version: Version) -> Result<Continuation> {
    let mut all = Continuation::default();
    let (mut table, mut cookie) = (0, 0);
    while !r.is_empty() {
        let property = Property::read(&mut r)?;
        let PropertyKind::Plain(number) = property.kind else { continue };
        match number {
            part::BRIDGE => {
                let mut body = property.exactly(16, 0)?;
                // Words in the order of the machine's bytes; nearly all machines begin with the low one.
                let mut word = || body.array().map(u32::from_le_bytes);
                all.bridge = Some([word()?, word()?, word()?, word()?]);
            }
            part::STACK => {
                let mut body = property.body;
                if body.left() > LONGEST {
                    return Err(property.error(Code::OFPBPC_BAD_LEN));
                }
                all.stack.push(body.take_rest().to_vec());
            }
            part::MIRRORS => all.mirrors = property.u32()?,
            part::CONNTRACKED => all.conntracked = true,
            part::TABLE => table = property.u8()?,
            part::COOKIE => cookie = property.u64()?,
            part::ACTIONS => {
                let actions = read_actions(&property, version)?;
                let instructions = Instructions::default();
                all.rest.push(Rest { table, cookie, actions, instructions });
            }
            part::INSTRUCTIONS => {
                let mut body = property.body;
                body.take(4, Code::OFPBPC_BAD_LEN)?;
                let mut instructions = action::read_instructions(body, OURS)?;
                let actions = std::mem::take(&mut instructions.apply);
                match all.rest.last_mut() {
                    // They go on where the actions before them end.
                    Some(rest)
                        if (rest.table, rest.cookie) == (table, cookie)
                            && rest.instructions.is_empty() =>
                    {
                        rest.actions.extend(actions);
                        rest.instructions = instructions;
                    }
                    _ => all.rest.push(Rest { table, cookie, actions, instructions }),
                }
            }
            part::ACTION_SET => all.action_set.extend(read_actions(&property, version)?),
            part::DATAPATH_PORT => all.datapath_port = Some(property.u32()?),
            _ => {}
        }
    }
    Ok(all)
}

fn read_actions(property: &Property<'_>, version: Version) -> Result<Vec<Action>> {
    let mut body = property.body;
    body.take(4, Code::OFPBPC_BAD_LEN)?;
    action::read(body, version)
}

/// Writes a continuation for a connection of `version`.
pub fn write(w: &mut Writer, all: &Continuation, version: Version) {
    let actions = |w: &mut Writer, number: u16, actions: &[Action]| {
        property::write(w, number, |w| {
            w.zeros(4);
            action::write(w, actions, Context::any(version));
        });
    };
    if let Some(bridge) = all.bridge {
        property::write(w, part::BRIDGE, |w| {
            bridge.iter().for_each(|word| w.bytes(&word.to_le_bytes()));
        });
    }
    for value in &all.stack {
        property::write(w, part::STACK, |w| w.bytes(value));
    }
    if all.mirrors != 0 {
        property::write(w, part::MIRRORS, |w| w.u32(all.mirrors));
    }
    if all.conntracked {
        property::write(w, part::CONNTRACKED, |_| ());
    }
    // A set that this version cannot say is written anew, before anything else happens.
    let is_split = !all.action_set.iter().all(|action| fits(action, version));
    if is_split {
        let write_actions = Some(all.action_set.clone());
        write_ours(w, &Instructions { write_actions, ..Instructions::default() });
    }
    let (mut table, mut cookie) = (0, 0);
    for rest in &all.rest {
        if std::mem::replace(&mut table, rest.table) != rest.table {
            property::write(w, part::TABLE, |w| w.u8(rest.table));
        }
        if std::mem::replace(&mut cookie, rest.cookie) != rest.cookie {
            property::write(w, part::COOKIE, |w| {
                w.zeros(4);
                w.u64(rest.cookie);
            });
        }
        for run in rest.actions.chunk_by(|a, b| fits(a, version) == fits(b, version)) {
            if run.iter().any(|action| fits(action, version)) {
                actions(w, part::ACTIONS, run);
            } else {
                write_ours(w, &Instructions::apply(run.to_vec()));
            }
        }
        if rest.is_empty() {
            actions(w, part::ACTIONS, &[]);
        }
        if !rest.instructions.is_empty() {
            write_ours(w, &rest.instructions);
        }
    }
    if !is_split && !all.action_set.is_empty() {
        actions(w, part::ACTION_SET, &all.action_set);
    }
    if let Some(port) = all.datapath_port {
        property::write(w, part::DATAPATH_PORT, |w| w.u32(port));
    }
}

/// Whether a version has a way to say that.
fn fits(action: &Action, version: Version) -> bool {
    if let Action::Clone(inner) = action {
        return inner.iter().all(|action| fits(action, version));
    }
    let mut w = Writer::new();
    action::write(&mut w, std::slice::from_ref(action), Context::any(version));
    !w.is_empty()
}

fn write_ours(w: &mut Writer, instructions: &Instructions) {
    property::write(w, part::INSTRUCTIONS, |w| {
        w.zeros(4);
        action::write_instructions(w, instructions, Context::any(OURS));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Port;

    #[test]
    fn what_was_written_is_read() {
        let output = |port: u16| vec![Action::Output { port: Port(port), max_len: 0 }];
        let set = Instructions {
            clear_actions: true,
            write_actions: Some(output(4)),
            ..Instructions::default()
        };
        let all = Continuation {
            bridge: Some([1, 2, 3, 4]),
            stack: vec![vec![5], vec![], vec![0; LONGEST]],
            mirrors: 6,
            conntracked: true,
            rest: vec![
                Rest { table: 7, cookie: 8, actions: output(9), ..Rest::default() },
                Rest { table: 7, cookie: 10, ..Rest::default() },
                Rest { actions: output(9), instructions: set.clone(), ..Rest::default() },
                Rest { instructions: set.clone(), ..Rest::default() },
                Rest { instructions: set, ..Rest::default() },
            ],
            action_set: output(11),
            datapath_port: Some(12),
        };
        for version in Version::ALL {
            let mut w = Writer::new();
            write(&mut w, &all, version);
            let bytes = w.into_bytes();
            assert_eq!(read(Reader::new(&bytes, "continuation"), version).as_ref(), Ok(&all));
        }
    }
}
