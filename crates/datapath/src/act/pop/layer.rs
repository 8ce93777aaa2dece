//! Tunnel headers, one function per protocol: from bytes to what they say, or nothing for what is not to be believed.
//!
//! | protocol | refused |
//! |---|---|
//! | VXLAN | flags that contradict each other or that nobody knows, bits in reserved fields, a policy's group beside a packet type |
//! | Geneve | another version, not Ethernet inside, options beyond the end or that end in the middle |
//! | GRE | another version, routing and other flags that are not RFC 2890's, a header cut short |
//! | ERSPAN | a version that contradicts GRE's protocol, no sequence number, a header cut short |
//! | GTP-U | another version, GTP', a length or extension headers beyond the end, not IP inside |
//! | segment routing | segments left, lists that contradict their length, an IP version that contradicts the header |

use flow::erspan_bits::{DIRECTION, HWID, INDEX, VERSION};
use flow::{TunnelKey, TunnelProtocol, tunnel_flag};
use packet::wire::erspan::{self, Erspan, Version};
use packet::wire::ethernet::eth_type;
use packet::wire::geneve::{self, GeneveHeader};
use packet::wire::gre::Gre;
use packet::wire::gtpu::{GtpuHeader, MSG_GPDU};
use packet::wire::ipv6::Ipv6Header;
use packet::wire::srv6::Srv6Header;
use packet::wire::udp::UdpHeader;
use packet::wire::vxlan::{Extension, VxlanHeader, next};
use packet::wire::{Header, ip_proto};

/// What a tunnel header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// The network, 0 if the header names none.
    pub(super) id: u32,
    /// [`tunnel_flag`] bits.
    pub(super) flags: u8,
    /// Bytes, of which the last so many are options.
    pub(super) len: usize,
    pub(super) options: u8,
    /// What is inside, as in [`flow::FlowKey::packet_type`].
    pub(super) packet_type: u32,
    /// The packet is for whoever ends the tunnel, and stays as it is.
    pub(super) is_whole: bool,
    pub(super) more: More,
}

/// What only some headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Nothing,
    Group { flags: u8, id: u16 },
    Erspan(u32),
    Gtpu { flags: u8, message: u8 },
}

impl More {
    #[cold]
    pub(super) fn tell(self, tunnel: &mut TunnelKey) {
        match self {
            Self::Nothing => {}
            Self::Group { flags, id } => (tunnel.gbp_flags, tunnel.gbp_id) = (flags, id),
            Self::Erspan(word) => tunnel.erspan = word,
            Self::Gtpu { flags, message } => {
                (tunnel.gtpu_flags, tunnel.gtpu_msgtype) = (flags, message);
            }
        }
    }
}

impl Layer {
    /// Of a frame in a network that has a number.
    fn frame(id: u32, len: usize) -> Self {
        Self {
            id,
            flags: tunnel_flag::KEY,
            len,
            options: 0,
            packet_type: 0,
            is_whole: false,
            more: More::Nothing,
        }
    }
}

/// The type of a packet with this Ethernet type in place of an Ethernet header.
fn bare(eth_type: u16) -> u32 {
    1 << 16 | u32::from(eth_type)
}

/// The type of an IP packet, by its first byte.
fn ip_type(packet: &[u8]) -> Option<u32> {
    match packet.first()? >> 4 {
        4 => Some(bare(eth_type::IPV4)),
        6 => Some(bare(eth_type::IPV6)),
        _ => None,
    }
}

/// How long UDP, or GRE, and tunnel header are together where nothing is out of the ordinary. `None`: nothing is ordinary.
pub(super) fn usual_len(protocol: TunnelProtocol) -> Option<usize> {
    match protocol {
        TunnelProtocol::Vxlan => Some(UdpHeader::LEN + VxlanHeader::LEN),
        TunnelProtocol::Geneve => Some(UdpHeader::LEN + GeneveHeader::LEN),
        _ => None,
    }
}

/// The header that UDP's payload begins with.
#[inline(always)]
pub(super) fn in_udp(protocol: TunnelProtocol, bytes: &[u8]) -> Option<Layer> {
    if protocol == TunnelProtocol::Vxlan {
        let header = VxlanHeader::view(bytes)?;
        return match header.is_plain() {
            true => Some(Layer::frame(header.vni(), VxlanHeader::LEN)),
            false => extended_vxlan(header, bytes),
        };
    }
    in_udp_but_vxlan(protocol, bytes)
}

#[inline(never)]
fn in_udp_but_vxlan(protocol: TunnelProtocol, bytes: &[u8]) -> Option<Layer> {
    match protocol {
        TunnelProtocol::Geneve => geneve(bytes),
        TunnelProtocol::Gtpu => gtpu(bytes),
        _ => None,
    }
}

#[cold]
fn extended_vxlan(header: &VxlanHeader, bytes: &[u8]) -> Option<Layer> {
    let plain = Layer::frame(header.vni(), VxlanHeader::LEN);
    let inside = bytes.get(VxlanHeader::LEN..)?;
    Some(match header.extension()? {
        Extension::None => plain,
        Extension::Group { flags, id } => Layer {
            flags: tunnel_flag::KEY | tunnel_flag::GBP,
            more: More::Group { flags, id },
            ..plain
        },
        Extension::Next(next) => {
            let packet_type = match next {
                next::ETHERNET => 0,
                next::IPV4 => ip_type(inside).filter(|t| *t == bare(eth_type::IPV4))?,
                next::IPV6 => ip_type(inside).filter(|t| *t == bare(eth_type::IPV6))?,
                next::NSH => bare(eth_type::NSH),
                _ => return None,
            };
            Layer { flags: tunnel_flag::KEY | tunnel_flag::GPE, packet_type, ..plain }
        }
    })
}

fn geneve(bytes: &[u8]) -> Option<Layer> {
    let (header, options) = GeneveHeader::parse(bytes)?;
    let oam = if header.is_oam() { tunnel_flag::OAM } else { 0 };
    let must_know = |option: geneve::GeneveOption<'_>| option.kind & geneve::CRITICAL != 0;
    let critical =
        header.flags & GeneveHeader::HAS_CRITICAL != 0 || geneve::Options(options).any(must_know);
    let critical = if critical { tunnel_flag::CRITICAL } else { 0 };
    let len = GeneveHeader::LEN + options.len();
    let plain = Layer::frame(header.vni(), len);
    Some(Layer { flags: tunnel_flag::KEY | oam | critical, options: options.len() as u8, ..plain })
}

fn gtpu(bytes: &[u8]) -> Option<Layer> {
    let (header, len) = GtpuHeader::parse(bytes)?;
    let more = More::Gtpu { flags: header.flags, message: header.message };
    let plain = Layer { more, ..Layer::frame(header.teid.get(), len) };
    if header.message != MSG_GPDU {
        // Signalling is not taken out of its header, for then nobody could answer.
        return Some(Layer { is_whole: true, packet_type: 0, len: 0, ..plain });
    }
    let inside = bytes.get(len..)?;
    Some(Layer { packet_type: ip_type(inside)?, ..plain })
}

/// The header behind IP where that says GRE.
pub(super) fn in_gre(bytes: &[u8]) -> Option<Layer> {
    let gre = Gre::parse(bytes)?;
    if matches!(gre.proto, erspan::PROTO_V1 | erspan::PROTO_V2) {
        return erspan(&gre, bytes.get(gre.len()..)?);
    }
    let key = if gre.key.is_some() { tunnel_flag::KEY } else { 0 };
    let csum = if gre.csum.is_some() { tunnel_flag::CSUM } else { 0 };
    let packet_type = match gre.proto {
        eth_type::TEB => 0,
        other => bare(other),
    };
    let plain = Layer::frame(gre.key.unwrap_or(0), gre.len());
    Some(Layer { flags: key | csum, packet_type, ..plain })
}

fn erspan(gre: &Gre, bytes: &[u8]) -> Option<Layer> {
    // Type I, without a header, has no sequence number: there is nothing to tell its sessions apart by.
    gre.seq?;
    let header = Erspan::parse(gre.proto, bytes)?;
    let mut told = TunnelKey::default();
    match header.version {
        Version::V1 { index } => {
            told.set_erspan(VERSION, 1);
            told.set_erspan(INDEX, index);
        }
        Version::V2 { hwid, egress, .. } => {
            told.set_erspan(VERSION, 2);
            told.set_erspan(DIRECTION, egress.into());
            told.set_erspan(HWID, hwid.into());
        }
    }
    let csum = if gre.csum.is_some() { tunnel_flag::CSUM } else { 0 };
    let plain = Layer::frame(header.session.into(), gre.len() + header.len());
    Some(Layer { flags: tunnel_flag::KEY | csum, more: More::Erspan(told.erspan), ..plain })
}

/// What an IPv6 header and its extensions, which are all of `bytes`, say of an IP packet behind them. A packet for us has come
/// to the end of its segments, if it ever had more than one.
pub(super) fn behind_segments(bytes: &[u8], proto: u8) -> Option<Layer> {
    let (ip, mut rest) = Ipv6Header::split(bytes)?;
    let mut kind = ip.next;
    while kind != proto {
        let [next, units] = *rest.first_chunk::<2>()?;
        if kind == ip_proto::ROUTING {
            let (header, _) = Srv6Header::parse(rest)?;
            if header.segments_left != 0 {
                return None;
            }
        }
        rest = rest.get(8 + 8 * usize::from(units)..)?;
        kind = next;
    }
    let packet_type = match proto {
        ip_proto::IPV4 => bare(eth_type::IPV4),
        _ => bare(eth_type::IPV6),
    };
    Some(Layer { flags: 0, packet_type, ..Layer::frame(0, 0) })
}
