//! Pushing and popping the Ethernet header.
//!
//! A packet without one says in its key what it is (`packet_type`: namespace 1, Ethernet type). All of it must be complete, as
//! offload state is about Ethernet frames, unless a tunnel's headers come next: those can tell of what is behind them.

use flow::Action;
use packet::wire::Header;
use packet::wire::ethernet::{EthernetHeader, Mac};
use packet::wire::vlan::is_vlan;
use packet::{Csum, Packet, gso};
use zerocopy::IntoBytes;

use super::Work;

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

/// Whether packets may lose their header with work left over: a tunnel's headers come `next` to stand before them, and they
/// have no outer headers yet.
pub(super) fn may_be_bare(group: &[Work], next: &[Action]) -> bool {
    let fits = |packet: &Packet| {
        packet.offload.is_complete()
            || matches!(packet.offload.csum, Csum::Partial { .. })
                && gso::outer_of(packet).is_none()
    };
    matches!(next.first(), Some(Action::TnlPush(tnl)) if tnl.bare)
        && group.iter().all(|w| fits(&w.packet))
}

/// Gives a packet that begins with its IP header, whatever is left over, an Ethernet header of no addresses.
pub(super) fn dress(packet: &mut Packet, packet_type: u32) {
    push(packet, &mut { packet_type }, [0; 6], [0; 6]);
}

/// Takes it off again.
pub(super) fn undress(packet: &mut Packet) {
    packet.buf.pull_front(EthernetHeader::LEN);
    packet.offload.pulled(EthernetHeader::LEN as u16);
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
