//! From the packet as it should be to datapath actions: what differs from the packet as it is so far is set.
//!
//! A field that differs is set as far as it was looked at: whoever changes bits of a field looks at them first, so whether they
//! differ is the same for every packet of the flow. Each header is an action of its own, in the reference's order.

use flow::{Action, FlowKey, Mask, Vlan};
use packet::wire::ip_proto;

use crate::action::mpls::is_mpls;
use crate::packet::Packet;
use crate::walk::Walk;

/// Adds to a set action what of these fields of the packet is not yet as wanted.
macro_rules! differing {
    ($walk:ident, $want:ident: $($field:ident).+ $(, $($more:ident).+)*) => {{
        let is_same = $walk.done.$($field).+ == $want.$($field).+
            $(&& $walk.done.$($more).+ == $want.$($more).+)*;
        // As it mostly is.
        if is_same {
            None
        } else {
            let mut set = (FlowKey::default(), Mask::any());
            differing!(@ $walk, $want, set, $($field).+);
            $(differing!(@ $walk, $want, set, $($more).+);)*
            Some(set)
        }
    }};
    (@ $walk:ident, $want:ident, $set:ident, $($field:ident).+) => {
        if $walk.done.$($field).+ != $want.$($field).+ {
            $walk.done.$($field).+ = $want.$($field).+;
            $set.0.$($field).+ = $want.$($field).+;
            $set.1.0.$($field).+ = $walk.mask.0.$($field).+;
        }
    };
}

impl Walk<'_> {
    /// Appends the actions that turn the packet as it is so far into this one.
    pub(crate) fn commit(&mut self, packet: &Packet) {
        let want = &packet.key.flow;
        if is_mpls(want) {
            self.commit_label(want, packet.labels_off);
        }
        if want.is_nsh() {
            self.commit_service_header(want);
        }
        if want.is_pbb() {
            self.commit_service_tag(want);
        }
        if let Some(Action::PushEth { src, dst }) = self.actions.last_mut() {
            // One that has just been put on is put on as it is wanted.
            (*src, *dst) = (want.eth_src, want.eth_dst);
            (self.done.eth_src, self.done.eth_dst) = (want.eth_src, want.eth_dst);
        }
        self.set(want, |walk| differing!(walk, want: eth_src, eth_dst));
        if want.is_ipv4() {
            self.set(want, |walk| differing!(walk, want: nw_src, nw_dst, nw_tos, nw_ttl));
        } else if want.is_ipv6() {
            self.set(
                want,
                |walk| differing!(walk, want: ipv6_src, ipv6_dst, ipv6_label, nw_tos, nw_ttl),
            );
            self.set(want, |walk| differing!(walk, want: nd_target, arp_sha, arp_tha));
        } else if want.is_arp() {
            self.set(
                want,
                |walk| differing!(walk, want: nw_src, nw_dst, nw_proto, arp_sha, arp_tha),
            );
        }
        if is_icmp(want) && (self.done.tp_src, self.done.tp_dst) != (want.tp_src, want.tp_dst) {
            // Type and code are set together.
            (self.mask.0.tp_src, self.mask.0.tp_dst) = (u16::MAX, u16::MAX);
            (self.done.tp_src, self.done.tp_dst) = (want.tp_src, want.tp_dst);
            let mut set = (*want, Mask::any());
            (set.1.0.tp_src, set.1.0.tp_dst) = (u16::MAX, u16::MAX);
            self.set(want, |_| Some(set));
        } else if has_ports(want) {
            self.set(want, |walk| differing!(walk, want: tp_src, tp_dst));
        }
        packet.look_at_replaced_tags(&self.received, &mut self.mask);
        self.commit_tags(packet);
        self.set(want, |walk| differing!(walk, want: skb_priority));
        self.set(want, |walk| differing!(walk, want: skb_mark));
    }

    /// The network service header, likewise.
    fn commit_service_header(&mut self, want: &FlowKey) {
        let nsh = want.nsh();
        if let Some(Action::PushNsh(push)) = self.actions.last_mut() {
            push.key = nsh;
            self.done.set_nsh(&nsh);
        }
        if self.done.nsh() != nsh {
            self.done.set_nsh(&nsh);
            let mut set = (FlowKey::default(), Mask::any());
            set.0.set_nsh(&nsh);
            // One that we have put on ourselves nobody has looked at: all of it is ours.
            let looked = match self.received.is_nsh() {
                true => self.mask.0.nsh(),
                false => Mask::exact().0.nsh(),
            };
            set.1.0.set_nsh(&looked);
            self.set(want, |_| Some(set));
        }
    }

    /// A backbone's service tag. One that has just been pushed is pushed as it is wanted.
    fn commit_service_tag(&mut self, want: &FlowKey) {
        if let Some(Action::PushPbb { tci }) = self.actions.last_mut() {
            *tci = want.ipv6_label;
            self.done.ipv6_label = want.ipv6_label;
        }
        self.set(want, |walk| differing!(walk, want: ipv6_label));
    }

    /// The outermost label. One that has just been pushed is pushed as it is wanted.
    fn commit_label(&mut self, want: &FlowKey, labels_off: usize) {
        let entry = want.mpls[0];
        if let Some(Action::PushMpls { entry: pushed, .. } | Action::AddMpls { entry: pushed, .. }) =
            self.actions.last_mut()
            && *pushed == self.done.mpls[0]
        {
            *pushed = entry;
            self.done.mpls[0] = entry;
        }
        if self.done.mpls[0] != entry {
            self.done.mpls[0] = entry;
            let mut set = (FlowKey::default(), Mask::any());
            set.0.mpls[0] = entry;
            // As for service headers: one of ours nobody has looked at.
            let looked = match is_mpls(&self.received) {
                true => self.mask.0.mpls.get(labels_off).copied(),
                false => None,
            };
            set.1.0.mpls[0] = looked.unwrap_or(u32::MAX);
            self.set(want, |_| Some(set));
        }
    }

    fn set(
        &mut self,
        want: &FlowKey,
        differing: impl FnOnce(&mut Self) -> Option<(FlowKey, Mask)>,
    ) {
        let Some((key, mask)) = differing(self) else { return };
        let mut key = mask.apply(&key);
        // They say which headers the fields are of.
        key.eth_type = want.eth_type;
        if mask.0.tp_src | mask.0.tp_dst != 0 {
            key.nw_proto = want.nw_proto;
        }
        if want.is_ipv6() && is_of_discovery(&mask.0) {
            (key.nw_proto, key.tp_src) = (want.nw_proto, want.tp_src);
        }
        self.push(Action::Set(Box::new((key, mask))));
    }

    /// Pops what is not wanted and pushes what is missing. (Whoever changed the tags looked at them.)
    fn commit_tags(&mut self, packet: &Packet) {
        let (done, wanted) = (self.done.vlans, packet.key.flow.vlans);
        if done != self.received.vlans {
            // Another bridge or bucket has changed the tags, and here they may have to come back as they were.
            packet.look_at_received_tags(done[1].is_present(), &mut self.mask);
        }
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
}

/// The tags that are there, outermost first.
fn tags(vlans: &[Vlan; 2]) -> &[Vlan] {
    let n = vlans.iter().take_while(|v| v.is_present()).count();
    &vlans[..n]
}

/// Whether it has fields of neighbour discovery, or of ARP.
fn is_of_discovery(key: &FlowKey) -> bool {
    key.nd_target != [0; 16] || key.arp_sha != [0; 6] || key.arp_tha != [0; 6]
}

/// Whether `tp_src` and `tp_dst` are an ICMP message's type and code.
fn is_icmp(key: &FlowKey) -> bool {
    has_ports(key) && matches!(key.nw_proto, ip_proto::ICMP | ip_proto::ICMPV6)
}

/// Whether `tp_src` and `tp_dst` are of a header that can be set.
fn has_ports(key: &FlowKey) -> bool {
    let later = key.ip_frag & flow::frag::LATER != 0;
    let protocols: &[u8] = match key.eth_type {
        0x0800 => &[ip_proto::TCP, ip_proto::UDP, ip_proto::SCTP, ip_proto::ICMP],
        0x86dd => &[ip_proto::TCP, ip_proto::UDP, ip_proto::SCTP, ip_proto::ICMPV6],
        _ => &[],
    };
    !later && protocols.contains(&key.nw_proto)
}
