//! Following the kernel: links, addresses and routes, by netlink. Only what changed is touched; after lost events everything
//! is asked for again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use netdev::rtnl::{self, Event, Interest, Monitor, Query, RouteKind};
use tunnel::{Prefix, Route, Routes};

/// What is known of the kernel, and how to hear more.
pub struct Kernel {
    /// Readable when there is news.
    pub monitor: Monitor,
    names: HashMap<u32, Arc<str>>,
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
    /// Names of links that went.
    pub gone: BTreeSet<String>,
}

impl Kernel {
    /// Starts to listen.
    pub fn open() -> io::Result<Self> {
        let monitor = Monitor::open(&[Interest::Links, Interest::Addresses, Interest::Routes])?;
        Ok(Self { monitor, names: HashMap::new() })
    }

    /// Everything, as at the start.
    pub fn dump(&mut self) -> io::Result<News> {
        let mut news = News { routes: vec![RouteChange::Clear], ..News::default() };
        let mut query = Query::open()?;
        let links = query.links()?;
        let present: BTreeMap<u32, Arc<str>> =
            links.iter().map(|l| (l.ifindex, l.name.as_str().into())).collect();
        for (_, old) in self.names.drain() {
            if !present.values().any(|name| *name == old) {
                news.gone.insert(old.to_string());
            }
        }
        news.came = present.values().map(ToString::to_string).collect();
        self.names = present.into_iter().collect();
        for address in query.addresses()? {
            news.routes.extend(
                self.address(&address).map(|(dev, prefix)| RouteChange::AddAddress(dev, prefix)),
            );
        }
        for route in query.routes()? {
            news.routes.extend(self.route(&route).map(RouteChange::Add));
        }
        Ok(news)
    }

    /// What has happened since.
    pub fn poll(&mut self) -> io::Result<News> {
        let mut news = News::default();
        let mut lost = false;
        for event in self.monitor.poll()? {
            match event {
                Event::Overrun | Event::RoutesStale => lost = true,
                event => self.event(event, &mut news),
            }
        }
        if lost {
            // What was heard before still counts: a link that went must not be forgotten, even if it is back by now.
            let gone = std::mem::take(&mut news.gone);
            news = self.dump()?;
            news.gone.extend(gone);
        }
        Ok(news)
    }

    fn event(&mut self, event: Event, news: &mut News) {
        match event {
            Event::LinkChanged(link) => {
                let name: Arc<str> = link.name.as_str().into();
                let old = self.names.insert(link.ifindex, name.clone());
                if let Some(old) = old.filter(|old| *old != name) {
                    news.gone.insert(old.to_string());
                    news.routes.push(RouteChange::RemoveDevice(old));
                }
                news.gone.remove(&*name);
                news.came.insert(name.to_string());
            }
            Event::LinkRemoved(link) => {
                self.names.remove(&link.ifindex);
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
            _ => {}
        }
    }

    fn address(&self, address: &rtnl::Address) -> Option<(Arc<str>, Prefix)> {
        Some((
            self.names.get(&address.ifindex)?.clone(),
            Prefix::new(address.ip, address.prefix_len)?,
        ))
    }

    /// A kernel route as the switch uses it; none for those that lead nowhere.
    fn route(&self, route: &rtnl::Route) -> Option<Route> {
        if !matches!(route.kind, RouteKind::Unicast | RouteKind::Local) {
            return None;
        }
        Some(Route {
            dst: Prefix::new(route.dst, route.prefix_len)?,
            table: route.table,
            gateway: route.gateway(),
            dev: self.names.get(&route.oif()?)?.clone(),
            src: route.prefsrc,
            metric: route.priority,
            mark: 0,
            user: false,
        })
    }
}

/// Carries out one change.
pub fn change_routes(routes: &mut Routes, change: &RouteChange) {
    match change {
        RouteChange::Add(route) => drop(routes.add(route.clone())),
        RouteChange::Remove(route) => drop(routes.remove(route)),
        RouteChange::AddAddress(dev, prefix) => drop(routes.add_address(dev, *prefix)),
        RouteChange::RemoveAddress(dev, prefix) => drop(routes.remove_address(dev, *prefix)),
        RouteChange::RemoveDevice(dev) => drop(routes.remove_device(dev)),
        RouteChange::Clear => routes.clear_kernel(),
    }
}
