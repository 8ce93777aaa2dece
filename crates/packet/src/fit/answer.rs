//! "Too big", said to the sender: ICMP "fragmentation needed" (RFC 1191) and ICMPv6 "packet too big" (RFC 4443, 3.2).
//!
//! The answer pretends to come from the packet's destination, as the kernel's tunnel devices do it: a switch has no address of
//! its own in the guests' networks.

use zerocopy::IntoBytes;

use crate::checksum::{self, Sum};
use crate::wire::ethernet::{EthernetHeader, eth_type};
use crate::wire::ipv4::{Ipv4Header, frag_bit};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{Fragment, Header, Located, icmp, ip_proto, locate};

/// Of the packet so many bytes are quoted: all of the answer then fits what every host takes (RFC 1812, 4.3.2.3).
const QUOTE_V4: usize = 576 - Ipv4Header::LEN - 8;
/// The same for IPv6 (RFC 4443, 2.4).
const QUOTE_V6: usize = MIN_V6 as usize - Ipv6Header::LEN - 8;
/// Bytes of a frame that an answer needs at most.
pub const NEEDED: usize = MIN_V6 as usize + 64;

/// No IPv6 link takes less.
const MIN_V6: u16 = 1280;
/// No IPv4 link takes less.
const MIN_V4: u16 = 68;
/// ICMPv6's "packet too big".
const TOO_BIG: u8 = 2;
/// ICMP "unreachable": fragmentation needed.
const FRAGMENTATION_NEEDED: u8 = 4;
/// Hop limit of answers.
const TTL: u8 = 64;

/// The frame that tells the sender of `frame` that `mtu` bytes (with the IP header) would fit; with the same VLAN tags. `None`
/// where nobody may be told (RFC 1122, 3.2.2): about ICMP errors, groups and broadcasts, fragments but the first, no unicast
/// source; or there is nothing to tell: IPv4 that may be cut.
pub fn answer(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let ethernet = EthernetHeader::view(frame)?;
    if ethernet.dst[0] & 1 != 0 || ethernet.src[0] & 1 != 0 {
        return None;
    }
    let at = locate_cut(frame)?;
    if at.fragment == Fragment::Later {
        return None;
    }
    let mut out = Vec::with_capacity(NEEDED);
    out.extend_from_slice(&ethernet.src);
    out.extend_from_slice(&ethernet.dst);
    // The type, and tags as they are.
    out.extend_from_slice(frame.get(2 * 6..at.l3)?);
    if at.v6 {
        v6(frame, &at, mtu, &mut out)?
    } else {
        v4(frame, &at, mtu, &mut out)?
    }
    Some(out)
}

/// The same of a packet that begins with its IP header, as does the answer.
pub fn answer_bare(packet: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let eth_type = match packet.first()? >> 4 {
        4 => eth_type::IPV4,
        6 => eth_type::IPV6,
        _ => return None,
    };
    // Nobody's addresses are nobody's group either.
    let ethernet = EthernetHeader::new([0; 6], [0; 6], eth_type);
    let beginning = packet.get(..NEEDED).unwrap_or(packet);
    let mut told = answer(&[ethernet.as_bytes(), beginning].concat(), mtu)?;
    told.drain(..EthernetHeader::LEN);
    Some(told)
}

/// The same as [`locate`] of a frame that may be cut short.
fn locate_cut(frame: &[u8]) -> Option<Located> {
    if let Some(at) = locate(frame) {
        return Some(at);
    }
    // Whole headers are there; with lengths that are true they can be read.
    let mut whole = frame.get(..frame.len().min(NEEDED))?.to_vec();
    let l3 = link_header(frame)?;
    let rest = u16::try_from(whole.len() - l3).ok()?;
    match whole.get(l3)? >> 4 {
        4 => Ipv4Header::at_mut(&mut whole, l3)?.total_len = rest.into(),
        6 => {
            let payload = rest.checked_sub(Ipv6Header::LEN as u16)?;
            Ipv6Header::at_mut(&mut whole, l3)?.payload_len = payload.into();
        }
        _ => return None,
    }
    locate(&whole)
}

fn link_header(frame: &[u8]) -> Option<usize> {
    let mut l3 = EthernetHeader::LEN;
    while crate::wire::vlan::is_vlan(u16::from_be_bytes(*frame.get(l3 - 2..)?.first_chunk()?)) {
        l3 += 4;
    }
    (l3 < frame.len()).then_some(l3)
}

fn v4(frame: &[u8], at: &Located, mtu: u16, out: &mut Vec<u8>) -> Option<()> {
    let ip = Ipv4Header::at(frame, at.l3)?;
    let (src, dst) = (ip.src.get(), ip.dst.get());
    let is_host = |ip: u32| {
        let ip = std::net::Ipv4Addr::from(ip);
        !(ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified() || ip.is_loopback())
    };
    let is_query = |kind: u8| {
        // RFC 1122 lists the errors; queries and their replies may be told of.
        ![3, 4, 5, 11, 12].contains(&kind)
    };
    let kind = (at.proto == ip_proto::ICMP).then(|| frame.get(at.l4).copied()).flatten();
    let may_be_cut = ip.frag.get() & frag_bit::DF == 0;
    if may_be_cut || !is_host(src) || !is_host(dst) || kind.is_some_and(|k| !is_query(k)) {
        return None;
    }
    let quote = frame.get(at.l3..frame.len().min(at.end).min(at.l3 + QUOTE_V4))?;
    let mtu = mtu.max(MIN_V4);
    let head = [icmp::kind::UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0];
    let mut message = [&head[..], &mtu.to_be_bytes(), quote].concat();
    let csum = checksum::checksum(&message);
    message.get_mut(2..4)?.copy_from_slice(&csum.to_be_bytes());
    let header = Ipv4Header::new(dst.into(), src.into(), ip_proto::ICMP, TTL, message.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&message);
    Some(())
}

fn v6(frame: &[u8], at: &Located, mtu: u16, out: &mut Vec<u8>) -> Option<()> {
    let ip = Ipv6Header::at(frame, at.l3)?;
    let (src, dst) = (ip.src, ip.dst);
    let is_host = |ip: [u8; 16]| {
        let ip = std::net::Ipv6Addr::from(ip);
        !(ip.is_multicast() || ip.is_unspecified() || ip.is_loopback())
    };
    let kind = (at.proto == ip_proto::ICMPV6).then(|| frame.get(at.l4).copied()).flatten();
    // Errors are the types below 128.
    if !is_host(src) || !is_host(dst) || kind.is_some_and(|kind| kind < 128) {
        return None;
    }
    let quote = frame.get(at.l3..frame.len().min(at.end).min(at.l3 + QUOTE_V6))?;
    let head = [TOO_BIG, 0, 0, 0, 0, 0];
    let mut message = [&head[..], &mtu.max(MIN_V6).to_be_bytes(), quote].concat();
    let mut sum = Sum::pseudo_v6(&dst, &src, ip_proto::ICMPV6, message.len());
    sum.add(checksum::sum(&message));
    message.get_mut(2..4)?.copy_from_slice(&sum.checksum().to_be_bytes());
    let header = Ipv6Header::new(dst.into(), src.into(), ip_proto::ICMPV6, TTL, message.len());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&message);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ping(df: bool, len: usize) -> Vec<u8> {
        let ends = icmp::Ends {
            eth_src: [2, 0, 0, 0, 0, 1],
            eth_dst: [2, 0, 0, 0, 0, 2],
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
        };
        let mut frame = icmp::echo(&ends, icmp::kind::ECHO_REQUEST, 1, 2, &vec![7; len]);
        if !df {
            frame[20] = 0;
            crate::wire::ipv4::fix_checksum(&mut frame[14..34]);
        }
        frame
    }

    #[test]
    fn the_sender_is_told_by_what_it_wanted_to_reach() {
        let frame = ping(true, 1472);
        let told = answer(&frame, 1450).unwrap();
        assert_eq!(told[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        assert_eq!((&told[26..30], &told[30..34]), (&[10, 0, 0, 2][..], &[10, 0, 0, 1][..]));
        assert_eq!(told[34..36], [3, 4]);
        assert_eq!(told[40..42], 1450u16.to_be_bytes());
        assert_eq!(told[42..42 + QUOTE_V4], frame[14..14 + QUOTE_V4]);
        assert_eq!(told.len(), 14 + 576);
        assert_eq!(checksum::checksum(&told[14..34]), 0);
        assert_eq!(checksum::checksum(&told[34..]), 0);
        // A packet of which only the beginning is at hand.
        assert_eq!(answer(&frame[..700], 1450).as_ref(), Some(&told));
        assert_eq!(answer_bare(&frame[14..], 1450).as_deref(), Some(&told[14..]));
    }

    #[test]
    fn tags_stay() {
        let mut frame = ping(true, 1472);
        frame.splice(12..12, [0x81, 0, 0, 10]);
        let told = answer(&frame, 1446).unwrap();
        assert_eq!(told[12..18], [0x81, 0, 0, 10, 8, 0]);
        assert_eq!(told[38..40], [3, 4]);
    }

    #[test]
    fn over_ipv6() {
        let (src, dst) = ([0xfd; 16], [0xfc; 16]);
        let ip = Ipv6Header::new(src.into(), dst.into(), ip_proto::UDP, 64, 1460);
        let ethernet = EthernetHeader::new([2; 6], [4; 6], eth_type::IPV6);
        let frame = [ethernet.as_bytes(), ip.as_bytes(), &[0; 1460]].concat();
        let told = answer(&frame, 1450).unwrap();
        assert_eq!(told.len(), 14 + 1280);
        assert_eq!((told[54], told[55], &told[58..62]), (2, 0, &1450u32.to_be_bytes()[..]));
        let mut sum = Sum::pseudo_v6(&dst, &src, ip_proto::ICMPV6, told.len() - 54);
        sum.add(checksum::sum(&told[54..]));
        assert_eq!(sum.checksum(), 0);
        assert_eq!(answer(&frame, 1000).unwrap()[58..62], 1280u32.to_be_bytes());
    }

    #[test]
    fn not_everybody_may_be_told() {
        assert_eq!(answer(&ping(false, 1472), 1450), None, "it may be cut");
        let mut group = ping(true, 1472);
        group[0] |= 1;
        assert_eq!(answer(&group, 1450), None);
        let mut error = ping(true, 1472);
        error[34] = 3;
        assert_eq!(answer(&error, 1450), None);
        let mut later = ping(true, 1472);
        later[21] = 9;
        assert_eq!(answer(&later, 1450), None);
        let mut nobody = ping(true, 1472);
        nobody[26..30].fill(0);
        assert_eq!(answer(&nobody, 1450), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
            like in 0usize..3,
            mtu in any::<u16>(),
        ) {
            let start: &[u8] = match like {
                0 => &[],
                1 => &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45],
                _ => &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60],
            };
            bytes.splice(0..0, start.iter().copied());
            if let Some(told) = answer(&bytes, mtu) {
                prop_assert!(told.len() <= NEEDED && locate(&told).is_some());
                // Nobody is told of what is told.
                let again = answer(&told, mtu);
                prop_assert!(again.is_none());
            }
        }
    }
}
