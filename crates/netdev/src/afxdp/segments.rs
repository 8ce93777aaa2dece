//! Super-packets in generic mode, of which nobody says into what they are to be cut.
//!
//! In generic mode the network stack hands over what a sender on this machine gave it, TCP super-packets included (native mode
//! takes segmentation from the sender instead). Their segment size does not come along. A sender's largest segment is the
//! lesser of what the two ends of a connection announce in their first packets (RFC 9293, section 3.7.1), so the port listens
//! for these, and the least that it ever heard is what it cuts to: never more than a sender meant.

use std::sync::atomic::{AtomicU16, Ordering};

use packet::wire::ip_proto::TCP;
use packet::wire::{Fragment, Located, locate};
use packet::{Csum, Gso, GsoKind, Offload};

use crate::vnet;

/// Every host can receive segments of this size (RFC 9293, section 3.7.1): less is not believed.
const LEAST: u16 = 536;

/// What a port has heard of segment sizes.
#[derive(Debug)]
pub(super) struct Segments(AtomicU16);

impl Default for Segments {
    fn default() -> Self {
        Self(AtomicU16::new(u16::MAX))
    }
}

impl Segments {
    /// Listens to a packet that passes, in either direction.
    pub(super) fn hear(&self, frame: &[u8]) {
        if let Some(size) = announced(frame) {
            self.0.fetch_min(size.max(LEAST), Ordering::Relaxed);
        }
    }

    /// The offload state of a frame with an unfinished checksum that is longer than `frame_max`, if it is a TCP super-packet.
    pub(super) fn super_packet(
        &self,
        frame: &mut [u8],
        csum: Csum,
        frame_max: u32,
    ) -> Option<Offload> {
        let at = locate(frame).filter(|at| at.proto == TCP)?;
        let header = usize::from(frame.get(at.l4 + 12)? >> 4) * 4;
        // A segment's own options take from what was announced; without an announcement, it fills the device's packets.
        let options = header.checked_sub(20)?;
        let ip = at.l4 - at.l3;
        let fits = (frame_max as usize).checked_sub(14 + 4 + ip + 20)?;
        let size = usize::from(self.0.load(Ordering::Relaxed)).min(fits).checked_sub(options)?;
        let kind = if at.v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
        let size = u16::try_from(size).ok().filter(|size| *size > 0)?;
        vnet::super_packet(frame, csum, Gso { kind, size, ecn: false })
    }
}

/// The segment size that the first packet of a TCP connection announces.
fn announced(frame: &[u8]) -> Option<u16> {
    const SYN: u8 = 2;
    let at: Located = locate(frame)?;
    let tcp =
        frame.get(at.l4..at.end).filter(|_| at.proto == TCP && at.fragment == Fragment::No)?;
    if tcp.get(13)? & SYN == 0 {
        return None;
    }
    let mut options = tcp.get(20..usize::from(tcp[12] >> 4) * 4)?;
    loop {
        match options {
            [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
            [1, rest @ ..] => options = rest,
            [0, ..] | [_] | [] => return None,
            [_, len, ..] => options = options.get(usize::from(*len).max(2)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first packet with those options (whole words of them).
    fn syn(options: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((40 + options.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([
            0,
            1,
            0,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            (5 + options.len() as u8 / 4) << 4,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        frame.extend(options);
        frame
    }

    #[test]
    fn the_announced_size_is_found_behind_other_options() {
        assert_eq!(announced(&syn(&[2, 4, 5, 0xb4])), Some(1460));
        assert_eq!(announced(&syn(&[1, 3, 3, 7, 2, 4, 5, 0xb4])), Some(1460));
        assert_eq!(announced(&syn(&[1, 1, 1, 0])), None);
        assert_eq!(announced(&syn(&[])), None);
        assert_eq!(announced(&syn(&[0, 2, 4, 5])), None);
        let mut later = syn(&[2, 4, 5, 0xb4]);
        later[14 + 20 + 13] = 0x10;
        assert_eq!(announced(&later), None);
    }

    #[test]
    fn odd_options_say_nothing() {
        for options in [[3, 0, 3, 0], [3, 1, 1, 1], [2, 3, 9, 9], [2, 4, 9, 2], [9, 200, 1, 1]] {
            let frame = syn(&options);
            let _ = announced(&frame);
            for cut in 0..frame.len() {
                let _ = announced(&frame[..cut]);
            }
        }
        let mut lies = syn(&[2, 4, 5, 0xb4]);
        lies[14 + 20 + 12] = 0xf0;
        assert_eq!(announced(&lies), None, "options beyond the packet");
    }

    #[test]
    fn the_least_counts_but_nothing_absurd() {
        let segments = Segments::default();
        let heard = |s: &Segments| s.0.load(Ordering::Relaxed);
        segments.hear(&syn(&[2, 4, 5, 0xb4]));
        segments.hear(&syn(&[2, 4, 5, 0x82]));
        segments.hear(&syn(&[2, 4, 5, 0xb4]));
        assert_eq!(heard(&segments), 1410);
        segments.hear(&syn(&[2, 4, 0, 1]));
        assert_eq!(heard(&segments), LEAST);
    }

    #[test]
    fn a_super_packet_is_cut_to_what_was_heard_less_its_own_options() {
        let segments = Segments::default();
        let csum = Csum::Partial { start: 34, offset: 16 };
        let mut frame = syn(&[1; 12]);
        frame.resize(20_000, 0);
        let len = (frame.len() as u16 - 14).to_be_bytes();
        frame[16..18].copy_from_slice(&len);
        let size = |s: &Segments, frame: &mut Vec<u8>| {
            s.super_packet(frame, csum, 1518).unwrap().gso.unwrap().size
        };
        assert_eq!(size(&segments, &mut frame), 1500 - 40 - 12);
        segments.hear(&syn(&[2, 4, 5, 0x82]));
        assert_eq!(size(&segments, &mut frame), 1410 - 12);
        frame[14 + 9] = 17;
        assert_eq!(segments.super_packet(&mut frame, csum, 1518), None, "of UDP nothing is known");
    }
}
