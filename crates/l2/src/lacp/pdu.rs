//! LACPDUs: what the two ends of a link tell each other (IEEE 802.1AX-2008, 5.4.2.2).
//!
//! Behind the Ethernet header (type 0x8809) come a subtype, a version, and four TLVs of fixed length in fixed order: actor,
//! partner, collector, terminator; 110 bytes with the padding behind them. What is of another subtype, or has other lengths, is
//! none.

use packet::wire::ethernet::Mac;

/// The group that LACPDUs are sent to.
pub const GROUP: Mac = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x02];
/// The Ethernet type of slow protocols.
pub const ETH_TYPE: u16 = 0x8809;
/// Bytes of a LACPDU, without the Ethernet header.
pub const LEN: usize = 110;

const SUBTYPE: u8 = 1;
const SUBTYPE_MARKER: u8 = 2;
const VERSION: u8 = 1;
const ACTOR: usize = 2;
const PARTNER: usize = 22;
const COLLECTOR: usize = 42;
const END_LEN: u8 = 20;
const COLLECTOR_LEN: u8 = 16;

/// Bits of [`End::state`].
pub mod state {
    #![allow(missing_docs)]
    pub const ACTIVITY: u8 = 1 << 0;
    /// Wants to be told each second.
    pub const TIMEOUT: u8 = 1 << 1;
    pub const AGGREGATION: u8 = 1 << 2;
    pub const SYNCHRONIZED: u8 = 1 << 3;
    pub const COLLECTING: u8 = 1 << 4;
    pub const DISTRIBUTING: u8 = 1 << 5;
    pub const DEFAULTED: u8 = 1 << 6;
    pub const EXPIRED: u8 = 1 << 7;
}

/// One end of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The lower number decides.
    pub sys_priority: u16,
    /// Names the system.
    pub sys_id: Mac,
    /// Links of one key can be used as one.
    pub key: u16,
    /// The lower number is preferred.
    pub port_priority: u16,
    /// Names the port.
    pub port_id: u16,
    /// See [`state`].
    pub state: u8,
}

impl End {
    fn read(bytes: &[u8; 15]) -> Self {
        let [p0, p1, a, b, c, d, e, f, k0, k1, q0, q1, n0, n1, state] = *bytes;
        Self {
            sys_priority: u16::from_be_bytes([p0, p1]),
            sys_id: [a, b, c, d, e, f],
            key: u16::from_be_bytes([k0, k1]),
            port_priority: u16::from_be_bytes([q0, q1]),
            port_id: u16::from_be_bytes([n0, n1]),
            state,
        }
    }

    fn to_bytes(self) -> [u8; 15] {
        let [p0, p1] = self.sys_priority.to_be_bytes();
        let [a, b, c, d, e, f] = self.sys_id;
        let [k0, k1] = self.key.to_be_bytes();
        let [q0, q1] = self.port_priority.to_be_bytes();
        let [n0, n1] = self.port_id.to_be_bytes();
        [p0, p1, a, b, c, d, e, f, k0, k1, q0, q1, n0, n1, self.state]
    }
}

/// What one end says: how it is, and how it believes the other to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pdu {
    /// Who speaks.
    pub actor: End,
    /// Who listens.
    pub partner: End,
}

/// A frame of a slow protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// LACP.
    Lacp(Pdu),
    /// The marker protocol (5.3.5): asks whether all frames before it have come.
    Marker,
    /// Something else, or nothing that can be read.
    Bad,
}

impl Slow {
    /// What follows the Ethernet header.
    pub fn parse(bytes: &[u8]) -> Self {
        match bytes {
            // Later versions say what this one says first (5.3.1).
            [SUBTYPE, ..] => Pdu::parse(bytes).map_or(Self::Bad, Self::Lacp),
            [SUBTYPE_MARKER, ..] => Self::Marker,
            _ => Self::Bad,
        }
    }
}

impl Pdu {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = |at: usize, kind: u8| {
            let (head, rest) = bytes.get(at..)?.split_first_chunk::<2>()?;
            let bytes = rest.first_chunk::<15>()?;
            (*head == [kind, END_LEN]).then(|| End::read(bytes))
        };
        let collector = bytes.get(COLLECTOR..)?.first_chunk::<2>()?;
        let is_whole = bytes.len() >= LEN && *collector == [3, COLLECTOR_LEN];
        is_whole.then_some(())?;
        Some(Self { actor: end(ACTOR, 1)?, partner: end(PARTNER, 2)? })
    }

    /// As it goes behind the Ethernet header.
    pub fn to_bytes(self) -> [u8; LEN] {
        let mut out = [0; LEN];
        let mut put = |at: usize, bytes: &[u8]| {
            out.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        };
        put(0, &[SUBTYPE, VERSION]);
        for (at, kind, end) in [(ACTOR, 1, self.actor), (PARTNER, 2, self.partner)] {
            put(at, &[kind, END_LEN]);
            put(at + 2, &end.to_bytes());
        }
        put(COLLECTOR, &[3, COLLECTOR_LEN]);
        out
    }
}
