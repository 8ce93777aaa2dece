//! Frames for tests, with right checksums, and a judge of checksums.

use std::net::{Ipv4Addr, Ipv6Addr};

use packet::checksum;
use packet::wire::ethernet::{EthernetHeader, eth_type};
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;
use packet::wire::tcp::{self, TcpHeader};
use packet::wire::udp::{self, UdpHeader};
use packet::wire::{Fragment, Header, ip_proto, locate};
use packet::{Csum, Gso, GsoKind, Packet};
use zerocopy::IntoBytes;

pub(crate) const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub(crate) const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

/// What an IP packet is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) v6: bool,
    pub(crate) proto: u8,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    /// TCP only.
    pub(crate) seq: u32,
    /// TCP only.
    pub(crate) flags: u16,
}

pub(crate) const TCP4: Ip =
    Ip { v6: false, proto: ip_proto::TCP, sport: 1000, dport: 80, seq: 7, flags: 0x10 };
pub(crate) const UDP4: Ip = Ip { proto: ip_proto::UDP, ..TCP4 };
pub(crate) const TCP6: Ip = Ip { v6: true, ..TCP4 };
pub(crate) const UDP6: Ip = Ip { v6: true, ..UDP4 };

/// A complete frame from A to B.
pub(crate) fn frame(ip: Ip, payload: &[u8]) -> Vec<u8> {
    let mut transport = match ip.proto {
        ip_proto::TCP => {
            let header = TcpHeader {
                src: ip.sport.into(),
                dst: ip.dport.into(),
                seq: ip.seq.into(),
                ack: 99.into(),
                offset_flags: (0x5000 | ip.flags).into(),
                window: 500.into(),
                csum: 0.into(),
                urgent: 0.into(),
            };
            header.as_bytes().to_vec()
        }
        ip_proto::UDP => UdpHeader::new(ip.sport, ip.dport, payload.len()).as_bytes().to_vec(),
        // ICMP echo.
        _ => vec![if ip.v6 { 128 } else { 8 }, 0, 0, 0, 0, 1, 0, 2],
    };
    transport.extend_from_slice(payload);
    let mut bytes = EthernetHeader::new(B, A, if ip.v6 { eth_type::IPV6 } else { eth_type::IPV4 })
        .as_bytes()
        .to_vec();
    if ip.v6 {
        let addr = |n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n);
        bytes.extend_from_slice(
            Ipv6Header::new(addr(1), addr(2), ip.proto, 64, transport.len()).as_bytes(),
        );
    } else {
        let addr = |n| Ipv4Addr::new(10, 0, 0, n);
        bytes.extend_from_slice(
            Ipv4Header::new(addr(1), addr(2), ip.proto, 64, transport.len()).as_bytes(),
        );
    }
    bytes.extend_from_slice(&transport);
    if let Some(field) = csum_field(&bytes) {
        let at = locate(&bytes).unwrap();
        let mut sum = if ip.proto == ip_proto::ICMP {
            Default::default()
        } else {
            at.pseudo(&bytes, transport.len()).unwrap()
        };
        sum.add(checksum::sum(&bytes[at.l4..at.end]));
        bytes[field..field + 2].copy_from_slice(&sum.checksum_nonzero().to_be_bytes());
    }
    bytes
}

/// A packet whose transport checksum is left to the device.
pub(crate) fn partial(ip: Ip, payload: &[u8]) -> Packet {
    let mut bytes = frame(ip, payload);
    let at = locate(&bytes).unwrap();
    let field = csum_field(&bytes).unwrap();
    let pseudo = at.pseudo(&bytes, at.end - at.l4).unwrap().fold();
    bytes[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let mut packet = Packet::from_frame(&bytes);
    packet.offload.csum = Csum::Partial { start: at.l4 as u16, offset: (field - at.l4) as u16 };
    packet
}

/// A super-packet of segments with `size` bytes each.
pub(crate) fn super_packet(ip: Ip, payload: &[u8], size: u16) -> Packet {
    let mut packet = partial(ip, payload);
    let kind = match (ip.proto, ip.v6) {
        (ip_proto::UDP, _) => GsoKind::Udp,
        (_, false) => GsoKind::Tcp4,
        (_, true) => GsoKind::Tcp6,
    };
    packet.offload.gso = Some(Gso { kind, size, ecn: false });
    packet
}

/// Bytes that differ from place to place.
pub(crate) fn payload(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Offset of the transport checksum.
pub(crate) fn csum_field(bytes: &[u8]) -> Option<usize> {
    let at = locate(bytes)?;
    let offset = match at.proto {
        ip_proto::TCP => tcp::CSUM_OFFSET,
        ip_proto::UDP => udp::CSUM_OFFSET,
        ip_proto::ICMP | ip_proto::ICMPV6 => 2,
        _ => return None,
    };
    Some(at.l4 + usize::from(offset))
}

/// Panics unless all lengths and checksums of the (outermost) headers are right.
#[track_caller]
pub(crate) fn assert_sound(bytes: &[u8]) {
    let at = locate(bytes).expect("headers that add up");
    if !at.v6 {
        assert_eq!(checksum::checksum(&bytes[at.l3..at.l4]), 0, "IPv4 header checksum");
    }
    let Some(field) = csum_field(bytes).filter(|_| at.fragment != Fragment::Later) else { return };
    if at.proto == ip_proto::UDP {
        let udp = UdpHeader::at(bytes, at.l4).unwrap();
        assert_eq!(usize::from(udp.len.get()), at.end - at.l4, "UDP length");
        if bytes[field..field + 2] == [0, 0] {
            return;
        }
    }
    let mut sum = if at.proto == ip_proto::ICMP {
        Default::default()
    } else {
        at.pseudo(bytes, at.end - at.l4).unwrap()
    };
    sum.add(checksum::sum(&bytes[at.l4..at.end]));
    assert_eq!(sum.checksum(), 0, "transport checksum of {bytes:02x?}");
}
