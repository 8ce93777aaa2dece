//! A way to the other host that becomes narrow further on: routers say what fits, and cut what may be cut.
//!
//! ```text
//! vm1 -- host1 (ours) --1500-- r1 --1300-- r2 --1500-- host2 -- vm2
//!                               \----1500---- host3 (the kernel) -- vm3
//! ```
//!
//! Routers are the kernel's, and neither host sees the narrow link. What passes between vm1 and vm3 has nothing to do with it.

use std::net::Ipv4Addr;
use std::time::Duration;

use packet::fit;
use packet::wire::ipv4::fix_checksum;
use testbed::bed::Sharing;
use testbed::guest::{DEVICE, Wire};
use testbed::netns::cable;
use testbed::probe::{self, Ping};
use testbed::{Guest, Host, Netns, Programs, Testbed, wait};

use crate::frames::Station;
use crate::support::{host_state, ok, ours, programs, reference};

const PATIENCE: Duration = Duration::from_secs(15);
/// What the narrow link takes.
const NARROW: u32 = 1300;
/// Bytes of IPv4 and ICMP headers of an echo request.
const HEADERS: u32 = 28;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Ours,
    /// The kernel's own vxlan device, which leaves it to routers to cut its packets.
    Kernel,
    /// Debian's Open vSwitch, which hears no router.
    Debian,
}

/// A tunnel over such a way.
#[derive(Clone, Copy, Debug)]
struct Plan {
    peer: Peer,
    v6: bool,
    /// Type and options of our port.
    tunnel: &'static str,
    /// What else the peer's port has.
    peers: &'static str,
    /// Whether our address stays on the card, and the tunnel goes by that.
    by_card: bool,
    /// The longest inner packet that the narrow link takes.
    fits: u32,
    /// The longest that guests send.
    mtu: u32,
}

struct Narrow {
    plan: Plan,
    hosts: [Host; 2],
    routers: [Netns; 2],
    guests: [Guest; 3],
    _far: Netns,
    _bed: Testbed,
}

/// A host's address: `n` is 1, 2 or 3.
fn address(v6: bool, n: usize) -> String {
    if v6 { format!("fd0{n}::{n}") } else { format!("10.{n}.0.{n}") }
}

/// The router's address on a host's link.
fn router(v6: bool, n: usize) -> String {
    if v6 { format!("fd0{n}::99") } else { format!("10.{n}.0.99") }
}

fn prefix(v6: bool) -> u8 {
    if v6 { 64 } else { 24 }
}

/// Gives a device its address, which counts at once.
fn settle(ns: &Netns, address: &str, v6: bool, dev: &str) {
    ok(ns.ip(&format!("addr add {address}/{} dev {dev} nodad", prefix(v6))));
    ok(ns.ip(&format!("link set {dev} up")));
}

impl Narrow {
    #[track_caller]
    fn build(plan: Plan) -> Self {
        let v6 = plan.v6;
        let bed = ok(Testbed::new(Sharing::Shared));
        let others = match plan.peer {
            Peer::Ours => programs(),
            Peer::Kernel => Programs::none(),
            Peer::Debian => reference(),
        };
        let mut hosts = [ok(bed.host("host1", &programs())), ok(bed.host("host2", &others))];
        let routers = ["r1", "r2"].map(|name| ok(bed.netns(name)));
        let far = ok(bed.netns("host3"));
        ok(cable((&hosts[0].ns, "eth1"), (&routers[0], "h1")));
        ok(cable((&hosts[1].ns, "eth1"), (&routers[1], "h2")));
        ok(cable((&far, "eth1"), (&routers[0], "h3")));
        ok(cable((&routers[0], "narrow"), (&routers[1], "narrow")));
        for (ns, end) in routers.iter().zip([0, 1]) {
            for path in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
                ok(ns.sysctl(path, "1"));
            }
            ok(ns.ip(&format!("link set narrow mtu {NARROW}")));
            let between = if v6 { ["fd09::1", "fd09::2"] } else { ["10.9.0.1", "10.9.0.2"] };
            settle(ns, between[end], v6, "narrow");
            ok(ns.ip(&format!("route add default via {}", between[1 - end])));
        }
        settle(&routers[0], &router(v6, 1), v6, "h1");
        settle(&routers[0], &router(v6, 3), v6, "h3");
        settle(&routers[1], &router(v6, 2), v6, "h2");
        let guest = |ns: &Netns, n: u8| {
            let (name, at) = (format!("vm{n}"), Ipv4Addr::new(192, 168, 1, n));
            let guest = ok(Guest::new(&bed, ns, &name, "tap0", at, Wire::Veth));
            ok(guest.without_ipv6());
            ok(guest.ns.ip(&format!("link set {DEVICE} mtu {}", plan.mtu)));
            guest
        };
        let guests = [guest(&hosts[0].ns, 1), guest(&hosts[1].ns, 2), guest(&far, 3)];
        for host in &mut hosts {
            if host.programs().find("ovs-vswitchd").is_ok() {
                ok(host.start());
            }
        }
        switch(&hosts[0], &plan, 1, plan.tunnel);
        ok(hosts[0].vsctl(&format!(
            "add-port br-int t3 -- set interface t3 type=vxlan options:key=3 options:remote_ip={}",
            address(v6, 3)
        )));
        kernel(&far, v6, 3, 3);
        match plan.peer {
            Peer::Kernel => kernel(&hosts[1].ns, v6, 2, 7),
            Peer::Ours | Peer::Debian => {
                if plan.peer == Peer::Debian {
                    ok(guests[1].offloads_off());
                }
                switch(&hosts[1], &plan, 2, &format!("{} {}", plan.tunnel, plan.peers));
            }
        }
        Self { plan, hosts, routers, guests, _far: far, _bed: bed }
    }

    /// What is known at the switch, for a failed test's message.
    fn state(&self) -> String {
        format!("{:?}\n{}", self.plan, host_state(&self.hosts[0]))
    }

    fn counter(&self, name: &str) -> u64 {
        let said = ok(self.hosts[0].appctl(&format!("coverage/read-counter {name}")));
        said.trim().parse().unwrap_or(0)
    }

    /// Which of some echo requests of so many bytes in all, from vm1 to another guest, are answered. The guest forbids them to be
    /// cut until it is told that they are too long.
    fn ping(&self, to: usize, bytes: u32, count: u16) -> Vec<bool> {
        let how = Ping {
            count,
            interval: Duration::from_millis(200),
            patience: Duration::from_millis(800),
            size: (bytes - HEADERS) as usize,
        };
        let echoes = ok(probe::ping(&self.guests[0].ns, self.guests[to].address, how));
        echoes.0.iter().map(Option::is_some).collect()
    }

    /// What vm1 believes to fit on the way to another guest.
    fn believed(&self, to: usize) -> String {
        ok(self.guests[0].ns.ip(&format!("route get {}", self.guests[to].address)))
    }

    #[track_caller]
    fn becomes_connected(&self, to: usize) {
        let passes = || self.ping(to, 100, 1) == [true];
        let passed = wait::until("the first ping", PATIENCE, || passes().then_some(()));
        passed.unwrap_or_else(|e| panic!("{e}\n{}", self.state()));
    }

    #[track_caller]
    fn assert_tcp(&self, bytes: usize) {
        let [a, b, _] = &self.guests;
        for (from, to) in [(a, b), (b, a)] {
            probe::tcp(from, to, bytes).unwrap_or_else(|e| panic!("{e}\n{}", self.state()));
        }
    }

    /// Packets to vm3 pass at their full length, and nobody has ever said otherwise.
    #[track_caller]
    fn assert_other_way_is_as_wide_as_ever(&self) {
        let full = self.plan.mtu.min(if self.plan.v6 { 1430 } else { 1450 });
        assert_eq!(self.ping(2, full, 3), [true; 3], "{}", self.state());
        assert!(!self.believed(2).contains("mtu"), "{}", self.believed(2));
        probe::tcp(&self.guests[0], &self.guests[2], 1 << 18)
            .unwrap_or_else(|e| panic!("{e}\n{}", self.state()));
    }
}

/// A switch's lines at host `n`.
fn switch(host: &Host, plan: &Plan, n: usize, tunnel: &str) {
    let v6 = plan.v6;
    let mut words = tunnel.split_whitespace();
    let kind = words.next().unwrap_or("");
    let options: String = words.map(|word| format!(" options:{word}")).collect();
    let (own, remote, via) = (address(v6, n), address(v6, 3 - n), router(v6, n));
    let mac = ok(host.ns.mac("eth1"));
    let (dev, underlay) = match plan.by_card && n == 1 {
        false => (
            "br-phy",
            format!(
                "-- add-br br-phy -- set bridge br-phy datapath_type=netdev other_config:hwaddr={mac} \
                 -- add-port br-phy eth1"
            ),
        ),
        true => ("eth1", "-- set open_vswitch . other_config:host-underlay=eth1".to_owned()),
    };
    let script = format!(
        "set -e
         ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int tap0 {underlay}
         ip addr add {own}/{} dev {dev} nodad
         ip link set {dev} up
         ip link set eth1 up
         ip route add default via {via}
         ovs-vsctl add-port br-int t2 -- set interface t2 type={kind} options:remote_ip={remote}{options}",
        prefix(v6)
    );
    ok(host.shell(&script).ok());
}

/// The kernel's vxlan device at host `n`.
fn kernel(ns: &Netns, v6: bool, n: usize, vni: u32) {
    settle(ns, &address(v6, n), v6, "eth1");
    ok(ns.ip(&format!("route add default via {}", router(v6, n))));
    ok(ns.ip(&format!(
        "link add vxlan0 type vxlan id {vni} local {} remote {} dstport 4789",
        address(v6, n),
        address(v6, 1)
    )));
    // As long as what guests send, whatever is around it.
    ok(ns.ip("link set vxlan0 mtu 1500"));
    ok(ns.ip("link add br0 type bridge"));
    for member in ["tap0", "vxlan0"] {
        ok(ns.ip(&format!("link set {member} master br0")));
        ok(ns.ip(&format!("link set {member} up")));
    }
    ok(ns.ip("link set br0 up"));
}

const VXLAN: Plan = Plan {
    peer: Peer::Kernel,
    v6: false,
    tunnel: "vxlan key=7",
    peers: "",
    by_card: false,
    fits: NARROW - 50,
    mtu: 1450,
};

// A way a line. Debian's is told not to forbid cutting: it hears of no narrow link.
#[rustfmt::skip]
const PLANS: [Plan; 11] = [
    VXLAN,
    Plan { v6: true, fits: NARROW - 70, mtu: 1430, ..VXLAN },
    Plan { peer: Peer::Debian, peers: "df_default=false", ..VXLAN },
    Plan { peer: Peer::Debian, tunnel: "geneve key=7", peers: "df_default=false", ..VXLAN },
    Plan { peer: Peer::Debian, tunnel: "gre key=7", peers: "df_default=false", fits: NARROW - 42, ..VXLAN },
    Plan { peer: Peer::Ours, tunnel: "geneve key=7", v6: true, fits: NARROW - 70, mtu: 1430, ..VXLAN },
    Plan { peer: Peer::Ours, tunnel: "gre key=7", v6: true, fits: NARROW - 62, mtu: 1430, ..VXLAN },
    Plan { peer: Peer::Ours, tunnel: "erspan erspan_ver=1", fits: NARROW - 50, ..VXLAN },
    Plan { peer: Peer::Ours, tunnel: "gre key=7 packet_type=ptap", fits: NARROW - 42, ..VXLAN },
    Plan { by_card: true, ..VXLAN },
    Plan { by_card: true, peer: Peer::Ours, tunnel: "geneve key=7", v6: true, fits: NARROW - 70, mtu: 1430, ..VXLAN },
];

// The same for packets that are cut by routers, and over IPv6 by whoever sends them.
#[rustfmt::skip]
const PIECES: [Plan; 8] = [
    PLANS[0],
    PLANS[2],
    PLANS[3],
    PLANS[4],
    Plan { peers: "df_default=false", ..PLANS[5] },
    Plan { peers: "df_default=false", ..PLANS[6] },
    PLANS[9],
    Plan { peers: "df_default=false", ..PLANS[10] },
];

/// vm1 sends what is too long for the narrow link: the switch is told by the router, tells the guest, and everything passes.
#[test]
fn a_router_says_what_fits_and_everything_passes() {
    if !ours() {
        return;
    }
    for plan in PLANS {
        let way = Narrow::build(plan);
        for guest in [1, 2] {
            way.becomes_connected(guest);
        }
        way.assert_other_way_is_as_wide_as_ever();
        if (plan.peer, plan.v6) == (Peer::Kernel, true) {
            // It neither cuts there what is too long, nor tells of it who has not forbidden that.
            let route = format!("route replace 192.168.1.0/24 dev {DEVICE} mtu {}", plan.fits);
            ok(way.guests[1].ns.ip(&route));
        }
        assert_eq!(way.ping(1, plan.fits, 2), [true; 2], "{}", way.state());
        assert_eq!(way.counter("tunnel_path_mtu_learned"), 0, "{}", way.state());

        // The first is lost at the router, the second tells the guest; from then on the guest cuts. Of the answers the first may
        // be lost at the other router.
        let answered = way.ping(1, plan.fits + 1, 5);
        let told = (&answered[..2], &answered[3..]) == (&[false; 2], &[true; 2]);
        assert!(told, "{answered:?}\n{}\n{}", way.believed(1), way.state());
        assert_eq!(way.counter("tunnel_path_mtu_learned"), 1, "{}", way.state());
        assert!(way.believed(1).contains(&format!("mtu {}", plan.fits)), "{}", way.believed(1));
        let shown = ok(way.hosts[0].appctl("tunnel/show t2"));
        assert!(shown.contains(&format!("MTU {}", plan.fits)), "{shown}");
        way.assert_tcp(1 << 20);
        for to in [0, 1] {
            // The first that are too long tell who sends them, there and back.
            ok(probe::udp(&way.guests[1 - to], &way.guests[to]));
            let lost = ok(probe::udp(&way.guests[1 - to], &way.guests[to]));
            assert!(lost.is_empty(), "UDP of {lost:?} bytes\n{}", way.state());
        }
        way.assert_other_way_is_as_wide_as_ever();
        let refused = way.counter("tunnel_path_mtu_refused");
        assert_eq!(refused, 0, "{}", way.state());
    }
}

/// TCP alone, of which no ping has gone ahead: super-packets of a guest meet the narrow link.
#[test]
fn tcp_finds_the_narrow_link_by_itself() {
    if !ours() {
        return;
    }
    for plan in [PLANS[0], PLANS[1], PLANS[5]] {
        let way = Narrow::build(plan);
        for guest in [1, 2] {
            way.becomes_connected(guest);
        }
        way.assert_tcp(4 << 20);
        assert_eq!(way.counter("tunnel_path_mtu_learned"), 1, "{}", way.state());
        way.assert_other_way_is_as_wide_as_ever();
    }
}

/// The other end's packets come in pieces, cut by a router or, over IPv6, by itself.
#[test]
fn tunnel_packets_that_come_in_pieces_are_put_together() {
    if !ours() {
        return;
    }
    for plan in PIECES {
        let way = Narrow::build(plan);
        for guest in [1, 2] {
            way.becomes_connected(guest);
        }
        let [a, b, _] = &way.guests;
        let before = way.counter("tunnel_reassembled");
        // vm2's own packets, with which it tells nobody that they may not be cut.
        ok(b.ns.sysctl("ipv4/ip_no_pmtu_disc", "1"));
        let how = Ping {
            count: 20,
            interval: Duration::from_millis(20),
            patience: Duration::from_secs(2),
            size: (plan.mtu - HEADERS) as usize,
        };
        let first = Ping { count: 3, ..how };
        ok(probe::ping(&b.ns, a.address, first));
        let echoes = ok(probe::ping(&b.ns, a.address, how));
        assert_eq!(echoes.lost(), 0, "{echoes}\n{}", way.state());
        probe::tcp(b, a, 1 << 20).unwrap_or_else(|e| panic!("{e}\n{}", way.state()));
        let together = way.counter("tunnel_reassembled") - before;
        assert!(together >= 20, "{together}\n{}", way.state());
        assert_eq!(way.counter("tunnel_fragments_dropped"), 0, "{}", way.state());
        way.assert_other_way_is_as_wide_as_ever();
    }
}

/// Anybody can say that something did not fit.
#[test]
fn lies_about_what_fits_change_nothing() {
    if !ours() {
        return;
    }
    let way = Narrow::build(VXLAN);
    for guest in [1, 2] {
        way.becomes_connected(guest);
    }
    let host = &way.hosts[0];
    let liar = ok(Station::at(&way.routers[0], "h1"));
    assert_eq!(way.ping(1, 100, 1), [true], "{}", way.state());
    let sent = ok(liar.receive("a tunnel's packet", PATIENCE, |frame| {
        frame.get(23) == Some(&17)
            && frame.get(36..38) == Some(&4789u16.to_be_bytes())
            && frame.get(33) == Some(&2)
    }));
    let mut long = sent.clone();
    long[16..18].copy_from_slice(&1500u16.to_be_bytes());
    // The quoted packet begins behind Ethernet, IP and ICMP headers; its checksums are right again afterwards.
    let lie = |at: usize, bytes: &[u8]| {
        let mut quoted = long.clone();
        quoted[at..at + bytes.len()].copy_from_slice(bytes);
        fix_checksum(&mut quoted[14..34]);
        let mut told = fit::answer(&quoted, 800).unwrap_or_default();
        // Whoever it is about, it comes to the host.
        let (to, from) = (&sent[6..12], &sent[..6]);
        told[..6].copy_from_slice(to);
        told[6..12].copy_from_slice(from);
        told[26..34].copy_from_slice(&[10, 1, 0, 99, 10, 1, 0, 1]);
        fix_checksum(&mut told[14..34]);
        told
    };
    let mut damaged = lie(0, &[]);
    damaged[60] ^= 1;
    let lies = [
        lie(30, &[10, 2, 0, 77]), // to somebody else
        lie(26, &[10, 1, 0, 77]), // from somebody else
        lie(34, &[0, 80]),        // from another port
        lie(36, &[0, 53]),        // to another port
        lie(23, &[6]),            // by another protocol
        lie(16, &[2, 0]),         // as short as that it fits
        damaged,
    ];
    let all = 7 * 50;
    for frame in lies.iter().cycle().take(all) {
        ok(liar.send(frame));
    }
    let counted = wait::until("the lies to be counted", PATIENCE, || {
        (way.counter("tunnel_path_mtu_refused") == all as u64).then_some(())
    });
    counted.unwrap_or_else(|e| panic!("{e}\n{}", way.state()));
    assert_eq!(way.counter("tunnel_path_mtu_learned"), 0);
    let shown = ok(host.appctl("tunnel/show t2"));
    assert!(shown.contains("MTU 1450"), "{shown}");
    // Who guesses well is believed, to no less than links are, and for that end alone.
    ok(liar.send(&lie(0, &[])));
    let believed = wait::until("a good guess to be believed", PATIENCE, || {
        ok(host.appctl("tunnel/show t2")).contains("MTU 750").then_some(())
    });
    believed.unwrap_or_else(|e| panic!("{e}\n{}", way.state()));
    way.assert_tcp(1 << 18);
    way.assert_other_way_is_as_wide_as_ever();
}
