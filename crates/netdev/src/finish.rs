//! Finishing a packet that a device did not take as it was.

use packet::Packet;
use packet::gso::{self, Checksums};

use crate::common::Losses;
use crate::{Accepts, Pool};

/// Makes packets of `packet` that a device which accepts that much takes: its segments, outer UDP super-packets of a tunnel
/// super-packet, or itself with its checksum completed. One that cannot be finished is counted, and nothing comes of it.
pub(crate) fn finish(
    mut packet: Packet,
    accepts: Accepts,
    pool: &mut Pool,
    losses: &Losses,
) -> Vec<Packet> {
    let mut out = Vec::new();
    let result = if packet.offload.gso.is_none() {
        match gso::complete_csum(&mut packet) {
            Ok(()) => return vec![packet],
            Err(unfit) => Err(unfit),
        }
    } else if accepts.uso && gso::outer_of(&packet).is_some_and(|encap| encap.carrier.is_udp()) {
        gso::to_outer_udp(&packet, |len| pool.take_for(len), &mut out)
    } else {
        gso::segment(&packet, Checksums::Complete, |len| pool.take_for(len), &mut out)
    };
    if let Err(unfit) = result {
        log::debug!("cannot finish {packet:?}: {unfit}");
        losses.tx_errors.inc();
    }
    pool.put(packet.buf);
    out
}
