//! Making packets fit a link that takes less than their sender believes, as a router does: tell the sender ([`answer()`]), cut
//! the packet ([`fragment()`], [`fragment_v6()`]), or talk TCP into smaller segments from the beginning ([`clamp_mss()`]). And
//! reading what routers further on say of packets of ours ([`report()`]).

pub mod answer;
pub mod fragment;
pub mod mss;
pub mod report;

pub use answer::{answer, answer_bare};
pub use fragment::{fragment, fragment_v6};
pub use mss::{clamp_mss, clamp_mss_bare};
pub use report::{Report, report};

use crate::wire::Header;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::tcp::TcpHeader;
use crate::wire::udp::UdpHeader;
use crate::{Csum, GsoKind, Packet, gso};

/// Length of the longest frame that the packet becomes on a wire, as [`gso::wire_len`], found at a glance where that is
/// possible: from the place of the unfinished checksum, which is in the transport header of the segments.
#[inline]
pub fn longest(packet: &Packet) -> usize {
    let Some(cut) = packet.offload.gso else { return packet.buf.len() };
    let Csum::Partial { start, .. } = packet.offload.csum else { return gso::wire_len(packet) };
    let l4 = usize::from(start);
    let header = match cut.kind {
        GsoKind::Udp => UdpHeader::LEN,
        GsoKind::Tcp4 | GsoKind::Tcp6 => {
            TcpHeader::at(packet.bytes(), l4).map_or(TcpHeader::LEN, TcpHeader::header_len)
        }
    };
    (l4 + header + usize::from(cut.size)).min(packet.buf.len())
}

/// Bytes of a frame before its network header: Ethernet, and VLAN tags.
pub fn link_header(frame: &[u8]) -> usize {
    crate::wire::locate(frame).map_or(EthernetHeader::LEN, |at| at.l3)
}
