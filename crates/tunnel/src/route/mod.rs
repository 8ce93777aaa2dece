//! The routes that the switch uses for its own packets: the kernel's, followed event by event, and those that people add.
//!
//! # Design
//! A table per kernel routing table id; they are asked in the kernel's standard order: local, main, default. Inside a table
//! routes live in a hash map per prefix length, asked from the longest length present to the shortest: a full Internet table
//! costs a lookup some twenty probes and an update one.
//!
//! A user's route beats a kernel's route up to 32 bits longer, as in the reference: whoever types a route means it. Among
//! equal prefixes the lowest metric wins. The source address is found when asked for, not when the route came: addresses and
//! routes arrive in any order.

pub mod commands;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base::Version;

use crate::prefix::Prefix;
use table::Table;

/// The kernel's table of its own addresses.
pub const TABLE_LOCAL: u32 = 255;
/// The kernel's main table, and where user routes go unless told otherwise.
pub const TABLE_MAIN: u32 = 254;
/// The kernel's table of last resort.
pub const TABLE_DEFAULT: u32 = 253;

/// Most routes of all tables together: twice a full Internet table.
pub const MAX_ROUTES: usize = 1 << 21;
/// Most addresses of one device.
pub const MAX_ADDRESSES: usize = 4096;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destinations.
    pub dst: Prefix,
    /// Which routing table it belongs to.
    pub table: u32,
    /// The next hop; `None` when destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// The device that it leads out of: a bridge's name.
    pub dev: Arc<str>,
    /// The source address to prefer.
    pub src: Option<IpAddr>,
    /// The kernel's metric: among equal prefixes the lowest wins.
    pub metric: u32,
    /// Only for packets with this mark; 0 for packets without.
    pub mark: u32,
    /// Added by a person (`ovs/route/add`), not by the kernel.
    pub user: bool,
}

impl Route {
    /// Whether it leads to one of the host's own addresses.
    pub fn is_local(&self) -> bool {
        self.table == TABLE_LOCAL && !self.user
    }
}

/// Where a destination is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The device.
    pub dev: Arc<str>,
    /// The gateway, when the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// Our source address.
    pub src: IpAddr,
}

impl NextHop {
    /// Whose hardware address is needed to reach `dst`: the gateway's, or the destination's own.
    pub fn neighbour(&self, dst: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(dst)
    }
}

/// All routes and the devices' addresses.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    tables: BTreeMap<u32, Table>,
    addresses: BTreeMap<Arc<str>, Vec<Prefix>>,
    count: usize,
    /// The destinations that anybody asks for; `None`: any.
    watched: Option<Vec<IpAddr>>,
    version: Version,
}

impl Routes {
    /// Grows whenever an answer of [`Routes::lookup`] or [`Routes::addresses`] may differ from before.
    pub fn version(&self) -> Version {
        self.version
    }

    fn changed(&mut self) {
        self.version = self.version.next();
    }

    /// A route to `dst` has changed.
    fn changed_to(&mut self, dst: Prefix) {
        if self.watched.as_ref().is_none_or(|list| list.iter().any(|ip| dst.contains(*ip))) {
            self.changed();
        }
    }

    /// From now on only routes to these destinations make a new version (`None`: all do): a host with the Internet's routes
    /// hears of changes all day that no tunnel cares about.
    pub fn watch(&mut self, destinations: Option<Vec<IpAddr>>) {
        if destinations != self.watched {
            self.watched = destinations;
            self.changed();
        }
    }

    /// Adds a route, or replaces the one with the same destination, table, mark, metric and owner. Says whether anything
    /// changed; a table with [`MAX_ROUTES`] takes no more.
    pub fn add(&mut self, mut route: Route) -> bool {
        route.dst = route.dst.network();
        if self.count >= MAX_ROUTES && !self.contains(&route) {
            return false;
        }
        let dst = route.dst;
        let change = self.tables.entry(route.table).or_default().insert(route);
        self.count += usize::from(change == table::Change::Added);
        let any = change != table::Change::None;
        if any {
            self.changed_to(dst);
        }
        any
    }

    /// Removes the route with the same destination, table, mark, metric and owner. Says whether there was one.
    pub fn remove(&mut self, route: &Route) -> bool {
        self.take(route.table, &table::Id::of(route))
    }

    fn take(&mut self, table: u32, id: &table::Id) -> bool {
        let Some(t) = self.tables.get_mut(&table) else { return false };
        if !t.remove(id) {
            return false;
        }
        if t.is_empty() {
            self.tables.remove(&table);
        }
        self.count -= 1;
        self.changed_to(id.dst);
        true
    }

    fn contains(&self, route: &Route) -> bool {
        self.tables.get(&route.table).is_some_and(|t| t.get(&table::Id::of(route)).is_some())
    }

    /// Removes all of the kernel's routes and all addresses, before a fresh dump of both (its events were lost).
    pub fn clear_kernel(&mut self) {
        for table in self.tables.values_mut() {
            table.retain(|r| r.user);
        }
        self.tables.retain(|_, t| !t.is_empty());
        self.count = self.tables.values().map(Table::len).sum();
        self.addresses.clear();
        self.changed();
    }

    /// A device got an address. Says whether that is news.
    pub fn add_address(&mut self, dev: &str, address: Prefix) -> bool {
        let list = match self.addresses.get_mut(dev) {
            Some(list) => list,
            None => self.addresses.entry(dev.into()).or_default(),
        };
        if list.contains(&address) || list.len() >= MAX_ADDRESSES {
            return false;
        }
        list.push(address);
        self.changed();
        true
    }

    /// A device lost an address. Says whether it had it.
    pub fn remove_address(&mut self, dev: &str, address: Prefix) -> bool {
        let Some(list) = self.addresses.get_mut(dev) else { return false };
        let before = list.len();
        list.retain(|a| *a != address);
        let found = list.len() != before;
        if list.is_empty() {
            self.addresses.remove(dev);
        }
        if found {
            self.changed();
        }
        found
    }

    /// A device vanished: its addresses and the kernel's routes through it go. Says whether there were any.
    pub fn remove_device(&mut self, dev: &str) -> bool {
        let before = self.count;
        for table in self.tables.values_mut() {
            table.retain(|r| r.user || &*r.dev != dev);
        }
        self.tables.retain(|_, t| !t.is_empty());
        self.count = self.tables.values().map(Table::len).sum();
        let any = self.addresses.remove(dev).is_some() || self.count != before;
        if any {
            self.changed();
        }
        any
    }

    /// The addresses of a device, in the order in which they came.
    pub fn addresses(&self, dev: &str) -> &[Prefix] {
        self.addresses.get(dev).map_or(&[], Vec::as_slice)
    }

    /// Whether `ip` is one of the host's own addresses, on any device.
    pub fn is_own_address(&self, ip: IpAddr) -> bool {
        self.addresses.values().flatten().any(|a| a.addr() == ip)
            || self.tables.get(&TABLE_LOCAL).is_some_and(|t| {
                t.candidates(ip, 0)
                    .any(|r| r.is_local() && (r.src == Some(ip) || r.dst == Prefix::host(ip)))
            })
    }

    /// Where packets for `dst` with this mark go. With `src` given, only if that is an address of this host.
    pub fn lookup(&self, dst: IpAddr, mark: u32, src: Option<IpAddr>) -> Option<NextHop> {
        if src.is_some_and(|s| s.is_ipv4() != dst.is_ipv4() || !self.is_own_address(s)) {
            return None;
        }
        let (route, own) = self.best(dst, mark)?;
        Some(NextHop { dev: route.dev.clone(), gateway: route.gateway, src: src.unwrap_or(own) })
    }

    /// The best usable route for `dst`, and its source address.
    fn best(&self, dst: IpAddr, mark: u32) -> Option<(&Route, IpAddr)> {
        [TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT]
            .iter()
            .filter_map(|id| self.tables.get(id))
            .find_map(|t| t.candidates(dst, mark).find_map(|r| Some((r, self.source(r)?))))
    }

    /// The source address for packets on this route: what the route prefers, or the device's address in the destination's
    /// or else the gateway's network, or else (the kernel's routes only) the device's first address.
    fn source(&self, route: &Route) -> Option<IpAddr> {
        if route.src.is_some() {
            return route.src;
        }
        let own = self.addresses(&route.dev);
        let in_network_of = |ip: IpAddr| {
            own.iter()
                .filter(|a| a.contains(ip))
                .max_by_key(|a| (a.len(), std::cmp::Reverse(a.addr())))
                .map(Prefix::addr)
        };
        in_network_of(route.dst.addr()).or_else(|| route.gateway.and_then(in_network_of)).or_else(
            || {
                let same_family = own
                    .iter()
                    .map(Prefix::addr)
                    .find(|a| a.is_ipv4() == route.dst.addr().is_ipv4());
                same_family.filter(|_| !route.user)
            },
        )
    }
}

#[cfg(test)]
mod tests;
