//! From the datapath's port, or the tunnel header, to the bridge's port that a packet belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::{DpPort, DropCause, FlowKey, TunnelKey, tunnel_flag};
use pipeline::PortRef;
use tunnel::ecn::{self, Decap};

use crate::packet::Packet;
use crate::request::Use;
use crate::walk::Walk;

impl Walk<'_> {
    /// The port that the packet came in by.
    pub(crate) fn ingress(&mut self, packet: &mut Packet) -> Result<PortRef, DropCause> {
        if packet.key.flow.packet_type != 0 {
            return Err(DropCause::UnsupportedPacketType);
        }
        let dp = DpPort(packet.key.flow.in_port);
        if let Some(at) = self.snapshot.port_of_dp(dp) {
            return Ok(at);
        }
        let at = self.tunnel_ingress(dp, &packet.key.flow)?;
        self.uses.push(Use::Rx(at));
        self.receive_ecn(&mut packet.key.flow)?;
        Ok(at)
    }

    /// The tunnel port that a packet belongs to which `dp` has unwrapped.
    fn tunnel_ingress(&mut self, dp: DpPort, key: &FlowKey) -> Result<PortRef, DropCause> {
        let m = &mut self.mask.0.tunnel;
        let Some((remote, local)) = ends(&key.tunnel) else {
            m.ip_dst = u32::MAX;
            m.ipv6_dst = [u8::MAX; 16];
            return Err(DropCause::UnknownPort);
        };
        m.id = u64::MAX;
        m.flags = tunnel_flag::KEY;
        if remote.is_ipv4() {
            (m.ip_src, m.ip_dst) = (u32::MAX, u32::MAX);
        } else {
            (m.ipv6_src, m.ipv6_dst) = ([u8::MAX; 16], [u8::MAX; 16]);
        }
        let endpoints = self.snapshot.endpoints();
        let id =
            endpoints.find(dp, key.tunnel.id, remote, local).ok_or(DropCause::UnknownTunnel)?;
        self.snapshot.endpoint_port(id).ok_or(DropCause::BridgeNotFound)
    }

    /// Takes over the congestion marks of the outer header.
    fn receive_ecn(&mut self, key: &mut FlowKey) -> Result<(), DropCause> {
        if !key.is_ipv4() && !key.is_ipv6() {
            return Ok(());
        }
        self.mask.0.tunnel.tos |= ecn::MASK;
        if matches!(key.tunnel.tos & ecn::MASK, ecn::CE | ecn::ECT_1) {
            self.mask.0.nw_tos |= ecn::MASK;
        }
        match ecn::decapsulate(key.tunnel.tos, key.nw_tos) {
            Decap::Keep => Ok(()),
            Decap::Mark(mark) => {
                key.nw_tos = (key.nw_tos & !ecn::MASK) | mark;
                Ok(())
            }
            Decap::Drop => Err(DropCause::InvalidEcn),
        }
    }
}

/// Where a tunnel packet came from and went to.
fn ends(t: &TunnelKey) -> Option<(IpAddr, IpAddr)> {
    if !t.is_set() {
        None
    } else if t.ip_dst != 0 {
        Some((Ipv4Addr::from(t.ip_src).into(), Ipv4Addr::from(t.ip_dst).into()))
    } else {
        Some((Ipv6Addr::from(t.ipv6_src).into(), Ipv6Addr::from(t.ipv6_dst).into()))
    }
}
