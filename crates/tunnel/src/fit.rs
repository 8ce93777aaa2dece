//! How long a packet may be that goes into a tunnel.

use std::net::IpAddr;

use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;

use crate::endpoint::{Endpoint, Kind};
use crate::route::NextHop;

impl Endpoint {
    /// Bytes that an untagged IP packet grows by from the inside to the outer IP packet, on the way to `remote`.
    pub fn overhead(&self, remote: IpAddr) -> usize {
        let ip = if remote.is_ipv4() { Ipv4Header::LEN } else { Ipv6Header::LEN };
        let tunnel = match self.kind {
            Kind::Vxlan => UdpHeader::LEN + VxlanHeader::LEN,
        };
        ip + tunnel + EthernetHeader::LEN
    }

    /// Bytes of the longest IP packet that fits into the tunnel by this way, if that is known.
    pub fn mtu(&self, hop: &NextHop, remote: IpAddr) -> Option<u32> {
        hop.mtu.map(|mtu| mtu.saturating_sub(self.overhead(remote) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Remote;

    #[test]
    fn fifty_bytes_of_ipv4_seventy_of_ipv6() {
        for (remote, mtu) in [("10.0.0.2", 1450), ("fd00::2", 1430)] {
            let remote: IpAddr = remote.parse().unwrap();
            let endpoint = Endpoint::new("vx", Kind::Vxlan, Remote::Address(remote));
            let hop =
                |mtu| NextHop { dev: "br".into(), gateway: None, src: remote, weight: 1, mtu };
            assert_eq!(endpoint.mtu(&hop(Some(1500)), remote), Some(mtu));
            assert_eq!(endpoint.mtu(&hop(None), remote), None);
            assert_eq!(endpoint.mtu(&hop(Some(20)), remote), Some(0));
        }
    }
}
