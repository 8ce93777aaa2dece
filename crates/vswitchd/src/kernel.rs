//! Following the kernel: links, addresses, routes and rules, by netlink. Only what changed is touched; after lost events
//! everything is asked for again. Rules are few, and their order is not told: they are asked for at each change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use netdev::rtnl::{self, Elsewhere, Event, Interest, Monitor, Query};
use tunnel::route::LinkState;
use tunnel::route::rules::Rule;
use tunnel::{Prefix, Route, Routes};

mod convert;

/// What is known of the kernel, and how to hear more.
pub struct Kernel {
    /// Readable when there is news.
    pub monitor: Monitor,
    /// Readable when something has happened to links of any network namespace.
    pub elsewhere: Elsewhere,
    follower: Follower,
}

/// What is known of the kernel.
#[derive(Default)]
struct Follower {
    names: HashMap<u32, Arc<str>>,
    /// Tables of VRFs, by their links.
    vrfs: HashMap<u32, u32>,
    /// Rules have changed.
    rules_stale: bool,
    /// Something was missed: everything is to be asked for again.
    lost: bool,
    /// Links that went, as far as nobody was told.
    gone: BTreeSet<String>,
}

/// Everything that there is.
#[derive(Default)]
struct Dump {
    links: Vec<rtnl::Link>,
    addresses: Vec<rtnl::Address>,
    routes: Vec<rtnl::Route>,
    rules: Vec<rtnl::Rule>,
}

impl Dump {
    fn take() -> io::Result<Self> {
        let mut query = Query::open()?;
        Ok(Self {
            links: query.links()?,
            addresses: query.addresses()?,
            routes: query.routes()?,
            rules: query.rules()?,
        })
    }
}

/// One change of the route table.
#[derive(Clone, Debug)]
pub enum RouteChange {
    /// A route is new.
    Add(Route),
    /// A route is gone.
    Remove(Route),
    /// A device got an address.
    AddAddress(Arc<str>, Prefix),
    /// A device lost one.
    RemoveAddress(Arc<str>, Prefix),
    /// A device's link is like this.
    Link(Arc<str>, LinkState),
    /// The rules are these.
    Rules(Vec<Rule>),
    /// A device is gone.
    RemoveDevice(Arc<str>),
    /// Everything from the kernel is to be forgotten; what is follows.
    Clear,
}

/// What came of looking.
#[derive(Debug, Default)]
pub struct News {
    /// Changes of routes and addresses, in order.
    pub routes: Vec<RouteChange>,
    /// Names of links that came, or changed.
    pub came: BTreeSet<String>,
    /// Names of links that went. A name in both is another link now.
    pub gone: BTreeSet<String>,
}

impl Kernel {
    /// Starts to listen.
    pub fn open() -> io::Result<Self> {
        let monitor = Monitor::open(&[
            Interest::Links,
            Interest::Addresses,
            Interest::Routes,
            Interest::Rules,
        ])?;
        Ok(Self { monitor, elsewhere: Elsewhere::open()?, follower: Follower::default() })
    }

    /// Everything, as at the start.
    pub fn dump(&mut self) -> io::Result<News> {
        Ok(self.follower.all(Dump::take()?))
    }

    /// What has happened since.
    pub fn poll(&mut self) -> io::Result<News> {
        let events = self.monitor.poll()?;
        let mut news = self.follower.hear(events, Dump::take)?;
        if self.follower.rules_stale {
            // If that fails now, what else was heard must not be lost; it is tried again at the next event.
            if let Ok(rules) = Query::open().and_then(|mut query| query.rules()) {
                news.routes.push(RouteChange::Rules(convert::rules(&rules)));
                self.follower.rules_stale = false;
            }
        }
        Ok(news)
    }
}

impl Follower {
    /// What is different from what was known.
    fn all(&mut self, dump: Dump) -> News {
        let mut news = News { routes: vec![RouteChange::Clear], ..News::default() };
        let present: BTreeMap<u32, Arc<str>> =
            dump.links.iter().map(|l| (l.ifindex, l.name.as_str().into())).collect();
        // A name alone does not make it the same link: it may have gone and come again.
        let gone = self.names.drain().filter(|(index, name)| present.get(index) != Some(name));
        news.gone = gone.map(|(_, name)| name.to_string()).collect();
        news.gone.append(&mut self.gone);
        news.came = present.values().map(ToString::to_string).collect();
        self.names = present.into_iter().collect();
        self.vrfs = dump.links.iter().filter_map(|l| Some((l.ifindex, l.vrf_table?))).collect();
        news.routes.extend(dump.links.iter().map(|link| self.link(link)));
        for address in &dump.addresses {
            news.routes.extend(
                self.address(address).map(|(dev, prefix)| RouteChange::AddAddress(dev, prefix)),
            );
        }
        for route in &dump.routes {
            news.routes.extend(self.route(route).map(RouteChange::Add));
        }
        news.routes.push(RouteChange::Rules(convert::rules(&dump.rules)));
        self.rules_stale = false;
        news
    }

    /// What has come of events; `dump` is asked if they do not tell everything.
    fn hear(
        &mut self,
        events: Vec<Event>,
        dump: impl FnOnce() -> io::Result<Dump>,
    ) -> io::Result<News> {
        let mut news = News::default();
        for event in events {
            self.event(event, &mut news);
        }
        if !self.lost {
            return Ok(news);
        }
        // What was heard before still counts: a link that went must not be forgotten, even if it is back by now, and even
        // if asking fails this time.
        self.gone.append(&mut news.gone);
        let news = self.all(dump()?);
        self.lost = false;
        Ok(news)
    }

    fn event(&mut self, event: Event, news: &mut News) {
        match event {
            Event::Overrun | Event::RoutesStale => self.lost = true,
            Event::LinkChanged(link) => {
                let name: Arc<str> = link.name.as_str().into();
                let old = self.names.insert(link.ifindex, name.clone());
                if let Some(old) = old.filter(|old| *old != name) {
                    news.gone.insert(old.to_string());
                    news.routes.push(RouteChange::RemoveDevice(old));
                    // Its addresses are told by number, and were told already: they are the new name's now.
                    self.lost = true;
                }
                match link.vrf_table {
                    Some(table) => self.vrfs.insert(link.ifindex, table),
                    None => self.vrfs.remove(&link.ifindex),
                };
                news.routes.push(self.link(&link));
                news.came.insert(name.to_string());
            }
            Event::LinkRemoved(link) => {
                self.names.remove(&link.ifindex);
                self.vrfs.remove(&link.ifindex);
                news.came.remove(&link.name);
                news.gone.insert(link.name.clone());
                news.routes.push(RouteChange::RemoveDevice(link.name.as_str().into()));
            }
            Event::AddressAdded(a) => {
                news.routes
                    .extend(self.address(&a).map(|(dev, p)| RouteChange::AddAddress(dev, p)));
            }
            Event::AddressRemoved(a) => {
                news.routes
                    .extend(self.address(&a).map(|(dev, p)| RouteChange::RemoveAddress(dev, p)));
            }
            Event::RouteAdded { route, .. } => {
                news.routes.extend(self.route(&route).map(RouteChange::Add))
            }
            Event::RouteRemoved(route) => {
                news.routes.extend(self.route(&route).map(RouteChange::Remove))
            }
            Event::RuleAdded(_) | Event::RuleRemoved(_) => self.rules_stale = true,
            Event::NeighbourChanged(_) | Event::NeighbourRemoved(_) => {}
        }
    }

    fn link(&self, link: &rtnl::Link) -> RouteChange {
        let state = LinkState {
            mtu: link.mtu,
            running: link.running,
            vrf: link.master.and_then(|master| self.vrfs.get(&master).copied()),
        };
        RouteChange::Link(link.name.as_str().into(), state)
    }

    fn address(&self, address: &rtnl::Address) -> Option<(Arc<str>, Prefix)> {
        Some((
            self.names.get(&address.ifindex)?.clone(),
            Prefix::new(address.ip, address.prefix_len)?,
        ))
    }

    fn route(&self, route: &rtnl::Route) -> Option<Route> {
        convert::route(route, |index| self.names.get(&index).cloned())
    }
}

/// Carries out one change.
pub fn change_routes(routes: &mut Routes, change: &RouteChange) {
    match change {
        RouteChange::Add(route) => drop(routes.add(route.clone())),
        RouteChange::Remove(route) => drop(routes.remove(route)),
        RouteChange::AddAddress(dev, prefix) => drop(routes.add_address(dev, *prefix)),
        RouteChange::RemoveAddress(dev, prefix) => drop(routes.remove_address(dev, *prefix)),
        RouteChange::Link(dev, state) => drop(routes.set_link(dev, state.clone())),
        RouteChange::Rules(rules) => drop(routes.set_kernel_rules(rules.clone())),
        RouteChange::RemoveDevice(dev) => drop(routes.remove_device(dev)),
        RouteChange::Clear => routes.clear_kernel(),
    }
}

#[cfg(test)]
mod tests;
