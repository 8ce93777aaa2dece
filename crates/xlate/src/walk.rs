//! The state of one translation, its entry points and its end.

use std::mem;

use flow::{Action, DropCause, FlowKey, Mask, Vlan};
use pipeline::{FailMode, PortKind, PortRef, Snapshot};

use crate::packet::Packet;
use crate::request::{Effect, Request, Tables, Translation, Use, Wait};
use crate::trace::Trace;

/// Most bridges that a packet may pass one inside the other.
pub const MAX_DEPTH: u32 = 64;
/// Most bridge passages of one translation altogether.
pub const MAX_PASSAGES: u32 = 4096;
/// Most actions of one translation.
pub const MAX_ACTIONS: u32 = 8192;

/// Translates a packet that a datapath port brought in. See the crate's essay.
pub fn translate(snapshot: &Snapshot, tables: &Tables<'_>, request: &Request<'_>) -> Translation {
    let mut walk = Walk::new(snapshot, tables, request);
    let mut packet = Packet::new(request.key);
    walk.look_at_what_always_matters(request.key);
    match walk.ingress(&mut packet) {
        Ok(at) => walk.enter(at, packet),
        Err(cause) => walk.give_up(cause),
    }
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
    match snapshot.port(wait.0) {
        Some((_, port)) if matches!(port.kind, PortKind::Tunnel { .. }) => {
            walk.output(wait.0, port, &Packet::new(request.key));
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
    /// What decisions have looked at, in the packet as received; for a tunnel's outer packet a mask of its own.
    pub(crate) mask: Mask,
    /// The packet as the actions so far leave it. A packet's own key runs ahead of it until [`Walk::commit`].
    pub(crate) done: FlowKey,
    pub(crate) actions: Vec<Action>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) uses: Vec<Use>,
    trace: Option<Trace>,
    /// Why nothing was sent, as far as nothing was: the first reason.
    cause: Option<DropCause>,
    depth: u32,
    passages: u32,
    action_count: u32,
    too_much: bool,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a Snapshot, tables: &'a Tables<'a>, request: &Request<'a>) -> Self {
        Self {
            snapshot,
            tables,
            now: request.now,
            mask: Mask::any(),
            done: *request.key,
            actions: Vec::new(),
            effects: Vec::new(),
            uses: Vec::new(),
            trace: request.want_trace.then(Trace::default),
            cause: None,
            depth: 0,
            passages: 0,
            action_count: 0,
            too_much: false,
        }
    }

    /// Notes a step, if anybody wants to know.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(self.depth, text());
        }
    }

    /// Notes why a packet goes no further here.
    pub(crate) fn give_up(&mut self, cause: DropCause) {
        self.say(|| format!("drop: {cause:?}"));
        self.cause.get_or_insert(cause);
    }

    /// Fields that every flow matches, for without them the others mean nothing.
    fn look_at_what_always_matters(&mut self, key: &FlowKey) {
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
    pub(crate) fn enter(&mut self, at: PortRef, packet: Packet) {
        if self.depth >= MAX_DEPTH || self.passages >= MAX_PASSAGES {
            self.too_much = true;
        }
        if self.too_much {
            return;
        }
        let Some((bridge, port)) = self.snapshot.port(at) else {
            return self.give_up(DropCause::BridgeNotFound);
        };
        self.say(|| format!("bridge \"{}\", in by {} (port {})", bridge.name, port.name, at.port));
        self.depth += 1;
        self.passages += 1;
        if port.config.no_receive {
            self.give_up(DropCause::PortDisabled);
        } else {
            match bridge.fail_mode {
                FailMode::Standalone => self.normal(bridge, port, packet),
                FailMode::Secure => self.give_up(DropCause::Pipeline),
            }
        }
        self.depth -= 1;
    }

    /// Appends an action.
    pub(crate) fn push(&mut self, action: Action) {
        self.action_count += 1;
        if self.action_count > MAX_ACTIONS {
            self.too_much = true;
        } else {
            self.actions.push(action);
        }
    }

    /// Appends the actions that turn the packet as it is so far into this one.
    pub(crate) fn commit(&mut self, packet: &Packet) {
        self.commit_ecn(packet);
        self.commit_tags(packet);
    }

    fn commit_ecn(&mut self, packet: &Packet) {
        use tunnel::ecn::MASK;
        if packet.key.nw_tos != self.done.nw_tos {
            self.done.nw_tos = packet.key.nw_tos;
            let (eth_type, nw_tos) = (packet.key.eth_type, packet.key.nw_tos & MASK);
            let key = FlowKey { eth_type, nw_tos, ..FlowKey::default() };
            let mask = Mask(FlowKey { nw_tos: MASK, ..FlowKey::default() });
            self.push(Action::Set(Box::new((key, mask))));
        }
    }

    /// Pops what is not wanted and pushes what is missing. (Whoever changed the tags looked at them.)
    fn commit_tags(&mut self, packet: &Packet) {
        let (done, wanted) = (self.done.vlans, packet.key.vlans);
        let (have, want) = (tags(&done), tags(&wanted));
        let shared = have.iter().rev().zip(want.iter().rev()).take_while(|(a, b)| a == b).count();
        for _ in shared..have.len() {
            self.push(Action::PopVlan);
        }
        for tag in want[..want.len() - shared].iter().rev() {
            self.push(Action::PushVlan(*tag));
        }
        self.done.vlans = wanted;
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
        inner(self);
        self.mask = outer_mask;
        self.done = outer_done;
        mem::replace(&mut self.actions, outer_actions)
    }

    fn finish(mut self) -> Translation {
        if self.too_much {
            // Half of a loop is no use to anybody.
            self.actions.clear();
            self.effects.clear();
            self.uses.clear();
            self.cause = None;
            self.give_up(DropCause::RecursionTooDeep);
        }
        let mut actions = without_idle_end(unwrap_last(self.actions));
        if actions.is_empty() {
            actions.push(Action::Drop(self.cause.unwrap_or(DropCause::Pipeline)));
        }
        Translation {
            actions,
            mask: self.mask,
            effects: self.effects,
            uses: self.uses,
            trace: self.trace.unwrap_or_default(),
        }
    }
}

/// The tags that are there, outermost first.
fn tags(vlans: &[Vlan; 2]) -> &[Vlan] {
    let n = vlans.iter().take_while(|v| v.is_present()).count();
    &vlans[..n]
}

/// Edits after the last output change nothing.
fn without_idle_end(mut actions: Vec<Action>) -> Vec<Action> {
    while let Some(Action::PushVlan(_) | Action::PopVlan | Action::Set(_)) = actions.last() {
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
