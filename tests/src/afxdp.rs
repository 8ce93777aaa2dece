//! Ports by AF_XDP, in the places of the guide's ordinary ones.

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::guest::Wire;
use testbed::guide::{CABLE, Flavor, GUEST_PORT, Site, TwoSites};
use testbed::probe::{self, Ping};
use testbed::{Host, iperf, wait};

use crate::support::{
    OneBridge, assert_connected, assert_some_line, first_ping, ok, ours, plan, programs, state,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the guest's port and the network card of a host AF_XDP ports.
fn by_afxdp(site: &Site, ty: &str) {
    for port in [GUEST_PORT, CABLE] {
        ok(site.host.vsctl(&format!("set interface {port} type={ty}")));
    }
}

/// The guide with AF_XDP ports on both hosts.
fn two_sites() -> TwoSites {
    let flavor = Flavor::Switch(programs());
    let two = ok(TwoSites::build(&plan(flavor.clone(), flavor)));
    two.sites.iter().for_each(|site| by_afxdp(site, "afxdp"));
    two
}

fn status(host: &Host, port: &str, key: &str) -> String {
    let value = ok(host.vsctl(&format!("--if-exists get interface {port} status:{key}")));
    value.trim().trim_matches('"').to_owned()
}

fn error(host: &Host, port: &str) -> String {
    ok(host.vsctl(&format!("get interface {port} error")))
}

#[test]
fn the_guide_works_with_afxdp_ports_at_default_offloads() {
    if !ours() {
        return; // The reference's lose what guests leave unfinished: see `interop`.
    }
    let two = two_sites();
    for site in &two.sites {
        for port in [GUEST_PORT, CABLE] {
            assert_eq!(error(&site.host, port).trim(), "[]");
            assert_eq!(status(&site.host, port, "xdp-mode-in-use"), "native");
        }
        let show = ok(site.host.appctl("dpif/show"));
        assert_some_line(
            &show,
            "    tap0 1/*: (afxdp: use-need-wakeup=true, xdp-mode=best-effort)",
        );
    }
    assert_eq!(first_ping(&two).lost(), 0, "{}", state(&two));
    assert_connected(&two, 16 << 20);
    let [a, b] = &two.sites;
    for reverse in [false, true] {
        let rate = ok(iperf::tcp(&a.guest, &b.guest, 1, reverse));
        assert!(rate > 1e6, "iperf3 (reverse: {reverse}) got through at {rate} bit/s");
    }
}

/// One end by AF_XDP, the other end as the guide has it; and every kind of port on one bridge.
#[test]
fn afxdp_ports_reach_ports_of_every_other_kind() {
    if !ours() {
        return;
    }
    let flavor = Flavor::Switch(programs());
    let two = ok(TwoSites::build(&plan(flavor.clone(), flavor)));
    by_afxdp(&two.sites[0], "afxdp-nonpmd");
    assert_connected(&two, 4 << 20);
    drop(two);

    let net = OneBridge::of(&[Wire::Veth, Wire::Veth, Wire::Virtio, Wire::PlainTap]);
    ok(net.host.vsctl("set interface tap0 type=afxdp"));
    net.assert_connected();
    // With the host's own stack, behind an internal port.
    ok(net.host.ns.ip("link set br0 mtu 1450"));
    ok(net.host.ns.configure("br0", Ipv4Addr::new(192, 168, 1, 100), 24));
    let here = (&net.host.ns, Ipv4Addr::new(192, 168, 1, 100));
    let there = (&net.guests[0].ns, net.guests[0].address);
    ok(probe::tcp_between(here.0, there, 1 << 20));
    ok(probe::tcp_between(there.0, here, 1 << 20));
    assert!(ok(probe::udp_between(here, there)).is_empty());
}

/// A mode that is named is the mode in use.
#[test]
fn every_mode_that_a_veth_has_carries_traffic() {
    if !ours() {
        return; // Debian's daemon aborts when the mode of a running port changes.
    }
    let net = OneBridge::build(2);
    for port in ["tap0", "tap1"] {
        ok(net.host.vsctl(&format!("set interface {port} type=afxdp")));
    }
    for mode in ["native", "generic", "best-effort"] {
        for port in ["tap0", "tap1"] {
            ok(net.host.vsctl(&format!("set interface {port} options:xdp-mode={mode}")));
            assert_eq!(error(&net.host, port).trim(), "[]", "{mode}");
            let in_use = status(&net.host, port, "xdp-mode-in-use");
            assert_eq!(in_use, if mode == "generic" { "generic" } else { "native" });
        }
        net.assert_connected();
    }
    assert!(
        status(&net.host, "tap0", "xdp-fallback").starts_with("xdp-mode=native-with-zerocopy: ")
    );
}

/// What cannot be had is an error that says why, and the port works again when it is taken back.
#[test]
fn what_a_device_cannot_do_is_an_error_that_says_so() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    ok(net.host.vsctl("set interface tap0 type=afxdp"));
    net.assert_connected();
    for (option, why) in [
        ("n_rxq=3", "it has 1 receive queue"),
        ("xdp-mode=native-with-zerocopy", "the driver has no zero-copy"),
    ] {
        let key = option.split('=').next().expect("a key");
        ok(net.host.try_vsctl(&format!("set interface tap0 options:{option}")));
        let error = error(&net.host, "tap0");
        assert!(error.contains(why), "{option}: {error}");
        ok(net.host.vsctl(&format!("remove interface tap0 options {key}")));
        net.assert_connected();
    }
    // Nonsense by another client's hand leaves the port as it was.
    ok(net.host.vsctl("--force set interface tap0 options:xdp-mode=warp"));
    assert!(error(&net.host, "tap0").contains("it stays as it was"));
    net.assert_connected();
    for option in ["xdp-mode=warp", "use-need-wakeup=maybe", "n_rxq=0"] {
        let refused = ok(net.host.try_vsctl(&format!("set interface tap1 options:{option}")));
        assert!(!refused.success(), "{option}: {refused:?}");
    }
}

/// Ports of one switch share memory, whoever comes or goes and whichever worker serves them, polled or not.
#[test]
fn ports_that_share_memory_come_and_go() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(3);
    let ports = ["tap0", "tap1", "tap2"];
    for port in ports {
        ok(net.host.vsctl(&format!("set interface {port} type=afxdp")));
        assert_eq!(status(&net.host, port, "umem"), "shared");
        assert_eq!(status(&net.host, port, "xdp-busy-poll"), "off");
    }
    net.assert_connected();
    for change in [
        "set Open_vSwitch . other_config:pmd-cpu-mask=0x3",
        "set interface tap1 other_config:pmd-rxq-affinity=0:1",
        "remove interface tap1 other_config pmd-rxq-affinity",
        "set Open_vSwitch . other_config:pmd-cpu-mask=0x1",
        "set interface tap0 options:n_rxq=1",
        "set interface tap2 options:xdp-busy-poll=64",
        "set interface tap2 options:xdp-busy-poll=0",
        "del-port tap0; add-port br0 tap0 -- set interface tap0 type=afxdp",
    ] {
        change.split("; ").for_each(|line| drop(ok(net.host.vsctl(line))));
        net.assert_connected();
        for port in ports {
            assert_eq!(status(&net.host, port, "umem"), "shared", "{change}");
        }
        let polled = if change.ends_with("poll=64") { "64" } else { "off" };
        assert_eq!(status(&net.host, "tap2", "xdp-busy-poll"), polled, "{change}");
    }
    let refused = ok(net.host.try_vsctl("set interface tap1 options:xdp-busy-poll=1025"));
    assert!(!refused.success(), "{refused:?}");
}

#[test]
fn afxdp_ports_come_back_after_kill_9() {
    if !ours() {
        return;
    }
    let mut two = two_sites();
    assert_connected(&two, 1 << 20);
    let killed = two.sites[0].host.switch.take().expect("it runs");
    ok(killed.kill());
    let links = ok(two.sites[0].host.ns.cmd(["ip", "-d", "link"]).ok());
    assert!(!links.contains("prog/xdp"), "{links}");
    ok(two.sites[0].host.start_switch(&[]));
    let once = Ping { count: 1, patience: Duration::from_millis(300), ..Ping::default() };
    let back = wait::until("traffic to come back", PATIENCE, || {
        let [a, b] = &two.sites;
        (ok(probe::ping(&a.guest.ns, b.guest.address, once)).lost() == 0).then_some(())
    });
    back.unwrap_or_else(|e| panic!("{e}\n{}", state(&two)));
    assert_connected(&two, 1 << 20);
}

/// A port that is deleted leaves its device as it was: no program, the host's stack hears it again, and the guest has its
/// offloads back.
#[test]
fn deleting_a_port_gives_the_device_back() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    let guest = &net.guests[0];
    let tso = || {
        let all = ok(guest.ns.cmd(["ethtool", "-k", "eth0"]).ok());
        all.lines().find(|l| l.starts_with("tcp-segmentation-offload")).map(str::to_owned)
    };
    let before = tso();
    for _ in 0..3 {
        ok(net.host.vsctl("set interface tap0 type=afxdp"));
        net.assert_connected();
        assert_ne!(tso(), before, "XDP takes segmentation from the veth's other end");
        ok(net.host.vsctl("del-port tap0"));
        let link = ok(net.host.ns.cmd(["ip", "-d", "link", "show", "tap0"]).ok());
        assert!(!link.contains("prog/xdp"), "{link}");
        assert_eq!(tso(), before);
        ok(net.host.vsctl("add-port br0 tap0"));
    }
    net.assert_connected();
    ok(net.host.vsctl("del-port tap0"));
    ok(net.host.ns.configure("tap0", Ipv4Addr::new(192, 168, 1, 200), 24));
    let echoes = ok(probe::ping(&guest.ns, Ipv4Addr::new(192, 168, 1, 200), Ping::default()));
    assert_eq!(echoes.lost(), 0, "{echoes}");
}

/// A device that is removed and made anew is an AF_XDP port again.
#[test]
fn a_device_that_returns_is_served_again() {
    if !ours() {
        return;
    }
    let net = OneBridge::build(2);
    ok(net.host.vsctl("set interface tap0 type=afxdp"));
    net.assert_connected();
    let guest = &net.guests[0];
    ok(net.host.ns.ip("link del tap0"));
    let gone = wait::until("an error", PATIENCE, || {
        error(&net.host, "tap0").contains("No such device").then_some(())
    });
    ok(gone);
    ok(testbed::netns::cable((&net.host.ns, "tap0"), (&guest.ns, "eth0")));
    ok(guest.ns.ip("link set eth0 mtu 1450"));
    ok(guest.ns.configure("eth0", guest.address, 24));
    ok(net.host.ns.ip("link set tap0 up"));
    ok(wait::until("the port", PATIENCE, || {
        (status(&net.host, "tap0", "xdp-mode-in-use") == "native").then_some(())
    }));
    net.assert_connected();
}

/// Guests on access ports, their VLAN's tag on the cable between the hosts.
#[test]
fn tagged_frames_pass_between_afxdp_network_cards() {
    if !ours() {
        return;
    }
    let flavor = Flavor::Switch(programs());
    let mut two = ok(TwoSites::before_guide(&plan(flavor.clone(), flavor)));
    for site in &mut two.sites {
        ok(site.start());
        for line in [
            "add-br br0 -- set bridge br0 datapath_type=netdev",
            "add-port br0 tap0 tag=10 -- set interface tap0 type=afxdp",
            "add-port br0 eth1 trunks=10 -- set interface eth1 type=afxdp",
        ] {
            ok(site.host.vsctl(line));
        }
    }
    assert_connected(&two, 4 << 20);
    ok(two.sites[1].host.vsctl("set port tap0 tag=11"));
    let [a, b] = &two.sites;
    ok(wait::until("VLANs 10 and 11 to be apart", PATIENCE, || {
        let echoes =
            ok(probe::ping(&a.guest.ns, b.guest.address, Ping { count: 3, ..Ping::default() }));
        (echoes.lost() == 3).then_some(())
    }));
}
