//! Backbone headers (IEEE 802.1ah; OpenFlow 1.3, 5.12).
//!
//! A customer's frame goes into a backbone's as it is. What a frame that is taken out again looks like only the datapath sees:
//! the packet goes round.

use flow::{Action as Datapath, FlowKey};
use packet::wire::ethernet::eth_type;

use super::mpls::above_network;
use crate::packet::Packet;
use crate::run::{Next, Run};
use crate::walk::Walk;

/// The service instance in a service tag.
const INSTANCE: u32 = 0xff_ffff;
/// Where a service tag has its priority.
const PRIORITY: u32 = 29;

impl<'a> Walk<'a> {
    /// The new header has the addresses of the old, the priority of its VLAN tag, and its service instance, where it has them.
    pub(crate) fn push_pbb(&mut self, run: &mut Run<'a>) {
        let key = run.packet.key.flow;
        if key.packet_type != 0 {
            return;
        }
        self.commit(&run.packet);
        run.packet.look_at_presence(&mut self.mask);
        run.packet.look_at_pcp(&mut self.mask);
        let mut tci = run.packet.tag().map_or(0, |tag| u32::from(tag.pcp()) << PRIORITY);
        if key.is_pbb() {
            self.mask.0.ipv6_label |= INSTANCE;
            tci |= key.ipv6_label & INSTANCE;
        }
        self.push(Datapath::PushPbb { tci });
        run.packet.wrap(tci);
        self.done = run.packet.key.flow;
    }

    pub(crate) fn pop_pbb(&mut self, run: &mut Run<'a>) -> Next {
        if !run.packet.key.flow.is_pbb() {
            return Next::Step;
        }
        self.commit(&run.packet);
        self.push(Datapath::PopPbb);
        Next::Freeze { again: false }
    }
}

impl Packet {
    /// Makes it the frame of a backbone, without a VLAN tag as yet.
    fn wrap(&mut self, tci: u32) {
        let key = above_network(&self.key.flow);
        self.key.flow = FlowKey { eth_type: eth_type::PBB, ipv6_label: tci, ..key };
        self.without_tags();
    }
}
