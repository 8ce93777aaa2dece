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
use openflow::action::{Controller, SAME_TABLE};
use openflow::message::packet_in::REASON_ACTION;
use openflow::{Action, Field, Instructions, Port as OpenFlowPort, Subfield, Value};
use pipeline::{Bridge, Key, KeyMask, Miss, Options, Port, Program, Rule, TABLES};

use crate::frozen::Step;
use crate::packet::Packet;
use crate::request::{Met, Use};
use crate::stack::Stack;
use crate::trace::Kind;
use crate::walk::{MAX_DEPTH, MAX_RESUBMITS, NO_OPTIONS, Walk};

/// OpenFlow's reasons for sending a packet to controllers that `openflow` has no use for.
pub(crate) const REASON_INVALID_TTL: u8 = 2;
const REASON_ACTION_SET: u8 = 3;
pub(crate) const REASON_GROUP: u8 = 4;
pub(crate) const REASON_PACKET_OUT: u8 = 5;
/// Not OpenFlow's: a rule that matches what no other does says so, which is another matter than that there is none.
pub const REASON_EXPLICIT_MISS: u8 = 6;
/// Not OpenFlow's either: there is none.
const REASON_IMPLICIT_MISS: u8 = 7;

/// Bytes that the stack may hold.
const MAX_STACK: usize = 65_536;

/// Rules that packets are in the middle of, mostly at most.
const FRAMES: usize = 12;

/// A packet in a bridge's program.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) bridge: &'a Bridge,
    pub(crate) program: Option<&'a Program>,
    pub(crate) packet: Packet,
    /// What is done when the tables are through with the packet.
    pub(crate) set: Vec<Action>,
    /// Numbers that actions have put by.
    pub(crate) stack: Stack,
    /// The table that it is in.
    pub(crate) table: u8,
    /// The rule that is being obeyed there.
    pub(crate) rule: Option<&'a Arc<Rule>>,
    /// The cookie of the rule that it had met when it was frozen.
    pub(crate) left_cookie: Option<u64>,
    /// Why controllers get the packet, if they do: one of OpenFlow's reasons.
    pub(crate) reason: u8,
    /// Whether the datapath has computed a hash for it.
    pub(crate) is_hashed: bool,
    /// What is behind its link layer must be looked at again before anybody can know.
    pub(crate) is_unread: bool,
    /// A controller is to say when it goes on.
    pub(crate) pause: Option<Box<Controller>>,
    /// Whether it has come back, and goes on with what was left to do.
    pub(crate) is_thawed: bool,
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
    /// Without an instruction that says so.
    Table(u8),
    /// What follows is of a rule of this table, with this cookie.
    Within(u8, Option<u64>),
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next one.
    Step,
    /// Those of the rule that the packet meets in this table, then the next one.
    Table(Entry),
    /// What is left is for when the packet comes back: with this very step, if `again`.
    Freeze { again: bool },
    /// What is left is done twice: for packets longer than so many bytes, with this bit set, and for all others.
    Branch { len: u16, dst: Subfield },
    /// No more of this list.
    Leave,
    /// No more at all.
    Exit,
}

/// How a packet comes into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) table: u8,
    /// Stands in for the packet's own port while the rule is looked for.
    pub(crate) in_port: Option<u16>,
    /// Whether a packet that meets no rule goes where the table's settings say. Else it goes nowhere.
    pub(crate) goes_on: bool,
}

impl Entry {
    /// As the instruction does.
    pub(crate) fn of(table: u8) -> Self {
        Self { table, in_port: None, goes_on: true }
    }
}

/// What is being done, and how far.
struct Frame<'a, 's> {
    steps: Steps<'a, 's>,
    at: usize,
    place: Place<'a>,
    /// Whether it counts for [`MAX_DEPTH`].
    deepens: bool,
}

/// By whose word something is done. What is done in between, in other tables, does not change it.
#[derive(Clone, Copy)]
struct Place<'a> {
    table: u8,
    rule: Option<&'a Arc<Rule>>,
    left_cookie: Option<u64>,
}

impl<'a> Place<'a> {
    fn of(run: &Run<'a>) -> Self {
        Self { table: run.table, rule: run.rule, left_cookie: run.left_cookie }
    }

    fn cookie(&self) -> Option<u64> {
        self.rule.map(|rule| rule.cookie).or(self.left_cookie)
    }
}

/// Where the steps are.
enum Steps<'a, 's> {
    Rule(&'a Arc<Rule>),
    Actions(&'s [Action]),
    Frozen(&'s [Step]),
}

impl<'a, 's> Frame<'a, 's> {
    /// What is done by the word of which the packet's way is now.
    fn of(run: &Run<'a>, steps: Steps<'a, 's>) -> Self {
        Self { steps, at: 0, place: Place::of(run), deepens: false }
    }

    /// The next step, if there is one.
    fn next(&mut self) -> Option<StepRef<'_>> {
        self.at += 1;
        match &self.steps {
            Steps::Rule(rule) => step(&rule.instructions, self.at - 1),
            Steps::Actions(actions) => actions.get(self.at - 1).map(StepRef::Action),
            Steps::Frozen(steps) => steps.get(self.at - 1).map(Step::as_ref),
        }
    }

    /// What is left of it.
    fn rest(&self) -> Vec<Step> {
        let mut rest = self.all_of_rest();
        // What is nothing to packets is nothing to go on with.
        rest.retain(|step| {
            !matches!(step, Step::Action(Action::Note(_) | Action::Conjunction { .. }))
        });
        rest
    }

    fn all_of_rest(&self) -> Vec<Step> {
        match &self.steps {
            Steps::Rule(rule) => {
                (self.at..).map_while(|i| step(&rule.instructions, i)).map(Step::from).collect()
            }
            Steps::Actions(actions) => {
                let rest = actions.get(self.at..).unwrap_or_default();
                rest.iter().map(|action| StepRef::Action(action).into()).collect()
            }
            Steps::Frozen(steps) => steps.get(self.at..).unwrap_or_default().to_vec(),
        }
    }
}

/// When a packet's action set is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionSet {
    /// At the end of the first table's walk, where the reference shows the first bridge's.
    Within,
    /// When that walk is over.
    Behind,
    /// Not by this walk, which is of a part of the packet's way.
    Later,
}

/// Whether it makes a difference in which table, by which rule, a step is done: controllers may be told of it.
fn knows_its_place(step: StepRef<'_>) -> bool {
    let StepRef::Action(action) = step else { return false };
    match action {
        Action::Output { .. }
        | Action::OutputReg { .. }
        | Action::OutputTrunc { .. }
        | Action::Controller(_)
        | Action::Group(_)
        | Action::DecTtl(_)
        | Action::DecMplsTtl
        | Action::DecNshTtl => true,
        Action::Resubmit { table, .. } => *table == SAME_TABLE,
        Action::Clone(actions) => actions.iter().any(|a| knows_its_place(StepRef::Action(a))),
        _ => false,
    }
}

/// What is left of frames, innermost first.
fn rest(frames: &[Frame<'_, '_>]) -> Vec<Step> {
    let mut steps = Vec::new();
    for frame in frames.iter().rev() {
        let left = frame.rest();
        if left.is_empty() {
            continue;
        }
        // Where the rest is from matters to what may tell controllers of it, or go on from there.
        let at = left.iter().position(|step| knows_its_place(step.as_ref()));
        let (before, after) = left.split_at(at.unwrap_or(left.len()));
        let is_said = before.iter().any(|step| matches!(step, Step::Within(..)));
        let within = Step::Within(frame.place.table, frame.place.cookie());
        let within = Some(within).filter(|_| !is_said && !after.is_empty());
        steps.extend_from_slice(before);
        steps.extend(within);
        steps.extend_from_slice(after);
    }
    steps
}

impl<'a> Run<'a> {
    /// A packet that has just come into a bridge.
    pub(crate) fn new(
        bridge: &'a Bridge,
        program: Option<&'a Program>,
        in_port: u16,
        packet: &Packet,
    ) -> Self {
        // Of what was beside it only the options of the tunnel that it came through come along.
        let registers = pipeline::Registers {
            in_port,
            actset_output: OpenFlowPort::UNSET.0,
            options_present: packet.key.registers.options_present,
            options: packet.key.registers.options,
            ..pipeline::Registers::default()
        };
        let packet = packet.with(Key { flow: packet.key.flow, registers });
        let (set, stack) = (Vec::new(), Stack::default());
        Self {
            bridge,
            program,
            packet,
            set,
            stack,
            table: 0,
            rule: None,
            left_cookie: None,
            reason: REASON_ACTION,
            is_hashed: false,
            is_unread: false,
            pause: None,
            is_thawed: false,
            is_first: false,
            is_home: false,
        }
    }

    /// The cookie of the rule that is being obeyed.
    pub(crate) fn cookie(&self) -> Option<u64> {
        self.rule.map(|rule| rule.cookie).or(self.left_cookie)
    }

    /// Which options of tunnels are fields here.
    pub(crate) fn options(&self) -> &'a Options {
        self.program.map_or(&NO_OPTIONS, |program| program.options())
    }

    /// What a field of the packet holds.
    pub(crate) fn value(&self, field: Field) -> Value {
        self.options().get(&self.packet.key, field)
    }

    /// Overwrites the bits of the field that `mask` selects.
    pub(crate) fn set(&mut self, field: Field, value: &Value, mask: &Value) {
        self.options().set(&mut self.packet.key, field, value, mask);
        self.packet.options_set |= pipeline::options::bit_of(field);
    }

    /// The port that the packet is taken to have come in by.
    pub(crate) fn from(&self) -> Option<&'a Port> {
        self.bridge.port(pipeline::OfPort(self.packet.key.registers.in_port))
    }
}

impl<'a> Walk<'a> {
    /// The packet goes through the tables, from the first.
    pub(crate) fn run_tables(&mut self, run: &mut Run<'a>) {
        self.is_viewed = false;
        let Some(frame) = self.enter_table(run, Entry::of(0), false) else { return };
        let set = if run.is_first { ActionSet::Within } else { ActionSet::Behind };
        self.run_frames(run, frame, set);
        if set == ActionSet::Behind {
            self.run_action_set(run);
        }
    }

    /// These actions are done. Says whether the packet's way ends with them.
    pub(crate) fn run_actions(&mut self, run: &mut Run<'a>, actions: &[Action]) -> bool {
        let Place { table, rule, left_cookie } = Place::of(run);
        let frame = Frame::of(run, Steps::Actions(actions));
        self.is_viewed = false;
        let ended = self.run_frames(run, frame, ActionSet::Later);
        (run.table, run.rule, run.left_cookie) = (table, rule, left_cookie);
        ended
    }

    /// The packet goes on with what was left to do.
    pub(crate) fn run_steps(&mut self, run: &mut Run<'a>, steps: &[Step]) {
        let frame = Frame::of(run, Steps::Frozen(steps));
        self.is_viewed = false;
        self.run_frames(run, frame, ActionSet::Within);
    }

    /// Says whether the packet's way ends here.
    fn run_frames(&mut self, run: &mut Run<'a>, first: Frame<'a, '_>, set: ActionSet) -> bool {
        let mut frames = Vec::with_capacity(FRAMES);
        frames.push(first);
        let mut ended = false;
        while let Some(frame) = frames.last_mut() {
            let next = if self.has_failed() { Next::Exit } else { self.next_step(run, frame) };
            match next {
                Next::Step => {}
                Next::Table(entry) => {
                    let deepens = entry.table <= run.table;
                    frames.extend(self.enter_table(run, entry, deepens));
                }
                Next::Leave => {}
                Next::Freeze { again } => {
                    let cookie = frames.first().and_then(|home| home.place.cookie());
                    let steps = self.unwind(&mut frames, again);
                    self.freeze(run, steps, cookie);
                    return true;
                }
                Next::Branch { len, dst } => {
                    let steps = rest(&frames);
                    self.branch(run, len, dst, &steps, set);
                    // The action set has been done on both branches.
                    if set != ActionSet::Later {
                        run.set.clear();
                    }
                    while let Some(frame) = frames.pop() {
                        self.leave(Some(frame));
                    }
                    return true;
                }
                Next::Exit => {
                    ended = true;
                    // All but the first, which is left like the others below.
                    while frames.len() > 1 {
                        self.leave(frames.pop());
                    }
                }
            }
            if matches!(next, Next::Leave | Next::Exit) {
                if set == ActionSet::Within && frames.len() == 1 {
                    self.run_action_set(run);
                }
                self.leave(frames.pop());
            }
        }
        ended
    }

    fn next_step(&mut self, run: &mut Run<'a>, frame: &mut Frame<'a, '_>) -> Next {
        let Place { table, rule, left_cookie } = frame.place;
        (run.table, run.rule, run.left_cookie) = (table, rule, left_cookie);
        let next = match frame.next() {
            Some(step) => self.step(run, step),
            None => Next::Leave,
        };
        // Going to another table is nothing that happens to it.
        self.is_viewed &= matches!(next, Next::Table(_));
        // A step of what was frozen says by whose word the next ones are.
        frame.place = Place::of(run);
        next
    }

    /// Leaves all frames, and says what is left of them.
    fn unwind(&mut self, frames: &mut Vec<Frame<'a, '_>>, again: bool) -> Vec<Step> {
        if let Some(frame) = frames.last_mut().filter(|_| again) {
            frame.at -= 1;
        }
        let steps = rest(frames);
        while let Some(frame) = frames.pop() {
            self.leave(Some(frame));
        }
        steps
    }

    /// See [`Next::Branch`].
    fn branch(&mut self, run: &Run<'a>, len: u16, dst: Subfield, steps: &[Step], set: ActionSet) {
        self.commit(&run.packet);
        let (done, before) = (self.done, std::mem::take(&mut self.actions));
        let side = |walk: &mut Self, larger: bool| {
            let mut run = run.clone();
            run.is_thawed = false;
            let bit = Value::shifted(dst.field.row().width, larger.into(), dst.from);
            walk.write(&mut run, dst.field, &bit, &dst.mask());
            walk.is_viewed = false;
            walk.done = done;
            walk.deeper(|walk| {
                let frame = Frame::of(&run, Steps::Frozen(steps));
                walk.run_frames(&mut run, frame, set);
                if set == ActionSet::Behind {
                    walk.run_action_set(&mut run);
                }
            });
            std::mem::take(&mut walk.actions)
        };
        let (greater, less_or_equal) = (side(self, true), side(self, false));
        // Each worked on a packet of its own: whoever sent the packet here goes on with it as it was.
        self.done = done;
        self.actions = before;
        self.push(flow::Action::CheckPktLen { len, greater, less_or_equal });
    }

    fn leave(&mut self, frame: Option<Frame<'_, '_>>) {
        if let Some(frame) = frame {
            self.count_out(&frame);
        }
    }

    fn count_out(&mut self, frame: &Frame<'_, '_>) {
        self.depth -= u32::from(frame.deepens);
        if matches!(frame.steps, Steps::Rule(_)) {
            self.close();
        }
    }

    /// The packet is looked up in a table.
    fn enter_table<'s>(
        &mut self,
        run: &mut Run<'a>,
        entry: Entry,
        deepens: bool,
    ) -> Option<Frame<'a, 's>> {
        let Entry { mut table, in_port, goes_on } = entry;
        let (rule, miss) = loop {
            if !self.may_resubmit(run) {
                return None;
            }
            let rule = self.meet(run, table, in_port);
            let miss = match run.program {
                Some(program) if goes_on => program.on_miss(table),
                _ => Miss::Drop,
            };
            // Behind the last table there is none to go on to: it is as if it sent the packet to controllers.
            if rule.is_some() || miss != Miss::Continue || table.saturating_add(1) >= TABLES {
                break (rule, miss);
            }
            table += 1;
        };
        let Some(rule) = rule else {
            let silent = run.from().is_none_or(|port| port.config.no_packet_in);
            self.miss(run, table, miss != Miss::Drop && !silent);
            return None;
        };
        self.open(Kind::Table, || format!("{table:2}. {}", title(rule, run.options())));
        if self.is_traced() && rule.instructions.is_empty() {
            self.note(Kind::Action, || "drop".into());
        }
        self.depth += u32::from(deepens);
        (run.table, run.rule) = (table, Some(rule));
        Some(Frame { deepens, ..Frame::of(run, Steps::Rule(rule)) })
    }

    /// The rule that the packet meets in a table.
    fn meet(
        &mut self,
        run: &mut Run<'a>,
        table: u8,
        in_port: Option<u16>,
    ) -> Option<&'a Arc<Rule>> {
        let own = run.packet.key.registers.in_port;
        let as_it_is = in_port.is_none_or(|port| port == own);
        run.packet.key.registers.in_port = in_port.unwrap_or(own);
        self.is_viewed &= as_it_is;
        let rule = match self.recall(run, table) {
            Some(rule) => rule,
            None => self.look_up(run, table),
        };
        let view = self.view(&run.packet);
        run.packet.key.registers.in_port = own;
        self.is_viewed &= as_it_is;
        self.resubmits += 1;
        self.uses.push(Use::Met(Met { bridge: run.bridge.id, table, rule: rule.cloned(), view }));
        rule
    }

    /// The rule that the packet meets in a table, or that it meets none, if the table has said so to one before.
    fn recall(&mut self, run: &Run<'a>, table: u8) -> Option<Option<&'a Arc<Rule>>> {
        if is_fragment(run) {
            return None;
        }
        let answer = self.memory.as_mut()?.recall(run.bridge.id, table, &run.packet.key)?;
        let rule = answer.rule;
        match answer.moves.then(|| answer.mask()) {
            Some(looked) => self.look(&run.packet, &looked),
            None => run.packet.look_again(answer, &mut self.mask),
        }
        Some(rule)
    }

    /// The same, of the table.
    fn look_up(&mut self, run: &Run<'a>, table: u8) -> Option<&'a Arc<Rule>> {
        let (mut looked, key) = (KeyMask::any(), &run.packet.key);
        let rule = run.program.and_then(|p| p.lookup(table, key, &mut looked));
        self.look(&run.packet, &looked);
        if let Some(memory) = self.memory.as_mut().filter(|_| !is_fragment(run)) {
            memory.note((run.bridge.id, table), key, &looked, rule);
        }
        rule
    }

    /// The packet has met no rule: controllers hear of that, or nobody does.
    fn miss(&mut self, run: &mut Run<'a>, table: u8, told: bool) {
        let title = match (told, run.is_home) {
            (true, true) => "No match, and a \"packet-in\" is called for.",
            (false, true) => "No match.",
            // The reference has rules for both, and knows them again only on the first bridge.
            (true, false) => "reg0=0x1, priority 0",
            (false, false) => "reg0=0x2, priority 0",
        };
        self.open(Kind::Table, || format!("{table:2}. {title}"));
        if told {
            self.note(Kind::Action, || "controller(reason=)".into());
            (run.table, run.rule, run.left_cookie) = (table, None, Some(0));
            let reason = REASON_IMPLICIT_MISS;
            self.controller(run, &Controller { reason, ..Controller::default() });
        } else {
            self.note(Kind::Action, || "drop".into());
            self.give_up(DropCause::Pipeline);
        }
        self.close();
    }

    /// Whether what has been done so far leaves room for more. If not, that is the end of it.
    fn may_resubmit(&mut self, run: &Run<'a>) -> bool {
        if self.has_failed() {
            return false;
        }
        if self.depth > MAX_DEPTH {
            self.fail_by_depth();
        } else if self.resubmits >= MAX_RESUBMITS {
            let why = || format!("over {MAX_RESUBMITS} resubmit actions");
            self.fail(DropCause::TooManyResubmits, why);
        } else if run.stack.size() >= MAX_STACK {
            let why = || "resubmits yielded over 64 kB of stack".into();
            self.fail(DropCause::StackTooDeep, why);
        }
        !self.has_failed()
    }

    fn fail_by_depth(&mut self) {
        self.fail(DropCause::RecursionTooDeep, || {
            format!("over max translation depth {MAX_DEPTH}")
        });
    }

    /// Runs `inner` one level deeper, if there is one.
    pub(crate) fn deeper(&mut self, inner: impl FnOnce(&mut Self)) {
        if self.has_failed() {
            return;
        }
        if self.depth > MAX_DEPTH {
            return self.fail_by_depth();
        }
        self.depth += 1;
        inner(self);
        self.depth -= 1;
    }

    /// The packet has been through the tables: its action set is done.
    pub(crate) fn run_action_set(&mut self, run: &mut Run<'a>) {
        if run.set.is_empty() || self.has_failed() {
            return;
        }
        self.open(Kind::Table, || "--. Executing action set:".into());
        let actions = crate::action::set::in_order(&std::mem::take(&mut run.set));
        run.reason = REASON_ACTION_SET;
        self.run_actions(run, &actions);
        self.close();
    }
}

/// Whether it is a part of a packet, which tables may take for something else than its key says.
fn is_fragment(run: &Run<'_>) -> bool {
    run.packet.key.flow.ip_frag & flow::frag::ANY != 0
}

/// Step number `i`, from 0: instructions act in this order, however they were written.
fn step(instructions: &Instructions, i: usize) -> Option<StepRef<'_>> {
    let i = match instructions.meter {
        Some(meter) if i == 0 => return Some(StepRef::Meter(meter)),
        meter => i - usize::from(meter.is_some()),
    };
    // Most are these.
    if let Some(action) = instructions.apply.get(i) {
        return Some(StepRef::Action(action));
    }
    let clear = instructions.clear_actions.then_some(StepRef::ClearActions);
    let write = instructions.write_actions.as_deref().map(StepRef::WriteActions);
    let metadata = instructions.write_metadata.map(|(v, m)| StepRef::WriteMetadata(v, m));
    let goto = instructions.goto_table.map(StepRef::GotoTable);
    let mut rest = clear.into_iter().chain(write).chain(metadata).chain(goto);
    rest.nth(i - instructions.apply.len())
}

/// How a trace names the rule that a packet meets.
fn title(rule: &Rule, options: &Options) -> String {
    let matching = options.match_text(&rule.matching(options));
    let comma = if matching.is_empty() { "" } else { ", " };
    let cookie = match rule.cookie {
        0 => String::new(),
        cookie => format!(", cookie {cookie:#x}"),
    };
    format!("{matching}{comma}priority {}{cookie}", rule.priority)
}
