//! One configured tunnel port: what it accepts, and what it puts on the packets it sends.
//!
//! An endpoint is parsed once from an Interface row's `options` ([`Endpoint::parse`]); inside the switch it cannot hold a
//! value that means nothing.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use flow::{Sequence, TunnelKey, TunnelProtocol, erspan_bits, tunnel_flag};

pub use kind::{Arrival, Kind, Layers};

/// Names a network within a tunnel: a VNI, a GRE key, a session, a tunnel endpoint identifier. 0 is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub(crate) u32);

impl Key {
    /// `None` when this kind of tunnel has no room for the number.
    pub fn new(kind: Kind, number: u64) -> Option<Self> {
        u32::try_from(number).ok().filter(|n| *n <= kind.key_max()).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Something that is either configured or left to rules (`flow`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting<T> {
    /// This.
    Value(T),
    /// What rules set, or what a received packet had.
    Flow,
}

impl<T: Copy> Setting<T> {
    /// The configured value, or `told` where it is left to rules.
    pub fn or(self, told: T) -> T {
        match self {
            Self::Value(value) => value,
            Self::Flow => told,
        }
    }
}

/// Whom packets go to and are taken from (`remote_ip`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// One host.
    Address(IpAddr),
    /// Any; rules say which (`flow`).
    Flow,
}

/// Which of our addresses packets come to and leave from (`local_ip`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Local {
    /// Any; the route's source when sending.
    Any,
    /// This one.
    Address(IpAddr),
    /// Any; rules say which (`flow`).
    Flow,
}

/// Which keys are accepted (`in_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InKey {
    /// None was configured: packets with key 0 or without a key.
    Absent,
    /// This one; 0 also stands for no key.
    Exact(Key),
    /// Any; rules match it (`flow`).
    Flow,
}

/// Which key is sent (`out_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutKey {
    /// None was configured: 0.
    Absent,
    /// This one.
    Exact(Key),
    /// What rules set, 0 otherwise (`flow`).
    Flow,
}

/// The outer TOS or traffic class. Its ECN bits always follow the inner packet ([`crate::ecn`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tos {
    /// This value; its two lowest bits are zero.
    Value(u8),
    /// The inner packet's, 0 if it is not IP.
    Inherit,
}

/// The outer TTL or hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// This value.
    Value(u8),
    /// The inner packet's, [`Ttl::DEFAULT`] if it is not IP.
    Inherit,
}

impl Ttl {
    /// What packets get when nothing else is asked for.
    pub const DEFAULT: u8 = 64;
}

/// Which packets go through, and how the pipeline sees them (`packet_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// Ethernet frames.
    Ethernet,
    /// Packets without an Ethernet header: one is taken off what is sent, and put before what is received.
    Network,
    /// Either, as it is: rules see the packet's type.
    Any,
}

impl Carries {
    /// In the words of the option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "legacy_l2",
            Self::Network => "legacy_l3",
            Self::Any => "ptap",
        }
    }
}

/// Extensions of VXLAN (`exts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Group-based policies.
    pub gbp: bool,
    /// Packets of any type.
    pub gpe: bool,
}

/// What ERSPAN headers say (`erspan_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErspanSettings {
    /// 1 or 2; 0 while it is not configured: nothing can be sent then.
    pub version: Setting<u8>,
    /// Version 1's index, 20 bits.
    pub index: Setting<u32>,
    /// Version 2's direction: 0 in, 1 out.
    pub direction: Setting<u8>,
    /// Version 2's hardware identifier, 6 bits.
    pub hwid: Setting<u8>,
}

impl Default for ErspanSettings {
    fn default() -> Self {
        let zero = Setting::Value(0);
        Self { version: zero, index: Setting::Value(0), direction: zero, hwid: zero }
    }
}

/// The outer flow label of segment routing (`srv6_flowlabel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowLabel {
    /// The inner packet's, 0 if it is not IPv6.
    #[default]
    Copy,
    /// None.
    Zero,
    /// One per inner flow.
    Compute,
}

/// GRE's sequence numbers (`seq`). Those that count at all are alike: the count is no setting.
#[derive(Clone, Debug, Default)]
pub struct Numbering(Option<Sequence>);

impl Numbering {
    /// With numbers, from 0 on.
    pub fn counting() -> Self {
        Self(Some(Sequence::default()))
    }

    /// Where they come from, if there are any.
    pub fn sequence(&self) -> Option<&Sequence> {
        self.0.as_ref()
    }
}

impl PartialEq for Numbering {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_some() == other.0.is_some()
    }
}

impl Eq for Numbering {}

/// A configured tunnel port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The Interface's name.
    pub name: Arc<str>,
    /// The protocol.
    pub kind: Kind,
    /// The other end.
    pub remote: Remote,
    /// This end.
    pub local: Local,
    /// Accepted keys.
    pub in_key: InKey,
    /// Sent key.
    pub out_key: OutKey,
    /// UDP port, of both ends; 0 for what has none.
    pub dst_port: u16,
    /// Outer TOS.
    pub tos: Tos,
    /// Outer TTL.
    pub ttl: Ttl,
    /// Whether outer IPv4 packets forbid fragmentation.
    pub df: bool,
    /// Whether the outer UDP or GRE checksum is sent; unset: of UDP, over IPv6 only.
    pub csum: Option<bool>,
    /// The mark by which the route is chosen.
    pub egress_pkt_mark: u32,
    /// Which packets.
    pub carries: Carries,
    /// Of VXLAN.
    pub exts: Extensions,
    /// Of GRE and ERSPAN.
    pub numbering: Numbering,
    /// Of ERSPAN.
    pub erspan: ErspanSettings,
    /// Of segment routing: where packets pass on their way, the other end among them; empty: it alone.
    pub segments: Vec<Ipv6Addr>,
    /// Of segment routing.
    pub flow_label: FlowLabel,
    /// What is done about packets that are too long.
    pub sizes: Sizes,
}

/// What a tunnel does about packets that do not fit it, beside what [`Endpoint::df`] says of outer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Senders are told, and packets that may be cut are (`pmtud`).
    pub answer: bool,
    /// TCP connections are opened with segments that fit (`tcp_mss_clamp`).
    pub clamp: bool,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { answer: true, clamp: false }
    }
}

impl Endpoint {
    /// An endpoint with every option at its default.
    pub fn new(name: impl Into<Arc<str>>, kind: Kind, remote: Remote) -> Self {
        Self {
            name: name.into(),
            kind,
            remote,
            local: Local::Any,
            in_key: InKey::Absent,
            out_key: OutKey::Absent,
            dst_port: kind.default_dst_port(),
            tos: Tos::Value(0),
            ttl: Ttl::Value(Ttl::DEFAULT),
            df: true,
            csum: None,
            egress_pkt_mark: 0,
            sizes: Sizes::default(),
            carries: match kind.layers() {
                Layers::L3 => Carries::Network,
                Layers::L2 | Layers::Both => Carries::Ethernet,
            },
            exts: Extensions::default(),
            numbering: match kind.protocol() {
                TunnelProtocol::Erspan => Numbering::counting(),
                _ => Numbering::default(),
            },
            erspan: ErspanSettings::default(),
            segments: Vec::new(),
            flow_label: FlowLabel::default(),
        }
    }

    /// What makes packets its own.
    pub fn arrival(&self) -> Arrival {
        self.kind.arrival(self.dst_port)
    }

    /// What it can carry.
    pub fn layers(&self) -> Layers {
        if self.exts.gpe { Layers::Both } else { self.kind.layers() }
    }

    /// The bits of what rules tell tunnels that its headers depend on.
    pub fn asks(&self) -> TunnelKey {
        let mut asks = TunnelKey::default();
        if self.out_key == OutKey::Flow {
            asks.id = match self.kind.protocol() {
                // It refuses what there is no room for: every bit tells.
                TunnelProtocol::Erspan => u64::MAX,
                _ => self.kind.key_max().into(),
            };
        }
        match self.kind.protocol() {
            TunnelProtocol::Vxlan if self.exts.gbp => {
                (asks.gbp_id, asks.gbp_flags) = (u16::MAX, u8::MAX);
            }
            TunnelProtocol::Geneve => asks.flags = tunnel_flag::OAM,
            TunnelProtocol::Erspan => {
                let ErspanSettings { version, index, direction, hwid } = self.erspan;
                let fields = [
                    (version == Setting::Flow, erspan_bits::VERSION),
                    (index == Setting::Flow, erspan_bits::INDEX),
                    (direction == Setting::Flow, erspan_bits::DIRECTION),
                    (hwid == Setting::Flow, erspan_bits::HWID),
                ];
                for (_, field) in fields.into_iter().filter(|(asked, _)| *asked) {
                    asks.set_erspan(field, u32::MAX);
                }
            }
            _ => {}
        }
        asks
    }

    /// The name of the datapath port that serves it.
    pub fn device_name(&self) -> String {
        self.kind.device_name(self.dst_port)
    }

    /// Whether the outer checksum is wanted when the outer header is IPv6 or not.
    pub fn wants_csum(&self, ipv6: bool) -> bool {
        match self.kind.protocol() {
            TunnelProtocol::Vxlan | TunnelProtocol::Geneve | TunnelProtocol::Gtpu => {
                self.csum.unwrap_or(ipv6)
            }
            TunnelProtocol::Gre => self.csum == Some(true),
            TunnelProtocol::Erspan | TunnelProtocol::Srv6 => false,
        }
    }

    /// Parses an Interface's `options`. Keys that tunnels do not know are left to the caller ([`OPTIONS`] lists the known).
    /// All complaints are returned, not only the first.
    pub fn parse<'a>(
        name: &str,
        kind: Kind,
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<OptionError>> {
        parse::endpoint(name, kind, options)
    }
}

/// The keys of `options` that [`Endpoint::parse`] reads.
pub const OPTIONS: &[&str] = &[
    "remote_ip",
    "local_ip",
    "key",
    "in_key",
    "out_key",
    "dst_port",
    "tos",
    "ttl",
    "df_default",
    "csum",
    "egress_pkt_mark",
    "pmtud",
    "tcp_mss_clamp",
    "packet_type",
    "exts",
    "seq",
    "erspan_ver",
    "erspan_idx",
    "erspan_dir",
    "erspan_hwid",
    "srv6_segs",
    "srv6_flowlabel",
];

/// A setting that an endpoint cannot have. Where the reference has words for it, they are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// Without `remote_ip` there is no tunnel.
    NoRemote(Kind),
    /// Groups are not supported.
    MulticastRemote(IpAddr),
    /// IPv4 at one end and IPv6 at the other.
    Families,
    /// `local_ip=flow` alone.
    LocalFlow(Kind),
    /// A `packet_type` that the protocol has no room for.
    CannotCarry(Kind, Carries),
    /// A protocol of IPv6 alone.
    OnlyIpv6(Kind),
    /// `srv6_segs` leads somewhere else first.
    FirstSegment(IpAddr),
    /// Any other wrong value.
    Value {
        /// The key in `options`.
        key: &'static str,
        /// What it holds.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRemote(kind) => {
                write!(f, "{} type requires valid 'remote_ip' argument", kind.name())
            }
            Self::MulticastRemote(ip) => write!(f, "multicast remote_ip={ip} not allowed"),
            Self::Families => {
                f.write_str("'remote_ip' and 'local_ip' has to be of the same address family")
            }
            Self::LocalFlow(kind) => {
                write!(f, "{} type requires 'remote_ip=flow' with 'local_ip=flow'", kind.name())
            }
            Self::CannotCarry(kind, carries) => {
                let layer = if *carries == Carries::Ethernet { "L2" } else { "L3" };
                let (kind, carries) = (kind.name(), carries.name());
                write!(f, "{carries} configured on {kind} tunnel that cannot carry {layer} traffic")
            }
            Self::OnlyIpv6(kind) => {
                write!(f, "{} type requires IPv6 addresses", kind.name())
            }
            Self::FirstSegment(ip) => {
                write!(f, "the first of 'srv6_segs' has to be remote_ip={ip}")
            }
            Self::Value { key, value, expected } => {
                write!(f, "bad {key} '{value}': expected {expected}")
            }
        }
    }
}

impl std::error::Error for OptionError {}

mod kind;
mod parse;
mod text;

pub use text::Listed;

#[cfg(test)]
mod tests;
