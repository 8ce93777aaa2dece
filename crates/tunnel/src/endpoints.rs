//! The set of configured tunnel ports, and which of them a received packet belongs to.
//!
//! Each endpoint may leave the key, the remote address or the local address open. The one that says most is chosen; what
//! counts most is the key, then the remote address, then the local address, in the reference's order. Two endpoints that say
//! exactly the same could not be told apart, so the second is refused.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use flow::DpPort;

use crate::endpoint::{Endpoint, InKey, Local, Remote, Vni};

/// Names an endpoint of one [`Endpoints`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u32);

impl EndpointId {
    /// The position in order of insertion.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a received packet is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pattern {
    dp: DpPort,
    key: InKey,
    remote: Remote,
    local: Local,
}

/// Two endpoints that no packet could tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateEndpoint {
    /// The endpoint that was there first.
    pub existing: Arc<str>,
}

impl fmt::Display for DuplicateEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "same remote_ip, local_ip and in_key as tunnel port '{}'", self.existing)
    }
}

impl std::error::Error for DuplicateEndpoint {}

/// Configured endpoints. Only grows: a changed configuration is a new table.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    list: Vec<(Arc<Endpoint>, DpPort)>,
    by_pattern: HashMap<Pattern, EndpointId>,
}

impl Endpoints {
    /// Adds an endpoint served by datapath port `dp` (one for all endpoints of a kind and UDP port).
    pub fn insert(
        &mut self,
        endpoint: Arc<Endpoint>,
        dp: DpPort,
    ) -> Result<EndpointId, DuplicateEndpoint> {
        let key = match endpoint.in_key {
            InKey::Absent => InKey::Exact(Vni::default()),
            key => key,
        };
        let pattern = Pattern { dp, key, remote: endpoint.remote, local: endpoint.local };
        if let Some(id) = self.by_pattern.get(&pattern) {
            return Err(DuplicateEndpoint { existing: self.list[id.index()].0.name.clone() });
        }
        let id = EndpointId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.by_pattern.insert(pattern, id);
        self.list.push((endpoint, dp));
        Ok(id)
    }

    /// An endpoint and its datapath port.
    pub fn get(&self, id: EndpointId) -> Option<(&Arc<Endpoint>, DpPort)> {
        self.list.get(id.index()).map(|(e, dp)| (e, *dp))
    }

    /// All of them, in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, &Arc<Endpoint>, DpPort)> {
        self.list.iter().enumerate().map(|(i, (e, dp))| (EndpointId(i as u32), e, *dp))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The endpoint that a packet belongs to which tunnel port `dp` unwrapped: it came from `remote` for our address `local`
    /// with this key.
    pub fn find(&self, dp: DpPort, key: u64, remote: IpAddr, local: IpAddr) -> Option<EndpointId> {
        for key in Vni::new(key).map(InKey::Exact).into_iter().chain([InKey::Flow]) {
            for remote in [Remote::Address(remote), Remote::Flow] {
                for local in [Local::Address(local), Local::Any, Local::Flow] {
                    if let Some(id) = self.by_pattern.get(&Pattern { dp, key, remote, local }) {
                        return Some(*id);
                    }
                }
            }
        }
        None
    }
}
