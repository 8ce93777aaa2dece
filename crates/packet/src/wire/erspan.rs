//! ERSPAN versions 1 (type II) and 2 (type III): a header behind GRE that says where a mirrored frame was seen
//! (draft-foschiano-erspan).

use super::gre::Gre;

/// GRE protocol of version 1.
pub const PROTO_V1: u16 = 0x88be;
/// GRE protocol of version 2.
pub const PROTO_V2: u16 = 0x22eb;

/// Bits of a session's number.
pub const SESSION_MAX: u16 = 0x3ff;
/// Bits of version 1's index.
pub const INDEX_MAX: u32 = 0xf_ffff;
/// Bits of version 2's hardware identifier.
pub const HWID_MAX: u8 = 0x3f;

/// What only one version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 1.
    V1 {
        /// Port and direction in whatever way the source counts them, 20 bits.
        index: u32,
    },
    /// Version 2.
    V2 {
        /// When the frame was seen, in units that [`GRANULARITY`] tells.
        timestamp: u32,
        /// Which engine saw it, 6 bits.
        hwid: u8,
        /// False: on its way in; true: on its way out.
        egress: bool,
    },
}

/// The granularity of version 2's timestamp that we write: 100 microseconds.
pub const GRANULARITY: u16 = 0;

/// Where version 2's timestamp is in the header.
pub const TIMESTAMP_OFFSET: usize = 4;

/// The header behind GRE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erspan {
    /// The session, 10 bits: the tunnel's key.
    pub session: u16,
    /// What the version says more.
    pub version: Version,
}

impl Erspan {
    /// The GRE header before it. The sequence number is patched packet by packet.
    pub fn gre(&self) -> Gre {
        let proto = match self.version {
            Version::V1 { .. } => PROTO_V1,
            Version::V2 { .. } => PROTO_V2,
        };
        Gre { proto, seq: Some(0), ..Gre::default() }
    }

    /// The header at the front of `bytes`, which follow a GRE header of this protocol. `None`: too short, or of a version that
    /// contradicts the protocol.
    pub fn parse(proto: u16, bytes: &[u8]) -> Option<Self> {
        let word =
            |i: usize| bytes.get(4 * i..)?.first_chunk::<4>().map(|w| u32::from_be_bytes(*w));
        let first = word(0)?;
        let session = (first & u32::from(SESSION_MAX)) as u16;
        let version = match (proto, first >> 28) {
            (PROTO_V1, 1) => Version::V1 { index: word(1)? & INDEX_MAX },
            (PROTO_V2, 2) => {
                let last = word(2)?;
                let hwid = (last >> 4) as u8 & HWID_MAX;
                Version::V2 { timestamp: word(1)?, hwid, egress: last & 8 != 0 }
            }
            _ => return None,
        };
        Some(Self { session, version })
    }

    /// Length in bytes, GRE not counted.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self.version {
            Version::V1 { .. } => 8,
            Version::V2 { .. } => 12,
        }
    }

    /// Appends the header, GRE not included. What does not fit into a field's bits is cut.
    pub fn write(&self, to: &mut Vec<u8>) {
        let session = u32::from(self.session & SESSION_MAX);
        let mut word = |word: u32| to.extend_from_slice(&word.to_be_bytes());
        match self.version {
            Version::V1 { index } => {
                word(1 << 28 | session);
                word(index & INDEX_MAX);
            }
            Version::V2 { timestamp, hwid, egress } => {
                word(2 << 28 | session);
                word(timestamp);
                let (hwid, egress) = (u32::from(hwid & HWID_MAX), u32::from(egress));
                word(hwid << 4 | egress << 3 | u32::from(GRANULARITY) << 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = Version> {
        prop_oneof![
            (0..=INDEX_MAX).prop_map(|index| Version::V1 { index }),
            (any::<u32>(), 0..=HWID_MAX, any::<bool>())
                .prop_map(|(timestamp, hwid, egress)| Version::V2 { timestamp, hwid, egress }),
        ]
    }

    #[test]
    fn both_versions_by_their_bytes() {
        let mut bytes = vec![];
        let v1 = Erspan { session: 0x123, version: Version::V1 { index: 3 } };
        v1.write(&mut bytes);
        assert_eq!(bytes, b"\x10\0\x01\x23\0\0\0\x03");
        bytes.clear();
        let version = Version::V2 { timestamp: 0, hwid: 4, egress: true };
        Erspan { session: 100, version }.write(&mut bytes);
        assert_eq!(bytes, b"\x20\0\0\x64\0\0\0\0\0\0\0\x48");
        assert_eq!(v1.gre().len(), 8);
    }

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(session in 0..=SESSION_MAX, version in any_version()) {
            let erspan = Erspan { session, version };
            let mut bytes = vec![];
            erspan.write(&mut bytes);
            prop_assert_eq!(bytes.len(), erspan.len());
            let proto = erspan.gre().proto;
            prop_assert_eq!(Erspan::parse(proto, &bytes), Some(erspan));
            prop_assert_eq!(Erspan::parse(proto ^ PROTO_V1 ^ PROTO_V2, &bytes), None);
            for cut in 0..bytes.len() {
                prop_assert_eq!(Erspan::parse(proto, &bytes[..cut]), None);
            }
        }
    }
}
