//! What a bridge does: VLANs, fail modes, patch ports, counters, and changes that touch only what changed.

use std::time::Duration;

use testbed::probe::{self, Ping};
use testbed::{Guest, wait};

use crate::support::{OneBridge, host_state, ok};

const QUICK: Ping = Ping {
    count: 3,
    interval: Duration::from_millis(10),
    patience: Duration::from_millis(400),
    size: 56,
};

/// Whether pings get from one guest to another: all of them, or none.
#[track_caller]
fn reaches(net: &OneBridge, from: &Guest, to: &Guest) -> bool {
    // A guest that asked in vain before would wait a second before it asks again.
    for guest in [from, to] {
        ok(guest.ns.ip("neigh flush all"));
    }
    match ok(probe::ping(&from.ns, to.address, QUICK)).lost() {
        0 => true,
        3 => false,
        lost => panic!("{lost} of 3 pings were lost\n{}", host_state(&net.host)),
    }
}

#[test]
fn access_ports_keep_vlans_apart() {
    let net = OneBridge::build(3);
    let [a, b, c] = &net.guests[..] else { panic!("three guests") };
    for (port, tag) in [("tap0", 10), ("tap1", 10), ("tap2", 20)] {
        ok(net.host.vsctl(&format!("set port {port} tag={tag}")));
    }
    assert!(reaches(&net, a, b) && reaches(&net, b, a));
    assert!(!reaches(&net, a, c) && !reaches(&net, c, a));
    ok(net.host.vsctl("set port tap2 tag=10"));
    assert!(reaches(&net, a, c) && reaches(&net, c, b));
    let fdb = ok(net.host.appctl("fdb/show br0"));
    assert_eq!(
        fdb.lines().filter(|l| l.split_whitespace().nth(1) == Some("10")).count(),
        3,
        "{fdb}"
    );
    ok(net.host.vsctl("clear port tap2 tag"));
    assert!(!reaches(&net, c, a));
}

#[test]
fn a_secure_bridge_without_flows_forwards_nothing() {
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    ok(net.host.vsctl("set-fail-mode br0 secure"));
    // The reference's flow table is emptied with a controller alone.
    if net.host.programs().are_ours() {
        assert!(!reaches(&net, a, b));
    }
    ok(net.host.vsctl("set-fail-mode br0 standalone"));
    assert!(reaches(&net, a, b));
}

#[test]
fn patch_ports_join_bridges() {
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    assert!(reaches(&net, a, b));
    ok(net.host.vsctl(
        "del-port tap1 -- add-br br1 -- set bridge br1 datapath_type=netdev -- add-port br1 tap1",
    ));
    assert!(!reaches(&net, a, b));
    ok(net.host.vsctl(
        "add-port br0 to1 -- set interface to1 type=patch options:peer=to0 -- \
         add-port br1 to0 -- set interface to0 type=patch options:peer=to1",
    ));
    assert!(reaches(&net, a, b) && reaches(&net, b, a));
    net.assert_connected();
    ok(net.host.vsctl("del-port to0"));
    assert!(!reaches(&net, a, b));
}

#[test]
fn the_hosts_own_port_speaks_ip() {
    let net = OneBridge::build(1);
    let [guest] = &net.guests[..] else { panic!("one guest") };
    let address = std::net::Ipv4Addr::new(192, 168, 1, 100);
    ok(net.host.ns.configure("br0", address, 24));
    let echoes = ok(probe::ping(&guest.ns, address, Ping::default()));
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(&net.host));
    if !net.host.programs().are_ours() {
        return; // A tap's unfinished checksums meet the reference's test A.
    }
    for bytes in [1, 8 << 20] {
        ok(probe::tcp_between(&guest.ns, (&net.host.ns, address), bytes));
        ok(probe::tcp_between(&net.host.ns, (&guest.ns, guest.address), bytes));
    }
}

/// Adding, changing and removing other ports, and configuring other bridges, costs running traffic no packet.
#[test]
fn changes_elsewhere_lose_no_packet() {
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    assert!(reaches(&net, a, b));
    let how = Ping { count: 250, interval: Duration::from_millis(4), ..Ping::default() };
    let echoes = std::thread::scope(|s| {
        let pinger = s.spawn(|| probe::ping(&a.ns, b.address, how));
        for round in 0..5 {
            for line in [
                "add-port br0 extra -- set interface extra type=internal",
                "set port extra tag=7",
                "add-br br1 -- set bridge br1 datapath_type=netdev",
                "add-port br1 vx -- set interface vx type=vxlan options:remote_ip=10.1.1.1",
                "set interface vx options:remote_ip=10.1.1.2",
                "del-br br1",
                "del-port extra",
            ] {
                net.host.vsctl(line).unwrap_or_else(|e| panic!("round {round}: {e}"));
            }
        }
        ok(pinger.join().expect("no panic"))
    });
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", host_state(&net.host));
}

#[test]
fn statistics_reach_the_database() {
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    ok(net.host.vsctl("set Open_vSwitch . other_config:stats-update-interval=5000"));
    assert!(reaches(&net, a, b));
    let counted = |name: &str| {
        let value =
            ok(net.host.vsctl(&format!("--if-exists get interface tap0 statistics:{name}")));
        value.trim().parse::<u64>().unwrap_or(0)
    };
    ok(wait::until("packets to be counted", Duration::from_secs(15), || {
        (counted("rx_packets") >= 3 && counted("tx_packets") >= 3 && counted("rx_bytes") >= 3 * 98)
            .then_some(())
    }));
}
