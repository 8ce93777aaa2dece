//! From the datapath's port, or the tunnel header, to the bridge's port that a packet belongs to.

use flow::{Action, DpPort, DropCause, FlowKey, TunnelKey, erspan_bits, tunnel_flag};
use pipeline::PortRef;
use tunnel::ecn::{self, Decap};
use tunnel::{Arrival, Carries, Endpoint, Kind};

use crate::packet::Packet;
use crate::request::Use;
use crate::walk::Walk;

impl<'a> Walk<'a> {
    /// The port that the packet came in by.
    pub(crate) fn ingress(&mut self, packet: &mut Packet) -> Result<PortRef, DropCause> {
        let dp = DpPort(packet.key.flow.in_port);
        let is_frame = packet.key.flow.packet_type == 0;
        if let Some(at) = self.snapshot.port_of_dp(dp) {
            return if is_frame { Ok(at) } else { Err(DropCause::UnsupportedPacketType) };
        }
        let (at, endpoint) = self.tunnel_ingress(dp, &packet.key.flow)?;
        self.uses.push(Use::Rx(at));
        if endpoint.kind == Kind::Geneve {
            self.receive_options(at, packet)?;
        }
        self.receive_ecn(&mut packet.key.flow)?;
        if !is_frame && endpoint.carries == Carries::Network {
            // Rules see frames, whoever they come from.
            self.push(Action::PushEth { src: [0; 6], dst: [0; 6] });
            (packet.key.flow.packet_type, self.done.packet_type) = (0, 0);
        }
        Ok(at)
    }

    /// The tunnel port that a packet belongs to which `dp` has unwrapped, and its tunnel.
    fn tunnel_ingress(
        &mut self,
        dp: DpPort,
        key: &FlowKey,
    ) -> Result<(PortRef, &'a Endpoint), DropCause> {
        let snapshot = self.snapshot;
        let endpoints = snapshot.endpoints();
        let m = &mut self.mask.0.tunnel;
        if !key.tunnel.is_set() {
            m.ip_dst = u32::MAX;
            m.ipv6_dst = [u8::MAX; 16];
            return Err(DropCause::UnknownPort);
        }
        if endpoints.arrival(dp) == Some(Arrival::Gre) {
            m.set_erspan(erspan_bits::VERSION, u32::MAX);
        }
        let is_frame = key.packet_type == 0;
        let Some(id) = endpoints.find(dp, &key.tunnel, is_frame) else {
            let erspan = std::mem::take(&mut m.erspan);
            *m = TunnelKey { erspan, ..endpoints.bits_that_tell(dp, &key.tunnel) };
            return Err(DropCause::UnknownTunnel);
        };
        m.id = u64::MAX;
        m.flags = tunnel_flag::KEY | tunnel_flag::GBP | tunnel_flag::GPE | tunnel_flag::CRITICAL;
        if key.tunnel.ip_dst != 0 {
            (m.ip_src, m.ip_dst) = (u32::MAX, u32::MAX);
        } else {
            (m.ipv6_src, m.ipv6_dst) = ([u8::MAX; 16], [u8::MAX; 16]);
        }
        let (endpoint, _) = endpoints.get(id).ok_or(DropCause::UnknownTunnel)?;
        let endpoint: &'a Endpoint = endpoint;
        let extended = |bit: u8| key.tunnel.flags & bit != 0;
        if extended(tunnel_flag::GBP) && !endpoint.exts.gbp
            || extended(tunnel_flag::GPE) && !endpoint.exts.gpe
        {
            return Err(DropCause::InvalidTunnelMetadata);
        }
        let at = self.snapshot.endpoint_port(id).ok_or(DropCause::BridgeNotFound)?;
        Ok((at, endpoint))
    }

    /// Reads the outer header's options into their fields. Whether somebody knows those that must be known decides what becomes
    /// of the packet.
    fn receive_options(&mut self, at: PortRef, packet: &mut Packet) -> Result<(), DropCause> {
        let tunnel = packet.key.flow.tunnel;
        self.known_options = self.options_of(at.bridge);
        packet.has_options = true;
        let all_known = self.known_options.read(self.options, &mut packet.key);
        if tunnel.flags & tunnel_flag::CRITICAL == 0 {
            return Ok(());
        }
        self.option_mask.look_for_critical();
        if all_known { Ok(()) } else { Err(DropCause::InvalidTunnelMetadata) }
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
