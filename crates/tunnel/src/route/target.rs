//! Where routes lead: one way, several, or nowhere on purpose.

use std::net::IpAddr;
use std::sync::Arc;

/// Most ways of one route; the kernel has no route with more that anybody would want.
pub const MAX_HOPS: usize = 256;

/// One way of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The device that it leads out of: a bridge's name.
    pub dev: Arc<str>,
    /// The router; `None` when destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// Its share of the flows, compared with the route's other ways; at least 1.
    pub weight: u16,
}

impl Hop {
    /// A way out of this device.
    pub fn new(dev: impl Into<Arc<str>>, gateway: Option<IpAddr>) -> Self {
        Self { dev: dev.into(), gateway, weight: 1 }
    }
}

/// What becomes of packets on a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// They all go one way.
    Way(Hop),
    /// They are spread over several, flow by flow.
    Ways(Arc<[Hop]>),
    /// They go nowhere, and no other route is asked (the kernel's `blackhole`, `unreachable`, `prohibit`).
    Nowhere,
    /// The next rule decides (the kernel's `throw`).
    NextRule,
}

impl Target {
    /// One way.
    pub fn way(dev: impl Into<Arc<str>>, gateway: Option<IpAddr>) -> Self {
        Self::Way(Hop::new(dev, gateway))
    }

    /// These ways, as many as may be; `None` if there are none.
    pub fn of(mut hops: Vec<Hop>) -> Option<Self> {
        hops.truncate(MAX_HOPS);
        match hops.len() {
            0 => None,
            1 => hops.pop().map(Self::Way),
            _ => Some(Self::Ways(hops.into())),
        }
    }

    /// All its ways.
    pub fn hops(&self) -> &[Hop] {
        match self {
            Self::Way(hop) => std::slice::from_ref(hop),
            Self::Ways(hops) => hops,
            Self::Nowhere | Self::NextRule => &[],
        }
    }

    /// Without the ways that are to go; `None` if none is left. What has no ways stays.
    pub(super) fn without(&self, goes: impl Fn(&Hop) -> bool) -> Option<Self> {
        if self.hops().is_empty() {
            return Some(self.clone());
        }
        Self::of(self.hops().iter().filter(|hop| !goes(hop)).cloned().collect())
    }
}
