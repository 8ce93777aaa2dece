//! Ethernet II and IEEE 802.3 framing.

use std::fmt;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// A hardware address.
pub type Mac = [u8; 6];

/// All ones.
pub const BROADCAST: Mac = [0xff; 6];

/// Values of the type field.
pub mod eth_type {
    #![allow(missing_docs)]
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const RARP: u16 = 0x8035;
    pub const VLAN: u16 = 0x8100;
    pub const QINQ: u16 = 0x88a8;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// An Ethernet frame in a tunnel ("transparent Ethernet bridging").
    pub const TEB: u16 = 0x6558;
    /// A service tag of a provider backbone bridge (IEEE 802.1ah).
    pub const PBB: u16 = 0x88e7;
    pub const NSH: u16 = 0x894f;
    /// The smallest value that is a type; below, the field is an IEEE 802.3 length.
    pub const MIN: u16 = 0x0600;
    /// What the reference calls frames whose field is a length and that have no SNAP type.
    pub const NONE: u16 = 0x05ff;
}

/// The header of a frame: 14 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct EthernetHeader {
    /// Destination.
    pub dst: Mac,
    /// Source.
    pub src: Mac,
    /// Type ([`eth_type`]) or 802.3 length.
    pub eth_type: U16,
}

impl Header for EthernetHeader {}

impl EthernetHeader {
    /// A header of these fields.
    pub fn new(dst: Mac, src: Mac, eth_type: u16) -> Self {
        Self { dst, src, eth_type: eth_type.into() }
    }
}

/// IEEE 802.2 LLC with SNAP, as it follows an 802.3 length: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct LlcSnapHeader {
    /// DSAP, SSAP, control: aa aa 03 announces SNAP.
    pub llc: [u8; 3],
    /// Organisation: zero when `snap_type` is an Ethernet type.
    pub oui: [u8; 3],
    /// The type.
    pub snap_type: U16,
}

impl Header for LlcSnapHeader {}

impl LlcSnapHeader {
    /// The Ethernet type that the header carries, when it does carry one.
    pub fn eth_type(&self) -> Option<u16> {
        let t = self.snap_type.get();
        (self.llc == [0xaa, 0xaa, 0x03] && self.oui == [0; 3] && t >= eth_type::MIN).then_some(t)
    }
}

/// Whether the address is of a group (broadcast included).
pub fn is_multicast(mac: &Mac) -> bool {
    mac[0] & 1 != 0
}

/// Whether the address is one of IEEE 802.1D's reserved link-local groups (01:80:c2:00:00:0x), which bridges do not forward.
pub fn is_reserved(mac: &Mac) -> bool {
    mac[..5] == [0x01, 0x80, 0xc2, 0, 0] && mac[5] & 0xf0 == 0
}

/// Prints a hardware address as `aa:bb:cc:dd:ee:ff`.
#[derive(Clone, Copy, Debug)]
pub struct MacText<'a>(pub &'a Mac);

impl fmt::Display for MacText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Parses six colon-separated bytes of one or two hexadecimal digits each; nothing may follow.
pub fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next()?;
        let digits =
            !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        *byte = digits.then(|| u8::from_str_radix(part, 16).ok())??;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_and_parse() {
        let mac = [0x52, 0x54, 0, 1, 0xab, 0xff];
        assert_eq!(MacText(&mac).to_string(), "52:54:00:01:ab:ff");
        assert_eq!(parse_mac("52:54:0:1:ab:FF"), Some(mac));
        for bad in [
            "",
            "52:54:00:01:ab",
            "52:54:00:01:ab:ff:",
            "52:54:00:01:ab:fff",
            "+1:54:00:01:ab:ff",
            "a b:c:d:e:f:0",
        ] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn groups() {
        assert!(is_multicast(&BROADCAST));
        assert!(is_reserved(&[1, 0x80, 0xc2, 0, 0, 0x0e]));
        assert!(!is_reserved(&[1, 0x80, 0xc2, 0, 0, 0x10]));
    }
}
