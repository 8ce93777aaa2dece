//! A tunnel says how it is: who cannot be reached is named, and packets wait for a neighbour.

use std::time::Duration;

use testbed::guest::DEVICE;
use testbed::guide::{CABLE, Flavor, HOSTS, Plan, Site, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Netns, wait};

use crate::support::{assert_connected, ok, ours, programs, state};

/// Rows are refreshed every few seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// Test F. The remote host comes up only after the first packets were sent: they wait, and are not lost.
#[test]
fn packets_wait_for_a_neighbour() {
    if !ours() {
        return;
    }
    let plan = Plan { ipv6: false, ..Plan::between(Flavor::Switch(programs()), Flavor::kernel()) };
    let mut two = ok(TwoSites::before_guide(&plan));
    ok(two.sites[0].start());
    ok(two.sites[0].type_guide(|_| ()));
    let [a, b] = &two.sites;
    know_each_other(&two);
    let how = Ping { count: 4, interval: Duration::from_millis(10), ..Ping::default() };
    let echoes = std::thread::scope(|s| {
        let pinger = s.spawn(|| probe::ping(&a.guest.ns, b.guest.address, how));
        let sent = || a.guest.ns.counters(DEVICE).is_some_and(|c| c.tx_packets >= 4);
        ok(wait::until("four pings to be sent", PATIENCE, || sent().then_some(())));
        ok(b.type_guide(|_| ()));
        ok(pinger.join().expect("no panic"))
    });
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", state(&two));
    assert_connected(&two, 1 << 20);
    assert_tunnel_becomes(a, &["up"]);
}

/// Test F, the other half: who does not answer is named, for as long as that lasts.
#[test]
fn a_silent_neighbour_is_named() {
    if !ours() {
        return;
    }
    let two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    assert_connected(&two, 1 << 20);
    let [a, b] = &two.sites;
    let address = format!("{}/24 dev {CABLE}", b.local());
    ok(b.host.ns.ip(&format!("addr del {address}")));
    ok(a.host.appctl("tnl/neigh/flush"));
    let how = Ping { count: 1, patience: Duration::ZERO, ..Ping::default() };
    ok(probe::ping(&a.guest.ns, b.guest.address, how));
    assert_tunnel_becomes(a, &["resolving", "no-neighbour"]);
    assert_tunnel_becomes(a, &["no-neighbour"]);
    let row = ok(a.host.vsctl("--columns=error,status list interface vxlan0"));
    assert!(row.contains(&format!("no answer from {}", b.local())), "{row}");
    ok(b.host.ns.ip(&format!("addr add {address}")));
    let back = Ping { count: 1, patience: Duration::from_millis(500), ..Ping::default() };
    let came_back = wait::until("traffic to come back", PATIENCE, || {
        (ok(probe::ping(&a.guest.ns, b.guest.address, back)).lost() == 0).then_some(())
    });
    came_back.unwrap_or_else(|e| panic!("{e}\n{}", state(&two)));
    assert_tunnel_becomes(a, &["up"]);
    assert_connected(&two, 1 << 20);
}

/// Waits for the Interface row to show one of these states.
#[track_caller]
fn assert_tunnel_becomes(site: &Site, states: &[&str]) {
    let status = || ok(site.host.vsctl("get interface vxlan0 status"));
    let shown = wait::until("the tunnel's state", PATIENCE, || {
        let status = status();
        let shows = |state: &&str| status.contains(&format!("tunnel_state={state},"));
        states.iter().any(shows).then_some(())
    });
    shown.unwrap_or_else(|e| panic!("{e}: not {states:?}: {}", status()));
}

/// Without ARP between the guests, the first packets are the ones that are counted.
fn know_each_other(two: &TwoSites) {
    for (from, to) in two.directions() {
        let mac = ok(to.guest.ns.mac(DEVICE));
        let line =
            format!("neigh replace {} lladdr {mac} dev {DEVICE} nud permanent", to.guest.address);
        ok(from.guest.ns.ip(&line));
    }
}

/// Test G.
#[test]
fn a_missing_route_is_named() {
    if !ours() {
        return;
    }
    let flavor = Flavor::Switch(programs());
    let two = ok(TwoSites::build(&Plan::alike(flavor)));
    let [a, b] = &two.sites;
    assert_connected(&two, 1 << 20);
    ok(a.host.vsctl("set interface vxlan0 options:remote_ip=172.31.1.2"));
    know_each_other(&two);
    let how =
        Ping { count: 100, interval: Duration::from_millis(5), patience: Duration::ZERO, size: 56 };
    let lost = ok(probe::ping(&a.guest.ns, b.guest.address, how)).lost();
    assert_eq!(lost, 100);

    let says = "no route to 172.31.1.2";
    let row = || ok(a.host.vsctl("--columns=error,status,statistics list interface vxlan0"));
    let named = wait::until("the row to name the missing route", PATIENCE, || {
        row().contains(says).then_some(())
    });
    named.unwrap_or_else(|e| panic!("{e}: {}", row()));
    let log = a.host.switch_log();
    let lines = log.lines().filter(|line| line.contains(says)).count();
    assert_eq!(lines, 1, "{log}");
    let counted = wait::until("the drops to be counted on the port", PATIENCE, || {
        let dropped = ok(a.host.vsctl("--if-exists get interface vxlan0 statistics:tx_dropped"));
        (dropped.trim().parse::<u64>().unwrap_or(0) >= 100).then_some(())
    });
    counted.unwrap_or_else(|e| panic!("{e}: {}", row()));

    // The kernel learns a route, and the tunnel follows.
    ok(a.host.vsctl(&format!("set interface vxlan0 options:remote_ip={}", HOSTS[1])));
    assert_connected(&two, 1 << 20);
    assert!(!row().contains(says), "{}", row());
    follows_the_kernel(&two, &a.host.ns);
}

/// Routes that come and go are followed without anybody telling the switch.
#[track_caller]
fn follows_the_kernel(two: &TwoSites, ns: &Netns) {
    let host = &two.sites[0].host;
    let shows = || ok(host.appctl("ovs/route/show")).contains("10.66.0.0/16");
    ok(ns.ip(&format!("route add 10.66.0.0/16 via {}", HOSTS[1])));
    ok(wait::until("the new route to show", PATIENCE, || shows().then_some(())));
    ok(ns.ip("route del 10.66.0.0/16"));
    ok(wait::until("the old route to go", PATIENCE, || (!shows()).then_some(())));
}
