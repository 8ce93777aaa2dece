//! The set of configured tunnel ports, and which of them a received packet belongs to.
//!
//! Each endpoint may leave the key, the remote address or the local address open. The one that says most is chosen; what
//! counts most is the key, then the remote address, then the local address, in the reference's order. Two endpoints that say
//! exactly the same could not be told apart, so the second is refused.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use flow::DpPort;

use crate::endpoint::{Endpoint, InKey, Kind, Local, Remote, Vni};

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

/// What packets are taken for tunnel packets: those for one of our addresses and this UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The protocol.
    pub kind: Kind,
    /// The datapath port that unwraps them.
    pub dp: DpPort,
    /// How many endpoints share it.
    pub endpoints: usize,
}

impl Listener {
    /// The datapath port's name.
    pub fn device_name(&self, udp_port: u16) -> String {
        self.kind.device_name(udp_port)
    }
}

/// Configured endpoints. Only grows: a changed configuration is a new table.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    list: Vec<(Arc<Endpoint>, DpPort)>,
    by_pattern: HashMap<Pattern, EndpointId>,
    /// By UDP port.
    listeners: BTreeMap<u16, Listener>,
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
        let listener = Listener { kind: endpoint.kind, dp, endpoints: 0 };
        self.listeners.entry(endpoint.dst_port).or_insert(listener).endpoints += 1;
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

    /// The UDP ports that tunnel packets come to, in order of number.
    pub fn listeners(&self) -> impl Iterator<Item = (u16, &Listener)> {
        self.listeners.iter().map(|(port, l)| (*port, l))
    }

    /// Who listens on a UDP port.
    pub fn listener(&self, udp_port: u16) -> Option<&Listener> {
        self.listeners.get(&udp_port)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::OutKey;

    const DP: DpPort = DpPort(4789);

    fn endpoint(name: &str, options: &[(&str, &str)]) -> Arc<Endpoint> {
        Arc::new(Endpoint::parse(name, Kind::Vxlan, options.iter().copied()).unwrap())
    }

    fn find(t: &Endpoints, key: u64, remote: &str, local: &str) -> Option<String> {
        let id = t.find(DP, key, remote.parse().unwrap(), local.parse().unwrap())?;
        t.get(id).map(|(e, _)| e.name.to_string())
    }

    #[test]
    fn the_endpoint_that_says_most_wins() {
        let mut t = Endpoints::default();
        for (name, options) in [
            ("any", &[("remote_ip", "flow"), ("key", "flow")][..]),
            ("remote", &[("remote_ip", "1.1.1.1"), ("key", "flow")]),
            ("local", &[("remote_ip", "flow"), ("local_ip", "9.9.9.9"), ("key", "flow")]),
            ("key", &[("remote_ip", "flow"), ("key", "7")]),
            ("all", &[("remote_ip", "1.1.1.1"), ("local_ip", "9.9.9.9"), ("key", "7")]),
        ] {
            t.insert(endpoint(name, options), DP).unwrap();
        }
        for (key, remote, local, want) in [
            (7, "1.1.1.1", "9.9.9.9", "all"),
            (7, "1.1.1.1", "9.9.9.8", "key"),
            (8, "1.1.1.1", "9.9.9.9", "remote"),
            (8, "1.1.1.2", "9.9.9.9", "local"),
            (8, "1.1.1.2", "9.9.9.8", "any"),
            (u64::MAX, "1.1.1.2", "9.9.9.8", "any"),
        ] {
            assert_eq!(
                find(&t, key, remote, local).as_deref(),
                Some(want),
                "{key} {remote} {local}"
            );
        }
        let other_port =
            t.find(DpPort(1), 7, "1.1.1.1".parse().unwrap(), "9.9.9.9".parse().unwrap());
        assert_eq!(other_port, None);
    }

    #[test]
    fn equals_are_refused() {
        let mut t = Endpoints::default();
        t.insert(endpoint("a", &[("remote_ip", "1.1.1.1")]), DP).unwrap();
        let again = endpoint("b", &[("remote_ip", "1.1.1.1"), ("in_key", "0"), ("tos", "inherit")]);
        assert_eq!(again.out_key, OutKey::Absent);
        assert_eq!(t.insert(again.clone(), DP), Err(DuplicateEndpoint { existing: "a".into() }));
        assert!(t.insert(again, DpPort(4790)).is_ok(), "another UDP port is another tunnel");
        assert_eq!(find(&t, 0, "1.1.1.1", "9.9.9.9").as_deref(), Some("a"));
        assert_eq!(find(&t, 1, "1.1.1.1", "9.9.9.9"), None);
    }

    #[test]
    fn listeners_count_their_endpoints() {
        let mut t = Endpoints::default();
        t.insert(endpoint("a", &[("remote_ip", "1.1.1.1")]), DP).unwrap();
        t.insert(endpoint("b", &[("remote_ip", "1.1.1.2")]), DP).unwrap();
        let l = t.listener(4789).unwrap();
        assert_eq!((l.endpoints, l.device_name(4789)), (2, "vxlan_sys_4789".to_owned()));
        assert_eq!(t.listeners().count(), 1);
        assert_eq!(t.listener(4790), None);
    }
}
