//! The kernel's tables and rules are followed.

use std::time::Duration;

use testbed::guide::{Flavor, HOSTS, Plan, TwoSites};
use testbed::wait;

use crate::support::{assert_connected, ok, ours, programs};

const PATIENCE: Duration = Duration::from_secs(8);

#[test]
fn tables_and_rules_of_the_kernel_are_followed() {
    if !ours() {
        return;
    }
    let two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    let host = &two.sites[0].host;
    let becomes = |command: &str, what: &str, is: bool| {
        let shows = || host.appctl(command).is_ok_and(|said| said.contains(what)) == is;
        let shown = wait::until("the switch to follow", PATIENCE, || shows().then_some(()));
        shown.unwrap_or_else(|e| panic!("{e}: {command}: {:?}", host.appctl(command)));
    };
    ok(host.ns.ip(&format!("route add 10.66.0.0/16 via {} table 100", HOSTS[1])));
    ok(host.ns.ip(&format!("rule add from {} fwmark 7 table 100 priority 1000", HOSTS[0])));
    ok(host.ns.ip("rule add iif nowhere table 101 priority 1001"));
    ok(host.ns.ip("rule add ipproto udp dport 4789 table 101 priority 1002"));
    becomes("ovs/route/show table=100", "10.66.0.0/16 dev br-phy GW", true);
    becomes("ovs/route/rule/show", "from 172.168.1.1 fwmark 0x7 lookup 100", true);
    becomes("ovs/route/rule/show", "not used: has conditions", true);
    becomes("ovs/route/rule/show", "not used: for packets of other devices", true);
    let lookup = |args: &str| host.appctl(&format!("ovs/route/lookup 10.66.0.9 {args}"));
    assert!(lookup("").is_err() && lookup("pkt_mark=7").is_err(), "{:?}", lookup(""));
    let found = ok(lookup(&format!("pkt_mark=7 src={}", HOSTS[0])));
    assert_eq!(found, "src 172.168.1.1\ngateway 172.168.1.2\ndev br-phy\n");
    ok(host.ns.ip("rule del priority 1000"));
    becomes("ovs/route/rule/show", "lookup 100", false);
    assert!(lookup(&format!("pkt_mark=7 src={}", HOSTS[0])).is_err());

    // By hand, and what is unreachable on purpose.
    ok(host.appctl("ovs/route/rule/add from=all prio=50 table=100"));
    assert!(lookup("").is_ok());
    ok(host.ns.ip("route replace unreachable 10.66.0.0/24 table 100"));
    becomes("ovs/route/lookup 10.66.0.9", "dev", false);
    assert!(ok(host.appctl("ovs/route/lookup 10.66.1.9")).contains("dev br-phy"));
    let json = ok(host.appctl("-f json ovs/route/rule/show"));
    assert!(json.contains(r#""priority":50"#) && json.contains(r#""lookup":100"#), "{json}");
    let json = ok(host.appctl("-f json ovs/route/show table=100"));
    assert!(json.contains(r#""gateway":"172.168.1.2""#), "{json}");
    ok(host.appctl("ovs/route/rule/del from=all prio=50 table=100"));
    assert!(lookup("").is_err());
    assert_connected(&two, 1 << 16);
}

/// A VRF's routes are for tunnels whose own address is there.
#[test]
fn a_tunnel_from_a_vrf_uses_its_table() {
    if !ours() {
        return;
    }
    let two = ok(TwoSites::build(&Plan::between(Flavor::Switch(programs()), Flavor::kernel())));
    let host = &two.sites[0].host;
    if host.ns.ip("link add red type vrf table 300").is_err() {
        eprintln!("skipped: this kernel has no VRFs");
        return;
    }
    for line in ["link set red up", "link set br-phy master red", "rule list"] {
        ok(host.ns.ip(line));
    }
    let lookup = |args: &str| host.appctl(&format!("ovs/route/lookup {} {args}", HOSTS[1]));
    let found = wait::until("the VRF's routes", PATIENCE, || {
        lookup(&format!("src={}", HOSTS[0])).ok().filter(|said| said.contains("dev br-phy"))
    });
    found.unwrap_or_else(|e| panic!("{e}: {:?}", host.appctl("ovs/route/rule/show")));
    assert!(lookup("").is_err(), "without the address there is nothing in the main table");
    ok(host.vsctl(&format!("set interface vxlan0 options:local_ip={}", HOSTS[0])));
    assert_connected(&two, 1 << 16);
}
