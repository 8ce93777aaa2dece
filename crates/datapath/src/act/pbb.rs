//! Backbone headers (IEEE 802.1ah): pushing, popping and editing.
//!
//! ```text
//! backbone dst | src | (its VLAN tags) | 0x88e7 | service tag || customer's dst | src | ...
//! ```
//! Before the double bar is the backbone's, which is pushed and popped as a whole.

use packet::Packet;
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::wire::ethernet::eth_type::PBB;

use super::link::type_at;

/// Length of the service tag behind its Ethernet type.
const TAG: usize = 4;

/// Pushes a header with the addresses of the frame that it is put around. What is no whole frame stays as it is.
pub(super) fn push(packet: &mut Packet, packet_type: u32, tci: u32) {
    const LEN: usize = EthernetHeader::LEN + TAG;
    let frame = EthernetHeader::view(packet.bytes()).filter(|_| packet_type == 0);
    let Some(&EthernetHeader { dst, src, .. }) = frame else { return };
    let mut header = [0; LEN];
    header[..6].copy_from_slice(&dst);
    header[6..12].copy_from_slice(&src);
    header[12..14].copy_from_slice(&PBB.to_be_bytes());
    header[14..].copy_from_slice(&tci.to_be_bytes());
    packet.buf.push_front(LEN).copy_from_slice(&header);
    packet.offload.pushed(LEN as u16);
}

/// Pops a header with the VLAN tags of the backbone. False: there is none, or no whole Ethernet header behind it.
pub(super) fn pop(packet: &mut Packet, packet_type: u32) -> bool {
    let Some(at) = tag_at(packet, packet_type) else { return false };
    let len = at + TAG;
    if packet.buf.len() < len + EthernetHeader::LEN {
        return false;
    }
    packet.buf.pull_front(len);
    packet.offload.pulled(len as u16);
    true
}

/// Sets the masked bits of the service tag.
pub(super) fn set(packet: &mut Packet, value: u32, mask: u32) {
    let tag = tag_at(packet, 0)
        .and_then(|at| packet.buf.as_mut_slice().get_mut(at..)?.first_chunk_mut::<TAG>());
    if let Some(tag) = tag {
        *tag = (u32::from_be_bytes(*tag) & !mask | value & mask).to_be_bytes();
    }
}

/// Where the service tag is, behind its type.
fn tag_at(packet: &Packet, packet_type: u32) -> Option<usize> {
    let (at, _) = type_at(packet.bytes()).filter(|(_, now)| packet_type == 0 && *now == PBB)?;
    Some(at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Vlan;

    #[test]
    fn a_header_goes_on_and_off() {
        let frame: Vec<u8> = (0..60).collect();
        let mut p = Packet::from_frame(&frame);
        push(&mut p, 0, 0xc800_0064);
        assert_eq!(p.bytes()[..12], frame[..12]);
        assert_eq!(p.bytes()[12..18], [0x88, 0xe7, 0xc8, 0, 0, 0x64]);
        assert_eq!(p.bytes()[18..], frame);
        super::super::vlan::push(&mut p, Vlan::new(0x88a8, 10, 0));
        set(&mut p, 203, 0xff_ffff);
        assert_eq!(p.bytes()[16..22], [0x88, 0xe7, 0xc8, 0, 0, 203], "behind the backbone's tag");
        assert!(pop(&mut p, 0));
        assert_eq!(p.bytes(), frame, "the backbone's tag goes with it");
        assert!(!pop(&mut p, 0), "there is no other");
        assert_eq!(p.bytes(), frame);
    }

    #[test]
    fn a_customers_frame_that_is_cut_is_none() {
        let mut frame = vec![0; 31];
        frame[12..14].copy_from_slice(&[0x88, 0xe7]);
        assert!(!pop(&mut Packet::from_frame(&frame), 0));
        assert!(!pop(&mut Packet::from_frame(&frame[..16]), 0));
        frame.push(0);
        assert!(pop(&mut Packet::from_frame(&frame), 0));
        assert!(!pop(&mut Packet::from_frame(&frame), 0x1_88e7), "this is no frame");
    }
}
