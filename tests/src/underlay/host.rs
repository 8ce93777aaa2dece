//! Tunnels by a card that stays the host's: nobody has to move an address, and nobody loses the host.

use std::time::Duration;

use testbed::guide::{CABLE, Flavor, HOSTS, Plan, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Host, wait};

use crate::support::{assert_connected, ok, ours, programs, state};

const PATIENCE: Duration = Duration::from_secs(15);

/// The lines of a host whose address stays where it is.
#[track_caller]
fn configure(host: &Host, local: usize) {
    ok(host.ns.ip(&format!("addr add {}/24 dev {CABLE}", HOSTS[local])));
    ok(host
        .vsctl("add-br br-int -- set bridge br-int datapath_type=netdev -- add-port br-int tap0"));
    ok(host.vsctl(&format!(
        "add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip={}",
        HOSTS[1 - local]
    )));
    ok(host.vsctl(&format!("set open_vswitch . other_config:host-underlay={CABLE}")));
}

#[track_caller]
fn build(alike: bool) -> TwoSites {
    let flavor = Flavor::Switch(programs());
    let other = if alike { flavor.clone() } else { Flavor::kernel() };
    let mut two = ok(TwoSites::before_guide(&Plan::between(flavor, other)));
    for (i, site) in two.sites.iter_mut().enumerate() {
        ok(site.start());
        match site.by_kernel {
            Some(_) => ok(site.type_guide(|_| ())),
            None => configure(&site.host, i),
        }
    }
    two
}

/// The hosts themselves talk as before.
#[track_caller]
fn assert_hosts_connected(two: &TwoSites) {
    let [a, b] = &two.sites;
    let echoes = ok(probe::ping(&a.host.ns, HOSTS[1], Ping { count: 5, ..Ping::default() }));
    assert_eq!(echoes.lost(), 0, "{echoes}\n{}", state(two));
    for (from, to, at) in [(a, b, 1), (b, a, 0)] {
        ok(probe::tcp_between(&from.host.ns, (&to.host.ns, HOSTS[at]), 1 << 20));
    }
}

#[test]
fn the_host_keeps_its_address_and_the_tunnel_works() {
    if !ours() {
        return;
    }
    let two = build(false);
    let host = &two.sites[0].host;
    assert_connected(&two, 1 << 20);
    assert_hosts_connected(&two);
    assert_eq!(host.ns.udp_refused(), 0, "the host's stack refuses no tunnel packets");
    let shown = ok(host.appctl("tunnel/show"));
    assert!(shown.starts_with(&format!("vxlan0: up (up through {CABLE})")), "{shown}");

    // The card goes and comes, as when a driver is loaded anew: nothing has to be typed again but the address.
    ok(host.ns.ip(&format!("link set {CABLE} down")));
    ok(host.ns.ip(&format!("link set {CABLE} up")));
    let back = wait::until("traffic to come back", PATIENCE, || {
        let how = Ping { count: 2, patience: Duration::from_millis(500), ..Ping::default() };
        let [a, b] = &two.sites;
        (ok(probe::ping(&a.guest.ns, b.guest.address, how)).lost() == 0).then_some(())
    });
    back.unwrap_or_else(|e| panic!("{e}\n{}", state(&two)));

    // Not any more: the tunnel says so, and the host is as it was.
    ok(host.vsctl("remove open_vswitch . other_config host-underlay"));
    let named = wait::until("the tunnel to say that no bridge leads there", PATIENCE, || {
        ok(host.appctl("tunnel/show")).contains("no-bridge").then_some(())
    });
    named.unwrap_or_else(|e| panic!("{e}: {:?}", host.appctl("tunnel/show")));
    assert_hosts_connected(&two);
}

#[test]
fn both_hosts_keep_their_addresses() {
    if !ours() {
        return;
    }
    let two = build(true);
    assert_connected(&two, 1 << 20);
    assert_hosts_connected(&two);
}

/// What cannot be is refused, with a reason, and nothing else is disturbed.
#[test]
fn a_port_that_somebody_else_has_is_named() {
    if !ours() {
        return;
    }
    let two = build(false);
    let host = &two.sites[0].host;
    assert_connected(&two, 1 << 16);
    ok(host
        .ns
        .ip(&format!("link add vx9 type vxlan id 9 remote {} dstport 6000 dev {CABLE}", HOSTS[1])));
    ok(host.ns.ip("link set vx9 up"));
    ok(host.vsctl(&format!(
        "add-port br-int vxlan1 -- set interface vxlan1 type=vxlan options:remote_ip={} options:dst_port=6000",
        HOSTS[1]
    )));
    let log = || host.switch_log();
    let says = "UDP port 6000 is in use on this host";
    let named = wait::until("the reason", PATIENCE, || log().contains(says).then_some(()));
    named.unwrap_or_else(|e| panic!("{e}: {}", log()));
    assert_hosts_connected(&two);
    assert_connected(&two, 1 << 16);
}
