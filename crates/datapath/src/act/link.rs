//! Pushing and popping the Ethernet header.
//!
//! A packet without one says in its key what it is (`packet_type`: namespace 1, Ethernet type). All of it must be complete:
//! offload state is about Ethernet frames.

use packet::Packet;
use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, Mac};
use packet::wire::vlan::is_vlan;
use zerocopy::IntoBytes;

/// The packet type of a packet that begins with what this Ethernet type says.
pub(super) fn bare(eth_type: u16) -> u32 {
    1 << 16 | u32::from(eth_type)
}

/// What a packet without Ethernet header begins with; `None` for one with.
pub(super) fn bare_type(packet_type: u32) -> Option<u16> {
    (packet_type >> 16 == 1).then_some(packet_type as u16)
}

/// Where a frame's Ethernet type is, behind VLAN tags as far as extraction reads them, and what it is. What it speaks of is
/// right behind it. `None`: the headers are not whole.
pub(super) fn type_at(frame: &[u8]) -> Option<(usize, u16)> {
    let mut at = EthernetHeader::LEN - 2;
    let mut eth_type = EthernetHeader::view(frame)?.eth_type.get();
    for _ in 0..flow::extract::MAX_VLANS {
        if !is_vlan(eth_type) {
            break;
        }
        at += 4;
        eth_type = u16::from_be_bytes(*frame.get(at..)?.first_chunk()?);
    }
    Some((at, eth_type))
}

/// Pushes a header onto a packet without one.
pub(super) fn push(packet: &mut Packet, packet_type: &mut u32, src: Mac, dst: Mac) {
    let Some(eth_type) = bare_type(*packet_type) else { return };
    let header = EthernetHeader::new(dst, src, eth_type);
    packet.buf.push_front(EthernetHeader::LEN).copy_from_slice(header.as_bytes());
    packet.offload.pushed(EthernetHeader::LEN as u16);
    *packet_type = 0;
}

/// Pops the header of a frame without VLAN tags.
pub(super) fn pop(packet: &mut Packet, packet_type: &mut u32) {
    let Some(eth) = EthernetHeader::view(packet.bytes()) else { return };
    let eth_type = eth.eth_type.get();
    if *packet_type != 0 || is_vlan(eth_type) {
        return;
    }
    packet.buf.pull_front(EthernetHeader::LEN);
    packet.offload.pulled(EthernetHeader::LEN as u16);
    *packet_type = bare(eth_type);
}
