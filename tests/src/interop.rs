//! One end ours, the other end somebody else's: the kernel's own vxlan device, and Debian's Open vSwitch.

use testbed::guide::{Flavor, Plan, TwoSites};
use testbed::{iperf, kernel};

use crate::support::{
    assert_connected, assert_some_line, first_ping, ok, ours, plan, programs, reference,
};

fn under_test() -> Flavor {
    Flavor::Switch(programs())
}

/// No packet is lost, the first included, and traffic of every kind passes.
#[track_caller]
fn assert_interoperates(two: &TwoSites) {
    let echoes = first_ping(two);
    if two.sites.iter().all(|s| s.by_kernel.is_some() || s.host.programs().are_ours()) {
        assert_eq!(echoes.lost(), 0, "{echoes}");
    }
    assert_connected(two, 8 << 20);
    let [a, b] = &two.sites;
    for reverse in [false, true] {
        let rate = ok(iperf::tcp(&a.guest, &b.guest, 1, reverse));
        assert!(rate > 1e6, "iperf3 (reverse: {reverse}) got through at {rate} bit/s");
    }
}

/// What loses every packet with Open vSwitch: an outer checksum that veth leaves unfinished.
#[test]
fn with_the_kernels_vxlan_device_at_its_defaults() {
    if !ours() {
        return; // The reference loses everything there.
    }
    assert_interoperates(&ok(TwoSites::build(&Plan::between(under_test(), Flavor::kernel()))));
}

/// The same without outer checksums: there, TCP alone fails.
#[test]
fn with_the_kernels_vxlan_device_without_udp_checksums() {
    if !ours() {
        return; // The reference passes pings there, and no TCP.
    }
    let without = Flavor::Kernel(kernel::Options { udp_checksum: false });
    assert_interoperates(&ok(TwoSites::build(&plan(under_test(), without))));
}

#[test]
fn with_debians_open_vswitch() {
    assert_interoperates(&ok(TwoSites::build(&plan(under_test(), Flavor::Switch(reference())))));
}

/// Rules at both ends say where the tunnel leads and in which network, and what comes by it is told by the same.
fn steer_by_rules(two: &TwoSites) {
    for (site, remote) in two.sites.iter().zip(["172.168.1.2", "172.168.1.1"]) {
        ok(site.host.vsctl(
            "set interface vxlan0 options:remote_ip=flow options:local_ip=flow options:key=flow",
        ));
        let script = format!(
            "ovs-ofctl del-flows br-int
             ovs-ofctl add-flow br-int 'in_port=tap0 actions=set_field:{remote}->tun_dst,set_field:0x77->tun_id,output:vxlan0'
             ovs-ofctl add-flow br-int 'in_port=vxlan0,tun_id=0x77,tun_src={remote} actions=output:tap0'"
        );
        ok(site.host.shell_by(&reference(), &script).output());
    }
}

#[test]
fn rules_say_where_a_tunnel_leads_between_two_of_ours() {
    if !ours() {
        return;
    }
    let two = ok(TwoSites::build(&Plan::alike(under_test())));
    steer_by_rules(&two);
    assert_eq!(first_ping(&two).lost(), 0);
    assert_connected(&two, 1 << 20);
}

#[test]
fn rules_say_where_a_tunnel_leads_to_debians_open_vswitch() {
    let two = ok(TwoSites::build(&plan(under_test(), Flavor::Switch(reference()))));
    steer_by_rules(&two);
    // Debian's loses packets until it has found its neighbour.
    first_ping(&two);
    assert_connected(&two, 1 << 20);
}

/// The guide with one end Debian's, whose guest's port is of type afxdp. Its native XDP takes segmentation from its guest by
/// itself, and nothing is switched off by hand at either end.
#[test]
fn with_debians_open_vswitch_whose_guest_is_on_an_afxdp_port() {
    let plan = Plan::between(under_test(), Flavor::Switch(reference()));
    let two = ok(TwoSites::build(&plan));
    ok(two.sites[1].host.vsctl("set interface tap0 type=afxdp"));
    let show = ok(two.sites[1].host.appctl("dpif/show"));
    assert_some_line(&show, "    tap0 1/*: (afxdp: *, xdp-mode-in-use=native)");
    let tso = ok(two.sites[1].guest.ns.cmd(["ethtool", "-k", "eth0"]).ok());
    assert_some_line(&tso, "tcp-segmentation-offload: off*");
    assert_some_line(&tso, "tx-checksumming: on");
    assert_interoperates(&two);
}
