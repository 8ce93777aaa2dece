//! One file per header.
//!
//! # Design
//! A header is a `#[repr(C)]` structure of big-endian fields without alignment: the same type reads a header in place
//! ([`Header::at`]), edits it in place ([`Header::at_mut`]) and, as a value, *is* the bytes to send (`as_bytes`). A view never
//! judges: any bytes long enough are a header, because a switch forwards what a host would refuse. What is sane is decided
//! where we terminate or originate traffic, with the files' `sane`-like functions and emit helpers.
//!
//! Nothing here panics on any bytes: each access is checked once, for a whole header.

pub mod arp;
pub mod erspan;
pub mod ethernet;
pub mod geneve;
pub mod gre;
pub mod gtpu;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod nsh;
pub mod sctp;
pub mod srv6;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vxlan;

mod locate;

pub use locate::{Located, locate, locate_bare};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A fixed-size header that can be looked at in place.
pub trait Header: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Sized {
    /// Its length in bytes.
    const LEN: usize = size_of::<Self>();

    /// The header at the front of `bytes`; `None` when they are too short.
    #[inline]
    fn view(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// The header at the front of `bytes`, and what follows it.
    #[inline]
    fn split(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        Self::ref_from_prefix(bytes).ok()
    }

    /// The header at `offset`.
    #[inline]
    fn at(bytes: &[u8], offset: usize) -> Option<&Self> {
        bytes.get(offset..).and_then(Self::view)
    }

    /// The header at `offset`, writable.
    #[inline]
    fn at_mut(bytes: &mut [u8], offset: usize) -> Option<&mut Self> {
        Self::mut_from_prefix(bytes.get_mut(offset..)?).ok().map(|(header, _)| header)
    }
}

/// Values of the IP protocol (next header) field.
pub mod ip_proto {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const SCTP: u8 = 132;
}

/// Whether an IP packet is a fragment, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragment {
    /// Whole.
    #[default]
    No,
    /// The fragment at offset 0, which has the transport header.
    First,
    /// A fragment further on: no transport header.
    Later,
}
