//! The flow key: every header field that a datapath flow can match, in one flat structure.
//!
//! # Design
//! A key is `#[repr(C)]`, without padding, a whole number of 64-bit words: masks, hashes and comparisons work on
//! [`FlowKey::words`], people and translators on the named fields. Integers are in host order. A field that a packet does not
//! have is zero, and so a mask over it still tells packets with and without it apart by `eth_type` and `ip_proto`.
//!
//! IPv4 addresses and ARP protocol addresses share `nw_src`/`nw_dst`; ICMP type and code live in `tp_src`/`tp_dst`; ARP's
//! opcode lives in `nw_proto` (as in the reference, so that its text converts field by field). A network service header, behind
//! which nothing is read, lives where IPv4 and IPv6 addresses would be ([`FlowKey::nsh`]): a longer key would cost every packet.

use std::hash::{Hash, Hasher};

use crate::nsh::NshKey;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A datapath port number. Not an OpenFlow port number: those are per bridge, this is per datapath.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DpPort(pub u32);

impl DpPort {
    /// No port: the reserved number that the reference prints as `ODPP_NONE`.
    pub const NONE: DpPort = DpPort(u32::MAX);
}

/// Names a point in translation at which a packet re-enters the datapath; 0 for packets fresh from a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecircId(pub u32);

/// Flags of a received tunnel header.
pub mod tunnel_flag {
    /// Do not fragment.
    pub const DF: u8 = 1 << 0;
    /// Outer checksum present.
    pub const CSUM: u8 = 1 << 1;
    /// Key (VNI) present.
    pub const KEY: u8 = 1 << 2;
    /// Operations and maintenance.
    pub const OAM: u8 = 1 << 3;
    /// A VXLAN header with a policy's group (not in the text form).
    pub const GBP: u8 = 1 << 4;
    /// A VXLAN header for packets of any type (not in the text form).
    pub const GPE: u8 = 1 << 5;
    /// A Geneve header with options that must be understood (not in the text form).
    pub const CRITICAL: u8 = 1 << 6;
}

/// Fields of [`TunnelKey::erspan`]: how far up they are, and how many bits they have.
pub mod erspan_bits {
    /// Version 1's index.
    pub const INDEX: (u32, u32) = (0, 20);
    /// The version.
    pub const VERSION: (u32, u32) = (20, 4);
    /// Version 2's hardware identifier.
    pub const HWID: (u32, u32) = (24, 6);
    /// Version 2's direction.
    pub const DIRECTION: (u32, u32) = (30, 1);
}

/// Values of [`FlowKey::ip_frag`].
pub mod frag {
    /// The packet is a fragment.
    pub const ANY: u8 = 1;
    /// The packet is a fragment with a non-zero offset (it has no transport header).
    pub const LATER: u8 = 2;
}

/// TCP flag bits as in [`FlowKey::tcp_flags`].
pub use packet::wire::tcp::flag as tcp_flag;

/// The tunnel that a packet arrived through; all zero when through none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct TunnelKey {
    /// Virtual network identifier.
    pub id: u64,
    /// Outer source, IPv4; 0 when the outer header is IPv6.
    pub ip_src: u32,
    /// Outer destination, IPv4.
    pub ip_dst: u32,
    /// Outer source, IPv6; `::` when the outer header is IPv4.
    pub ipv6_src: [u8; 16],
    /// Outer destination, IPv6.
    pub ipv6_dst: [u8; 16],
    /// [`tunnel_flag`] bits.
    pub flags: u8,
    /// GTP-U: message type.
    pub gtpu_msgtype: u8,
    /// Outer UDP source port.
    pub tp_src: u16,
    /// Outer UDP destination port.
    pub tp_dst: u16,
    /// VXLAN group-based policy: group id.
    pub gbp_id: u16,
    /// VXLAN group-based policy: flags.
    pub gbp_flags: u8,
    /// Outer TOS.
    pub tos: u8,
    /// Outer TTL.
    pub ttl: u8,
    /// GTP-U: flags.
    pub gtpu_flags: u8,
    /// ERSPAN: version, index, direction and hardware identifier, as [`erspan_bits`] says.
    pub erspan: u32,
    /// Names Geneve's options, all of them as they are; 0 for none. (They are long, and rare: what they are is told beside keys.)
    pub options: u64,
}

impl TunnelKey {
    /// Whether the packet came through a tunnel at all.
    pub fn is_set(&self) -> bool {
        self.ip_dst != 0 || self.ipv6_dst != [0; 16]
    }

    /// One of the fields of ERSPAN ([`erspan_bits`]).
    pub fn erspan(&self, (shift, bits): (u32, u32)) -> u32 {
        self.erspan >> shift & ((1 << bits) - 1)
    }

    /// Makes one of the fields of ERSPAN this, as far as it has bits for it.
    pub fn set_erspan(&mut self, (shift, bits): (u32, u32), value: u32) {
        let mask = ((1 << bits) - 1) << shift;
        self.erspan = self.erspan & !mask | value << shift & mask;
    }
}

/// One VLAN tag; all zero when absent (a present tag has `tci & CFI` set, as in the reference's text).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Vlan {
    /// Tag protocol: 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority (3 bits), [`Vlan::CFI`] "present" bit, VLAN id (12 bits).
    pub tci: u16,
}

impl Vlan {
    /// The bit of `tci` that says "there is a tag".
    pub const CFI: u16 = 0x1000;

    /// A tag with this id and priority.
    pub fn new(tpid: u16, vid: u16, pcp: u8) -> Self {
        Self { tpid, tci: (vid & 0xfff) | Self::CFI | (u16::from(pcp & 7) << 13) }
    }

    /// Whether there is a tag.
    pub fn is_present(self) -> bool {
        self.tci & Self::CFI != 0
    }

    /// The VLAN id.
    pub fn vid(self) -> u16 {
        self.tci & 0xfff
    }

    /// The priority.
    pub fn pcp(self) -> u8 {
        (self.tci >> 13) as u8
    }
}

/// Everything a datapath flow can match. See the module's essay for conventions.
#[derive(Clone, Copy, Debug, Default, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowKey {
    // -- metadata --
    /// Datapath port that the packet came in by ([`DpPort`]); a tunnel's number after decapsulation.
    pub in_port: u32,
    /// [`RecircId`].
    pub recirc_id: u32,
    /// Hash computed by a `hash` action.
    pub dp_hash: u32,
    /// Packet mark.
    pub skb_mark: u32,
    /// Queue priority.
    pub skb_priority: u32,
    /// 0 for Ethernet; (namespace << 16 | type) for packets without an Ethernet header.
    pub packet_type: u32,
    /// Connection mark.
    pub ct_mark: u32,
    /// Connection zone.
    pub ct_zone: u16,
    /// Connection state bits.
    pub ct_state: u8,
    /// Original-direction tuple's protocol.
    pub ct_proto: u8,
    /// Connection label.
    pub ct_label: [u8; 16],
    /// The tunnel that it came through.
    pub tunnel: TunnelKey,
    // -- link layer --
    /// Ethernet destination.
    pub eth_dst: [u8; 6],
    /// Ethernet source.
    pub eth_src: [u8; 6],
    /// Ethernet type after VLAN tags; 0x05ff for 802.2 frames without SNAP type (as the reference).
    pub eth_type: u16,
    /// Which IPv6 extension headers there are ([`packet::wire::ipv6::extension`]), 9 bits.
    pub ipv6_exthdr: u16,
    /// VLAN tags, outermost first.
    pub vlans: [Vlan; 2],
    /// MPLS label stack entries, outermost first.
    pub mpls: [u32; 4],
    // -- network layer --
    /// IPv4 source, or ARP sender protocol address.
    pub nw_src: u32,
    /// IPv4 destination, or ARP target protocol address.
    pub nw_dst: u32,
    /// IPv6 source.
    pub ipv6_src: [u8; 16],
    /// IPv6 destination.
    pub ipv6_dst: [u8; 16],
    /// IPv6 flow label, 20 bits; of a backbone frame ([`FlowKey::is_pbb`]) its service tag: priority (3 bits), drop eligibility, use
    /// customer address (1 bit each), 3 of no meaning, service instance (24).
    pub ipv6_label: u32,
    /// IP protocol (after IPv6 extension headers), or ARP opcode.
    pub nw_proto: u8,
    /// DSCP and ECN.
    pub nw_tos: u8,
    /// TTL or hop limit.
    pub nw_ttl: u8,
    /// [`frag`] bits.
    pub ip_frag: u8,
    // -- transport layer, ARP, neighbour discovery --
    /// TCP, UDP or SCTP source port; ICMP type.
    pub tp_src: u16,
    /// TCP, UDP or SCTP destination port; ICMP code.
    pub tp_dst: u16,
    /// TCP flags, 12 bits.
    pub tcp_flags: u16,
    /// Type of the neighbour discovery message's first option that is a link-layer address; 0 for none.
    pub nd_options_type: u16,
    /// Neighbour discovery target.
    pub nd_target: [u8; 16],
    /// ARP sender hardware address, or ND source link-layer address.
    pub arp_sha: [u8; 6],
    /// ARP target hardware address, or ND target link-layer address.
    pub arp_tha: [u8; 6],
    /// The 32 bits between an ND message's checksum and its target.
    pub nd_reserved: u32,
}

/// Words in a key.
pub const WORDS: usize = std::mem::size_of::<FlowKey>() / 8;
const _: () = assert!(std::mem::size_of::<FlowKey>().is_multiple_of(8));

/// All of it at once, not field by field: there is nothing between the fields.
impl PartialEq for FlowKey {
    fn eq(&self, other: &Self) -> bool {
        self.words() == other.words()
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
    }
}

impl FlowKey {
    /// The key as words, for masks and hashes.
    pub fn words(&self) -> &[u64; WORDS] {
        zerocopy::transmute_ref!(self)
    }

    /// The key as writable words.
    pub fn words_mut(&mut self) -> &mut [u64; WORDS] {
        zerocopy::transmute_mut!(self)
    }

    /// Whether this is an IPv4 packet.
    pub fn is_ipv4(&self) -> bool {
        self.eth_type == 0x0800
    }

    /// Whether this is an IPv6 packet.
    pub fn is_ipv6(&self) -> bool {
        self.eth_type == 0x86dd
    }

    /// Whether this is a backbone frame, with a customer's frame behind its service tag (IEEE 802.1ah).
    pub fn is_pbb(&self) -> bool {
        self.packet_type == 0 && self.eth_type == 0x88e7
    }

    /// Whether this is a packet with a network service header.
    pub fn is_nsh(&self) -> bool {
        self.eth_type == 0x894f
    }

    /// The network service header of a packet that has one ([`FlowKey::is_nsh`]); of a mask, its bits.
    pub fn nsh(&self) -> NshKey {
        let [flags, ttl, mdtype, np] = self.nw_src.to_be_bytes();
        let word = |i: usize| {
            let [.., a, b, c, d] =
                (u128::from_be_bytes(self.ipv6_src) >> (96 - 32 * i)).to_be_bytes();
            u32::from_be_bytes([a, b, c, d])
        };
        let context = std::array::from_fn(word);
        NshKey { flags, ttl, mdtype, np, path: self.nw_dst, context }
    }

    /// Makes the network service header this.
    pub fn set_nsh(&mut self, nsh: &NshKey) {
        self.nw_src = u32::from_be_bytes([nsh.flags, nsh.ttl, nsh.mdtype, nsh.np]);
        self.nw_dst = nsh.path;
        let context = nsh.context.iter().fold(0u128, |n, word| n << 32 | u128::from(*word));
        self.ipv6_src = context.to_be_bytes();
    }

    /// Whether this is an ARP or RARP packet.
    pub fn is_arp(&self) -> bool {
        self.eth_type == 0x0806 || self.eth_type == 0x8035
    }
}

/// Which bits of a key matter: 1 bits do. A mask is a [`FlowKey`] read bit by bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mask(pub FlowKey);

impl Mask {
    /// Matches everything.
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches one key exactly.
    pub fn exact() -> Self {
        let mut m = Self::default();
        m.0.words_mut().fill(u64::MAX);
        m
    }

    /// Adds another mask's bits.
    pub fn union(&mut self, other: &Mask) {
        for (a, b) in self.0.words_mut().iter_mut().zip(other.0.words()) {
            *a |= b;
        }
    }

    /// `key` with the bits that do not matter cleared.
    pub fn apply(&self, key: &FlowKey) -> FlowKey {
        let mut out = *key;
        for (a, b) in out.words_mut().iter_mut().zip(self.0.words()) {
            *a &= b;
        }
        out
    }
}

/// A key and a mask with `key & !mask == 0`: what a megaflow matches. Can only be made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaskedKey {
    key: FlowKey,
    mask: Mask,
}

impl MaskedKey {
    /// `key` as far as `mask` looks.
    pub fn new(key: &FlowKey, mask: &Mask) -> Self {
        Self { key: mask.apply(key), mask: *mask }
    }

    /// The masked key.
    pub fn key(&self) -> &FlowKey {
        &self.key
    }

    /// The mask.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Whether a packet with this key is meant.
    pub fn matches(&self, key: &FlowKey) -> bool {
        self.key
            .words()
            .iter()
            .zip(self.mask.0.words())
            .zip(key.words())
            .all(|((k, m), w)| w & m == *k)
    }
}
