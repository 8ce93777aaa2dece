//! Copying the time to live between the outermost label stack entry and what is behind it (OpenFlow 1.3, 5.12; RFC 3443).
//!
//! Behind the last entry nothing says what there is; as everywhere it is taken for what its first four bits say, IPv4 or IPv6.
//! Where it is neither, or is cut, nothing is copied.

use packet::Packet;
use packet::checksum::update16;
use packet::wire::Header;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::ipv6::Ipv6Header;

use super::mpls;

/// In an entry: the last of the stack.
const BOTTOM: u8 = 1;
/// Where an entry has its time to live, and [`BOTTOM`] in the byte before.
const ENTRY_TTL: usize = 3;

/// To the outermost entry from what is behind it.
pub(super) fn copy_out(packet: &mut Packet, packet_type: u32) {
    let Some(outer) = mpls::entry_at(packet, packet_type) else { return };
    let frame = packet.buf.as_mut_slice();
    let ttl = match next(frame, outer) {
        Some(Next::Entry(at)) => frame.get(at + ENTRY_TTL).copied(),
        Some(Next::Ipv4(at)) => Ipv4Header::at(frame, at).map(|ip| ip.ttl),
        Some(Next::Ipv6(at)) => Ipv6Header::at(frame, at).map(|ip| ip.hop_limit),
        None => None,
    };
    if let (Some(ttl), Some(place)) = (ttl, frame.get_mut(outer + ENTRY_TTL)) {
        *place = ttl;
    }
}

/// From the outermost entry to what is behind it.
pub(super) fn copy_in(packet: &mut Packet, packet_type: u32) {
    let Some(outer) = mpls::entry_at(packet, packet_type) else { return };
    let frame = packet.buf.as_mut_slice();
    let Some(&ttl) = frame.get(outer + ENTRY_TTL) else { return };
    match next(frame, outer) {
        Some(Next::Entry(at)) => {
            if let Some(place) = frame.get_mut(at + ENTRY_TTL) {
                *place = ttl;
            }
        }
        Some(Next::Ipv4(at)) => {
            let Some(ip) = Ipv4Header::at_mut(frame, at) else { return };
            let word = |ttl: u8| u16::from_be_bytes([ttl, ip.proto]);
            ip.csum = update16(ip.csum.get(), word(ip.ttl), word(ttl)).into();
            ip.ttl = ttl;
        }
        Some(Next::Ipv6(at)) => {
            Ipv6Header::at_mut(frame, at).into_iter().for_each(|ip| ip.hop_limit = ttl);
        }
        None => {}
    }
}

/// What is behind an entry, and where.
enum Next {
    Entry(usize),
    Ipv4(usize),
    Ipv6(usize),
}

/// What is behind the entry at `outer`, whole.
fn next(frame: &[u8], outer: usize) -> Option<Next> {
    let at = outer + mpls::LEN;
    let rest = frame.get(at..)?;
    if frame.get(outer + ENTRY_TTL - 1)? & BOTTOM == 0 {
        return (rest.len() >= mpls::LEN).then_some(Next::Entry(at));
    }
    match rest.first()? >> 4 {
        4 => Some(Next::Ipv4(at)).filter(|_| rest.len() >= Ipv4Header::LEN),
        6 => Some(Next::Ipv6(at)).filter(|_| rest.len() >= Ipv6Header::LEN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::FlowKey;
    use flow::compose::compose;

    /// A packet of this Ethernet type with a TTL of 32, behind entries with these.
    fn labelled(eth_type: u16, ttls: &[u8]) -> Packet {
        let key = FlowKey { eth_type, nw_proto: 17, nw_ttl: 32, ..FlowKey::default() };
        let mut packet = Packet::from_frame(&compose(&key, None).unwrap());
        for (i, ttl) in ttls.iter().rev().enumerate() {
            let entry = 100 << 12 | u32::from(i == 0) << 8 | u32::from(*ttl);
            mpls::push(&mut packet, &mut 0, entry, 0x8847);
        }
        packet
    }

    fn edited(mut packet: Packet, edit: fn(&mut Packet, u32)) -> Packet {
        edit(&mut packet, 0);
        packet
    }

    /// The packet behind its labels.
    fn inside(mut packet: Packet, labels: usize, eth_type: u16) -> Vec<u8> {
        (0..labels).for_each(|_| mpls::pop(&mut packet, &mut 0, eth_type));
        packet.bytes().to_vec()
    }

    #[test]
    fn between_an_entry_and_ip() {
        for eth_type in [0x0800, 0x86dd] {
            let out = edited(labelled(eth_type, &[64]), copy_out);
            assert_eq!(out.bytes(), labelled(eth_type, &[32]).bytes());
            let key = FlowKey { eth_type, nw_proto: 17, nw_ttl: 64, ..FlowKey::default() };
            let within = inside(edited(labelled(eth_type, &[64]), copy_in), 1, eth_type);
            assert_eq!(within, compose(&key, None).unwrap(), "with its checksum");
        }
    }

    #[test]
    fn between_entries() {
        let out = edited(labelled(0x0800, &[64, 9, 8]), copy_out);
        assert_eq!(out.bytes(), labelled(0x0800, &[9, 9, 8]).bytes());
        let within = edited(labelled(0x0800, &[64, 9, 8]), copy_in);
        assert_eq!(within.bytes(), labelled(0x0800, &[64, 64, 8]).bytes());
    }

    #[test]
    fn what_has_no_time_to_live_or_is_cut_stays() {
        for edit in [copy_in, copy_out] {
            let arp = labelled(0x0806, &[64]);
            assert_eq!(edited(arp.clone(), edit).bytes(), arp.bytes());
            let whole = labelled(0x0800, &[64]);
            for len in 14..18 + Ipv4Header::LEN {
                let cut = Packet::from_frame(&whole.bytes()[..len]);
                assert_eq!(edited(cut.clone(), edit).bytes(), cut.bytes(), "{len}");
            }
            let bare = labelled(0x0800, &[]);
            assert_eq!(edited(bare.clone(), edit).bytes(), bare.bytes());
        }
    }
}
