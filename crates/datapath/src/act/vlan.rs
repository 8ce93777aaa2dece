//! Pushing and popping the outermost VLAN tag.

use flow::Vlan;
use packet::Packet;
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::wire::vlan::{VlanTag, is_vlan};
use zerocopy::IntoBytes;

/// Where the tag is: behind the two addresses.
const AT: usize = 12;

/// Pushes a tag.
pub(super) fn push(packet: &mut Packet, vlan: Vlan) {
    packet.buf.insert_gap(AT, VlanTag::LEN);
    packet.offload.pushed(VlanTag::LEN as u16);
    // The bit that says "present" in a key is the drop-eligible bit on the wire.
    let tag = VlanTag { tpid: vlan.tpid.into(), tci: (vlan.tci & !Vlan::CFI).into() };
    if let Some(place) = packet.buf.as_mut_slice().get_mut(AT..AT + VlanTag::LEN) {
        place.copy_from_slice(tag.as_bytes());
    }
}

/// Pops a tag; a frame without one stays as it is.
pub(super) fn pop(packet: &mut Packet) {
    let tagged =
        EthernetHeader::view(packet.bytes()).is_some_and(|eth| is_vlan(eth.eth_type.get()));
    if tagged && packet.buf.len() >= EthernetHeader::LEN + VlanTag::LEN {
        packet.buf.remove(AT, VlanTag::LEN);
        packet.offload.pulled(VlanTag::LEN as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Csum, Offload};

    #[test]
    fn tags_go_on_and_off_and_offsets_follow() {
        let frame: Vec<u8> = (0..60).collect();
        let mut p = Packet::from_frame(&frame);
        p.offload.csum = Csum::Partial { start: 34, offset: 16 };
        push(&mut p, Vlan::new(0x8100, 5, 3));
        assert_eq!(p.bytes()[..12], frame[..12]);
        assert_eq!(p.bytes()[12..16], [0x81, 0x00, 0x60, 0x05]);
        assert_eq!(p.bytes()[16..], frame[12..]);
        assert_eq!(p.offload.csum, Csum::Partial { start: 38, offset: 16 });
        pop(&mut p);
        assert_eq!(p.bytes(), frame);
        assert_eq!(
            p.offload,
            Offload { csum: Csum::Partial { start: 34, offset: 16 }, ..Offload::default() }
        );
        pop(&mut p);
        assert_eq!(p.bytes(), frame, "no tag, nothing to pop");
    }

    #[test]
    fn a_cut_tag_stays() {
        let mut frame = vec![0; 15];
        frame[12..14].copy_from_slice(&[0x81, 0]);
        let mut p = Packet::from_frame(&frame);
        pop(&mut p);
        assert_eq!(p.bytes(), frame);
    }
}
