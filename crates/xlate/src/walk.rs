//! The state of one translation, its entry points and its end.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use flow::{
    Action, DropCause, FlowKey, Mask, OptionMask, Protocol, RecircId, SlowReason, TunnelKey,
};
use pipeline::{BridgeId, Key, KeyMask, OfPort, Options, PortKind, PortRef, Program, Snapshot};

use crate::memory::Memory;
use crate::packet::Packet;
use crate::request::{Effect, Fork, Request, Tables, Translation, Use, Wait};
use crate::run::Run;
use crate::trace::{Kind, Trace};
use crate::view::View;

/// How deep bridges, copies of packets and resubmits to the same or an earlier table may nest.
pub const MAX_DEPTH: u32 = 64;
/// What flows use, mostly at most: about a thing for each table.
const USES: usize = 14;
/// Most tables that a packet is looked up in, in one translation.
pub const MAX_RESUBMITS: u32 = 4096;
/// Most actions of one translation.
pub const MAX_ACTIONS: u32 = 8192;

/// Of a bridge without rules.
pub(crate) static NO_OPTIONS: Options = Options::NONE;

/// Translates a packet that a datapath port brought in. See the crate's essay.
pub fn translate(snapshot: &Snapshot, tables: &Tables<'_>, request: &Request<'_>) -> Translation {
    let mut walk = Walk::new(snapshot, tables, request);
    walk.translate(request);
    walk.finish()
}

/// The same, of a packet that comes with others.
pub fn translate_with<'a>(
    snapshot: &'a Snapshot,
    tables: &'a Tables<'a>,
    request: &Request<'a>,
    memory: &mut Memory<'a>,
) -> Translation {
    let mut walk = Walk::new(snapshot, tables, request);
    memory.begin();
    walk.memory = Some(mem::take(memory));
    walk.translate(request);
    *memory = walk.memory.take().unwrap_or_default();
    walk.finish()
}

/// Translates what is left to do for a packet that waited for a neighbour: send it, as it is now, out of the tunnel port that
/// it waited for. If the neighbour is still unknown, the answer is to wait again (with the same effect as before).
///
/// `request.key` is of the packet as it stands (inner headers, edits done); its `in_port` does not matter, and the mask of the
/// answer means nothing: it is for this packet alone.
pub fn translate_tunnel_output(
    snapshot: &Snapshot,
    tables: &Tables<'_>,
    wait: Wait,
    request: &Request<'_>,
) -> Translation {
    let mut walk = Walk::new(snapshot, tables, request);
    // Where it came from is forgotten: what its key says of tunnels is what the tunnel is told.
    walk.received.tunnel = TunnelKey::default();
    match snapshot.port(wait.0) {
        Some((_, port)) if matches!(port.kind, PortKind::Tunnel { .. }) => {
            let mut packet = Packet::new(request.key);
            let state = wait.1.map(|state| tables.frozens.get(state));
            if let Some(Some(frozen)) = &state {
                packet.key.registers =
                    frozen.registers_of(walk.options_of(frozen.bridge), request.options);
            }
            match state {
                // What was to go with it is lost.
                Some(None) => walk.give_up(DropCause::NoRecirculationContext),
                _ => walk.output(wait.0, port, &packet),
            }
        }
        _ => walk.give_up(DropCause::BridgeNotFound),
    }
    walk.finish()
}

/// What the datapath does so far, and what it looks at.
pub(crate) struct Walk<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) tables: &'a Tables<'a>,
    pub(crate) now: base::Instant,
    /// The received packet's options.
    pub(crate) options: &'a [u8],
    /// Whether there is a packet, not only its key.
    pub(crate) has_packet: bool,
    /// What decisions have looked at, in the packet as received; for a tunnel's outer packet a mask of its own.
    pub(crate) mask: Mask,
    /// The same of its options.
    pub(crate) option_mask: OptionMask,
    /// Which options are fields where it came in.
    pub(crate) known_options: &'a Options,
    /// The packet as the actions so far leave it. A packet's own key runs ahead of it until [`Walk::commit`].
    pub(crate) done: FlowKey,
    /// The packet as received, or as wrapped.
    pub(crate) received: FlowKey,
    pub(crate) actions: Vec<Action>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) uses: Vec<Use>,
    trace: Option<Trace>,
    /// Why nothing was sent, as far as nothing was: the first reason.
    cause: Option<DropCause>,
    pub(crate) depth: u32,
    pub(crate) resubmits: u32,
    action_count: u32,
    pub(crate) in_port: Option<PortRef>,
    pub(crate) first: Option<Box<Key>>,
    last: Option<Box<Key>>,
    /// What has brought the translation to nothing.
    failure: Option<DropCause>,
    pub(crate) forks: Vec<Fork>,
    /// What the packet was like at the last lookup.
    view: Option<Arc<View>>,
    /// Whether that is the packet that is being looked up, and nothing has happened to it since.
    pub(crate) is_viewed: bool,
    /// Whether it is a tunnel's outer packet.
    is_outer: bool,
    /// What tables have said to packets before.
    pub(crate) memory: Option<Memory<'a>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        tables: &'a Tables<'a>,
        request: &Request<'a>,
    ) -> Self {
        Self {
            snapshot,
            tables,
            now: request.now,
            options: request.options,
            has_packet: request.packet.is_some(),
            mask: Mask::any(),
            option_mask: OptionMask::default(),
            known_options: &NO_OPTIONS,
            done: *request.key,
            received: *request.key,
            actions: Vec::new(),
            effects: Vec::new(),
            uses: Vec::with_capacity(USES),
            trace: request.want_trace.then(Trace::default),
            cause: None,
            depth: 0,
            resubmits: 0,
            action_count: 0,
            in_port: None,
            first: None,
            last: None,
            failure: None,
            forks: Vec::new(),
            view: None,
            is_viewed: false,
            is_outer: false,
            memory: None,
        }
    }

    /// All of it, of a packet that a datapath port brought in.
    fn translate(&mut self, request: &Request<'_>) {
        let mut packet = Packet::new(request.key);
        self.look_at_what_always_matters(request.key);
        if request.key.recirc_id != 0 {
            match self.tables.frozens.get(RecircId(request.key.recirc_id)) {
                Some(frozen) => self.thaw(&frozen, request.key),
                // Whoever froze it is gone, and so is what it was to do.
                None => self.fail(DropCause::NoRecirculationContext, || {
                    format!("Recirculation context not found for ID {:x}", request.key.recirc_id)
                }),
            }
            return;
        }
        if let Some(entered) = &request.entered {
            let at = PortRef { bridge: entered.bridge, port: OfPort(entered.registers.in_port) };
            self.in_port = Some(at);
            let mut first = Key { flow: *request.key, registers: entered.registers };
            first.registers.actset_output = openflow::Port::UNSET.0;
            self.first = Some(Box::new(first));
            return self.enter(at, &packet);
        }
        match self.ingress(&mut packet) {
            Ok(at) => {
                self.in_port = Some(at);
                self.enter(at, &packet);
            }
            Err(cause) => self.give_up(cause),
        }
    }

    /// What a packet is like that is about to be looked up in a table. Those that are alike share it.
    pub(crate) fn view(&mut self, packet: &Packet) -> Arc<View> {
        let was_viewed = mem::replace(&mut self.is_viewed, true);
        if let Some(last) = self.view.as_ref().filter(|_| was_viewed) {
            return last.clone();
        }
        let view = View::of(packet, &self.received, self.is_outer);
        // Mostly nothing has happened to it that matters.
        if let Some(last) = self.view.as_ref().filter(|last| ***last == view) {
            return last.clone();
        }
        let view = match &mut self.memory {
            Some(memory) => memory.share(view),
            None => Arc::new(view),
        };
        self.view.insert(view).clone()
    }

    /// Adds to the masks what somebody has looked at in a packet's key.
    pub(crate) fn look(&mut self, packet: &Packet, looked: &KeyMask) {
        packet.look(looked, &mut self.mask);
        if packet.has_options {
            self.known_options.look(looked, &mut self.option_mask);
        }
    }

    /// The same of all options that are fields, but for those that are ours.
    pub(crate) fn look_at_options(&mut self, packet: &Packet) {
        if packet.has_options {
            self.known_options.look_at_all_but(packet.options_set, &mut self.option_mask);
        }
    }

    /// Which options are fields in a bridge.
    pub(crate) fn options_of(&self, bridge: BridgeId) -> &'a Options {
        self.tables.programs.get(&bridge).map_or(&NO_OPTIONS, |program| program.options())
    }

    /// Notes what came of the action before, if anybody wants to know.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        self.note(Kind::Detail, text);
    }

    /// Whether somebody wants to know how, and not only what.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Notes a step, if anybody wants to know.
    pub(crate) fn note(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(kind, text());
        }
    }

    /// The same, of a step that those up to the next [`Walk::close`] belong to.
    pub(crate) fn open(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.open(kind, text());
        }
    }

    pub(crate) fn close(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.close();
        }
    }

    /// Notes why a packet goes no further here.
    pub(crate) fn give_up(&mut self, cause: DropCause) {
        self.cause.get_or_insert(cause);
    }

    /// The translation has passed a bound, and comes to nothing.
    pub(crate) fn fail(&mut self, cause: DropCause, why: impl FnOnce() -> String) {
        self.note(Kind::Error, why);
        self.abandon(cause);
    }

    /// The same, where the steps say already why.
    pub(crate) fn abandon(&mut self, cause: DropCause) {
        self.failure.get_or_insert(cause);
    }

    /// Takes that back, if this is why.
    pub(crate) fn forgive(&mut self, cause: DropCause) {
        if self.failure == Some(cause) {
            self.failure = None;
        }
    }

    /// Whether it has come to nothing.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Fields that every flow matches, for without them the others mean nothing.
    pub(crate) fn look_at_what_always_matters(&mut self, key: &FlowKey) {
        let m = &mut self.mask.0;
        m.in_port = u32::MAX;
        m.recirc_id = u32::MAX;
        m.packet_type = u32::MAX;
        m.eth_type = u16::MAX;
        if key.is_ipv4() || key.is_ipv6() {
            m.ip_frag = u8::MAX;
        }
    }

    /// The packet comes into a bridge by this port.
    pub(crate) fn enter(&mut self, at: PortRef, packet: &Packet) {
        let Some(bridge) = self.snapshot.bridge(at.bridge) else {
            return self.give_up(DropCause::BridgeNotFound);
        };
        let no_receive = bridge.port(at.port).is_some_and(|port| port.config.no_receive);
        let given = self.first.as_deref().filter(|_| self.depth == 0).map(|key| key.registers);
        self.deeper(|walk| {
            walk.open(Kind::Bridge, || format!("bridge(\"{}\")", bridge.name));
            if no_receive {
                walk.say(|| "OFPPC_NO_RECV set, dropping".into());
                walk.give_up(DropCause::PortDisabled);
            } else {
                let program = walk.tables.programs.get(&bridge.id);
                let mut run = Run::new(bridge, program, at.port.0, packet);
                run.packet.key.registers = given.unwrap_or(run.packet.key.registers);
                run.is_first = walk.depth == 1;
                run.is_home = walk.in_port.is_some_and(|home| home.bridge == at.bridge);
                let is_in_band = run.is_first && program.is_some_and(Program::is_in_band);
                let came = is_in_band.then_some(run.packet);
                if walk.is_for_aggregate(bridge, at.port, &run.packet) {
                    walk.push(Action::Userspace(SlowReason::Protocol(Protocol::Lacp)));
                } else {
                    walk.run_tables(&mut run);
                }
                if let Some(came) = came {
                    walk.deliver_dhcp(bridge, &came);
                }
                if walk.depth == 1 {
                    walk.keep_last(&run);
                }
            }
            walk.close();
        });
    }

    /// This is how the packet is in the end.
    pub(crate) fn keep_last(&mut self, run: &Run<'a>) {
        if self.trace.is_some() {
            self.last = Some(Box::new(run.packet.key));
        }
    }

    /// Appends an action.
    pub(crate) fn push(&mut self, action: Action) {
        self.action_count += 1;
        if self.action_count > MAX_ACTIONS {
            self.abandon(DropCause::RecursionTooDeep);
        } else {
            self.actions.push(action);
        }
    }

    /// Runs `inner` as if for another packet, whose key is `key`, starting from `actions`: its own mask, its own done. Returns
    /// the actions that came together.
    pub(crate) fn aside(
        &mut self,
        key: &FlowKey,
        actions: Vec<Action>,
        inner: impl FnOnce(&mut Self),
    ) -> Vec<Action> {
        let outer_actions = mem::replace(&mut self.actions, actions);
        let outer_mask = mem::take(&mut self.mask);
        let outer_done = mem::replace(&mut self.done, *key);
        let outer_received = mem::replace(&mut self.received, *key);
        let was_outer = mem::replace(&mut self.is_outer, true);
        self.view = None;
        inner(self);
        self.view = None;
        self.is_outer = was_outer;
        self.mask = outer_mask;
        (self.done, self.received) = (outer_done, outer_received);
        mem::replace(&mut self.actions, outer_actions)
    }

    /// That a packet came through no tunnel its port says already, and that it has no option to have none at all.
    fn forget_missing_tunnel(&mut self) {
        let port = self.in_port.and_then(|at| self.snapshot.port(at)).map(|(_, port)| &port.kind);
        let by_tunnel = port.is_none_or(|kind| matches!(kind, PortKind::Tunnel { .. }));
        if !by_tunnel && !has_tunnel(&self.received) {
            self.mask.0.tunnel = TunnelKey::default();
            self.option_mask = OptionMask::default();
        }
        if !self.option_mask.is_empty() {
            self.mask.0.tunnel.options = u64::MAX;
        }
    }

    /// What has come of it. It is not to be gone on with.
    pub(crate) fn finish(&mut self) -> Translation {
        if self.failure.is_some() {
            // Half of a loop is no use to anybody.
            self.actions.clear();
            self.effects.clear();
            let tables: BTreeSet<_> = self.uses.iter().filter_map(met).collect();
            self.uses =
                tables.into_iter().map(|(bridge, table)| Use::Table(bridge, table)).collect();
            self.cause = self.failure;
        }
        self.forget_missing_tunnel();
        let mut actions = without_idle_end(unwrap_last(mem::take(&mut self.actions)));
        if actions.is_empty() {
            actions.push(Action::Drop(self.cause.unwrap_or(DropCause::Pipeline)));
        }
        Translation {
            actions,
            mask: self.mask,
            options: mem::take(&mut self.option_mask),
            effects: mem::take(&mut self.effects),
            uses: mem::take(&mut self.uses),
            trace: self.trace.take().unwrap_or_default(),
            in_port: self.in_port,
            first: self.first.take(),
            last: self.last.take(),
            error: self.failure.map(error_text),
            forks: mem::take(&mut self.forks),
        }
    }
}

/// Where packets are looked up that use this.
fn met(used: &Use) -> Option<(BridgeId, u8)> {
    match used {
        Use::Met(met) => Some((met.bridge, met.table)),
        _ => None,
    }
}

/// What the reference calls what brings a translation to nothing.
fn error_text(cause: DropCause) -> &'static str {
    match cause {
        DropCause::RecursionTooDeep => "Recursion too deep",
        DropCause::TooManyResubmits => "Too many resubmits",
        DropCause::StackTooDeep => "Stack too deep",
        DropCause::NoRecirculationContext => "No recirculation context",
        DropCause::TooManyMplsLabels => "Too many MPLS labels",
        DropCause::InvalidTunnelMetadata => "Invalid tunnel metadata",
        DropCause::UnsupportedPacketType => "Unsupported packet type",
        DropCause::InvalidEcn => "Congestion Drop",
        DropCause::TunnelHeader => "Native tunnel header build failed",
        _ => "Bridge not found",
    }
}

/// Whether a packet came through a tunnel.
pub(crate) fn has_tunnel(key: &FlowKey) -> bool {
    key.tunnel.ip_dst != 0 || key.tunnel.ipv6_dst != [0; 16]
}

/// Edits after the last output change nothing.
pub(crate) fn without_idle_end(mut actions: Vec<Action>) -> Vec<Action> {
    use Action::*;
    while let Some(
        PushVlan(_)
        | PopVlan
        | Set(_)
        | PushMpls { .. }
        | PopMpls { .. }
        | AddMpls { .. }
        | PushPbb { .. }
        | CopyTtlOut
        | CopyTtlIn
        | PushEth { .. }
        | PopEth
        | PushNsh(_)
        | PopNsh,
    ) = actions.last()
    {
        actions.pop();
    }
    actions
}

/// A copy that nobody uses afterwards need not be one: the last action, if it works on a copy, works on the packet itself.
fn unwrap_last(mut actions: Vec<Action>) -> Vec<Action> {
    while let Some(Action::Clone(_)) = actions.last() {
        if let Some(Action::Clone(inner)) = actions.pop() {
            actions.extend(inner);
        }
    }
    actions
}
