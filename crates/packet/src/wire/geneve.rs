//! Geneve (RFC 8926): a fixed header and options of type, length and value.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::ethernet::eth_type;

/// The registered UDP port.
pub const PORT: u16 = 6081;

/// The most bytes of options that a header can have: 63 words.
pub const OPTIONS_MAX: usize = 252;

/// The bit of an option's type that says "whoever does not know me must drop the packet".
pub const CRITICAL: u8 = 0x80;

/// The fixed part: 8 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct GeneveHeader {
    /// Version (2 bits) and length of the options in words (6 bits).
    pub ver_opt_len: u8,
    /// Control packet (1 bit), critical options present (1 bit), six reserved bits.
    pub flags: u8,
    /// Ethernet type of what is inside.
    pub proto: U16,
    /// Virtual network identifier.
    pub vni: [u8; 3],
    /// Reserved.
    pub reserved: u8,
}

impl Header for GeneveHeader {}

impl GeneveHeader {
    /// The flag "control packet": for whoever ends the tunnel, not for whoever is behind it.
    pub const OAM: u8 = 0x80;
    /// The flag "some option is [`CRITICAL`]".
    pub const HAS_CRITICAL: u8 = 0x40;

    /// A header for an Ethernet frame of a network (the low 24 bits of `vni` count), followed by options as they are.
    /// `None`: they are too long, or not whole words.
    pub fn new(vni: u32, oam: bool, options: &[u8]) -> Option<Self> {
        if options.len() > OPTIONS_MAX || !options.len().is_multiple_of(4) {
            return None;
        }
        let critical = Options(options).any(|o| o.kind & CRITICAL != 0);
        let flags = if oam { Self::OAM } else { 0 } | if critical { Self::HAS_CRITICAL } else { 0 };
        let [_, vni @ ..] = vni.to_be_bytes();
        let ver_opt_len = (options.len() / 4) as u8;
        Some(Self { ver_opt_len, flags, proto: eth_type::TEB.into(), vni, reserved: 0 })
    }

    /// The network identifier.
    pub fn vni(&self) -> u32 {
        let [a, b, c] = self.vni;
        u32::from_be_bytes([0, a, b, c])
    }

    /// Bytes of options.
    pub fn options_len(&self) -> usize {
        usize::from(self.ver_opt_len & 0x3f) * 4
    }

    /// Whether it is a control packet.
    pub fn is_oam(&self) -> bool {
        self.flags & Self::OAM != 0
    }

    /// Whether it is of the version that we know and has an Ethernet frame inside. Reserved bits are ignored, as the standard
    /// wants.
    pub fn is_sane(&self) -> bool {
        self.ver_opt_len >> 6 == 0 && self.proto.get() == eth_type::TEB
    }

    /// The header at the front of `bytes` and its options, whole.
    pub fn parse(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        let (header, rest) = Self::split(bytes)?;
        let options = rest.get(..header.options_len())?;
        (header.is_sane() && is_whole(options)).then_some((header, options))
    }
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneveOption<'a> {
    /// Who defined it.
    pub class: u16,
    /// Its number within the class, [`CRITICAL`] bit included.
    pub kind: u8,
    /// Its value, whole words.
    pub value: &'a [u8],
}

impl GeneveOption<'_> {
    /// The most bytes of a value: 31 words.
    pub const VALUE_MAX: usize = 124;

    /// Appends the option. `None`: its value is too long or not whole words; nothing was written.
    pub fn write(&self, to: &mut Vec<u8>) -> Option<()> {
        if self.value.len() > Self::VALUE_MAX || !self.value.len().is_multiple_of(4) {
            return None;
        }
        let [a, b] = self.class.to_be_bytes();
        to.extend_from_slice(&[a, b, self.kind, (self.value.len() / 4) as u8]);
        to.extend_from_slice(self.value);
        Some(())
    }
}

/// Goes through options; ends where one would reach beyond the end (see [`is_whole`]).
#[derive(Clone, Debug)]
pub struct Options<'a>(pub &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = GeneveOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, kind, len], rest) = self.0.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(usize::from(len & 0x1f) * 4)?;
        self.0 = rest;
        Some(GeneveOption { class: u16::from_be_bytes([a, b]), kind, value })
    }
}

/// Whether options fill the bytes to the end.
pub fn is_whole(options: &[u8]) -> bool {
    let mut all = Options(options);
    all.by_ref().for_each(drop);
    all.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_with_an_option_by_its_bytes() {
        let mut options = vec![];
        GeneveOption { class: 0x0102, kind: 0x80, value: &[0, 1, 0, 2] }
            .write(&mut options)
            .unwrap();
        let header = GeneveHeader::new(0xff12_3456, false, &options).unwrap();
        let bytes = [header.as_bytes(), &options].concat();
        assert_eq!(bytes, b"\x02\x40\x65\x58\x12\x34\x56\0\x01\x02\x80\x01\0\x01\0\x02");
        let (read, rest) = GeneveHeader::parse(&bytes).unwrap();
        assert_eq!((read.vni(), read.is_oam(), rest), (0x12_3456, false, &options[..]));
    }

    #[test]
    fn lies_are_refused() {
        let good = b"\x01\0\x65\x58\0\0\0\0\0\0\0\0";
        assert!(GeneveHeader::parse(good).is_some());
        let with = |at: usize, byte: u8| {
            let mut bytes = *good;
            bytes[at] = byte;
            GeneveHeader::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(0, 0x41), None, "a later version");
        assert_eq!(with(0, 0x02), None, "options beyond the end");
        assert_eq!(with(2, 0x08), None, "not Ethernet");
        assert_eq!(with(11, 0x01), None, "an option beyond the options");
        assert_eq!(with(11, 0xe0), Some(()), "an option's reserved bits");
        assert!(GeneveHeader::new(0, false, &[0; 256]).is_none());
        assert!(GeneveOption { class: 0, kind: 0, value: &[0; 128] }.write(&mut vec![]).is_none());
        assert!(GeneveOption { class: 0, kind: 0, value: &[0; 3] }.write(&mut vec![]).is_none());
    }

    proptest! {
        #[test]
        fn options_are_read_as_they_were_written(
            list in prop::collection::vec((any::<u16>(), any::<u8>(), 0usize..32), 0..6),
        ) {
            let values: Vec<_> = list.iter().map(|(.., words)| vec![7u8; words * 4]).collect();
            let options: Vec<_> = list
                .iter()
                .zip(&values)
                .map(|((class, kind, _), value)| GeneveOption { class: *class, kind: *kind, value })
                .collect();
            let mut bytes = vec![];
            for o in &options {
                o.write(&mut bytes).unwrap();
            }
            prop_assert_eq!(Options(&bytes).collect::<Vec<_>>(), options);
            prop_assert!(is_whole(&bytes));
        }

        #[test]
        fn any_bytes_can_be_read(bytes: Vec<u8>) {
            if let Some((header, options)) = GeneveHeader::parse(&bytes) {
                prop_assert_eq!(header.options_len(), options.len());
                prop_assert_eq!(Options(options).map(|o| 4 + o.value.len()).sum::<usize>(), options.len());
            }
        }
    }
}
