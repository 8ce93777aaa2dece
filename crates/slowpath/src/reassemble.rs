//! Fragments that come to the host and may be a tunnel's: what they make is received anew, as if it had come whole by the same
//! port; those of other packets go to the host, as they are.

use std::net::IpAddr;
use std::sync::Arc;

use base::Instant;
use datapath::Miss;
use flow::{Action, DpPort, FlowKey};
use packet::Packet;
use packet::wire::Header;
use packet::wire::ip_proto;
use packet::wire::udp::UdpHeader;
use tunnel::Arrival;

use crate::state::State;
use crate::{Shared, lock};

impl Shared {
    /// Takes a fragment, which without tunnels would leave by `host`.
    pub(crate) fn reassemble(&self, state: &State, miss: &Miss, host: DpPort, now: Instant) {
        let endpoints = state.snapshot.endpoints();
        let is_tunnels = |to: &IpAddr, proto: u8, payload: &[u8]| {
            let arrival = match proto {
                ip_proto::UDP => UdpHeader::view(payload).map(|udp| Arrival::Udp(udp.dst.get())),
                ip_proto::GRE => Some(Arrival::Gre),
                ip_proto::IPV4 | ip_proto::IPV6 if to.is_ipv6() => Some(Arrival::Ipv6),
                _ => None,
            };
            arrival.is_some_and(|arrival| endpoints.listener(arrival).is_some())
        };
        let taken = lock(&self.fragments).take(miss.packet.bytes(), is_tunnels, now);
        self.count.fragments_dropped.add(taken.dropped as u64);
        // How it was received; what its headers say is read anew.
        let metadata = FlowKey {
            in_port: miss.key.in_port,
            skb_mark: miss.key.skb_mark,
            skb_priority: miss.key.skb_priority,
            ..FlowKey::default()
        };
        let to_host: Arc<[Action]> = Arc::new([Action::Output(host)]);
        for frame in taken.foreign {
            self.datapath.inject(Packet::from_frame(&frame), metadata, Some(to_host.clone()));
        }
        if let Some(frame) = taken.whole {
            self.count.reassembled.inc();
            self.datapath.inject(Packet::from_frame(&frame), metadata, None);
        }
    }

    /// Gives up those whose rest does not come.
    pub(crate) fn expire_fragments(&self, now: Instant) {
        let lost = lock(&self.fragments).expire(now);
        self.count.fragments_dropped.add(lost as u64);
    }

    /// When [`Shared::expire_fragments`] has something to do.
    pub(crate) fn fragment_deadline(&self) -> Option<Instant> {
        lock(&self.fragments).deadline()
    }
}
