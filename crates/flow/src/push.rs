//! Encapsulation as data: a header prepared once, and what of it differs packet by packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::key::{DpPort, TunnelKey};

/// What stands between an outer IP header and the packet inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TunnelProtocol {
    /// UDP and VXLAN (RFC 7348), or one of its extensions for policies and for packets of any type.
    Vxlan,
    /// UDP and Geneve (RFC 8926).
    Geneve,
    /// GRE (RFC 2784, RFC 2890).
    Gre,
    /// GRE and ERSPAN, version 1 or 2 (draft-foschiano-erspan).
    Erspan,
    /// UDP and GTP-U (3GPP TS 29.281).
    Gtpu,
    /// A segment routing header (RFC 8754).
    Srv6,
}

impl TunnelProtocol {
    /// Whether there is a UDP header.
    pub fn is_udp(self) -> bool {
        matches!(self, Self::Vxlan | Self::Geneve | Self::Gtpu)
    }
}

/// Encapsulation prepared once: outer headers as bytes; what differs per packet is patched by the executor: lengths,
/// checksums, and what the protocol wants more (a UDP source port, a sequence number, a time, a flow label).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TnlPush {
    /// The tunnel's datapath port number (for the text form and for statistics).
    pub tnl_port: DpPort,
    /// Where the encapsulated packet is headed: the underlay bridge's internal port (for the text form).
    pub out_port: DpPort,
    /// Ethernet, IP, and what the protocol has.
    pub header: Vec<u8>,
    /// Offset of the outer IP header in `header`.
    pub l3: u16,
    /// Offset of what stands behind the outer IP header in `header`: a UDP, GRE or routing header.
    pub l4: u16,
    /// What that is.
    pub protocol: TunnelProtocol,
    /// Whether what comes behind the header has no Ethernet header.
    pub bare: bool,
    /// Whether the outer UDP or GRE checksum is to be computed.
    pub csum: bool,
    /// Range of the UDP source port, inclusive.
    pub src_ports: (u16, u16),
    /// Where GRE's sequence numbers come from; there is one exactly if the header has a place for it.
    pub sequence: Option<Sequence>,
    /// Whether the outer IPv6 flow label tells inner flows apart.
    pub labels_flows: bool,
    /// The remote end is known to understand packets with unfinished checksums, and super-packets (not in the text form).
    pub peer_offloads: bool,
    /// What fits, and what becomes of what does not (not in the text form).
    pub fit: Fit,
}

/// How long packets of a tunnel may be, and what becomes of those that are longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Most bytes of an encapsulated packet, from its outer IP header on.
    pub most: u16,
    /// Longer ones are cut into IP fragments (the outer header allows it).
    pub fragments: bool,
    /// The senders of others are told, and packets that may be cut are.
    pub answers: bool,
    /// TCP connections are opened with segments that fit.
    pub clamps: bool,
    /// What the key of a packet says of the tunnel that comes back through it: how the answer comes in.
    pub back: Option<Box<TunnelKey>>,
}

impl Default for Fit {
    /// Everything fits that fits into an IP packet.
    fn default() -> Self {
        Self { most: u16::MAX, fragments: false, answers: false, clamps: false, back: None }
    }
}

impl Fit {
    /// Most bytes of a packet inside, from its IP header on, behind this header and the packet's own link header.
    pub fn inner(&self, push: &TnlPush, link: usize) -> u16 {
        let outer = push.header.len().saturating_sub(usize::from(push.l3));
        usize::from(self.most).saturating_sub(outer + link) as u16
    }
}

/// A tunnel's sequence numbers (RFC 2890), which all of its flows share. Clones count together; those that do are equal.
#[derive(Clone, Debug, Default)]
pub struct Sequence(Arc<AtomicU32>);

impl Sequence {
    /// The first of the next `n` numbers.
    pub fn take(&self, n: u32) -> u32 {
        self.0.fetch_add(n, Ordering::Relaxed)
    }
}

impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Sequence {}
