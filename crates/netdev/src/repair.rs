//! What a bare frame does not say of itself: whether its checksum is finished.
//!
//! # What
//! A host's stack leaves transport checksums to the device that it sends by. On the other end of a veth or a tap nobody has
//! finished them, and XDP (or DPDK) hands over the bare frame. But an unfinished checksum has a mark: its field holds the sum of the
//! pseudo-header, and nothing else. [`repair`] says [`Csum::Partial`] of such frames, and whoever needs it finished finishes
//! it.
//!
//! # Why that is safe
//! One right checksum in 65536 equals its own pseudo-header's sum, when the rest sums to nothing; finishing that one gives the
//! same again. A damaged frame whose field has that very value would be made a good one: senders on this machine damage
//! nothing, and of frames that came over a wire this is not asked.
//!
//! A host's own tunnel device leaves the *inner* checksum unfinished, and a finished outer one, which holds as if the inner one
//! were finished too.

use packet::Csum;
use packet::wire::ip_proto::{SCTP, TCP, UDP};
use packet::wire::udp::UdpHeader;
use packet::wire::{Fragment, Header, Located, locate, tcp, udp};

use crate::vnet;

/// The state of the transport checksum in a frame of a sender that may be on this machine. An unfinished checksum of SCTP, which
/// nobody after us would know how to finish, is finished here.
pub(crate) fn repair(frame: &mut [u8]) -> Csum {
    match locate(frame) {
        Some(at) if at.fragment == Fragment::No => unfinished(frame, &at),
        _ => Csum::Complete,
    }
}

fn unfinished(frame: &mut [u8], at: &Located) -> Csum {
    let offset = match at.proto {
        TCP => tcp::CSUM_OFFSET,
        UDP => udp::CSUM_OFFSET,
        SCTP => return sctp(frame, at),
        _ => return Csum::Complete,
    };
    if let Some(csum) = partial(frame, at, 0, offset) {
        return csum;
    }
    if at.proto == UDP { inside(frame, at).unwrap_or_default() } else { Csum::Complete }
}

/// The checksum of the packet at `at` in `frame[base..]`, if it is unfinished.
fn partial(frame: &[u8], at: &Located, base: usize, offset: u16) -> Option<Csum> {
    let packet = frame.get(base..)?;
    let field = at.l4.checked_add(usize::from(offset))?;
    let field = packet.get(..at.end)?.get(field..field + 2)?;
    let pseudo = at.pseudo(packet, at.end - at.l4)?.fold();
    // Of UDP, 0 means that there is none; no pseudo-header sums to 0.
    (field == pseudo.to_be_bytes())
        .then_some(Csum::Partial { start: u16::try_from(base + at.l4).ok()?, offset })
}

/// The unfinished checksum inside a tunnel, told by structure as everywhere.
fn inside(frame: &[u8], outer: &Located) -> Option<Csum> {
    // VXLAN (RFC 7348) and Geneve (RFC 8926): 8 bytes of header, options behind them in Geneve.
    const HEADER: usize = 8;
    let tunnel = outer.l4 + UdpHeader::LEN;
    let options = usize::from(frame.get(tunnel)? & 0x3f) * 4;
    [0, options].iter().find_map(|options| {
        let base = tunnel + HEADER + options;
        let at = locate(frame.get(base..)?)?;
        let offset = match at.proto {
            TCP => tcp::CSUM_OFFSET,
            UDP => udp::CSUM_OFFSET,
            _ => return None,
        };
        let csum = partial(frame, &at, base, offset).filter(|_| at.fragment == Fragment::No)?;
        packet::gso::find_tunnel(frame, csum).map(|_| csum)
    })
}

/// SCTP's checksum is of another kind; unfinished, its field is 0.
fn sctp(frame: &mut [u8], at: &Located) -> Csum {
    match frame.get(at.l4 + 8..at.l4 + 12) {
        Some([0, 0, 0, 0]) => match u16::try_from(at.l4) {
            Ok(start) => vnet::partial(frame, start, 8),
            Err(_) => Csum::Complete,
        },
        _ => Csum::Complete,
    }
}

#[cfg(test)]
mod tests {
    use packet::Packet;
    use packet::gso::complete_csum;
    use packet::wire::ipv4::fix_checksum;
    use proptest::prelude::*;

    use super::*;

    /// Ethernet, tags, IPv4 or IPv6, and a transport packet of that protocol whose checksum field is 0.
    fn frame(tags: usize, v6: bool, proto: u8, transport: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x81, 0, 0, 7].repeat(tags));
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((transport.len() as u16).to_be_bytes());
            frame.extend([proto, 64]);
            frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + transport.len() as u16).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let at = frame.len() - 20;
            fix_checksum(&mut frame[at..]);
        }
        frame.extend(transport);
        frame
    }

    /// UDP or TCP with that payload.
    fn transport(proto: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x30, 0x39, 0x12, 0xb5];
        if proto == UDP {
            bytes.extend((8 + payload.len() as u16).to_be_bytes());
            bytes.extend([0, 0]);
        } else {
            bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        }
        bytes.extend(payload);
        bytes
    }

    /// Leaves the checksum unfinished as a stack does, and says where it is.
    fn unfinish(frame: &mut [u8], base: usize) -> Csum {
        let at = locate(&frame[base..]).unwrap();
        let offset = if at.proto == UDP { udp::CSUM_OFFSET } else { tcp::CSUM_OFFSET };
        let sum = at.pseudo(&frame[base..], at.end - at.l4).unwrap().fold();
        let field = base + at.l4 + usize::from(offset);
        frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        Csum::Partial { start: (base + at.l4) as u16, offset }
    }

    fn finish(frame: &[u8], csum: Csum) -> Vec<u8> {
        let mut packet = Packet::from_frame(frame);
        packet.offload.csum = csum;
        complete_csum(&mut packet).unwrap();
        packet.bytes().to_vec()
    }

    proptest! {
        #[test]
        fn unfinished_checksums_are_found_and_finished_ones_left(
            tags in 0usize..3,
            v6: bool,
            is_udp: bool,
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            padding in 0usize..20,
        ) {
            let proto = if is_udp { UDP } else { TCP };
            let mut unfinished = frame(tags, v6, proto, &transport(proto, &payload));
            unfinished.resize(unfinished.len() + padding, 0xee);
            let csum = unfinish(&mut unfinished, 0);
            let before = unfinished.clone();
            prop_assert_eq!(repair(&mut unfinished), csum);
            prop_assert_eq!(&unfinished, &before, "the frame itself is left alone");
            // Finished, it is not taken for unfinished; or finishing it again changes nothing.
            let mut finished = finish(&unfinished, csum);
            let again = repair(&mut finished);
            if again != Csum::Complete {
                prop_assert_eq!(finish(&finished, again), finished);
            }
        }

        #[test]
        fn an_unfinished_checksum_in_a_tunnel_is_found(
            v6: bool,
            inner_v6: bool,
            is_udp: bool,
            payload in proptest::collection::vec(any::<u8>(), 1..100),
        ) {
            let proto = if is_udp { UDP } else { TCP };
            let mut inner = frame(0, inner_v6, proto, &transport(proto, &payload));
            let Csum::Partial { start, offset } = unfinish(&mut inner, 0) else { unreachable!() };
            let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat();
            let mut outer = frame(0, v6, UDP, &transport(UDP, &vxlan));
            let base = (outer.len() - inner.len()) as u16;
            prop_assert_eq!(repair(&mut outer), Csum::Partial { start: start + base, offset });
        }

        #[test]
        fn any_bytes_are_survived(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
            v6: bool,
            proto in prop_oneof![Just(TCP), Just(UDP), Just(SCTP), any::<u8>()],
            cut in 0usize..300,
        ) {
            repair(&mut bytes);
            let mut odd = frame(0, v6, proto, &bytes);
            odd.truncate(odd.len() - cut.min(odd.len()));
            let len = odd.len();
            if let Csum::Partial { start, offset } = repair(&mut odd) {
                prop_assert!(usize::from(start) + usize::from(offset) + 2 <= len);
            }
        }
    }

    #[test]
    fn fragments_and_datagrams_without_checksum_are_left() {
        let mut none = frame(0, false, UDP, &transport(UDP, b"payload"));
        assert_eq!(repair(&mut none), Csum::Complete);
        let mut fragment = none.clone();
        unfinish(&mut fragment, 0);
        fragment[14 + 6] = 0x20;
        assert_eq!(repair(&mut fragment), Csum::Complete);
    }

    #[test]
    fn sctp_is_finished_here() {
        let mut unfinished =
            frame(0, false, SCTP, &[0x30, 0x39, 0x12, 0xb5, 1, 2, 3, 4, 0, 0, 0, 0, 3, 0, 0, 4]);
        assert_eq!(repair(&mut unfinished), Csum::Verified);
        let finished = unfinished.clone();
        assert_ne!(finished[14 + 20 + 8..14 + 20 + 12], [0; 4]);
        assert_eq!(repair(&mut unfinished), Csum::Complete);
        assert_eq!(unfinished, finished);
    }
}
