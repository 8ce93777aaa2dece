//! From rtnetlink messages to our structures. `None`: nothing that concerns us (another address family, say).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    LinkXdp, Stats64, XdpAttached,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage};

use super::{
    Address, Event, Link, LinkStats, Neighbour, NextHop, Route, RouteKind, Rule, RuleAction,
};

/// The event that a notification stands for. `replaces`: the message's `NLM_F_REPLACE` flag.
pub(super) fn event(message: Message, replaces: bool) -> Option<Event> {
    Some(match message {
        Message::NewLink(m) => Event::LinkChanged(link(&m)?),
        Message::DelLink(m) => Event::LinkRemoved(link(&m)?),
        Message::NewAddress(m) => Event::AddressAdded(address(&m)?),
        Message::DelAddress(m) => Event::AddressRemoved(address(&m)?),
        Message::NewRoute(m) => Event::RouteAdded { route: route(&m)?, replaces },
        Message::DelRoute(m) => Event::RouteRemoved(route(&m)?),
        Message::NewRule(m) => Event::RuleAdded(rule(&m)?),
        Message::DelRule(m) => Event::RuleRemoved(rule(&m)?),
        Message::NewNeighbour(m) => Event::NeighbourChanged(neighbour(&m)?),
        Message::DelNeighbour(m) => Event::NeighbourRemoved(neighbour(&m)?),
        _ => return None,
    })
}

/// Whether the kernel deletes IPv4 routes at this without announcing each: a link that was up goes down, or an address (which
/// may be some routes' source) goes. The routes that are left of a link when it is removed went with its going down.
pub(super) fn takes_routes(message: &Message) -> bool {
    match message {
        Message::NewLink(m) => {
            let new = m.header.change_mask.bits() == u32::MAX;
            !new && m.header.change_mask.contains(LinkFlags::Up)
                && !m.header.flags.contains(LinkFlags::Up)
        }
        Message::DelAddress(m) => m.header.family == AddressFamily::Inet,
        _ => false,
    }
}

/// Messages of a bridge about its ports share the link group; they come with a family and are no links.
pub(super) fn link(m: &LinkMessage) -> Option<Link> {
    if m.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut link = Link {
        ifindex: m.header.index,
        admin_up: m.header.flags.contains(LinkFlags::Up),
        running: m.header.flags.contains(LinkFlags::Running),
        loopback: m.header.flags.contains(LinkFlags::Loopback),
        ethernet: m.header.link_layer_type == LinkLayerType::Ether,
        ..Link::default()
    };
    for attribute in &m.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes[..].try_into().unwrap_or_default(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) => link.master = Some(*index).filter(|&i| i != 0),
            LinkAttribute::Link(index) => link.peer = Some(*index).filter(|&i| i != 0),
            LinkAttribute::LinkNetNsId(id) => link.peer_netns = Some(*id).filter(|&id| id >= 0),
            LinkAttribute::Qdisc(name) => link.qdisc = Some(name.clone()),
            LinkAttribute::Xdp(parts) => link.xdp = parts.iter().any(is_attached),
            LinkAttribute::GsoMaxSize(max) => link.gso_max = Some(*max),
            LinkAttribute::CarrierChanges(count) => link.carrier_changes = *count,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(kind);
                link.vrf_table = infos.iter().find_map(vrf_table);
            }
            _ => {}
        }
    }
    Some(link)
}

fn is_attached(part: &LinkXdp) -> bool {
    matches!(part, LinkXdp::Attached(how) if *how != XdpAttached::None)
}

fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(InfoKind::Other(name)) => Some(name.clone()),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

fn vrf_table(info: &LinkInfo) -> Option<u32> {
    let LinkInfo::Data(InfoData::Vrf(infos)) = info else { return None };
    infos.iter().find_map(|info| match info {
        InfoVrf::TableId(table) => Some(*table),
        _ => None,
    })
}

/// The counters in a link message.
pub(super) fn stats(m: &LinkMessage) -> Option<LinkStats> {
    m.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(s) => Some(counters(s)),
        _ => None,
    })
}

fn counters(s: &Stats64) -> LinkStats {
    LinkStats {
        rx_packets: s.rx_packets,
        tx_packets: s.tx_packets,
        rx_bytes: s.rx_bytes,
        tx_bytes: s.tx_bytes,
        rx_errors: s.rx_errors,
        tx_errors: s.tx_errors,
        rx_dropped: s.rx_dropped,
        tx_dropped: s.tx_dropped,
        collisions: s.collisions,
        rx_over_errors: s.rx_over_errors,
        rx_crc_errors: s.rx_crc_errors,
        rx_frame_errors: s.rx_frame_errors,
        rx_missed_errors: s.rx_missed_errors,
    }
}

/// "Address" is the peer's on a point-to-point link, where "local" is ours; elsewhere they are equal or there is one.
pub(super) fn address(m: &AddressMessage) -> Option<Address> {
    let mut remote = None;
    let mut local = None;
    for attribute in &m.attributes {
        match attribute {
            AddressAttribute::Address(ip) => remote = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            _ => {}
        }
    }
    Some(Address {
        ifindex: m.header.index,
        ip: local.or(remote)?,
        prefix_len: m.header.prefix_len,
    })
}

pub(super) fn route(m: &RouteMessage) -> Option<Route> {
    let any = unspecified(m.header.address_family)?;
    let mut route = Route {
        dst: any,
        prefix_len: m.header.destination_prefix_length,
        table: u32::from(m.header.table),
        priority: 0,
        tos: m.header.tos,
        kind: route_kind(m.header.kind),
        hops: Vec::new(),
        prefsrc: None,
        mtu: None,
    };
    let mut single = NextHop { oif: 0, gateway: None, weight: 1 };
    for attribute in &m.attributes {
        match attribute {
            RouteAttribute::Destination(a) => route.dst = ip(a).unwrap_or(any),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(priority) => route.priority = *priority,
            RouteAttribute::PrefSource(a) => route.prefsrc = ip(a),
            RouteAttribute::Metrics(metrics) => route.mtu = metrics.iter().find_map(mtu),
            RouteAttribute::Oif(index) => single.oif = *index,
            RouteAttribute::Gateway(a) => single.gateway = ip(a),
            RouteAttribute::Via(via) => single.gateway = via_ip(via),
            RouteAttribute::MultiPath(hops) => {
                route.hops = hops.iter().filter_map(next_hop).collect()
            }
            _ => {}
        }
    }
    if route.hops.is_empty() && single.oif != 0 {
        route.hops.push(single);
    }
    Some(route)
}

fn mtu(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu).filter(|&mtu| mtu != 0),
        _ => None,
    }
}

/// A way of a multipath route, unless its link is down for good.
fn next_hop(m: &RouteNextHop) -> Option<NextHop> {
    if m.flags.contains(RouteNextHopFlags::Dead) {
        return None;
    }
    let mut hop = NextHop { oif: m.interface_index, gateway: None, weight: u16::from(m.hops) + 1 };
    for attribute in &m.attributes {
        match attribute {
            RouteAttribute::Gateway(a) => hop.gateway = ip(a),
            RouteAttribute::Via(via) => hop.gateway = via_ip(via),
            _ => {}
        }
    }
    Some(hop)
}

fn unspecified(family: AddressFamily) -> Option<IpAddr> {
    match family {
        AddressFamily::Inet => Some(Ipv4Addr::UNSPECIFIED.into()),
        AddressFamily::Inet6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn via_ip(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(ip) => Some((*ip).into()),
        RouteVia::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn route_kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        other => RouteKind::Other(other.into()),
    }
}

pub(super) fn rule(m: &RuleMessage) -> Option<Rule> {
    let any = unspecified(m.header.family)?;
    let mut rule = Rule {
        v6: any.is_ipv6(),
        priority: 0,
        src: None,
        dst: None,
        fwmark: None,
        iif: None,
        oif: None,
        tos: m.header.tos,
        invert: m.header.flags.contains(RuleFlags::Invert),
        opaque: false,
        l3mdev: false,
        suppress_prefix_len: None,
        action: RuleAction::Nop,
    };
    let mut table = u32::from(m.header.table);
    let (mut mark, mut mask, mut goto) = (None, u32::MAX, 0);
    for attribute in &m.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(ip) => rule.src = Some((*ip, m.header.src_len)),
            RuleAttribute::Destination(ip) => rule.dst = Some((*ip, m.header.dst_len)),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = *value,
            RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.oif = Some(name.clone()),
            RuleAttribute::Table(value) => table = *value,
            RuleAttribute::Goto(value) => goto = *value,
            RuleAttribute::SuppressPrefixLen(len) => {
                rule.suppress_prefix_len = Some(*len).filter(|&l| l != u32::MAX)
            }
            RuleAttribute::L3MDev(on) => rule.l3mdev = *on,
            RuleAttribute::TunId(_)
            | RuleAttribute::UidRange(_)
            | RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_) => rule.opaque = true,
            _ => {}
        }
    }
    // A mask of 0 with no mark is how the kernel says that there is no such condition.
    rule.fwmark = mark.map(|mark| (mark, mask)).filter(|&(_, mask)| mask != 0);
    rule.action = match m.header.action {
        Action::ToTable => RuleAction::Table(table),
        Action::Goto => RuleAction::Goto(goto),
        Action::Nop => RuleAction::Nop,
        Action::Blackhole => RuleAction::Blackhole,
        Action::Unreachable => RuleAction::Unreachable,
        Action::Prohibit => RuleAction::Prohibit,
        other => RuleAction::Other(other.into()),
    };
    Some(rule)
}

pub(super) fn neighbour(m: &NeighbourMessage) -> Option<Neighbour> {
    let mut ip = None;
    let mut mac = None;
    for attribute in &m.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => ip = Some((*a).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => ip = Some((*a).into()),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes[..].try_into().ok(),
            _ => {}
        }
    }
    let unusable = matches!(
        m.header.state,
        NeighbourState::None | NeighbourState::Incomplete | NeighbourState::Failed
    );
    Some(Neighbour {
        ifindex: m.header.ifindex,
        ip: ip?,
        mac,
        usable: !unusable && mac.is_some(),
        permanent: m.header.state == NeighbourState::Permanent,
    })
}
