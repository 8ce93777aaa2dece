//! Bonds with real devices: two hosts with two cables between them, or with a plain switch in the middle.

mod failover;
mod lacp;
mod page;
mod parity;
mod tunnel;

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::guide::{GUEST_PORT, GUESTS, HOSTS};
use testbed::netns::cable;
use testbed::probe::{self, Echoes, Ping};
use testbed::{Guest, Host, Programs, Testbed, wait};

use crate::support::{host_state, ok};

/// The hosts' ends of the cables.
const CABLES: [&str; 2] = ["eth1", "eth2"];
/// How long ends may take to agree, or to notice that they do not any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts with a guest each.
struct Pair {
    hosts: [Host; 2],
    guests: [Guest; 2],
    /// What is plugged into twice by both, if they are not joined by the cables themselves.
    _between: Option<Host>,
    _bed: Testbed,
}

/// What joins the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Cables,
    /// A bridge with learning, and no idea of bonds.
    Switch,
}

impl Pair {
    /// Hosts and guests, with the cables up and nothing configured.
    #[track_caller]
    fn build(programs: [Programs; 2], between: Between) -> Self {
        let bed = ok(Testbed::new(Sharing::Shared));
        let all_ours = programs.iter().all(Programs::are_ours);
        let mut hosts = [0, 1].map(|i| ok(bed.host(&format!("host{i}"), &programs[i])));
        for host in &mut hosts {
            // Nobody speaks who is not asked.
            ok(host.ns.sysctl("ipv6/conf/all/disable_ipv6", "1"));
            ok(host.ns.sysctl("ipv6/conf/default/disable_ipv6", "1"));
            if !all_ours {
                // Ours sees to it by itself, for its own host.
                ok(host.ns.sysctl("ipv4/conf/all/arp_ignore", "1"));
            }
            ok(host.start());
        }
        let switch = (between == Between::Switch).then(|| {
            let mut switch = ok(bed.host("switch", &crate::support::programs()));
            ok(switch.ns.sysctl("ipv6/conf/default/disable_ipv6", "1"));
            ok(switch.start());
            ok(switch.vsctl("add-br net -- set bridge net datapath_type=netdev"));
            switch
        });
        for name in CABLES {
            match &switch {
                None => ok(cable((&hosts[0].ns, name), (&hosts[1].ns, name))),
                Some(switch) => {
                    for (i, host) in hosts.iter().enumerate() {
                        let port = format!("{name}-{i}");
                        ok(cable((&host.ns, name), (&switch.ns, &port)));
                        ok(switch.ns.ip(&format!("link set {port} up")));
                        ok(switch.vsctl(&format!("add-port net {port}")));
                    }
                }
            }
            hosts.iter().for_each(|host| drop(ok(host.ns.ip(&format!("link set {name} up")))));
        }
        let guests = [0, 1].map(|i| {
            let (name, ns) = (format!("vm{i}"), &hosts[i].ns);
            let guest = ok(Guest::new(&bed, ns, &name, GUEST_PORT, GUESTS[i], Wire::Veth));
            ok(guest.without_ipv6());
            if !all_ours {
                // What one guest leaves unfinished comes to the other through Debian's switch.
                ok(guest.offloads_off());
            }
            guest
        });
        Self { hosts, guests, _between: switch, _bed: bed }
    }

    /// Both hosts have one bridge with the guest and a bond of the cables, with these settings.
    #[track_caller]
    fn bridge(programs: [Programs; 2], between: Between, settings: [&str; 2]) -> Self {
        let pair = Self::build(programs, between);
        for (host, settings) in pair.hosts.iter().zip(settings) {
            ok(host.vsctl(&format!(
                "add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 {GUEST_PORT} \
                 -- add-bond br0 bond0 eth1 eth2 {settings}"
            )));
        }
        pair
    }

    /// Both have the guide's bridges, with a bond as uplink.
    #[track_caller]
    fn tunnel(programs: [Programs; 2], between: Between, settings: &str) -> Self {
        let pair = Self::build(programs, between);
        for (i, host) in pair.hosts.iter().enumerate() {
            let (local, remote) = (HOSTS[i], HOSTS[1 - i]);
            ok(host.vsctl(&format!(
                "add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int {GUEST_PORT} \
                 -- add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={remote} \
                 -- add-br br-phy -- set bridge br-phy datapath_type=netdev \
                 -- add-bond br-phy bond0 eth1 eth2 {settings}"
            )));
            ok(host.ns.ip(&format!("addr add {local}/24 dev br-phy")));
            ok(host.ns.ip("link set br-phy up"));
        }
        pair
    }

    fn state(&self) -> String {
        let bonds = self.hosts.iter().map(|host| {
            let said = |what: &str| host.appctl(what).unwrap_or_else(|e| e.to_string());
            format!("{}{}{}", said("bond/show"), said("lacp/show"), host_state(host))
        });
        bonds.collect()
    }

    /// Waits until `bond/show` of a host says all of this.
    #[track_caller]
    fn await_bond(&self, host: usize, wanted: &[&str]) {
        let shown = || self.hosts[host].appctl("bond/show bond0").ok();
        let all = |text: &String| wanted.iter().all(|part| text.contains(part));
        let came = wait::until(&format!("{wanted:?}"), PATIENCE, || shown().filter(all));
        came.unwrap_or_else(|e| panic!("{e}\n{}", self.state()));
    }

    /// Waits until both ends use both cables.
    #[track_caller]
    fn await_agreement(&self) {
        let all = ["lacp_status: negotiated", "member eth1: enabled", "member eth2: enabled"];
        [0, 1].iter().for_each(|host| self.await_bond(*host, &all));
    }

    /// Every sort of traffic passes, both ways, and nothing comes twice.
    #[track_caller]
    fn assert_connected(&self) {
        let [a, b] = &self.guests;
        for (from, to) in [(a, b), (b, a)] {
            let echoes = ok(probe::ping(&from.ns, to.address, Ping::default()));
            assert_eq!(echoes.lost(), 0, "{echoes}\n{}", self.state());
            probe::tcp(from, to, 1 << 20).unwrap_or_else(|e| panic!("{e}\n{}", self.state()));
            let lost = ok(probe::udp(from, to));
            assert!(lost.is_empty(), "UDP of {lost:?} bytes lost\n{}", self.state());
        }
    }

    /// Pings from one guest to the other while `event` happens after a while.
    #[track_caller]
    fn ping_while(&self, event: impl FnOnce()) -> Echoes {
        let how = Ping { count: 300, interval: Duration::from_millis(10), ..Ping::default() };
        let [a, b] = &self.guests;
        std::thread::scope(|scope| {
            let pings = scope.spawn(|| ok(probe::ping(&a.ns, b.address, how)));
            // Once some have gone the old way.
            let before = a.ns.counters("eth0").map_or(0, |c| c.rx_packets);
            let begun = || a.ns.counters("eth0").filter(|c| c.rx_packets > before + 20);
            ok(wait::until("pings to begin", PATIENCE, begun));
            event();
            pings.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    #[track_caller]
    fn set_link(&self, host: usize, name: &str, state: &str) {
        ok(self.hosts[host].ns.ip(&format!("link set {name} {state}")));
    }

    /// The name of the member that is active.
    #[track_caller]
    fn active(&self, host: usize) -> String {
        let shown = ok(self.hosts[host].appctl("bond/show bond0"));
        let line = shown.lines().find(|line| line.starts_with("active member mac"));
        let name = line.and_then(|line| line.split(['(', ')']).nth(1)).unwrap_or_default();
        name.to_owned()
    }
}

/// Packets that a guest's device has got twice would show as more answers than questions: counts both.
fn counts(guest: &Guest) -> (u64, u64) {
    guest.ns.counters("eth0").map_or((0, 0), |c| (c.rx_packets, c.tx_packets))
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, n)
}
