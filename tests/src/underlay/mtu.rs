//! Guests that believe more to fit than does.

use std::time::Duration;

use testbed::guest::{DEVICE, MTU};
use testbed::guide::{Flavor, Plan, TwoSites};
use testbed::{Netns, probe, wait};

use crate::support::{assert_connected, ok, ours, programs, state};

const PATIENCE: Duration = Duration::from_secs(8);
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

/// What `ping -M do` says of a packet of so many bytes in all.
fn ping(ns: &Netns, to: &str, bytes: u32, count: u32) -> String {
    let size = (bytes - HEADERS).to_string();
    let argv = [
        "ping",
        "-n",
        "-M",
        "do",
        "-c",
        &count.to_string(),
        "-i",
        "0.2",
        "-W",
        "1",
        "-s",
        &size,
        to,
    ];
    let said = ok(ns.cmd(argv.map(str::to_owned)).run());
    format!("{}{}", said.stdout, said.stderr)
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
    let [a, b] = &two.sites;
    let to = b.guest.address.to_string();
    for bytes in [MTU - 2, MTU - 1, MTU] {
        let said = ping(&a.guest.ns, &to, bytes, 1);
        assert!(said.contains(" 0% packet loss"), "{bytes}: {said}\n{}", state(&two));
    }
    for bytes in [MTU + 1, MTU + 2, MTU + 20, BELIEVED] {
        ok(a.guest.ns.ip("route flush cache"));
        let said = ping(&a.guest.ns, &to, bytes, 1);
        let told = format!("mtu = {MTU}");
        assert!(said.contains(&told), "{bytes}: {said}\n{}", state(&two));
        let route = ok(a.guest.ns.ip(&format!("route get {to}")));
        assert!(route.contains(&format!("mtu {MTU}")), "{route}");
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 4);
    assert_eq!(counter(&two, "tunnel_too_big_answered"), 4);
    let shown = ok(a.host.appctl("tunnel/show"));
    assert!(
        shown.contains("too-big (up through br-phy, but packets longer than 1450 bytes came)"),
        "{shown}"
    );
    assert!(shown.contains("MTU 1450"), "{shown}");
    let dropped = wait::until("the drops to be counted on the port", PATIENCE, || {
        let dropped = ok(a.host.vsctl("--if-exists get interface vxlan0 statistics:tx_dropped"));
        (dropped.trim() == "4").then_some(())
    });
    ok(dropped);
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
    let [a, b] = &two.sites;
    let said = ping(&a.guest.ns, &b.guest.address.to_string(), 1400, 1);
    assert!(said.contains("mtu = 1250"), "{said}\n{}", state(&two));
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
    let [a, b] = &two.sites;
    for site in &two.sites {
        ok(site.host.vsctl("set interface vxlan0 options:pmtud=false options:tcp_mss_clamp=true"));
    }
    for (from, to) in two.directions() {
        probe::tcp(&from.guest, &to.guest, 1 << 20)
            .unwrap_or_else(|e| panic!("{e}\n{}", state(&two)));
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 0);
    let said = ping(&a.guest.ns, &b.guest.address.to_string(), BELIEVED, 1);
    assert!(said.contains("100% packet loss"), "{said}");
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
    let [a, b] = &two.sites;
    ok(a.host.vsctl("set interface vxlan0 options:df_default=false"));
    for bytes in [MTU, MTU + 1, BELIEVED] {
        let said = ping(&a.guest.ns, &b.guest.address.to_string(), bytes, 2);
        assert!(said.contains(" 0% packet loss"), "{bytes}: {said}\n{}", state(&two));
    }
    assert_eq!(counter(&two, "datapath_drop_tunnel_too_big"), 0);
}
