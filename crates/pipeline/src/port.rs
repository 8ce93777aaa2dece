//! Ports of bridges, and their numbers.

use std::fmt;
use std::sync::Arc;

use flow::DpPort;
use packet::wire::ethernet::Mac;
use tunnel::EndpointId;

use crate::bridge::BridgeId;
use crate::vlan::{PriorityTags, VlanMode};

/// An OpenFlow port number: one per port of a bridge. Not a datapath port number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfPort(pub u16);

impl OfPort {
    /// The first number that is not for ordinary ports.
    pub const MAX: OfPort = OfPort(0xff00);
    /// In actions: the port that the packet came in by.
    pub const IN_PORT: OfPort = OfPort(0xfff8);
    /// In packet-outs: the tables.
    pub const TABLE: OfPort = OfPort(0xfff9);
    /// In actions: forward like an ordinary bridge.
    pub const NORMAL: OfPort = OfPort(0xfffa);
    /// In actions: all ports that may be flooded to.
    pub const FLOOD: OfPort = OfPort(0xfffb);
    /// In actions: all ports.
    pub const ALL: OfPort = OfPort(0xfffc);
    /// In actions: the controller.
    pub const CONTROLLER: OfPort = OfPort(0xfffd);
    /// The bridge's own port.
    pub const LOCAL: OfPort = OfPort(0xfffe);
    /// No port.
    pub const NONE: OfPort = OfPort(0xffff);

    /// Whether a port of a bridge can have this number: 1 to 65279, or that of the local port.
    pub fn is_valid(self) -> bool {
        (self.0 != 0 && self < Self::MAX) || self == Self::LOCAL
    }

    /// The order in which floods visit ports: the local port, then by number.
    pub fn flood_order(self) -> (bool, u16) {
        (self != Self::LOCAL, self.0)
    }
}

impl fmt::Display for OfPort {
    /// As the reference's texts for people: reserved numbers by name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::IN_PORT => "IN_PORT",
            Self::TABLE => "TABLE",
            Self::NORMAL => "NORMAL",
            Self::FLOOD => "FLOOD",
            Self::ALL => "ALL",
            Self::CONTROLLER => "CONTROLLER",
            Self::LOCAL => "LOCAL",
            Self::NONE => "NONE",
            OfPort(n) => return f.pad(&n.to_string()),
        };
        f.pad(name)
    }
}

/// A port of a bridge of the same snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRef {
    /// The bridge.
    pub bridge: BridgeId,
    /// The port.
    pub port: OfPort,
}

/// What is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A device of the host, or any other that carries bytes.
    Device(DpPort),
    /// A device through which the host's own stack is a station of the bridge.
    Internal {
        /// Its datapath port.
        dp: DpPort,
        /// Its hardware address.
        mac: Mac,
    },
    /// A wire to a port of another bridge; `None` while that does not exist.
    Patch(Option<PortRef>),
    /// A tunnel.
    Tunnel {
        /// The datapath port that it shares with tunnels of its kind and UDP port.
        dp: DpPort,
        /// What it is configured to.
        endpoint: EndpointId,
    },
}

impl PortKind {
    /// The datapath port that packets of this port alone come in by.
    pub fn own_dp(&self) -> Option<DpPort> {
        match self {
            Self::Device(dp) | Self::Internal { dp, .. } => Some(*dp),
            Self::Patch(_) | Self::Tunnel { .. } => None,
        }
    }
}

/// What an OpenFlow controller or the operator forbade on a port (OpenFlow 1.3, 7.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortConfig {
    /// Drop what comes in.
    pub no_receive: bool,
    /// Drop what would go out.
    pub no_forward: bool,
    /// Leave it out of floods.
    pub no_flood: bool,
    /// Tell no controller of packets from it that meet no rule.
    pub no_packet_in: bool,
}

/// A port of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: Arc<str>,
    /// Its number.
    pub ofport: OfPort,
    /// What is behind it.
    pub kind: PortKind,
    /// How it treats VLAN tags.
    pub vlan: VlanMode,
    /// Whether it sends tags that carry only a priority.
    pub priority_tags: PriorityTags,
    /// Does not exchange packets with other protected ports.
    pub protected: bool,
    /// What is forbidden.
    pub config: PortConfig,
    /// Nothing can be sent there now: its device has no link, or was put down.
    pub is_down: bool,
    /// The aggregate that it is a member of, by the lowest number of its members. See [`crate::Bridge::aggregate`].
    pub aggregate: Option<OfPort>,
}

impl Port {
    /// Under which number stations behind it are known: that of its aggregate, which is one port to a learning bridge.
    pub fn home(&self) -> OfPort {
        self.aggregate.unwrap_or(self.ofport)
    }

    /// Whether it stands for itself, or for its aggregate, where each is to be met once.
    pub fn is_home(&self) -> bool {
        self.home() == self.ofport
    }
}
