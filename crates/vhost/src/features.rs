//! What virtio devices and vhost-user back ends can agree on.

use std::fmt;

/// Numbers of virtio's feature bits (virtio 1.3, sections 5.1.3 and 6; bits 26 and 30 are vhost's).
#[allow(missing_docs)]
pub mod bit {
    pub const CSUM: u32 = 0;
    pub const GUEST_CSUM: u32 = 1;
    pub const MTU: u32 = 3;
    pub const GSO: u32 = 6;
    pub const GUEST_TSO4: u32 = 7;
    pub const GUEST_TSO6: u32 = 8;
    pub const GUEST_ECN: u32 = 9;
    pub const HOST_TSO4: u32 = 11;
    pub const HOST_TSO6: u32 = 12;
    pub const HOST_ECN: u32 = 13;
    pub const MRG_RXBUF: u32 = 15;
    pub const STATUS: u32 = 16;
    pub const CTRL_VQ: u32 = 17;
    pub const CTRL_RX: u32 = 18;
    pub const GUEST_ANNOUNCE: u32 = 21;
    pub const MQ: u32 = 22;
    pub const NOTIFY_ON_EMPTY: u32 = 24;
    pub const LOG_ALL: u32 = 26;
    pub const ANY_LAYOUT: u32 = 27;
    pub const INDIRECT_DESC: u32 = 28;
    pub const EVENT_IDX: u32 = 29;
    pub const PROTOCOL_FEATURES: u32 = 30;
    pub const VERSION_1: u32 = 32;
    pub const RING_PACKED: u32 = 34;
    pub const IN_ORDER: u32 = 35;
    pub const GUEST_USO4: u32 = 54;
    pub const GUEST_USO6: u32 = 55;
    pub const HOST_USO: u32 = 56;
}

/// A set of virtio's features.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// All that we can do. Of the control queue we see nothing, but a front end offers it only if we do.
    pub const OFFERED: Self = Self::of(&[
        bit::CSUM,
        bit::GUEST_CSUM,
        bit::MTU,
        bit::GSO,
        bit::GUEST_TSO4,
        bit::GUEST_TSO6,
        bit::GUEST_ECN,
        bit::HOST_TSO4,
        bit::HOST_TSO6,
        bit::HOST_ECN,
        bit::MRG_RXBUF,
        bit::STATUS,
        bit::CTRL_VQ,
        bit::CTRL_RX,
        bit::GUEST_ANNOUNCE,
        bit::MQ,
        bit::NOTIFY_ON_EMPTY,
        bit::LOG_ALL,
        bit::ANY_LAYOUT,
        bit::INDIRECT_DESC,
        bit::EVENT_IDX,
        bit::PROTOCOL_FEATURES,
        bit::VERSION_1,
        bit::RING_PACKED,
        bit::IN_ORDER,
        bit::GUEST_USO4,
        bit::GUEST_USO6,
        bit::HOST_USO,
    ]);

    /// These.
    pub const fn of(bits: &[u32]) -> Self {
        let (mut set, mut i) = (0, 0);
        while i < bits.len() {
            set |= 1 << bits[i];
            i += 1;
        }
        Self(set)
    }

    /// Whether this one is in the set.
    #[inline]
    pub const fn has(self, bit: u32) -> bool {
        self.0 & 1 << bit != 0
    }

    /// Whether all of `other` are.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Length of the header before each frame: without mergeable buffers, drivers older than the standard leave a field out.
    #[inline]
    pub const fn header_len(self) -> usize {
        if self.has(bit::MRG_RXBUF) || self.has(bit::VERSION_1) { 12 } else { 10 }
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// vhost-user's protocol features, as bits.
#[allow(missing_docs)]
pub mod protocol {
    pub const MQ: u64 = 1 << 0;
    pub const LOG_SHMFD: u64 = 1 << 1;
    pub const RARP: u64 = 1 << 2;
    pub const REPLY_ACK: u64 = 1 << 3;
    pub const MTU: u64 = 1 << 4;
    pub const INFLIGHT_SHMFD: u64 = 1 << 12;
    pub const RESET_DEVICE: u64 = 1 << 13;
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    pub const STATUS: u64 = 1 << 16;

    /// All that we can do.
    pub const OFFERED: u64 = MQ
        | LOG_SHMFD
        | RARP
        | REPLY_ACK
        | MTU
        | INFLIGHT_SHMFD
        | RESET_DEVICE
        | CONFIGURE_MEM_SLOTS
        | STATUS;
}
