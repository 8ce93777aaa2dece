//! Lowering the "maximum segment size" that a TCP connection is opened with (RFC 9293, 3.7.1), so that its segments fit from the
//! beginning, wherever ICMP does not get through.

use crate::checksum;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{TcpHeader, flag};
use crate::wire::{Fragment, Header, Located, ip_proto, locate, locate_bare};
use crate::{Csum, Packet};

/// The option's kind and length.
const MSS: (u8, u8) = (2, 4);
/// Kinds without a length: end of list, and padding.
const END: u8 = 0;
const PADDING: u8 = 1;

/// Lowers the option of a SYN to what fits into `mtu` bytes of IP packet. One that is small enough stays; one that is not there
/// is not added (536 bytes are assumed then, which fit). Says whether anything was changed.
pub fn clamp_mss(packet: &mut Packet, mtu: u16) -> bool {
    locate(packet.bytes()).is_some_and(|at| clamp_at(packet, &at, mtu))
}

/// The same of a packet that begins with its IP header.
pub fn clamp_mss_bare(packet: &mut Packet, mtu: u16) -> bool {
    locate_bare(packet.bytes()).is_some_and(|at| clamp_at(packet, &at, mtu))
}

fn clamp_at(packet: &mut Packet, at: &Located, mtu: u16) -> bool {
    if at.proto != ip_proto::TCP || at.fragment != Fragment::No {
        return false;
    }
    let headers = TcpHeader::LEN + if at.v6 { Ipv6Header::LEN } else { Ipv4Header::LEN };
    let most = usize::from(mtu).saturating_sub(headers).max(1) as u16;
    let finished = !matches!(packet.offload.csum, Csum::Partial { .. });
    let Some(frame) = packet.buf.as_mut_slice().get_mut(..at.end) else { return false };
    let Some(tcp) = TcpHeader::at(frame, at.l4).filter(|tcp| tcp.flags() & flag::SYN != 0) else {
        return false;
    };
    let options = at.l4 + TcpHeader::LEN..at.l4 + tcp.header_len();
    let Some(found) = frame.get(options.clone()).and_then(find) else { return false };
    let value = options.start + found;
    let Some(bytes) = frame.get_mut(value..value + 2) else { return false };
    let old = u16::from_be_bytes([bytes[0], bytes[1]]);
    if old <= most {
        return false;
    }
    bytes.copy_from_slice(&most.to_be_bytes());
    // An unfinished checksum holds the pseudo-header's part alone.
    if finished && let Some(tcp) = TcpHeader::at_mut(frame, at.l4) {
        let (old, new) = match found % 2 {
            0 => (old, most),
            // In the sum, the option's bytes then belong to two words.
            _ => (old.swap_bytes(), most.swap_bytes()),
        };
        tcp.csum = checksum::update16(tcp.csum.get(), old, new).into();
    }
    true
}

/// Where the value is in the options.
fn find(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *options.get(at)? {
            END => return None,
            PADDING => at += 1,
            kind => {
                let len = *options.get(at + 1)?;
                if (kind, len) == MSS {
                    return (at + 4 <= options.len()).then_some(at + 2);
                }
                at += usize::from(len).max(2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Sum;
    use crate::wire::ethernet::{EthernetHeader, eth_type};
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    /// A TCP packet with these options (a multiple of four bytes), its checksum right.
    fn segment(flags: u16, options: &[u8]) -> Packet {
        let len = TcpHeader::LEN + options.len();
        let mut tcp = vec![0; TcpHeader::LEN];
        tcp[12..14].copy_from_slice(&(((len / 4) as u16) << 12 | flags).to_be_bytes());
        tcp.extend(options);
        let (src, dst) = (0x0a00_0001u32, 0x0a00_0002u32);
        let mut sum = Sum::pseudo_v4(src, dst, ip_proto::TCP, len);
        sum.add(checksum::sum(&tcp));
        tcp[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
        let ip = Ipv4Header::new(src.into(), dst.into(), ip_proto::TCP, 64, len);
        let ethernet = EthernetHeader::new([2; 6], [4; 6], eth_type::IPV4);
        Packet::from_frame(&[ethernet.as_bytes(), ip.as_bytes(), &tcp].concat())
    }

    fn is_sound(packet: &Packet) -> bool {
        let tcp = &packet.bytes()[34..];
        let mut sum = Sum::pseudo_v4(0x0a00_0001, 0x0a00_0002, ip_proto::TCP, tcp.len());
        sum.add(checksum::sum(tcp));
        sum.checksum() == 0
    }

    #[test]
    fn a_syn_is_lowered_wherever_the_option_stands() {
        for options in [
            &[2, 4, 5, 0xb4][..],
            &[1, 1, 2, 4, 5, 0xb4, 1, 1],
            &[1, 2, 4, 5, 0xb4, 1, 1, 1],
            &[4, 2, 2, 4, 5, 0xb4, 3, 3, 7, 0, 0, 0],
        ] {
            let mut packet = segment(flag::SYN, options);
            assert!(clamp_mss(&mut packet, 1450), "{options:?}");
            let at = 54 + find(options).unwrap();
            assert_eq!(packet.bytes()[at..at + 2], 1410u16.to_be_bytes());
            assert!(is_sound(&packet), "{options:?}");
            assert!(!clamp_mss(&mut packet, 1450), "once");
            let mut bare = Packet::from_frame(&segment(flag::SYN, options).bytes()[14..]);
            assert!(clamp_mss_bare(&mut bare, 1450));
            assert_eq!(bare.bytes(), &packet.bytes()[14..]);
        }
    }

    #[test]
    fn others_stay() {
        for (flags, options) in [
            (flag::SYN, &[2, 4, 1, 0][..]),
            (flag::ACK, &[2, 4, 5, 0xb4]),
            (flag::SYN, &[1, 1, 1, 1]),
            (flag::SYN, &[0, 2, 4, 5]),
            (flag::SYN, &[3, 200, 2, 4]),
            (flag::SYN, &[9, 0, 2, 4, 5, 0xb4, 1]),
        ] {
            let padded = [options, &[0; 4][..(4 - options.len() % 4) % 4]].concat();
            let mut packet = segment(flags, &padded);
            let before = packet.bytes().to_vec();
            let changed = clamp_mss(&mut packet, 1450);
            if options[0] != 9 {
                assert!(!changed && packet.bytes() == before, "{options:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_options_keep_the_checksum_right(options in proptest::collection::vec(0u8..6, 0..40), mtu in any::<u16>()) {
            let mut options = options;
            options.truncate(options.len() / 4 * 4);
            let mut packet = segment(flag::SYN, &options);
            clamp_mss(&mut packet, mtu);
            prop_assert!(is_sound(&packet));
        }

        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45];
            frame.extend(bytes);
            clamp_mss(&mut Packet::from_frame(&frame), 1450);
        }
    }
}
