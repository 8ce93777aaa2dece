//! What is still to be done to a packet, in the terms of a virtio-net header (virtio 1.3, section 5.1.6).
//!
//! Offsets are from the start of the frame as it is now; [`Offload::pushed`] and [`Offload::pulled`] keep them true when
//! headers come and go. After encapsulation a packet has two layers: `csum` and `gso` go on describing the *inner* packet
//! (that is what its sender asked for) and `encap` says where the outer headers are. [`crate::gso`] turns this into what a
//! device accepts: an outer UDP super-packet, a tunnel super-packet, or plain segments.

/// State of the transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Csum {
    /// In the packet, complete; nobody has checked it.
    #[default]
    Complete,
    /// In the packet, complete, and known to be right (or computed by us).
    Verified,
    /// To be computed: the sum of the bytes from `start` to the end, to be stored at `start + offset`, where the
    /// pseudo-header's part already is (virtio `NEEDS_CSUM`).
    Partial {
        /// Offset of the transport header in the frame.
        start: u16,
        /// Offset of the checksum field in the transport header: 16 for TCP, 6 for UDP.
        offset: u16,
    },
}

/// What a super-packet is to be cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4 segments.
    Tcp4,
    /// TCP over IPv6 segments.
    Tcp6,
    /// UDP datagrams of equal size (Linux `UDP_SEGMENT`), over either IP.
    Udp,
}

/// A super-packet: `size` bytes of transport payload per segment (the last may be shorter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// What to cut into.
    pub kind: GsoKind,
    /// Payload bytes of a segment; never 0.
    pub size: u16,
    /// TCP with ECN: the CWR flag belongs to the first segment alone.
    pub ecn: bool,
}

/// Outer headers that were pushed onto a packet whose inner `csum` or `gso` is still unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encap {
    /// Offset of the outer IP header.
    pub l3: u16,
    /// Offset of the outer UDP (or GRE) header.
    pub l4: u16,
    /// Offset of the inner packet: all bytes before it repeat on each segment.
    pub inner: u16,
    /// What carries it.
    pub carrier: Carrier,
    /// Whether the outer UDP or GRE checksum is wanted.
    pub csum: bool,
    /// Whether the inner packet has no Ethernet header: it begins with its IP header.
    pub bare: bool,
}

/// What stands between an outer IP header and the packet inside, as far as segments differ there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP, and a tunnel header that says nothing of the packet: it may travel as one UDP super-packet.
    Udp,
    /// UDP, and a GTP-U header, which tells the length once more; it may as well.
    Gtpu,
    /// GRE (RFC 2784). Its sequence number, if it has one (RFC 2890), goes on from segment to segment.
    Gre,
    /// Nothing but IPv6 extension headers.
    Ipv6,
}

impl Carrier {
    /// Whether there is a UDP header.
    #[inline]
    pub fn is_udp(self) -> bool {
        matches!(self, Self::Udp | Self::Gtpu)
    }
}

/// All of it. The default: a complete packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Transport checksum (the inner one under `encap`).
    pub csum: Csum,
    /// Segmentation (the inner one under `encap`).
    pub gso: Option<Gso>,
    /// Outer headers, when there are any and something inside is unfinished.
    pub encap: Option<Encap>,
    /// The packet goes to a tunnel's other end that may not understand unfinished packets: where they cross a wire as they are
    /// (a veth), this one is to be finished before.
    pub plain: bool,
}

impl Offload {
    /// Whether the packet can go onto any wire as it is.
    pub fn is_complete(&self) -> bool {
        self.gso.is_none() && !matches!(self.csum, Csum::Partial { .. })
    }

    /// `n` bytes were pushed onto the front of the frame.
    pub fn pushed(&mut self, n: u16) {
        if let Csum::Partial { start, .. } = &mut self.csum {
            *start = start.saturating_add(n);
        }
        if let Some(e) = &mut self.encap {
            e.l3 = e.l3.saturating_add(n);
            e.l4 = e.l4.saturating_add(n);
            e.inner = e.inner.saturating_add(n);
        }
    }

    /// `n` bytes were pulled off the front of the frame (or, for `Partial`, removed before `start`).
    pub fn pulled(&mut self, n: u16) {
        if let Csum::Partial { start, .. } = &mut self.csum {
            *start = start.saturating_sub(n);
        }
        if let Some(e) = &mut self.encap {
            e.l3 = e.l3.saturating_sub(n);
            e.l4 = e.l4.saturating_sub(n);
            e.inner = e.inner.saturating_sub(n);
        }
    }
}
