//! Frames for tests: composed from the reference's flow texts, wrapped in VXLAN, and spoilt on purpose.

use std::net::Ipv4Addr;

use packet::checksum::Sum;
use packet::wire::ethernet::{EthernetHeader, Mac, eth_type};
use packet::wire::ip_proto;
use packet::wire::ipv4::{Ipv4Header, fix_checksum};
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::{self, VxlanHeader};
use packet::{Packet, checksum};
use zerocopy::IntoBytes;

/// A frame from a flow text or hexadecimal digits, as `netdev-dummy/receive` makes it.
#[track_caller]
pub fn frame(text: &str) -> Vec<u8> {
    flow::compose::frame_from_text(text, None).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// The same as a packet.
#[track_caller]
pub fn packet(text: &str) -> Packet {
    Packet::from_frame(&frame(text))
}

/// The packets' bytes, to compare them.
pub fn bytes(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets.iter().map(|p| p.bytes().to_vec()).collect()
}

/// One way to spoil a frame. Offsets are from its start; those beyond its end spoil nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// Overwrite from there on.
    At(usize, &'static [u8]),
    /// Keep only so many bytes.
    Cut(usize),
    /// Lengthen with zeros to so many bytes.
    Pad(usize),
    /// Insert these bytes there, so many times.
    Insert(usize, &'static [u8], usize),
    /// Compute the IPv4 header checksum at this offset anew.
    FixIpv4(usize),
}

/// Spoils a frame, one step after the other.
#[must_use]
pub fn spoilt(mut frame: Vec<u8>, steps: &[Spoil]) -> Vec<u8> {
    for step in steps {
        match *step {
            Spoil::At(at, bytes) => {
                for (old, new) in frame.iter_mut().skip(at).zip(bytes) {
                    *old = *new;
                }
            }
            Spoil::Cut(len) => frame.truncate(len),
            Spoil::Pad(len) => frame.resize(len.max(frame.len()), 0),
            Spoil::Insert(at, bytes, times) => {
                let at = at.min(frame.len());
                frame.splice(at..at, bytes.repeat(times));
            }
            Spoil::FixIpv4(at) => {
                if let Some(header) = frame.get_mut(at..) {
                    fix_checksum(header);
                }
            }
        }
    }
    frame
}

/// The outer headers of a VXLAN packet, as another switch would write them.
#[derive(Clone, Copy, Debug)]
pub struct Wrap {
    /// Ethernet source and destination.
    pub macs: (Mac, Mac),
    /// IPv4 source and destination.
    pub ips: (Ipv4Addr, Ipv4Addr),
    /// TOS byte.
    pub tos: u8,
    /// UDP source and destination port.
    pub ports: (u16, u16),
    /// Whether the UDP checksum is there.
    pub csum: bool,
    /// The network.
    pub vni: u32,
}

/// Length of the outer headers.
pub const OUTER: usize = size_of::<EthernetHeader>()
    + size_of::<Ipv4Header>()
    + size_of::<UdpHeader>()
    + size_of::<VxlanHeader>();

impl Wrap {
    /// From one host's underlay port to another's, network 0.
    pub fn new(macs: (Mac, Mac), ips: (Ipv4Addr, Ipv4Addr)) -> Self {
        Self { macs, ips, tos: 0, ports: (50_000, vxlan::PORT), csum: false, vni: 0 }
    }

    /// A frame in its outer headers.
    pub fn wrap(&self, inner: &[u8]) -> Vec<u8> {
        let payload = [VxlanHeader::new(self.vni).as_bytes(), inner].concat();
        let (src, dst) = self.ips;
        let len = size_of::<UdpHeader>() + payload.len();
        let mut udp = UdpHeader::new(self.ports.0, self.ports.1, payload.len());
        if self.csum {
            let mut sum = Sum::pseudo_v4(src.into(), dst.into(), ip_proto::UDP, len);
            sum.add(checksum::sum(udp.as_bytes()));
            sum.add(checksum::sum(&payload));
            udp.csum = sum.checksum_nonzero().into();
        }
        let mut ip = Ipv4Header::new(src, dst, ip_proto::UDP, 64, len);
        ip.tos = self.tos;
        fix_checksum(ip.as_mut_bytes());
        let ethernet = EthernetHeader::new(self.macs.1, self.macs.0, eth_type::IPV4);
        [ethernet.as_bytes(), ip.as_bytes(), udp.as_bytes(), &payload].concat()
    }
}
