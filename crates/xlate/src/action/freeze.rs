//! Letting a packet go, to go on when it comes back; and telling controllers of packets, which is much the same: what they are
//! told is kept under a number, and the datapath sends the packet up with it.

use flow::{Action as Datapath, DropCause, FlowKey, PacketIn, RecircId, SlowReason};
use openflow::action::Controller;

use pipeline::{Key, OfPort, Options, PortRef, Registers};

use crate::frozen::{Frozen, Kept, Message, Step};
use crate::packet::Packet;
use crate::request::Use;
use crate::run::{Next, REASON_EXPLICIT_MISS, Run};
use crate::stack::Stack;
use crate::trace::Kind;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// The state of a packet that has this left to do.
    fn state(&mut self, run: &Run<'a>, steps: Vec<Step>, message: Option<Message>) -> Frozen {
        let (registers, options) = kept(run.options(), &run.packet);
        Frozen {
            bridge: run.bridge.id,
            table: run.table,
            cookie: run.cookie(),
            registers,
            options,
            tunnel: run.packet.own_tunnel(),
            tunnel_set: run.packet.tunnel_set,
            is_hashed: run.is_hashed,
            stack: run.stack.clone(),
            set: run.set.clone(),
            steps,
            message,
            leaves_by: None,
        }
    }

    /// The number of a state, for as long as the flow that comes of this translation lasts.
    pub(crate) fn number(&mut self, frozen: Frozen) -> Option<RecircId> {
        let Some((id, frozen)) = self.tables.frozens.id(frozen) else {
            self.fail(DropCause::NoRecirculationContext, || "no recirculation id is left".into());
            return None;
        };
        self.uses.push(Use::Frozen(id, frozen));
        Some(id)
    }

    /// Keeps what is beside a packet that waits to leave by a tunnel.
    pub(crate) fn keep(&mut self, at: PortRef, packet: &Packet) -> Option<RecircId> {
        let id = self.number(Frozen {
            bridge: at.bridge,
            table: 0,
            cookie: None,
            registers: packet.key.registers,
            // Those that go into the new header were looked at.
            options: Kept::All,
            tunnel: packet.own_tunnel(),
            tunnel_set: packet.tunnel_set,
            is_hashed: false,
            stack: Stack::default(),
            set: Vec::new(),
            steps: Vec::new(),
            message: None,
            leaves_by: None,
        })?;
        if id.0 >> 24 != 0 {
            self.fail(DropCause::NoRecirculationContext, || "no number is left".into());
            return None;
        }
        Some(id)
    }

    /// The packet goes round through the datapath, and on with these steps.
    /// `cookie` is that of the rule by whose word all of them are.
    pub(crate) fn freeze(&mut self, run: &mut Run<'a>, steps: Vec<Step>, cookie: Option<u64>) {
        let pause = run.pause.take();
        let message = pause.as_deref().map(|c| message(run, c));
        let mut frozen = self.state(run, steps, message);
        (frozen.table, frozen.cookie) = (0, cookie);
        // What is put by goes with it.
        run.set.clear();
        run.stack.clear();
        self.commit(&run.packet);
        match pause {
            Some(_) => self.tell(run, frozen),
            None => {
                if let Some(id) = self.number(frozen) {
                    self.push(Datapath::Recirc(id));
                }
            }
        }
    }

    /// A copy of the packet, as it is by now, goes round through the datapath and on in a table.
    pub(crate) fn fork_to_table(&mut self, run: &Run<'a>, table: u8) -> Option<RecircId> {
        let mut state = self.state(run, vec![Step::Table(table)], None);
        (state.table, state.cookie) = (table, None);
        self.number(state)
    }

    /// A controller hears of the packet as it is by now.
    pub(crate) fn controller(&mut self, run: &mut Run<'a>, action: &Controller) -> Next {
        if action.pause {
            run.pause = Some(Box::new(action.clone()));
            return Next::Freeze { again: false };
        }
        self.commit(&run.packet);
        let frozen = self.state(run, Vec::new(), Some(message(run, action)));
        self.tell(run, frozen);
        Next::Step
    }

    /// As an output to the controllers' port does.
    pub(crate) fn controller_port(&mut self, run: &mut Run<'a>, max_len: u16) -> Next {
        self.controller(run, &Controller { max_len, ..Controller::default() })
    }

    fn tell(&mut self, run: &Run<'a>, frozen: Frozen) {
        let Some(message) = frozen.message.clone() else { return };
        let asked = message.meter.unwrap_or(pipeline::meter::CONTROLLER);
        let meter = self.tables.meters.get(&(run.bridge.id, asked)).copied();
        let Some(state) = self.number(frozen) else { return };
        let tell = Datapath::Userspace(SlowReason::Controller(PacketIn {
            reason: message.reason,
            dont_send: false,
            continuation: message.pause,
            state,
            cookie: run.cookie().unwrap_or(u64::MAX),
            controller_id: message.controller,
            max_len: message.max_len,
        }));
        match meter {
            // The meter holds back messages, not the packet. (The reference writes a copy for all packets this way.)
            Some(meter) => {
                let actions = vec![Datapath::Meter(meter), tell];
                self.push(Datapath::Sample { probability: u32::MAX, actions });
            }
            None => self.push(tell),
        }
    }

    /// The packet has come back.
    pub(crate) fn thaw(&mut self, frozen: &Frozen, key: &FlowKey) {
        let Some(bridge) = self.snapshot.bridge(frozen.bridge) else {
            return self.give_up(DropCause::BridgeNotFound);
        };
        let program = self.tables.programs.get(&bridge.id);
        let mut packet = Packet::new(key);
        if let Some(home) = frozen.leaves_by {
            return self.leave_hashed(bridge, home, packet);
        }
        packet.key.flow.tunnel = frozen.tunnel_of(&key.tunnel);
        packet.set_tunnel(&frozen.tunnel_set);
        let mut run = Run::new(bridge, program, 0, &packet);
        run.packet.key.registers = frozen.registers_of(run.options(), self.options);
        if let Kept::Only(fields) = frozen.options {
            self.known_options = run.options();
            (run.packet.has_options, run.packet.options_set) = (true, fields);
        }
        (run.stack, run.set) = (frozen.stack.clone(), frozen.set.clone());
        (run.table, run.left_cookie) = (frozen.table, frozen.cookie);
        (run.is_first, run.is_home, run.is_thawed) = (true, true, true);
        run.is_hashed = frozen.is_hashed;
        self.first = Some(Box::new(run.packet.key));
        self.in_port = Some(PortRef { bridge: bridge.id, port: OfPort(frozen.registers.in_port) });
        self.open(Kind::Bridge, || format!("bridge(\"{}\")", bridge.name));
        self.open(Kind::Thaw, || "thaw".into());
        let from = match frozen.steps.as_slice() {
            [Step::Table(table)] => *table,
            // That of what is left to do is said with it.
            _ => 0,
        };
        self.note(Kind::Thaw, || format!("Resuming from table {from}"));
        if !frozen.set.is_empty() {
            let set = openflow::text::action::Actions(&frozen.set);
            self.note(Kind::Thaw, || format!("Restoring action set: {set}"));
        }
        let steps = frozen.steps.iter().filter(|step| !matches!(step, Step::Table(_)));
        let steps: Vec<_> = steps.map(|step| crate::action::text(step.as_ref())).collect();
        if !steps.is_empty() {
            self.note(Kind::Thaw, || format!("Restoring actions: {}", steps.join(",")));
        }
        self.close();
        self.deeper(|walk| {
            walk.run_steps(&mut run, &frozen.steps);
            walk.keep_last(&run);
        });
        self.close();
    }
}

/// What is kept beside a packet, and which of its options among it: those that it came with stay with it.
fn kept(known: &Options, packet: &Packet) -> (Registers, Kept) {
    let mut registers = packet.key.registers;
    if !packet.has_options {
        return (registers, Kept::All);
    }
    (registers.options_present, registers.options) = Default::default();
    let mut key = Key { registers, ..Key::default() };
    known.copy(packet.options_set, &packet.key, &mut key);
    (key.registers, Kept::Only(packet.options_set))
}

fn message(run: &Run<'_>, action: &Controller) -> Message {
    // Who says no more than a length leaves it to the way that the packet came.
    let plain = Controller { max_len: action.max_len, ..Controller::default() };
    let asked = (*action != plain).then_some(action.reason);
    let is_miss = run.rule.as_ref().is_some_and(|r| r.priority == 0 && r.matches_all());
    let why = if is_miss { REASON_EXPLICIT_MISS } else { run.reason };
    Message {
        reason: asked.unwrap_or(why),
        controller: action.id,
        max_len: action.max_len,
        userdata: action.userdata.clone(),
        pause: action.pause,
        meter: action.meter,
    }
}
