//! Outer headers, built once per flow: bytes, and where the executor patches lengths, checksums and the source port.

use std::net::IpAddr;

use flow::{DpPort, Fit, TnlPush};
use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, Mac, eth_type};
use packet::wire::ip_proto;
use packet::wire::ipv4::{Ipv4Header, frag_bit};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::VxlanHeader;
use zerocopy::IntoBytes;

use crate::endpoint::Vni;

/// The range that UDP source ports are taken from, by the inner flow's hash (`tnl/egress_port_range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePorts {
    min: u16,
    max: u16,
}

impl Default for SourcePorts {
    /// The Linux kernel's own range of ephemeral ports.
    fn default() -> Self {
        Self { min: 32768, max: 61000 }
    }
}

impl SourcePorts {
    /// From `min` to `max`, both included; the other way round means the same.
    pub fn new(min: u16, max: u16) -> Self {
        Self { min: min.min(max), max: min.max(max) }
    }

    /// First and last port.
    pub fn range(self) -> (u16, u16) {
        (self.min, self.max)
    }

    /// `tnl/egress_port_range [MIN MAX]`, with the reference's answers.
    pub fn command(&mut self, args: &[&str]) -> Result<String, String> {
        let [min, max] = args else {
            return Ok(format!("Tunnel UDP source port range: {}-{}\n", self.min, self.max));
        };
        let port = |s: &str| s.parse::<u16>().ok().filter(|p| *p != 0);
        let min = port(min).ok_or("Invalid min.")?;
        let max = port(max).ok_or("Invalid max.")?;
        *self = Self::new(min, max);
        Ok("OK".into())
    }
}

/// The outer header's fields, all decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Ethernet source: the underlay bridge's local port.
    pub eth_src: Mac,
    /// Ethernet destination: the next hop.
    pub eth_dst: Mac,
    /// Our end.
    pub src: IpAddr,
    /// The other end.
    pub dst: IpAddr,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Forbid fragmentation (IPv4).
    pub df: bool,
    /// Send the outer UDP checksum.
    pub csum: bool,
    /// UDP destination port.
    pub dst_port: u16,
    /// UDP source ports to choose from.
    pub src_ports: SourcePorts,
    /// The other end is known to understand unfinished packets ([`crate::Peers`]).
    pub peer_offloads: bool,
}

/// What the header holds where a checksum is to be computed: no computed checksum looks like it.
const CSUM_WANTED: u16 = 0xffff;

impl Outer {
    /// A VXLAN header for network `vni`, sent by tunnel port `tnl_port` through `out_port`. `None` when the two ends are not of
    /// one address family.
    pub fn vxlan(&self, vni: Vni, tnl_port: DpPort, out_port: DpPort) -> Option<TnlPush> {
        let mut header = Vec::with_capacity(
            EthernetHeader::LEN + Ipv6Header::LEN + UdpHeader::LEN + VxlanHeader::LEN,
        );
        let l3 = EthernetHeader::LEN;
        let l4 = l3 + self.push_network(&mut header)?;
        let mut udp = UdpHeader::new(0, self.dst_port, 0);
        udp.len = 0.into();
        udp.csum = if self.csum { CSUM_WANTED } else { 0 }.into();
        header.extend_from_slice(udp.as_bytes());
        header.extend_from_slice(VxlanHeader::new(vni.get()).as_bytes());
        Some(TnlPush {
            tnl_port,
            out_port,
            header,
            l3: l3 as u16,
            l4: l4 as u16,
            udp: true,
            csum: self.csum,
            src_ports: self.src_ports.range(),
            peer_offloads: self.peer_offloads,
            fit: Fit::default(),
        })
    }

    /// Ethernet and IP; lengths and the IPv4 checksum stay 0. Returns the length of the IP header.
    fn push_network(&self, header: &mut Vec<u8>) -> Option<usize> {
        let ethernet = |eth_type| EthernetHeader::new(self.eth_dst, self.eth_src, eth_type);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut ip = Ipv4Header::new(src, dst, ip_proto::UDP, self.ttl, 0);
                ip.tos = self.tos;
                ip.total_len = 0.into();
                ip.frag = if self.df { frag_bit::DF } else { 0 }.into();
                ip.csum = 0.into();
                header.extend_from_slice(ethernet(eth_type::IPV4).as_bytes());
                header.extend_from_slice(ip.as_bytes());
                Some(Ipv4Header::LEN)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut ip = Ipv6Header::new(src, dst, ip_proto::UDP, self.ttl, 0);
                ip.version_class_label = (0x6000_0000 | (u32::from(self.tos) << 20)).into();
                header.extend_from_slice(ethernet(eth_type::IPV6).as_bytes());
                header.extend_from_slice(ip.as_bytes());
                Some(Ipv6Header::LEN)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer() -> Outer {
        Outer {
            eth_src: [0x66, 0x8e, 0x8f, 0xb9, 0x1e, 0x97],
            eth_dst: [0xb2, 0xfd, 0x30, 0xff, 0xb0, 0xe3],
            src: "172.168.1.1".parse().unwrap(),
            dst: "172.168.1.2".parse().unwrap(),
            tos: 0xb9,
            ttl: 64,
            df: true,
            csum: false,
            dst_port: 4789,
            src_ports: SourcePorts::default(),
            peer_offloads: false,
        }
    }

    #[test]
    fn the_guides_header_byte_by_byte() {
        let push = outer().vxlan(Vni::new(0x123456).unwrap(), DpPort(3), DpPort(4)).unwrap();
        let want = b"\xb2\xfd\x30\xff\xb0\xe3\x66\x8e\x8f\xb9\x1e\x97\x08\x00\
            \x45\xb9\0\0\0\0\x40\0\x40\x11\0\0\xac\xa8\x01\x01\xac\xa8\x01\x02\
            \0\0\x12\xb5\0\0\0\0\
            \x08\0\0\0\x12\x34\x56\0";
        assert_eq!(push.header, want);
        assert_eq!((push.l3, push.l4, push.src_ports), (14, 34, (32768, 61000)));
    }

    #[test]
    fn over_ipv6() {
        let o = Outer {
            src: "2001:db8::1".parse().unwrap(),
            dst: "2001:db8::2".parse().unwrap(),
            csum: true,
            ..outer()
        };
        let push = o.vxlan(Vni::default(), DpPort(3), DpPort(4)).unwrap();
        assert_eq!((push.header.len(), push.l4, push.csum), (70, 54, true));
        assert_eq!(push.header[14..18], [0x6b, 0x90, 0, 0]);
        assert_eq!(push.header[60..62], [0xff, 0xff]);
        assert!(
            Outer { src: "::1".parse().unwrap(), ..outer() }
                .vxlan(Vni::default(), DpPort(3), DpPort(4))
                .is_none()
        );
    }

    /// Observed on Open vSwitch 3.1.
    #[test]
    fn the_port_range_command() {
        let mut ports = SourcePorts::default();
        let show = "Tunnel UDP source port range: 32768-61000\n";
        assert_eq!(ports.command(&[]).unwrap(), show);
        assert_eq!(ports.command(&["1"]).unwrap(), show);
        assert_eq!(ports.command(&["x", "y"]).unwrap_err(), "Invalid min.");
        assert_eq!(ports.command(&["30000", "40000"]).unwrap(), "OK");
        assert_eq!(ports.range(), (30000, 40000));
    }
}
