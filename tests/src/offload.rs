//! Flows that the kernel runs: that they get there, that bytes are right there, and that they leave when anything changes.

use std::time::Duration;

use testbed::guest::DEVICE;
use testbed::guide::{Flavor, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Host, iperf, wait};

use crate::support::{OneBridge, assert_connected, host_state, ok, ours, plan, programs, state};

/// How long flows may take to get to the kernel, and back: they are looked at twice a second.
pub(crate) const SETTLE: Duration = Duration::from_secs(15);

pub(crate) const FLOOD: Ping = Ping {
    count: 50,
    interval: Duration::from_millis(1),
    patience: Duration::from_millis(400),
    size: 56,
};

/// The flows that the kernel runs on a host.
fn offloaded(host: &Host) -> Vec<String> {
    let text = ok(host.appctl("dpctl/dump-flows type=offloaded"));
    text.lines().filter(|line| line.contains("actions:")).map(str::to_owned).collect()
}

/// Pings until the kernel runs as many flows as wanted on each host.
#[track_caller]
fn settle(two: &TwoSites, wanted: usize) {
    let [a, b] = &two.sites;
    let done = wait::until("flows to be run by the kernel", SETTLE, || {
        ok(probe::ping(&a.guest.ns, b.guest.address, FLOOD));
        two.sites.iter().all(|site| offloaded(&site.host).len() >= wanted).then_some(())
    });
    done.unwrap_or_else(|e| panic!("{e}\n{}", state(two)));
}

fn packets(flow: &str) -> u64 {
    let (_, rest) = flow.split_once("packets:").expect("a count");
    rest.split(',').next().and_then(|n| n.parse().ok()).expect("a number")
}

fn guide() -> TwoSites {
    let flavor = Flavor::Switch(programs());
    ok(TwoSites::build(&plan(flavor.clone(), flavor)))
}

#[test]
fn established_flows_cross_the_tunnel_in_the_kernel() {
    if !ours() {
        return; // The reference has no such engine for this datapath.
    }
    let two = guide();
    // In, out, and what finds the one that comes in.
    settle(&two, 3);
    assert_connected(&two, 16 << 20);
    let [a, b] = &two.sites;
    let before: u64 = offloaded(&a.host).iter().map(|f| packets(f)).sum();
    for reverse in [false, true] {
        let rate = ok(iperf::tcp(&a.guest, &b.guest, 1, reverse));
        assert!(rate > 1e8, "iperf3 (reverse: {reverse}) got through at {rate} bit/s");
    }
    let flows = offloaded(&a.host);
    for action in ["actions:tnl_push(", "actions:tnl_pop("] {
        assert!(flows.iter().any(|f| f.contains(action)), "no {action}: {}", state(&two));
    }
    let after: u64 = flows.iter().map(|f| packets(f)).sum();
    assert!(after > before + 1000, "{before} packets, then {after}: {}", state(&two));
}

/// Every packet is counted once, whoever ran it: at the flow's ports and at the tunnel.
#[test]
fn packets_are_counted_whoever_ran_them() {
    if !ours() {
        return;
    }
    let two = guide();
    settle(&two, 3);
    let [a, b] = &two.sites;
    let tunnel = |what: &str| -> u64 {
        // What has been counted is credited with the next pass.
        ok(a.host.appctl("revalidator/wait"));
        let text = ok(a.host.appctl("dpctl/dump-flows"));
        text.lines().filter(|l| l.contains(what)).map(packets).sum()
    };
    let (pushed, popped) = (tunnel("actions:tnl_push("), tunnel("actions:tnl_pop("));
    let how = Ping { count: 200, ..FLOOD };
    assert_eq!(ok(probe::ping(&a.guest.ns, b.guest.address, how)).lost(), 0);
    for (what, before) in [("actions:tnl_push(", pushed), ("actions:tnl_pop(", popped)] {
        // A worker that has sent a packet on counts it a moment later.
        let counted = wait::until(what, Duration::from_secs(5), || {
            let now = tunnel(what);
            (now >= before + 200).then_some(now)
        });
        // Neighbour discovery of guests may add one or two.
        let now = ok(counted);
        assert!(now < before + 210, "{what} {before}, then {now}");
    }
}

#[test]
fn flows_leave_the_kernel_when_the_configuration_changes() {
    if !ours() {
        return;
    }
    let two = guide();
    settle(&two, 3);
    let [a, b] = &two.sites;
    let reaches = || {
        for site in [a, b] {
            ok(site.guest.ns.ip("neigh flush all"));
        }
        ok(probe::ping(&a.guest.ns, b.guest.address, Ping { count: 3, ..FLOOD })).lost() == 0
    };
    assert!(reaches());
    ok(a.host.vsctl("set interface vxlan0 options:key=7"));
    ok(a.host.appctl("revalidator/wait"));
    assert!(!reaches(), "{}", state(&two));
    ok(b.host.vsctl("set interface vxlan0 options:key=7"));
    ok(b.host.appctl("revalidator/wait"));
    assert!(reaches(), "{}", state(&two));
    settle(&two, 3);
    assert_connected(&two, 1 << 20);
    // A port that goes and comes back.
    ok(a.host.vsctl("del-port tap0"));
    assert!(!reaches(), "{}", state(&two));
    ok(a.host.vsctl("add-port br-int tap0"));
    assert_connected(&two, 1 << 20);
    settle(&two, 3);
}

#[test]
fn it_can_be_switched_off_and_on() {
    if !ours() {
        return;
    }
    let two = guide();
    settle(&two, 3);
    for site in &two.sites {
        ok(site.host.vsctl("set open . other_config:kernel-offload=false"));
        assert_eq!(offloaded(&site.host), Vec::<String>::new());
    }
    assert_connected(&two, 4 << 20);
    for site in &two.sites {
        assert_eq!(offloaded(&site.host), Vec::<String>::new());
        let wrong = ok(site.host.try_vsctl("set open . other_config:kernel-offload=maybe"));
        assert!(!wrong.success() && wrong.stderr.contains("kernel-offload"), "{wrong:?}");
        ok(site.host.vsctl("remove open . other_config kernel-offload"));
    }
    settle(&two, 3);
    assert_connected(&two, 4 << 20);
}

/// What is too long for the wire is dropped by the workers, under a name, also when the kernel runs the flow.
#[test]
fn what_is_too_long_is_dropped_by_name() {
    if !ours() {
        return;
    }
    let two = guide();
    settle(&two, 3);
    let [a, b] = &two.sites;
    // Else they are cut, and arrive.
    ok(a.host.vsctl("set interface vxlan0 options:pmtud=false"));
    ok(a.guest.ns.ip(&format!("link set {DEVICE} mtu 1500")));
    let long = Ping { count: 5, size: 1472, ..FLOOD };
    assert_eq!(ok(probe::ping(&a.guest.ns, b.guest.address, long)).lost(), 5);
    // The last may still be on its way to a worker that waits for a processor.
    let mut counters = String::new();
    let counted = wait::until("all five to be counted", SETTLE, || {
        counters = ok(a.host.appctl("coverage/show"));
        let told = counters.lines().find(|line| line.starts_with("datapath_drop_tunnel_too_big"));
        told.is_some_and(|line| line.ends_with("total: 5")).then_some(())
    });
    counted.unwrap_or_else(|e| panic!("{e}: {counters}"));
}

#[test]
fn guests_of_one_host_are_switched_in_the_kernel() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    ok(wait::until("flows to be run by the kernel", SETTLE, || {
        ok(probe::ping(&a.ns, b.address, FLOOD));
        (offloaded(&net.host).len() >= 2).then_some(())
    }));
    net.assert_connected();
    ok(net.host.vsctl("set port tap0 tag=9"));
    ok(net.host.appctl("revalidator/wait"));
    let echoes = ok(probe::ping(&a.ns, b.address, Ping { count: 3, ..FLOOD }));
    assert_eq!(echoes.lost(), 3, "{}", host_state(&net.host));
}

/// Every one of a port's receiving sockets is kept from what the kernel has forwarded, and nothing comes twice.
#[test]
fn flows_of_ports_with_several_queues_run_in_the_kernel() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let [a, b] = &net.guests[..] else { panic!("two guests") };
    ok(net.host.vsctl("set Open_vSwitch . other_config:pmd-cpu-mask=0x3"));
    for queues in [3, 2] {
        ok(net.host.vsctl(&format!(
            "set interface tap0 options:n_rxq={queues} -- set interface tap1 options:n_rxq={queues}"
        )));
        ok(wait::until("flows to be run by the kernel", SETTLE, || {
            ok(probe::ping(&a.ns, b.address, FLOOD));
            (offloaded(&net.host).len() >= 2).then_some(())
        }));
        net.assert_connected();
        let seen = || [a, b].map(|g| g.ns.counters(DEVICE).expect("counters").rx_packets);
        let before = seen();
        let echoes = ok(probe::ping(&a.ns, b.address, FLOOD));
        assert_eq!(echoes.lost(), 0, "{echoes}");
        for (now, before) in seen().into_iter().zip(before) {
            let packets = now - before;
            let sent = u64::from(FLOOD.count);
            assert!((sent..sent + 10).contains(&packets), "{packets} came of {sent}");
        }
        assert!(offloaded(&net.host).len() >= 2, "{}", host_state(&net.host));
    }
}
