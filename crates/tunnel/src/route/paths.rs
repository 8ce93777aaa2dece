//! What routers on the way have said that fits (path MTU discovery, RFC 1191 and RFC 8201), by destination.
//!
//! It counts for a while and is then forgotten, so that a way that has become wider is found. A report that says more than is
//! known is not believed. Nobody can make this table large, or a way narrower than links are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use base::Instant;

use super::Routes;

/// How long a report counts (RFC 8201, 4).
const LASTS: Duration = Duration::from_secs(600);
/// Most destinations.
pub const MAX_PATHS: usize = 4096;
/// Less than this no report can make a way: what the kernel allows for IPv4, and what every IPv6 link takes.
const LEAST_V4: u32 = 552;
const LEAST_V6: u32 = 1280;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    by_destination: HashMap<IpAddr, Path>,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    mtu: u32,
    until: Instant,
}

impl Paths {
    pub(super) fn mtu(&self, dst: IpAddr) -> Option<u32> {
        if self.by_destination.is_empty() {
            return None;
        }
        self.by_destination.get(&dst).map(|path| path.mtu)
    }
}

impl Routes {
    /// Whether [`Routes::learn_mtu`] would do anything.
    pub fn has_narrower(&self, dst: IpAddr, mtu: u32) -> bool {
        let known = self.paths.mtu(dst);
        let mtu = at_least(dst, mtu);
        match known {
            Some(known) => mtu < known,
            None => {
                let wider = |way: &super::NextHop| way.mtu.is_none_or(|known| mtu < known);
                self.paths.by_destination.len() < MAX_PATHS
                    && self.ways(dst, 0, None).iter().any(wider)
            }
        }
    }

    /// A router says that `mtu` bytes, with the IP header, fit on the way to `dst`. Says whether that is news.
    pub fn learn_mtu(&mut self, dst: IpAddr, mtu: u32, now: Instant) -> bool {
        let news = self.has_narrower(dst, mtu);
        if news {
            let path = Path { mtu: at_least(dst, mtu), until: now + LASTS };
            self.paths.by_destination.insert(dst, path);
            self.changed();
        }
        news
    }

    /// Forgets what was said too long ago.
    pub fn forget_mtus(&mut self, now: Instant) {
        let before = self.paths.by_destination.len();
        self.paths.by_destination.retain(|_, path| path.until > now);
        if self.paths.by_destination.len() != before {
            self.changed();
        }
    }

    /// When [`Routes::forget_mtus`] has something to do.
    pub fn mtu_deadline(&self) -> Option<Instant> {
        self.paths.by_destination.values().map(|path| path.until).min()
    }
}

fn at_least(dst: IpAddr, mtu: u32) -> u32 {
    mtu.max(if dst.is_ipv4() { LEAST_V4 } else { LEAST_V6 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;
    use crate::route::links::LinkState;
    use crate::route::target::{Hop, Target};

    fn routes() -> Routes {
        let mut routes = Routes::default();
        routes.add_address("br", "10.0.0.1/24".parse().unwrap());
        routes.set_link(&"br".into(), LinkState { mtu: 1500, running: true, vrf: None });
        let hop = Hop::new("br", Some("10.0.0.254".parse().unwrap()));
        routes.add(Route::new("0.0.0.0/0".parse().unwrap(), Target::Way(hop)));
        routes
    }

    fn mtu(routes: &Routes, dst: &str) -> Option<u32> {
        routes.lookup(dst.parse().unwrap(), 0, None).unwrap().mtu
    }

    #[test]
    fn what_a_router_says_counts_for_ten_minutes() {
        let mut routes = routes();
        let (far, now) = ("10.9.0.1".parse().unwrap(), Instant::default());
        assert!(routes.learn_mtu(far, 1400, now));
        assert_eq!((mtu(&routes, "10.9.0.1"), mtu(&routes, "10.9.0.2")), (Some(1400), Some(1500)));
        let version = routes.version();
        assert!(!routes.learn_mtu(far, 1450, now), "ways do not get wider by reports");
        assert!(!routes.learn_mtu("10.9.0.2".parse().unwrap(), 1500, now), "it is known");
        assert_eq!(routes.version(), version);
        assert!(routes.learn_mtu(far, 68, now));
        assert_eq!(mtu(&routes, "10.9.0.1"), Some(LEAST_V4));
        routes.forget_mtus(now + LASTS / 2);
        assert_eq!(mtu(&routes, "10.9.0.1"), Some(LEAST_V4));
        assert_eq!(routes.mtu_deadline(), Some(now + LASTS));
        routes.forget_mtus(now + LASTS);
        assert_eq!((mtu(&routes, "10.9.0.1"), routes.mtu_deadline()), (Some(1500), None));
        assert!(routes.version() > version);
    }

    #[test]
    fn the_table_has_an_end() {
        let mut routes = routes();
        for n in 0..MAX_PATHS as u32 + 10 {
            routes.learn_mtu(
                IpAddr::from((0x0b00_0000 + n).to_be_bytes()),
                1000,
                Instant::default(),
            );
        }
        assert_eq!(routes.paths.by_destination.len(), MAX_PATHS);
    }
}
