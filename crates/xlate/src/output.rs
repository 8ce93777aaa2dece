//! Sending a packet out of a port, whatever is behind it.

use flow::{Action, DropCause, SlowReason};
use pipeline::{Port, PortKind, PortRef};

use crate::packet::Packet;
use crate::request::Use;
use crate::trace::Kind;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// The port takes frames, and the packet is none.
    pub(crate) fn refuse_bare(&mut self) {
        self.note(Kind::Warning, || {
            "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.".into()
        });
        self.give_up(DropCause::UnsupportedPacketType);
    }

    /// The packet leaves its bridge by this port.
    pub(crate) fn output(&mut self, at: PortRef, port: &'a Port, packet: &Packet) {
        if port.config.no_forward {
            self.say(|| "OFPPC_NO_FWD set, skipping output".into());
            return self.give_up(DropCause::PortDisabled);
        }
        let is_bare = packet.key.flow.packet_type != 0;
        // What tunnels carry they say themselves.
        let takes_bare = matches!(port.kind, PortKind::Patch(_) | PortKind::Tunnel { .. });
        if is_bare && !takes_bare {
            return self.refuse_bare();
        }
        match port.kind {
            PortKind::Device(dp) => {
                self.commit(packet);
                self.push(Action::Output(dp));
            }
            PortKind::Internal { dp, mac } => {
                let tunnel = self.tunnel_for(port, mac, packet);
                let reports = tunnel.is_none() && self.reports_path(port, mac, packet);
                if tunnel.is_none() {
                    self.listen_for_neighbours(port, packet);
                }
                self.commit(packet);
                if reports {
                    self.push(Action::Userspace(SlowReason::PathMtu));
                }
                let part = tunnel.is_none() && self.is_tunnels_fragment(port, mac, packet);
                let host = match part {
                    true => Action::Userspace(SlowReason::Fragment(dp)),
                    false => Action::Output(dp),
                };
                self.push(tunnel.map_or(host, Action::TnlPop));
            }
            PortKind::Patch(None) => self.give_up(DropCause::BridgeNotFound),
            PortKind::Patch(Some(peer)) => {
                self.uses.push(Use::Tx(at));
                self.uses.push(Use::Rx(peer));
                let mut packet = *packet;
                // Tunnels are of the bridge that they end on.
                packet.leave_tunnel();
                self.undoing(|walk| walk.enter(peer, &packet));
            }
            PortKind::Tunnel { dp, endpoint } => self.tunnel_output(at, dp, endpoint, packet),
        }
    }
}
