//! How long a packet may be that goes into a tunnel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::erspan_bits::VERSION;
use flow::{DpPort, TunnelKey};
use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, eth_type};

use crate::encap::{Outer, Said, SourcePorts};
use crate::endpoint::{Carries, Endpoint};
use crate::route::NextHop;

impl Endpoint {
    /// Bytes that an untagged IP packet grows by from the inside to the outer IP packet, on the way to `remote`. What rules may
    /// make longer, by options of Geneve, does not count.
    pub fn overhead(&self, remote: IpAddr) -> usize {
        let (src, network): (IpAddr, _) = match remote {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), eth_type::IPV4),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), eth_type::IPV6),
        };
        let outer = Outer {
            eth_src: [0; 6],
            eth_dst: [0; 6],
            src,
            dst: remote,
            tos: 0,
            ttl: 0,
            df: self.df,
            csum: self.wants_csum(remote.is_ipv6()),
            dst_port: 0,
            src_ports: SourcePorts::default(),
            peer_offloads: false,
        };
        // Of what is left to rules, the longest.
        let mut told = TunnelKey::default();
        told.set_erspan(VERSION, 2);
        let is_bare = self.carries == Carries::Network;
        let bare = is_bare.then_some(network);
        let said = Said { endpoint: self, told: &told, options: &[], bare, flow_label: 0 };
        let header = outer.push(&said, DpPort::NONE, DpPort::NONE);
        let headers = header.map_or(0, |push| push.header.len() - usize::from(push.l3));
        headers + if is_bare { 0 } else { EthernetHeader::LEN }
    }

    /// Bytes of the longest IP packet that fits into the tunnel by this way, if that is known.
    pub fn mtu(&self, hop: &NextHop, remote: IpAddr) -> Option<u32> {
        hop.mtu.map(|mtu| mtu.saturating_sub(self.overhead(remote) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Kind, Remote};

    #[test]
    fn what_is_left_for_packets() {
        for (kind, options, remote, mtu) in [
            (Kind::Vxlan, &[][..], "10.0.0.2", 1450),
            (Kind::Vxlan, &[], "fd00::2", 1430),
            (Kind::Geneve, &[("key", "5")], "10.0.0.2", 1450),
            (Kind::Gre, &[], "10.0.0.2", 1462),
            (Kind::Gre, &[("key", "1"), ("csum", "true"), ("seq", "true")], "10.0.0.2", 1450),
            (Kind::Gre, &[("packet_type", "legacy_l3")], "10.0.0.2", 1476),
            (Kind::Erspan, &[("erspan_ver", "1"), ("erspan_idx", "1")], "10.0.0.2", 1450),
            (Kind::Erspan, &[("erspan_ver", "flow")], "10.0.0.2", 1446),
            (Kind::Gtpu, &[("key", "1")], "10.0.0.2", 1464),
            (Kind::Srv6, &[("srv6_segs", "fd00::2,fd00::9")], "fd00::2", 1420),
        ] {
            let own = [("remote_ip", remote)];
            let all = own.iter().chain(options).copied();
            let endpoint = Endpoint::parse("t", kind, all).unwrap();
            assert!(matches!(endpoint.remote, Remote::Address(_)));
            let remote: IpAddr = remote.parse().unwrap();
            let hop =
                |mtu| NextHop { dev: "br".into(), gateway: None, src: remote, weight: 1, mtu };
            let found = endpoint.mtu(&hop(Some(1500)), remote);
            assert_eq!(found, Some(mtu), "{kind:?} {options:?}");
            assert_eq!(endpoint.mtu(&hop(None), remote), None);
            assert_eq!(endpoint.mtu(&hop(Some(20)), remote), Some(0));
        }
    }
}
