//! "Too big", said to us: what ICMP "fragmentation needed" (RFC 1191) and ICMPv6 "packet too big" (RFC 4443, 3.2) tell of a
//! packet that we are said to have sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum;
use crate::wire::icmp;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::udp::UdpHeader;
use crate::wire::{Fragment, Header, Located, ip_proto, locate};

/// ICMPv6's "packet too big".
const TOO_BIG: u8 = 2;
/// ICMP "unreachable": fragmentation needed.
const FRAGMENTATION_NEEDED: u8 = 4;
/// Bytes of an ICMP message before what it quotes.
const HEAD: usize = 8;
/// What links take, where a router of old does not say it (RFC 1191, 7).
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508];

/// What a router says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who has sent the packet, and is told.
    pub from: IpAddr,
    /// Where it was to go.
    pub to: IpAddr,
    /// Its transport protocol.
    pub proto: u8,
    /// Its UDP ports, source and destination, if it has such.
    pub ports: Option<(u16, u16)>,
    /// Bytes that would have fitted, with the IP header.
    pub mtu: u32,
}

/// Reads what a frame reports. `None`: it is no such message, its checksum is wrong, or it contradicts itself: it does not go to
/// who has sent the packet, or the packet would have fitted.
pub fn report(frame: &[u8]) -> Option<Report> {
    let at = locate(frame).filter(|at| at.fragment == Fragment::No)?;
    let message = frame.get(at.l4..at.end)?;
    let (head, quote) = message.split_at_checked(HEAD)?;
    let mut sum = checksum::sum(message);
    match (at.v6, at.proto, head[0], head[1]) {
        (false, ip_proto::ICMP, icmp::kind::UNREACHABLE, FRAGMENTATION_NEEDED) => {
            (sum.checksum() == 0).then_some(())?;
            let mtu = u16::from_be_bytes([head[6], head[7]]);
            v4(quote, mtu).filter(|report| report.from == told(frame, &at))
        }
        (true, ip_proto::ICMPV6, TOO_BIG, _) => {
            sum.add(at.pseudo(frame, message.len())?);
            (sum.checksum() == 0).then_some(())?;
            let mtu = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            v6(quote, mtu).filter(|report| report.from == told(frame, &at))
        }
        _ => None,
    }
}

/// Whom a message is for.
fn told(frame: &[u8], at: &Located) -> IpAddr {
    let none = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    match at.v6 {
        true => Ipv6Header::at(frame, at.l3).map_or(none, |ip| Ipv6Addr::from(ip.dst).into()),
        false => {
            Ipv4Header::at(frame, at.l3).map_or(none, |ip| Ipv4Addr::from(ip.dst.get()).into())
        }
    }
}

fn v4(quote: &[u8], mtu: u16) -> Option<Report> {
    let ip = Ipv4Header::view(quote)?;
    let sent = ip.total_len.get();
    let mtu = match mtu {
        0 => PLATEAUS.into_iter().find(|plateau| *plateau < sent)?,
        said => said,
    };
    let rest = quote.get(ip.header_len().max(Ipv4Header::LEN)..)?;
    (mtu < sent && ip.fragment() != Fragment::Later).then(|| Report {
        from: Ipv4Addr::from(ip.src.get()).into(),
        to: Ipv4Addr::from(ip.dst.get()).into(),
        proto: ip.proto,
        ports: ports(ip.proto, rest),
        mtu: mtu.into(),
    })
}

fn v6(quote: &[u8], mtu: u32) -> Option<Report> {
    let (ip, rest) = Ipv6Header::split(quote)?;
    let sent = Ipv6Header::LEN as u32 + u32::from(ip.payload_len.get());
    let upper = ipv6::walk_extensions(rest, ip.next)?;
    (mtu < sent && upper.fragment != Fragment::Later).then(|| Report {
        from: Ipv6Addr::from(ip.src).into(),
        to: Ipv6Addr::from(ip.dst).into(),
        proto: upper.proto,
        ports: rest.get(upper.offset..).and_then(|rest| ports(upper.proto, rest)),
        mtu,
    })
}

fn ports(proto: u8, rest: &[u8]) -> Option<(u16, u16)> {
    let udp = UdpHeader::view(rest).filter(|_| proto == ip_proto::UDP)?;
    Some((udp.src.get(), udp.dst.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::answer;
    use crate::wire::ethernet::{EthernetHeader, eth_type};
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    /// A datagram of ours, from the Ethernet header on.
    fn sent(v6: bool, len: usize) -> Vec<u8> {
        let udp = UdpHeader::new(40_000, 4789, len - UdpHeader::LEN);
        let (ip, kind) = match v6 {
            false => {
                let (src, dst) = ([10, 0, 0, 1].into(), [10, 9, 0, 2].into());
                let mut ip = Ipv4Header::new(src, dst, ip_proto::UDP, 64, len);
                ip.frag = 0x4000.into();
                (ip.as_bytes().to_vec(), eth_type::IPV4)
            }
            true => {
                let (src, dst) = ("fd00::1".parse().unwrap(), "fd09::2".parse().unwrap());
                let ip = Ipv6Header::new(src, dst, ip_proto::UDP, 64, len);
                (ip.as_bytes().to_vec(), eth_type::IPV6)
            }
        };
        let ethernet = EthernetHeader::new([2; 6], [4; 6], kind);
        let mut frame = [ethernet.as_bytes(), &ip, udp.as_bytes()].concat();
        frame.resize(14 + ip.len() + len, 0);
        frame
    }

    #[test]
    fn what_is_answered_is_understood() {
        for (v6, from, to) in [(false, "10.0.0.1", "10.9.0.2"), (true, "fd00::1", "fd09::2")] {
            let told = answer(&sent(v6, 1460), 1400).unwrap();
            let want = Report {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                proto: ip_proto::UDP,
                ports: Some((40_000, 4789)),
                mtu: 1400,
            };
            assert_eq!(report(&told), Some(want));
            let mut damaged = told.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert_eq!(report(&damaged), None);
            assert_eq!(report(&sent(v6, 1460)), None);
            assert_eq!(report(&answer(&sent(v6, 1300), 1400).unwrap()), None, "it fitted");
        }
    }

    #[test]
    fn routers_of_old_do_not_say_how_much() {
        let mut told = answer(&sent(false, 1480), 1400).unwrap();
        told[36..38].fill(0);
        told[40..42].fill(0);
        let sum = checksum::checksum(&told[34..]);
        told[36..38].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(report(&told).map(|report| report.mtu), Some(1492));
    }

    #[test]
    fn who_is_told_of_anothers_packet_does_not_believe_it() {
        let mut told = answer(&sent(false, 1480), 1400).unwrap();
        told[33] = 77;
        crate::wire::ipv4::fix_checksum(&mut told[14..34]);
        assert_eq!(report(&told), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..160),
            like in 0usize..3,
        ) {
            let start = match like {
                0 => Vec::new(),
                like => answer(&sent(like == 2, 1400), 1300).unwrap()[..60].to_vec(),
            };
            bytes.splice(0..0, start);
            report(&bytes);
        }

        #[test]
        fn cut_messages_are_read_without_panic(v6 in any::<bool>(), len in 0usize..1300) {
            let told = answer(&sent(v6, 1400), 1300).unwrap();
            report(&told[..len.min(told.len())]);
        }
    }
}
