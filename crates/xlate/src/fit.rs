//! How long packets of a tunnel may be, and how the answer to one that is too long comes back.

use std::net::IpAddr;

use flow::erspan_bits::VERSION;
use flow::{Fit, FlowKey, TunnelKey, TunnelProtocol, tunnel_flag};
use tunnel::{Endpoint, InKey, OutKey};

use crate::native::Way;

/// What fits, on this way, into the tunnel that a packet with this key enters.
pub(crate) fn fit(endpoint: &Endpoint, way: &Way, key: &FlowKey) -> Fit {
    let mut back = TunnelKey { flags: tunnel_flag::KEY, ..TunnelKey::default() };
    // Whoever would answer through the tunnel sends what the endpoint accepts.
    back.id = match endpoint.in_key {
        InKey::Exact(key) => key.get().into(),
        InKey::Absent => 0,
        InKey::Flow => match endpoint.out_key {
            OutKey::Exact(key) => key.get().into(),
            OutKey::Absent => 0,
            OutKey::Flow => key.tunnel.id & u64::from(endpoint.kind.key_max()),
        },
    };
    if endpoint.kind.protocol() == TunnelProtocol::Erspan {
        back.set_erspan(VERSION, 2);
    }
    match (way.remote, way.src) {
        (IpAddr::V4(remote), IpAddr::V4(own)) => {
            (back.ip_src, back.ip_dst) = (remote.into(), own.into());
        }
        (IpAddr::V6(remote), IpAddr::V6(own)) => {
            (back.ipv6_src, back.ipv6_dst) = (remote.octets(), own.octets());
        }
        _ => {}
    }
    Fit {
        most: way.mtu.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(u16::MAX),
        fragments: !endpoint.df,
        answers: endpoint.sizes.answer,
        clamps: endpoint.sizes.clamp,
        back: Some(Box::new(back)),
    }
}
