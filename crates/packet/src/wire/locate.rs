//! Finding the network and transport headers of a frame, for code that finishes packets ([`crate::gso`], [`crate::gro`]).

use super::ethernet::{EthernetHeader, eth_type};
use super::ipv4::Ipv4Header;
use super::ipv6::{self, Ipv6Header};
use super::vlan::is_vlan;
use super::{Fragment, Header};

/// VLAN tags skipped at most.
const MAX_TAGS: usize = 8;

/// Where an IP packet is in a frame. All offsets are within the frame, and `l3 <= l4 <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The IP header.
    pub l3: usize,
    /// What stands behind IP header, options and extension headers.
    pub l4: usize,
    /// One past the last byte of the IP packet (link-layer padding may follow).
    pub end: usize,
    /// Whether it is IPv6.
    pub v6: bool,
    /// The transport protocol.
    pub proto: u8,
    /// Whether it is a fragment.
    pub fragment: Fragment,
}

/// Finds the IP packet in an Ethernet frame, behind VLAN tags. `None`: there is none, or its lengths lie. IP behind SNAP does not
/// count: such a frame has its length in the link layer too, and is nothing to cut or join.
// Small where it matters, and its answer is best not written to memory at all: whoever reads that back at once, in other pieces,
// waits for it.
#[inline(always)]
pub fn locate(frame: &[u8]) -> Option<Located> {
    let mut eth_type = EthernetHeader::view(frame)?.eth_type.get();
    let mut l3 = EthernetHeader::LEN;
    for _ in 0..MAX_TAGS {
        if !is_vlan(eth_type) {
            break;
        }
        let (tag, _) = frame.get(l3..)?.split_first_chunk::<4>()?;
        eth_type = u16::from_be_bytes([tag[2], tag[3]]);
        l3 += 4;
    }
    match eth_type {
        eth_type::IPV4 => locate_v4(frame, l3),
        eth_type::IPV6 => locate_v6(frame, l3),
        _ => None,
    }
}

/// The same of a packet that begins with its IP header.
pub fn locate_bare(packet: &[u8]) -> Option<Located> {
    match packet.first()? >> 4 {
        4 => locate_v4(packet, 0),
        6 => locate_v6(packet, 0),
        _ => None,
    }
}

#[inline(always)]
fn locate_v4(frame: &[u8], l3: usize) -> Option<Located> {
    let ip = Ipv4Header::at(frame, l3)?;
    let (header, total) = ip.extent(frame.len() - l3)?;
    Some(Located {
        l3,
        l4: l3 + header,
        end: l3 + total,
        v6: false,
        proto: ip.proto,
        fragment: ip.fragment(),
    })
}

fn locate_v6(frame: &[u8], l3: usize) -> Option<Located> {
    let (ip, rest) = Ipv6Header::split(frame.get(l3..)?)?;
    let payload = rest.get(..usize::from(ip.payload_len.get()))?;
    let upper = ipv6::walk_extensions(payload, ip.next)?;
    let body = l3 + Ipv6Header::LEN;
    Some(Located {
        l3,
        l4: body + upper.offset,
        end: body + payload.len(),
        v6: true,
        proto: upper.proto,
        fragment: upper.fragment,
    })
}

impl Located {
    /// The pseudo-header's part of the transport checksum, for `len` bytes from [`Located::l4`] on. `frame` must be the one
    /// that was located (or have the same headers).
    #[inline]
    pub fn pseudo(&self, frame: &[u8], len: usize) -> Option<crate::checksum::Sum> {
        if self.v6 {
            Some(Ipv6Header::at(frame, self.l3)?.pseudo(self.proto, len))
        } else {
            Some(Ipv4Header::at(frame, self.l3)?.pseudo(len))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, one tag, IPv4 with a 4-byte option, 3 bytes of payload, 2 of padding.
    const FRAME: [u8; 47] = {
        let mut f = [0; 47];
        (f[12], f[16]) = (0x81, 0x08);
        (f[18], f[21], f[27]) = (0x46, 27, 17);
        f
    };

    #[test]
    fn offsets_are_within_the_frame_and_padding_is_outside() {
        let want =
            Located { l3: 18, l4: 42, end: 45, v6: false, proto: 17, fragment: Fragment::No };
        assert_eq!(locate(&FRAME), Some(want));
        assert_eq!(locate(&FRAME[..45]), Some(want));
        for cut in 0..45 {
            assert_eq!(locate(&FRAME[..cut]), None);
        }
    }

    #[test]
    fn other_frames_are_not_located() {
        let mut snap = vec![0; 12];
        snap.extend([0, 40, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
        snap.extend(&FRAME[18..]);
        assert_eq!(locate(&snap), None);
        let mut many_tags = vec![0; 12];
        many_tags.extend([0x81, 0, 0, 1].repeat(MAX_TAGS + 1));
        many_tags.extend(&FRAME[16..]);
        assert_eq!(locate(&many_tags), None);
    }
}
