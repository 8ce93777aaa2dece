//! What XDP does not say of a frame: whether its checksum is finished.
//!
//! # What
//! A host's stack leaves transport checksums to the device that it sends by. On the other end of a veth or a tap nobody has
//! finished them, and XDP hands over the bare frame. But an unfinished checksum has a mark: its field holds the sum of the
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

use packet::wire::ip_proto::{SCTP, TCP, UDP};
use packet::wire::udp::UdpHeader;
use packet::wire::{Fragment, Header, Located, locate, tcp, udp};
use packet::Csum;

use crate::vnet;

/// The state of the transport checksum in a frame of a sender that may be on this machine. An unfinished checksum of SCTP, which
/// nobody after us would know how to finish, is finished here.
pub(super) fn repair(frame: &mut [u8]) -> Csum {
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
    (field == pseudo.to_be_bytes()).then_some(Csum::Partial {
        start: u16::try_from(base + at.l4).ok()?,
        offset,
    })
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
