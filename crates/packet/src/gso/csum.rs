//! Finishing checksums without segmentation.

use super::plan::{checked, outer_pseudo, store};
use super::{Unfit, find_tunnel};
use crate::Packet;
use crate::checksum::{self, Sum};
use crate::offload::{Csum, Encap, Offload};
use crate::wire::udp;

impl Encap {
    /// Offset of the outer checksum field in the frame: in the UDP header, or where GRE has it (RFC 2784).
    pub(super) fn csum_at(&self) -> usize {
        usize::from(self.l4) + if self.carrier.is_udp() { usize::from(udp::CSUM_OFFSET) } else { 4 }
    }
}

/// Computes the checksums that a packet without segmentation lacks: a partial one, and under a tunnel the outer one where it
/// is wanted. The packet is complete afterwards.
pub fn complete_csum(packet: &mut Packet) -> Result<(), Unfit> {
    if packet.offload.gso.is_some() {
        return Err(Unfit::Headers);
    }
    complete_outer(packet)?;
    if let Csum::Partial { start, offset } = packet.offload.csum {
        let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
        let bytes = packet.buf.as_mut_slice();
        if field + 2 > bytes.len() {
            return Err(Unfit::CsumOffset);
        }
        let csum = checksum::sum(&bytes[start..]).checksum_nonzero();
        store(bytes, field, csum);
        packet.offload = Offload { csum: Csum::Verified, ..Offload::default() };
    }
    Ok(())
}

/// Computes the outer checksum of a packet under a tunnel, where it is wanted, such that it is right once the partial checksum
/// inside is completed (by the device, or by [`complete_csum`]): the payload is not read for that. The packet has no outer
/// work left afterwards. Only for packets without segmentation; without a tunnel nothing happens.
pub fn complete_outer(packet: &mut Packet) -> Result<(), Unfit> {
    if packet.offload.gso.is_some() {
        return Err(Unfit::Headers);
    }
    let Some(encap) = packet.offload.encap else { return Ok(()) };
    let csum = packet.offload.csum;
    let bytes = packet.buf.as_mut_slice();
    let encap = checked(bytes, encap).ok_or(Unfit::Headers)?;
    if encap.csum {
        let sum = match csum {
            Csum::Partial { start, offset } => {
                let field = usize::from(start) + usize::from(offset);
                let partial = bytes.get(field..field + 2).ok_or(Unfit::CsumOffset)?;
                let partial = u16::from_be_bytes([partial[0], partial[1]]);
                if (start ^ encap.l4) & 1 != 0 {
                    return Err(Unfit::CsumOffset); // sums of pieces add up only at even places
                }
                let mut pseudo = Sum::default();
                pseudo.add_u16(partial);
                outer_sum(bytes, &encap, usize::from(start), inner_complement(pseudo))
            }
            _ => outer_sum(bytes, &encap, bytes.len(), Sum::default()),
        };
        let sum = sum.ok_or(Unfit::CsumOffset)?;
        store(bytes, encap.csum_at(), sum.checksum_nonzero());
    }
    packet.offload.encap = None;
    Ok(())
}

/// Leaves the outer UDP checksum of a packet to the device: writes the pseudo-header's part and says [`Csum::Partial`]. For
/// packets that are complete inside; others keep what they are and [`complete_outer`] is the way.
pub fn defer_udp_csum(packet: &mut Packet, encap: Encap) -> Result<(), Unfit> {
    if !packet.offload.is_complete() || !encap.carrier.is_udp() {
        return Err(Unfit::Headers);
    }
    let bytes = packet.buf.as_mut_slice();
    let encap = checked(bytes, encap).ok_or(Unfit::Headers)?;
    let pseudo = outer_pseudo(bytes, &encap).ok_or(Unfit::Headers)?;
    store(bytes, encap.csum_at(), pseudo.fold());
    let csum = Csum::Partial { start: encap.l4, offset: udp::CSUM_OFFSET };
    packet.offload = Offload { csum, ..Offload::default() };
    Ok(())
}

/// The tunnel around what the packet's offload state describes: named by whoever pushed it, or found ([`find_tunnel`]).
pub fn outer_of(packet: &Packet) -> Option<Encap> {
    packet.offload.encap.or_else(|| find_tunnel(packet.bytes(), packet.offload.csum))
}

/// What a region with a transport checksum sums to once that is complete, given its pseudo-header's sum.
pub(super) fn inner_complement(pseudo: Sum) -> Sum {
    let mut sum = Sum::default();
    sum.add_u16(pseudo.checksum());
    sum
}

/// The sum for the outer checksum: its pseudo-header, the bytes up to `start`, and `rest` for those behind. The field itself
/// counts as zero.
pub(super) fn outer_sum(frame: &[u8], encap: &Encap, start: usize, rest: Sum) -> Option<Sum> {
    let mut sum = outer_pseudo(frame, encap)?;
    let (field, l4) = (encap.csum_at(), usize::from(encap.l4));
    sum.add(checksum::sum(frame.get(l4..field)?));
    sum.add(checksum::sum(frame.get(field + 2..start)?));
    sum.add(rest);
    Some(sum)
}
