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
/// The hosts' own addresses, which no link has.
const OWN: [&str; 2] = ["10.99.0.1", "10.99.0.2"];
/// Networks of the two links, and the devices at both ends.
const LINKS: [(&str, &str); 2] = [("10.1.0", "eth1"), ("10.2.0", "eth2")];
const CONNECTIONS: usize = 24;

/// Ours with two underlay bridges, and the kernel with two cards.
struct TwoLinks {
    host: Host,
    other: Netns,
    guests: [Guest; 2],
    _bed: Testbed,
}

impl TwoLinks {
    #[track_caller]
    fn build() -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let mut host = ok(bed.host("host1", &programs()));
        let other = ok(bed.host("host2", &Programs::none())).ns;
        for (_, dev) in LINKS {
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
        ok(host.start());
        host_lines(&host);
        other_lines(&other);
        Self { host, other, guests, _bed: bed }
    }

    /// Packets sent by each link of ours.
    fn sent(&self) -> [u64; 2] {
        LINKS.map(|(_, dev)| self.host.ns.counters(dev).map_or(0, |c| c.tx_packets))
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
}

fn host_lines(host: &Host) {
    ok(host.vsctl("add-br br-int -- set bridge br-int datapath_type=netdev"));
    ok(host.vsctl("add-port br-int tap0"));
    ok(host.ns.ip(&format!("addr add {}/32 dev lo", OWN[0])));
    for (net, dev) in LINKS {
        let bridge = format!("br-{dev}");
        ok(host.vsctl(&format!(
            "add-br {bridge} -- set bridge {bridge} datapath_type=netdev -- add-port {bridge} {dev}"
        )));
        ok(host.ns.ip(&format!("addr add {net}.1/24 dev {bridge}")));
        ok(host.ns.ip(&format!("link set {bridge} up")));
    }
    ok(host.ns.ip(&multipath(OWN[1], 2, |dev| format!("br-{dev}"))));
    ok(host.vsctl(&format!(
        "add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={} options:local_ip={}",
        OWN[1], OWN[0]
    )));
}

fn other_lines(other: &Netns) {
    ok(other.ip(&format!("addr add {}/32 dev lo", OWN[1])));
    ok(other.ip("link set lo up"));
    for (net, dev) in LINKS {
        ok(other.ip(&format!("addr add {net}.2/24 dev {dev}")));
    }
    ok(other.ip(&multipath(OWN[0], 1, str::to_owned)));
    ok(other.ip(&format!(
        "link add vxlan0 type vxlan id 0 local {} remote {} dstport 4789",
        OWN[1], OWN[0]
    )));
    ok(other.ip("link add br0 type bridge"));
    for member in ["tap0", "vxlan0"] {
        ok(other.ip(&format!("link set {member} master br0")));
        ok(other.ip(&format!("link set {member} up")));
    }
    ok(other.ip("link set br0 up"));
}

fn multipath(to: &str, end: u8, name: impl Fn(&str) -> String) -> String {
    let hops = LINKS.map(|(net, dev)| format!("nexthop via {net}.{end} dev {}", name(dev)));
    format!("route add {to}/32 {}", hops.join(" "))
}

#[test]
fn both_links_are_used_and_the_loss_of_one_moves_its_flows() {
    if !ours() {
        return;
    }
    let two = TwoLinks::build();
    let how = Ping { count: 3, ..Ping::default() };
    let [a, b] = &two.guests;
    let echoes = ok(probe::ping(&a.ns, b.address, how));
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(&two.host));
    let lookup = || ok(two.host.appctl(&format!("ovs/route/lookup {}", OWN[1])));
    let both = wait::until("two ways", PATIENCE, || (lookup().lines().count() == 2).then_some(()));
    both.unwrap_or_else(|e| panic!("{e}: {}", lookup()));
    // A router that nobody has asked for yet is asked for by the first connections.
    let spread = wait::until("connections to be spread", PATIENCE, || {
        two.connections().iter().all(|packets| *packets > 10).then_some(())
    });
    spread.unwrap_or_else(|e| panic!("{e}\n{}", host_state(&two.host)));

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
