//! Is this tunnel up? And if not, why, and since when? The same tables that compile packets answer.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use packet::wire::ethernet::Mac;

use crate::endpoint::{Endpoint, Local, Remote};
use crate::neighbour::{NeighbourState, Neighbours};
use crate::route::Routes;

/// Why a tunnel is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Packets go out through `dev` to the next hop at `mac`.
    Up {
        /// The underlay bridge.
        dev: Arc<str>,
        /// The next hop's hardware address.
        mac: Mac,
    },
    /// Packets go out, but lately some were too long.
    TooBig {
        /// The underlay bridge.
        dev: Arc<str>,
        /// Bytes of an IP packet that would have fitted.
        mtu: u16,
    },
    /// The remote end differs per packet: nothing to say as a whole.
    PerFlow,
    /// There is a way, but no packet has needed the next hop yet, or not for a long time.
    Idle {
        /// The underlay bridge.
        dev: Arc<str>,
    },
    /// The next hop is being asked for.
    Resolving {
        /// The underlay bridge.
        dev: Arc<str>,
        /// The next hop.
        neighbour: IpAddr,
    },
    /// The next hop does not answer.
    NoNeighbour {
        /// The underlay bridge.
        dev: Arc<str>,
        /// The next hop.
        neighbour: IpAddr,
    },
    /// Nowhere to send to.
    NoRoute {
        /// The other end.
        remote: IpAddr,
    },
    /// The configured local address is not ours.
    NoLocalAddress {
        /// That address.
        local: IpAddr,
    },
    /// The configured remote address is ours.
    RemoteIsOwn {
        /// That address.
        remote: IpAddr,
    },
    /// The route leads out of something that is not a bridge of this switch.
    NoBridge {
        /// The other end.
        remote: IpAddr,
        /// The route's device.
        dev: Arc<str>,
    },
    /// Its options make no tunnel, or something else keeps it from being there.
    Misconfigured {
        /// What, in words.
        why: Arc<str>,
    },
}

impl Reason {
    /// How a fixed endpoint stands now. `is_bridge` says whether a route's device is an internal port of this switch, and if
    /// so by which bridge's name its neighbours are kept.
    pub fn of(
        endpoint: &Endpoint,
        routes: &Routes,
        neighbours: &Neighbours,
        bridge_of: impl Fn(&str) -> Option<Arc<str>>,
        now: Instant,
    ) -> Self {
        let Remote::Address(remote) = endpoint.remote else { return Self::PerFlow };
        let local = match endpoint.local {
            Local::Address(ip) => Some(ip),
            Local::Any | Local::Flow => None,
        };
        if routes.is_own_address(remote) {
            return Self::RemoteIsOwn { remote };
        }
        let Some(hop) = routes.lookup(remote, endpoint.egress_pkt_mark, local) else {
            return match local {
                Some(local) if !routes.is_own_address(local) => Self::NoLocalAddress { local },
                _ => Self::NoRoute { remote },
            };
        };
        let Some(dev) = bridge_of(&hop.dev) else { return Self::NoBridge { remote, dev: hop.dev } };
        let neighbour = hop.neighbour(remote);
        match neighbours.state(&dev, neighbour, now) {
            NeighbourState::Known { mac, .. } => Self::Up { dev, mac },
            NeighbourState::Absent => Self::Idle { dev },
            NeighbourState::Resolving { .. } => Self::Resolving { dev, neighbour },
            NeighbourState::Unanswered { .. } => Self::NoNeighbour { dev, neighbour },
        }
    }

    /// The same, if packets that were longer than this came lately.
    #[must_use]
    pub fn with_too_big(self, mtu: Option<u16>) -> Self {
        match (self, mtu) {
            (Self::Up { dev, .. }, Some(mtu)) => Self::TooBig { dev, mtu },
            (reason, _) => reason,
        }
    }

    /// One word for it, as the Interface's status shows.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Up { .. } => "up",
            Self::TooBig { .. } => "too-big",
            Self::PerFlow => "flow",
            Self::Idle { .. } => "idle",
            Self::Resolving { .. } => "resolving",
            Self::NoNeighbour { .. } => "no-neighbour",
            Self::NoRoute { .. } => "no-route",
            Self::NoLocalAddress { .. } => "no-local-address",
            Self::RemoteIsOwn { .. } => "remote-is-own",
            Self::NoBridge { .. } => "no-bridge",
            Self::Misconfigured { .. } => "misconfigured",
        }
    }

    /// Whether no packet can get through, and no waiting will help: an error to be shown.
    pub fn is_error(&self) -> bool {
        use Reason::{Idle, NoBridge, NoLocalAddress, NoNeighbour, NoRoute, PerFlow, RemoteIsOwn};
        match self {
            NoNeighbour { .. } | NoRoute { .. } | NoLocalAddress { .. } => true,
            RemoteIsOwn { .. } | NoBridge { .. } | Self::Misconfigured { .. } => true,
            Self::Up { .. } | Self::TooBig { .. } => false,
            PerFlow | Idle { .. } | Self::Resolving { .. } => false,
        }
    }

    /// The device that packets leave by, as far as that is known (`status:tunnel_egress_iface`).
    pub fn egress(&self) -> Option<&Arc<str>> {
        match self {
            Self::Up { dev, .. }
            | Self::TooBig { dev, .. }
            | Self::Idle { dev }
            | Self::Resolving { dev, .. }
            | Self::NoNeighbour { dev, .. } => Some(dev),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up { dev, .. } => write!(f, "up through {dev}"),
            Self::TooBig { dev, mtu } => {
                write!(f, "up through {dev}, but packets longer than {mtu} bytes came")
            }
            Self::PerFlow => f.write_str("the remote end is chosen per flow"),
            Self::Idle { dev } => write!(f, "idle, route through {dev}"),
            Self::Resolving { dev, neighbour } => write!(f, "resolving {neighbour} on {dev}"),
            Self::NoNeighbour { dev, neighbour } => {
                write!(f, "no answer from {neighbour} on {dev}")
            }
            Self::NoRoute { remote } => write!(f, "no route to {remote}"),
            Self::NoLocalAddress { local } => {
                write!(f, "local_ip {local} is not an address of this host")
            }
            Self::RemoteIsOwn { remote } => {
                write!(f, "remote_ip {remote} is an address of this host")
            }
            Self::Misconfigured { why } => f.write_str(why),
            Self::NoBridge { remote, dev } => {
                write!(
                    f,
                    "route to {remote} leads through {dev}, which is not a bridge of this switch"
                )
            }
        }
    }
}

/// A tunnel's state and since when it has been like that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelState {
    /// How it stands.
    pub reason: Reason,
    /// Since when.
    pub since: Instant,
    /// Bytes of the longest IP packet that fits into it, if that is known.
    pub mtu: Option<u32>,
}

/// How long ago a packet was too long that is still worth a word.
pub const TOO_BIG_LATELY: Duration = Duration::from_secs(30);

/// Bytes of the longest IP packet that fits into a fixed endpoint, if that is known: by the smallest of several ways.
pub fn mtu(endpoint: &Endpoint, routes: &Routes) -> Option<u32> {
    let Remote::Address(remote) = endpoint.remote else { return None };
    let local = match endpoint.local {
        Local::Address(ip) => Some(ip),
        Local::Any | Local::Flow => None,
    };
    let ways = routes.ways(remote, endpoint.egress_pkt_mark, local);
    ways.iter().filter_map(|hop| endpoint.mtu(hop, remote)).min()
}

/// Remembers since when each tunnel has stood as it does.
#[derive(Clone, Debug, Default)]
pub struct TunnelStates {
    by_name: HashMap<Arc<str>, TunnelState>,
}

impl TunnelStates {
    /// Notes how a tunnel stands; says whether that is news (log it once, then).
    pub fn update(&mut self, name: &Arc<str>, reason: Reason, now: Instant) -> bool {
        let news = self.by_name.get(name).is_none_or(|s| s.reason != reason);
        if news {
            let mtu = self.by_name.get(name).and_then(|s| s.mtu);
            self.by_name.insert(name.clone(), TunnelState { reason, since: now, mtu });
        }
        news
    }

    /// Notes how much fits into one of them; says whether that is news.
    pub fn set_mtu(&mut self, name: &str, mtu: Option<u32>) -> bool {
        let Some(state) = self.by_name.get_mut(name) else { return false };
        let news = state.mtu != mtu;
        state.mtu = mtu;
        news
    }

    /// What was last noted.
    pub fn get(&self, name: &str) -> Option<&TunnelState> {
        self.by_name.get(name)
    }

    /// Forgets tunnels that are gone.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| keep(name));
    }
}

#[cfg(test)]
mod tests;
