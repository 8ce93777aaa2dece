//! One segment as a candidate for joining.

use super::Options;
use crate::checksum::{self, Sum};
use crate::offload::{Csum, Offload};
use crate::wire::ipv4::{Ipv4Header, frag_bit};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::tcp::{TcpHeader, flag};
use crate::wire::udp::UdpHeader;
use crate::wire::{Fragment, Header, Located, ip_proto, locate};

/// A TCP or UDP packet as far as joining needs it. The offsets have been checked against the frame it was made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) l3: usize,
    pub(super) l4: usize,
    pub(super) payload: usize,
    /// End of the IP packet; padding may follow.
    pub(super) end: usize,
    pub(super) v6: bool,
    pub(super) is_udp: bool,
    /// Tells most flows apart at a glance.
    pub(super) digest: u32,
    /// TCP sequence number.
    pub(super) seq: u32,
    /// TCP flags.
    pub(super) flags: u16,
    /// IPv4 identification.
    pub(super) id: u16,
    /// Whether the identification means anything (it does not with DF: RFC 6864).
    pub(super) id_counts: bool,
    /// UDP may have none.
    pub(super) has_csum: bool,
    /// Nobody needs to check it.
    vouched: bool,
    /// Whether it may start or continue a joined packet. If not it still says which flow must not be overtaken.
    pub(super) joinable: bool,
}

impl Segment {
    /// `None`: no TCP or UDP packet with plain headers, so its flow is unknown.
    pub(super) fn examine(frame: &[u8], offload: &Offload, options: Options) -> Option<Self> {
        let at = locate(frame)?;
        let ip_header = if at.v6 { Ipv6Header::LEN } else { Ipv4Header::LEN };
        if at.fragment != Fragment::No || at.l4 - at.l3 != ip_header {
            return None;
        }
        let mut segment = Self {
            l3: at.l3,
            l4: at.l4,
            payload: at.l4,
            end: at.end,
            v6: at.v6,
            is_udp: at.proto == ip_proto::UDP,
            digest: digest(frame, &at),
            seq: 0,
            flags: 0,
            id: 0,
            id_counts: false,
            has_csum: true,
            vouched: false,
            joinable: true,
        };
        match at.proto {
            ip_proto::TCP => segment.tcp(frame)?,
            ip_proto::UDP => segment.udp(frame, options)?,
            _ => return None,
        }
        segment.offload(offload);
        segment.ip(frame, &at);
        segment.joinable &=
            segment.payload_len() > 0 && segment.payload_len() <= usize::from(u16::MAX);
        Some(segment)
    }

    fn tcp(&mut self, frame: &[u8]) -> Option<()> {
        let tcp = TcpHeader::at(frame, self.l4)?;
        self.payload = self.l4 + tcp.header_len();
        if tcp.header_len() < TcpHeader::LEN || self.payload > self.end {
            return None;
        }
        self.seq = tcp.seq.get();
        self.flags = tcp.flags();
        let plain = flag::ACK | flag::PSH | flag::FIN | flag::ECE;
        self.joinable &= self.flags & !plain == 0 && self.flags & flag::ACK != 0;
        Some(())
    }

    fn udp(&mut self, frame: &[u8], options: Options) -> Option<()> {
        let udp = UdpHeader::at(frame, self.l4)?;
        self.payload = self.l4 + UdpHeader::LEN;
        if self.payload > self.end {
            return None;
        }
        self.has_csum = udp.csum.get() != 0;
        self.joinable &= options.udp
            && usize::from(udp.len.get()) == self.end - self.l4
            && (self.has_csum || options.udp_without_csum && !self.v6);
        Some(())
    }

    fn ip(&mut self, frame: &[u8], at: &Located) {
        if at.v6 {
            return;
        }
        let Some(ip) = Ipv4Header::at(frame, at.l3) else { return };
        self.id = ip.id.get();
        self.id_counts = ip.frag.get() & frag_bit::DF == 0;
        // Joining writes a new header checksum: a wrong one must not become right.
        self.joinable &= checksum::checksum(&frame[at.l3..at.l4]) == 0;
    }

    fn offload(&mut self, offload: &Offload) {
        self.joinable &= offload.gso.is_none() && offload.encap.is_none();
        match offload.csum {
            Csum::Complete => {}
            Csum::Verified => self.vouched = true,
            Csum::Partial { start, .. } => {
                self.vouched = true;
                // Something further in (a tunnel's content) is unfinished: leave it alone.
                self.joinable &= usize::from(start) == self.l4;
            }
        }
    }

    pub(super) fn payload_len(&self) -> usize {
        self.end - self.payload
    }

    /// The sequence number that would continue this segment; UDP has none and stays at 0.
    pub(super) fn next_seq(&self) -> u32 {
        if self.is_udp { 0 } else { self.seq.wrapping_add(self.payload_len() as u32) }
    }

    /// Whether both are packets of one flow in one direction (addresses, ports, tags).
    pub(super) fn same_flow(&self, mine: &[u8], other: &Segment, theirs: &[u8]) -> bool {
        let addresses = if self.v6 { 8..40 } else { 12..20 };
        let same = |from: usize, to: usize| mine.get(from..to) == theirs.get(from..to);
        self.digest == other.digest
            && (self.l3, self.l4, self.is_udp, self.v6)
                == (other.l3, other.l4, other.is_udp, other.v6)
            && same(self.l4, self.l4 + 4)
            && same(self.l3 + addresses.start, self.l3 + addresses.end)
            && same(0, self.l3)
    }

    /// Whether the headers of two packets of one flow agree in all that joining does not rewrite.
    pub(super) fn same_headers(&self, mine: &[u8], other: &Segment, theirs: &[u8]) -> bool {
        let same = |from: usize, to: usize| mine.get(from..to) == theirs.get(from..to);
        let ip = if self.v6 {
            same(self.l3, self.l3 + 4) && same(self.l3 + 6, self.l4)
        } else {
            // Version to TOS; fragment bits, TTL and protocol.
            same(self.l3, self.l3 + 2) && same(self.l3 + 6, self.l3 + 10)
        };
        let transport = if self.is_udp {
            self.has_csum == other.has_csum
        } else {
            // Acknowledgement, window, urgent pointer and options; flags but for those that end a packet.
            let ending = flag::FIN | flag::PSH;
            self.payload == other.payload
                && (self.flags ^ other.flags) & !ending == 0
                && same(self.l4 + 8, self.l4 + 12)
                && same(self.l4 + 14, self.l4 + 16)
                && same(self.l4 + 18, self.payload)
        };
        ip && transport
    }

    /// Whether the transport checksum is right, or vouched for.
    pub(super) fn verify(&self, frame: &[u8]) -> bool {
        self.vouched
            || !self.has_csum
            || self.verify_with(frame, checksum::sum(&frame[self.payload..self.end]))
    }

    /// The same, given the sum of the payload.
    pub(super) fn verify_with(&self, frame: &[u8], mut sum: Sum) -> bool {
        if self.vouched || !self.has_csum {
            return true;
        }
        let len = self.end - self.l4;
        sum.add(checksum::sum(&frame[self.l4..self.payload]));
        sum.add(if self.v6 {
            Ipv6Header::at(frame, self.l3).map(|ip| ip.pseudo(ip.next, len)).unwrap_or_default()
        } else {
            Ipv4Header::at(frame, self.l3).map(|ip| ip.pseudo(len)).unwrap_or_default()
        });
        sum.checksum() == 0
    }
}

/// Ports and addresses in one word.
fn digest(frame: &[u8], at: &Located) -> u32 {
    let word = |offset: usize| {
        let bytes = frame.get(offset..).and_then(|b| b.first_chunk::<4>());
        bytes.map_or(0, |b| u32::from_ne_bytes(*b))
    };
    // The last words of both addresses.
    let (src, dst) = if at.v6 { (20, 36) } else { (12, 16) };
    word(at.l4) ^ word(at.l3 + src) ^ word(at.l3 + dst).rotate_left(8)
}
