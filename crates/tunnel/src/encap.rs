//! Outer headers, built once per flow: bytes, and where the executor patches what differs packet by packet.
//!
//! Ethernet, IP and UDP are the same for all ([`Outer::push`]); what follows has a file per protocol, each a function from
//! [`Said`] to bytes.

use std::net::IpAddr;

use flow::{DpPort, Fit, TnlPush, TunnelKey, TunnelProtocol};
use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, Mac, eth_type};
use packet::wire::ip_proto;
use packet::wire::ipv4::{Ipv4Header, frag_bit};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::udp::UdpHeader;
use zerocopy::IntoBytes;

use crate::endpoint::{Endpoint, FlowLabel, OutKey};

mod erspan;
mod geneve;
mod gre;
mod gtpu;
mod srv6;
mod vxlan;

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

/// What the tunnel header is to say.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// What is configured.
    pub endpoint: &'a Endpoint,
    /// What rules told the tunnel, for what is left to them ([`Endpoint::asks`]).
    pub told: &'a TunnelKey,
    /// Geneve options as they are to be.
    pub options: &'a [u8],
    /// The type of a packet without an Ethernet header; `None`: a frame.
    pub bare: Option<u16>,
    /// The inner packet's flow label, 0 if it has none.
    pub flow_label: u32,
}

impl Said<'_> {
    /// The key, if there is to be one. Of what rules tell, as many bits count as there is room for.
    fn key(&self) -> Option<u32> {
        match self.endpoint.out_key {
            OutKey::Exact(key) => Some(key.get()),
            OutKey::Absent => None,
            OutKey::Flow => Some(self.told.id as u32 & self.endpoint.kind.key_max()),
        }
    }
}

/// Appends the header of a protocol. `None`: it cannot say that.
fn write(said: &Said<'_>, to: &mut Vec<u8>) -> Option<()> {
    match said.endpoint.kind.protocol() {
        TunnelProtocol::Vxlan => vxlan::write(said, to),
        TunnelProtocol::Geneve => geneve::write(said, to),
        TunnelProtocol::Gre => gre::write(said, to),
        TunnelProtocol::Erspan => erspan::write(said, to),
        TunnelProtocol::Gtpu => gtpu::write(said, to),
        TunnelProtocol::Srv6 => srv6::write(said, to),
    }
}

impl Outer {
    /// The headers for packets that are sent by tunnel port `tnl_port` through `out_port`. `None` when the two ends are not of
    /// one address family, or the tunnel header cannot say what it is to say.
    pub fn push(&self, said: &Said<'_>, tnl_port: DpPort, out_port: DpPort) -> Option<TnlPush> {
        let Said { endpoint, .. } = said;
        let protocol = endpoint.kind.protocol();
        let mut header = Vec::with_capacity(128);
        let l3 = EthernetHeader::LEN;
        let label = match endpoint.flow_label {
            FlowLabel::Copy if protocol == TunnelProtocol::Srv6 => said.flow_label,
            _ => 0,
        };
        let l4 = l3 + self.push_network(self.ip_proto(protocol), label, &mut header)?;
        if protocol.is_udp() {
            let mut udp = UdpHeader::new(0, self.dst_port, 0);
            udp.len = 0.into();
            udp.csum = if self.csum { CSUM_WANTED } else { 0 }.into();
            header.extend_from_slice(udp.as_bytes());
        }
        write(said, &mut header)?;
        Some(TnlPush {
            tnl_port,
            out_port,
            header,
            l3: l3 as u16,
            l4: l4 as u16,
            protocol,
            bare: said.bare.is_some(),
            csum: self.csum,
            src_ports: self.src_ports.range(),
            sequence: endpoint.numbering.sequence().cloned(),
            labels_flows: protocol == TunnelProtocol::Srv6
                && endpoint.flow_label == FlowLabel::Compute,
            peer_offloads: self.peer_offloads,
            fit: Fit::default(),
        })
    }

    /// What follows the outer IP header.
    pub fn ip_proto(&self, protocol: TunnelProtocol) -> u8 {
        match protocol {
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve | TunnelProtocol::Gtpu => ip_proto::UDP,
            TunnelProtocol::Gre | TunnelProtocol::Erspan => ip_proto::GRE,
            TunnelProtocol::Srv6 => ip_proto::ROUTING,
        }
    }

    /// Ethernet and IP; lengths and the IPv4 checksum stay 0. Returns the length of the IP header.
    fn push_network(&self, proto: u8, label: u32, header: &mut Vec<u8>) -> Option<usize> {
        let ethernet = |eth_type| EthernetHeader::new(self.eth_dst, self.eth_src, eth_type);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut ip = Ipv4Header::new(src, dst, proto, self.ttl, 0);
                ip.tos = self.tos;
                ip.total_len = 0.into();
                ip.frag = if self.df { frag_bit::DF } else { 0 }.into();
                ip.csum = 0.into();
                header.extend_from_slice(ethernet(eth_type::IPV4).as_bytes());
                header.extend_from_slice(ip.as_bytes());
                Some(Ipv4Header::LEN)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut ip = Ipv6Header::new(src, dst, proto, self.ttl, 0);
                ip.version_class_label =
                    (0x6000_0000 | u32::from(self.tos) << 20 | label & 0xf_ffff).into();
                header.extend_from_slice(ethernet(eth_type::IPV6).as_bytes());
                header.extend_from_slice(ip.as_bytes());
                Some(Ipv6Header::LEN)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
