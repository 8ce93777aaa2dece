//! One routing table: longest prefix first, by a hash map per length.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::Route;
use crate::prefix::Prefix;

/// What makes two routes of a table the same route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) dst: Prefix,
    pub(super) mark: u32,
    pub(super) metric: u32,
    pub(super) user: bool,
}

impl Id {
    pub(super) fn of(r: &Route) -> Self {
        Self { dst: r.dst.network(), mark: r.mark, metric: r.metric, user: r.user }
    }
}

/// What an insertion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Replaced,
    Added,
}

/// How far an IPv4 prefix is longer when its address is seen as an IPv6 address, where both share one order.
const MAPPED: u16 = 96;
/// How much longer a user's route counts.
const USER: u16 = 32;

/// Routes of one prefix length, family and owner; sorts the preferred first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    preference: Reverse<u16>,
    ipv4: bool,
    user: bool,
}

impl Rank {
    fn of(id: &Id) -> Self {
        let ipv4 = id.dst.addr().is_ipv4();
        let preference = u16::from(id.dst.len())
            + if ipv4 { MAPPED } else { 0 }
            + if id.user { USER } else { 0 };
        Self { preference: Reverse(preference), ipv4, user: id.user }
    }
}

/// Routes with prefixes of one length, by prefix; a prefix's routes by metric.
#[derive(Clone, Debug)]
struct Level {
    len: u8,
    routes: HashMap<Prefix, Vec<Route>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    levels: BTreeMap<Rank, Level>,
    count: usize,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn insert(&mut self, route: Route) -> Change {
        let id = Id::of(&route);
        let new_level = || Level { len: id.dst.len(), routes: HashMap::new() };
        let list = self
            .levels
            .entry(Rank::of(&id))
            .or_insert_with(new_level)
            .routes
            .entry(id.dst)
            .or_default();
        match list.iter_mut().find(|r| Id::of(r) == id) {
            Some(old) if *old == route => Change::None,
            Some(old) => {
                *old = route;
                Change::Replaced
            }
            None => {
                let at = list.partition_point(|r| r.metric <= route.metric);
                list.insert(at, route);
                self.count += 1;
                Change::Added
            }
        }
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Route> {
        self.levels.get(&Rank::of(id))?.routes.get(&id.dst)?.iter().find(|r| Id::of(r) == *id)
    }

    pub(super) fn remove(&mut self, id: &Id) -> bool {
        let rank = Rank::of(id);
        let Some(level) = self.levels.get_mut(&rank) else { return false };
        let Some(list) = level.routes.get_mut(&id.dst) else { return false };
        let Some(at) = list.iter().position(|r| Id::of(r) == *id) else { return false };
        list.remove(at);
        self.count -= 1;
        if list.is_empty() {
            level.routes.remove(&id.dst);
        }
        if level.routes.is_empty() {
            self.levels.remove(&rank);
        }
        true
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Route) -> bool) {
        for level in self.levels.values_mut() {
            level.routes.retain(|_, list| {
                list.retain_mut(&mut keep);
                !list.is_empty()
            });
        }
        self.levels.retain(|_, level| !level.routes.is_empty());
        self.count = self.levels.values().flat_map(|l| l.routes.values()).map(Vec::len).sum();
    }

    /// The routes for `dst`, best first; of people's only those for this mark.
    pub(super) fn candidates(&self, dst: IpAddr, mark: u32) -> impl Iterator<Item = &Route> {
        self.levels
            .iter()
            .filter(move |(rank, _)| rank.ipv4 == dst.is_ipv4())
            .filter_map(move |(_, level)| level.routes.get(&Prefix::new(dst, level.len)?.network()))
            .flatten()
            .filter(move |r| !r.user || r.mark == mark)
    }

    /// All routes, best first, then by destination.
    pub(super) fn sorted(&self) -> Vec<&Route> {
        self.levels
            .values()
            .flat_map(|level| {
                let mut routes: Vec<&Route> = level.routes.values().flatten().collect();
                routes.sort_by_key(|r| (r.dst, r.mark, r.metric));
                routes
            })
            .collect()
    }
}
