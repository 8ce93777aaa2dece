//! The kernel's network configuration, by rtnetlink(7): links, addresses, routes, rules, neighbours.
//!
//! # What
//! A [`Query`] asks (one link, or a dump of all of a kind); a [`Monitor`] is told of changes, one [`Event`] each.
//!
//! # Why
//! A tunnel's outer packet goes where the kernel would send it, so the switch follows the kernel's tables. Following means
//! applying what changed: a full dump at every change costs minutes of processor time on a host with a full routing table.
//!
//! # Design
//! Messages are parsed by `netlink-packet-route` and turned into plain structures here; no type of that crate leaves this
//! module. A message that does not parse is skipped and logged, never fatal: kernels add attributes all the time.
//!
//! Two things break the chain of changes, and the monitor says so instead of hiding it. [`Event::Overrun`]: the kernel had more
//! to tell than the socket holds; dump everything again. [`Event::RoutesStale`]: something happened (a link went down, an
//! address or a next hop went) at which the kernel silently deletes IPv4 routes; dump the routes again.

pub(crate) mod datagram;
mod elsewhere;
mod monitor;
mod parse;
mod query;

pub use elsewhere::Elsewhere;
pub use monitor::{Interest, Monitor};
pub use query::Query;

use std::net::IpAddr;

/// A network interface of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number; never 0.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Hardware address; zero where it has none or not of six bytes.
    pub mac: [u8; 6],
    /// Largest payload behind the link-layer header.
    pub mtu: u32,
    /// Administratively up.
    pub admin_up: bool,
    /// Able to pass packets: up, with carrier.
    pub running: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// Frames begin with an Ethernet header.
    pub ethernet: bool,
    /// What made it: "veth", "tun", "bridge" ..; none for hardware.
    pub kind: Option<String>,
    /// The bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// The other end of a veth pair or the device beneath a VLAN, by index (perhaps of another namespace).
    pub peer: Option<u32>,
    /// The namespace of that other end, if it is not in this one: a number that is good for [`Query::link_in`].
    pub peer_netns: Option<i32>,
    /// What queues packets that leave: "noqueue", "fq_codel" ..
    pub qdisc: Option<String>,
    /// An XDP program is before everything that comes in.
    pub xdp: bool,
    /// Largest super-packet that its driver takes, in bytes.
    pub gso_max: Option<u32>,
    /// How often the carrier came or went.
    pub carrier_changes: u32,
    /// The routing table that it stands for, if it is a VRF.
    pub vrf_table: Option<u32>,
}

/// Counters of a link, in the kernel's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LinkStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub collisions: u64,
    pub rx_over_errors: u64,
    pub rx_crc_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_missed_errors: u64,
}

/// An address of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The link it is on.
    pub ifindex: u32,
    /// The address.
    pub ip: IpAddr,
    /// Length of the prefix that is directly reachable.
    pub prefix_len: u8,
}

/// What a route does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Sends them to a next hop.
    Unicast,
    /// They are for this host.
    Local,
    /// They are for this host, as link-layer broadcasts.
    Broadcast,
    /// They are for this host, sent to an anycast address.
    Anycast,
    /// They are for a group.
    Multicast,
    /// Drops them in silence.
    Blackhole,
    /// Drops them, "host unreachable".
    Unreachable,
    /// Drops them, "administratively prohibited".
    Prohibit,
    /// Ends the search in this table without a result.
    Throw,
    /// Something newer than this program.
    Other(u8),
}

/// One way that a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The link to leave by; 0 when the route names none.
    pub oif: u32,
    /// The router; none when the destination is on the link. May be of the other address family.
    pub gateway: Option<IpAddr>,
    /// Share of the flows that go this way, 1..=256.
    pub weight: u16,
}

/// An entry of a routing table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Destination; its host bits are zero. Also says the address family.
    pub dst: IpAddr,
    /// Length of the destination prefix; 0 for a default route.
    pub prefix_len: u8,
    /// The table: 254 is "main", 255 "local".
    pub table: u32,
    /// Metric; the lowest wins among equal prefixes.
    pub priority: u32,
    /// Type of service that packets must have; 0 for any.
    pub tos: u8,
    /// What is done with packets.
    pub kind: RouteKind,
    /// Where to; more than one for multipath, none for kinds that drop.
    pub hops: Vec<NextHop>,
    /// The source address that packets of this host should have.
    pub prefsrc: Option<IpAddr>,
    /// The largest packet that it takes, in bytes with the IP header, if it says so.
    pub mtu: Option<u32>,
}

impl Route {
    /// The link of the first next hop.
    pub fn oif(&self) -> Option<u32> {
        self.hops.first().map(|hop| hop.oif).filter(|&oif| oif != 0)
    }

    /// The router of the first next hop.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.hops.first().and_then(|hop| hop.gateway)
    }

    /// Whether the kernel takes `other` for the same entry, so that replacing one removes the other.
    pub fn same_entry(&self, other: &Route) -> bool {
        let key = |r: &Route| (r.dst, r.prefix_len, r.table, r.priority, r.tos);
        key(self) == key(other)
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// Looks the packet up in a table.
    Table(u32),
    /// Goes on with the rule of that priority.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drops in silence.
    Blackhole,
    /// Drops, "host unreachable".
    Unreachable,
    /// Drops, "administratively prohibited".
    Prohibit,
    /// Something newer than this program.
    Other(u8),
}

/// A policy-routing rule (`ip rule`). All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// For IPv6; otherwise for IPv4.
    pub v6: bool,
    /// Order: the lowest first.
    pub priority: u32,
    /// Source prefix.
    pub src: Option<(IpAddr, u8)>,
    /// Destination prefix.
    pub dst: Option<(IpAddr, u8)>,
    /// Mark and mask.
    pub fwmark: Option<(u32, u32)>,
    /// Name of the input interface.
    pub iif: Option<String>,
    /// Name of the output interface.
    pub oif: Option<String>,
    /// Type of service; 0 for any.
    pub tos: u8,
    /// The conditions must *not* hold.
    pub invert: bool,
    /// Has conditions that this program does not know (ports, users, tunnel keys): better not to rely on it.
    pub opaque: bool,
    /// Looks packets of a VRF up in that VRF's table.
    pub l3mdev: bool,
    /// Results whose prefix is this long or shorter are ignored.
    pub suppress_prefix_len: Option<u32>,
    /// What is done.
    pub action: RuleAction,
}

/// A neighbour that the kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbour {
    /// The link it is on.
    pub ifindex: u32,
    /// Its address.
    pub ip: IpAddr,
    /// Its hardware address, while known.
    pub mac: Option<[u8; 6]>,
    /// The kernel would send to it (its state is neither incomplete nor failed).
    pub usable: bool,
    /// Set by hand, never expires.
    pub permanent: bool,
}

/// A change of the kernel's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link is new, or something of it is. A new name for a known index is a rename.
    LinkChanged(Link),
    /// A link is gone, and with it the routes that lead nowhere else.
    LinkRemoved(Link),
    /// An address is new or has changed.
    AddressAdded(Address),
    /// An address is gone.
    AddressRemoved(Address),
    /// A route is new, or takes the place of the one that is the same entry.
    RouteAdded {
        /// The route.
        route: Route,
        /// It replaces one that [`Route::same_entry`] finds.
        replaces: bool,
    },
    /// A route is gone.
    RouteRemoved(Route),
    /// A rule is new.
    RuleAdded(Rule),
    /// A rule is gone.
    RuleRemoved(Rule),
    /// A neighbour is new or has changed.
    NeighbourChanged(Neighbour),
    /// A neighbour is gone.
    NeighbourRemoved(Neighbour),
    /// IPv4 routes may have gone without a word: dump the routes again.
    RoutesStale,
    /// Events were lost: dump everything again.
    Overrun,
}
