//! What routers on the way to tunnels' other ends say of packets that are too long for them.
//!
//! Anybody can send such a message. It is believed if it quotes a packet that a tunnel of ours may have sent: from an address of
//! ours, to an end that a tunnel has, by the protocol and ports that it uses (RFC 5927, 4; RFC 8201, 4). [`tunnel::Routes`]
//! bounds what a lie can do.

use std::net::IpAddr;

use base::Instant;
use datapath::Miss;
use packet::fit::{Report, report};
use packet::wire::ip_proto;
use tunnel::Arrival;

use crate::Shared;
use crate::state::State;

impl Shared {
    /// What a report teaches: how long packets to an end may be.
    pub(crate) fn path_news(&self, state: &State, miss: &Miss) -> Option<(IpAddr, u32)> {
        let Some(told) = report(miss.packet.bytes()).filter(|told| state.may_have_sent(told))
        else {
            self.count.path_mtu_refused.inc();
            return None;
        };
        state.routes.has_narrower(told.to, told.mtu).then_some((told.to, told.mtu))
    }

    /// Learns it.
    pub(crate) fn learn_path(&self, state: &mut State, miss: &Miss, now: Instant) {
        if let Some((to, mtu)) = self.path_news(state, miss)
            && state.routes.learn_mtu(to, mtu, now)
        {
            self.count.path_mtu_learned.inc();
            log::info!(target: "tunnel", "{mtu} bytes fit on the way to {to}, says a router");
        }
    }
}

impl State {
    /// Whether a tunnel may have sent the packet that is reported.
    fn may_have_sent(&self, told: &Report) -> bool {
        let arrival = match (told.proto, told.ports) {
            (ip_proto::UDP, Some((src, dst))) => {
                let (low, high) = self.snapshot.source_ports().range();
                Some(Arrival::Udp(dst)).filter(|_| (low..=high).contains(&src))
            }
            (ip_proto::GRE, _) => Some(Arrival::Gre),
            (ip_proto::IPV4 | ip_proto::IPV6, _) if told.to.is_ipv6() => Some(Arrival::Ipv6),
            _ => None,
        };
        let endpoints = self.snapshot.endpoints();
        arrival.is_some_and(|arrival| endpoints.may_send(arrival, told.to))
            && self.routes.is_own_address(told.from)
    }
}
