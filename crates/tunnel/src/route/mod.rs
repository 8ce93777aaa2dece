//! The routes that the switch uses for its own packets: the kernel's, followed event by event, and those that people add.
//!
//! # Design
//! A table per kernel routing table id; which are asked, and in which order, say [`rules`]. Inside a table routes live in a
//! hash map per prefix length, asked from the longest length present to the shortest: a full Internet table costs a lookup
//! some twenty probes and an update one.
//!
//! A user's route beats a kernel's route up to 32 bits longer, as in the reference: whoever types a route means it. Among
//! equal prefixes the lowest metric wins. The source address is found when asked for, not when the route came: addresses and
//! routes arrive in any order. A route may have several ways; who asks gets them all, and spreads flows over them.
//!
//! Read in this order: [`target`], [`rules`], this file, [`links`], [`paths`], [`lookup`].

pub mod commands;
pub mod links;
pub mod lookup;
mod paths;
pub mod rules;
mod table;
pub mod target;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base::Version;

use crate::prefix::Prefix;
use links::Device;
use paths::Paths;
use rules::{Rule, Rules};
use table::Table;

pub use links::LinkState;
pub use lookup::NextHop;
pub use paths::MAX_PATHS;
pub use target::{Hop, Target};

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
    /// Where it leads.
    pub target: Target,
    /// The source address to prefer.
    pub src: Option<IpAddr>,
    /// The kernel's metric: among equal prefixes the lowest wins.
    pub metric: u32,
    /// A user's route: only for packets with this mark, 0 for packets without. For the kernel's, rules choose by marks.
    pub mark: u32,
    /// The largest packet for these destinations, in bytes with the IP header, if the route says so.
    pub mtu: Option<u32>,
    /// Added by a person (`ovs/route/add`), not by the kernel.
    pub user: bool,
}

impl Route {
    /// A route of the kernel's main table.
    pub fn new(dst: Prefix, target: Target) -> Self {
        Self {
            dst,
            table: TABLE_MAIN,
            target,
            src: None,
            metric: 0,
            mark: 0,
            mtu: None,
            user: false,
        }
    }

    /// Whether it leads to one of the host's own addresses.
    pub fn is_local(&self) -> bool {
        self.table == TABLE_LOCAL && !self.user
    }

    fn leads_by(&self, dev: &str) -> bool {
        self.target.hops().iter().any(|hop| &*hop.dev == dev)
    }
}

/// All routes and the devices' addresses.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    tables: BTreeMap<u32, Table>,
    rules: Rules,
    devices: BTreeMap<Arc<str>, Device>,
    count: usize,
    paths: Paths,
    /// The destinations that anybody asks for, in order; `None`: any.
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
        // The destination's own address is the lowest that it holds.
        let holds_any = |list: &Vec<IpAddr>| {
            let from = list.partition_point(|ip| *ip < dst.addr());
            list.get(from).is_some_and(|ip| dst.contains(*ip))
        };
        if self.watched.as_ref().is_none_or(holds_any) {
            self.changed();
        }
    }

    /// From now on only routes to these destinations make a new version (`None`: all do): a host with the Internet's routes
    /// hears of changes all day that no tunnel cares about.
    pub fn watch(&mut self, destinations: Option<Vec<IpAddr>>) {
        let destinations = destinations.map(|mut list| {
            list.sort_unstable();
            list
        });
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

    /// Removes the route with the same destination, table, mark, metric and owner. Says whether there was one. Of a route with
    /// several ways those go that are named (the kernel tells so of IPv6 routes), and the route with the last.
    pub fn remove(&mut self, route: &Route) -> bool {
        let id = table::Id::of(route);
        let known = self.tables.get(&route.table).and_then(|t| t.get(&id));
        let named = route.target.hops();
        let is_named =
            |hop: &Hop| named.iter().any(|n| (&n.dev, n.gateway) == (&hop.dev, hop.gateway));
        let rest = known
            .filter(|r| matches!(r.target, Target::Ways(_)) && !named.is_empty())
            .and_then(|r| Some(Route { target: r.target.without(is_named)?, ..r.clone() }));
        match rest {
            Some(rest) => self.add(rest),
            None => self.take(route.table, &id),
        }
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

    /// Removes all of the kernel's routes and all devices, before a fresh dump of both (its events were lost).
    pub fn clear_kernel(&mut self) {
        for table in self.tables.values_mut() {
            table.retain(|r| r.user);
        }
        self.tables.retain(|_, t| !t.is_empty());
        self.recount();
        self.devices.clear();
        self.changed();
    }

    fn recount(&mut self) {
        self.count = self.tables.values().map(Table::len).sum();
    }

    /// Removes all of people's routes and rules that are not among these, and adds those that are.
    pub fn set_user(&mut self, routes: &[Route], rules: &[Rule], old: (&[Route], &[Rule])) {
        for route in old.0.iter().filter(|route| !routes.contains(route)) {
            self.take(route.table, &table::Id::of(route));
        }
        for rule in old.1.iter().filter(|rule| !rules.contains(rule)) {
            self.remove_rule(rule);
        }
        for route in routes {
            self.add(route.clone());
        }
        for rule in rules.iter().filter(|rule| !old.1.contains(rule)) {
            self.add_rule(rule.clone());
        }
    }

    /// Replaces the kernel's rules. Says whether that is news.
    pub fn set_kernel_rules(&mut self, rules: Vec<Rule>) -> bool {
        let before = self.rules.clone();
        self.rules.set_kernel(rules);
        let any = !self.rules.iter().eq(before.iter());
        if any {
            self.changed();
        }
        any
    }

    /// Adds a person's rule; priority 0 chooses one. False: there are too many.
    pub fn add_rule(&mut self, rule: Rule) -> bool {
        let added = self.rules.add(Rule { user: true, ..rule });
        self.changed();
        added
    }

    /// Removes the first of people's rules like this one. Says whether there was one.
    pub fn remove_rule(&mut self, like: &Rule) -> bool {
        let any = self.rules.remove(like);
        if any {
            self.changed();
        }
        any
    }

    /// All rules, in the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The tables that there are, in order of number.
    pub fn tables(&self) -> impl Iterator<Item = u32> {
        self.tables.keys().copied()
    }

    /// The routes of a table, best first.
    pub fn table(&self, id: u32) -> Vec<&Route> {
        self.tables.get(&id).map(Table::sorted).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
