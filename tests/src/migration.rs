//! Live migration: a guest moves to another QEMU, and to another port, while streams flow through it. Every byte comes back, what
//! it has kept is what was sent, and its kernel has nothing to complain of.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use testbed::bed::Sharing;
use testbed::echo::{self, Echo};
use testbed::guide::{self, CABLE, HOSTS};
use testbed::netns::cable;
use testbed::vm::{Card, Plan, Vm};
use testbed::{Host, Netns, Testbed, wait};

use crate::support::{host_state, ok, ours, programs};
use crate::vhost::{Bed, pings};

const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const MAC: &str = "52:54:00:00:01:01";
const PATIENCE: Duration = Duration::from_secs(20);

/// As much as the guest can do without hardware help, or nearly.
const FAST: usize = 8 << 20;
/// As much as its memory can keep until the end.
const SLOW: usize = 1 << 20;

/// Where the guest keeps what came by the slow stream.
const KEPT: &str = "/tmp/kept";

/// Two ends of a guest's way.
struct Ends {
    from: Vm,
    to: Vm,
}

/// Starts a guest, which answers on ports 7000 and 7001, and another QEMU that waits for it. Each is given by the namespace of its
/// switch, a folder and its card.
fn start(from: (&Netns, &Path, Card), to: (&Netns, &Path, Card)) -> Ends {
    let (ns, dir, card) = from;
    let mut first = ok(Vm::start(ns, dir, &Plan::new(GUEST, card)));
    let (ns, dir, card) = to;
    std::fs::create_dir_all(dir).expect("a folder");
    let incoming = dir.join("incoming");
    let plan = Plan { incoming: Some(incoming.clone()), ..Plan::new(GUEST, card) };
    let second = ok(Vm::start(ns, dir, &plan));
    ok(wait::until("the other QEMU", PATIENCE, || incoming.exists().then_some(())));
    ok(first.ready());
    ok(first.ok("nc -ll -p 7000 -e cat &"));
    ok(first.ok(&format!("nc -l -p 7001 -e tee {KEPT} &")));
    ok(first.ok("until [ $(netstat -lnt | grep -c ':700[01] ') = 2 ]; do sleep 0.1; done"));
    Ends { from: first, to: second }
}

/// Moves the guest under streams from all these namespaces, the first of which has the slow stream too.
fn moves(ends: Ends, incoming: &Path, peers: &[&Netns], hosts: &[&Host]) {
    let Ends { mut from, mut to } = ends;
    let state = || hosts.iter().map(|host| host_state(host)).collect::<String>();
    for peer in peers {
        pings(peer, GUEST, hosts[0]);
    }
    let slow = ok(Echo::start(peers[0], (GUEST, 7001), SLOW));
    let fast: Vec<_> =
        peers.iter().map(|peer| ok(Echo::start(peer, (GUEST, 7000), FAST))).collect();
    let streams: Vec<_> = std::iter::once(&slow).chain(&fast).collect();
    let all_go_on = || {
        let before: Vec<_> = streams.iter().map(|stream| stream.returned()).collect();
        let have = || streams.iter().zip(&before).all(|(s, n)| s.returned() > n + (256 << 10));
        wait::until("the streams to go on", PATIENCE, || have().then_some(()))
    };
    ok(all_go_on());
    from.migrate(incoming).unwrap_or_else(|e| panic!("{e}\n{}", state()));
    all_go_on().unwrap_or_else(|e| panic!("{e}\n{:?}\n{}", to.run("dmesg | tail -40"), state()));
    let complaints = "BUG|Oops|WARNING|lockup|corrupt|general protection|not a head|stall";
    let said = ok(to.run(&format!("dmesg | grep -E '{complaints}'"))).1;
    assert_eq!(said.trim(), "");
    for stream in fast {
        stream.finish().unwrap_or_else(|e| panic!("{e}\n{}", state()));
    }
    let len = slow.finish().unwrap_or_else(|e| panic!("{e}\n{}", state()));
    let sent = hosts[0].dir().join("sent");
    std::fs::write(&sent, echo::bytes(len)).expect("a file");
    let sum = |text: String| text.split_whitespace().next().map(str::to_owned);
    let kept = ok(to.ok(&format!("md5sum {KEPT}")));
    let expected = ok(hosts[0].shell(&format!("md5sum {}", sent.display())).ok());
    assert_eq!(sum(kept), sum(expected), "{len} bytes");
    for host in hosts {
        let log = host.switch_log();
        assert!(!log.contains("was refused") && !log.contains("continuing at"), "{log}");
    }
}

/// From one port of a switch to another.
fn from_port_to_port(packed: bool) {
    if !ours() {
        return; // Debian's default build has no such ports.
    }
    let bed = Bed::new();
    bed.address("192.168.1.254");
    bed.add("vh2", true);
    let [a, b] = ["a", "b"].map(|name| bed.host.dir().join(name));
    let ns = &bed.host.ns;
    let card = |port| Card { packed, ..bed.card(port, true, 1) };
    let ends = start((ns, &a, card("vh1")), (ns, &b, card("vh2")));
    moves(ends, &b.join("incoming"), &[ns], &[&bed.host]);
}

#[test]
fn a_guest_moves_under_streams() {
    from_port_to_port(false);
}

#[test]
fn a_guest_with_packed_rings_moves_under_streams() {
    from_port_to_port(true);
}

/// From one host to another. The stream from its first host crosses VXLAN afterwards, and that from the second did before.
#[test]
fn a_guest_moves_to_another_host_under_streams() {
    if !ours() {
        return;
    }
    let bed = ok(Testbed::new(Sharing::Shared));
    let mut hosts = [1, 2].map(|n| ok(bed.host(&format!("host{n}"), &programs())));
    ok(cable((&hosts[0].ns, CABLE), (&hosts[1].ns, CABLE)));
    for (n, host) in hosts.iter_mut().enumerate() {
        ok(host.start());
        let mac = ok(host.ns.mac(CABLE));
        for line in guide::lines(HOSTS[n], HOSTS[1 - n], &mac) {
            // The guest's port is of another kind.
            if !line.text.contains(guide::GUEST_PORT) {
                ok(host.shell(&line.text).ok());
            }
        }
        let socket = host.dir().join("vm0").display().to_string();
        let kind = format!("type=dpdkvhostuserclient options:vhost-server-path={socket}");
        ok(host.vsctl(&format!("add-port br-int vm0 -- set interface vm0 {kind}")));
        ok(host.ns.ip(&format!("addr add 192.168.1.{}/24 dev br-int", 251 + n)));
        ok(host.ns.ip("link set br-int mtu 1450 up"));
    }
    let [one, two] = &hosts;
    let dirs = [one, two].map(|host| host.dir().join("vm"));
    let card = |host: &Host| Card {
        socket: host.dir().join("vm0"),
        listens: true,
        queues: 1,
        packed: false,
        mac: MAC,
    };
    let ends = start((&one.ns, &dirs[0], card(one)), (&two.ns, &dirs[1], card(two)));
    moves(ends, &dirs[1].join("incoming"), &[&one.ns, &two.ns], &[one, two]);
}
