//! Packets: bytes with headroom, and what is still to be done to them.
//!
//! # What
//! A [`Packet`] is a [`Buf`] (bytes that headers can be pushed onto and pulled off in place) with an [`Offload`]: whether the
//! transport checksum is complete, and whether this is a *super-packet* that must be segmented before it meets a wire. The
//! state is the one of a virtio-net header, because guests, taps and packet sockets speak it.
//!
//! # Why
//! A host stack hands out 64 KiB TCP packets with unfinished checksums by default. A switch that forgets that state corrupts
//! traffic; a switch that resolves it on entry is slow. So the state travels with the packet, header pushes shift it, and the
//! last step before a device ([`gso`]) finishes only what that device cannot.
//!
//! # Layout
//! `wire/` has one file per header, each with a *view* (any bytes long enough) and constants; `checksum` has Internet checksum
//! arithmetic; `gso` splits super-packets; `fit` makes packets fit smaller links; `gro` joins segments; `pcap` reads and writes capture files.

pub mod buf;
pub mod checksum;
pub mod fit;
pub mod gro;
pub mod gso;
pub mod offload;
pub mod pcap;
pub mod wire;

pub use buf::Buf;
pub use offload::{Carrier, Csum, Encap, Gso, GsoKind, Offload};

/// A packet on its way through the switch.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    /// The frame, from its Ethernet header on.
    pub buf: Buf,
    /// What is still to be done to it.
    pub offload: Offload,
}

impl Packet {
    /// A complete packet with nothing left to do.
    pub fn new(buf: Buf) -> Self {
        Self { buf, offload: Offload::default() }
    }

    /// A complete packet holding a copy of `frame`, with the default headroom.
    pub fn from_frame(frame: &[u8]) -> Self {
        Self::new(Buf::from_slice(frame))
    }

    /// The frame's bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.buf.as_slice()
    }

    /// Moves the frame to a buffer of its own size, unless it is in one; the one in which it was is the answer.
    pub fn pack(&mut self) -> Option<Buf> {
        let is_larger = self.buf.footprint() > buf::HEADROOM + self.buf.len();
        is_larger.then(|| {
            let own = Buf::from_slice(self.bytes());
            std::mem::replace(&mut self.buf, own)
        })
    }
}

/// How many packets travel together at most: enough to amortise a system call, few enough to stay in the first-level cache.
pub const BATCH: usize = 32;
