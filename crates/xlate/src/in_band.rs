//! What in-band control does beside its rules: an answer by DHCP gets to the host whatever controllers have programmed.
//!
//! No rule could do that, for nobody knows yet where answers come from, and where else they are to go is for controllers to say.

use flow::{Action, FlowKey};
use packet::wire::ethernet::eth_type;
use packet::wire::ip_proto;
use pipeline::{Bridge, OfPort, PortKind, PortRef};

use crate::packet::Packet;
use crate::walk::Walk;

/// DHCP's ports (RFC 2131, section 4.1).
const SERVER: u16 = 67;
const CLIENT: u16 = 68;

impl<'a> Walk<'a> {
    /// Sends a server's answer to the local port as well, unless it goes there already. `packet` is as it came.
    pub(crate) fn deliver_dhcp(&mut self, bridge: &'a Bridge, packet: &Packet) {
        if !self.is_answer(&packet.key.flow) {
            return;
        }
        let Some(local) = bridge.port(OfPort::LOCAL) else { return };
        let PortKind::Internal { dp, .. } = local.kind else { return };
        let goes_there = |action: &Action| matches!(action, Action::Output(to) if *to == dp);
        if !self.actions.iter().any(goes_there) {
            self.say(|| "outputting DHCP packet to local port for in-band control".into());
            self.output(PortRef { bridge: bridge.id, port: OfPort::LOCAL }, local, packet);
        }
    }

    fn is_answer(&mut self, key: &FlowKey) -> bool {
        if key.eth_type != eth_type::IPV4 {
            return false;
        }
        self.mask.0.nw_proto = u8::MAX;
        if key.nw_proto != ip_proto::UDP {
            return false;
        }
        (self.mask.0.tp_src, self.mask.0.tp_dst) = (u16::MAX, u16::MAX);
        (key.tp_src, key.tp_dst) == (SERVER, CLIENT)
    }
}
