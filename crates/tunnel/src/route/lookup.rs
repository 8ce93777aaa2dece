//! The answer to "where do packets for this destination go?".

use std::net::IpAddr;
use std::sync::Arc;

use super::rules::{Asked, RuleAction};
use super::table::Table;
use super::{Hop, Route, Routes, Target};
use crate::prefix::Prefix;

/// Where packets for a destination are to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The device.
    pub dev: Arc<str>,
    /// The gateway, when the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// Our source address.
    pub src: IpAddr,
    /// Its share of the flows among several; at least 1.
    pub weight: u16,
    /// The largest packet, in bytes with the IP header, if that is known.
    pub mtu: Option<u32>,
}

impl NextHop {
    /// Whose hardware address is needed to reach `dst`: the gateway's, or the destination's own.
    pub fn neighbour(&self, dst: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(dst)
    }
}

/// Chooses among next hops by a hash of what shall stay together, each with its share. `None` only if there are none.
pub fn choose(hops: &[NextHop], hash: u32) -> Option<&NextHop> {
    let total: u64 = hops.iter().map(|hop| u64::from(hop.weight.max(1))).sum();
    // The hash scaled to the range: its high bits decide.
    let mut at = (u64::from(hash) * total) >> 32;
    hops.iter().find(|hop| {
        let share = u64::from(hop.weight.max(1));
        let here = at < share;
        at = at.saturating_sub(share);
        here
    })
}

/// What a table has to say.
enum Answer<'a> {
    Route(&'a Route),
    Nowhere,
    NextRule,
}

impl Routes {
    /// Where packets for `dst` with this mark go, by the first of the ways that there are. With `src` given, only if that is
    /// an address of this host.
    pub fn lookup(&self, dst: IpAddr, mark: u32, src: Option<IpAddr>) -> Option<NextHop> {
        self.ways(dst, mark, src).into_iter().next()
    }

    /// All the ways that packets for `dst` with this mark may go; none: there is no route. Ways out of devices that cannot pass
    /// packets count only if there are no others.
    pub fn ways(&self, dst: IpAddr, mark: u32, src: Option<IpAddr>) -> Vec<NextHop> {
        if src.is_some_and(|s| s.is_ipv4() != dst.is_ipv4() || !self.is_own_address(s)) {
            return Vec::new();
        }
        let Some(route) = self.best(Asked { dst, mark, src }) else { return Vec::new() };
        let usable = |hop: &Hop| self.link(&hop.dev).is_none_or(|link| link.running);
        let mut ways: Vec<_> = route.target.hops().iter().filter(|hop| usable(hop)).collect();
        if ways.is_empty() {
            ways.extend(route.target.hops());
        }
        let of_path = self.paths.mtu(dst);
        let ways = ways.into_iter().filter_map(|hop| self.next_hop(route, hop, src));
        ways.map(|way| NextHop { mtu: [way.mtu, of_path].into_iter().flatten().min(), ..way })
            .collect()
    }

    fn next_hop(&self, route: &Route, hop: &Hop, src: Option<IpAddr>) -> Option<NextHop> {
        let of_link = self.link(&hop.dev).map(|link| link.mtu);
        Some(NextHop {
            dev: hop.dev.clone(),
            gateway: hop.gateway,
            src: src.or_else(|| self.source(route, hop))?,
            weight: hop.weight,
            mtu: [route.mtu, of_link].into_iter().flatten().min(),
        })
    }

    /// The best usable route, by the first rule that has one.
    pub(super) fn best(&self, asked: Asked) -> Option<&Route> {
        for rule in self.rules.applying(asked) {
            let table = match rule.action {
                RuleAction::Lookup(table) => Some(table),
                RuleAction::Vrf => asked.src.and_then(|src| self.vrf_of(src)),
                RuleAction::Goto(_) | RuleAction::Nop => None,
                RuleAction::Nowhere => return None,
            };
            let Some(table) = table.and_then(|id| self.tables.get(&id)) else { continue };
            match self.answer(table, asked) {
                Answer::Route(route) if rule.suppress.is_some_and(|len| route.dst.len() <= len) => {
                }
                Answer::Route(route) => return Some(route),
                Answer::Nowhere => return None,
                Answer::NextRule => {}
            }
        }
        None
    }

    fn answer<'a>(&self, table: &'a Table, asked: Asked) -> Answer<'a> {
        for route in table.candidates(asked.dst, asked.mark) {
            match &route.target {
                Target::Nowhere => return Answer::Nowhere,
                Target::NextRule => return Answer::NextRule,
                Target::Way(_) | Target::Ways(_) if self.has_source(route) => {
                    return Answer::Route(route);
                }
                Target::Way(_) | Target::Ways(_) => {}
            }
        }
        Answer::NextRule
    }

    /// The ways of a route that have a source address, with it.
    pub fn sources<'a>(&self, route: &'a Route) -> Vec<(&'a Hop, IpAddr)> {
        route.target.hops().iter().filter_map(|hop| Some((hop, self.source(route, hop)?))).collect()
    }

    /// Whether any way of a route can be gone: those without a source address cannot.
    pub(super) fn has_source(&self, route: &Route) -> bool {
        route.target.hops().iter().any(|hop| self.source(route, hop).is_some())
    }

    /// The source address for packets on this way of a route: what the route prefers, or the device's address in the
    /// destination's or else the gateway's network, or else (the kernel's routes only) the device's first address.
    pub(super) fn source(&self, route: &Route, hop: &Hop) -> Option<IpAddr> {
        if route.src.is_some() {
            return route.src;
        }
        let own = self.addresses(&hop.dev);
        let in_network_of = |ip: IpAddr| {
            own.iter()
                .filter(|a| a.contains(ip))
                .max_by_key(|a| (a.len(), std::cmp::Reverse(a.addr())))
                .map(Prefix::addr)
        };
        let v4 = route.dst.addr().is_ipv4();
        let gateway = hop.gateway.filter(|gw| gw.is_ipv4() == v4);
        in_network_of(route.dst.addr()).or_else(|| gateway.and_then(in_network_of)).or_else(|| {
            let same_family = own.iter().map(Prefix::addr).find(|a| a.is_ipv4() == v4);
            same_family.filter(|_| !route.user)
        })
    }
}
