//! Two links to the other host: both are used, and one is enough.

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::netns::cable;
use testbed::probe::{self, Ping};
use testbed::{Guest, Host, Netns, Programs, Testbed, wait};

use crate::support::{host_state, ok, ours, programs};

const PATIENCE: Duration = Duration::from_secs(8);
/// Devices of the two links, at both ends.
const LINKS: [&str; 2] = ["eth1", "eth2"];
const CONNECTIONS: usize = 24;
/// Fewer packets than that are the hosts' own, which ask for each other.
const OWN_PACKETS: u64 = 12;

/// What the links and the hosts' own addresses, which no link has, are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// The address of the first or the second host that is on no link.
    fn own(self, end: usize) -> &'static str {
        match self {
            Self::V4 => ["10.99.0.1", "10.99.0.2"][end],
            Self::V6 => ["fd99::1", "fd99::2"][end],
        }
    }

    /// All of such an address.
    fn host_route(self, end: usize) -> String {
        let bits = if self == Self::V4 { 32 } else { 128 };
        format!("{}/{bits}", self.own(end))
    }

    /// The address of a host on a link.
    fn on_link(self, link: usize, end: usize) -> String {
        match self {
            Self::V4 => format!("10.{}.0.{}", link + 1, end + 1),
            Self::V6 => format!("fd0{}::{}", link + 1, end + 1),
        }
    }

    fn link_prefix(self) -> u8 {
        if self == Self::V4 { 24 } else { 64 }
    }
}

/// Ours with two underlay bridges, and the kernel with two cards.
struct TwoLinks {
    family: Family,
    host: Host,
    other: Netns,
    guests: [Guest; 2],
    _bed: Testbed,
}

impl TwoLinks {
    #[track_caller]
    fn build(family: Family) -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        let other = ok(bed.host("host2", &Programs::none())).ns;
        for dev in LINKS {
            ok(cable((&host.ns, dev), (&other, dev)));
            for ns in [&host.ns, &other] {
                ok(ns.ip(&format!("link set {dev} up")));
            }
        }
        let address = |i: u8| Ipv4Addr::new(192, 168, 1, i);
        let guests = [
            ok(Guest::new(&bed, &host.ns, "vm1", "tap0", address(1), Wire::Veth)),
            ok(Guest::new(&bed, &other, "vm2", "tap0", address(2), Wire::Veth)),
        ];
        // What is around them over IPv6 is longer.
        for guest in &guests {
            ok(guest.ns.ip("link set eth0 mtu 1400"));
        }
        ok(host.start());
        host_lines(family, &host);
        other_lines(family, &other);
        Self { family, host, other, guests, _bed: bed }
    }

    /// Packets sent by each link of ours.
    fn sent(&self) -> [u64; 2] {
        LINKS.map(|dev| self.host.ns.counters(dev).map_or(0, |c| c.tx_packets))
    }

    #[track_caller]
    fn connections(&self) -> [u64; 2] {
        let before = self.sent();
        for _ in 0..CONNECTIONS {
            let [a, b] = &self.guests;
            probe::tcp(a, b, 1 << 14).unwrap_or_else(|e| panic!("{e}\n{}", host_state(&self.host)));
        }
        let after = self.sent();
        [after[0] - before[0], after[1] - before[1]]
    }

    /// What is said of ways to the other host.
    fn ways(&self) -> String {
        let lookup = format!("ovs/route/lookup {}", self.family.own(1));
        ok(self.host.try_appctl(&lookup)).stdout
    }

    #[track_caller]
    fn becomes_ways(&self, count: usize) {
        let reached = wait::until("so many ways", PATIENCE, || {
            let ways = self.ways();
            let by = LINKS.iter().filter(|dev| ways.contains(&format!("dev br-{dev}")));
            (by.count() == count).then_some(())
        });
        reached.unwrap_or_else(|e| panic!("{e}: {count}, but {}", self.ways()));
    }

    /// A router that nobody has asked for yet is asked for by the first connections.
    #[track_caller]
    fn becomes_spread(&self) {
        let spread = wait::until("connections to be spread", PATIENCE, || {
            self.connections().iter().all(|packets| *packets > OWN_PACKETS).then_some(())
        });
        spread.unwrap_or_else(|e| panic!("{e}\n{}", host_state(&self.host)));
    }
}

fn host_lines(family: Family, host: &Host) {
    ok(host.vsctl("add-br br-int -- set bridge br-int datapath_type=netdev"));
    ok(host.vsctl("add-port br-int tap0"));
    ok(host.ns.ip(&format!("addr add {} dev lo", family.host_route(0))));
    for (link, dev) in LINKS.into_iter().enumerate() {
        let bridge = format!("br-{dev}");
        ok(host.vsctl(&format!(
            "add-br {bridge} -- set bridge {bridge} datapath_type=netdev -- add-port {bridge} {dev}"
        )));
        address(&host.ns, family, link, 0, &bridge);
        ok(host.ns.ip(&format!("link set {bridge} up")));
    }
    match family {
        Family::V4 => ok(host.ns.ip(&multipath(family, 1, |dev| format!("br-{dev}")))),
        // The newer way: next hops that are objects of their own.
        Family::V6 => {
            for (link, dev) in LINKS.into_iter().enumerate() {
                let via = family.on_link(link, 1);
                ok(host.ns.ip(&format!("nexthop add id {} via {via} dev br-{dev}", link + 1)));
            }
            ok(host.ns.ip("nexthop add id 10 group 1/2"));
            ok(host.ns.ip(&format!("route add {} nhid 10", family.host_route(1))))
        }
    };
    ok(host.vsctl(&format!(
        "add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={} options:local_ip={}",
        family.own(1), family.own(0)
    )));
}

fn other_lines(family: Family, other: &Netns) {
    ok(other.ip(&format!("addr add {} dev lo", family.host_route(1))));
    for (link, dev) in LINKS.into_iter().enumerate() {
        address(other, family, link, 1, dev);
    }
    ok(other.ip(&multipath(family, 0, str::to_owned)));
    ok(other.ip(&format!(
        "link add vxlan0 type vxlan id 0 local {} remote {} dstport 4789",
        family.own(1),
        family.own(0)
    )));
    ok(other.ip("link add br0 type bridge"));
    for member in ["tap0", "vxlan0"] {
        ok(other.ip(&format!("link set {member} master br0")));
        ok(other.ip(&format!("link set {member} up")));
    }
    ok(other.ip("link set br0 up"));
}

fn address(ns: &Netns, family: Family, link: usize, end: usize, dev: &str) {
    let (ip, prefix) = (family.on_link(link, end), family.link_prefix());
    ok(ns.ip(&format!("addr add {ip}/{prefix} dev {dev} nodad")));
}

/// The route to this host by both links.
fn multipath(family: Family, to: usize, name: impl Fn(&str) -> String) -> String {
    let hops = [0, 1]
        .map(|link| format!("nexthop via {} dev {}", family.on_link(link, to), name(LINKS[link])));
    format!("route add {} {}", family.host_route(to), hops.join(" "))
}

#[test]
fn both_links_are_used_and_the_loss_of_one_moves_its_flows() {
    if !ours() {
        return;
    }
    let two = TwoLinks::build(Family::V4);
    let how = Ping { count: 3, ..Ping::default() };
    let [a, b] = &two.guests;
    let echoes = ok(probe::ping(&a.ns, b.address, how));
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(&two.host));
    two.becomes_ways(2);
    two.becomes_spread();

    // The far end of a link goes down: the bridge on it stays up, and still nothing goes there.
    ok(two.other.ip("link set eth2 down"));
    let moved = wait::until("pings to pass", PATIENCE, || {
        let how = Ping { count: 4, patience: Duration::from_millis(500), ..Ping::default() };
        (ok(probe::ping(&a.ns, b.address, how)).lost() == 0).then_some(())
    });
    moved.unwrap_or_else(|e| panic!("{e}\n{}", host_state(&two.host)));
    let by = two.connections();
    assert_eq!(by[1], 0, "{by:?}");
}

/// The same over IPv6, where the kernel's route leads to a group of next hops that changes under it.
#[test]
fn both_links_of_a_group_of_next_hops_are_used_over_ipv6() {
    if !ours() {
        return;
    }
    let two = TwoLinks::build(Family::V6);
    two.becomes_ways(2);
    two.becomes_spread();

    let ns = &two.host.ns;
    ok(ns.ip("nexthop replace id 10 group 1"));
    two.becomes_ways(1);
    let by = two.connections();
    assert!(by[0] > OWN_PACKETS && by[1] <= OWN_PACKETS, "{by:?}\n{}", host_state(&two.host));

    ok(ns.ip("nexthop replace id 10 group 1/2"));
    two.becomes_ways(2);
    two.becomes_spread();

    ok(ns.ip("nexthop del id 10"));
    two.becomes_ways(0);
}
