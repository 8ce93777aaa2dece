//! The guide "Connecting VMs Using Tunnels (Userspace)", typed as it is printed.

use std::time::Duration;

use testbed::bed::Sharing;
use testbed::guest::Wire;
use testbed::guide::{Flavor, Plan, TwoSites};
use testbed::{iperf, wait};

use crate::support::{
    assert_connected, assert_first_ping, assert_lines, assert_some_line, first_ping, ok, ours,
    plan, programs,
};

/// How long the first ping's answer may take, from a cold start: two ARPs of guests, two of hosts, all of the slow path.
const FIRST_ANSWER: Duration = Duration::from_millis(50);

fn guide_plan() -> Plan {
    let flavor = Flavor::Switch(programs());
    plan(flavor.clone(), flavor)
}

#[test]
fn connects_guests_behind_veth() {
    connects(&guide_plan());
}

#[test]
fn connects_guests_behind_taps_of_virtio() {
    connects(&Plan { wire: Wire::Virtio, ..guide_plan() });
}

#[test]
fn connects_guests_behind_plain_taps() {
    connects(&Plan { wire: Wire::PlainTap, ..guide_plan() });
}

#[track_caller]
fn connects(plan: &Plan) {
    let two = ok(TwoSites::build(plan));
    let echoes = first_ping(&two);
    // The reference loses the packets that wait for a neighbour.
    assert!(!ours() || echoes.lost() == 0, "{echoes}");
    assert_connected(&two, 16 << 20);
    let [a, b] = &two.sites;
    for reverse in [false, true] {
        let rate = ok(iperf::tcp(&a.guest, &b.guest, 1, reverse));
        assert!(rate > 1e6, "iperf3 (reverse: {reverse}) got through at {rate} bit/s");
    }
}

/// The guide on `ferroswitch run`, and that it comes back as it was.
#[test]
fn connects_guests_of_hosts_that_run_in_one_process() {
    if !ours() {
        return; // The reference has no such program.
    }
    let mut two = ok(TwoSites::before_guide(&guide_plan()));
    for site in &mut two.sites {
        ok(site.host.start_in_one(&[]));
        ok(site.type_guide(|_| ()));
    }
    assert_eq!(first_ping(&two).lost(), 0);
    assert_connected(&two, 1 << 20);
    let [a, _] = &mut two.sites;
    let killed = a.host.switch.take().expect("it runs");
    ok(killed.kill());
    ok(a.host.start_in_one(&[]));
    ok(wait::until("traffic to come back", Duration::from_secs(10), || {
        (first_ping(&two).lost() == 0).then_some(())
    }));
    assert_connected(&two, 1 << 20);
}

/// With guests that keep silent until they ping, so that nothing is known yet; and with guests that speak IPv6 from the moment
/// they are plugged in, so that hosts look for each other before the other one is there.
#[test]
fn answers_the_first_ping_at_once() {
    for ipv6 in [false, true] {
        let two = ok(TwoSites::build(&Plan { ipv6, sharing: Sharing::Alone, ..guide_plan() }));
        if ours() {
            assert_first_ping(&two, FIRST_ANSWER);
        }
    }
}

/// The guide's control commands, in the reference's form.
#[test]
fn control_commands_answer_in_the_reference_form() {
    let two = ok(TwoSites::build(&guide_plan()));
    first_ping(&two);
    let host = &two.sites[0].host;
    let ask = |line: &str| ok(host.appctl(line));

    assert_lines(
        &ask("dpif/show"),
        &[
            "netdev@ovs-netdev: hit:* missed:*",
            "  br-int:",
            "    br-int 65534/*: (tap)",
            "    tap0 1/*: (system)",
            "    vxlan0 2/*: (vxlan: remote_ip=172.168.1.2)",
            "  br-phy:",
            "    br-phy 65534/*: (tap)",
            "    eth1 1/*: (system)",
        ],
    );
    let routes = ask("ovs/route/show");
    assert_some_line(&routes, "Route Table:");
    assert_some_line(&routes, "Cached: 172.168.1.1/32 dev br-phy SRC 172.168.1.1 local");
    assert_some_line(&routes, "Cached: 172.168.1.0/24 dev br-phy SRC 172.168.1.1");
    assert_lines(
        &ask("ovs/route/lookup 172.168.1.2"),
        &["src 172.168.1.1", "gateway ::", "dev br-phy"],
    );
    for show in ["tnl/arp/show", "tnl/neigh/show"] {
        let table = ask(show);
        assert_some_line(
            &table,
            "IP                                            MAC                 Bridge",
        );
        assert_some_line(
            &table,
            "172.168.1.2                                   *:*:*:*:*:*   br-phy",
        );
    }
    assert_eq!(ask("tnl/arp/set br-phy 172.168.1.77 02:00:00:00:00:77"), "OK\n");
    assert_some_line(&ask("tnl/arp/show"), "172.168.1.77 *02:00:00:00:00:77 *br-phy");
    assert_eq!(ask("tnl/neigh/aging"), "900\n");

    assert_lines(&ask("tnl/ports/show"), &["Listening ports:", "vxlan_sys_4789 (*) ref_cnt=1"]);
    let listening = ask("tnl/ports/show -v");
    assert_some_line(
        &listening,
        "vxlan_sys_4789 (*) : eth(dst=*),eth_type(0x0800),ipv4(dst=172.168.1.1,proto=17,frag=no),udp(dst=4789)",
    );
    assert_eq!(ask("tnl/egress_port_range"), "Tunnel UDP source port range: 32768-61000\n");
    assert_eq!(ask("tnl/egress_port_range 40000 50000"), "OK\n");
    assert_eq!(ask("tnl/egress_port_range"), "Tunnel UDP source port range: 40000-50000\n");

    first_ping(&two);
    let flows = ask("dpif/dump-flows br-int");
    assert_some_line(
        &flows,
        "*tunnel(tun_id=0x0,src=172.168.1.2,dst=172.168.1.1,flags(*+key)),*in_port(*),packet_type(ns=0,id=0),eth(src=*,dst=*),eth_type(0x0800),ipv4(*frag=no), packets:*, bytes:*, used:*, actions:*",
    );
    assert_some_line(
        &flows,
        "*in_port(*),packet_type(ns=0,id=0),eth(src=*,dst=*),eth_type(0x0800),ipv4(*frag=no), packets:*, bytes:*, used:*, actions:*tnl_push(tnl_port(*),header(size=50,type=4,eth(dst=*,src=*,dl_type=0x0800),ipv4(src=172.168.1.1,dst=172.168.1.2,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x0)),out_port(*)),*",
    );
    assert_some_line(&ask("dpctl/dump-flows"), "*recirc_id(0)*in_port(*)* actions:*");

    let fdb = ask("fdb/show br-int");
    assert_some_line(&fdb.to_lowercase(), "*port  vlan  mac                age");
    assert_some_line(&fdb, "    2     0  *:*:*:*:*:* *");
    assert_eq!(ask("fdb/flush br-int"), "table successfully flushed\n");
    let bridges = ask("ofproto/list");
    assert_eq!(
        bridges.lines().collect::<std::collections::BTreeSet<_>>(),
        ["br-int", "br-phy"].into()
    );
    assert!(ask("memory/show").contains("ports:"));
    assert_some_line(&ask("vlog/list"), "vswitchd *");
    assert_eq!(ask("vlog/set dpif:file:dbg"), "");
    assert_some_line(&ask("vlog/list"), "dpif   *DBG*");
    assert_some_line(&ask("coverage/show"), "*hash=*");
    assert_some_line(&ask("list-commands"), "The available commands are:");
    assert!(ask("version").starts_with("ovs-vswitchd "));

    assert_eq!(ask("ovs/route/add 10.77.0.0/16 br-phy 172.168.1.2"), "OK\n");
    assert_some_line(
        &ask("ovs/route/show"),
        "User: 10.77.0.0/16 dev br-phy GW 172.168.1.2 SRC 172.168.1.1",
    );
    assert_eq!(ask("ovs/route/del 10.77.0.0/16"), "OK\n");
    assert_eq!(ask("tnl/arp/flush"), "OK\n");
    assert!(!ask("tnl/arp/show").contains("172.168.1.77"));
    // Forgetting a neighbour or a route costs the reference's tunnels seconds of drops.
    assert!(!ours() || first_ping(&two).lost() == 0);
}

/// `exit --cleanup` leaves no device behind, `exit` alone leaves what a restart wants to find.
#[test]
fn exit_with_cleanup_takes_the_devices_along() {
    let mut two = ok(TwoSites::build(&guide_plan()));
    let [a, b] = &mut two.sites;
    for (site, command, stays) in [(a, "exit --cleanup", false), (b, "exit", true)] {
        assert_eq!(ok(site.host.appctl(command)), "");
        let mut switch = site.host.switch.take().expect("it was started");
        let status = ok(switch.wait(Duration::from_secs(10)));
        assert!(status.success(), "{status}");
        for bridge in ["br-int", "br-phy"] {
            assert_eq!(site.host.ns.has(bridge), stays, "{bridge} after {command}");
        }
        assert!(site.host.ns.has("tap0") && site.host.ns.has("eth1"), "not ours to remove");
    }
}
