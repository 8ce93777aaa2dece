//! A packet in a bridge's program: from table to table, rule to rule.
//!
//! # Design
//! Resubmits nest thousands deep, so the rules that a packet is in the middle of are a list of [`Frame`]s, not of calls. What is
//! left to do at any moment is therefore plain to see: when the packet must leave for a while ([`crate::frozen`]), what is left
//! of each frame, innermost first, is what it will go on with.
//!
//! Only what works on a copy of the packet (a clone, a group's bucket, another bridge) is a call, and those are counted by
//! [`MAX_DEPTH`].

use std::sync::Arc;

use flow::DropCause;
use openflow::{Action, Instructions, Port as OpenFlowPort};
use pipeline::{Bridge, KeyMask, Port, Program, Rule};

use crate::packet::Packet;
use crate::request::{Met, Use};
use crate::trace::Kind;
use crate::walk::{MAX_DEPTH, MAX_RESUBMITS, Walk};

/// Bytes that the stack may hold.
const MAX_STACK: usize = 65_536;

/// A packet in a bridge's program.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) bridge: &'a Bridge,
    pub(crate) program: Option<&'a Program>,
    pub(crate) packet: Packet,
    /// What is done when the tables are through with the packet.
    pub(crate) set: Vec<Action>,
    /// Numbers that actions have put by.
    pub(crate) stack: Vec<u128>,
    /// The table that it is in.
    pub(crate) table: u8,
    /// The rule that is being obeyed there.
    pub(crate) rule: Option<Arc<Rule>>,
    /// Whether it is not in another bridge's program at the same time.
    pub(crate) is_first: bool,
    /// Whether this is the bridge that it was received on.
    pub(crate) is_home: bool,
}

/// One step of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StepRef<'s> {
    Action(&'s Action),
    Meter(u32),
    ClearActions,
    WriteActions(&'s [Action]),
    WriteMetadata(u64, u64),
    GotoTable(u8),
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next one.
    Step,
    /// Those of the rule that the packet meets in this table, then the next one. `in_port` stands in for the packet's own
    /// while the rule is looked for.
    Table { table: u8, in_port: Option<u16> },
    /// No more of this list.
    Leave,
    /// No more at all.
    Exit,
}

/// What is being done, and how far.
struct Frame<'s> {
    steps: Steps<'s>,
    at: usize,
    table: u8,
    /// Whether it counts for [`MAX_DEPTH`].
    deepens: bool,
}

/// Where the steps are.
enum Steps<'s> {
    Rule(Arc<Rule>),
    Actions(&'s [Action]),
}

impl<'a> Run<'a> {
    /// A packet that has just come into a bridge.
    pub(crate) fn new(
        bridge: &'a Bridge,
        program: Option<&'a Program>,
        in_port: u16,
        mut packet: Packet,
    ) -> Self {
        packet.key.registers = pipeline::Registers {
            in_port,
            actset_output: OpenFlowPort::UNSET.0,
            ..pipeline::Registers::default()
        };
        let (set, stack) = (Vec::new(), Vec::new());
        Self {
            bridge,
            program,
            packet,
            set,
            stack,
            table: 0,
            rule: None,
            is_first: false,
            is_home: false,
        }
    }

    /// The port that the packet is taken to have come in by.
    pub(crate) fn from(&self) -> Option<&'a Port> {
        self.bridge.port(pipeline::OfPort(self.packet.key.registers.in_port))
    }
}

impl<'a> Walk<'a> {
    /// The packet goes through the tables, from the first.
    pub(crate) fn run_tables(&mut self, run: &mut Run<'a>) {
        let Some(frame) = self.enter_table(run, 0, None, false) else { return };
        self.run_frames(run, frame, run.is_first);
        if !run.is_first {
            self.run_action_set(run);
        }
    }

    /// These actions are done. Says whether the packet's way ends with them.
    pub(crate) fn run_actions(&mut self, run: &mut Run<'a>, actions: &[Action]) -> bool {
        let (table, rule) = (run.table, run.rule.clone());
        let frame = Frame { steps: Steps::Actions(actions), at: 0, table, deepens: false };
        let ended = self.run_frames(run, frame, false);
        (run.table, run.rule) = (table, rule);
        ended
    }

    /// Says whether the packet's way ends here. The reference shows the first bridge's action set as a part of the first table:
    /// `with_set` does it there.
    fn run_frames(&mut self, run: &mut Run<'a>, first: Frame<'_>, with_set: bool) -> bool {
        let mut frames = vec![first];
        let mut ended = false;
        while let Some(frame) = frames.last_mut() {
            let next = if self.too_much {
                Next::Exit
            } else {
                run.table = frame.table;
                frame.at += 1;
                match &frame.steps {
                    Steps::Rule(rule) => {
                        let rule = rule.clone();
                        run.rule = Some(rule.clone());
                        match step(&rule.instructions, frame.at - 1) {
                            Some(step) => self.step(run, step),
                            None => Next::Leave,
                        }
                    }
                    Steps::Actions(actions) => match actions.get(frame.at - 1) {
                        Some(action) => self.step(run, StepRef::Action(action)),
                        None => Next::Leave,
                    },
                }
            };
            match next {
                Next::Step => {}
                Next::Table { table, in_port } => {
                    let deepens = table <= run.table;
                    frames.extend(self.enter_table(run, table, in_port, deepens));
                }
                Next::Leave => {}
                Next::Exit => {
                    ended = true;
                    // All but the first, which is left like the others below.
                    while frames.len() > 1 {
                        self.leave(frames.pop());
                    }
                }
            }
            if matches!(next, Next::Leave | Next::Exit) {
                if with_set && frames.len() == 1 {
                    self.run_action_set(run);
                }
                self.leave(frames.pop());
            }
        }
        ended
    }

    fn leave(&mut self, frame: Option<Frame<'_>>) {
        let Some(frame) = frame else { return };
        self.depth -= u32::from(frame.deepens);
        if matches!(frame.steps, Steps::Rule(_)) {
            self.close();
        }
    }

    /// The packet is looked up in a table.
    fn enter_table<'s>(
        &mut self,
        run: &mut Run<'a>,
        table: u8,
        in_port: Option<u16>,
        deepens: bool,
    ) -> Option<Frame<'s>> {
        if !self.may_resubmit(run) {
            return None;
        }
        let own = run.packet.key.registers.in_port;
        run.packet.key.registers.in_port = in_port.unwrap_or(own);
        let mut looked = KeyMask::any();
        let rule = run.program.and_then(|p| p.lookup(table, &run.packet.key, &mut looked)).cloned();
        run.packet.look(&looked, &mut self.mask);
        run.packet.key.registers.in_port = own;
        self.resubmits += 1;
        self.uses.push(Use::Met(Met { bridge: run.bridge.id, table, rule: rule.clone() }));
        self.open(Kind::Table, || format!("{table:2}. {}", title(rule.as_deref(), run.is_home)));
        let Some(rule) = rule else {
            self.note(Kind::Action, || "drop".into());
            self.close();
            self.give_up(DropCause::Pipeline);
            return None;
        };
        if rule.instructions.is_empty() {
            self.note(Kind::Action, || "drop".into());
        }
        self.depth += u32::from(deepens);
        Some(Frame { steps: Steps::Rule(rule), at: 0, table, deepens })
    }

    /// Whether what has been done so far leaves room for more. If not, that is the end of it.
    fn may_resubmit(&mut self, run: &Run<'a>) -> bool {
        if self.too_much {
            return false;
        }
        if self.depth > MAX_DEPTH {
            self.fail("Recursion too deep", || format!("over max translation depth {MAX_DEPTH}"));
        } else if self.resubmits >= MAX_RESUBMITS {
            self.fail("Too many resubmits", || format!("over {MAX_RESUBMITS} resubmit actions"));
        } else if std::mem::size_of_val(run.stack.as_slice()) >= MAX_STACK {
            self.fail("Stack too deep", || "resubmits yielded over 64 kB of stack".into());
        }
        !self.too_much
    }

    /// Runs `inner` one level deeper, if there is one.
    pub(crate) fn deeper(&mut self, inner: impl FnOnce(&mut Self)) {
        if self.too_much {
            return;
        }
        if self.depth > MAX_DEPTH {
            return self
                .fail("Recursion too deep", || format!("over max translation depth {MAX_DEPTH}"));
        }
        self.depth += 1;
        inner(self);
        self.depth -= 1;
    }

    /// The packet has been through the tables: its action set is done.
    pub(crate) fn run_action_set(&mut self, run: &mut Run<'a>) {
        if run.set.is_empty() || self.too_much {
            return;
        }
        self.open(Kind::Table, || "--. Executing action set:".into());
        let actions = crate::action::set::in_order(&run.set);
        self.run_actions(run, &actions);
        self.close();
    }
}

/// Step number `i`, from 0: instructions act in this order, however they were written.
fn step(instructions: &Instructions, i: usize) -> Option<StepRef<'_>> {
    let meter = instructions.meter.map(StepRef::Meter);
    let apply = instructions.apply.iter().map(StepRef::Action);
    let clear = instructions.clear_actions.then_some(StepRef::ClearActions);
    let write = instructions.write_actions.as_deref().map(StepRef::WriteActions);
    let metadata = instructions.write_metadata.map(|(v, m)| StepRef::WriteMetadata(v, m));
    let goto = instructions.goto_table.map(StepRef::GotoTable);
    let mut all = meter.into_iter().chain(apply).chain(clear).chain(write).chain(metadata);
    all.by_ref().chain(goto).nth(i)
}

/// How a trace names the rule that a packet meets.
fn title(rule: Option<&Rule>, is_first: bool) -> String {
    let Some(rule) = rule else {
        // The reference has a rule for that, and knows it again only on the first bridge.
        return if is_first { "No match." } else { "reg0=0x2, priority 0" }.into();
    };
    let comma = if rule.matching.is_any() { "" } else { ", " };
    let cookie = match rule.cookie {
        0 => String::new(),
        cookie => format!(", cookie {cookie:#x}"),
    };
    format!("{}{comma}priority {}{cookie}", rule.matching, rule.priority)
}
