//! The set of configured tunnel ports, and which of them a received packet belongs to.
//!
//! Each endpoint may leave the key, the remote address or the local address open. The one that says most is chosen; what
//! counts most is the key, then the remote address, then the local address, in the reference's order. Two endpoints that say
//! exactly the same could not be told apart, so the second is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use flow::{DpPort, TunnelKey, TunnelProtocol, erspan_bits};

use crate::endpoint::{Arrival, Carries, Endpoint, InKey, Key, Local, Remote};
use known::Known;

mod known;

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
    arrival: Arrival,
    /// Of what comes with GRE.
    is_erspan: bool,
    carries: Carries,
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

/// Who unwraps packets that come to one of our addresses in a certain way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The datapath port's name.
    pub device: String,
    /// The datapath port.
    pub dp: DpPort,
    /// How many endpoints share it.
    pub endpoints: usize,
}

/// Configured endpoints. Only grows: a changed configuration is a new table.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    list: Vec<(Arc<Endpoint>, DpPort)>,
    by_pattern: HashMap<Pattern, EndpointId>,
    /// To whom packets are sent that the other end unwraps so.
    sends: HashSet<(Arrival, Remote)>,
    /// Several kinds may come with GRE: the first one unwraps them all.
    listeners: BTreeMap<Arrival, Vec<Listener>>,
    /// How packets come to datapath ports.
    arrivals: BTreeMap<DpPort, Arrival>,
    /// What endpoints ask of packets that come so.
    known: BTreeMap<Arrival, Known>,
}

impl Endpoints {
    /// Adds an endpoint served by datapath port `dp` (one for all endpoints of a kind and UDP port).
    pub fn insert(
        &mut self,
        endpoint: Arc<Endpoint>,
        dp: DpPort,
    ) -> Result<EndpointId, DuplicateEndpoint> {
        let arrival = endpoint.arrival();
        let key = match endpoint.in_key {
            InKey::Absent => InKey::Exact(Key::default()),
            key => key,
        };
        let pattern = Pattern {
            arrival,
            is_erspan: endpoint.kind.protocol() == TunnelProtocol::Erspan,
            carries: endpoint.carries,
            key,
            remote: endpoint.remote,
            local: endpoint.local,
        };
        if let Some(id) = self.by_pattern.get(&pattern) {
            return Err(DuplicateEndpoint { existing: self.list[id.index()].0.name.clone() });
        }
        let id = EndpointId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.by_pattern.insert(pattern, id);
        self.arrivals.insert(dp, arrival);
        self.known.entry(arrival).or_default().add(key, endpoint.remote);
        self.sends.insert((arrival, endpoint.remote));
        let listeners = self.listeners.entry(arrival).or_default();
        match listeners.iter_mut().find(|l| l.dp == dp) {
            Some(listener) => listener.endpoints += 1,
            None => {
                listeners.push(Listener { device: endpoint.device_name(), dp, endpoints: 1 });
            }
        }
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

    /// Who unwraps packets, in order of how they come.
    pub fn listeners(&self) -> impl Iterator<Item = (Arrival, &Listener)> {
        self.listeners.iter().flat_map(|(arrival, list)| list.iter().map(|l| (*arrival, l)))
    }

    /// Who unwraps packets that come so.
    pub fn listener(&self, arrival: Arrival) -> Option<&Listener> {
        self.listeners.get(&arrival)?.first()
    }

    /// How packets come to a datapath port that is a tunnel.
    pub fn arrival(&self, dp: DpPort) -> Option<Arrival> {
        self.arrivals.get(&dp).copied()
    }

    /// Whether any endpoint may have sent a packet to that end, of this kind.
    pub fn may_send(&self, arrival: Arrival, remote: IpAddr) -> bool {
        [Remote::Address(remote), Remote::Flow]
            .iter()
            .any(|to| self.sends.contains(&(arrival, *to)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The endpoint that a packet belongs to which tunnel port `dp` unwrapped, with this key: what the outer headers said, and
    /// whether what was inside is an Ethernet frame.
    pub fn find(&self, dp: DpPort, tunnel: &TunnelKey, is_frame: bool) -> Option<EndpointId> {
        let arrival = *self.arrivals.get(&dp)?;
        let (from, to) = ends(tunnel)?;
        let is_erspan = arrival == Arrival::Gre && tunnel.erspan(erspan_bits::VERSION) != 0;
        let exact = u32::try_from(tunnel.id).ok().map(|n| InKey::Exact(Key(n)));
        let own = if is_frame { Carries::Ethernet } else { Carries::Network };
        for key in exact.into_iter().chain([InKey::Flow]) {
            for remote in [Remote::Address(from), Remote::Flow] {
                for local in [Local::Address(to), Local::Any, Local::Flow] {
                    for carries in [own, Carries::Any] {
                        let pattern = Pattern { arrival, is_erspan, carries, key, remote, local };
                        if let Some(id) = self.by_pattern.get(&pattern) {
                            return Some(*id);
                        }
                    }
                }
            }
        }
        None
    }
}

impl Endpoints {
    /// For a packet that [`Endpoints::find`] knows no endpoint for: the bits of its key and addresses that are enough to say so.
    /// Whoever tries one key after the other, or one address, so meets a few flows, and not one for each.
    pub fn bits_that_tell(&self, dp: DpPort, tunnel: &TunnelKey) -> TunnelKey {
        let known = self.arrivals.get(&dp).and_then(|arrival| self.known.get(arrival));
        known.map(|known| known.bits_that_tell(tunnel)).unwrap_or_default()
    }
}

/// Where a tunnel packet came from and went to.
fn ends(t: &TunnelKey) -> Option<(IpAddr, IpAddr)> {
    if !t.is_set() {
        None
    } else if t.ip_dst != 0 {
        Some((Ipv4Addr::from(t.ip_src).into(), Ipv4Addr::from(t.ip_dst).into()))
    } else {
        Some((Ipv6Addr::from(t.ipv6_src).into(), Ipv6Addr::from(t.ipv6_dst).into()))
    }
}

#[cfg(test)]
mod tests {
    use flow::{FlowKey, Mask};

    use super::*;
    use crate::endpoint::{Kind, OutKey};

    const DP: DpPort = DpPort(4789);

    fn endpoint(name: &str, options: &[(&str, &str)]) -> Arc<Endpoint> {
        Arc::new(Endpoint::parse(name, Kind::Vxlan, options.iter().copied()).unwrap())
    }

    fn came(id: u64, remote: &str, local: &str) -> TunnelKey {
        let [ip_src, ip_dst] = [remote, local].map(|ip| ip.parse::<Ipv4Addr>().unwrap().to_bits());
        TunnelKey { id, ip_src, ip_dst, ..TunnelKey::default() }
    }

    fn find(t: &Endpoints, key: u64, remote: &str, local: &str) -> Option<String> {
        let id = t.find(DP, &came(key, remote, local), true)?;
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
        let other_port = t.find(DpPort(1), &came(7, "1.1.1.1", "9.9.9.9"), true);
        assert_eq!(other_port, None);
        let bare = t.find(DP, &came(7, "1.1.1.1", "9.9.9.9"), false);
        assert_eq!(bare, None, "it carries frames");
    }

    #[test]
    fn equals_are_refused() {
        let mut t = Endpoints::default();
        t.insert(endpoint("a", &[("remote_ip", "1.1.1.1")]), DP).unwrap();
        let again = endpoint("b", &[("remote_ip", "1.1.1.1"), ("in_key", "0"), ("tos", "inherit")]);
        assert_eq!(again.out_key, OutKey::Absent);
        assert_eq!(t.insert(again.clone(), DP), Err(DuplicateEndpoint { existing: "a".into() }));
        let elsewhere = endpoint("c", &[("remote_ip", "1.1.1.1"), ("dst_port", "4790")]);
        assert!(t.insert(elsewhere, DpPort(4790)).is_ok(), "another UDP port is another tunnel");
        assert_eq!(find(&t, 0, "1.1.1.1", "9.9.9.9").as_deref(), Some("a"));
        assert_eq!(find(&t, 1, "1.1.1.1", "9.9.9.9"), None);
    }

    #[test]
    fn listeners_count_their_endpoints() {
        let mut t = Endpoints::default();
        t.insert(endpoint("a", &[("remote_ip", "1.1.1.1")]), DP).unwrap();
        t.insert(endpoint("b", &[("remote_ip", "1.1.1.2")]), DP).unwrap();
        let l = t.listener(Arrival::Udp(4789)).unwrap();
        assert_eq!((l.endpoints, l.device.as_str()), (2, "vxlan_sys_4789"));
        assert_eq!(t.listeners().count(), 1);
        assert_eq!(t.listener(Arrival::Udp(4790)), None);
        let sends =
            |t: &Endpoints, port, to: &str| t.may_send(Arrival::Udp(port), to.parse().unwrap());
        assert!(
            sends(&t, 4789, "1.1.1.2") && !sends(&t, 4789, "1.1.1.3") && !sends(&t, 1, "1.1.1.1")
        );
        t.insert(endpoint("c", &[("remote_ip", "flow")]), DP).unwrap();
        assert!(sends(&t, 4789, "1.1.1.3"));
    }

    /// Whoever tries all keys, or all senders, meets few flows; and nobody meets them who would be let in.
    #[test]
    fn few_bits_tell_that_a_packet_is_nobodys() {
        let ports: [&[&[(&str, &str)]]; 5] = [
            &[&[("remote_ip", "1.1.1.1"), ("key", "7")]],
            &[&[("remote_ip", "1.1.1.1"), ("key", "flow")]],
            &[&[("remote_ip", "flow"), ("key", "7")]],
            &[&[("remote_ip", "1.1.1.1"), ("key", "7")], &[("remote_ip", "fd00::1"), ("key", "9")]],
            &[&[("remote_ip", "1.1.1.1"), ("key", "flow")], &[("remote_ip", "flow"), ("key", "9")]],
        ];
        for ports in ports {
            let mut t = Endpoints::default();
            for (i, options) in ports.iter().enumerate() {
                t.insert(endpoint(&format!("t{i}"), options), DP).unwrap();
            }
            let mut seed = 1u64;
            let mut random = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed >> 40
            };
            let mut packets: Vec<_> = (0..3000)
                .map(|i| {
                    let id = if i % 3 == 0 { random() % 16 } else { random() };
                    let from = if i % 2 == 0 { 0x0101_0101 } else { random() as u32 * 37 };
                    TunnelKey { id, ip_src: from, ip_dst: 0x0909_0909, ..TunnelKey::default() }
                })
                .collect();
            for key in 0..16 {
                packets.push(came(key, "1.1.1.1", "9.9.9.9"));
                let [mut from, mut to] = [[0; 16]; 2];
                (from[0], from[1], from[15], to[0]) = (0xfd, 0, 1, 0xfd);
                let v6 =
                    TunnelKey { id: key, ipv6_src: from, ipv6_dst: to, ..TunnelKey::default() };
                packets.push(v6);
            }
            let key = |tunnel: &TunnelKey| FlowKey { tunnel: *tunnel, ..FlowKey::default() };
            let mut flows = HashSet::new();
            for packet in packets.iter().filter(|p| t.find(DP, p, true).is_none()) {
                let mask = Mask(key(&t.bits_that_tell(DP, packet)));
                let value = mask.apply(&key(packet)).tunnel;
                // A flow is looked at again by what it says alone: still something that came by a tunnel, and nobody's.
                assert!(ends(&value).is_some(), "{packet:?} of {ports:?}");
                assert_eq!(t.find(DP, &value, true), None, "{packet:?} of {ports:?}");
                let again = Mask(key(&t.bits_that_tell(DP, &value)));
                assert_eq!(mask.apply(&again.0).tunnel, again.0.tunnel, "{packet:?} of {ports:?}");
                flows.insert((value, mask.0.tunnel));
            }
            assert!(flows.len() < 200, "{}", flows.len());
            for packet in packets.iter().filter(|p| t.find(DP, p, true).is_some()) {
                let met = flows
                    .iter()
                    .any(|(value, mask)| Mask(key(mask)).apply(&key(packet)).tunnel == *value);
                assert!(!met, "{packet:?} of {ports:?}");
            }
        }
    }

    /// As in Open vSwitch 3.1, but that there ERSPAN is deaf beside GRE.
    #[test]
    fn what_comes_with_gre_is_told_apart_by_what_is_in_it() {
        let mut t = Endpoints::default();
        let mut add = |name, kind, options: &[(&'static str, &'static str)], dp| {
            let endpoint = Endpoint::parse(name, kind, options.iter().copied()).unwrap();
            t.insert(Arc::new(endpoint), DpPort(dp)).map(|_| ())
        };
        let to = ("remote_ip", "1.1.1.1");
        assert_eq!(add("gre", Kind::Gre, &[to], 4), Ok(()));
        assert!(add("zero", Kind::Gre, &[to, ("key", "0")], 4).is_err(), "key or none is one");
        assert_eq!(add("ip", Kind::Gre, &[to, ("packet_type", "legacy_l3")], 4), Ok(()));
        assert_eq!(add("erspan", Kind::Erspan, &[to, ("erspan_ver", "1")], 5), Ok(()));
        assert_eq!(t.listener(Arrival::Gre).map(|l| l.dp), Some(DpPort(4)));
        let key = came(0, "1.1.1.1", "9.9.9.9");
        let mirrored = TunnelKey { erspan: 1 << 20, ..key };
        for (key, is_frame, want) in
            [(key, true, "gre"), (key, false, "ip"), (mirrored, true, "erspan")]
        {
            let id = t.find(DpPort(4), &key, is_frame).unwrap();
            assert_eq!(&*t.get(id).unwrap().0.name, want);
        }
    }
}
