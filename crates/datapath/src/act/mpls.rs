//! Pushing and popping MPLS label stack entries (RFC 3032).
//!
//! An entry goes behind the Ethernet header and its VLAN tags, whose type it changes. A packet without an Ethernet header has it
//! in front, and its packet type changes.

use packet::Packet;
use packet::wire::ethernet::eth_type::{MPLS, MPLS_MULTICAST};

use super::link::{bare, bare_type, type_at};

/// Length of an entry.
pub(super) const LEN: usize = 4;

/// What [`pop`] is told when an Ethernet frame is behind the last entry (transparent Ethernet bridging).
const ETHERNET: u16 = 0x6558;

pub(super) fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, MPLS | MPLS_MULTICAST)
}

/// Pushes an entry. A frame whose headers are cut stays as it is.
pub(super) fn push(packet: &mut Packet, packet_type: &mut u32, entry: u32, eth_type: u16) {
    if *packet_type != 0 {
        return add(packet, packet_type, entry, eth_type);
    }
    let Some((at, _)) = type_at(packet.bytes()) else { return };
    packet.buf.insert_gap(at + 2, LEN);
    packet.offload.pushed(LEN as u16);
    put(packet, at, &eth_type.to_be_bytes());
    put(packet, at + 2, &entry.to_be_bytes());
}

/// Puts an entry in front of all of the packet, Ethernet header and all.
pub(super) fn add(packet: &mut Packet, packet_type: &mut u32, entry: u32, eth_type: u16) {
    packet.buf.push_front(LEN).copy_from_slice(&entry.to_be_bytes());
    packet.offload.pushed(LEN as u16);
    *packet_type = bare(eth_type);
}

/// Where the outermost entry is, if there is one.
pub(super) fn entry_at(packet: &Packet, packet_type: u32) -> Option<usize> {
    match bare_type(packet_type) {
        Some(now) => is_mpls(now).then_some(0),
        None => type_at(packet.bytes()).filter(|(_, now)| is_mpls(*now)).map(|(at, _)| at + 2),
    }
}

/// Pops an entry; a packet without one stays as it is.
pub(super) fn pop(packet: &mut Packet, packet_type: &mut u32, eth_type: u16) {
    let Some(at) = entry_at(packet, *packet_type).filter(|at| at + LEN <= packet.buf.len()) else {
        return;
    };
    packet.buf.remove(at, LEN);
    packet.offload.pulled(LEN as u16);
    if *packet_type == 0 {
        put(packet, at - 2, &eth_type.to_be_bytes());
    } else {
        *packet_type = if eth_type == ETHERNET { 0 } else { bare(eth_type) };
    }
}

/// Sets the masked bits of the outermost entry.
pub(super) fn set(packet: &mut Packet, packet_type: u32, value: u32, mask: u32) {
    let entry = entry_at(packet, packet_type)
        .and_then(|at| packet.buf.as_mut_slice().get_mut(at..)?.first_chunk_mut::<LEN>());
    if let Some(entry) = entry {
        *entry = (u32::from_be_bytes(*entry) & !mask | value & mask).to_be_bytes();
    }
}

fn put<const N: usize>(packet: &mut Packet, at: usize, bytes: &[u8; N]) {
    if let Some(place) = packet.buf.as_mut_slice().get_mut(at..at + N) {
        place.copy_from_slice(bytes);
    }
}
