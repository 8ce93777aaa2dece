//! Guests that believe more to fit than does.

use std::time::Duration;

use testbed::guest::{DEVICE, MTU};
use testbed::guide::{Flavor, Plan, TwoSites};
use testbed::probe::{self, Ping};
use testbed::wait;

use crate::support::{assert_connected, ok, ours, programs, state};

const PATIENCE: Duration = Duration::from_secs(15);
/// What guests are told.
const BELIEVED: u32 = 1500;
/// Bytes of IPv4 and ICMP headers of an echo request.
const HEADERS: u32 = 28;

/// Ours here; there, if `alike`, the same, else the kernel. Guests behind ours believe that 1500 bytes fit.
#[track_caller]
fn build(alike: bool) -> TwoSites {
    let flavor = Flavor::Switch(programs());
    let other = if alike { flavor.clone() } else { Flavor::kernel() };
    let two = ok(TwoSites::build(&Plan::between(flavor, other)));
    for site in two.sites.iter().filter(|site| site.by_kernel.is_none()) {
        ok(site.guest.ns.ip(&format!("link set {DEVICE} mtu {BELIEVED}")));
    }
    two
}

/// Which of some echo requests of so many bytes in all are answered. The guest forbids the first to be cut (`ping -M do`), and
/// cuts others itself once it was told that they are too long.
fn ping(two: &TwoSites, bytes: u32, count: u16) -> Vec<bool> {
    let [a, b] = &two.sites;
    let how = Ping {
        count,
        interval: Duration::from_millis(200),
        patience: Duration::from_millis(600),
        size: (bytes - HEADERS) as usize,
    };
    let echoes = ok(probe::ping(&a.guest.ns, b.guest.address, how));
    echoes.0.iter().map(Option::is_some).collect()
}

/// What the first guest believes to fit on the way to the second.
fn believed(two: &TwoSites) -> String {
    let [a, b] = &two.sites;
    ok(a.guest.ns.ip(&format!("route get {}", b.guest.address)))
}

fn counter(two: &TwoSites, name: &str) -> u64 {
    let said = ok(two.sites[0].host.appctl(&format!("coverage/read-counter {name}")));
    said.trim().parse().unwrap_or(0)
}

#[test]
fn ping_is_told_at_every_size_around_the_limit() {
    if !ours() {
        return;
    }
    let two = build(false);
    let a = &two.sites[0];
    for bytes in [MTU - 2, MTU - 1, MTU] {
        assert_eq!(ping(&two, bytes, 1), [true], "{bytes}\n{}", state(&two));
    }
    for bytes in [MTU + 1, MTU + 2, MTU + 20, BELIEVED] {
        ok(a.guest.ns.ip("route flush cache"));
        assert!(!believed(&two).contains("mtu"), "{}", believed(&two));
        assert_eq!(ping(&two, bytes, 2), [false, true], "{bytes}\n{}", state(&two));
        assert!(believed(&two).contains(&format!("mtu {MTU}")), "{}", believed(&two));
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 4);
    assert_eq!(counter(&two, "tunnel_too_big_answered"), 4);
    let shown = ok(a.host.appctl("tunnel/show"));
    assert!(
        shown.contains("too-big (up through br-phy, but packets longer than 1450 bytes came)"),
        "{shown}"
    );
    assert!(shown.contains("MTU 1450"), "{shown}");
    // Guests that spoke before the guide was typed to its end have lost packets as well.
    let dropped = wait::until("the drops to be counted on the port", PATIENCE, || {
        let dropped = ok(a.host.vsctl("--if-exists get interface vxlan0 statistics:tx_dropped"));
        (dropped.trim().parse::<u64>().ok()? >= 4).then_some(())
    });
    dropped
        .unwrap_or_else(|e| panic!("{e}: {:?}", a.host.vsctl("get interface vxlan0 statistics")));
}

/// The MTU row: everything passes, whatever guests believe. Datagrams that may be cut are.
#[test]
fn everything_passes_between_guests_that_believe_too_much() {
    if !ours() {
        return;
    }
    assert_connected(&build(true), 1 << 20);
}

#[test]
fn the_mtu_follows_the_route() {
    if !ours() {
        return;
    }
    let two = build(false);
    let host = &two.sites[0].host;
    let becomes = |mtu: u32| {
        let shown = wait::until("the tunnel's MTU", PATIENCE, || {
            let status = host.vsctl("get interface vxlan0 status:tunnel_mtu").ok()?;
            (status.trim().trim_matches('"') == mtu.to_string()).then_some(())
        });
        shown.unwrap_or_else(|e| panic!("{e}: {:?}", host.vsctl("get interface vxlan0 status")));
    };
    becomes(1450);
    ok(host.ns.ip("route replace 172.168.1.0/24 dev br-phy src 172.168.1.1 mtu 1300"));
    becomes(1250);
    assert_eq!(ping(&two, 1400, 2), [false, true], "{}", state(&two));
    assert!(believed(&two).contains("mtu 1250"), "{}", believed(&two));
    ok(host.vsctl("set interface br-phy mtu_request=1200"));
    becomes(1150);
}

/// Where ICMP is not wanted, TCP is talked into smaller segments.
#[test]
fn tcp_is_clamped_where_nobody_answers() {
    if !ours() {
        return;
    }
    let two = build(true);
    for site in &two.sites {
        ok(site.host.vsctl("set interface vxlan0 options:pmtud=false options:tcp_mss_clamp=true"));
    }
    for (from, to) in two.directions() {
        probe::tcp(&from.guest, &to.guest, 1 << 20)
            .unwrap_or_else(|e| panic!("{e}\n{}", state(&two)));
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 0);
    assert_eq!(ping(&two, BELIEVED, 1), [false]);
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 1);
    assert_eq!(counter(&two, "tunnel_too_big_answered"), 0);
}

/// `df_default=false`: outer datagrams are cut, and the kernel puts them together.
#[test]
fn outer_datagrams_are_cut_if_they_may_be() {
    if !ours() {
        return;
    }
    let two = build(false);
    ok(two.sites[0].host.vsctl("set interface vxlan0 options:df_default=false"));
    // The other guest takes long packets, and sends none: the kernel's tunnel would drop them.
    let other = &two.sites[1].guest.ns;
    ok(other.ip(&format!("link set {DEVICE} mtu {BELIEVED}")));
    ok(other.ip(&format!("route replace 192.168.1.0/24 dev {DEVICE} mtu {MTU}")));
    for bytes in [MTU, MTU + 1, BELIEVED] {
        assert_eq!(ping(&two, bytes, 2), [true, true], "{bytes}\n{}", state(&two));
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 0);
}

/// The same over IPv6, where nobody but the sender may cut.
#[test]
fn outer_packets_of_ipv6_are_cut_if_they_may_be() {
    if !ours() {
        return;
    }
    let two = build(false);
    let [a, b] = &two.sites;
    ok(a.host.ns.ip("addr add fd00:172::1/64 dev br-phy nodad"));
    for line in [
        "addr add fd00:172::2/64 dev eth1 nodad",
        "link del vxlan0",
        "link add vxlan0 type vxlan id 0 remote fd00:172::1 dstport 4789 dev eth1",
        "link set vxlan0 master br0 up",
    ] {
        ok(b.host.ns.ip(line));
    }
    ok(a.host.vsctl("set interface vxlan0 options:remote_ip=fd00:172::2"));
    // The other guest takes long packets, and sends none: the kernel's tunnel would drop them.
    ok(b.guest.ns.ip(&format!("link set {DEVICE} mtu {BELIEVED}")));
    ok(b.guest.ns.ip(&format!("route replace 192.168.1.0/24 dev {DEVICE} mtu 1400")));
    let fits = MTU - 20;
    let arrives = || ping(&two, fits, 1) == [true];
    let arrived = wait::until("the tunnel", PATIENCE, || arrives().then_some(()));
    arrived.unwrap_or_else(|e| panic!("{e}\n{}", state(&two)));
    assert_eq!(ping(&two, fits + 1, 1), [false], "{}", state(&two));
    ok(a.guest.ns.ip("route flush cache"));
    ok(a.host.vsctl("set interface vxlan0 options:df_default=false"));
    let before = counter(&two, "datapath_drop_tunnel_too_big");
    for bytes in [fits, fits + 1, BELIEVED] {
        assert_eq!(ping(&two, bytes, 2), [true, true], "{bytes}\n{}", state(&two));
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), before);
}
