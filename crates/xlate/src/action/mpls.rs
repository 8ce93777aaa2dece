//! Labels (RFC 3032).
//!
//! What is behind the last label is not known until the datapath has looked again: whoever needs to know after the label was
//! taken off has the packet go round.

use flow::{Action as Datapath, DropCause, FlowKey};
use openflow::action::Controller;
use openflow::{Action, Field, Value};
use packet::wire::ethernet::eth_type;

use crate::run::{Next, REASON_INVALID_TTL, Run, StepRef};
use crate::trace::Kind;
use crate::walk::Walk;

/// The bottom of the stack.
pub(crate) const BOS: u32 = 0x100;
/// Hops left.
const TTL: u32 = 0xff;
/// Labels that say what is behind them (RFC 3032, 2.1).
const IPV4_NULL: u32 = 0;
const IPV6_NULL: u32 = 2 << 12;
/// Hops for packets that do not say.
pub(crate) const DEFAULT_TTL: u32 = 64;
/// Labels that keys hold.
const MOST_LABELS: usize = 3;

pub(crate) fn is_mpls(key: &FlowKey) -> bool {
    matches!(key.eth_type, eth_type::MPLS | eth_type::MPLS_MULTICAST)
}

/// Whether it has no room for another label.
pub(crate) fn is_full(key: &FlowKey) -> bool {
    depth(key) >= MOST_LABELS
}

/// How many labels there are, as far as the key tells.
fn depth(key: &FlowKey) -> usize {
    if !is_mpls(key) {
        return 0;
    }
    let bottom = key.mpls.iter().take(MOST_LABELS).position(|entry| entry & BOS != 0);
    bottom.map_or(MOST_LABELS, |at| at + 1)
}

impl<'a> Walk<'a> {
    pub(crate) fn push_mpls(&mut self, run: &mut Run<'a>, kind: u16) {
        let key = run.packet.key.flow;
        let labels = depth(&key);
        self.look_at_bottom(labels);
        if labels >= MOST_LABELS {
            if !self.has_packet {
                return self.abandon(DropCause::TooManyMplsLabels);
            }
            return self.fail(DropCause::TooManyMplsLabels, || {
                format!("bridge {}: dropping packet on which an MPLS push action can't be performed as it would have more MPLS LSEs than the {MOST_LABELS} supported.", run.bridge.name)
            });
        }
        // All that is behind the label is out of reach.
        self.commit(&run.packet);
        let m = &mut self.mask.0;
        let entry = if labels > 0 {
            if is_mpls(&self.received) {
                m.mpls = [u32::MAX; 4];
            }
            key.mpls[0] & !BOS
        } else {
            let (null, ip) = match (key.is_ipv4(), key.is_ipv6()) {
                (true, _) => (IPV4_NULL, true),
                (_, true) => (IPV6_NULL, true),
                _ => (IPV4_NULL, false),
            };
            let (class, ttl) = if ip {
                (m.nw_tos, m.nw_ttl) = (m.nw_tos | 0xfc, u8::MAX);
                (u32::from(key.nw_tos >> 2) & 7, u32::from(key.nw_ttl))
            } else {
                (0, DEFAULT_TTL)
            };
            let ttl = if ttl == 0 { DEFAULT_TTL } else { ttl };
            null | class << 9 | BOS | ttl
        };
        self.push(Datapath::PushMpls { entry, eth_type: kind });
        let [a, b, ..] = key.mpls;
        let mpls = if labels > 0 { [entry, a, b, 0] } else { [entry, 0, 0, 0] };
        run.packet.key.flow = FlowKey { mpls, eth_type: kind, ..above_network(&key) };
        self.done = run.packet.key.flow;
    }

    pub(crate) fn pop_mpls(&mut self, run: &mut Run<'a>, kind: u16) {
        let key = run.packet.key.flow;
        let labels = depth(&key);
        if labels == 0 {
            return;
        }
        self.commit(&run.packet);
        self.look_at_bottom(labels);
        self.push(Datapath::PopMpls { eth_type: kind });
        let [_, b, c, _] = key.mpls;
        let mpls = if labels > 1 { [b, c, 0, 0] } else { [0; 4] };
        run.packet.key.flow = FlowKey { mpls, eth_type: kind, ..above_network(&key) };
        self.done = run.packet.key.flow;
        run.packet.labels_off += usize::from(is_mpls(&self.received));
        run.is_unread = true;
    }

    /// So many labels have been found because of which of them is the last. (What we pushed ourselves nobody needs to look at.)
    fn look_at_bottom(&mut self, labels: usize) {
        if is_mpls(&self.received) {
            self.mask.0.mpls.iter_mut().take(labels).for_each(|entry| *entry |= BOS);
        }
    }

    pub(crate) fn set_mpls(&mut self, run: &mut Run<'a>, field: Field, number: u32) {
        if is_mpls(&run.packet.key.flow) {
            let mask = Value::mask(field.row().width, 0, field.row().bits);
            self.write(run, field, &Value::Int(number.into()), &mask);
        }
    }

    pub(crate) fn dec_mpls_ttl(&mut self, run: &mut Run<'a>) -> Next {
        // There is nothing to count down, and nobody to tell.
        if !is_mpls(&run.packet.key.flow) {
            self.note(Kind::Warning, || "MPLS decrement TTL exception".into());
            return Next::Leave;
        }
        self.look_at(run, Field::MplsTtl, &Value::Int(TTL.into()));
        let entry = &mut run.packet.key.flow.mpls[0];
        if *entry & 0xff > 1 {
            *entry -= 1;
            return Next::Step;
        }
        self.note(Kind::Warning, || "MPLS decrement TTL exception".into());
        let reason = REASON_INVALID_TTL;
        self.controller(run, &Controller { reason, ..Controller::default() });
        Next::Leave
    }
}

impl<'a> Walk<'a> {
    /// From the next header to the outermost label. What is behind the last label only the datapath sees, and so nobody knows
    /// the label until it has looked again.
    pub(crate) fn copy_ttl_out(&mut self, run: &mut Run<'a>) -> Next {
        let labels = depth(&run.packet.key.flow);
        self.look_at_bottom(labels);
        match labels {
            0 => Next::Step,
            1 => {
                self.commit(&run.packet);
                self.push(Datapath::CopyTtlOut);
                Next::Freeze { again: false }
            }
            _ => {
                self.look_at_ttls();
                let [outer, next, ..] = &mut run.packet.key.flow.mpls;
                *outer = *outer & !TTL | *next & TTL;
                Next::Step
            }
        }
    }

    /// From the outermost label to the next header.
    pub(crate) fn copy_ttl_in(&mut self, run: &mut Run<'a>) {
        let labels = depth(&run.packet.key.flow);
        self.look_at_bottom(labels);
        if labels == 0 {
            return;
        }
        self.commit(&run.packet);
        self.push(Datapath::CopyTtlIn);
        if labels > 1 {
            self.look_at_ttls();
            let [outer, next, ..] = &mut run.packet.key.flow.mpls;
            *next = *next & !TTL | *outer & TTL;
            self.done = run.packet.key.flow;
        }
    }

    fn look_at_ttls(&mut self) {
        self.mask.0.mpls.iter_mut().take(2).for_each(|entry| *entry |= TTL);
    }
}

/// The key without what is behind the link layer.
pub(crate) fn above_network(key: &FlowKey) -> FlowKey {
    FlowKey {
        in_port: key.in_port,
        recirc_id: key.recirc_id,
        dp_hash: key.dp_hash,
        skb_mark: key.skb_mark,
        skb_priority: key.skb_priority,
        packet_type: key.packet_type,
        ct_mark: key.ct_mark,
        ct_zone: key.ct_zone,
        ct_state: key.ct_state,
        ct_proto: key.ct_proto,
        ct_label: key.ct_label,
        tunnel: key.tunnel,
        eth_dst: key.eth_dst,
        eth_src: key.eth_src,
        vlans: key.vlans,
        ..FlowKey::default()
    }
}

/// Whether a step needs to know what is behind the link layer.
pub(crate) fn needs_headers(step: StepRef<'_>) -> bool {
    let StepRef::Action(action) = step else {
        return matches!(step, StepRef::GotoTable(_));
    };
    !matches!(
        action,
        Action::Output { .. }
            | Action::OutputTrunc { .. }
            | Action::Controller(_)
            | Action::Enqueue { .. }
            | Action::SetQueue(_)
            | Action::PopQueue
            | Action::PushVlan(_)
            | Action::PopVlan
            | Action::StripVlan
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
            | Action::SetEthSrc(_)
            | Action::SetEthDst(_)
            | Action::SetTunnel { .. }
            | Action::Note(_)
            | Action::Exit
            | Action::Meter(_)
            | Action::PushMpls(_)
            | Action::PopMpls(_)
    )
}
