//! One configured tunnel port: what it accepts, and what it puts on the packets it sends.
//!
//! An endpoint is parsed once from an Interface row's `options` ([`Endpoint::parse`]); inside the switch it cannot hold a
//! value that means nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A tunnel protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// RFC 7348.
    Vxlan,
}

impl Kind {
    /// The Interface `type` that asks for it.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == "vxlan").then_some(Self::Vxlan)
    }

    /// The Interface `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
        }
    }

    /// The UDP port that IANA assigned.
    pub fn default_dst_port(self) -> u16 {
        match self {
            Self::Vxlan => 4789,
        }
    }

    /// The name of the datapath port that serves all endpoints of this kind and UDP port.
    pub fn device_name(self, dst_port: u16) -> String {
        format!("{}_sys_{dst_port}", self.name())
    }
}

/// A virtual network identifier: 24 bits, 0 included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vni(u32);

impl Vni {
    /// `None` when `id` has more than 24 bits.
    pub fn new(id: u64) -> Option<Self> {
        u32::try_from(id).ok().filter(|id| *id < 1 << 24).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
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
    Exact(Vni),
    /// Any; rules match it (`flow`).
    Flow,
}

/// Which key is sent (`out_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutKey {
    /// None was configured: 0.
    Absent,
    /// This one.
    Exact(Vni),
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
    /// UDP port, of both ends.
    pub dst_port: u16,
    /// Outer TOS.
    pub tos: Tos,
    /// Outer TTL.
    pub ttl: Ttl,
    /// Whether outer IPv4 packets forbid fragmentation.
    pub df: bool,
    /// Whether the outer UDP checksum is sent; unset: over IPv6 only.
    pub csum: Option<bool>,
    /// The mark by which the route is chosen.
    pub egress_pkt_mark: u32,
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
        }
    }

    /// The name of the datapath port that serves it.
    pub fn device_name(&self) -> String {
        self.kind.device_name(self.dst_port)
    }

    /// Whether the outer UDP checksum is wanted when the outer header is IPv6 or not.
    pub fn wants_csum(&self, ipv6: bool) -> bool {
        self.csum.unwrap_or(ipv6)
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
            Self::Value { key, value, expected } => {
                write!(f, "bad {key} '{value}': expected {expected}")
            }
        }
    }
}

impl std::error::Error for OptionError {}

mod parse;
mod text;

#[cfg(test)]
mod tests;
