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

/// What is to be thought of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// No tunnel has sent what it quotes.
    Lie,
    /// It is known.
    Old,
    /// So many bytes fit on the way to this end, and no more.
    Narrower(IpAddr, u32),
}

impl Shared {
    /// Learns what a report tells, if it is believed.
    pub(crate) fn learn_path(&self, state: &mut State, miss: &Miss, now: Instant) {
        match state.path_news(miss) {
            News::Narrower(to, mtu) if state.routes.learn_mtu(to, mtu, now) => {
                self.count.path_mtu_learned.inc();
                log::info!(target: "tunnel", "{mtu} bytes fit on the way to {to}, says a router");
            }
            News::Narrower(..) | News::Old => {}
            News::Lie => self.count.path_mtu_refused.inc(),
        }
    }

    /// A report that tells nothing new, as was seen before.
    pub(crate) fn hear_path(&self, state: &State, miss: &Miss) {
        if state.path_news(miss) == News::Lie {
            self.count.path_mtu_refused.inc();
        }
    }
}

impl State {
    /// What a report tells.
    pub(crate) fn path_news(&self, miss: &Miss) -> News {
        match report(miss.packet.bytes()).filter(|told| self.may_have_sent(told)) {
            None => News::Lie,
            Some(told) if self.routes.has_narrower(told.to, told.mtu) => {
                News::Narrower(told.to, told.mtu)
            }
            Some(_) => News::Old,
        }
    }

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
